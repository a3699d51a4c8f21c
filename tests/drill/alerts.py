# SPDX-License-Identifier: Apache-2.0
"""What `script/drill alerts` does. Needs ENVDIAL_BINARY, ENVDIAL_CONSUL and ENVDIAL_PROMETHEUS."""

import argparse
import contextlib
import json
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import processes, report, unix_http  # noqa: E402  (found only now)
from support.prometheus import RULES, Prometheus  # noqa: E402
from support.real_consul import Consul  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402
from support.waiting import eventually  # noqa: E402

TOP = RULES.parents[2]
FLEET = 4  # sidecars of the job `hunt`
AT_ONCE = {"EnvdialStale", "EnvdialConsulUnreachable", "EnvdialFleetStale", "EnvdialNotReady", "EnvdialValueRefused"}
FIRE_WITHIN = {True: 360, False: 900}  # seconds: the slowest alert waits for three minutes, or for ten
RESOLVE_WITHIN = 480
DIALS = {
    "prefix": "hunt/",
    "dials": [
        {"env": "MAX_CONCURRENT", "key": "max-concurrent", "type": "int", "min": 1, "max": 2500, "default": 500},
        {"env": "DIFFICULTY", "key": "difficulty", "type": "string", "default": "easy"},
    ],
}


class Pod:
    """A sidecar that Prometheus can scrape."""

    def __init__(self, where, consul, *arguments, **options):
        self.port = processes.free_port()
        self.sidecar = Sidecar(
            where, "--consul-addr", consul.address, "--listen", f"127.0.0.1:{self.port}", *arguments, **options
        )

    def say_applied(self, version):
        text = json.dumps({"consumer": "hunt-service", "version": version})
        answer = unix_http.request(self.sidecar.socket, "PUT", "/v1/applied", text)
        if answer.status != 204:
            raise AssertionError(f"PUT /v1/applied: {answer.status} {answer.text}")


class Scene:
    def __init__(self, where, cleanup):
        self.consul = Consul(where / "consul", keep_data=True)
        cleanup.callback(self.consul.kill)
        self.consul.start()
        self.consul.put("hunt/max-concurrent", 700)
        dials = where / "dials.json"
        dials.write_text(json.dumps(DIALS))
        self._token = where / "token"
        self._token.write_text("a-token")
        self.fleet = [Pod(where / f"hunt-{number}", self.consul, "--dials", dials) for number in range(FLEET)]
        env = {"CONSUL_HTTP_TOKEN_FILE": str(self._token)}
        one_dial = ("--key", "new/limit", "--env", "LIMIT", "--type", "int")
        self.new = Pod(where / "new", self.consul, *one_dial, env=env)
        for pod in [*self.fleet, self.new]:
            cleanup.callback(pod.sidecar.kill)
            pod.sidecar.start()
        for pod in self.fleet:
            pod.sidecar.wait_published()
        self.prometheus = Prometheus(where / "prometheus")
        self.blind = Prometheus(where / "blind")  # which was told of no sidecar
        for prometheus, jobs in ((self.prometheus, self._jobs()), (self.blind, {})):
            cleanup.callback(prometheus.kill)
            prometheus.set_targets(jobs)
            prometheus.start()

    def _jobs(self):
        return {"hunt": [pod.port for pod in self.fleet], "new": [self.new.port]}

    def live(self):
        """Turns the dial while Prometheus looks; and an app says that it follows."""
        eventually("all are scraped", self._all_are_scraped, within=60, every=0.2)
        for value in range(701, 721):
            self.consul.put("hunt/max-concurrent", value)
            self._wait_value(value)
        self.fleet[1].say_applied(self.fleet[1].sidecar.snapshot()["version"])

    def _all_are_scraped(self):
        return self.prometheus.query("count(envdial_build_info)") == [({}, FLEET + 1)]

    def _wait_value(self, value):
        for pod in self.fleet[:2]:
            text = str(value)
            eventually(f"the value is {text}", lambda: pod.sidecar.dial("MAX_CONCURRENT")["value"] == text)

    def break_all(self):
        hunt = self.fleet[0].sidecar
        hunt.env_file.unlink()
        hunt.env_file.mkdir()  # so that no file can be renamed over it
        for slot in self._new_slots():
            slot.unlink(missing_ok=True)
            slot.mkdir()  # so that none can be written
        self._token.unlink()
        self.fleet[-1].sidecar.kill()
        self.consul.put("hunt/max-concurrent", 800)
        self._wait_value(800)
        self.consul.put("hunt/max-concurrent", 9000)
        for pod in self.fleet[:-1]:
            pod.sidecar.wait_metric(1, "dial_rejected", dial="MAX_CONCURRENT")
        self.consul.kill()

    def mend_all(self):
        self.consul.start()
        self.consul.put("hunt/max-concurrent", 900)
        self.consul.put("hunt/difficulty", "hard")
        self.consul.put("new/limit", 5)
        self._token.write_text("a-token")
        for path in [self.fleet[0].sidecar.env_file, *self._new_slots()]:
            path.rmdir()
        self.fleet[-1].sidecar.start()
        self._wait_value(900)
        self.fleet[1].say_applied(self.fleet[1].sidecar.snapshot()["version"])
        self.blind.set_targets(self._jobs())

    def _new_slots(self):
        return [self.fleet[0].sidecar.state_dir / f"last-known-good.{slot}.tmp" for slot in (0, 1)]

    def firing(self):
        """Names of alerts. That no sidecar is seen can only be told where none is."""
        seen = {labels["alertname"] for labels in self.prometheus.alerts()}
        return seen | ({labels["alertname"] for labels in self.blind.alerts()} & {"EnvdialAbsent"})


