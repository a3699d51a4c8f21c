# SPDX-License-Identifier: Apache-2.0
"""What `script/drill pod` does. Needs root, network and mount namespaces of its own, ENVDIAL_CONSUL, and the images
that containers.py made."""

import argparse
import contextlib
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import names  # noqa: E402  (found only now)
from containers import Podman  # noqa: E402
from support import report, unix_http  # noqa: E402
from support.certificates import SERVER_NAME, Authority  # noqa: E402
from support.waiting import eventually  # noqa: E402

TOP = Path(__file__).resolve().parents[2]
MANIFESTS = TOP / "deploy/kubernetes"
KEY = "/v1/kv/hunt/max-concurrent"
WITHIN = 30.0  # seconds for anything to be seen; a loaded machine takes seconds for a `podman exec`
MOST_IMAGE, MOST_LIMIT, MOST_OWN, MOST_START = 6_000_000, 16 << 20, 4 << 20, 0.100
# How the app's container looks at the value, by channel. All of it runs as the app, with the app's rights and mounts.
WAYS = {
    "env file": ["sh", "-c", '. /run/envdial/env && printf %s "$MAX_CONCURRENT"'],
    "snapshot": ["python3", "-c", "import envdial; print(envdial.open()['MAX_CONCURRENT'].value)"],
    "socket": ["curl", "-s", "--unix-socket", "/run/envdial/control.sock", "http://x/v1/values/MAX_CONCURRENT"],
    "preload": ["curl", "-s", "http://127.0.0.1:8080/"],
}


def documents(name):
    return [each for each in yaml.safe_load_all((MANIFESTS / name).read_text()) if each]


def pod_of(document):
    return document["spec"] if document["kind"] == "Pod" else document["spec"]["template"]["spec"]


def mount(pod, container, path, inside):
    """A folder of this machine, read-only."""
    name = "drill-" + str(len(pod.setdefault("volumes", [])))
    pod["volumes"].append({"name": name, "hostPath": {"path": str(path), "type": "Directory"}})
    container.setdefault("volumeMounts", []).append({"name": name, "mountPath": inside, "readOnly": True})


def adapt(pod):
    """There is no kubelet here that probes, and no service: all pods share the drill's loopback."""
    pod["hostNetwork"] = True
    for container in pod["containers"]:
        for name in ("startupProbe", "livenessProbe", "ports"):
            container.pop(name, None)


def manifests(certificates, getenv_folder):
    """The repository's own, with TLS in use: for each pod the documents that `podman kube play` gets."""
    kinds = ("Pod", "Deployment", "ConfigMap")
    consul = [each for each in documents("consul.yaml") if each["kind"] in kinds]
    hunt = [each for each in documents("dials.yaml") + documents("before-1.29.yaml") if each["kind"] in kinds]
    pod = pod_of(consul[0])
    adapt(pod)
    server = pod["containers"][0]
    mount(pod, server, certificates, "/tls")
    server["args"] += ["-hcl", 'ports { https = 8501 grpc = -1 grpc_tls = -1 } connect { enabled = false } disable_update_check = true '
                       'tls { defaults { ca_file = "/tls/ca.pem" cert_file = "/tls/server.pem" '
                       'key_file = "/tls/server-key.pem" } }']  # fmt: skip
    pod = pod_of(hunt[-1])
    adapt(pod)
    app, sidecar = pod["containers"]
    mount(pod, app, getenv_folder, "/opt/getenv")
    mount(pod, app, TOP / "clients/python", "/opt/python")
    app["env"] += [{"name": "LD_PRELOAD", "value": "/opt/getenv/libenvdial-getenv.so"},
                   {"name": "PYTHONPATH", "value": "/opt/python"},
                   {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}]  # fmt: skip
    mount(pod, sidecar, certificates, "/etc/envdial/tls")
    sidecar["env"] = [{"name": "CONSUL_HTTP_ADDR", "value": "https://consul:8501"},
                      {"name": "CONSUL_CACERT", "value": "/etc/envdial/tls/ca.pem"},
                      {"name": "CONSUL_TLS_SERVER_NAME", "value": SERVER_NAME}]  # fmt: skip
    return consul, hunt


def make_certificates(where):
    authority = Authority(where / "authority")
    server = authority.server()
    folder = where / "certificates"
    folder.mkdir(mode=0o755)
    pairs = (("ca.pem", authority.certificate), ("server.pem", server.certificate), ("server-key.pem", server.key))
    for name, path in pairs:
        (folder / name).write_bytes(path.read_bytes())
        (folder / name).chmod(0o644)  # of this drill only; the servers run as another user
    return folder


