# SPDX-License-Identifier: Apache-2.0
"""The Python client beside the real sidecar and a real Consul."""

import asyncio
import sys
import threading
from datetime import timedelta

from support import client_story, pages
from support.case import NAME
from support.running_app import RunningApp
from support.waiting import eventually

CLIENT = pages.TOP / "clients/python"
sys.path.insert(0, str(CLIENT))

import envdial  # noqa: E402


def plain(value):
    return value.total_seconds() if isinstance(value, timedelta) else value


class Reader:
    def __init__(self, run_dir):
        self.dials = envdial.open(run_dir)
        self._handles = dict(self.dials)
        self.changes = []
        self._watcher = threading.Thread(target=self._watch, args=[self.dials.watch()], daemon=True)
        self._watcher.start()

    def _watch(self, watch):
        for change in watch:
            self.changes.append((change.name, plain(change.value)))

    def close(self):
        self.dials.close()
        self._watcher.join(30)
        if self._watcher.is_alive():
            raise AssertionError("close() did not end watch()")

    def values(self):
        return {name: plain(dial.value) for name, dial in self._handles.items()}

    def texts(self):
        return {name: dial.text for name, dial in self._handles.items()}

    def origins(self):
        return {name: dial.origin for name, dial in self._handles.items()}

    def state(self):
        return self.dials.state

    def version(self):
        return self.dials.version

    def age(self):
        return self.dials.age.total_seconds()

    def applied(self, consumer):
        self.dials.applied(consumer)


class PythonClient(client_story.ClientStory):
    def open_reader(self, sidecar):
        reader = Reader(sidecar.run_dir)
        self.addCleanup(reader.close)
        return reader

    def test_asyncio(self):
        dials = self.reader.dials

        async def main():
            changes = dials.changes()
            for value in (600, 700, 800):
                self.put(NAME, str(value))
                change = await asyncio.wait_for(changes.__anext__(), 30)
                self.assertEqual((change.name, change.value), (NAME, value))
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(changes.__anext__(), 0.01)

        asyncio.run(main())
        eventually("handles agree", lambda: dials[NAME].value == 800)
        self.assertEqual((dials[NAME].unit, dials[NAME].type), ("hunts", "int"))


class PythonPage(client_story.PageStory):
    def start_app(self, env):
        program = self.where / "program.py"
        program.write_text("\n".join(pages.client_snippet("python")))
        app = RunningApp(["/usr/bin/python3", "-B", "-u", program], env | {"PYTHONPATH": str(CLIENT)}, sys.stderr)
        self.addCleanup(app.end)
        return app
