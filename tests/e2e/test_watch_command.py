# SPDX-License-Identifier: Apache-2.0
"""`envdial watch`: a line for each value and each change, across restarts of the sidecar."""

import itertools
import subprocess
import threading

from support import processes
from support.case import EndToEndTest
from support.sidecar import find_binary
from support.waiting import eventually


class Watcher:
    """`envdial watch`, and what it printed so far."""

    def __init__(self, run_dir):
        self.lines, self.complaints = [], []
        self.process = subprocess.Popen(
            [find_binary(), "watch", "--run-dir", str(run_dir)],
            env=processes.clean_environment({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.complaints))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream, lines):
        lines.extend(iter(stream.readline, ""))

    def wait_for(self, *lines):
        eventually(f"it prints {lines}", lambda: self.lines == list(lines) or self._not(self.lines))

    @staticmethod
    def _not(seen):
        raise ValueError(f"it printed {seen}")

    def end(self):
        self.process.kill()
        self.process.wait(10)
        for reader in self._readers:
            reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


class WatchCommand(EndToEndTest):
    def watch(self, run_dir):
        watcher = Watcher(run_dir)
        self.addCleanup(watcher.end)
        return watcher

    def test_prints_every_value_and_each_change_and_goes_on_after_a_restart(self):
        consul = self.start_consul()
        consul.put("hunt/a", 1)
        consul.put("hunt/b", "it is b")
        dials = self.dials_file(
            [{"env": "A", "key": "a", "type": "int"}, {"env": "B", "key": "b", "type": "string"}]
        )
        sidecar = self.sidecar(consul, "--dials", dials)
        watcher = self.watch(sidecar.run_dir)
        eventually("it says that nobody is there", lambda: watcher.complaints)
        sidecar.start_ready()
        expected = ["A='1'\n", "B='it is b'\n"]
        watcher.wait_for(*expected)
        consul.put("hunt/a", 2)
        expected.append("A='2'\n")
        watcher.wait_for(*expected)
        sidecar.kill()
        eventually("it says that the sidecar is gone", lambda: len(watcher.complaints) >= 2)
        consul.put("hunt/b", "changed meanwhile")
        sidecar.start_ready()
        expected.append("B='changed meanwhile'\n")
        watcher.wait_for(*expected)
        # A sidecar that ends may be seen to reset a connection first, and to refuse the next ones.
        self.assertTrue(all(one != next for one, next in itertools.pairwise(watcher.complaints)), watcher.complaints)

    def test_prints_nothing_before_there_is_a_value(self):
        consul = self.start_consul()
        dials = self.dials_file([{"env": "A", "key": "a", "type": "int"}])
        sidecar = self.sidecar(consul, "--dials", dials).start()
        watcher = self.watch(sidecar.run_dir)
        eventually("it waits", lambda: sidecar.metrics()("control_clients") == 1)
        self.assertEqual(watcher.lines, [])
        consul.put("hunt/a", 1)
        watcher.wait_for("A='1'\n")