def follow(what, expected, now, within):
    """Calls `now` until it has returned each of `expected`; for each, after how many seconds that was."""
    began, seen = time.monotonic(), {}
    while len(seen) < len(expected):
        after = time.monotonic() - began
        for name in (now() & expected) - seen.keys():
            seen[name] = after
            print(f"  {what} after {after:.0f} s: {name}", flush=True)
        if after > within:
            raise AssertionError(f"not {what} within {within} s: {', '.join(sorted(expected - seen.keys()))}")
        time.sleep(0.5)
    return seen


def dashboard_queries():
    panels = json.loads((TOP / "deploy/grafana/envdial.json").read_text())["panels"]
    for panel in panels:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "1m")
            yield panel["title"], re.sub(r'"\$\w+"', '".*"', expression)


def runbook_queries():
    for section in (TOP / "docs/runbook.md").read_text().split("\n## ")[1:]:
        for query in re.findall(r"```promql\n(.*?)```", section, re.DOTALL):
            yield section.splitlines()[0], query


def ask_all(prometheus, queries, within=60):
    """Each one has to give a number. Returns how many there were."""
    count = 0
    for where, query in queries:
        eventually(f"{where}: {query} has data", lambda: prometheus.has_data(query), within, every=0.5)
        count += 1
    return count


def main():
    arguments = argparse.ArgumentParser(prog="script/drill alerts")
    arguments.add_argument("--short", action="store_true")
    short = arguments.parse_args().short
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    expected = AT_ONCE if short else alerts
    with contextlib.ExitStack() as cleanup:
        where = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="envdial-alerts-")))
        scene = Scene(where, cleanup)
        scene.live()
        asked = ask_all(scene.prometheus, dashboard_queries())
        print(f"each of the dashboard's {asked} queries has data", flush=True)
        if early := scene.firing():
            raise AssertionError(f"firing before anything is broken: {early}")
        scene.break_all()
        fired = follow("firing", expected, scene.firing, FIRE_WITHIN[short])
        asked = ask_all(scene.prometheus, runbook_queries())
        print(f"each of the runbook's {asked} queries has data", flush=True)
        scene.mend_all()
        resolved = follow("resolved", expected, lambda: alerts - scene.firing(), RESOLVE_WITHIN)
        print()
        rows = [(name, f"{fired[name]:.0f} s", f"{resolved[name]:.0f} s") for name in sorted(fired, key=fired.get)]
        report.print_table([("alert", "fired after", "resolved after"), *rows])
        report.print_conditions(f"{FLEET + 1} sidecars, scraped every 5 s")
    print("\nalerts: each one fired and resolved")


main()