class Cgroup:
    """The memory that a process' container is charged for, where there are memory cgroups."""

    def __init__(self, pid):
        self._folder = None
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if controllers == "memory" and (Path("/sys/fs/cgroup/memory") / path[1:]).is_dir():
                self._folder = Path("/sys/fs/cgroup/memory") / path[1:]
                self._names = {"limit": "memory.limit_in_bytes", "peak": "memory.max_usage_in_bytes"}
            elif number == "0" and (Path("/sys/fs/cgroup") / path[1:] / "memory.max").exists():
                self._folder = Path("/sys/fs/cgroup") / path[1:]
                self._names = {"limit": "memory.max", "peak": "memory.peak"}

    def read(self, name):
        """Bytes; None if nobody counts."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return int((self._folder / self._names[name]).read_text())
        return None


class Drill:
    def __init__(self, podman, where):
        self.podman = podman
        self.where = where
        self.rows = [("what", "seen", "required", "")]
        self.failed = []
        self._sidecar = self._app = None

    def check(self, what, seen, required, holds):
        self.rows.append((what, str(seen), required, "ok" if holds else "WRONG"))
        print(f"{what}: {seen} ({required}) {'ok' if holds else 'WRONG'}", flush=True)
        if not holds:
            self.failed.append(what)

    def run(self, starts):
        self.image()
        self.play()
        self.story()
        self.rights()
        self.memory()
        self.start_times(starts)
        if self.failed:
            self.show_logs()

    def show_logs(self):
        for name in self.podman.run("ps", "--all", "--format", "{{.Names}}").split():
            print(f"--- {name}")
            self.podman.start("logs", "--tail", "20", name).communicate()

    def play(self):
        consul, hunt = manifests(make_certificates(self.where), Path(os.environ["ENVDIAL_GETENV_FOLDER"]))
        for name, parts in (("consul", consul), ("hunt", hunt)):
            file = self.where / f"{name}.yaml"
            file.write_text(yaml.safe_dump_all(parts))
            self.podman.run("kube", "play", "--network", "host", "--quiet", file)
            if name == "consul":
                self.put(700)
        names = self.podman.run("ps", "--all", "--format", "{{.Names}}").split()
        self._consul, self._sidecar, self._app = (
            next(name for name in names if re.fullmatch(rf"{pod}\S*-{container}", name))
            for pod, container in (("consul", "consul"), ("hunt", "envdial"), ("hunt", "hunt"))
        )

    def put(self, value):
        def accepted():
            connection = http.client.HTTPConnection("127.0.0.1", 8500, timeout=5)
            try:
                connection.request("PUT", KEY, body=str(value))
                return connection.getresponse().status == 200
            except http.client.HTTPException as broken:
                raise ConnectionError(repr(broken)) from broken
            finally:
                connection.close()

        eventually(f"Consul takes {value}", accepted, WITHIN, every=0.05)

    def read(self, way):
        done = self.podman.start("exec", self._app, *WAYS[way], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said, complaint = done.communicate(timeout=60)
        return said.decode().strip() or f"({complaint.decode().strip()[-100:]})"

    def expect(self, when, value):
        for way in WAYS:
            deadline = time.monotonic() + WITHIN
            while (seen := self.read(way)) != str(value) and time.monotonic() < deadline:
                pass
            self.check(f"{when}: by {way}", seen, str(value), seen == str(value))

    def pid(self, container):
        return self.podman.inspect(container)["State"]["Pid"]

    def story(self):
        self.expect("at first", 700)
        self.put(900)
        self.expect("a dial was turned", 900)
        self.podman.run("kill", self._consul)
        self.expect("Consul is away", 900)
        self.podman.run("restart", "--time", "10", self._sidecar)
        self.expect("the sidecar began anew, Consul is away", 900)
        self.podman.run("start", self._consul)
        self.put(1100)
        self.expect("Consul is back, and a dial was turned", 1100)
        for probe in ("startup", "ready", "live"):
            self.podman.run("exec", self._sidecar, "/envdial", "probe", probe)
            self.check(f"envdial probe {probe}", "0", "exit code 0", True)

    def rights(self):
        """What the kernel says of both processes."""
        for name in (self._sidecar, self._app):
            pid = self.pid(name)
            status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            seen = (status["Uid"].split()[1], int(status["CapEff"], 16) | int(status["CapBnd"], 16),
                    status["NoNewPrivs"].strip(), status["Seccomp"].strip())  # fmt: skip
            self.check(f"{name}: user, capabilities, no new privileges, seccomp", " ".join(map(str, seen)),
                       "65532 0 1 2", seen == ("65532", 0, "1", "2"))  # fmt: skip
            root = next(line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
                        if line.split()[4] == "/")  # fmt: skip
            self.check(f"{name}: root file system", root[5].split(",")[0], "ro", root[5].split(",")[0] == "ro")

    def memory(self):
        pid = self.pid(self._sidecar)
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        sizes = {name: int(size) << 10 for name, size in re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.MULTILINE)}
        status = Path(f"/proc/{pid}/status").read_text()
        shared = int(re.search(r"RssShmem:\s+(\d+)", status)[1]) << 10
        own = sizes["Anonymous"] + shared
        self.check("memory: anonymous + shared", f"{own:,} bytes", f"<= {MOST_OWN:,}", own <= MOST_OWN)
        print(f"memory: resident {sizes['Rss']:,} bytes, of which anonymous {sizes['Anonymous']:,}, shared {shared:,}")
        cgroup = Cgroup(pid)
        limit, peak = cgroup.read("limit"), cgroup.read("peak")
        if limit is None or limit > MOST_LIMIT:
            print(f"memory: no cgroup limits it here; peak {re.search(r'VmHWM:.*', status)[0]}")
            return
        self.check("memory: limit of the container", f"{limit:,} bytes", f"{MOST_LIMIT:,}", limit == MOST_LIMIT)
        self.check("memory: peak of the container", f"{peak:,} bytes" if peak else "not counted here",
                   f"<= {MOST_LIMIT:,}", peak is None or peak <= MOST_LIMIT)  # fmt: skip

    def start_times(self, rounds):
        """Seconds from the sidecar's exec, as it shows in /proc, to the first 200 of /startupz."""
        run = next(each["Source"] for each in self.podman.inspect(self._sidecar)["Mounts"]
                   if each["Destination"] == "/run/envdial")  # fmt: skip
        times = [self._start_once(Path(run) / "control.sock") for _ in range(rounds)]
        shown = ", ".join(f"{1000 * each:.0f}" for each in times)
        median = statistics.median(times)
        self.check(f"exec to /startupz 200, median of {shown} ms", f"{1000 * median:.0f} ms", "<= 100 ms",
                   median <= MOST_START)  # fmt: skip

    def _start_once(self, socket):
        self.podman.run("stop", "--time", "10", self._sidecar)
        self.podman.run("init", self._sidecar)
        pid, seen = self.pid(self._sidecar), {}

        def watch():
            comm = Path(f"/proc/{pid}/comm")
            eventually("the exec", lambda: comm.read_text() == "envdial\n", WITHIN, every=0.0005)
            seen["exec"] = time.monotonic()
            eventually("/startupz 200", lambda: unix_http.request(socket, "GET", "/startupz").status == 200, WITHIN,
                       every=0.0005)  # fmt: skip
            seen["started"] = time.monotonic()

        watcher = threading.Thread(target=watch)
        watcher.start()
        self.podman.run("start", self._sidecar)
        watcher.join()
        return seen["started"] - seen["exec"]

    def image(self):
        image = self.podman.inspect("envdial:dev", "image")
        self.check("image: bytes", f"{image['Size']:,}", f"<= {MOST_IMAGE:,}", image["Size"] <= MOST_IMAGE)
        config = image["Config"]
        self.check("image: user, entrypoint", f"{config['User']} {json.dumps(config['Entrypoint'])}",
                   '65532:65532 ["/envdial"]', config["User"] == "65532:65532" and config["Entrypoint"] == ["/envdial"])


def main():
    arguments = argparse.ArgumentParser(prog="script/drill pod")
    arguments.add_argument("--starts", type=int, default=7)
    arguments.add_argument("images")
    arguments.add_argument("store")
    chosen = arguments.parse_args()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with contextlib.ExitStack() as cleanup:
        where = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="envdial-pod-")))
        where.chmod(0o755)
        podman = Podman(chosen.images, chosen.store, where)
        podman.clear()
        cleanup.callback(podman.clear)
        drill = Drill(podman, where)
        try:
            drill.run(chosen.starts)
        except AssertionError:
            drill.show_logs()
            raise
        resolved = names.check(TOP / "build/image-program/envdial")
        print()
        report.print_table(drill.rows)
        print()
        report.print_table([names.HEADINGS, *resolved])
        drill.failed += [row[0] for row in resolved if row[-1] != "ok"]
    sys.exit("pod: wrong: " + "; ".join(drill.failed) if drill.failed else None)


main()
