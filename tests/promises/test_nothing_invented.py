# SPDX-License-Identifier: Apache-2.0
"""Promise 1: every value delivered was once committed in Consul, or is a declared default or bound; never torn, never
a mix of two snapshots within one channel."""

import random
import time

from support import observing
from support.case import KEY, NAME, EndToEndTest, one_dial
from support.sidecar import env_text
from support.waiting import eventually

TWO_DIALS = [{"env": "LEFT", "key": "left", "type": "int"}, {"env": "RIGHT", "key": "right", "type": "int"}]
BAD = ("9000", "0", "12x", "", "1e3", "0x10", "+7", "9" * 30, "nan", "5 5", "\x00", "'", b"\xff")


class NothingInvented(EndToEndTest):
    def test_two_dials_of_one_group_are_never_mixed_not_even_around_kill_9(self):
        consul = self.start_consul()
        dials = self.dials_file(TWO_DIALS)
        sidecar = self.sidecar(consul, "--dials", dials)
        writer = self.writer(consul, "hunt/left", "hunt/right", first=1000)
        observer = self.observe(sidecar)
        chance = random.Random(1)
        for _ in range(10):
            sidecar.start_ready()
            observing.wait_for_number(sidecar.env_file, ["LEFT", "RIGHT"], writer.newest)
            time.sleep(chance.uniform(0, 0.1))  # the moment of the kill, not a wait for anything
            sidecar.kill()
        sidecar.start_ready()
        last = writer.finish()
        sidecar.wait_env(LEFT=last, RIGHT=last)
        texts = observer.finish()
        self.assertGreater(len(texts), 20, "too few changes were seen for the test to mean anything")
        observing.check_shown(texts, ["LEFT", "RIGHT"], lambda value: 1000 <= value <= last)

    def test_the_control_channel_shows_one_snapshot_at_a_time(self):
        consul = self.start_consul()
        dials = self.dials_file(TWO_DIALS)
        sidecar = self.sidecar(consul, "--dials", dials)
        writer = self.writer(consul, "hunt/left", "hunt/right", first=1000)
        sidecar.start_ready()
        shown = {}
        began = time.monotonic()
        while len(shown) <= 20 or time.monotonic() < began + 2:
            self.assertLess(time.monotonic(), began + 60, f"only {len(shown)} changes were seen")
            snapshot = sidecar.snapshot()
            values = [dial["value"] for dial in snapshot["dials"]]
            self.assertEqual(values[0], values[1])
            self.assertEqual(shown.setdefault(snapshot["version"], values), values, "one version, two sets of values")
        writer.finish()
        self.assertEqual(sorted(shown), list(shown), "versions only grow")

    def test_a_refused_value_is_never_shown(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar = self.sidecar(consul, *one_dial("--min", 1, "--max", 2500)).start_ready()
        observer = self.observe(sidecar)
        observer.wait_for(env_text(MAX_CONCURRENT=500))
        good = [500]
        for step, bad in enumerate(BAD):
            consul.put(KEY, bad)
            eventually(f"{bad!r} is refused", lambda: sidecar.dial(NAME)["rejected"])
            good.append(1000 + step)
            consul.put(KEY, good[-1])
            observer.wait_for(env_text(MAX_CONCURRENT=good[-1]))
        self.assertEqual(observer.finish(), [env_text(MAX_CONCURRENT=value) for value in good])

    def test_clamped_values_are_the_declared_bounds(self):
        consul = self.start_consul()
        sidecar = self.sidecar(consul, *one_dial("--min", 10, "--max", 2500, "--on-violation", "clamp")).start()
        observer = self.observe(sidecar)
        shown = []
        for put, expected in ((500, 500), (9000, 2500), (700, 700), (-3, 10)):
            consul.put(KEY, put)
            shown.append(env_text(MAX_CONCURRENT=expected))
            observer.wait_for(shown[-1])
            rejected = sidecar.dial(NAME)["rejected"]
            self.assertEqual(rejected and rejected["reason"], "clamped" if put != expected else None)
        self.assertEqual(observer.finish(), shown)

    def test_without_a_value_nothing_is_published(self):
        consul = self.start_consul()
        sidecar = self.sidecar(consul, *one_dial()).start()
        eventually("Consul was asked", lambda: sidecar.status()["groups"][0]["connected"])
        self.assertEqual(sidecar.status()["state"], "not_ready")
        self.assertFalse(sidecar.env_file.exists(), "an env file without values")
        snapshot = sidecar.snapshot()
        self.assertEqual((snapshot["version"], snapshot["dials"][0]["value"]), (0, None))
        self.assertEqual(sidecar.get(f"/v1/values/{NAME}").status, 503)
        consul.put(KEY, 7)
        sidecar.wait_env(MAX_CONCURRENT=7)

    def test_white_space_around_a_number_is_trimmed_and_nothing_else(self):
        consul = self.start_consul()
        dials = self.dials_file([
            {"env": "NUMBER", "key": "number", "type": "int"},
            {"env": "TEXT", "key": "text", "type": "string"},
        ])  # fmt: skip
        sidecar = self.sidecar(consul, "--dials", dials)
        consul.put("hunt/number", "500\n")
        consul.put("hunt/text", "  a \\ \"b\" $c\n d ")
        sidecar.start_ready()
        sidecar.wait_env(NUMBER=500, TEXT="  a \\ \"b\" $c\n d ")
