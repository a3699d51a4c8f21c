# SPDX-License-Identifier: Apache-2.0
"""What a client of the snapshot file must live through, in whatever language it is written."""

import os

from support.case import KEY, NAME, EndToEndTest, one_dial
from support.waiting import eventually

DIALS = [
    {"env": NAME, "key": "max-concurrent", "type": "int", "default": 500, "unit": "hunts"},
    {"env": "RATIO", "key": "ratio", "type": "float", "default": 0.25},
    {"env": "ENABLED", "key": "enabled", "type": "bool", "default": True},
    {"env": "PAUSE", "key": "pause", "type": "duration", "default": "1m30s"},
    {"env": "GREETING", "key": "greeting", "type": "string", "default": "good day"},
    {"env": "RULES", "key": "rules", "type": "json", "default": '{"a": [1, 2]}'},
]
DEFAULTS = {
    NAME: 500, "RATIO": 0.25, "ENABLED": True, "PAUSE": 90.0, "GREETING": "good day", "RULES": '{"a": [1, 2]}'
}  # fmt: skip
GONE_SECONDS = 60  # more than a heartbeat's age, on a machine that is busy


class ClientStory(EndToEndTest):
    """A subclass gives open_reader(sidecar): something with values(), texts(), origins(), state(), version(), age() in
    seconds (by handles found once), changes: a list of the (name, value) that it was told, and applied(name): tells the
    sidecar, as `name`, that it runs with the version that it reads."""

    def setUp(self):
        super().setUp()
        self.consul = self.start_consul()
        self.sidecar_ = self.sidecar(self.consul, "--dials", self.dials_file(DIALS)).start_ready()
        self.snapshot_file = self.sidecar_.run_dir / "snapshot"
        self.reader = self.open_reader(self.sidecar_)

    def put(self, name, value):
        key = next(dial["key"] for dial in DIALS if dial["env"] == name)
        self.consul.put(f"hunt/{key}", value)

    def assert_arrives(self, name, text, value):
        """What is put into Consul is read by the handles, and told once."""
        told = len(self.reader.changes)
        self.put(name, text)
        eventually(f"{name} is {value!r}", lambda: self.reader.values()[name] == value, within=30)
        eventually("it is told", lambda: self.reader.changes[told:] == [(name, value)], within=30)
        self.assertEqual(self.reader.texts()[name], text)

    def wait_state(self, state):
        eventually(f"the reader says {state}", lambda: self.reader.state() == state, within=GONE_SECONDS)

    def test_changes_arrive_without_a_restart(self):
        self.assertEqual(self.reader.values(), DEFAULTS)
        self.assertEqual(self.reader.version(), 1)
        self.assertEqual(self.reader.origins()[NAME], "default")
        self.wait_state("ready")
        self.assert_arrives(NAME, "700", 700)
        self.assert_arrives("RATIO", "-1.5e3", -1500.0)
        self.assert_arrives("ENABLED", "false", False)
        self.assert_arrives("PAUSE", "250ms", 0.25)
        self.assert_arrives("GREETING", "Guten Tag,\n\tZoë", "Guten Tag,\n\tZoë")
        self.assert_arrives("RULES", "[1, 2, 3]", "[1, 2, 3]")
        self.assertEqual(self.reader.version(), 7)
        self.assertEqual(set(self.reader.origins().values()), {"consul"})
        self.assertLess(self.reader.age(), GONE_SECONDS)

    def test_a_killed_sidecar_comes_back(self):
        self.assert_arrives(NAME, "700", 700)
        inode = self.snapshot_file.stat().st_ino
        self.sidecar_.kill()
        self.wait_state("stale")
        self.assertEqual(self.reader.values()[NAME], 700)
        self.sidecar_.start_ready()
        self.wait_state("ready")
        self.assert_arrives(NAME, "800", 800)
        self.assertEqual(self.snapshot_file.stat().st_ino, inode, "it went on in the same file")

    def test_a_run_directory_that_was_emptied_meanwhile(self):
        self.assert_arrives(NAME, "700", 700)
        self.sidecar_.kill()
        for path in self.sidecar_.run_dir.iterdir():
            path.unlink()
        self.wait_state("stale")
        self.assertEqual(self.reader.values(), DEFAULTS | {NAME: 700})
        self.put(NAME, "750")
        self.sidecar_.start_ready()
        eventually("it went over", lambda: self.reader.values()[NAME] == 750, within=GONE_SECONDS)
        eventually("it was told", lambda: (NAME, 750) in self.reader.changes, within=GONE_SECONDS)
        self.wait_state("ready")
        self.assert_arrives(NAME, "800", 800)

    def test_a_text_that_outgrows_its_room(self):
        # Kept open, so that its number is no other file's.
        with open(self.snapshot_file, "rb") as old:
            for length in (500, 2000, 4000):
                self.assert_arrives("GREETING", "x" * length, "x" * length)
            now = self.snapshot_file.stat()
            self.assertFalse(os.path.samestat(os.fstat(old.fileno()), now), "there is a new file")
        self.assert_arrives(NAME, "700", 700)

    def test_another_dials_file(self):
        self.sidecar_.kill()
        self.put("RATIO", "0.5")
        others = [{"env": "NEW", "key": "new", "type": "int", "default": 1}, *DIALS[1:]]
        more = self.sidecar(self.consul, "--dials", self.dials_file(others)).start_ready()
        eventually("it went over", lambda: self.reader.values()["RATIO"] == 0.5, within=GONE_SECONDS)
        self.assertEqual(self.reader.values()[NAME], 500, "the last value of a dial that is no more")
        eventually("the new one is told", lambda: ("NEW", 1) in self.reader.changes, within=GONE_SECONDS)
        more.kill()

    def test_operators_see_what_it_runs_with(self):
        self.assertEqual(self.sidecar_.status()["consumers"], [])
        self.reader.applied("hunt-service")
        self.assert_applied({"hunt-service": 1})
        self.assert_arrives(NAME, "700", 700)
        self.assert_applied({"hunt-service": 1})  # it was delivered, and not reported yet
        self.reader.applied("hunt-service")
        self.reader.applied("a")
        self.assert_applied({"hunt-service": self.sidecar_.status()["version"], "a": 2})

    def assert_applied(self, versions):
        consumers = self.sidecar_.status()["consumers"]
        self.assertEqual({consumer["consumer"]: consumer["version"] for consumer in consumers}, versions)
        series = self.sidecar_.metrics().series("consumer_applied_version")
        self.assertEqual({labels["consumer"]: version for labels, version in series}, versions)


class PageStory(EndToEndTest):
    """Runs a program from the docs beside a sidecar; `start_app(env)` gives a RunningApp."""

    def test_the_program_in_the_docs(self):
        consul = self.start_consul()
        sidecar = self.sidecar(consul, *one_dial("--default", 500)).start_ready()
        app = self.start_app({"ENVDIAL_RUN_DIR": str(sidecar.run_dir)})
        eventually("it says the first value", lambda: self.said(app, 500), 30)
        # It may not be watching yet; the change that it is told is then a later one.
        values = iter(range(600, 10_000))
        eventually("it says a change", lambda: consul.put(KEY, next(values)) or self.said(app, *range(600, 10_000)), 30, 0.2)

    @staticmethod
    def said(app, *values):
        """Whether it printed a line that tells one of these numbers."""
        lines = {f"{begin} {value}" for value in values for begin in ("now", f"{NAME} is now", "it is now")}
        return lines & set(app.lines)
