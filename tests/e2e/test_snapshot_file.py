# SPDX-License-Identifier: Apache-2.0
"""The snapshot file under programs that map it: full disks, restarts, kills, and what else may stand at its path."""

import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

from support import pages
from support.case import EndToEndTest
from support.own_disk import OwnDisk
from support.waiting import eventually

CLIENT = pages.TOP / "clients/python"
sys.path.insert(0, str(CLIENT))

import envdial  # noqa: E402

DIALS = [
    {"env": "LIMIT", "key": "limit", "type": "int", "default": 0},
    {"env": "NOTE", "key": "note", "type": "string", "default": "0"},
]
MORE_DIALS = [DIALS[0], {"env": "EXTRA", "key": "extra", "type": "int", "default": 1}, DIALS[1]]
KEYS = ("hunt/limit", "hunt/note")
HEARTBEAT_LIMIT = 5.0  # seconds; docs/snapshot-format.md
GOES_OVER = 60.0  # seconds: some heartbeats, on a machine that is busy
KILLS = 20
OUTGROWN = "x" * 3000
FOREIGN = b"this belongs to somebody else"


class Observer(threading.Thread):
    """Reads a mapped snapshot over and over: by words, by texts and whole. Nothing older and nothing mixed may come."""

    def __init__(self, run_dir):
        super().__init__(daemon=True)
        self.dials = envdial.open(run_dir)
        self.reads = 0
        self.states = set()
        self.newest = {}  # for each way of reading, the highest number seen; they may differ for a moment
        self.failure = None
        self._ended = threading.Event()
        self._limit, self._note = self.dials["LIMIT"], self.dials["NOTE"]
        self.start()

    def run(self):
        try:
            while not self._ended.is_set():
                self._look()
                self.reads += 1
        except (AssertionError, OSError, ValueError) as failure:
            self.failure = failure

    def _look(self):
        self._note_down("word", self._limit.value)
        self._note_down("text", int(self._note.text))
        self._note_down("version", self.dials.version)
        version, _, readings = self.dials.snapshot()
        texts = {readings[name].text for name in ("LIMIT", "NOTE")}
        if len(texts) != 1 or str(readings["LIMIT"].value) not in texts:
            raise AssertionError(f"two versions in one snapshot: {readings}")
        self._note_down("snapshot", readings["LIMIT"].value)
        self._note_down("version of a snapshot", version)
        self.states.add(self.dials.state)

    def _note_down(self, what, number):
        if number < self.newest.get(what, number):
            raise AssertionError(f"{what} {number} was read after {self.newest[what]}")
        self.newest[what] = number

    def wait_for(self, number, within=GOES_OVER):
        """Until each way of reading has come to `number` at least."""

        def reached():
            if self.failure is not None:
                raise AssertionError(f"the reader failed: {self.failure}")
            return all(self.newest.get(what, -1) >= number for what in ("word", "text", "snapshot"))

        eventually(f"the reader has {number} (it has {self.newest})", reached, within)

    def finish(self):
        self._ended.set()
        self.join(10)
        self.dials.close()
        if self.failure is not None:
            raise AssertionError(f"the reader failed: {self.failure}")


