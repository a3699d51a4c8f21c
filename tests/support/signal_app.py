# SPDX-License-Identifier: Apache-2.0
"""An app that counts its signals beside the sidecar."""

import json
import os
import shutil
import subprocess

from support import processes
from support.sidecar import env_text
from support.waiting import eventually

# Says what the env file says at each SIGHUP, and does what it is told: "catch" installs the handler. It writes without
# a buffer, since a signal may come while it writes.
APP = """
import json, os, signal, sys
def say(text):
    os.write(1, text.encode() + b"\\n")
def on_signal(*_):
    say("HUP " + json.dumps(open(sys.argv[1]).read()))
say("ready")
for line in sys.stdin:
    if line == "catch\\n":
        signal.signal(signal.SIGHUP, on_signal)
    say("done")
"""


class SignalApp:
    """A copy of Python at a path of its own, so that its executable is nobody else's."""

    def __init__(self, where, env_file):
        self.path = where / "app"
        self.pidfile = where / "app.pid"
        self._env_file = env_file
        self._said = where / "said"
        self._process = None
        where.mkdir()
        shutil.copy(os.path.realpath("/usr/bin/python3"), self.path)

    def start(self, catch=True):
        # As a container of an unprivileged pod: a sidecar without capabilities can't see the executable of an app that
        # has some.
        bare = ["--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
        with open(self._said, "w") as said:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *bare, "--", self.path, "-I", "-S", "-c", APP, self._env_file],
                stdin=subprocess.PIPE,
                stdout=said,
            )
        self.pidfile.write_text(f"{self._process.pid}\n")
        eventually("the app runs", lambda: "ready" in self._said.read_text())
        if catch:
            self.catch()
        return self

    @property
    def pid(self):
        return self._process.pid

    def catch(self):
        self._tell("catch\n")

    def _tell(self, line):
        answers = self._said.read_text().count("done")
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        eventually("the app answers", lambda: self._said.read_text().count("done") > answers)

    def signalled(self):
        """What the env file said at each signal until now."""
        self._tell("say what you have\n")
        return [json.loads(line[4:]) for line in self._said.read_text().splitlines() if line.startswith("HUP ")]

    def wait_signalled(self, *values):
        """Waits for as many signals, and fails if it read something else at one of them."""
        expected = [env_text(MAX_CONCURRENT=value) for value in values]
        eventually(f"a signal for each of {values}", lambda: len(self.signalled()) >= len(values))
        seen = self.signalled()
        if seen != expected:
            raise AssertionError(f"at its signals, the app read {seen!r}, expected {expected!r}")

    def alive(self):
        return self._process.poll() is None

    def kill(self):
        processes.kill(self._process)
        if self._process is not None:
            self._process.stdin.close()
