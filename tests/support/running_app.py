# SPDX-License-Identifier: Apache-2.0
"""A program that prints lines and may be asked for more."""

import shutil
import subprocess
import threading

from support import processes


class RunningApp:
    """Ends with the test that started it. `lines` has what it printed so far."""

    def __init__(self, command, env, output):
        self._process = subprocess.Popen(
            [shutil.which("setpriv"), "--pdeathsig", "KILL", "--", *map(str, command)],
            env=processes.clean_environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))

    def ask(self, line=""):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def end(self):
        self._process.kill()
        self._process.wait()
        self._reader.join(10)
        self._process.stdin.close()
        self._process.stdout.close()
