# SPDX-License-Identifier: Apache-2.0
"""What `script/drill arm64` does. Needs ENVDIAL_ARM64, ENVDIAL_CONSUL, ENVDIAL_OLD_CONSUL; build/arm64 is configured."""

import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests/drill")]

import arm64_world  # noqa: E402  (found only now)
from arm64_limits import CANNOT, LEFT_OUT  # noqa: E402
from support import report  # noqa: E402

BUILD = TOP / "build/arm64"
AT_ONCE = 2  # as many as script/test
ALONE = ("tests/e2e/test_hostile_neighbours.py", "tests/e2e/test_lying_networks.py")  # as their CMakeLists.txt says

ROOMS = {name: f"tests/{name}/{name}_tests" for name in ("base", "guard", "consul", "fallback", "inject", "sidecar")}
ROOMS["preload"] = "tests/clients/preload/preload_tests"
CORPORA, SIMULATION, END_TO_END = "corpora", "simulation", "end-to-end"
INPUTS = TOP / "tests/fuzz/corpus"
SEEDS = 25  # as many as script/test takes
PROGRAMS = {
    "ENVDIAL_BINARY": ("envdial", "envdial"),
    "ENVDIAL_GETENV_APP": ("getenv_app", "tests/clients/preload/getenv_app"),
    "ENVDIAL_GETENV_LIBRARY": ("envdial_getenv", "libenvdial-getenv.so"),
    "ENVDIAL_KEEP_CAPABILITIES": ("keep_capabilities", "tests/libkeep_capabilities.so"),
    "ENVDIAL_SHIFT_CLOCK": ("shift_clock", "tests/libshift_clock.so"),
    "ENVDIAL_SHORT_WRITE": ("short_write", "tests/libshort_write.so"),
    "ENVDIAL_SLOW_SYNC": ("slow_sync", "tests/libslow_sync.so"),
}

# What came of one room or file: how many tests ran, which of them failed, what was said.
Outcome = namedtuple("Outcome", "ran failed said")


