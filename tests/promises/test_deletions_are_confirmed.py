# SPDX-License-Identifier: Apache-2.0
"""Promises 1, 4 and 5 where keys are deleted: one key follows the dial's on_delete, a whole prefix is held."""

import shutil

from support.case import KEY, NAME, EndToEndTest, one_dial
from support.sidecar import env_text
from support.waiting import always, eventually

LEFT, RIGHT = "hunt/left", "hunt/right"


class DeletionsAreConfirmed(EndToEndTest):
    def two_dials(self):
        return self.dials_file([
            {"env": "LEFT", "key": "left", "type": "int", "default": 1, "on_delete": "default"},
            {"env": "RIGHT", "key": "right", "type": "int", "default": 2, "on_delete": "keep"},
        ])  # fmt: skip

    def running_with_two(self):
        consul = self.start_consul()
        consul.put(LEFT, 100)
        consul.put(RIGHT, 200)
        sidecar = self.sidecar(consul, "--dials", self.two_dials()).start_ready()
        sidecar.wait_env(LEFT=100, RIGHT=200)
        return consul, sidecar

    def test_a_deleted_key_is_kept_and_that_is_said(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar = self.sidecar(consul, *one_dial("--default", 1, "--on-delete", "keep")).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=500)
        file, version = sidecar.env_file.stat().st_ino, sidecar.snapshot()["version"]
        consul.delete(KEY)
        sidecar.wait_log("(?i)delet")
        self.assertEqual(sidecar.env_text(), env_text(MAX_CONCURRENT=500))
        self.assertEqual((sidecar.env_file.stat().st_ino, sidecar.snapshot()["version"]), (file, version))
        self.assertEqual(sidecar.dial(NAME)["origin"], "consul")
        sidecar.kill()
        sidecar.start_ready()
        eventually("Consul answered", lambda: sidecar.status()["groups"][0]["connected"])
        self.assertEqual(sidecar.env_text(), env_text(MAX_CONCURRENT=500), "kept across a restart")
        consul.put(KEY, 600)
        sidecar.wait_env(MAX_CONCURRENT=600)

    def start_and_delete(self):
        """500 was there, and the default is in force."""
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar = self.sidecar(consul, *one_dial("--default", 7, "--on-delete", "default")).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=500)
        consul.delete(KEY)
        sidecar.wait_env(MAX_CONCURRENT=7)
        return consul, sidecar

    def test_a_deleted_key_falls_back_to_the_default_where_that_is_asked_for(self):
        consul, sidecar = self.start_and_delete()
        self.assertEqual(sidecar.dial(NAME)["origin"], "default")
        consul.put(KEY, 600)
        sidecar.wait_env(MAX_CONCURRENT=600)

    def test_a_confirmed_deletion_is_remembered_when_consul_is_away(self):
        consul, sidecar = self.start_and_delete()
        sidecar.kill()
        consul.kill()
        shutil.rmtree(sidecar.run_dir)
        sidecar.start_ready()
        sidecar.wait_env(MAX_CONCURRENT=7)

    def test_one_key_of_a_prefix(self):
        consul, sidecar = self.running_with_two()
        consul.delete(LEFT)
        sidecar.wait_env(LEFT=1, RIGHT=200)
        self.assertEqual(sidecar.dial("LEFT")["origin"], "default")
        consul.delete(RIGHT)
        sidecar.wait_log("(?i)RIGHT.*delet|delet.*RIGHT")
        self.assertEqual(sidecar.env_text(), env_text(LEFT=1, RIGHT=200))
        held = sidecar.metrics()("mass_deletions_held_total", group="hunt/")
        self.assertEqual(held, 0, "one by one is no mass deletion")

    def test_a_whole_prefix_is_held_counted_and_told_until_one_returns(self):
        consul, sidecar = self.running_with_two()
        version = sidecar.snapshot()["version"]
        consul.delete_tree("hunt/")
        sidecar.wait_metric(1, "mass_deletions_held_total", group="hunt/")
        self.assertTrue(sidecar.status()["groups"][0]["mass_deletion_held"])
        self.assertEqual(len(sidecar.wait_log("(?i)all values of this group are gone")), 1)
        held = env_text(LEFT=100, RIGHT=200)
        always("the values stay", lambda: (sidecar.env_text(), sidecar.snapshot()["version"]) == (held, version), 1.0)
        consul.put("elsewhere/key", 1)  # wakes the poll of an absent prefix: must not count as news
        always("the values stay", lambda: sidecar.env_text() == held, 0.5)
        self.assertEqual(sidecar.metrics()("mass_deletions_held_total", group="hunt/"), 1, "one event is counted once")
        consul.put(RIGHT, 300)
        sidecar.wait_env(LEFT=1, RIGHT=300)
        self.assertFalse(sidecar.status()["groups"][0]["mass_deletion_held"])

    def test_a_held_prefix_survives_a_restart_of_the_sidecar(self):
        consul, sidecar = self.running_with_two()
        consul.delete_tree("hunt/")
        sidecar.wait_metric(1, "mass_deletions_held_total", group="hunt/")
        sidecar.kill()
        sidecar.start_ready()
        sidecar.wait_metric(1, "mass_deletions_held_total", group="hunt/")
        self.assertEqual(sidecar.env_text(), env_text(LEFT=100, RIGHT=200))

    def test_consul_restarted_empty_under_a_prefix_is_held(self):
        consul, sidecar = self.running_with_two()
        consul.kill()
        consul.start()
        sidecar.wait_metric(1, "mass_deletions_held_total", group="hunt/")
        self.assertEqual(sidecar.env_text(), env_text(LEFT=100, RIGHT=200))
        consul.put(LEFT, 111)
        consul.put(RIGHT, 222)
        sidecar.wait_env(LEFT=111, RIGHT=222)

    def test_absent_from_the_start_is_no_deletion(self):
        consul = self.start_consul()
        sidecar = self.sidecar(consul, "--dials", self.two_dials()).start_ready()
        sidecar.wait_env(LEFT=1, RIGHT=2)
        self.assertEqual(sidecar.metrics()("mass_deletions_held_total", group="hunt/"), 0)
        self.assertEqual(sidecar.dial("LEFT")["origin"], "default")
