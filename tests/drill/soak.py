# SPDX-License-Identifier: Apache-2.0
"""What `script/drill soak` does. Needs ENVDIAL_BINARY and ENVDIAL_CONSUL."""

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import footprint, processes, report  # noqa: E402  (found only now)
from support.fault_trial import Pod, check_growing  # noqa: E402
from support.faults import FAULTS  # noqa: E402
from support.followers import LongPoller, StreamReader  # noqa: E402
from support.lying_consul import RealKv  # noqa: E402
from support.observing import EnvFileObserver  # noqa: E402
from support.real_consul import Consul  # noqa: E402
from support.sidecar import env_text  # noqa: E402
from support.waiting import eventually  # noqa: E402

WARM = 1000  # changes; what the sidecar takes up after them is what it may take up in the end
MOST_GROWTH = 0.10
CHECKPOINTS = 10  # after that one
FIRST = 100  # value
BY_ONE_PUT = 2  # changes: one of the prefix, one of the single key
TIMEOUTS = (1.0, 0.25)  # seconds; short, so that hundreds of faults fit into minutes
WITHIN = 10.0  # seconds in which a change arrives, or the clients that left are forgotten
SETTLE_SECONDS = 12.0  # kTidyEvery of sidecar/daemon.cc, and some
QUIET_REQUESTS = 8  # long polls, after which nothing of a fault is left
HEADINGS = ("after", "changes", "faults", "connections", "anonymous memory", "open files", "threads")


class Visitors:
    """The process that opens connections of every kind (visitors.py)."""

    def __init__(self, socket, seed):
        program = Path(__file__).with_name("visitors.py")
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-B", program, socket, str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def tell(self, number):
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()

    def wait(self):
        if self._process.stdout.readline() != "done\n":
            raise AssertionError("the visitors failed")

    def finish(self):
        """How many of each kind there were, and of each status."""
        return json.loads(self._process.communicate()[0])

    def kill(self):
        processes.kill(self._process)


