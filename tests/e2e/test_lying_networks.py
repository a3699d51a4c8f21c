# SPDX-License-Identifier: Apache-2.0
"""Every fault of support.faults before a real Consul: held, counted, told, asked for in bounds, and healed."""

import shutil
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.fault_trial import Pod, Trial
from support.faults import FAULTS
from support.lying_consul import RealKv
from support.real_consul import Consul
from support.stalls import StallMeter

WINDOW = 3.0  # seconds in which requests are counted
AT_ONCE = 10  # sidecars: each waits most of its time
VALUES = (100, 500, 900, 1300)
STALL = 0.25  # seconds without the processor, after which what came late says nothing; then it is tried again
TRIES = 4


class LyingNetworks(unittest.TestCase):
    """One test per fault; they run side by side before the first one reports."""

    @classmethod
    def setUpClass(cls):
        cls.where = Path(tempfile.mkdtemp(prefix="envdial-"))
        cls.addClassCleanup(shutil.rmtree, cls.where)
        consul = Consul(cls.where / "consul")
        cls.addClassCleanup(consul.kill)
        source = RealKv(consul.start())
        cls.meter = StallMeter()
        cls.addClassCleanup(cls.meter.finish)
        pool = ThreadPoolExecutor(AT_ONCE)
        cls.addClassCleanup(pool.shutdown)
        cls.trials = {fault.name: pool.submit(cls.live_through, fault, source) for fault in FAULTS}

    @classmethod
    def live_through(cls, fault, source):
        for attempt in range(1, TRIES + 1):
            pod = Pod(cls.where / f"{fault.name}-{attempt}", source, f"faults/{fault.name}")
            trial = Trial(pod, fault, VALUES, WINDOW)
            began = time.monotonic()
            try:
                pod.start(*VALUES[:2])
                trial.run()
                return trial
            except AssertionError as failure:
                stalled = cls.meter.longest_since(began)
                if stalled < STALL or attempt == TRIES:
                    raise AssertionError(f"{failure}\n{trial.page}\n{pod.sidecar.log()[-3000:]}") from None
                print(f"{fault.name}: the machine stood still for {stalled:.1f} s, so again (it said: {failure})")
            finally:
                pod.end()
        raise AssertionError("never tried")

    def check(self, name):
        trial = self.trials[name].result(300)
        asked = ", ".join(str(count) for count in trial.requests.values())
        print(f"\n--- {name}: {asked} requests in {WINDOW:g} s, healed in {trial.took * 1e3:.0f} ms\n{trial.page}")


for _fault in FAULTS:
    setattr(LyingNetworks, f"test_{_fault.name}", lambda self, name=_fault.name: self.check(name))
