# SPDX-License-Identifier: Apache-2.0
"""Counts instructions by callgrind: of a start, a change, an idle poll and a read. Repeatable also on a busy machine.

Each figure is the difference between two runs that differ in how often that happened. ENVDIAL_BINARY_DIR is a build of
the preset dev.
"""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import report  # noqa: E402  (found only now)
from support.lying_consul import LyingConsul  # noqa: E402
from support.scripted_kv import ScriptedKv  # noqa: E402
from support.sidecar import Sidecar, env_text  # noqa: E402
from support.waiting import eventually  # noqa: E402

BUDGET = Path(__file__).with_name("budget.json")
KEY, NAME = "hunt/max-concurrent", "MAX_CONCURRENT"
CHANGES, POLLS, READS = 20, 12, 100_000
MARGIN = 0.10
# Another compiler or another libcurl counts otherwise: there it shows only what grew out of all proportion.
BUDGETED_SYSTEM, MARGIN_ELSEWHERE = "debian 12", 1.0
PATIENCE = 120.0  # seconds; programs run some fifty times slower under callgrind
SHOWN, WIDTH = 25, 140  # functions, and characters of their names


def system():
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE))
    return f"{fields.get('ID')} {fields.get('VERSION_ID')}"


def callgrind(profile):
    return ("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={profile}", "--")


def total(profile):
    return int(re.search(r"^totals: (\d+)", profile.read_text(), re.MULTILINE)[1])


class Measurement:
    """Profiles of one build, in a directory of their own."""

    def __init__(self, where, build):
        self.where = where
        self.build = Path(build)
        where.mkdir()

    def sidecar(self, name, changes=0, polls=0):
        """The profile of a whole life with so many changes and idle polls, and how many polls there were."""
        os.environ["ENVDIAL_BINARY"] = str(self.build / "envdial")
        kv = ScriptedKv()
        kv.put(KEY, value=100)
        consul = LyingConsul(kv).open()
        profile = self.where / f"{name}.callgrind"
        arguments = ("--key", KEY, "--env", NAME, "--type", "int", "--timeout", "1s", "--log-level", "warn")
        pod = Sidecar(self.where / name, "--consul-addr", consul.address, *arguments, before=callgrind(profile))

        def follows(value):
            eventually(f"{value} is delivered", lambda: pod.env_text() == env_text(**{NAME: value}), PATIENCE)
            eventually("the next poll is held", lambda: consul.held[KEY] == 1, PATIENCE)

        try:
            pod.start()
            follows(100)
            for value in range(101, 101 + changes):
                kv.put(KEY, value=value)
                follows(value)
            wanted = consul.counts[KEY] + polls
            eventually(f"{polls} idle polls", lambda: consul.counts[KEY] >= wanted, PATIENCE)
            pod.terminate(PATIENCE)
        finally:
            pod.kill()
            consul.close()
        return profile, consul.counts[KEY]

    def reads(self, reads):
        profile = self.where / f"reads-{reads}.callgrind"
        run_dir = self.where / "start" / "run"
        command = [*callgrind(profile), self.build / "tests/bench/bench_count_reads", run_dir, NAME, reads]
        subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, timeout=PATIENCE, check=True)
        return profile

    def profiles(self):
        """By figure: a profile with it, one with less of it or none, and how often it happened in between."""
        start, polls = self.sidecar("start")
        changes, _ = self.sidecar("changes", changes=CHANGES)
        idle, more_polls = self.sidecar("polls", polls=POLLS)
        return {
            "start": (start, None, 1),
            "change": (changes, start, CHANGES),
            "idle poll": (idle, start, more_polls - polls),
            "read": (self.reads(READS), self.reads(1), READS - 1),
        }


def counts(profiles):
    return {
        figure: (total(more) - (total(less) if less else 0)) / times for figure, (more, less, times) in profiles.items()
    }


def by_function(profiles):
    """By figure and function: instructions."""
    found = {}
    for figure, (more, less, times) in profiles.items():
        found[figure] = collections.Counter()
        for profile, sign in ((more, 1), (less, -1)):
            for function, instructions in annotated(profile) if profile else ():
                found[figure][function] += sign * instructions / times
    return found


def annotated(profile):
    command = ["callgrind_annotate", "--threshold=100", "--show-percs=no", "--auto=no", profile]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for instructions, function in re.findall(r"^ *([\d,]+) +(.+?)(?: \[[^\]]*\])?$", text, re.MULTILINE):
        if function != "PROGRAM TOTALS":
            yield function.rpartition("/")[2], int(instructions.replace(",", ""))


def show(seen, budget):
    rows = [("instructions of a", "counted", "budget", "ratio")]
    for figure, count in seen.items():
        rows.append((figure, f"{count:,.1f}", f"{budget[figure]:,.1f}", f"{count / budget[figure]:.3f}"))
    report.print_table(rows)


def too_many(seen, budget):
    margin = MARGIN if system() == BUDGETED_SYSTEM else MARGIN_ELSEWHERE
    grown = [figure for figure, count in seen.items() if count > budget[figure] * (1 + margin)]
    if not grown:
        return None
    return (
        f"more than {margin:.0%} above tests/bench/budget.json: {', '.join(grown)}. Where it came from: script/bench "
        "instructions --against REVISION. If it is worth that: script/bench instructions --update, and say why"
    )


def compare(own, other):
    for figure, before in by_function(other).items():
        now = by_function({figure: own[figure]})[figure]
        growth = {function: now[function] - before[function] for function in now | before}
        rows = [("growth", "now", f"function, in a {figure}")]
        for function in sorted(growth, key=lambda each: -abs(growth[each]))[:SHOWN]:
            if abs(growth[function]) >= 1:
                rows.append((f"{growth[function]:+,.0f}", f"{now[function]:,.0f}", function[:WIDTH]))
        print()
        report.print_table(rows)


def main():
    arguments = argparse.ArgumentParser(prog="script/bench instructions")
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--update", action="store_true")
    arguments.add_argument("--against", metavar="BUILD")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="envdial-") as folder:
        own = Measurement(Path(folder) / "own", os.environ["ENVDIAL_BINARY_DIR"]).profiles()
        seen = counts(own)
        if chosen.update:
            BUDGET.write_text(json.dumps({figure: round(count, 1) for figure, count in seen.items()}, indent=2) + "\n")
        budget = json.loads(BUDGET.read_text())
        show(seen, budget)
        if chosen.against:
            compare(own, Measurement(Path(folder) / "other", chosen.against).profiles())
    if chosen.check and (complaint := too_many(seen, budget)):
        sys.exit(complaint)


if __name__ == "__main__":
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is missing: run script/setup")
    main()
