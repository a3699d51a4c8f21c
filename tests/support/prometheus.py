# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus with our alerts."""

import json
import math
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from support import processes
from support.waiting import eventually

RULES = Path(__file__).resolve().parents[2] / "deploy/prometheus/envdial.rules.yaml"
SCRAPE_SECONDS = 5
_CONFIG = f"""
global: {{ scrape_interval: {SCRAPE_SECONDS}s, scrape_timeout: 2s, evaluation_interval: {SCRAPE_SECONDS}s }}
rule_files: [{json.dumps(str(RULES))}]
scrape_configs:
  - job_name: sidecars
    file_sd_configs: [{{ files: [targets.json], refresh_interval: 5s }}]
"""


class Prometheus:
    """Keeps its data in `where`. Listens on the loopback only."""

    def __init__(self, where):
        self.where = Path(where)
        self.where.mkdir(parents=True)
        self._port = processes.free_port()
        self._process = None

    def set_targets(self, jobs):
        """`jobs`: for each name of a job, its sidecars' ports."""
        targets = [
            {"targets": [f"127.0.0.1:{port}" for port in ports], "labels": {"job": job}} for job, ports in jobs.items()
        ]
        new = self.where / "targets.new"
        new.write_text(json.dumps(targets))
        new.rename(self.where / "targets.json")

    def start(self):
        folder = os.environ.get("ENVDIAL_PROMETHEUS")
        if not folder:
            raise AssertionError("ENVDIAL_PROMETHEUS names no folder of Prometheus (script/setup --print-prometheus)")
        (self.where / "prometheus.yaml").write_text(_CONFIG)
        with open(self.where / "prometheus.log", "ab") as log:
            self._process = processes.start(
                [Path(folder, "prometheus"), f"--config.file={self.where}/prometheus.yaml",
                 f"--storage.tsdb.path={self.where}/data", f"--web.listen-address=127.0.0.1:{self._port}"], log
            )  # fmt: skip
        eventually("Prometheus is ready", self._ready, within=60, every=0.1)
        return self

    def kill(self):
        processes.kill(self._process)

    def query(self, expression):
        """The samples of an instant query: a list of (labels, value)."""
        result = self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")["data"]["result"]
        return [(sample["metric"], float(sample["value"][1])) for sample in result]

    def has_data(self, expression):
        """Whether it gives at least one number."""
        return any(math.isfinite(value) for _, value in self.query(expression))

    def alerts(self, state="firing"):
        """The labels of the alerts in that state."""
        return [alert["labels"] for alert in self._get("/api/v1/alerts")["data"]["alerts"] if alert["state"] == state]

    def _ready(self):
        if self._process.poll() is not None:
            raise AssertionError(f"Prometheus ended: {(self.where / 'prometheus.log').read_text()[-2000:]}")
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5) as answer:
            return answer.status == 200

    def _get(self, target):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{target}", timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{target}: {refused.read().decode()}") from refused
