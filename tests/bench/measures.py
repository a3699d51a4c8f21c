# SPDX-License-Identifier: Apache-2.0
"""What is measured of the subjects. Each measure is taken of all of them in one run."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median  # noqa: F401  (of what is measured here)

from bench.subjects import Place, Source
from support import footprint, processes
from support.certificates import Authority
from support.gate import Gate
from support.real_consul import Consul
from support.waiting import eventually

PROGRAMS = Path(__file__).resolve().parents[2] / "build/bench"
CHANGES = 100  # before memory is looked at
BLOCK = 20  # PUTs to one subject before it is the next one's turn
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")  # each subject asks by one of its own
TLS = """
ports {{ https = {port} }}
tls {{ defaults {{ ca_file = "{ca}"  cert_file = "{certificate}"  key_file = "{key}" }} }}
"""


def filesystem_of(path):
    """The type of the file system that holds `path`, as mount names it."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    holding = [(len(point), kind) for point, kind in mounts if os.path.commonpath([point, path]) == point]
    return max(holding)[1]


def memory_directory():
    """A directory on a tmpfs that we may write to, else the usual one for temporary files."""
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):
        if candidate and os.access(candidate, os.W_OK) and filesystem_of(candidate) == "tmpfs":
            return candidate
    return None


@contextlib.contextmanager
def scratch():
    """A place for the subjects, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="envdial-bench-", dir="/var/tmp") as disk:
        with tempfile.TemporaryDirectory(prefix="envdial-bench-", dir=memory_directory()) as memory:
            yield Place(Path(disk), Path(memory))


def percentile(samples, share):
    """The smallest sample that at least `share` percent of all are not above."""
    return sorted(samples)[max(0, -int(-len(samples) * share // 100) - 1)]


class TestConsul:
    """A development agent that also speaks TLS. Subjects reach it by addresses of their own, or through a gate."""

    def __init__(self, place, config=""):
        authority = Authority(place.disk / "authority")
        pair = authority.server()
        self._https = processes.free_port()
        self._ca = authority.certificate
        config += TLS.format(port=self._https, ca=self._ca, certificate=pair.certificate, key=pair.key)
        self.agent = Consul(place.disk / "consul", hosts=HOSTS, config=config).start()

    def source(self, number):
        return Source(HOSTS[number], self.agent.port)

    def https(self):
        return Source("127.0.0.1", self._https, self._ca)

    def fill(self, subject, value=1000):
        for key in subject.keys:
            self.agent.put(key, value)


@contextlib.contextmanager
def running(consul, subjects):
    """Puts a first value for each, starts them, and ends them."""
    try:
        for subject in subjects:
            consul.fill(subject)
            subject.start()
        yield subjects
    finally:
        for subject in subjects:
            subject.kill()


def propagation(place, consul, kinds, samples):
    """By name: milliseconds from the PUT to the replaced file. PUTs take turns; propagation.c tells how."""
    subjects = [kind(place, consul.source(1 + number)) for number, kind in enumerate(kinds)]
    with running(consul, subjects):
        command = [PROGRAMS / "propagation", consul.agent.port, samples, BLOCK]
        for subject in subjects:
            address, key = subject.source.host, subject.keys[0]
            command.append(f"{subject.name},{address},{key},{subject.directory},{subject.file.name}")
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit("propagation failed:\n" + "\n".join(f"{each.name}: {each.log()}" for each in subjects))
        found = json.loads(done.stdout)
        # The last PUT went to the last subject.
        eventually("the last value is there", lambda: f"'{found['last_value']}'" in subjects[-1].file.read_text())
    return {each["name"]: each["samples_ms"] for each in found["subjects"]}


def first_value(place, consul, kinds, starts):
    """By name: milliseconds from exec to the first file, with empty directories each time."""
    samples = {kind.name: [] for kind in kinds}
    for _ in range(starts):
        for number, kind in enumerate(kinds):
            subject = kind(place, consul.source(1 + number))
            if not samples[kind.name]:
                consul.fill(subject)
            command = [PROGRAMS / "first_value", subject.directory, subject.file.name, *subject.command()]
            done = subprocess.run(
                list(map(str, command)), env=subject.environment(), stdout=subprocess.PIPE, text=True, check=True
            )
            samples[kind.name].append(float(done.stdout))
    return samples


def cold_copy(program, folder):
    """A copy that nobody has in memory, as on a fresh node."""
    copy = folder / "program"
    shutil.copy(program, copy)
    with open(copy, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    fincore = ["fincore", "--bytes", "--noheadings", "--output", "RES", copy]
    kept = subprocess.run(fincore, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    if kept != "0":
        raise AssertionError(f"{copy} is still in memory: {kept} bytes")
    return copy


def memory_of(pid):
    """In bytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    wanted = {"resident": ("Rss", rollup), "anonymous": ("Anonymous", rollup), "proportional": ("Pss", rollup),
              "peak": ("VmHWM", status)}  # fmt: skip
    return {name: int(re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)[1]) << 10
            for name, (field, text) in wanted.items()}  # fmt: skip