class SnapshotFile(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.consul = self.start_consul()

    def pod(self, *arguments, dials=DIALS, **options):
        return self.sidecar(self.consul, "--dials", self.dials_file(dials), *arguments, **options)

    def follow(self, run_dir):
        observer = Observer(run_dir)
        self.addCleanup(observer._ended.set)
        return observer

    def open_reader(self, run_dir):
        dials = envdial.open(run_dir)
        self.addCleanup(dials.close)
        return dials

    @staticmethod
    def channel(pod, name="snapshot_file"):
        return next(channel for channel in pod.status()["channels"] if channel["channel"] == name)

    def wait_delivered(self, pod):
        eventually("it delivers", lambda: self.channel(pod)["error"] is None and self.channel(pod)["version"] > 0)

    def assert_fails(self, pod, pattern):
        """The snapshot file cannot be written: log, status and metrics say so, and the sidecar goes on."""
        eventually("status tells", lambda: self.channel(pod)["error"])
        self.assertRegex(self.channel(pod)["error"], pattern)
        pod.wait_log(f"error.*channel snapshot_file: .*{pattern}")
        failures = pod.metrics()("delivery_failures_total", channel="snapshot_file")
        self.assertGreater(failures, 0)
        eventually(
            "it is tried again",
            lambda: pod.metrics()("delivery_failures_total", channel="snapshot_file") > failures,
        )
        self.assertEqual(len(pod.log_lines("error.*channel snapshot_file")), 1, pod.log())
        self.assertEqual(pod.get("/livez").status, 200)

    def texts(self, dials):
        return {name: reading.text for name, reading in dials.snapshot().readings.items()}

    def test_a_full_disk(self):
        pod = self.pod()
        disk = OwnDisk(pod.run_dir, "256k")
        self.addCleanup(disk.close)
        pod.before, pod.socket = disk.inside, Path(disk.path("control.sock"))
        pod.start_ready()
        dials = self.open_reader(disk.path(""))
        limit, note = dials["LIMIT"], dials["NOTE"]
        disk.fill()

        self.consul.put("hunt/note", OUTGROWN)
        eventually("the control channel has it", lambda: pod.dial("NOTE")["value"] == OUTGROWN)
        self.assert_fails(pod, r"write snapshot file: allocate \d+ bytes for .*/snapshot.tmp: No space left on device")
        self.consul.put("hunt/limit", 600)
        eventually("the control channel goes on", lambda: pod.dial("LIMIT")["value"] == "600")
        self.assertEqual(self.texts(dials), {"LIMIT": "0", "NOTE": "0"}, "the last whole version")
        self.assertFalse(os.path.lexists(disk.path("snapshot.tmp")), "what could not be finished is in the way")

        self.consul.put("hunt/note", "fits")
        eventually("it needs no new file", lambda: (limit.value, note.text) == (600, "fits"))
        self.consul.put("hunt/note", OUTGROWN)
        eventually("it fails again", lambda: self.channel(pod)["error"])
        self.assertEqual(note.text, "fits")

        disk.make_room()
        eventually("it comes by itself", lambda: note.text == OUTGROWN, within=GOES_OVER)
        self.assertEqual(limit.value, 600)
        self.wait_delivered(pod)
        pod.wait_log("channel snapshot_file: delivers again")
        self.consul.put("hunt/limit", 700)
        eventually("the reader went over", lambda: limit.value == 700)

    def test_a_full_disk_from_the_start(self):
        pod = self.pod()
        disk = OwnDisk(pod.run_dir, "256k")
        self.addCleanup(disk.close)
        pod.before, pod.socket = disk.inside, Path(disk.path("control.sock"))
        disk.fill()
        os.truncate(disk.path("filler"), os.path.getsize(disk.path("filler")) - 4096)  # for the lock's one line
        pod.start_ready()
        self.assert_fails(pod, "No space left on device")
        with self.assertRaises(envdial.NotPublished):
            envdial.open(disk.path(""))
        disk.make_room()
        self.wait_delivered(pod)
        self.assertEqual(self.texts(self.open_reader(disk.path(""))), {"LIMIT": "0", "NOTE": "0"})

    def test_an_upgrade(self):
        pod = self.pod().start_ready()
        path = pod.run_dir / "snapshot"
        inode = path.stat().st_ino
        writer = self.writer(self.consul, *KEYS, first=1)
        observer = self.follow(pod.run_dir)
        gap = 0.0
        for _ in range(3):
            observer.wait_for(writer.confirmed + 1)
            version = observer.dials.version
            since = time.monotonic()
            pod.terminate()
            pod.start_ready()
            observer.wait_for(writer.confirmed + 1)
            gap = max(gap, time.monotonic() - since)
            self.assertGreater(observer.dials.version, version)
            self.assertEqual(path.stat().st_ino, inode, "it went on in the same file")
        observer.wait_for(writer.finish())
        observer.finish()
        self.assertLessEqual(observer.states, {"ready", "stale"})
        # A heartbeat may have been a second old, and the machine may have stood still on top of that.
        if gap < HEARTBEAT_LIMIT - 2:
            self.assertEqual(observer.states, {"ready"}, f"the longest gap took {gap:.3f} s")

    def assert_survives_kills(self, dials_of):
        """`dials_of(round)`: the dials to start with."""
        pod = self.pod().start_ready()
        writer = self.writer(self.consul, *KEYS, first=1)
        observer = self.follow(pod.run_dir)
        chance = random.Random(1)
        for kill in range(KILLS):
            # Some are killed as soon as they live, the others after so many changes.
            if kill % 4 > 0:
                observer.wait_for(writer.confirmed + chance.randrange(1, 40))
            pod.kill()
            reads = observer.reads
            self.dials_file(dials_of(kill))
            eventually("it is read while nobody writes", lambda: observer.failure or observer.reads > reads)  # noqa: B023
            pod.start()
            pod.wait_log("serves")
        last = writer.finish()
        observer.wait_for(last)
        observer.finish()
        self.assertEqual(observer.newest["word"], last, "nothing is invented")
        self.assertEqual(pod.env_text().splitlines()[0], f"LIMIT='{last}'")

    def test_killed_at_any_moment(self):
        self.assert_survives_kills(lambda _: DIALS)

    def test_killed_at_any_moment_with_other_dials_each_time(self):
        self.assert_survives_kills(lambda kill: MORE_DIALS if kill % 2 == 0 else DIALS)

    def test_an_emptied_run_directory(self):
        pod = self.pod().start_ready()
        dials = self.open_reader(pod.run_dir)
        limit = dials["LIMIT"]
        path = pod.run_dir / "snapshot"
        for value, empty in enumerate((self.remove_all, self.remove_it, self.put_another), start=600):
            with self.subTest(how=empty.__name__):
                inode = path.stat().st_ino
                empty(pod.run_dir)
                eventually("it is put back", lambda: path.stat().st_ino != inode and path.stat().st_size > 192)
                self.consul.put("hunt/limit", value)
                eventually("the mapped reader goes over", lambda: limit.value == value, within=GOES_OVER)
                self.wait_delivered(pod)
        self.assertEqual(dials.version, 4, "putting back is no change")

    @staticmethod
    def remove_all(run_dir):
        for path in run_dir.iterdir():
            path.unlink()

    @staticmethod
    def remove_it(run_dir):
        (run_dir / "snapshot").unlink()

    @staticmethod
    def put_another(run_dir):
        (run_dir / "other").write_bytes(b"other")
        (run_dir / "other").rename(run_dir / "snapshot")

    def test_a_file_that_is_cut_or_overwritten_under_its_writer(self):
        """Touching a page that is no more would end the sidecar by SIGBUS; so nobody in this process maps the file."""
        pod = self.pod().start_ready()
        path = pod.run_dir / "snapshot"
        whole = path.read_bytes()
        harms = {
            "cut to nothing": lambda: os.truncate(path, 0),
            "cut": lambda: os.truncate(path, 100),
            "another text": lambda: path.write_text("somebody's notes\n"),
            "garbage of the same size": lambda: path.write_bytes(bytes(range(1, 65)) * (len(whole) // 64)),
            "zeros of the same size": lambda: path.write_bytes(bytes(len(whole))),
        }
        for value, (name, harm) in enumerate(harms.items(), start=600):
            with self.subTest(harm=name):
                inode = path.stat().st_ino
                harm()
                self.consul.put("hunt/limit", value)
                eventually("it is put back", lambda: pod.alive() and path.stat().st_ino != inode)
                pod.wait_env(LIMIT=value, NOTE="0")
                eventually("it has the value", lambda: envdial.open(pod.run_dir)["LIMIT"].value == value)
                self.wait_delivered(pod)

    def test_a_newer_layout_is_left_alone(self):
        pod = self.pod().start_ready()
        path = pod.run_dir / "snapshot"
        pod.terminate()
        known = path.read_bytes()
        for name, newer in (("whole", known[:8] + b"\2" + known[9:]), ("its beginning", known[:8] + b"\2\0\0\0")):
            with self.subTest(file=name):
                path.write_bytes(newer)
                identity = path.stat().st_ino, path.stat().st_mode
                pod.start_ready()
                self.assert_fails(pod, r"/snapshot has layout 2, this envdial knows 1 at most; it is left as it is")
                self.consul.put("hunt/limit", random.randrange(1, 10**9))
                eventually("control", lambda: pod.dial("LIMIT")["value"] == self.consul_value("hunt/limit"))
                pod.wait_env(LIMIT=self.consul_value("hunt/limit"), NOTE="0")
                self.assertEqual(path.read_bytes(), newer)
                self.assertEqual((path.stat().st_ino, path.stat().st_mode), identity)
                path.unlink()
                self.wait_delivered(pod)
                self.assertEqual(str(self.open_reader(pod.run_dir)["LIMIT"].value), self.consul_value("hunt/limit"))
                pod.terminate()

    def consul_value(self, key):
        return self.consul.request("GET", f"/v1/kv/{key}?raw")[1].decode()

    def test_what_is_no_snapshot_is_replaced(self):
        pod = self.pod().start_ready()
        path = pod.run_dir / "snapshot"
        pod.terminate()
        known = path.read_bytes()
        foreign = self.where / "foreign"
        fifo = self.where / "fifo"
        os.mkfifo(fifo)
        stands = {
            "nothing in it": lambda: path.write_bytes(b""),
            "cut": lambda: path.write_bytes(known[: len(known) // 2]),
            "cut in its header": lambda: path.write_bytes(known[:100]),
            "garbage": lambda: path.write_bytes(random.Random(2).randbytes(len(known))),
            "garbage behind its header": lambda: path.write_bytes(known[:64] + b"\xff" * (len(known) - 64)),
            "zeros": lambda: path.write_bytes(bytes(len(known))),
            "a hole": lambda: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40),
            "a symlink": lambda: path.symlink_to(foreign),
            "a symlink to itself": lambda: path.symlink_to(path),
            "a FIFO": lambda: os.mkfifo(path),
            "a symlink to a FIFO": lambda: path.symlink_to(fifo),
            "a temporary file": lambda: (pod.run_dir / "snapshot.tmp").write_bytes(b"left over"),
            "a symlink for a temporary file": lambda: (pod.run_dir / "snapshot.tmp").symlink_to(foreign),
            "another's file": lambda: os.link(foreign, path),
        }
        for value, (name, put) in enumerate(stands.items(), start=600):
            with self.subTest(there=name):
                path.unlink(missing_ok=True)
                foreign.write_bytes(FOREIGN)
                put()
                self.consul.put("hunt/limit", value)
                pod.start()
                pod.wait_env(LIMIT=value, NOTE="0")
                self.wait_delivered(pod)
                self.assertTrue(stat.S_ISREG(path.lstat().st_mode))
                self.assertEqual(foreign.read_bytes(), FOREIGN)
                self.assertEqual(self.open_reader(pod.run_dir)["LIMIT"].value, value)
                pod.terminate()

    def test_a_directory_in_its_place_is_reported(self):
        for place in ("snapshot", "snapshot.tmp"):
            with self.subTest(place=place):
                pod = self.pod(name=f"pod-{place}")
                (pod.run_dir / place).mkdir()
                pod.start_ready()
                self.assert_fails(pod, f"write snapshot file: .*/{place}: (Is a directory|File exists)")
                pod.wait_env(LIMIT=0, NOTE=0)
                (pod.run_dir / place).rmdir()
                self.wait_delivered(pod)

    def test_rights(self):
        is_root = os.geteuid() == 0
        # Without any capability a process can give a file to a group of its own only.
        group, before = (4242, ("setpriv", "--groups", "4242", "--")) if is_root else (os.getegid(), ())
        pod = self.pod(
            "--require-unprivileged", "--group", group, before=before, run_dir=self.where / "run", make_run_dir=False
        ).start_ready()  # fmt: skip
        self.wait_delivered(pod)
        path = pod.run_dir / "snapshot"
        self.consul.put("hunt/note", OUTGROWN)
        pod.wait_env(LIMIT=0, NOTE=OUTGROWN)
        status = path.lstat()
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_gid), (0o640, group), "of a second file, too")
        self.where.chmod(0o711)
        shutil.copytree(CLIENT / "envdial", self.where / "client/envdial")
        told = "import envdial; print(len(envdial.open()['NOTE'].text), envdial.open().state)"

        def read(*identity):
            env = {"PYTHONPATH": str(self.where / "client"), "ENVDIAL_RUN_DIR": str(pod.run_dir)}
            return subprocess.run(
                [*identity, "/usr/bin/python3", "-B", "-c", told], env=env, capture_output=True, text=True, timeout=60
            )

        def another(reader_group):
            return ["setpriv", "--reuid=4243", f"--regid={reader_group}", "--clear-groups"] if is_root else []

        self.assertEqual(read(*another(group)).stdout, f"{len(OUTGROWN)} ready\n", read(*another(group)).stderr)
        if is_root:
            self.assertIn("PermissionError", read(*another(4244)).stderr)

    def test_other_rights_need_a_new_file_and_its_readers_go_over(self):
        pod = self.pod().start_ready()
        dials = self.open_reader(pod.run_dir)
        pod.terminate()
        again = self.pod("--env-file-mode", "0644").start_ready()
        self.wait_delivered(again)
        self.consul.put("hunt/limit", 600)
        again.wait_env(LIMIT=600, NOTE=0)
        eventually("the mapped reader goes over", lambda: dials["LIMIT"].value == 600, within=GOES_OVER)
        self.assertEqual(stat.S_IMODE((again.run_dir / "snapshot").stat().st_mode), 0o644)
        self.assertEqual(dials.version, 2)
