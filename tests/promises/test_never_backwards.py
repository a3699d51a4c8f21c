# SPDX-License-Identifier: Apache-2.0
"""Promise 3: no older value after a newer one, unless Consul itself was restored."""

from support.case import KEY, NAME, EndToEndTest, one_dial
from support.sidecar import env_text
from support.waiting import always, eventually

ONE_WAIT_MORE = 2.5 + 3 + 1 + 1 + 2  # a wait, then timeout, connect timeout and back-off at worst, and slack


class NeverBackwards(EndToEndTest):
    def test_consul_restored_from_an_older_snapshot_is_believed_and_counted(self):
        consul = self.start_consul(keep_data=True)
        consul.put(KEY, 600)
        consul.snapshot_save(self.where / "older.snap")
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        for value in (700, 800, 900):
            consul.put(KEY, value)
            sidecar.wait_env(MAX_CONCURRENT=value)
        before = sidecar.snapshot()
        consul.snapshot_restore(self.where / "older.snap")
        sidecar.wait_env(within=ONE_WAIT_MORE, MAX_CONCURRENT=600)
        after = sidecar.snapshot()
        self.assertGreater(after["version"], before["version"], "the version grows although the value is older")
        self.assertLess(after["dials"][0]["source"]["revision"], before["dials"][0]["source"]["revision"])
        self.assertEqual(sidecar.metrics()("consul_index_resets_total", group=KEY, reason="restored"), 1)
        self.assertTrue(sidecar.log_lines("(?i)restored"), sidecar.log())
        consul.put(KEY, 1000)
        sidecar.wait_env(MAX_CONCURRENT=1000)

    def test_restored_while_the_sidecar_was_down(self):
        consul = self.start_consul()
        consul.put(KEY, 600)
        consul.snapshot_save(self.where / "older.snap")
        consul.put(KEY, 900)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=900)
        version = sidecar.snapshot()["version"]
        sidecar.kill()
        consul.snapshot_restore(self.where / "older.snap")
        sidecar.start_ready()
        sidecar.wait_env(MAX_CONCURRENT=600)
        self.assertGreater(sidecar.snapshot()["version"], version)
        self.assertEqual(sidecar.metrics()("consul_index_resets_total", group=KEY, reason="restored"), 1)

    def test_a_rebuilt_consul_with_lower_indexes_is_believed_and_counted(self):
        consul = self.start_consul()
        for value in range(50):
            consul.put(KEY, value)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=49)
        consul.kill()
        consul.start()
        consul.put(KEY, 777)
        sidecar.wait_env(within=ONE_WAIT_MORE, MAX_CONCURRENT=777)
        self.assertEqual(sidecar.metrics()("consul_index_resets_total", group=KEY, reason="restored"), 1)

    def test_a_restart_without_a_new_value_changes_nothing(self):
        consul = self.start_consul()
        consul.put(KEY, 100)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=100)
        before, file = sidecar.snapshot(), sidecar.env_file.stat()
        for end in (sidecar.kill, sidecar.terminate):
            end()
            sidecar.start_ready()
            eventually("Consul answered", lambda: sidecar.dial(NAME)["origin"] == "consul")
            after = sidecar.snapshot()
            self.assertEqual(after["version"], before["version"])
            self.assertEqual(after["dials"][0]["changed"], before["dials"][0]["changed"])
            again = sidecar.env_file.stat()
            self.assertEqual(again.st_ino, file.st_ino, "the file was replaced")
            self.assertEqual(again.st_mtime_ns, file.st_mtime_ns, "the file was written")

    def test_an_outage_changes_no_version(self):
        consul = self.start_consul()
        gate = self.gate(consul)
        consul.put(KEY, 100)
        sidecar = self.sidecar(gate, *one_dial("--stale-after", "1s")).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=100)
        version = sidecar.snapshot()["version"]
        gate.shut()
        sidecar.wait_state("stale")
        self.assertEqual(sidecar.snapshot()["version"], version)
        gate.open()
        sidecar.wait_state("ready")
        self.assertEqual(sidecar.snapshot()["version"], version)

    def test_writing_the_same_value_again_delivers_nothing(self):
        consul = self.start_consul()
        consul.put(KEY, 100)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=100)
        revision = sidecar.dial(NAME)["source"]["revision"]

        def shown():
            return sidecar.env_file.stat().st_ino, sidecar.snapshot()["version"]

        before = shown()
        consul.put(KEY, "100\n")  # a new revision of an equal value
        eventually("the revision was read", lambda: sidecar.dial(NAME)["source"]["revision"] > revision)
        always("one file, one version", lambda: shown() == before, 0.3)
        self.assertEqual(sidecar.env_text(), env_text(MAX_CONCURRENT=100))
