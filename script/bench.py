# SPDX-License-Identifier: Apache-2.0
"""What script/bench measures. Needs ENVDIAL_BINARY, ENVDIAL_CONSUL, and floor and propagation in build/bench."""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests"))

from support import processes  # noqa: E402  (found only now)
from support.gate import Gate  # noqa: E402
from support.real_consul import Consul  # noqa: E402
from support.report import print_conditions, print_table  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402
from support.waiting import eventually  # noqa: E402

FLOOR = TOP / "build/bench/floor"
PROPAGATION = TOP / "build/bench/propagation"
BLOCK = 20  # PUTs to one subject before it is the other's turn
MOST_RATIO = 1.5
STARTS = 30
KEY = "bench/envdial"
DIAL = ("--key", KEY, "--env", "BENCH", "--type", "int", "--log-level", "warn")


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


def percentile(samples, share):
    """The smallest sample that at least `share` of all are not above."""
    return sorted(samples)[max(0, -(-len(samples) * share // 100) - 1)]


def start_floor(consul, address, key, directory, log):
    directory.mkdir()
    with open(log, "ab") as output:
        return processes.start([FLOOR, address, consul.port, key, directory], output)


def propagation(where, memory, samples, check):
    consul = Consul(where / "consul", hosts=("127.0.0.1", "127.0.0.2", "127.0.0.3")).start()
    sidecar = Sidecar(where, "--consul-addr", f"127.0.0.2:{consul.port}", *DIAL, run_dir=memory / "run")
    floor = None
    try:
        for key in (KEY, "bench/floor"):
            consul.put(key, 1)
        sidecar.start_ready()
        floor = start_floor(consul, "127.0.0.3", "bench/floor", memory / "floor", where / "floor.log")
        eventually("the floor has its first file", lambda: (memory / "floor/value").exists())
        print(f"propagation: {samples} PUTs for each, in turns of {BLOCK}", flush=True)
        done = subprocess.run(
            [
                PROPAGATION, str(consul.port), str(samples), str(BLOCK),
                f"floor,127.0.0.3,bench/floor,{memory / 'floor'},value",
                f"envdial,127.0.0.2,{KEY},{sidecar.run_dir},env",
            ],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            sys.exit(f"propagation: the measurement failed; envdial's log:\n{sidecar.log()}")
        result = json.loads(done.stdout)
        sidecar.wait_env(BENCH=result["last_value"])
    finally:
        processes.kill(floor)
        sidecar.kill()
        consul.kill()
    places = f"both subjects' files on {filesystem_of(memory)}, envdial's state directory on {filesystem_of(where)}"
    return report_propagation(result["subjects"], check, places)


def report_propagation(subjects, check, places):
    rows = [("PUT to file replaced", "median", "99th percentile", "least", "most", "samples")]
    medians = {}
    for subject in subjects:
        samples = subject["samples_ms"]
        medians[subject["name"]] = statistics.median(samples)
        figures = (medians[subject["name"]], percentile(samples, 99), min(samples), max(samples))
        rows.append((subject["name"], *(f"{figure:.2f} ms" for figure in figures), str(len(samples))))
    print()
    print_table(rows)
    ratio = medians["envdial"] / medians["floor"]
    verdict = "below" if ratio < MOST_RATIO else "NOT below"
    print(f"\n  envdial's median is {ratio:.2f} times the floor's: {verdict} {MOST_RATIO}")
    print_conditions(
        places,
        "each subject long-polls a key of its own through an address of its own (wait 2500ms); both run all the time",
        f"PUTs by one kept connection, in turns of {BLOCK}, each while both long polls were open and quiet for 20 ms",
        "the file's replacement is seen by inotify (IN_MOVED_TO); CLOCK_MONOTONIC, begun before the PUT is sent",
    )
    return 1 if check and ratio >= MOST_RATIO else 0


def memory_of(pid):
    """Resident, anonymous and peak memory in KiB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    found = [re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
             for name, text in (("Rss", rollup), ("Anonymous", rollup), ("VmHWM", status))]  # fmt: skip
    return [int(match[1]) for match in found]


def processor_seconds(pid):
    """What all its threads have run so far, by the scheduler's own nanoseconds."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def requests_by_its_metrics(sidecar):
    return sum(value for _, value in sidecar.metrics().series("consul_polls_total"))


def watch_idle(where, consul, seconds):
    gate = Gate(consul.port, processes.free_port()).open()
    sidecar = Sidecar(where / "idle", "--consul-addr", gate.address, *DIAL).start_ready()
    try:
        eventually("a quiet poll", lambda: sidecar.metrics()("consul_polls_total", group=KEY, result="unchanged") >= 1)
        polls, requests = requests_by_its_metrics(sidecar), gate.requests
        began, ran = time.monotonic(), processor_seconds(sidecar.pid)
        print(f"footprint: watching it idle for {seconds} s", flush=True)
        time.sleep(seconds)
        took, used = time.monotonic() - began, processor_seconds(sidecar.pid) - ran
        requests = gate.requests - requests
        polls = requests_by_its_metrics(sidecar) - polls
        if abs(requests - polls) > 1:
            sys.exit(f"footprint: its metrics count {polls:.0f} polls, and {requests} requests went to Consul")
        resident, anonymous, peak = memory_of(sidecar.pid)
        threads = len(list(Path(f"/proc/{sidecar.pid}/task").iterdir()))
    finally:
        sidecar.kill()
        gate.shut()
    return [
        ("resident memory", f"{resident / 1024:.1f} MiB"),
        ("  of it anonymous", f"{anonymous / 1024:.1f} MiB"),
        ("peak memory", f"{peak / 1024:.1f} MiB"),
        ("threads", str(threads)),
        (f"processor time in {took:.0f} s idle", f"{used * 1e3:.1f} ms ({used / took * 100:.3f} % of a core)"),
        ("requests to Consul a minute, idle", f"{requests / took * 60:.1f}"),
    ]


def time_to_first_file(command, file, env):
    """Milliseconds from just before exec until the file is there."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=env)
    try:
        while not file.exists():
            if time.monotonic() - began > 10 or process.poll() is not None:
                sys.exit(f"footprint: no first file by {command[0]}")
            time.sleep(0.0001)
        return (time.monotonic() - began) * 1e3
    finally:
        processes.kill(process)


def time_starts(where, consul):
    print(f"footprint: {STARTS} first starts of each", flush=True)
    env = processes.clean_environment()
    ours, floors = [], []
    for _ in range(STARTS):
        sidecar = Sidecar(where / "start", "--consul-addr", consul.address, *DIAL)
        ours.append(time_to_first_file(sidecar.command(), sidecar.env_file, env))
        shutil.rmtree(where / "start")
        directory = where / "floor"
        directory.mkdir()
        command = [str(FLOOR), "127.0.0.1", str(consul.port), KEY, str(directory)]
        floors.append(time_to_first_file(command, directory / "value", env))
        shutil.rmtree(directory)
    return [
        ("exec to the first env file, median", f"{statistics.median(ours):.1f} ms"),
        ("  the floor's, measured alike", f"{statistics.median(floors):.1f} ms"),
    ]


def footprint(where, seconds):
    consul = Consul(where / "consul").start()
    try:
        consul.put(KEY, 1)
        rows = [("footprint", "envdial"), *watch_idle(where, consul, seconds), *time_starts(where, consul)]
    finally:
        consul.kill()
    print()
    print_table(rows)
    print_conditions(
        "preset release: dynamic, against the distribution's libraries, whose pages count as resident; one dial",
        "memory by smaps_rollup and VmHWM, processor time by schedstat of all threads",
        "requests by its own metrics, which were checked against a count of what went through to Consul",
        f"starts: empty run and state directories, the value in Consul, {STARTS} times, in turns with the floor",
    )
    return 0


def main():
    parser = argparse.ArgumentParser(prog="script/bench")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("propagation")
    one.add_argument("--samples", type=int, default=500)
    one.add_argument("--check", action="store_true")
    other = commands.add_parser("footprint")
    other.add_argument("--seconds", type=int, default=30)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="envdial-bench-", dir="/var/tmp") as where:
        if chosen.command == "propagation":
            # As where it is at home: the run directory in memory (/run, emptyDir), the state directory on a disk.
            with tempfile.TemporaryDirectory(prefix="envdial-bench-", dir=memory_directory()) as memory:
                return propagation(Path(where), Path(memory), chosen.samples, chosen.check)
        return footprint(Path(where), chosen.seconds)


sys.exit(main())
