# SPDX-License-Identifier: Apache-2.0
"""Promises 1, 3 and 4 under the hardest end there is: kill -9 at 50 random moments while the value changes all the
time. Half of the restarts find Consul gone and the run directory empty, so that only the store can help them."""

import os
import random
import shutil
import time

from support import observing
from support.case import KEY, NAME, EndToEndTest, one_dial
from support.waiting import eventually

MOMENTS = 50


class KillNineAtAnyMoment(EndToEndTest):
    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("ENVDIAL_TEST_SEED", random.SystemRandom().randint(1, 10**6)))
        print(f"ENVDIAL_TEST_SEED={seed}", flush=True)
        self.chance = random.Random(seed)
        self.consul = self.start_consul()
        self.away = self.gate(self.consul)
        self.pod = self.sidecar(self.away, *one_dial())
        self.values = {}  # version to value
        self.version = 0

    def test_kill_9_at_50_random_moments_under_constant_change(self):
        writer = self.writer(self.consul, KEY, first=1000)
        observer = self.observe(self.pod)
        self.pod.start_ready()
        for moment in range(MOMENTS):
            self.let_it_run(writer)
            self.pod.kill()
            shown = observing.numbers(self.pod.env_text(), [NAME])[0] if self.pod.env_file.exists() else 1000
            if moment % 2:
                self.restart_without_consul(shown, writer)
            else:
                self.pod.start_ready()
            self.note_version()
        last = writer.finish()
        self.pod.wait_env(MAX_CONCURRENT=last)
        texts = observer.finish()
        self.assertGreater(len(texts), MOMENTS, "too few changes were seen for the test to mean anything")
        observing.check_shown(texts, [NAME], lambda value: 1000 <= value <= last)

    def let_it_run(self, writer):
        """Until a random moment: of the start-up, or when news of this life have been delivered."""
        if self.chance.random() < 0.5:
            observing.wait_for_number(self.pod.env_file, [NAME], writer.newest)
            self.note_version()
            time.sleep(self.chance.uniform(0, 0.05))  # the moment of the kill, not a wait for anything
        else:
            self.pod.kill()
            self.pod.start()
            time.sleep(self.chance.uniform(0, 0.04))

    def restart_without_consul(self, shown, writer):
        self.away.shut()
        shutil.rmtree(self.pod.run_dir)
        self.pod.run_dir.mkdir(mode=0o750)
        self.pod.start()
        observing.wait_for_number(self.pod.env_file, [NAME], shown)
        value = observing.numbers(self.pod.env_text(), [NAME])[0]
        self.assertTrue(shown <= value <= writer.newest, f"{value} after {shown} was shown, {writer.newest} was put")
        eventually("it says where the value is from", lambda: self.pod.dial(NAME)["origin"] == "last-known-good")
        self.assertEqual(self.pod.metrics()("fallback_recoveries_total", **{"from": "slot"}), 1)
        self.assertEqual([path.name for path in self.pod.state_dir.glob("*.damaged*")], [])
        self.away.open()

    def note_version(self):
        """Versions only grow, and one names one value for ever."""
        snapshot = eventually("a snapshot", self.pod.snapshot)
        if snapshot["version"] == 0:
            return
        value = snapshot["dials"][0]["value"]
        self.assertGreaterEqual(snapshot["version"], self.version)
        self.version = snapshot["version"]
        self.assertEqual(self.values.setdefault(self.version, value), value, f"version {self.version} has two values")
