# SPDX-License-Identifier: Apache-2.0
"""Who is measured: programs that follow keys of Consul into a file, each as its own documentation says to run it."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support import processes
from support.waiting import eventually

FLOOR = Path(__file__).resolve().parents[2] / "build/bench/floor"


@dataclass(frozen=True)
class Place:
    """As at home: what the app reads is in memory (/run, emptyDir), what has to last is on a disk."""

    disk: Path
    memory: Path

    def all_on_disk(self):
        """The same, for an app that reads its file from a disk, too."""
        return Place(self.disk, self.disk / "files")

    def __truediv__(self, name):
        place = Place(self.disk / name, self.memory / name)
        for directory in (place.disk, place.memory):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
        return place


@dataclass(frozen=True)
class Source:
    """The Consul that is followed. `ca` is the file of its authority where it is to be asked by TLS."""

    host: str
    port: int
    ca: Path | None = None


class Subject:
    """Follows `dials` keys below bench/NAME/ (all of them, where there is more than one) into `file`."""

    name = ""
    speaks_tls = True
    patience = 30.0  # seconds until it shows what is in Consul

    def __init__(self, place, source, dials=1, instance=""):
        self.place = place / (self.name + instance)
        self.source = source
        self.keys = [f"bench/{self.name}{instance}/{number:04}" for number in range(dials)]
        self.directory = self.place.memory
        self.binary = self.program()
        self._process = None

    @property
    def file(self):
        return self.directory / "value"

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        """Starts it, and waits until it shows what is in Consul."""
        with open(self.place.disk / "log", "ab") as log:
            self._process = processes.start(self.command(), log, env=self.environment())
        eventually(f"{self.name} has its first file", lambda: self._alive() and self.file.exists(), self.patience)
        return self

    def _alive(self):
        if self._process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self._process.returncode}: {self.log()}")
        return True

    def ended(self):
        return self._process.poll() is not None

    def log(self):
        return (self.place.disk / "log").read_text(errors="replace")[-3000:]

    def kill(self):
        processes.kill(self._process)

    @staticmethod
    def program():
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def environment(self):
        return processes.clean_environment()


class Floor(Subject):
    """The least that can follow a key: a bare long poll in C (floor.c). It shows the answer's body as it is."""

    name = "floor"
    speaks_tls = False

    @staticmethod
    def program():
        return FLOOR

    def command(self):
        key, host, port = self.keys[0], self.source.host, self.source.port
        return [self.binary, host, str(port), key, str(self.directory)]


class Envdial(Subject):
    name = "envdial"

    @property
    def file(self):
        return self.directory / "env"

    @staticmethod
    def program():
        return Path(os.environ["ENVDIAL_BINARY"])

    def command(self):
        state = self.place.disk / "state"
        state.mkdir(exist_ok=True)
        scheme = "https://" if self.source.ca else ""
        return [
            self.binary, "run", "--run-dir", str(self.directory), "--state-dir", str(state), "--log-level", "warn",
            "--consul-addr", f"{scheme}{self.source.host}:{self.source.port}", *self._dials(),
        ]  # fmt: skip

    def _dials(self):
        if len(self.keys) == 1:
            return ["--key", self.keys[0], "--env", "BENCH", "--type", "int"]
        prefix = self.keys[0].rpartition("/")[0] + "/"
        dials = [
            {"env": f"BENCH_{key[len(prefix) :]}", "key": key[len(prefix) :], "type": "int"} for key in self.keys
        ]
        file = self.place.disk / "dials.json"
        file.write_text(json.dumps({"prefix": prefix, "dials": dials}))
        return ["--dials", str(file)]

    def environment(self):
        return processes.clean_environment({"CONSUL_CACERT": str(self.source.ca)} if self.source.ca else {})


class ConsulTemplate(Subject):
    """With its defaults; the template writes the same line as our env file has."""

    name = "consul-template"

    @staticmethod
    def program():
        return Path(os.environ["ENVDIAL_CONSUL_TEMPLATE"])

    def command(self):
        config = self.place.disk / "config.hcl"
        config.write_text(self._config())
        return [self.binary, "-config", str(config), "-log-level", "warn"]

    def _config(self):
        tls = f'ssl {{ enabled = true  ca_cert = "{self.source.ca}" }}' if self.source.ca else ""
        prefix = self.keys[0].rpartition("/")[0]
        template = f"BENCH='{{{{ key \"{self.keys[0]}\" }}}}'\n"
        if len(self.keys) > 1:
            template = f"{{{{ range ls \"{prefix}\" }}}}BENCH_{{{{ .Key }}}}='{{{{ .Value }}}}'\n{{{{ end }}}}"
        return (
            f'consul {{ address = "{self.source.host}:{self.source.port}" {tls} }}\n'
            f"template {{\n  contents = {json.dumps(template)}\n  destination = {json.dumps(str(self.file))}\n}}\n"
        )


def available():
    """The subjects that there are here, and why others are missing."""
    kinds, missing = [Floor, Envdial], {}
    if os.environ.get("ENVDIAL_CONSUL_TEMPLATE"):
        kinds.append(ConsulTemplate)
    else:
        missing[ConsulTemplate.name] = "it could not be built: script/setup --print-consul-template says why"
    return kinds, missing


def described(kind):
    """Which program it is, by its own words."""
    program = kind.program()
    flag = "version" if kind is Envdial else "-v"
    done = subprocess.run([program, flag], capture_output=True, text=True, env=processes.clean_environment())
    return f"{(done.stdout + done.stderr).splitlines()[0].strip()} ({program})"
