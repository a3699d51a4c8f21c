# SPDX-License-Identifier: Apache-2.0
"""The real envdial, run and looked at from outside."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from support import processes, unix_http
from support.metrics import Metrics
from support.waiting import eventually


def find_binary():
    binary = os.environ.get("ENVDIAL_BINARY")
    if not binary or not Path(binary).is_file():
        raise AssertionError(f"ENVDIAL_BINARY={binary!r} is not the envdial to test (ctest sets it)")
    return binary


def envdial(*arguments, env=None, stdin=None, timeout=30):
    """Runs a short command to its end."""
    return subprocess.run(
        [find_binary(), *map(str, arguments)],
        env=processes.clean_environment(env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def env_text(**values):
    """What the env file says for these values."""
    return "".join(f"{name}='{value}'\n" for name, value in values.items())


class Sidecar:
    """`envdial run` with a run and a state directory below `where`. May be started again and again."""

    def __init__(self, where, *arguments, env=None, before=(), run_dir=None, make_run_dir=True):
        self.where = Path(where)
        self.run_dir = Path(run_dir or self.where / "run")
        self.state_dir = self.where / "state"
        self.env_file = self.run_dir / "env"
        self.socket = self.run_dir / "control.sock"
        self.log_file = self.where / "sidecar.log"
        for directory in (self.run_dir, self.state_dir) if make_run_dir else (self.where,):
            directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self.arguments = list(map(str, arguments))
        self.env = env or {}
        self.before = list(map(str, before))  # a command that executes the sidecar in its turn: nsenter …, unshare …
        self.started = 0.0
        self._process = None
        self._log_seen = 0

    @property
    def pid(self):
        return self._process.pid

    def command(self):
        return [
            *self.before, find_binary(), "run", "--run-dir", str(self.run_dir), "--state-dir", str(self.state_dir),
            *self.arguments,
        ]  # fmt: skip

    def start(self, output=None):
        """Starts it and waits for nothing. Its log goes to the log file, or to `output`."""
        self._log_seen = self.log_file.stat().st_size if self.log_file.exists() else 0
        with open(self.log_file, "ab") as log:
            self.started = time.monotonic()
            self._process = processes.start(self.command(), output or log, env=processes.clean_environment(self.env))
        return self

    def start_ready(self, within=15.0):
        """Starts it and waits until values were published."""
        self.start()
        self.wait_published(within)
        return self

    def wait_published(self, within=15.0):
        eventually("values are published", lambda: self.alive() and self.snapshot()["version"] > 0, within)

    def alive(self):
        if self._process.poll() is not None:
            raise AssertionError(f"the sidecar ended with {self._process.returncode}:\n{self.log()[-3000:]}")
        return True

    def ended(self):
        return self._process.poll() is not None

    def kill(self):
        processes.kill(self._process)

    def signal(self, number):
        self._process.send_signal(number)

    def terminate(self, within=5.0):
        """SIGTERM; returns the exit code and how long the end took."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        return self.wait_end(within), time.monotonic() - began

    def wait_end(self, within=10.0):
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the sidecar did not end within {within:g} s:\n{self.log()[-3000:]}") from None

    def log(self):
        """What it logged since its last start."""
        if not self.log_file.exists():
            return ""
        with open(self.log_file, "rb") as log:
            log.seek(self._log_seen)
            return log.read().decode()

    def log_lines(self, pattern):
        return [line for line in self.log().splitlines() if re.search(pattern, line)]

    def wait_log(self, pattern, within=10.0):
        return eventually(f"a log line like {pattern!r}", lambda: self.log_lines(pattern), within)

    def get(self, target, timeout=5.0):
        return unix_http.request(self.socket, "GET", target, timeout=timeout)

    def json(self, target):
        answer = self.get(target)
        if answer.status != 200:
            raise ValueError(f"{target}: {answer.status} {answer.text}")
        return json.loads(answer.text)

    def snapshot(self):
        return self.json("/v1/snapshot")

    def dial(self, name):
        return next(dial for dial in self.snapshot()["dials"] if dial["name"] == name)

    def status(self):
        return self.json("/v1/status")

    def metrics(self):
        answer = self.get("/metrics")
        if answer.status != 200:
            raise ValueError(f"/metrics: {answer.status}")
        return Metrics(answer.text)

    def env_text(self):
        return self.env_file.read_text()

    def wait_env(self, within=10.0, **values):
        """Waits until the env file says exactly this; returns how long that took."""
        began = time.monotonic()
        text = env_text(**values)
        eventually(f"the env file says {text!r}", lambda: self.env_text() == text or self._not(self.env_text()), within)
        return time.monotonic() - began

    @staticmethod
    def _not(seen):
        raise ValueError(f"it says {seen!r}")

    def wait_metric(self, expected, name, within=10.0, **labels):
        def reached():
            value = self.metrics()(name, **labels)
            return value == expected or self._not(value)

        eventually(f"envdial_{name}{labels} is {expected}", reached, within)

    def wait_state(self, state, within=10.0):
        eventually(f"the state is {state}", lambda: self.status()["state"] == state, within)
