# SPDX-License-Identifier: Apache-2.0
"""Whether the machine stood still: what then came late was not late by anybody's fault."""

import threading
import time


class StallMeter(threading.Thread):
    """Wakes every few milliseconds, and notes when it was woken late."""

    def __init__(self):
        super().__init__(daemon=True)
        self._stalls = []  # (when it ended, how long)
        self._ended = threading.Event()
        self.start()

    def run(self):
        last = time.monotonic()
        while not self._ended.wait(0.01):
            now = time.monotonic()
            if now - last > 0.1:
                self._stalls.append((now, now - last))
            last = now

    def longest_since(self, moment):
        """In seconds; 0 if it was never late by more than a tenth of one."""
        return max((length for ended, length in self._stalls if ended >= moment), default=0.0)

    def finish(self):
        self._ended.set()
        self.join(10)
