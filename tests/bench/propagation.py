# SPDX-License-Identifier: Apache-2.0
"""What `script/bench propagation` does. Needs ENVDIAL_BINARY and ENVDIAL_CONSUL; floor, propagation in build/bench."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measures, subjects  # noqa: E402  (found only now)
from support.report import print_conditions, print_table  # noqa: E402

MOST_RATIO = 1.5


def main():
    parser = argparse.ArgumentParser(prog="script/bench propagation")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    print(f"propagation: {chosen.samples} PUTs for each, in turns of {measures.BLOCK}", flush=True)
    with measures.scratch() as place:
        consul = measures.TestConsul(place)
        try:
            found = measures.propagation(place, consul, [subjects.Floor, subjects.Envdial], chosen.samples)
        finally:
            consul.agent.kill()
        places = [measures.filesystem_of(path) for path in (place.memory, place.disk)]
    rows = [("PUT to file replaced", "median", "99th percentile", "least", "most", "samples")]
    for name, samples in found.items():
        figures = (measures.median(samples), measures.percentile(samples, 99), min(samples), max(samples))
        rows.append((name, *(f"{figure:.2f} ms" for figure in figures), str(len(samples))))
    print()
    print_table(rows)
    ratio = measures.median(found["envdial"]) / measures.median(found["floor"])
    verdict = "below" if ratio < MOST_RATIO else "NOT below"
    print(f"\n  envdial's median is {ratio:.2f} times the floor's: {verdict} {MOST_RATIO}")
    print_conditions(
        "both subjects' files on {}, envdial's state directory on {}".format(*places),
        "each subject long-polls a key of its own through an address of its own (wait 2500ms); both run all the time",
        f"PUTs by one kept connection, in turns of {measures.BLOCK}, each while both polls were open and quiet for 20 ms",
        "the file's replacement is seen by inotify (IN_MOVED_TO); CLOCK_MONOTONIC, begun before the PUT is sent",
    )
    return 1 if chosen.check and ratio >= MOST_RATIO else 0


sys.exit(main())
