# SPDX-License-Identifier: Apache-2.0
"""Promise 2: after the last fault heals, every channel shows the newest value: within a second as a rule, within
timeout + connect timeout + back-off (3 + 1 + 1 s) at worst, one wait more after a restore."""

from support.case import KEY, NAME, EndToEndTest, one_dial
from support.sidecar import env_text, envdial
from support.waiting import eventually

AT_WORST = 3 + 1 + 1
SLACK = 2  # for a loaded machine


class NothingLost(EndToEndTest):
    def assert_shown_everywhere(self, sidecar, value, within):
        sidecar.wait_env(within=within, MAX_CONCURRENT=value)
        self.assertEqual(sidecar.dial(NAME)["value"], str(value))
        self.assertEqual(sidecar.get(f"/v1/values/{NAME}").text, str(value))
        self.assertEqual(envdial("get", NAME, "--run-dir", sidecar.run_dir).stdout, f"{value}\n")
        self.assertEqual(sidecar.metrics()("dial_value", dial=NAME), value)

    def test_the_last_value_of_a_storm_of_changes_is_shown_everywhere(self):
        consul = self.start_consul()
        sidecar = self.sidecar(consul, *one_dial())
        writer = self.writer(consul, KEY, first=1)
        sidecar.start_ready()
        eventually("1000 changes", lambda: writer.confirmed > 1000, within=30)
        last = writer.finish()
        self.assert_shown_everywhere(sidecar, last, within=1 + SLACK)

    def test_consul_killed_and_restarted_with_its_data(self):
        consul = self.start_consul(keep_data=True)
        consul.put(KEY, 700)
        sidecar = self.sidecar(consul, *one_dial("--stale-after", "1s")).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=700)
        before = sidecar.env_file.stat()
        version = sidecar.snapshot()["version"]
        for value in (800, 900):
            consul.kill()
            sidecar.wait_state("stale")
            self.assertEqual(sidecar.env_file.stat().st_ino, before.st_ino, "the file was replaced without a change")
            self.assertEqual(sidecar.snapshot()["version"], version)
            consul.start()
            sidecar.wait_state("ready", within=AT_WORST + SLACK)
            self.assertEqual(sidecar.env_file.stat().st_ino, before.st_ino, "the file was replaced without a change")
            consul.put(KEY, value)
            self.assert_shown_everywhere(sidecar, value, within=1 + SLACK)
            before = sidecar.env_file.stat()
            version = sidecar.snapshot()["version"]

    def test_a_value_put_while_the_sidecar_could_not_see_consul(self):
        consul = self.start_consul()
        gate = self.gate(consul)
        consul.put(KEY, 100)
        sidecar = self.sidecar(gate, *one_dial()).start_ready()
        for value in (200, 300, 400):
            gate.shut()
            sidecar.wait_metric(0, "source_connected", group=KEY)
            consul.put(KEY, value)
            gate.open()
            self.assert_shown_everywhere(sidecar, value, within=1 + 1 + SLACK)

    def test_consul_restarted_empty_and_the_value_put_again(self):
        consul = self.start_consul()
        for value in range(20):  # so that the new Consul's indexes are all lower
            consul.put(KEY, value)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=19)
        consul.kill()
        consul.start()
        sidecar.wait_metric(1, "source_connected", group=KEY)
        self.assertEqual(sidecar.env_text(), env_text(MAX_CONCURRENT=19), "a deletion that nobody made was believed")
        consul.put(KEY, 555)
        self.assert_shown_everywhere(sidecar, 555, within=AT_WORST + SLACK)

    def test_a_silent_consul_is_noticed_in_time_and_followed_again(self):
        consul = self.start_consul()
        consul.put(KEY, 100)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        consul.freeze()
        sidecar.wait_metric(0, "source_connected", within=3 + 1 + SLACK, group=KEY)
        self.assertGreaterEqual(sidecar.metrics()("consul_polls_total", group=KEY, result="timeout"), 1)
        self.assertEqual(sidecar.get("/livez").status, 200)
        consul.thaw()
        consul.put(KEY, 200)
        self.assert_shown_everywhere(sidecar, 200, within=AT_WORST + SLACK)

    def test_a_value_put_while_the_sidecar_was_down(self):
        consul = self.start_consul()
        consul.put(KEY, 100)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=100)
        sidecar.kill()
        consul.put(KEY, 200)
        sidecar.start_ready()
        self.assert_shown_everywhere(sidecar, 200, within=1 + SLACK)

    def test_the_next_address_is_tried_after_a_failure(self):
        consul = self.start_consul()
        consul.put(KEY, 100)
        nobody = self.closed_port()
        sidecar = self.sidecar(nobody, "--consul-addr", consul.address, *one_dial()).start_ready()
        self.assert_shown_everywhere(sidecar, 100, within=1 + SLACK)

    def test_a_delivery_that_failed_is_tried_again_without_a_new_change(self):
        consul = self.start_consul()
        consul.put(KEY, 100)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=100)
        # A directory in the file's place: nothing can be renamed over it, whatever rights one has.
        sidecar.env_file.unlink()
        sidecar.env_file.mkdir()
        consul.put(KEY, 200)
        eventually("the control channel shows it", lambda: sidecar.dial(NAME)["value"] == "200")
        eventually("counted", lambda: sidecar.metrics()("delivery_failures_total", channel="env_file") >= 1)
        self.assertIn("env", sidecar.wait_log(r"(?i)warn|error")[0])
        sidecar.env_file.rmdir()
        self.assert_shown_everywhere(sidecar, 200, within=2 + SLACK)
