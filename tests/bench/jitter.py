# SPDX-License-Identifier: Apache-2.0
"""What `script/bench jitter` does. Needs ENVDIAL_BINARY, ENVDIAL_CONSUL, and jitter in build/bench."""

import argparse
import json
import statistics
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measures, subjects  # noqa: E402  (found only now)
from support.report import print_conditions, print_table  # noqa: E402

MOST_ADDED_MS = 0.3  # at the 99.9th percentile
JUDGED = ("gap_99", "gap_999")
PAUSE = 0.1  # seconds between two changes
FIGURES = {
    "gap_99": "gaps, 99th percentile",
    "gap_999": "gaps, 99.9th percentile",
    "window_99": "largest gap in each ms, 99th percentile",
    "window_999": "largest gap in each ms, 99.9th percentile",
}


class Changes(threading.Thread):
    """Puts a new value every PAUSE seconds, whether somebody follows or not."""

    def __init__(self, consul, key):
        super().__init__(daemon=True)
        self._consul = consul
        self._key = key
        self._ended = threading.Event()
        self.start()

    def run(self):
        value = 5000
        while not self._ended.wait(PAUSE):
            value += 1
            self._consul.agent.put(self._key, value)

    def end(self):
        self._ended.set()
        self.join(10)


def look(subject, seconds):
    command = [measures.PROGRAMS / "jitter", subject.directory, "BENCH", seconds]
    return json.loads(subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True).stdout)


def rounds(place, consul, count, seconds):
    """(changes?, sidecar?): what the app saw in each round. The four take turns."""
    subject = subjects.Envdial(place, consul.source(1))
    consul.fill(subject)
    subject.start().kill()  # so that there is a file to read while no sidecar runs
    found = {(changing, beside): [] for changing in (False, True) for beside in (False, True)}
    for _ in range(count):
        for (changing, beside), seen in found.items():
            changes = Changes(consul, subject.keys[0]) if changing else None
            try:
                if beside:
                    subject.start()
                seen.append(look(subject, seconds))
            finally:
                subject.kill()
                if changes:
                    changes.end()
    return found


def main():
    parser = argparse.ArgumentParser(prog="script/bench jitter")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    print(f"jitter: {chosen.rounds} rounds of four times {chosen.seconds:g} s", file=sys.stderr, flush=True)
    with measures.scratch() as place:
        consul = measures.TestConsul(place)
        try:
            found = rounds(place, consul, chosen.rounds, chosen.seconds)
        finally:
            consul.agent.kill()
    rows = [("median of the rounds", "values", "without", "with envdial", "added", "noise", "")]
    held = True
    for figure, name in FIGURES.items():
        for changing in (False, True):
            without, beside = ([each[figure] / 1e6 for each in found[changing, with_it]] for with_it in (False, True))
            added = statistics.median(beside) - statistics.median(without)
            low, _, high = statistics.quantiles(without, n=4)
            noise = high - low
            ok = added < MOST_ADDED_MS if changing else added <= max(noise, 1e-5)
            held = held and (ok or figure not in JUDGED)
            medians = [f"{statistics.median(each):.5f} ms" for each in (without, beside)]
            verdict = ("ok" if ok else "NOT") if figure in JUDGED else ""
            values = "change" if changing else "stay"
            rows.append((name, values, *medians, f"{added:+.5f} ms", f"{noise:.5f} ms", verdict))
    print_table(rows)
    print_conditions(
        f"envdial: {subjects.described(subjects.Envdial)}",
        "the app reads the dial and the clock in a loop, on any processor; values change every 100 ms or not at all,",
        f"by a PUT to Consul in both columns; {chosen.rounds} rounds of {chosen.seconds:g} s each, in turns",
        "noise: between the quartiles of the rounds without envdial. ok: less than 0.3 ms added while values change, and",
        "no more than the noise (or 10 ns, in which gaps are counted) while they stay",
    )
    return 1 if chosen.check and not held else 0


sys.exit(main())
