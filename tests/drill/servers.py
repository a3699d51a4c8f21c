# SPDX-License-Identifier: Apache-2.0
"""What `script/drill servers` does. Needs ENVDIAL_BINARY, ENVDIAL_CONSUL, root, and namespaces of its own."""

import argparse
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import history  # noqa: E402  (found only now)
from place import place  # noqa: E402
from pod_faults import POD_FAULTS  # noqa: E402
from rounds import LOOK_EVERY, Drill  # noqa: E402
from server_faults import SERVER_FAULTS  # noqa: E402
from support import network, report  # noqa: E402

LEAST_INJECTIONS = 20  # of each kind: fewer make no percentile that could be judged
QUICK_MEDIAN, QUICK_P99 = 1.0, 2.0  # seconds after refused or swallowed connects
KINDS = (*POD_FAULTS, *SERVER_FAULTS)
SHORT_TURNS = 3  # in which each kind must have been noticed once
MOST_PODS = 20  # a transaction of Consul's takes 64 operations
KEPT = Path("build/drill/servers")
HEADINGS = ("fault", "injected", "pods hit", "noticed: median", "p99", "newest value: median", "p99", "most", "bound")


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def seconds(values, *parts):
    return [f"{percentile(values, part):.2f} s" if values else "-" for part in parts]


def table(drill):
    rows = [(*HEADINGS, *history.KINDS)]
    for kind in KINDS:
        noticed, converged = drill.noticed[kind.name], drill.converged[kind.name]
        rows.append((
            kind.name, str(drill.injected[kind.name]), str(len(converged)),
            *seconds(noticed if kind.is_noticed else [], 0.5, 0.99),
            *seconds(converged, 0.5, 0.99, 1.0), f"{kind.bound:.1f} s",
            *(str(drill.violations[kind.name, each]) for each in history.KINDS),
        ))  # fmt: skip
    return rows


def wrong_times(drill):
    """Which kinds were too slow, and how."""
    wrong = []

    def compare(name, what, values, limits):
        for part, limit in limits:
            seen = percentile(values, part) if values else 0.0
            if seen > limit:
                wrong.append(f"{name}: {part:.0%} {what} {seen:.2f} s, {limit:g} s are allowed")

    for kind in (kind for kind in KINDS if drill.injected[kind.name] >= LEAST_INJECTIONS):
        limits = [(0.5, QUICK_MEDIAN), (0.99, QUICK_P99)] if kind.quick else [(0.99, kind.bound)]
        compare(kind.name, "newest value after", drill.converged[kind.name], limits)
        if kind.noticed_within is not None:
            compare(kind.name, "noticed after", drill.noticed[kind.name], [(0.99, kind.noticed_within + LOOK_EVERY)])
    return wrong


def too_few(drill):
    """Which kinds did not come often enough, for the long run."""
    return [
        f"{kind.name}: {drill.injected[kind.name]} injections, at least {LEAST_INJECTIONS} are wanted"
        for kind in KINDS
        if drill.injected[kind.name] < LEAST_INJECTIONS
    ]


def verdict(drill, chosen):
    wrong = [f"{count} × {kind} ({name})" for (name, kind), count in drill.violations.items()]
    wrong += [f"{count} × not noticed at all ({name})" for name, count in drill.unnoticed.items() if count]
    if chosen.short:
        never = [kind.name for kind in KINDS if not drill.converged[kind.name]]
        return wrong + [f"{name}: no pod noticed it in {SHORT_TURNS} turns" for name in never]
    return wrong + wrong_times(drill) + (too_few(drill) if chosen.minutes is None else [])


def turns(drill):
    """Each kind of fault once in a turn, in another order each time: those of all pods between those of each pod."""
    kinds = drill.random.sample(SERVER_FAULTS, len(SERVER_FAULTS))
    left = []
    for kind in kinds:
        yield lambda kind=kind: drill.cluster_round(kind)
        while len(left) < len(drill.pods):
            left += drill.random.sample(POD_FAULTS, len(POD_FAULTS))
        yield lambda: drill.pods_round(left)


class Ending:
    """When it has been enough."""

    def __init__(self, chosen):
        self._chosen = chosen
        self._began = time.monotonic()

    def took(self):
        return time.monotonic() - self._began

    def gives_up_after(self, turn):
        return self._chosen.short and turn == SHORT_TURNS

    def has_come(self, drill):
        if self._chosen.short:
            return all(drill.converged[kind.name] for kind in KINDS)
        if self._chosen.minutes is not None:
            return self.took() > 60 * self._chosen.minutes
        return drill.hits >= self._chosen.faults


def run(drill, ending):
    turn = 0
    while True:
        turn += 1
        for step in turns(drill):
            step()
            if ending.has_come(drill):
                return
        print(f"{ending.took():.0f} s, turn {turn}: {drill.hits} faults", flush=True)
        if ending.gives_up_after(turn):
            return


def options():
    arguments = argparse.ArgumentParser(prog="script/drill servers")
    arguments.add_argument("--faults", type=int, default=10_000)
    arguments.add_argument("--minutes", type=float)
    arguments.add_argument("--pods", type=int, default=10, choices=range(1, MOST_PODS + 1), metavar="N")
    arguments.add_argument("--short", action="store_true")
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    return arguments.parse_args()


def main():
    chosen = options()
    network.need_own_namespaces()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    ending = Ending(chosen)
    print(f"servers: three of Consul, {chosen.pods} pods, seed {chosen.seed}", flush=True)
    with place(KEPT) as where:
        drill = Drill(where, random.Random(chosen.seed), chosen.pods)
        run(drill, ending)
        drill.cluster.kill()
        report.print_table(table(drill))
        took = ending.took()
        looks = ", ".join(f"{channel} {count}" for channel, count in drill.recorder.checker.looks.items())
        report.print_conditions(
            f"seed {chosen.seed}; {drill.hits} faults in {took:.0f} s, {3600 * drill.hits / took:.0f} an hour; "
            f"{drill.writer.value} values; seen: {looks}",
            consul=f"three servers, {chosen.pods} pods",
        )  # fmt: skip
        if wrong := verdict(drill, chosen):
            sys.exit("servers: " + "\n  ".join(wrong))


main()
