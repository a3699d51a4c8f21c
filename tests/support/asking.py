# SPDX-License-Identifier: Apache-2.0
"""Programs that answer a line on their standard input by a line on their standard output."""

import select
import subprocess
import time

from support import processes

ANSWER_SECONDS = 60  # a loaded machine may take seconds to start an interpreter


class Asked:
    """A program that is asked for names of the environment, and says what it has. It ends with the test."""

    def __init__(self, command, env):
        self._command = command
        self._said = b""
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
        )

    @property
    def pid(self):
        return self._process.pid

    def ask(self, line):
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()
        deadline = time.monotonic() + ANSWER_SECONDS
        while b"\n" not in self._said:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise AssertionError(f"no answer to {line!r} within {ANSWER_SECONDS} s from {self._command}")
            more = self._process.stdout.read1()
            if not more:
                raise AssertionError(f"{self._command} ended with {self._process.wait()} when asked for {line!r}")
            self._said += more
        answer, _, self._said = self._said.partition(b"\n")
        return answer.decode()

    def kill(self):
        processes.kill(self._process)
        self._process.stdin.close()
        self._process.stdout.close()