class Soak:
    def __init__(self, where, rounds, seed, cleanup):
        self.rows = [HEADINGS]
        self.footprints = []
        self._rounds = rounds
        self._random = random.Random(seed)
        self._done = [0, 0, 0]
        self._value = FIRST
        self._began = time.monotonic()
        consul = Consul(where / "consul").start()
        cleanup.callback(consul.kill)
        self.pod = Pod(where / "pods", RealKv(consul), "soak", TIMEOUTS)
        cleanup.callback(self.pod.end)
        self.pod.start(FIRST)
        self._followers = [follower(self.pod.sidecar.socket) for follower in (LongPoller, StreamReader)]
        for follower in self._followers:
            cleanup.callback(follower.finish)
        self.visitors = Visitors(self.pod.sidecar.socket, seed)
        cleanup.callback(self.visitors.kill)
        self.observer = EnvFileObserver(self.pod.sidecar.env_file, every=0.005)

    def run(self):
        warm = next(number for number, _ in enumerate(self._rounds, 1) if self._changes_by(number) >= WARM)
        checkpoints = {warm} | {len(self._rounds) * number // CHECKPOINTS for number in range(1, CHECKPOINTS + 1)}
        for number, (changes, connections, has_fault) in enumerate(self._rounds, 1):
            self.visitors.tell(connections)
            if has_fault:
                self._let_a_fault_happen()
            for _ in range(changes // BY_ONE_PUT - has_fault):
                self._change()
            self.visitors.wait()
            self._done = [sum(column) for column in zip(self._done, (changes, has_fault, connections))]
            if number in checkpoints and number >= warm:
                self._measure()

    def _changes_by(self, number):
        return sum(changes for changes, _, _ in self._rounds[:number])

    def _change(self):
        self._value += 1
        self.pod.put(self._value)
        newest = env_text(A=self._value, B=self._value, S=self._value)
        eventually(newest, lambda: self.pod.sidecar.env_text() == newest, WITHIN, every=0.001)

    def _let_a_fault_happen(self):
        self._value += 1
        self.pod.live_through(self._random.choice(FAULTS), self._value)

    def _measure(self):
        """With nobody there but the two who follow from the beginning to the end."""
        self.visitors.tell(0)
        self.visitors.wait()
        sidecar = self.pod.sidecar
        sidecar.wait_metric(len(self._followers), "control_clients", within=WITHIN)
        self._check_channels()
        asked = sum(self.pod.consul.counts.values())
        eventually("quiet", lambda: sum(self.pod.consul.counts.values()) >= asked + QUIET_REQUESTS, WITHIN)
        eventually("both groups wait", self.pod.at_rest, WITHIN)
        files = footprint.open_files(sidecar)
        memory = self._settled_memory()
        threads = footprint.threads(sidecar.pid)
        self.footprints.append({"files": files, "memory": memory, "threads": threads})
        took = time.monotonic() - self._began
        row = (f"{took:.0f} s", *(f"{done}" for done in self._done), f"{memory >> 10} KiB", str(files), str(threads))
        print("  ".join(row), flush=True)
        self.rows.append(row)

    def _settled_memory(self):
        """What it keeps: the least that was seen within the time in which it gives back what is free."""
        until = time.monotonic() + SETTLE_SECONDS
        least = footprint.anonymous_bytes(self.pod.sidecar.pid)
        while time.monotonic() < until:
            time.sleep(0.25)
            least = min(least, footprint.anonymous_bytes(self.pod.sidecar.pid))
        return least

    def _check_channels(self):
        sidecar = self.pod.sidecar
        self.pod.wait(self._value)
        for name in "ABS":
            for follower in self._followers:
                follower.wait_for(name, self._value)
            shown = {sidecar.dial(name)["value"], sidecar.get(f"/v1/values/{name}").text}
            if shown != {str(self._value)}:
                raise AssertionError(f"{name} is {shown} instead of {self._value}")

    def check_shown(self):
        """Never blank, torn, older or invented; returns how many texts of the env file were seen."""
        shown = self.observer.finish()
        for values in check_growing(shown):
            if min(values) < FIRST or max(values) > self._value:
                raise AssertionError(f"{values} was shown, but {FIRST} to {self._value} was put")
        return len(shown)

    def check_followers(self):
        for follower in self._followers:
            if follower.cuts or follower.versions != sorted(set(follower.versions)):
                name = type(follower).__name__
                raise AssertionError(f"{name}: cut off {follower.cuts} times, last {follower.failure}")


def spread(total, rounds):
    """`total` in so many parts, as even as can be."""
    return [total * (number + 1) // rounds - total * number // rounds for number in range(rounds)]


def plan(chosen):
    """What happens in each round: changes, connections, and at most one fault."""
    rounds = max(chosen.faults, CHECKPOINTS)
    puts = spread(chosen.changes // BY_ONE_PUT, rounds)
    faults = spread(chosen.faults, rounds)
    return [(put * BY_ONE_PUT, *more) for put, *more in zip(puts, spread(chosen.connections, rounds), faults)]


def verdict(footprints):
    """What is wrong with the last footprint, compared with the first."""
    first, last = footprints[0], footprints[-1]
    wrong = []
    if last["memory"] > first["memory"] * (1 + MOST_GROWTH):
        wrong.append(f"memory grew by {100 * (last['memory'] / first['memory'] - 1):.1f} %, 10 % are allowed")
    if last["files"] != first["files"]:
        wrong.append(f"{last['files']} open files instead of {first['files']}")
    if last["threads"] != 1:
        wrong.append(f"{last['threads']} threads")
    return wrong


def main():
    arguments = argparse.ArgumentParser(prog="script/drill soak")
    for name, number in (("changes", 50_000), ("faults", 500), ("connections", 20_000)):
        arguments.add_argument(f"--{name}", type=int, default=number)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    chosen = arguments.parse_args()
    if chosen.changes < 2 * WARM:
        arguments.error(f"--changes: at least {2 * WARM}: the first {WARM} are what the rest is held against")
    print(f"soak: {chosen.changes} changes, {chosen.faults} faults, {chosen.connections} connections, "
          f"seed {chosen.seed}", flush=True)  # fmt: skip
    with contextlib.ExitStack() as cleanup:
        where = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="envdial-soak-")))
        soak = Soak(where, plan(chosen), chosen.seed, cleanup)
        soak.run()
        shown = soak.check_shown()
        soak.check_followers()
        visits = soak.visitors.finish()
        print()
        report.print_table(soak.rows)
        report.print_conditions(
            f"seed {chosen.seed}; {shown} texts of the env file seen; visitors: {visits}",
            "memory by smaps_rollup where it may be read (else RssAnon of status), with two clients and no others",
        )
        wrong = verdict(soak.footprints)
    print()
    sys.exit("soak: " + "; ".join(wrong) if wrong else None)


main()
