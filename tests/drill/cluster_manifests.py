# SPDX-License-Identifier: Apache-2.0
"""Every plain manifest and the Kustomize component, as the server takes and gives them back."""

import json
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

import yaml

from support.kubernetes import pod_of, run
from support.sidecar import envdial
from support.waiting import eventually

FOLDER = Path("deploy/kubernetes")
ELSEWHERE = ("namespace.yaml", "dials.yaml", "admission.yaml", "injected.yaml")  # have checks of their own
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


def sidecar_of(spec):
    """The container envdial, and where it stands."""
    for place in ("initContainers", "containers"):
        for container in spec.get(place, []):
            if container["name"] == "envdial":
                return container, place
    raise AssertionError("there is no container envdial")


def create_pod(drill, workload):
    """Asks for the pod that a controller would make of a workload: PodSecurity judges pods only."""
    said = drill.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(pod_of(workload)))
    assert said.code == 0, said.text
    assert not said.err, said.err
    return json.loads(said.out)


def apply_one(drill, path):
    said = drill.kubectl("apply", "-f", path)
    assert said.code == 0, said.text
    assert "Warning" not in said.err, said.err
    seen = []
    try:
        for document in yaml.safe_load_all(path.read_text()):
            kind, name = document["kind"], document["metadata"]["name"]
            read = json.loads(drill.kubectl("get", kind, name, "-o", "json").out)
            seen.append(kind)
            if kind in WORKLOADS:
                pod = create_pod(drill, read)
                _, place = sidecar_of(pod["spec"])
                seen.append(f"its pod has envdial in {place}")
                lost = missing(document["spec"], read["spec"])
                assert not lost, f"{path}: the server has not kept {lost}"
    finally:
        drill.kubectl("delete", "-f", path, "--wait=false")
        drill.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")
    return ", ".join(seen)


def missing(wanted, given, path="spec"):
    """What of `wanted` is not in `given`: a server drops fields that it does not know or that are switched off."""
    if isinstance(wanted, dict):
        if not isinstance(given, dict):
            return [path]
        return [each for key in wanted for each in missing(wanted[key], given.get(key), f"{path}.{key}")]
    if isinstance(wanted, list):
        if not isinstance(given, list) or len(given) != len(wanted):
            return [path]
        return [each for i, item in enumerate(wanted) for each in missing(item, given[i], f"{path}[{i}]")]
    return [] if str(wanted) == str(given) else [path]


def kustomize(drill):
    said = drill.cluster.kubectl("apply", "-k", "tests/deploy/kustomize")
    assert said.code == 0, said.text
    assert "Warning" not in said.err, said.err
    deployment = json.loads(drill.kubectl("get", "deployment", "hunt-by-kustomize", "-o", "json").out)
    order = [container["name"] for container in deployment["spec"]["template"]["spec"]["initContainers"]]
    assert order == ["envdial", "migrate"], order
    create_pod(drill, deployment)
    cron = json.loads(drill.kubectl("get", "cronjob", "sweep-by-kustomize", "-o", "json").out)
    sidecar_of(create_pod(drill, cron)["spec"])
    drill.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")
    return "Deployment: envdial, migrate; CronJob: envdial"


def command_of(container, here):
    """The container's arguments with its volumes' paths below `here`."""
    paths = {mount["mountPath"]: here / mount["name"] for mount in container["volumeMounts"]}

    def moved(text):
        for path, place in paths.items():
            text = text.replace(path, str(place))
        return text

    return [moved(argument) for argument in container["args"]]


def run_sidecar(container, dials):
    """Runs the real program as the container would: its arguments, its variables, its probes; without Consul."""
    with tempfile.TemporaryDirectory(prefix="envdial-pod-") as where:
        here = Path(where)
        for mount in container["volumeMounts"]:
            (here / mount["name"]).mkdir()
        (here / "envdial-dials" / "dials.json").write_text(dials)
        arguments = [argument if argument != ":9102" else "127.0.0.1:0" for argument in command_of(container, here)]
        more = [
            "--run-dir",
            here / "envdial-run",
            "--state-dir",
            here / "envdial-state",
            "--consul-addr",
            "127.0.0.1:1",
        ]
        least = (
            ["setpriv", "--pdeathsig", "KILL", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
        )
        command = [*least, os.environ["ENVDIAL_BINARY"], *map(str, arguments + more)]
        with open(here / "log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            probe = container["startupProbe"]["exec"]["command"][1:]
            eventually("its startup probe says yes",
                       lambda: envdial(*probe, "--run-dir", here / "envdial-run").returncode == 0)  # fmt: skip
            live = container["livenessProbe"]["exec"]["command"][1:]
            assert envdial(*live, "--run-dir", here / "envdial-run").returncode == 0, "its liveness probe says no"
            return (here / "envdial-run" / "env").read_text()
        finally:
            process.kill()
            process.wait()


def real_sidecar(drill):
    document = next(yaml.safe_load_all((FOLDER / "deployment.yaml").read_text()))
    container, _ = sidecar_of(document["spec"]["template"]["spec"])
    dials = yaml.safe_load((FOLDER / "dials.yaml").read_text())["data"]["dials.json"]
    env = run_sidecar(container, dials)
    return "published " + " ".join(shlex.split(env))


def kubelet_reads(drill):
    """The kubelet's own code for fileKeyRef, on a file that envdial wrote."""
    values = {
        "PLAIN": "500",
        "ODD": 'a "quoted" $dollar `tick` \\back #hash',
        "LINES": "one\n\ntwo=2\n# three",
        "UTF8": "żółć",
    }
    dials = {
        "dials": [
            {"env": name, "key": name.lower(), "type": "string", "default": text} for name, text in values.items()
        ]
    }
    document = next(yaml.safe_load_all((FOLDER / "deployment.yaml").read_text()))
    container, _ = sidecar_of(document["spec"]["template"]["spec"])
    with tempfile.NamedTemporaryFile("w", prefix="envdial-env-") as file:
        file.write(run_sidecar(container, json.dumps(dials)))
        file.flush()
        said = run(Path(os.environ["ENVDIAL_KUBERNETES"]) / "kubelet-env", file.name, *values)
    assert said.code == 0, said.text
    assert json.loads(said.out) == values, said.out
    return f"{len(values)} values alike"


def check(drill):
    drill.kubectl("apply", "-f", FOLDER / "dials.yaml")
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name not in ELSEWHERE:
            drill.check(str(path), lambda path=path: apply_one(drill, path))
    drill.check("kubectl apply -k tests/deploy/kustomize", lambda: kustomize(drill))
    drill.check("the sidecar of deployment.yaml, run by the real program without Consul", lambda: real_sidecar(drill))
    drill.check("an env file, read by the kubelet's own code", lambda: kubelet_reads(drill))
