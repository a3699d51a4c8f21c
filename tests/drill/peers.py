# SPDX-License-Identifier: Apache-2.0
"""What `script/drill peers` does. Needs ENVDIAL_BINARY, ENVDIAL_CONSUL, ENVDIAL_CONSUL_TEMPLATE, root, and its own
namespaces."""

import argparse
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peer_outages import (  # noqa: E402  (found only now)
    LOOK_EVERY, DataLost, Deleted, FirstStartWithout, HalfOpen, Refused, StartWithout, Swallowed,
)  # fmt: skip
from peer_subjects import ASK_EVERY  # noqa: E402
from peer_verdict import HEADINGS, broken, row  # noqa: E402
from place import place  # noqa: E402
from support import network, report  # noqa: E402
from support.real_consul import Consul  # noqa: E402
from support.stalls import StallMeter  # noqa: E402

KEPT = Path("build/drill/peers")


def outages():
    """In the order of the table, each with its lane: lanes run side by side, what is in one of them one by one."""
    return (
        ("refusals", Refused("refused 3 s", 3.0, 5)),
        ("refusals", Refused("refused 10 s", 10.0, 3)),
        ("refusals", Refused("refused 30 s", 30.0, 3)),
        ("long", Refused("refused 6 min", 360.0)),
        ("silence", Swallowed("swallowed 5 s", 5.0, 5)),
        ("silence", Swallowed("swallowed 30 s", 30.0, 3)),
        ("half open", HalfOpen("connection half open", 10.0)),
        ("refusals", StartWithout("start without Consul", 20.0)),
        ("refusals", FirstStartWithout("first start without Consul", 20.0)),
        ("long start", FirstStartWithout("first start, 6 min without Consul", 360.0)),
        ("data", DataLost("Consul lost its data for 10 s", 10.0)),
        ("data", DataLost("Consul lost its data for 90 s", 90.0)),
        ("data", Deleted("key deleted", 10.0)),
    )


class Lane(threading.Thread):
    def __init__(self, outages):
        super().__init__(daemon=True)
        self._outages = outages
        self.failure = None

    def run(self):
        try:
            for outage in self._outages:
                outage.run()
                print(f"  {outage.name}: over", flush=True)
        except Exception as failure:  # whatever it is, the drill has to say so
            self.failure = failure


def options():
    arguments = argparse.ArgumentParser(prog="script/drill peers")
    arguments.add_argument("--only", nargs="+", metavar="OUTAGE")
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    return arguments.parse_args()


def chosen_outages(only):
    known = outages()
    if missing := set(only or ()) - {outage.name for _, outage in known}:
        names = ", ".join(outage.name for _, outage in known)
        sys.exit(f"peers: no outage is called {', '.join(missing)}; there are: {names}")
    return [(lane, outage) for lane, outage in known if not only or outage.name in only]


def prepare(where, running, chosen):
    """Here and not in the lanes: hosts and ports are given out by nobody who could do that for several at once."""
    net = network.Network()
    consul = Consul(where / "consul").start()
    for number, (_, outage) in enumerate(running):
        own = Consul(where / f"consul-{number}").start() if isinstance(outage, DataLost) else consul
        outage.prepare(where / str(number), net.host(f"host-{number}"), own, random.Random(f"{chosen.seed} {number}"))


def run(running):
    """Returns how long the machine stood still at most: nobody is blamed for that."""
    stalls = StallMeter()
    began = time.monotonic()
    lanes = {name: Lane([outage for lane, outage in running if lane == name]) for name, _ in running}
    for lane in lanes.values():
        lane.start()
    while any(lane.is_alive() for lane in lanes.values()):
        time.sleep(0.2)
        for lane in lanes.values():
            if lane.failure:
                raise lane.failure
    stalls.finish()
    return stalls.longest_since(began)


def main():
    chosen = options()
    network.need_own_namespaces()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    running = chosen_outages(chosen.only)
    began = time.monotonic()
    print(f"peers: {len(running)} outages, seed {chosen.seed}", flush=True)
    with place(KEPT) as where:
        prepare(where, running, chosen)
        slack = LOOK_EVERY + ASK_EVERY + run(running)
        rows, wrong = [HEADINGS], []
        for _, outage in running:
            for kind in outage.kinds:
                stories = outage.stories[kind.kind]
                rows.append(row(outage, kind.kind, stories))
                for story in stories if kind.is_ours else ():
                    wrong += (f"{outage.name}: {each}" for each in broken(outage, kind.kind, story, slack))
        report.print_table(rows)
        report.print_conditions(f"{time.monotonic() - began:.0f} s, seed {chosen.seed}")
        if wrong:
            sys.exit("peers: envdial did not keep what it promises:\n  " + "\n  ".join(wrong))


main()
