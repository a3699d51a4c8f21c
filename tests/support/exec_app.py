# SPDX-License-Identifier: Apache-2.0
"""`envdial exec` with an app that writes down what happens to it."""

import json
import os
import subprocess
from pathlib import Path

from support import processes
from support.sidecar import find_binary
from support.waiting import eventually

# Appends a JSON line to the file of its first argument when it starts, and one for each signal. Words after it:
# `catch` installs the handlers for all signals but TERM, which always ends it with 3; `stubborn` does not end by it;
# `nursery` has a child that does nothing. Whatever exec does, all end when nobody holds the pipe SAID.held any more.
APP = """
import json, os, signal, sys
said, *words = sys.argv[1:]
file = os.open(said, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
held = os.open(said + ".held", os.O_RDONLY | os.O_NONBLOCK)  # else this would wait for a test that is gone
os.set_blocking(held, True)
def say(what, **more):
    os.write(file, (json.dumps({"what": what, "pid": os.getpid(), **more}) + "\\n").encode())
def on_signal(number, _):
    say(signal.Signals(number).name)
    if number == signal.SIGTERM and "stubborn" not in words:
        os._exit(3)
def catch():
    for name in ("HUP", "INT", "QUIT", "USR1", "USR2", "WINCH", "CONT"):
        signal.signal(getattr(signal, "SIG" + name), on_signal)
signal.signal(signal.SIGTERM, on_signal)
if "catch" in words:
    catch()
if "nursery" in words and os.fork() == 0:
    say("born")
    os.read(held, 1)
    os._exit(0)
if "later" in words:
    signal.signal(signal.SIGUSR1, lambda *_: (catch(), say("catches")))
with open("/proc/self/stat") as stat:
    ticks = int(stat.read().rpartition(")")[2].split()[19])
say("start", env=dict(os.environ), group=os.getpgid(0), at=ticks / os.sysconf("SC_CLK_TCK"))
os.read(held, 1)
"""


def gone(pid):
    """Whether a process has ended; whoever inherited it may take its time to reap it."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


class ExecApp:
    """`envdial exec` that runs the app above, or `command`, with a log and a file of what the app said in `where`."""

    def __init__(self, where, run_dir, *arguments, words=("catch",), command=None, before=(), env=None):
        self.where = Path(where)
        self.where.mkdir(parents=True, exist_ok=True)
        self.log_file = self.where / "sidecar.log"
        self.said_file = self.where / "said"
        self._command = [
            *before, find_binary(), "exec", "--run-dir", run_dir, *arguments, "--",
            *(command or ("/usr/bin/python3", "-I", "-S", "-c", APP, self.said_file, *words)),
        ]  # fmt: skip
        pipe = f"{self.said_file}.held"
        os.mkfifo(pipe)
        self._held = os.open(pipe, os.O_RDWR)
        self._env = env
        self._process = None

    def start(self, **options):
        with open(self.log_file, "ab") as log:
            environment = processes.clean_environment(self._env)
            if options:
                self._process = subprocess.Popen(
                    list(map(str, self._command)), stdout=log, stderr=log, env=environment, **options
                )
            else:
                self._process = processes.start(self._command, log, env=environment)
        return self

    def start_app(self):
        self.start()
        self.wait_said("start")
        return self

    @property
    def pid(self):
        return self._process.pid

    def log(self):
        return self.log_file.read_text(errors="replace")

    def said(self, what=None):
        """What the app said until now, the newest last."""
        text = self.said_file.read_text() if self.said_file.exists() else ""
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if what in (None, line["what"])]

    def wait_said(self, what, times=1):
        """Waits until it said this so often, and returns the newest."""
        eventually(f"the app says {what!r} {times} times", lambda: self.alive() and len(self.said(what)) >= times)
        return self.said(what)[-1]

    def alive(self):
        if self.ended():
            raise AssertionError(f"exec ended with {self._process.returncode}:\n{self.log()[-3000:]}")
        return True

    def ended(self):
        return self._process.poll() is not None

    def signal(self, number):
        self._process.send_signal(number)

    def wait_end(self, within=20.0):
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"exec did not end within {within:g} s:\n{self.log()[-3000:]}") from None

    def wait_log(self, text, within=10.0):
        eventually(f"the log says {text!r}", lambda: text in self.log(), within)

    def kill(self):
        """Kills exec, and lets go what it left."""
        processes.kill(self._process)
        os.close(self._held)
