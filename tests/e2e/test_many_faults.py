# SPDX-License-Identifier: Apache-2.0
"""Fault after fault in one life of a sidecar: the newest value after each, and nothing that piles up."""

import itertools
import random
import time

from support import footprint
from support.case import EndToEndTest
from support.fault_trial import Pod, check_growing
from support.faults import FAULTS
from support.observing import EnvFileObserver
from support.scripted_kv import ScriptedKv
from support.waiting import eventually

TIMEOUTS = (1.0, 0.25)  # seconds: the shortest timeout that the sidecar takes
WARM_UP = len(FAULTS) // 2  # after which memory and files are looked at first
QUIET_REQUESTS = 8  # after that many long polls nothing of a fault is left


class ManyFaults(EndToEndTest):
    def test_every_fault_in_one_life(self):
        seed = random.SystemRandom().randrange(10**6)
        print(f"seed {seed}", flush=True)
        # The big answers first, so that what the allocator keeps of them is there at the first look.
        faults = sorted(random.Random(seed).sample(FAULTS, len(FAULTS)), key=lambda fault: "_mb" not in fault.name)
        pod = Pod(self.where / "life", ScriptedKv(), "life", TIMEOUTS)
        self.addCleanup(pod.end)
        pod.start(1)
        observer = EnvFileObserver(pod.sidecar.env_file, every=0.002)
        self.addCleanup(observer.finish)
        values = itertools.count(2)
        began, looks = time.monotonic(), []
        for part in (faults[:WARM_UP], faults[WARM_UP:]):
            for fault in part:
                pod.live_through(fault, next(values))
            looks.append(self.look(pod))
        first, last = looks
        print(f"{len(faults)} faults in {time.monotonic() - began:.0f} s; anonymous KiB, files: {first} -> {last}")
        self.assertLessEqual(last[0], 1.1 * first[0], f"memory grew (seed {seed})")
        self.assertLessEqual(last[1], first[1], f"files stay open (seed {seed})")
        check_growing(observer.finish())

    def look(self, pod):
        """Memory and open files while each group waits in its long poll, and has done so for a while."""
        asked = sum(pod.consul.counts.values())
        eventually("it is quiet", lambda: sum(pod.consul.counts.values()) >= asked + QUIET_REQUESTS, within=30)
        eventually("both groups wait", pod.at_rest, within=30)
        return footprint.anonymous_bytes(pod.sidecar.pid) >> 10, footprint.open_files(pod.sidecar)
