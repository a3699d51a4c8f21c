# SPDX-License-Identifier: Apache-2.0
"""A run directory with a snapshot in it, and threads that end with the test."""

import shutil
import struct
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from snapshot_writer import SnapshotWriter  # noqa: E402

from envdial import _file  # noqa: E402

DIALS = [
    ("LIMIT", "int", 500, "500"),
    ("RATIO", "float", struct.unpack("<Q", struct.pack("<d", 0.25))[0], "0.25"),
    ("ENABLED", "bool", 1, "true"),
    ("PAUSE", "duration", 1_500_000_000, "1.5s", 0, "per hunt"),
    ("GREETING", "string", None, "good day, Zoë"),
    ("RULES", "json", None, '{"a": [1, 2]}'),
    ("TOKEN", "string", None, "hunter2", 1),
]
# The heartbeat of a sidecar that is gone, in nanoseconds before now. In these tests the others live for an hour, so
# that a machine that stands still for seconds changes nothing.
GONE = 2 * 3_600_000_000_000


class SnapshotTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.addCleanup(setattr, _file, "HEARTBEAT_LIMIT_NS", _file.HEARTBEAT_LIMIT_NS)
        _file.HEARTBEAT_LIMIT_NS = GONE // 2
        self.run_dir = Path(tempfile.mkdtemp(prefix="envdial-python-"))
        self.addCleanup(shutil.rmtree, self.run_dir)
        self.path = self.run_dir / "snapshot"

    def write(self, dials=DIALS, **options):
        return SnapshotWriter(self.path, dials, **options)

    def in_thread(self, what):
        """Runs `what` beside the test; its result is waited for by the function that is returned."""
        results = []

        def run():
            try:
                results.append(what())
            except BaseException as failed:
                results.append(failed)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def finish(within=30.0):
            thread.join(within)
            if not results:
                raise AssertionError(f"not done within {within:g} s: {what}")
            if isinstance(results[0], BaseException):
                raise results[0]
            return results[0]

        return finish


def eventually(what, condition, within=30.0):
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(0.003)
