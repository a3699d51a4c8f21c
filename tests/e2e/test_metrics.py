# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md describes what a sidecar really shows: rules, dashboard and runbook are held against that page."""

import os
import re
from pathlib import Path

from support import unix_http
from support.case import EndToEndTest, one_dial

PAGE = Path(__file__).resolve().parents[2] / "docs/metrics.md"
PARTS = re.compile(r"_(bucket|sum|count)$")


class MetricsPageTest(EndToEndTest):
    def test_it_has_each_family_with_its_type_and_labels_and_no_other(self):
        rows = re.findall(r"^\| `(envdial_\w+)(?:\{([\w,]*)\})?` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
        described = {name: (kind, set(filter(None, labels.split(",")))) for name, labels, kind in rows}
        sidecar = self.sidecar(
            self.closed_port(), *one_dial("--default", "500", "--signal", "HUP", "--signal-to", f"pidfile:{os.devnull}")
        ).start_ready()
        applied = '{"consumer": "hunt-service", "version": 1}'
        self.assertEqual(204, unix_http.request(sidecar.socket, "PUT", "/v1/applied", applied).status)
        metrics = sidecar.metrics()
        shown = {}
        for name, labels in metrics.samples:
            if not name.startswith("process_"):
                family = name if name in metrics.type else PARTS.sub("", name)
                _, seen = shown.setdefault(family, (metrics.type[family], set()))
                seen |= {label for label, _ in labels} - {"le"}
        self.assertEqual(described, shown)
