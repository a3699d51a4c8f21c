# SPDX-License-Identifier: Apache-2.0
"""The Go client beside the real sidecar and a real Consul."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from support import client_story, go_client, pages
from support.running_app import RunningApp
from support.waiting import eventually


class Reader:
    """tests/clients/go/app, and what it says."""

    def __init__(self, app):
        self._app = app
        self._seen = 0
        self._answers = []
        self._changes = []

    def _take(self):
        lines = self._app.lines
        while self._seen < len(lines):
            line = json.loads(lines[self._seen])
            self._seen += 1
            if "Change" in line:
                change = line["Change"]
                value = change["Value"] / 1e9 if change["Name"] == "PAUSE" else change["Value"]
                self._changes.append((change["Name"], value))
            else:
                self._answers.append(line)

    @property
    def changes(self):
        self._take()
        return self._changes

    def read(self):
        self._answers.clear()
        self._app.ask()
        eventually("the app answers", lambda: self._take() or self._answers, within=30)
        return self._answers[0]

    def values(self):
        return self.read()["Values"]

    def texts(self):
        return self.read()["Texts"]

    def origins(self):
        return self.read()["Origins"]

    def state(self):
        return self.read()["State"]

    def version(self):
        return self.read()["Version"]

    def age(self):
        return self.read()["Age"] / 1e9


class GoClient(client_story.ClientStory):
    @classmethod
    def setUpClass(cls):
        folder = Path(tempfile.mkdtemp(prefix="envdial-go-"))
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.program = go_client.build(go_client.TOP / "tests/clients/go/app", folder / "app")

    def open_reader(self, sidecar):
        app = RunningApp([self.program], {"ENVDIAL_RUN_DIR": str(sidecar.run_dir)}, sys.stderr)
        self.addCleanup(app.end)
        reader = Reader(app)
        reader.read()  # it watches by now
        return reader


class GoPage(client_story.PageStory):
    def start_app(self, env):
        program = go_client.build_snippet(pages.snippet("docs/clients.md", "go"), self.where / "page")
        app = RunningApp([program], env, sys.stderr)
        self.addCleanup(app.end)
        return app
