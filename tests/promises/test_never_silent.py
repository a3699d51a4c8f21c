# SPDX-License-Identifier: Apache-2.0
"""Promise 5: whatever is kept, rejected, stale or failing shows in a metric, in status and in one log line."""

import time

from support.case import KEY, NAME, EndToEndTest, one_dial
from support.sidecar import env_text, envdial
from support.waiting import always, eventually

FAILURES = ("refused", "timeout", "dns", "tls", "denied", "throttled", "server", "malformed")
REASONS = ("type", "min", "max", "max_step", "one_of", "too_long", "empty", "encoding", "quote", "clamped")

# Each family with the labels of all its series, for one dial in a group of its own and one channel more than none.
FAMILIES = {
    "build_info": "version",
    "state": {"state": ("not_ready", "stale", "ready")},
    "source_connected": {"group": (KEY,)},
    "source_last_success_timestamp_seconds": {"group": (KEY,), "source": ("consul",)},
    "consul_polls_total": {"group": (KEY,), "result": ("changed", "unchanged", *FAILURES)},
    "consul_index_resets_total": {"group": (KEY,), "reason": ("backwards", "zero", "restored")},
    "consul_answers_refuted_total": {"group": (KEY,)},
    "mass_deletions_held_total": {"group": (KEY,)},
    "snapshot_version": {},
    "snapshot_published_timestamp_seconds": {},
    "dial_value": {"dial": (NAME,)},
    "dial_origin": {"dial": (NAME,), "origin": ("consul", "last-known-good", "default", "stale")},
    "dial_last_change_timestamp_seconds": {"dial": (NAME,)},
    "dial_stale_after_seconds": {"dial": (NAME,)},
    "dial_rejected": {"dial": (NAME,)},
    "dial_rejections_total": {"dial": (NAME,), "reason": REASONS},
    "deliveries_total": {"channel": ("env_file", "snapshot_file", "control")},
    "delivery_failures_total": {"channel": ("env_file", "snapshot_file", "control")},
    "delivery_duration_seconds": None,
    "fallback_save_failures_total": {},
    "fallback_recoveries_total": {"from": ("slot", "none")},
    "control_clients": {},
}
PROCESS = (
    "cpu_seconds_total", "resident_memory_bytes", "virtual_memory_bytes", "open_fds", "max_fds", "start_time_seconds",
)  # fmt: skip

REFUSED = (("9000", "max"), ("2", "min"), ("5oo", "type"), ("", "empty"), ("1200", "max_step"))


def combinations(labels):
    sets = [{}]
    for name, values in labels.items():
        sets = [{**each, name: value} for each in sets for value in values]
    return sets


