# SPDX-License-Identifier: Apache-2.0
"""What `script/bench fanout` does. Needs ENVDIAL_BINARY, ENVDIAL_CONSUL and the watchers' program in build/bench."""

import argparse
import http.client
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests"))

from support import footprint, processes  # noqa: E402  (found only now)
from support.real_consul import Consul  # noqa: E402
from support.report import print_conditions, print_table  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402
from support.waiting import eventually  # noqa: E402

WATCHERS = (1, 100, 1000)
KEY = "bench/fanout"


class Watchers:
    def __init__(self, socket, count):
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", TOP / "build/bench/fanout", socket, str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._expect("open")

    def _line(self):
        return self._process.stdout.readline().rstrip("\n")

    def _expect(self, word):
        line = self._line()
        if line != word:
            raise AssertionError(f"the watchers said {line!r} instead of {word!r}")

    def arm(self, value):
        self._process.stdin.write(f"{value}\n")
        self._process.stdin.flush()
        self._expect("armed")

    def last_had_it(self):
        """CLOCK_MONOTONIC in nanoseconds."""
        return int(self._line())

    def end(self):
        processes.kill(self._process)


class Subject:
    """One sidecar with so many watchers."""

    def __init__(self, where, consul, count):
        self.count = count
        self.samples = []
        self._value = 100
        self._put = http.client.HTTPConnection("127.0.0.1", consul.port, timeout=10)
        dial = ("--key", f"{KEY}/{count}", "--env", "BENCH", "--type", "int", "--default", "1", "--log-level", "warn")
        self.sidecar = Sidecar(where / str(count), "--consul-addr", consul.address, *dial).start_ready()
        self.alone = footprint.anonymous_bytes(self.sidecar.pid)
        self._watchers = Watchers(self.sidecar.socket, count)
        self.put()  # the first is not counted: it creates the key
        self.samples.clear()

    def put(self):
        self._value += 1
        self._watchers.arm(self._value)
        began = time.monotonic_ns()
        self._put.request("PUT", f"/v1/kv/{KEY}/{self.count}", str(self._value))
        self._put.getresponse().read()
        self.samples.append((self._watchers.last_had_it() - began) / 1e6)

    def row(self):
        eventually("it has all watchers", lambda: self.sidecar.metrics()("control_clients") == self.count)
        memory = footprint.anonymous_bytes(self.sidecar.pid)
        return (
            str(self.count),
            f"{statistics.median(self.samples):.2f} ms",
            f"{max(self.samples):.2f} ms",
            f"{memory / 2**20:.2f} MiB",
            f"{(memory - self.alone) / self.count / 2**10:.1f} KiB",
        )

    def end(self):
        self._put.close()
        self._watchers.end()
        self.sidecar.kill()


def main():
    parser = argparse.ArgumentParser(prog="script/bench fanout")
    parser.add_argument("--samples", type=int, default=100)
    samples = parser.parse_args().samples
    subjects = []
    with tempfile.TemporaryDirectory(prefix="envdial-bench-", dir="/var/tmp") as where:
        consul = Consul(Path(where) / "consul").start()
        try:
            for count in WATCHERS:
                subjects.append(Subject(Path(where), consul, count))
            for _ in range(samples):
                for subject in subjects:
                    subject.put()
            heading = ("watchers", "PUT to the last one, median", "most", "anonymous memory", "of it by watcher")
            rows = [heading, *(subject.row() for subject in subjects)]
        finally:
            for subject in subjects:
                subject.end()
            consul.kill()
    print()
    print_table(rows)
    print_conditions(
        "one sidecar for each number of watchers, all of them running; PUTs by a kept connection, in turns",
        "watchers are event streams (GET /v1/watch) on the Unix socket, all held by one program that reads with epoll",
        f"{samples} PUTs each; CLOCK_MONOTONIC, from before the PUT is sent until the last stream brought the value",
    )


main()
