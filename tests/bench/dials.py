# SPDX-License-Identifier: Apache-2.0
"""What `script/bench dials` does. Needs what side_by_side.py needs."""

import argparse
import http.client
import os
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measures, subjects  # noqa: E402  (found only now)
from support.observing import transaction  # noqa: E402
from support.report import print_conditions, print_table  # noqa: E402
from support.waiting import eventually  # noqa: E402

COUNTS = (1, 10, 100, 1000)
OPERATIONS = 64  # that Consul takes in one transaction
SPACE = 0.7  # seconds between two changes
MOST_SHARE = 0.12  # of a core, while 1,000 dials change once a second


def of(kind, count):
    """The same subject with so many dials."""

    class Many(kind):
        def __init__(self, place, source):
            super().__init__(place, source, count)

    return Many


def put_all(connection, keys, value):
    """Changes all of them, by as few transactions as Consul allows."""
    for first in range(0, len(keys), OPERATIONS):
        connection.request("PUT", "/v1/txn", body=transaction(keys[first : first + OPERATIONS], value))
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise AssertionError(f"Consul refused a transaction: {answer.status}")


def has_all(subject, value):
    return re.findall(r"'(.*)'", subject.file.read_text()) == [str(value)] * len(subject.keys)


def spaced_changes(place, consul, kind, changes):
    """Milliseconds from the PUT to the replaced file. Each change comes well after the one before it: with many dials
    the next poll is held back for ten times what handling the last answer took (docs/consul.md)."""
    subject = kind(place, consul.source(1))
    samples = []
    with measures.running(consul, [subject]):
        for value in range(changes):
            time.sleep(SPACE)
            before, began = os.stat(subject.file).st_ino, time.monotonic()
            consul.agent.put(subject.keys[0], 2000 + value)
            eventually("the file is replaced", lambda: os.stat(subject.file).st_ino != before, every=0.0002)
            samples.append((time.monotonic() - began) * 1e3)
    return samples


def storm(place, consul, kind, seconds):
    """All dials change once a second: share of a core, and memory at the end; the newest values must be there."""
    subject = kind(place, consul.source(1))
    connection = http.client.HTTPConnection("127.0.0.1", consul.agent.port, timeout=10)
    with measures.running(consul, [subject]):
        began, ran = time.monotonic(), measures.processor_seconds(subject.pid)
        value = 0
        while time.monotonic() < began + seconds:
            value += 1
            put_all(connection, subject.keys, value)
            time.sleep(max(0.0, began + value - time.monotonic()))
        share = (measures.processor_seconds(subject.pid) - ran) / (time.monotonic() - began)
        eventually(f"{subject.name} has the newest of all", lambda: has_all(subject, value), 20.0)
        return share, measures.memory_of(subject.pid)


def row(place, consul, kind, count, chosen):
    many = of(kind, count)
    changes = spaced_changes(place, consul, many, chosen.changes)
    starts = measures.first_value(place, consul, [many], chosen.starts)[kind.name]
    memory = measures.memory(place, consul, many, consul.source(1), 10)
    idle = measures.idle(place, consul, [many], chosen.seconds)[kind.name]
    share, stormed = storm(place, consul, many, chosen.seconds)
    sizes = [f"{found[part] / 1000:,.0f} kB" for found in (memory, stormed) for part in ("resident", "anonymous")]
    cells = (
        kind.name, f"{count:,}", f"{measures.median(changes):.2f} ms", f"{max(changes):.2f} ms",
        f"{measures.median(starts):.2f} ms", *sizes[:2], f"{idle['processor_ms']:.1f} ms", f"{share:.1%}", *sizes[2:],
    )  # fmt: skip
    return cells, share


def main():
    parser = argparse.ArgumentParser(prog="script/bench dials")
    parser.add_argument("--changes", type=int, default=30)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    kinds, missing = subjects.available()
    kinds.remove(subjects.Floor)
    rows = [("", "dials", "change, median", "worst", "start, median", "resident", "anonymous", "idle minute",
             "storm: of a core", "resident", "anonymous")]  # fmt: skip
    shares = {}
    with measures.scratch() as place:
        consul = measures.TestConsul(place)
        try:
            for kind in kinds:
                for count in COUNTS:
                    print(f"dials: {kind.name} with {count:,}", file=sys.stderr, flush=True)
                    cells, shares[kind.name, count] = row(place, consul, kind, count, chosen)
                    rows.append(cells)
        finally:
            consul.agent.kill()
    print_table(rows)
    share = shares[subjects.Envdial.name, max(COUNTS)]
    verdict = "at most" if share <= MOST_SHARE else "NOT at most"
    print(f"\n  {max(COUNTS):,} dials that change once a second take {share:.1%} of a core: {verdict} {MOST_SHARE:.0%}")
    print_conditions(
        *(f"{kind.name}: {subjects.described(kind)}" for kind in kinds),
        f"one group; more than one dial: below one prefix. A change: of one of them, every {SPACE} s, from the PUT",
        f"to the replaced file; {chosen.changes} of them; {chosen.starts} starts; idle for {chosen.seconds} s",
        f"storm: all of them change once a second for {chosen.seconds} s, by transactions of {OPERATIONS}; the newest",
        "values of all were in the file afterwards. Resident and anonymous memory at the end of it",
        *(f"not available: {name}: {why}" for name, why in missing.items()),
    )
    return 1 if chosen.check and share > MOST_SHARE else 0


sys.exit(main())
