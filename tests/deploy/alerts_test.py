# SPDX-License-Identifier: Apache-2.0
"""The alerts, as promtool reads them and by their own tests: one file of alerts/ for each."""

import itertools
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
RULES = TOP / "deploy/prometheus/envdial.rules.yaml"
TESTS = pathlib.Path(__file__).parent / "alerts"
RUNBOOK = "https://github.com/envdial/envdial/blob/main/docs/runbook.md#"


def promtool():
    kept = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "envdial/prometheus"
    found = pathlib.Path(os.environ.get("ENVDIAL_PROMETHEUS") or kept) / "promtool"
    if not found.exists():
        raise AssertionError(f"{found} is not there: run script/setup, or script/test, which sets ENVDIAL_PROMETHEUS")
    return found


def run(*arguments):
    return subprocess.run([promtool(), *arguments], capture_output=True, text=True, timeout=100)


def alerts():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def is_firing(check):
    return bool(check.get("exp_alerts"))


def is_scraped_in_vain(series):
    """What Prometheus writes then: a marker in the series, and 0 into `up`."""
    return " stale " in series["values"] or (series["series"].startswith("up{") and " 0 " in series["values"])


class AlertsTest(unittest.TestCase):
    maxDiff = None

    def test_the_rules_are_well_formed(self):
        done = run("check", "rules", "--lint=all", "--lint-fatal", RULES)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn(f"{len(alerts())} rules found", done.stdout)

    def test_each_one_says_how_bad_it_is_and_what_to_do(self):
        for rule in alerts():
            with self.subTest(alert=rule["alert"]):
                self.assertRegex(rule["alert"], "^Envdial([A-Z][a-z]+)+$")
                self.assertIn(rule["labels"]["severity"], ("critical", "warning", "info"))
                self.assertEqual({"summary", "description", "runbook_url"}, set(rule["annotations"]))
                self.assertEqual(RUNBOOK + rule["alert"].lower(), rule["annotations"]["runbook_url"])

    def test_each_one_fires_and_resolves_and_bears_a_missed_scrape(self):
        self.assertEqual({rule["alert"] for rule in alerts()}, {file.stem for file in TESTS.glob("*.yaml")})
        done = run("test", "rules", *sorted(TESTS.glob("*.yaml")))
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    def test_each_file_tests_its_own_alert_for_all_three(self):
        for file in TESTS.glob("*.yaml"):
            with self.subTest(alert=file.stem):
                tests = yaml.safe_load(file.read_text())["tests"]
                checks = [check for test in tests for check in test["alert_rule_test"]]
                self.assertEqual({file.stem}, {check["alertname"] for check in checks})
                story = [key for key, _ in itertools.groupby(map(is_firing, tests[0]["alert_rule_test"]))]
                self.assertEqual([False, True, False], story)
                missed = [test for test in tests if test["name"].startswith("a missed scrape alone raises nothing")]
                self.assertEqual(1, len(missed))
                self.assertFalse(any(map(is_firing, missed[0]["alert_rule_test"])))
                self.assertTrue(any(is_scraped_in_vain(series) for series in missed[0]["input_series"]))

    def test_each_one_would_be_missed(self):
        """Where the alerts fire at once, or never, the test of each fails."""
        for planted in ("0s", "1d"):
            with self.subTest(planted=planted):
                done = self._test_with([rule | {"for": planted} for rule in alerts()])
                self.assertEqual(len(alerts()), done.stdout.count("Unit Testing: "), done.stderr)
                self.assertNotIn("SUCCESS", done.stdout)

    def _test_with(self, rules):
        with tempfile.TemporaryDirectory() as folder:
            planted = pathlib.Path(folder, RULES.relative_to(TOP))
            planted.parent.mkdir(parents=True)
            planted.write_text(yaml.safe_dump({"groups": [{"name": "envdial", "rules": rules}]}))
            tests = pathlib.Path(folder, TESTS.relative_to(TOP))
            shutil.copytree(TESTS, tests)
            return run("test", "rules", *sorted(tests.glob("*.yaml")))


if __name__ == "__main__":
    unittest.main()