def call(*command):
    return subprocess.run(command, cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")


def run_room(room):
    with tempfile.TemporaryDirectory(prefix="envdial-") as where:
        told = Path(where, "told.json")
        done = call(BUILD / ROOMS[room], "--gtest_brief=1", f"--gtest_output=json:{told}")
        said = done.stdout + done.stderr
        if not told.exists():
            return Outcome(0, {f"it ended with {done.returncode}"}, said)
        tests = [test for suite in json.loads(told.read_text())["testsuites"] for test in suite["testsuite"]]
    return Outcome(len(tests), {f"{test['classname']}.{test['name']}" for test in tests if "failures" in test}, said)


def run_file(file):
    done = call("/usr/bin/python3", "-B", "tests/support/runner.py", file)
    said = done.stdout + done.stderr
    ran = re.search(r"^Ran (\d+) test", said, re.MULTILINE)
    failed = {
        ".".join(test.split(".")[-2:])
        for test in re.findall(r"^(?:FAIL|ERROR): \w+ \(([\w.]+)\)", said, re.MULTILINE)
    }
    if done.returncode != 0 and not failed:
        failed = {f"it ended with {done.returncode}"}
    return Outcome(int(ran[1]) if ran else 0, failed, said)


def run_corpora():
    """What replays an input ends at the first that breaks a promise, and has named it."""
    ran, failed, said = 0, set(), ""
    for folder in sorted(INPUTS.iterdir()):
        done = call(BUILD / f"tests/fuzz/{folder.name}_replay", folder)
        ran += len(done.stderr.splitlines())
        if done.returncode != 0 or not done.stderr:
            failed.add(folder.name)
            said += f"{folder.name} ended with {done.returncode}: {done.stderr[-1000:]}"
    return Outcome(ran, failed, said)


def run_simulation():
    """A seed tells a whole run, whatever the processor: it has to be step by step the one that it is here."""
    runs = [call(TOP / f"build/{build}/tests/simulation/simulate", str(SEEDS), "1") for build in ("arm64", "dev")]
    texts = [re.sub(r" in \S+ s of processor time.*", "", done.stdout) for done in runs]
    failed = {f"it ended with {runs[0].returncode}"} if runs[0].returncode != 0 else set()
    if texts[0] != texts[1]:
        failed.add("another run than here")
    return Outcome(SEEDS, failed, "\n".join(difflib.unified_diff(*map(str.splitlines, texts), "arm64", "here")))


def run(part):
    began = time.monotonic()
    if part in ROOMS:
        outcome = run_room(part)
    else:
        outcome = {CORPORA: run_corpora, SIMULATION: run_simulation}.get(part, lambda: run_file(part))()
    seconds = time.monotonic() - began
    listed = set(CANNOT.get(part, {}))
    wrong = [f"{test} failed" for test in sorted(outcome.failed - listed)]
    wrong += [f"{test} is listed as what the emulator can't, and passed" for test in sorted(listed - outcome.failed)]
    if not outcome.ran:
        wrong.append("no test was run")
    print(f"arm64: {part}: {'; '.join(wrong) if wrong else 'as it must be'} ({seconds:.0f} s)", flush=True)
    if wrong:
        print(outcome.said[-8000:], flush=True)
    cannot = len(outcome.failed & listed)
    failed = len(outcome.failed) - cannot
    row = (part, str(max(0, outcome.ran - failed - cannot)), str(failed), str(cannot), f"{seconds:.0f}")
    return row, [f"{part}: {what}" for what in wrong]


def files():
    found = [f"tests/{folder}/{file.name}" for folder in ("e2e", "promises", "contract") for file in
             sorted((TOP / "tests" / folder).glob("test_*.py"))]  # fmt: skip
    unknown = (set(LEFT_OUT) | set(CANNOT)) - set(found) - set(ROOMS)
    if unknown:
        sys.exit(f"arm64: tests/drill/arm64_limits.py names what is not there: {', '.join(sorted(unknown))}")
    return [file for file in found if file not in LEFT_OUT]


def make(*targets, preset="arm64"):
    subprocess.run(["cmake", "--build", "--preset", preset, "--target", *targets], cwd=TOP, check=True)


def build(parts):
    targets = [f"{part}_tests" for part in parts if part in ROOMS]
    if any(part in (END_TO_END, *files()) for part in parts):
        targets += [target for target, _ in PROGRAMS.values()]
    if CORPORA in parts:
        targets.append("fuzz_targets")
    if SIMULATION in parts:
        targets.append("simulate")
        make("simulate", preset="dev")
    make(*targets)  # here, since ninja asks each of the tests what is in it when it has linked it


def show_limits(parts, left_out):
    limits = [f"{part}: {test}: {why}" for part in parts for test, why in CANNOT.get(part, {}).items()]
    if limits or left_out:
        print("\nWhat the emulator can't:")
    for limit in limits:
        print(f"  {limit}")
    for file in left_out:
        tests = len(re.findall(r"^    def test_", (TOP / file).read_text(), re.MULTILINE))
        print(f"  {file}: not run, {tests} tests: {LEFT_OUT[file]}")


def main():
    there = [*ROOMS, CORPORA, SIMULATION, END_TO_END]
    parts = sys.argv[1:] or there
    if unknown := set(parts) - set(there) - set(files()):
        sys.exit(f"arm64: there is no {', '.join(sorted(unknown))}; there are {', '.join(there)}")
    make("arm64_libaio")
    arm64_world.enter(BUILD / "tests/drill/lib")
    build(parts)
    os.environ.update({name: str(BUILD / path) for name, (_, path) in PROGRAMS.items()})
    chosen = [part for part in parts if part != END_TO_END]
    left_out = ()
    if END_TO_END in parts:
        chosen += files()
        left_out = LEFT_OUT
    chosen.sort(key=lambda part: (part in ALONE, part != "fallback"))  # that takes longest: ten minutes
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(run, [part for part in chosen if part not in ALONE]))
    outcomes += [run(part) for part in chosen if part in ALONE]
    rows = [row for row, _ in outcomes]
    sums = [str(sum(int(row[column]) for row in rows)) for column in (1, 2, 3)]
    rows.append(("all", *sums, f"{time.monotonic() - began:.0f}"))
    report.print_table([("what", "passed", "failed", "can't", "seconds"), *rows])
    show_limits(chosen, left_out)
    wrong = [what for _, some in outcomes for what in some]
    sys.exit("arm64: " + "\narm64: ".join(wrong) if wrong else None)


main()
