# SPDX-License-Identifier: Apache-2.0
"""Starting, being alone, stopping, and what is logged meanwhile."""

import json
import re
import signal
import time

from support.case import KEY, NAME, EndToEndTest, one_dial
from support.sidecar import envdial
from support.waiting import always, eventually


class StartAndStop(EndToEndTest):
    def test_sigterm_and_sigint_end_it_within_a_second_with_0(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar = self.sidecar(consul, *one_dial())
        for number in (signal.SIGTERM, signal.SIGINT):
            sidecar.start_ready()
            began = time.monotonic()
            sidecar.signal(number)
            self.assertEqual(sidecar.wait_end(), 0)
            self.assertLess(time.monotonic() - began, 1.0)
            self.assertTrue(sidecar.env_file.exists(), "the app may still be reading")

    def test_sigterm_while_consul_is_away_or_frozen(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        consul.freeze()
        sidecar.wait_metric(0, "source_connected", group=KEY)
        code, took = sidecar.terminate()
        consul.thaw()
        self.assertEqual(code, 0)
        self.assertLess(took, 1.0)
        away = self.sidecar(self.closed_port(), *one_dial(), name="away").start()
        eventually("it asked", lambda: away.status()["groups"][0]["last_error"])
        code, took = away.terminate()
        self.assertEqual(code, 0)
        self.assertLess(took, 1.0)

    def test_sighup_is_ignored_and_the_log_says_so(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        sidecar.signal(signal.SIGHUP)
        self.assertIn("restart", sidecar.wait_log("SIGHUP")[0])
        consul.put(KEY, 600)
        sidecar.wait_env(MAX_CONCURRENT=600)

    def test_a_second_sidecar_on_the_same_directories_ends_with_1_and_says_by_whom_they_are_held(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        first = self.sidecar(consul, *one_dial("--instance", "the-first")).start_ready()
        for shared in ("run", "state"):
            with self.subTest(shared=shared):
                second = self.sidecar(consul, *one_dial("--instance", "the-second"), name=f"second-{shared}")
                setattr(second, f"{shared}_dir", getattr(first, f"{shared}_dir"))
                second.start()
                self.assertEqual(second.wait_end(), 1)
                self.assertIn("the-first", second.log())
                self.assertIn(str(first.pid), second.log())
        consul.put(KEY, 600)
        first.wait_env(MAX_CONCURRENT=600)
        self.assertEqual(first.dial(NAME)["value"], "600", "the first one's socket is still its own")

    def test_a_lock_of_a_dead_one_is_no_hindrance(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        sidecar.kill()
        sidecar.start_ready()
        sidecar.wait_env(MAX_CONCURRENT=500)

    def test_without_a_run_directory_it_cannot_work_and_ends_with_1(self):
        (self.where / "file").write_text("")
        for run_dir in (self.where / "file", self.where / "file/below", self.where / "no/such/parent"):
            done = envdial("run", *one_dial("--run-dir", run_dir, "--state-dir", self.where / "state"))
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(str(run_dir), done.stderr)

    def test_a_socket_path_that_is_too_long_ends_with_1(self):
        run_dir = self.where / ("d" * 100)
        run_dir.mkdir()
        done = envdial("run", *one_dial("--run-dir", run_dir, "--state-dir", self.where / "state"))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("control.sock", done.stderr)

    def test_a_busy_listen_address_ends_with_1(self):
        consul = self.start_consul()
        done = envdial(
            "run", *one_dial("--listen", consul.address, "--run-dir", self.where / "r", "--state-dir", self.where / "s")
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(str(consul.port), done.stderr)

    def test_consul_away_is_no_reason_to_end(self):
        sidecar = self.sidecar(self.closed_port(), *one_dial("--default", 5)).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=5)
        always("it lives", sidecar.alive, 1.0)
        unknown = self.sidecar("no-such-host.invalid:8500", *one_dial("--default", 5), name="unknown").start_ready()
        eventually("dns", lambda: unknown.status()["groups"][0]["last_error"]["reason"] in ("dns", "timeout"))


class Logs(EndToEndTest):
    def test_json_lines_have_time_level_and_msg(self):
        consul = self.start_consul()
        gate = self.gate(consul)
        consul.put(KEY, 500)
        sidecar = self.sidecar(gate, *one_dial("--log-format", "json", "--log-level", "debug"))
        sidecar.start_ready()
        sidecar.wait_env(MAX_CONCURRENT=500)
        consul.put(KEY, 'nine "thousand"\n\\')
        eventually("refused", lambda: sidecar.dial(NAME)["rejected"])
        consul.put(KEY, b"\xff\xfe")
        eventually("refused", lambda: sidecar.dial(NAME)["rejected"]["reason"] == "encoding")
        gate.shut()
        sidecar.wait_metric(0, "source_connected", group=KEY)
        sidecar.terminate()
        lines = [json.loads(line) for line in sidecar.log().splitlines()]
        self.assertGreater(len(lines), 4)
        for line in lines:
            self.assertEqual({"time", "level", "msg"} - line.keys(), set(), line)
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
            self.assertIn(line["level"], ("debug", "info", "warn", "error"))
        self.assertIn("warn", {line["level"] for line in lines})

    def test_text_lines_are_single_lines_for_people(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        consul.put(KEY, "two\nlines\x1b[31m")
        eventually("refused", lambda: sidecar.dial(NAME)["rejected"])
        sidecar.terminate()
        for line in sidecar.log().splitlines():
            self.assertRegex(line, r"^\S*\d\d:\d\d:\d\d|^\d{4}-")
            self.assertNotIn("\x1b", line)

    def test_the_level_leaves_out_what_is_below(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar = self.sidecar(consul, *one_dial("--log-level", "error")).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=500)
        sidecar.terminate()
        self.assertEqual(re.sub(r"\s", "", sidecar.log()), "")