class NeverSilent(EndToEndTest):
    def test_every_series_is_there_from_the_start(self):
        sidecar = self.sidecar(self.closed_port(), *one_dial("--startup-wait", "10m")).start()
        metrics = eventually("metrics", sidecar.metrics)
        for name, labels in FAMILIES.items():
            full = f"envdial_{name}"
            with self.subTest(metric=full):
                self.assertIn(full, metrics.type)
                self.assertTrue(metrics.help.get(full), "no HELP")
                self.assertEqual(metrics.type[full] == "counter", name.endswith("_total"))
                if isinstance(labels, dict):
                    found = [series for series, _ in metrics.series(name)]
                    self.assertCountEqual(found, combinations(labels))
        for channel in ("env_file", "snapshot_file", "control"):
            self.assertEqual(metrics("delivery_duration_seconds_count", channel=channel), 0)
        for name in PROCESS:
            self.assertIn((f"process_{name}", frozenset()), metrics.samples)
        self.assertEqual(metrics("state", state="not_ready"), 1)

    def test_consul_away(self):
        consul = self.start_consul()
        gate = self.gate(consul)
        consul.put(KEY, 500)
        sidecar = self.sidecar(gate, *one_dial("--stale-after", "1s")).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=500)
        gate.shut()
        left = time.time()
        sidecar.wait_state("stale")
        metrics = sidecar.metrics()
        self.assertEqual((metrics("state", state="stale"), metrics("state", state="ready")), (1, 0))
        self.assertEqual(metrics("source_connected", group=KEY), 0)
        since = metrics("source_last_success_timestamp_seconds", group=KEY, source="consul")
        self.assertLess(abs(left - since), 4, "the metric tells since when")
        self.assertGreater(metrics("consul_polls_total", group=KEY, result="refused"), 0)
        group = sidecar.status()["groups"][0]
        self.assertEqual(group["last_error"]["reason"], "refused")
        self.assertIn(str(gate.port), group["last_error"]["message"])
        self.assertEqual([sidecar.get(path).status for path in ("/livez", "/readyz", "/startupz")], [200, 200, 200])
        shown = envdial("status", "--run-dir", sidecar.run_dir)
        self.assertEqual(shown.returncode, 3)
        for word in ("stale", "refused", NAME, "500"):
            self.assertIn(word, shown.stdout)
        gate.open()
        sidecar.wait_state("ready")
        self.assertEqual(envdial("status", "--run-dir", sidecar.run_dir).returncode, 0)
        # One line when it went and one when it came back, however many polls failed between.
        self.assertEqual(len(sidecar.log_lines(r"\(refused\)")), 1, sidecar.log())
        self.assertEqual(len(sidecar.wait_log("(?i)answers again")), 1, sidecar.log())

    def test_a_refused_value_says_why_in_a_metric_in_status_and_in_one_log_line(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar = self.sidecar(consul, *one_dial("--min", 10, "--max", 2500, "--max-step", "100%")).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=500)
        for count, (value, reason) in enumerate(REFUSED):
            with self.subTest(value=value):
                consul.put(KEY, value)
                rejected = eventually("refused", lambda: self.rejection(sidecar, reason))
                self.assertEqual(rejected["value"], value)
                self.assertTrue(rejected["message"])
                self.assertEqual(sidecar.dial(NAME)["value"], "500")
                metrics = sidecar.metrics()
                self.assertEqual(metrics("dial_rejections_total", dial=NAME, reason=reason), 1)
                self.assertEqual(metrics("dial_rejected", dial=NAME), 1)
                lines = eventually("logged", lambda: sidecar.log_lines(f"(?i){NAME}.*refus|refus.*{NAME}")[count:])
                self.assertEqual(len(lines), 1, lines)
                table = envdial("status", "--run-dir", sidecar.run_dir)
                self.assertIn(f"{reason}:", table.stdout)
                self.assertEqual(table.returncode, 0, "a refused value does not make the sidecar unready")
        consul.put(KEY, 600)
        sidecar.wait_env(MAX_CONCURRENT=600)
        self.assertIsNone(sidecar.dial(NAME)["rejected"])
        self.assertEqual(sidecar.metrics()("dial_rejected", dial=NAME), 0)
        self.assertEqual(sidecar.metrics()("dial_rejections_total", dial=NAME, reason="max"), 1)

    def rejection(self, sidecar, reason):
        rejected = sidecar.dial(NAME)["rejected"]
        return rejected if rejected and rejected["reason"] == reason else None

    def test_a_refused_revision_stays_refused_after_an_outage(self):
        consul = self.start_consul()
        gate = self.gate(consul)
        consul.put(KEY, 100)
        sidecar = self.sidecar(gate, *one_dial("--max-step", "100%")).start_ready()
        consul.put(KEY, 900)
        eventually("refused", lambda: self.rejection(sidecar, "max_step"))
        gate.shut()
        sidecar.wait_metric(0, "source_connected", group=KEY)
        gate.open()
        sidecar.wait_metric(1, "source_connected", group=KEY)
        always("it stays refused", lambda: sidecar.env_text() == env_text(MAX_CONCURRENT=100), 0.5)
        self.assertEqual(sidecar.metrics()("dial_rejections_total", dial=NAME, reason="max_step"), 1)

    def test_stale_values_of_their_own_and_their_end(self):
        consul = self.start_consul()
        gate = self.gate(consul)
        consul.put("hunt/a", 100)
        consul.put("hunt/b", 100)
        dials = self.dials_file([
            {"env": "A", "key": "a", "type": "int", "stale_after": "1s", "when_stale": {"value": 9}},
            {"env": "B", "key": "b", "type": "int", "stale_after": "1s", "when_stale": "default", "default": 5},
        ])  # fmt: skip
        sidecar = self.sidecar(gate, "--dials", dials).start_ready()
        sidecar.wait_env(A=100, B=100)
        gate.shut()
        sidecar.wait_env(A=9, B=5)
        metrics = sidecar.metrics()
        self.assertEqual(metrics("dial_origin", dial="A", origin="stale"), 1)
        self.assertEqual(metrics("dial_origin", dial="B", origin="default"), 1)
        self.assertEqual([dial["set"] for dial in sidecar.snapshot()["dials"]], ["100", "100"])
        gate.open()
        sidecar.wait_env(A=100, B=100)

    def test_undeclared_keys_are_listed_by_name(self):
        consul = self.start_consul()
        consul.put("hunt/max-concurent", 500)
        dials = self.dials_file([{"env": NAME, "key": "max-concurrent", "type": "int", "default": 1}])
        sidecar = self.sidecar(consul, "--dials", dials).start_ready()
        wanted = ["hunt/max-concurent"]
        eventually("the typo shows", lambda: sidecar.status()["groups"][0]["undeclared"]["keys"] == wanted)
        self.assertIn("max-concurent", envdial("status", "--run-dir", sidecar.run_dir).stdout)

    def test_changes_are_logged_once_each_with_old_and_new(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        sidecar.wait_env(MAX_CONCURRENT=500)
        consul.put(KEY, 650)
        sidecar.wait_env(MAX_CONCURRENT=650)
        lines = sidecar.wait_log("650")
        self.assertEqual(len(lines), 1)
        self.assertIn(NAME, lines[0])
        self.assertIn("500", lines[0])
