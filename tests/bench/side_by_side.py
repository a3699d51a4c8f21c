# SPDX-License-Identifier: Apache-2.0
"""What `script/bench` does without a mode. Needs ENVDIAL_BINARY, ENVDIAL_CONSUL, and floor, propagation and first_value
in build/bench; ENVDIAL_CONSUL_TEMPLATE and ENVDIAL_IMAGE_BYTES where they are to be had."""

import argparse
import contextlib
import json
import os
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests"))

from bench import measures, subjects  # noqa: E402  (found only now)
from support.report import print_conditions, print_table  # noqa: E402

MB = 1_000_000
NOT_ASKED = "-"
# Where the file is that is replaced. consul-template syncs it before that, which costs nothing in memory.
ON_DISK, IN_MEMORY = "on a disk", "in memory"


def ms(value):
    return f"{value:.2f} ms"


def kilobytes(value):
    return f"{value / 1000:,.0f} kB"


def count(value):
    return f"{value:,.1f}"


class Results:
    """By measure and subject: a number. How it is shown is told with it."""

    def __init__(self):
        self.rows = {}  # measure: (how to show it, {subject: number})

    def note(self, measure, show, **found):
        self.rows.setdefault(measure, (show, {}))[1].update(found)

    def __call__(self, measure, subject="envdial"):
        return self.rows[measure][1].get(subject)

    def table(self, names, missing):
        rows = [("measure", *names)]
        for measure, (show, found) in self.rows.items():
            absent = {name: "not available" if name in missing else NOT_ASKED for name in names}
            rows.append((measure, *(show(found[name]) if name in found else absent[name] for name in names)))
        return rows

    def as_json(self):
        found = {measure: numbers for measure, (_, numbers) in self.rows.items()}
        return {what: {name: round(value, 4) for name, value in numbers.items()} for what, numbers in found.items()}


def note_times(results, what, samples, worst=False):
    for name, found in samples.items():
        results.note(f"{what}, median", ms, **{name: measures.median(found)})
        if worst:
            results.note(f"{what}, 99th percentile", ms, **{name: measures.percentile(found, 99)})
            results.note(f"{what}, worst", ms, **{name: max(found)})


def note_memory(results, place, consul, kinds, seconds):
    for scheme, source in (("http", consul.source(1)), ("https", consul.https())):
        for kind in kinds:
            if scheme == "https" and not kind.speaks_tls:
                continue
            for part, size in measures.memory(place, consul, kind, source, seconds).items():
                results.note(f"{part} memory, {scheme}", kilobytes, **{kind.name: size})
    for kind in kinds:
        size = measures.three_instances(place, consul, kind, seconds)
        results.note("proportional memory of each of three, http", kilobytes, **{kind.name: size})


def note_idle(results, place, consul, kinds, seconds):
    for name, found in measures.idle(place, consul, kinds, seconds).items():
        results.note("processor time in an idle minute", ms, **{name: found["processor_ms"]})
        results.note("requests in an idle minute", count, **{name: found["requests"]})
        results.note("threads", lambda value: f"{value:.0f}", **{name: found["threads"]})
    if os.geteuid() != 0:
        return
    for name, found in measures.system_calls(place, consul, kinds, seconds).items():
        results.note("system calls in an idle minute", count, **{name: found["idle_minute"]})
        results.note("system calls of a change", count, **{name: found["change"]})


def note_sizes(results, kinds):
    for kind in kinds:
        size = kind.program().stat().st_size
        results.note("size of the program", kilobytes, **{kind.name: size})
    if os.environ.get("ENVDIAL_IMAGE_BYTES"):
        results.note("size of the image", kilobytes, envdial=int(os.environ["ENVDIAL_IMAGE_BYTES"]))


