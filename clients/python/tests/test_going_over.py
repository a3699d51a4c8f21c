# SPDX-License-Identifier: Apache-2.0
import asyncio
import gc
import os
import struct
import threading
import unittest
from unittest import mock

import snapshot_writer as writer_module
from fixture import DIALS, GONE, SnapshotTest, eventually

import envdial
from envdial import _dials, _watch


class TestWithSuccessors(SnapshotTest):
    def successor(self, value, **options):
        return self.write([("LIMIT", "int", value, str(value)), *DIALS[1:]], **options)


class GoingOver(TestWithSuccessors):
    def test_superseded(self):
        old = self.write()
        dials = envdial.open(self.run_dir)
        limit, ratio, greeting = dials["LIMIT"], dials["RATIO"], dials["GREETING"]
        old.publish(LIMIT=(600, "600"))
        new = self.successor(700, version=3)
        self.assertEqual(limit.value, 600, "not marked yet")
        old.supersede()
        self.assertEqual(limit.value, 700)
        self.assertEqual(ratio.value, 0.25)
        new.publish(GREETING=(None, "a new one"))
        self.assertEqual(greeting.value, "a new one")
        self.assertEqual(dials.version, 4)
        self.assertIs(dials["LIMIT"], limit)

    def test_old_files_are_unmapped(self):
        writer = self.write()
        dials = envdial.open(self.run_dir)
        limit = dials["LIMIT"]
        for value in range(20):
            new = self.successor(value)
            writer.supersede()
            writer = new
            self.assertEqual(limit.value, value)
        gc.collect()
        with open("/proc/self/maps") as maps:
            read_only = [line for line in maps if str(self.path) in line and " r--s " in line]
        self.assertEqual(len(read_only), 1, read_only)

    def test_a_value_that_is_the_mark_by_chance(self):
        mark = struct.unpack("<q", struct.pack("<Q", writer_module.MOVED))[0]
        self.write([("ODD", "int", mark, str(mark))])
        self.assertEqual(envdial.open(self.run_dir)["ODD"].value, mark)

    def test_a_successor_that_cannot_be_read_leaves_the_last_values(self):
        for name in ("of another layout", "gone"):
            with self.subTest(successor=name):
                old = self.write()
                dials = envdial.open(self.run_dir)
                limit, ratio, greeting = dials["LIMIT"], dials["RATIO"], dials["GREETING"]
                self.path.unlink()
                if name != "gone":
                    self.successor(1).set_bytes(8, b"\2")
                old.supersede()
                for _ in range(3):
                    self.assertEqual((limit.value, ratio.value, greeting.value), (500, 0.25, "good day, Zoë"))
                    self.assertEqual(limit.origin, "consul")
                self.successor(800)
                eventually("it goes over", lambda: limit.value == 800)

    def test_a_damaged_successor_leaves_the_last_values(self):
        old = self.write()
        limit = envdial.open(self.run_dir)["LIMIT"]
        damaged = self.successor(1)
        damaged.set_word(damaged.slots[damaged.slot] + damaged.records[4], 1 << 20)
        old.supersede()
        self.assertEqual(limit.value, 500)
        with self.assertRaisesRegex(envdial.BadSnapshot, "bytes of text, and room for"):
            envdial.open(self.run_dir)

    def test_a_dial_that_went_and_came_back(self):
        first = self.write()
        dials = envdial.open(self.run_dir)
        limit = dials["LIMIT"]
        second = self.write([("OTHER", "int", 1, "1")])
        first.supersede()
        self.assertEqual(limit.value, 500)
        self.assertEqual(list(dials), ["OTHER"])
        with self.assertRaisesRegex(KeyError, "there are: OTHER"):
            dials["LIMIT"]
        self.successor(900)
        second.supersede()
        self.assertEqual(dials["LIMIT"].value, 900)
        self.assertEqual(limit.value, 900)

    def test_a_dial_of_another_type(self):
        old = self.write()
        limit = envdial.open(self.run_dir)["LIMIT"]
        new = self.write([("LIMIT", "string", None, "plenty")])
        old.supersede()
        self.assertEqual((limit.value, limit.type), ("plenty", "string"))
        self.write([("LIMIT", "float", struct.unpack("<Q", struct.pack("<d", 2.5))[0], "2.5")])
        new.supersede()
        eventually("it is a float", lambda: limit.value == 2.5)

    def test_an_unmarked_file_whose_sidecar_is_gone(self):
        old = self.write()
        dials = envdial.open(self.run_dir)
        limit = dials["LIMIT"]
        self.assertEqual(limit.value, 500)
        os.unlink(self.path)
        old.beat(GONE)
        eventually("it is noticed", lambda: dials.state == "stale")
        self.assertEqual(limit.value, 500)
        self.successor(1000)
        eventually("reading alone finds the new file", lambda: limit.value == 1000)
        self.assertEqual(dials.state, "ready")

    def test_closed(self):
        self.write()
        with envdial.open(self.run_dir) as dials:
            limit = dials["LIMIT"]
        self.assertTrue(dials.closed)
        for use in (lambda: dials.version, lambda: dials["LIMIT"], lambda: dials.state, dials.snapshot, dials.watch):
            with self.assertRaisesRegex(ValueError, "was closed"):
                use()
        self.assertEqual((limit.value, limit.text), (500, "500"), "a handle keeps what it reads")
        dials.close()

    def test_a_forked_child_reads_on(self):
        writer = self.write()
        limit = envdial.open(self.run_dir)["LIMIT"]
        child = os.fork()
        if child == 0:
            try:
                eventually("the child sees it", lambda: limit.value == 501)
                os._exit(0)
            finally:
                os._exit(1)
        writer.publish(LIMIT=(501, "501"))
        self.assertEqual(os.waitpid(child, 0)[1], 0)


