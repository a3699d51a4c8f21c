# SPDX-License-Identifier: Apache-2.0
"""The base of the end-to-end tests: starts things for a test, ends them after it, and shows logs where it failed."""

import json
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

from support import processes
from support.gate import Gate
from support.observing import EnvFileObserver, Writer
from support.real_consul import Consul
from support.sidecar import Sidecar

KEY = "hunt/max-concurrent"
NAME = "MAX_CONCURRENT"
ONE_DIAL = ("--key", KEY, "--env", NAME, "--type", "int")


def one_dial(*more):
    """Flags of the dial that most tests turn."""
    return (*ONE_DIAL, *more)


class EndToEndTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.where = Path(tempfile.mkdtemp(prefix="envdial-"))
        self._sidecars = []
        self._consuls = []
        self.addCleanup(shutil.rmtree, self.where)

    def start_consul(self, **options):
        return self.launch_consul(**options).wait_for_writes()

    def launch_consul(self, **options):
        """Waits for nothing, so that several come up side by side."""
        consul = Consul(self.where / f"consul-{len(self._consuls)}", **options)
        self._consuls.append(consul)
        self.addCleanup(consul.kill)
        return consul.launch()

    def closed_port(self):
        """The address of a Consul that is not there."""
        return f"127.0.0.1:{processes.free_port()}"

    def gate(self, consul, host="127.0.0.1", port=None):
        gate = Gate(consul.port, port or processes.free_port(), host)
        self.addCleanup(gate.shut)
        return gate.open()

    def sidecar(self, consul, *arguments, name="pod", **options):
        """A sidecar that was not started yet. `consul` is a Consul, a Gate or an address."""
        address = consul if isinstance(consul, str) else consul.address
        sidecar = Sidecar(self.where / name, "--consul-addr", address, *arguments, **options)
        self._sidecars.append(sidecar)
        self.addCleanup(sidecar.kill)
        return sidecar

    def dials_file(self, dials, prefix="hunt/", name="dials.json"):
        path = self.where / name
        path.write_text(json.dumps({"prefix": prefix, "dials": dials} if prefix else {"dials": dials}))
        return path

    def writer(self, consul, *keys, first, pause=0.0):
        writer = Writer(consul, keys, first, pause)
        self.addCleanup(writer.finish)
        return writer

    def observe(self, sidecar):
        observer = EnvFileObserver(sidecar.env_file)
        self.addCleanup(observer.finish)
        return observer

    def run(self, result=None):
        outcome = super().run(result)
        failed = [getattr(test, "test_case", test) for test, _ in (result.failures + result.errors)] if result else []
        if self in failed:
            self._show_logs()
        return outcome

    def tearDown(self):
        # The logs are in a directory that is removed before run() is over: keep their ends for it.
        logs = sorted(self.where.rglob("sidecar.log"))
        self._ends = [(log, log.read_text(errors="replace")[-4000:]) for log in logs]

    def _show_logs(self):
        for log, end in getattr(self, "_ends", []):
            print(f"--- {self.id()}: {log.name} of {log.parent.name}:\n{end}", file=sys.stderr)


def needs(variable):
    """What CMake names to the tests; a missing one is a failure, never a reason to skip."""
    value = os.environ.get(variable)
    if not value or not Path(value).exists():
        raise AssertionError(f"{variable}={value!r}: no such file (ctest sets it)")
    return value