def memory(place, consul, kind, source, seconds):
    """After a cold start, CHANGES changes and some idle polls."""
    subject = kind(place, source)
    subject.binary = cold_copy(subject.binary, subject.place.disk)
    with running(consul, [subject]):
        for value in range(CHANGES):
            consul.agent.put(subject.keys[0], 2000 + value)
            time.sleep(0.02)
        time.sleep(seconds)
        return memory_of(subject.pid)


def three_instances(place, consul, kind, seconds):
    """The mean proportional memory of three: what one more costs on a node."""
    subjects = [kind(place, consul.source(1), instance=f"-{number}") for number in range(3)]
    copy = cold_copy(kind.program(), subjects[0].place.disk)
    for subject in subjects:
        subject.binary = copy
    with running(consul, subjects):
        time.sleep(seconds)
        return sum(memory_of(subject.pid)["proportional"] for subject in subjects) / 3


def processor_seconds(pid):
    """What all its threads have run so far, by the scheduler's own nanoseconds."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


@contextlib.contextmanager
def gated(place, consul, kinds):
    """All of them at once, each behind a gate that counts its requests."""
    gates = [Gate(consul.agent.port, processes.free_port()).open() for _ in kinds]
    subjects = [kind(place, Source("127.0.0.1", gate.port)) for kind, gate in zip(kinds, gates)]
    try:
        with running(consul, subjects):
            yield list(zip(subjects, gates))
    finally:
        for gate in gates:
            gate.shut()


def idle(place, consul, kinds, seconds):
    """By name: processor milliseconds and requests a minute, and threads."""
    with gated(place, consul, kinds) as pairs:
        time.sleep(5)  # what still comes of a start
        began = {each.name: (time.monotonic(), processor_seconds(each.pid), gate.requests) for each, gate in pairs}
        time.sleep(seconds)
        found = {}
        for each, gate in pairs:
            at, ran, requests = began[each.name]
            minutes = (time.monotonic() - at) / 60
            found[each.name] = {
                "processor_ms": (processor_seconds(each.pid) - ran) * 1e3 / minutes,
                "requests": (gate.requests - requests) / minutes,
                "threads": footprint.threads(each.pid),
            }
    return found


class Strace:
    """Counts the system calls of a process that runs already."""

    def __init__(self, pid, output):
        self._output = output
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "strace", "-f", "-c", "-U", "calls,name", "-o", output, "-p",
             str(pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = self._process.stderr.readline()
        if "attached" not in line:
            raise AssertionError(f"strace: {line}")

    def end(self):
        """How many there were, by name."""
        self._process.send_signal(signal.SIGINT)
        self._process.communicate()
        lines = re.findall(r"^ +(\d+) +(\w+)$", self._output.read_text(), re.MULTILINE)
        return {name: int(calls) for calls, name in lines if name != "total"}


def system_calls(place, consul, kinds, seconds, changes=20):
    """By name: system calls in an idle minute, and of each of some changes."""
    with gated(place, consul, kinds) as pairs:
        time.sleep(5)
        traces = {each.name: Strace(each.pid, each.place.disk / "idle.strace") for each, _ in pairs}
        time.sleep(seconds)
        found = {name: {"idle_minute": sum(trace.end().values()) * 60 / seconds} for name, trace in traces.items()}
        for each, _ in pairs:
            began, trace = time.monotonic(), Strace(each.pid, each.place.disk / "changes.strace")
            for value in range(changes):
                before = os.stat(each.file).st_ino
                consul.agent.put(each.keys[0], 3000 + value)
                eventually("the file is replaced", lambda: os.stat(each.file).st_ino != before)
                time.sleep(0.1)  # what it still does after a change
            calls, took = sum(trace.end().values()), time.monotonic() - began
            found[each.name]["change"] = (calls - found[each.name]["idle_minute"] * took / 60) / changes
    return found
