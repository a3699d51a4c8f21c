# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes API server with its etcd, and nothing else: no scheduler, no controllers, no kubelet."""

import copy
import json
import os
import subprocess
import typing
from pathlib import Path

from support import processes
from support.waiting import eventually

START_SECONDS = 120  # five on an idle machine
TOKEN = "the-token-of-the-drill"


class Said(typing.NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def text(self):
        return self.out + self.err


def run(*arguments, env=None, stdin=None, timeout=120):
    done = subprocess.run(
        list(map(str, arguments)), check=False, input=stdin, capture_output=True, text=True, env=env, timeout=timeout
    )
    return Said(done.returncode, done.stdout, done.stderr)


class Cluster:
    """Programs of `parts` (kube-apiserver, kubectl, etcd); keys, data and logs in `where`."""

    def __init__(self, parts, where):
        self.parts, self.where = Path(parts), Path(where)
        self.etcd = self.server = None
        self.port = processes.free_port()
        self.kubeconfig = self.where / "kubeconfig"

    def start(self):
        etcd_port, peer_port = processes.free_port(), processes.free_port()
        self.etcd = self._start("etcd", [
            self.parts / "etcd", "--data-dir", self.where / "etcd", "--unsafe-no-fsync",
            "--listen-client-urls", f"http://127.0.0.1:{etcd_port}",
            "--advertise-client-urls", f"http://127.0.0.1:{etcd_port}",
            "--listen-peer-urls", f"http://127.0.0.1:{peer_port}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer_port}",
            "--initial-cluster", f"default=http://127.0.0.1:{peer_port}",
        ])  # fmt: skip
        key = self.where / "service-accounts.key"
        run("openssl", "genrsa", "-out", key, "2048")
        (self.where / "tokens.csv").write_text(f"{TOKEN},drill,drill,system:masters\n")
        self.server = self._start("kube-apiserver", [
            self.parts / "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            "--bind-address=127.0.0.1", f"--secure-port={self.port}", f"--cert-dir={self.where / 'certificates'}",
            "--endpoint-reconciler-type=none", "--authorization-mode=RBAC",
            f"--token-auth-file={self.where / 'tokens.csv'}", "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
        ])  # fmt: skip
        self.kubeconfig.write_text(json.dumps(self._kubeconfig()))
        eventually("the API server is ready", self._ready, START_SECONDS, every=0.2)
        return self

    def stop(self):
        processes.kill(self.server)
        processes.kill(self.etcd)

    def env(self):
        """For programs that talk to this server: our kubectl and helm come first on the PATH."""
        path = f"{self.parts}:{Path(os.environ['ENVDIAL_HELM']).parent}:{os.environ['PATH']}"
        return processes.clean_environment({"PATH": path, "KUBECONFIG": str(self.kubeconfig)}) | {
            f"HELM_{kind}_HOME": str(self.where / "helm") for kind in ("CACHE", "CONFIG", "DATA")
        }

    def kubectl(self, *arguments, stdin=None):
        return run(self.parts / "kubectl", *arguments, env=self.env(), stdin=stdin)

    def get(self, *arguments):
        said = self.kubectl("get", *arguments, "-o", "json")
        if said.code:
            raise AssertionError(said.text)
        return json.loads(said.out)

    def openapi(self, group):
        """The server's own description of an API group: `api/v1`, `apis/apps/v1`."""
        return json.loads(self.kubectl("get", "--raw", f"/openapi/v3/{group}").out)

    def log(self, name):
        return (self.where / f"{name}.log").read_text(errors="replace")

    def _start(self, name, arguments):
        with open(self.where / f"{name}.log", "wb") as log:
            return processes.start(arguments, log, env=processes.clean_environment())

    def _ready(self):
        for name, process in (("etcd", self.etcd), ("kube-apiserver", self.server)):
            if process.poll() is not None:
                raise AssertionError(f"{name} ended:\n{self.log(name)[-2000:]}")
        return self.kubectl("get", "--raw", "/readyz").out == "ok"

    def _kubeconfig(self):
        cluster = {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}
        return {
            "apiVersion": "v1", "kind": "Config", "current-context": "drill",
            "clusters": [{"name": "drill", "cluster": cluster}],
            "users": [{"name": "drill", "user": {"token": TOKEN}}],
            "contexts": [{"name": "drill", "context": {"cluster": "drill", "user": "drill"}}],
        }  # fmt: skip


def pod_of(workload):
    """The pod that a controller would make of it."""
    spec = workload["spec"]
    template = (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]
    metadata = {key: value for key, value in template["metadata"].items() if key in ("labels", "annotations")}
    metadata["generateName"] = workload["metadata"]["name"] + "-"
    pod = copy.deepcopy(template["spec"])
    for claim in spec.get("volumeClaimTemplates", []):
        name = claim["metadata"]["name"]
        volume = {"name": name, "persistentVolumeClaim": {"claimName": f"{name}-{workload['metadata']['name']}-0"}}
        pod.setdefault("volumes", []).append(volume)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}