class GoingOverTogether(TestWithSuccessors):
    """One thread stands still where it maps the new file, until another one knows of that."""

    def setUp(self):
        super().setUp()
        for module, name in ((_dials, "_MOVE_AGAIN_AFTER"), (_watch, "_NAP"), (_watch, "_NAP_ALONE")):
            self.patch(module, name, 3600.0)  # none of them helps out
        self.old = self.write()
        self.dials = envdial.open(self.run_dir)
        self.limit = self.dials["LIMIT"]
        self.first, self.mapped, self.goes_on = threading.Lock(), threading.Event(), threading.Event()
        self.addCleanup(self.goes_on.set)

    def patch(self, target, name, value):
        patched = mock.patch.object(target, name, value)
        patched.start()
        self.addCleanup(patched.stop)

    def map_slowly(self, path):
        file = envdial._file.SnapshotFile(path)
        if self.first.acquire(blocking=False):
            self.mapped.set()
            self.goes_on.wait()
        return file

    def supersede(self):
        self.patch(_dials, "SnapshotFile", self.map_slowly)
        new = self.successor(700, version=2)
        for clean_up in (self.old.change, new.change, self.dials.close):  # no thread sleeps for an hour
            self.addCleanup(clean_up)
        self.old.set_word(writer_module.SUPERSEDED, 1)
        finish = self.in_thread(lambda: self.limit.text)  # the one that stands still
        self.assertTrue(self.mapped.wait(30))
        self.old.supersede()
        return new, finish

    def test_watches(self):
        watches = [self.dials.watch() for _ in range(3)]
        finish = [self.in_thread(lambda watch=watch: [next(watch), next(watch)]) for watch in watches]
        new, reader = self.supersede()
        eventually("one has seen it", lambda: self.limit.value == 700)
        self.goes_on.set()
        self.assertEqual(reader(), "700")
        new.publish(RATIO=(0, "0"))
        for changes in finish:
            self.assertEqual([change.value for change in changes()], [700, 0.0])

    def test_tasks(self):
        changes = [self.dials.changes() for _ in range(3)]
        bell_sleeps, they_wait = threading.Event(), threading.Event()
        wait = envdial._file.SnapshotFile.wait

        def note_and_wait(file, *how):
            bell_sleeps.set()
            wait(file, *how)

        async def main():
            values = asyncio.gather(*(one.__anext__() for one in changes))
            # Looked for on their own loop, where none of them is on its way to sleep: such a one could be the first to
            # map the new file.
            while len(self.dials._bell._waiting) < 3 or not bell_sleeps.is_set():
                await asyncio.sleep(0.003)
            they_wait.set()
            return [change.value for change in await values]

        self.patch(envdial._file.SnapshotFile, "wait", note_and_wait)
        finish = self.in_thread(lambda: asyncio.run(main()))
        self.assertTrue(they_wait.wait(30))
        _, reader = self.supersede()
        self.assertEqual(finish(), [700] * 3)
        self.goes_on.set()
        self.assertEqual(reader(), "700")

    def test_who_comes_late_does_not_lead_back_to_an_older_file(self):
        middle, reader = self.supersede()
        self.successor(800, version=3)
        middle.supersede()
        self.dials.refresh()
        self.goes_on.set()
        self.assertEqual(reader(), "800")
        self.assertEqual((self.dials.version, self.limit.value), (3, 800))

    def test_who_sees_the_new_version_finds_its_values(self):
        seen = []
        follow = _dials.Dial._follow

        def look_and_follow(dial, file):
            seen.append((self.dials.version, self.limit.value))
            follow(dial, file)

        self.goes_on.set()
        self.successor(700, version=2)
        with mock.patch.object(_dials.Dial, "_follow", look_and_follow):
            self.old.supersede()
            self.assertEqual(self.limit.value, 700)
        self.assertNotIn((2, 500), seen)
        self.assertEqual((self.dials.version, self.limit.value), (2, 700))


if __name__ == "__main__":
    unittest.main()