def requirements(results):
    """What must hold, what was seen, and the most that it may be."""
    peer, floor = "consul-template", "floor"
    start = "exec to first value"
    found = []

    def at_most(what, seen, most, show):
        if seen is not None:
            found.append((what, show(seen), f"<= {show(most)}", seen <= most))

    def share(what, measure, of, most):
        other = results(measure, of) if measure in results.rows else None
        if other:
            at_most(f"{what}, of {of}'s", results(measure) / other, most, lambda value: f"{value:.3f}")

    for where in (ON_DISK, IN_MEMORY):
        change = f"PUT to file replaced {where}"
        share(f"propagation {where}, median", f"{change}, median", floor, 1.3)
        share(f"propagation {where}, median", f"{change}, median", peer, 0.6)
        share(f"propagation {where}, 99th percentile", f"{change}, 99th percentile", peer, 1.0)
    share("first value, median", f"{start}, median", floor, 3.0)
    share("first value, median", f"{start}, median", peer, 1.0)
    at_most("first value, median", results(f"{start}, median"), 8.0, ms)
    for scheme, anonymous, resident in (("http", 0.6, 3.6), ("https", 1.0, 5.2)):
        at_most(f"anonymous, {scheme}", results(f"anonymous memory, {scheme}"), anonymous * MB, kilobytes)
        at_most(f"resident, {scheme}", results(f"resident memory, {scheme}"), resident * MB, kilobytes)
        share(f"anonymous, {scheme}", f"anonymous memory, {scheme}", peer, 0.1)
        share(f"resident, {scheme}", f"resident memory, {scheme}", peer, 0.2)
    at_most("each of three, proportional", results("proportional memory of each of three, http"), 1.0 * MB, kilobytes)
    at_most("idle, processor time a minute", results("processor time in an idle minute"), 20.0, ms)
    at_most("threads", results("threads"), 1, lambda value: f"{value:.0f}")
    if "size of the image" in results.rows:
        at_most("image", results("size of the image"), 5.0 * MB, kilobytes)
    return found


def measure(kinds, chosen):
    results = Results()
    say = lambda what: print(f"bench: {what}", file=sys.stderr, flush=True)  # noqa: E731
    with measures.scratch() as place:
        consul = measures.TestConsul(place)
        try:
            for where, at in ((ON_DISK, place.all_on_disk()), (IN_MEMORY, place)):
                say(f"{chosen.changes} changes of each, files {where}, in turns of {measures.BLOCK}")
                changes = measures.propagation(at, consul, kinds, chosen.changes)
                note_times(results, f"PUT to file replaced {where}", changes, worst=True)
            say(f"{chosen.starts} starts of each, in turns")
            note_times(results, "exec to first value", measures.first_value(place, consul, kinds, chosen.starts))
            say("memory after a cold start, by http and https, and of three at once")
            note_memory(results, place, consul, kinds, 10)
            say(f"idle for {chosen.seconds} s, then the same under strace")
            note_idle(results, place, consul, kinds, chosen.seconds)
            note_sizes(results, kinds)
        finally:
            consul.agent.kill()
        places = [measures.filesystem_of(path) for path in (place.memory, place.disk)]
    return results, "files on {} where not told otherwise, state and programs on {}".format(*places)


def report(results, kinds, missing, places):
    print_table(results.table([kind.name for kind in kinds] + list(missing), missing))
    held = requirements(results)
    print()
    print_table([("what must hold", "seen", "required", ""), *((*row[:3], "ok" if row[3] else "NOT") for row in held)])
    print_conditions(
        *(f"{kind.name}: {subjects.described(kind)}" for kind in kinds if kind is not subjects.Floor),
        places,
        "each subject follows a key of its own; wait: floor and envdial 2.5 s, consul-template its default of 60 s",
        f"memory: smaps_rollup and VmHWM after a start with a cold page cache, {measures.CHANGES} changes and some",
        "idle polls",
        "processor time: schedstat of all threads; system calls: strace -f -c",
        *(f"not available: {name}: {why}" for name, why in missing.items()),
        *([] if os.environ.get("ENVDIAL_IMAGE_BYTES") else ["not available: size of the image: it was not built"]),
        *([] if os.geteuid() == 0 else ["not available: system calls: strace needs root here"]),
    )
    return all(row[3] for row in held)


def main():
    parser = argparse.ArgumentParser(prog="script/bench")
    parser.add_argument("--changes", type=int, default=500)
    parser.add_argument("--starts", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    kinds, missing = subjects.available()
    began = time.strftime("%Y-%m-%d")
    results, places = measure(kinds, chosen)
    with contextlib.redirect_stdout(sys.stderr if chosen.json else sys.stdout):
        holds = report(results, kinds, missing, places)
    file = TOP / "build/bench/side-by-side.json"
    text = json.dumps({"date": began, "not_available": missing, "results": results.as_json()}, indent=2)
    file.write_text(text + "\n")
    print(text if chosen.json else f"\n  As JSON: {file.relative_to(TOP)}")
    if chosen.check and not holds:
        sys.exit("bench: not all of what must hold does")


main()
