# SPDX-License-Identifier: Apache-2.0
"""What `script/bench read` does. Needs a build of the preset release with envdial, envdial_getenv and read_bench."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests"))

from support import go_client, processes  # noqa: E402  (found only now)
from support.report import print_conditions, print_table  # noqa: E402

BUILD = TOP / "build/release"
READ = BUILD / "tests/bench/read_bench"
GO = TOP / "build/bench/read_go"
PRELOAD = BUILD / "libenvdial-getenv.so"
ROUNDS = 7
WRITERS = ("1,000 versions a second", "flat out")


def kinds(run_dir, names):
    """Of each kind of read: what it is called, the command that measures it, and its environment."""
    at = {"ENVDIAL_RUN_DIR": run_dir}
    by_read = [
        ("floor", "an atomic load of the same word", {}),
        ("int64", "int64 by handle", {}),
        ("floor8", "an atomic load, eight in a turn", {}),
        ("int64x8", "int64 by handle, eight in a turn", {}),
        ("double", "double by handle", {}),
        ("text", "copy of a text of 64 bytes", {}),
        ("name", "int64 by name among 256 dials: C string", {}),
        ("view", "int64 by name among 256 dials: std::string_view", {}),
        ("getenv", "plain getenv among 256 variables", {name: "1000" for name in names}),
    ]
    found = {what: (title, [READ, what, run_dir], env) for what, title, env in by_read}
    found["preload"] = ("getenv through the preload", [READ, "getenv", run_dir], at | {"LD_PRELOAD": str(PRELOAD)})
    python = [sys.executable, "-B", Path(__file__).with_name("read_python.py"), names[0]]
    found["python"] = ("Python: dial.value of an int", python, at | {"PYTHONPATH": str(TOP / "clients/python")})
    found["go"] = ("Go: Load() of an int", [GO, names[0]], at)
    return found


class Writer:
    def __init__(self, run_dir):
        self._process = subprocess.Popen(
            pinned(0, [READ, "write", run_dir]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._process.stdout.readline() != "written\n":
            raise AssertionError("the writer could not write")

    def turn(self):
        """From a thousand versions a second to flat out, and back."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self):
        processes.kill(self._process)


def pinned(cpu, command):
    """The writer has one processor, all readers another one."""
    return ["taskset", "--cpu-list", str(cpu % os.cpu_count()), *map(str, command)]


def nanoseconds(command, env):
    done = subprocess.run(pinned(1, command), env=env, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    return float(done.stdout)


def measure(run_dir):
    names = subprocess.run([READ, "names"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    samples = {}
    writer = Writer(run_dir)
    try:
        for _ in range(ROUNDS):
            for how in WRITERS:
                for what, (_, command, env) in kinds(run_dir, names).items():
                    samples.setdefault((what, how), []).append(nanoseconds(command, env))
                writer.turn()
    finally:
        writer.end()
    titles = {what: title for what, (title, _, _) in kinds(run_dir, names).items()}
    return titles, {key: statistics.median(values) for key, values in samples.items()}


def verdicts(medians):
    for how in WRITERS:
        of = {what: median for (what, writer), median in medians.items() if writer == how}
        yield f"int64 by handle is {of['int64'] / of['floor']:.2f} times the floor", of["int64"] <= 2 * of["floor"], how
        yield f"a text of 64 bytes takes {of['text']:.1f} ns of at most 15", of["text"] <= 15, how
        for what in ("view", "name"):
            share = of["getenv"] / of[what]
            yield f"plain getenv takes {share:.1f} times as long as by name ({what}), of at least 10", share >= 10, how


def main():
    parser = argparse.ArgumentParser(prog="script/bench read")
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    go_client.build(Path(__file__).with_name("read_go"), GO)
    print(f"read: {ROUNDS} rounds of each kind of read, under a writer of two kinds", flush=True)
    with tempfile.TemporaryDirectory(prefix="envdial-bench-", dir="/dev/shm") as run_dir:
        titles, medians = measure(run_dir)
    rows = [("nanoseconds of a read, while the writer writes", *WRITERS)]
    rows += [(title, *(f"{medians[what, how]:.2f}" for how in WRITERS)) for what, title in titles.items()]
    print()
    print_table(rows)
    print()
    found = list(verdicts(medians))
    for sentence, holds, how in found:
        print(f"  {'ok ' if holds else 'NOT'}  {sentence} ({how})")
    print_conditions(
        "preset release; a version changes all 256 dials; the writer has one processor, the readers another",
        f"each figure the median of {ROUNDS} processes, in turns; in each, the median of batches of 4,096 reads",
        "by name, and by getenv: all 256 names in turn; in C one read in each turn of a loop, the floor too",
    )
    return 1 if check and not all(holds for _, holds, _ in found) else 0


sys.exit(main())
