# SPDX-License-Identifier: Apache-2.0
"""Containers for `script/drill pod`: podman with a store and a configuration of its own, and the images it runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

# What works also where limits can't be raised, and without systemd.
CONFIGURATION = """
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
base_hosts_file = "{scratch}/hosts"
"""
# All pods share the loopback of their caller's network namespace.
HOSTS = "127.0.0.1 localhost consul\n"
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{store}"
runroot = "{scratch}/run"
[storage.options]
additionalimagestores = ["{images}"]
"""
BASE = "debian:bookworm-slim"
APP = f"""
FROM {BASE}
RUN apt-get update -q && apt-get install -q -y --no-install-recommends python3 curl haproxy
COPY haproxy.cfg /etc/haproxy/app.cfg
ENTRYPOINT ["haproxy", "-db", "-f", "/etc/haproxy/app.cfg"]
"""
# Its expression env() asks the C library at each request; it knows nothing of us.
HAPROXY = """
defaults
  mode http
  timeout client 60s
  timeout connect 60s
  timeout server 60s
frontend app
  bind 127.0.0.1:8080
  http-request return status 200 content-type text/plain lf-string %[env(MAX_CONCURRENT)]
"""
CONSUL = f"""
FROM {BASE}
COPY consul /usr/local/bin/consul
ENTRYPOINT ["consul"]
"""


class Podman:
    """`images`: another store, whose images can be run. What is made goes to `store`, but for what runs."""

    def __init__(self, images, store, scratch):
        self._scratch = Path(scratch)
        (self._scratch / "containers.conf").write_text(CONFIGURATION.format(scratch=scratch))
        (self._scratch / "hosts").write_text(HOSTS)
        (self._scratch / "storage.conf").write_text(STORAGE.format(store=store, scratch=scratch, images=images))
        self._environment = dict(
            os.environ,
            CONTAINERS_CONF=str(self._scratch / "containers.conf"),
            CONTAINERS_STORAGE_CONF=str(self._scratch / "storage.conf"),
        )

    def start(self, *arguments, **options):
        return subprocess.Popen(["podman", *map(str, arguments)], env=self._environment, **options)

    def run(self, *arguments):
        done = self.start(*arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said, complaint = (text.decode() for text in done.communicate(timeout=600))
        if done.returncode != 0:
            raise AssertionError(f"podman {' '.join(map(str, arguments))}: {done.returncode}: {said}{complaint}")
        return said

    def inspect(self, name, kind="container"):
        return json.loads(self.run("inspect", "--type", kind, name))[0]

    def clear(self):
        """What an earlier run left, say because it was killed."""
        self.run("pod", "rm", "--all", "--force", "--time", "0")
        self.run("rm", "--all", "--force", "--time", "0")
        self.run("volume", "prune", "--force")

    def build(self, tag, files):
        """`files`: by name, a text or the path of a file to copy. Compiles nothing, and pulls nothing."""
        folder = self._scratch / tag.replace(":", "-")
        folder.mkdir()
        for name, content in files.items():
            if isinstance(content, Path):
                (folder / name).hardlink_to(content) if _same_device(content, folder) else _copy(content, folder / name)
            else:
                (folder / name).write_text(content)
        self.run("build", "-q", "--pull=never", "--layers", "--network=host", "--isolation=chroot", "-t", tag, folder)


def _same_device(one, other):
    return one.stat().st_dev == other.stat().st_dev


def _copy(source, target):
    subprocess.run(["cp", source, target], check=True)


def build_images(podman):
    """The app and the Consul of the pods, on the base image that script/image made."""
    podman.build("hunt:dev", {"Dockerfile": APP, "haproxy.cfg": HAPROXY})
    podman.build("consul:dev", {"Dockerfile": CONSUL, "consul": Path(os.environ["ENVDIAL_CONSUL"])})


def main():
    images, store, scratch = sys.argv[1:]
    build_images(Podman(images, store, scratch))


if __name__ == "__main__":
    main()
