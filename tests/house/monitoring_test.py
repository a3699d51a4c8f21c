# SPDX-License-Identifier: Apache-2.0
"""Alerts, dashboard and runbook speak of the same things: of metrics that docs/metrics.md describes, which page
tests/e2e/test_metrics.py holds against a real sidecar's; and each alert has its section in the runbook."""

import json
import re
import unittest

import tree

_METRIC = re.compile(r"\benvdial_[a-z0-9_]+")
_PARTS = re.compile(r"_(bucket|sum|count)$")  # of a histogram

_OF_THE_TARGET = {"job", "namespace", "instance", "pod"}
_FILES = ("deploy/prometheus/envdial.rules.yaml", "deploy/grafana/envdial.json", "docs/runbook.md")


def read(path):
    return (tree.source_dir() / path).read_text(encoding="utf-8")


def described():
    """The metrics of docs/metrics.md, and for each the labels that it has."""
    rows = re.findall(r"^\| `(envdial_\w+)(?:\{([\w,]*)\})?` \|", read("docs/metrics.md"), re.MULTILINE)
    return {name: set(filter(None, labels.split(","))) for name, labels in rows}


class MonitoringTest(unittest.TestCase):
    def setUp(self):
        self.alerts = re.findall(r"- alert: (\w+)", read("deploy/prometheus/envdial.rules.yaml"))

    def test_each_alert_has_its_section_in_the_runbook_and_its_row(self):
        runbook = read("docs/runbook.md")
        self.assertTrue(self.alerts)
        self.assertEqual(self.alerts, re.findall(r"^## (Envdial\w+)$", runbook, re.MULTILINE))
        rows = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \| (\w+) \|", runbook, re.MULTILINE)
        severities = re.findall(r"severity: (\w+)", read("deploy/prometheus/envdial.rules.yaml"))
        self.assertEqual([(name, name.lower(), how) for name, how in zip(self.alerts, severities)], rows)

    def test_each_section_says_what_is_seen_what_it_means_and_what_to_type(self):
        for section in read("docs/runbook.md").split("\n## ")[1:]:
            for part in ("**You see** ", "**It means** ", "**Type**"):
                self.assertEqual(1, section.count(part), (section.splitlines()[0], part))

    def test_each_metric_that_they_name_is_described(self):
        known = described()
        self.assertGreater(len(known), 20)
        for path in _FILES:
            named = {_PARTS.sub("", name) for name in _METRIC.findall(read(path))}
            self.assertTrue(named, path)
            self.assertEqual(set(), named - known.keys(), path)

    def test_no_selector_has_a_label_that_its_metric_has_not(self):
        known = described()
        for path in _FILES:
            for name, selector in re.findall(r"\b(envdial_[a-z0-9_]+)\{([^}]*)\}", read(path).replace('\\"', '"')):
                labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) - _OF_THE_TARGET
                self.assertEqual(set(), labels - known[_PARTS.sub("", name)], f"{path}: {name}")


class DashboardTest(unittest.TestCase):
    def setUp(self):
        self.dashboard = json.loads(read("deploy/grafana/envdial.json"))

    def test_each_panel_says_what_it_shows_and_asks_the_chosen_data_source(self):
        panels = [panel for panel in self.dashboard["panels"] if panel["type"] != "row"]
        self.assertTrue(panels)
        for panel in panels:
            with self.subTest(panel=panel["title"]):
                self.assertTrue(panel["description"])
                self.assertEqual("${datasource}", panel["datasource"]["uid"])
                self.assertTrue(panel["targets"])
                for target in panel["targets"]:
                    self.assertIn('job=~"$job"', target["expr"])

    def test_no_two_panels_stand_in_one_place(self):
        taken = {}
        for panel in self.dashboard["panels"]:
            place = panel["gridPos"]
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertLess(x, 24)
                    self.assertNotIn((x, y), taken, panel["title"])
                    taken[x, y] = panel["title"]
        self.assertEqual(len(self.dashboard["panels"]), len({panel["id"] for panel in self.dashboard["panels"]}))


if __name__ == "__main__":
    unittest.main()
