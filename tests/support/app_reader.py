# SPDX-License-Identifier: Apache-2.0
"""A ClientStory's reader in another language: an app of tests/clients that prints JSON lines."""

import json

from support.client_story import DIALS
from support.waiting import eventually

_DURATIONS = {dial["env"] for dial in DIALS if dial["type"] == "duration"}


def _plain(name, value):
    """Durations are printed in nanoseconds."""
    return value / 1e9 if name in _DURATIONS else value


class AppReader:
    """Of a RunningApp. It prints {"Change": {"Name", "Value"}} by itself; for a line on its standard input {"Values",
    "Texts", "Origins", "State", "Version", "Age"}; for the line "applied NAME", once the sidecar took the report,
    {"Applied": true}."""

    def __init__(self, app):
        self._app = app
        self._seen = 0
        self._answers = []
        self._changes = []
        self.read()  # it watches by now

    def _take(self):
        lines = self._app.lines
        while self._seen < len(lines):
            line = json.loads(lines[self._seen])
            self._seen += 1
            if "Change" in line:
                name, value = line["Change"]["Name"], line["Change"]["Value"]
                self._changes.append((name, _plain(name, value)))
            else:
                self._answers.append(line)

    @property
    def changes(self):
        self._take()
        return self._changes

    def _ask(self, line=""):
        self._answers.clear()
        self._app.ask(line)
        eventually("the app answers", lambda: self._take() or self._answers, within=30)
        return self._answers[0]

    def read(self):
        return self._ask()

    def applied(self, consumer):
        answer = self._ask(f"applied {consumer}")
        if answer.get("Applied") is not True:
            raise AssertionError(f"the app was asked to report what it runs with, and printed {answer}")

    def values(self):
        return {name: _plain(name, value) for name, value in self.read()["Values"].items()}

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
