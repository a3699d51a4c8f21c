# SPDX-License-Identifier: Apache-2.0
import os
import struct
import threading
import unittest
from datetime import datetime, timedelta, timezone

import snapshot_writer as writer_module
from fixture import DIALS, GONE, SnapshotTest

import envdial
from envdial import _dials, _file


class Opening(SnapshotTest):
    def test_finds_the_run_directory(self):
        self.write()
        self.assertEqual(envdial.open(self.run_dir)["LIMIT"].value, 500)
        self.assertEqual(envdial.open(str(self.run_dir))["LIMIT"].value, 500)
        self.addCleanup(os.environ.pop, "ENVDIAL_RUN_DIR", None)
        os.environ["ENVDIAL_RUN_DIR"] = str(self.run_dir)
        self.assertEqual(envdial.open()["LIMIT"].value, 500)
        os.environ["ENVDIAL_RUN_DIR"] = ""
        self.assertEqual(_dials.path_in(None), "/run/envdial/snapshot")

    def test_nothing_published_yet(self):
        with self.assertRaisesRegex(FileNotFoundError, "no sidecar has published.*snapshot") as caught:
            envdial.open(self.run_dir)
        self.assertIsInstance(caught.exception, envdial.NotPublished)

    def test_what_is_no_snapshot_is_refused_with_the_reason(self):
        u32, u64 = struct.Struct("<I").pack, struct.Struct("<Q").pack
        faults = [
            (0, b"ENVDIAL\0", "no snapshot"),
            (8, u32(2), "its layout is 2; this reader knows layout 1"),
            (16, u64(1 << 40), "it should have"),
            (24, u64(1 << 63), "its directory at"),
            (24, u64(196), "its directory at 196"),
            (32, u64(1 << 40), "its buckets at"),
            (40, u64(1 << 40), "its slot 0 at"),
            (48, u64(2), "its slot 1 at 2"),
            (56, u32(24), "24 buckets"),
            (56, u32(4), "4 buckets"),
            (60, u32(1 << 31), "its slot 0 at"),
            (192, u64(193), "it says that it stands at 193"),
            (192 + 8, u64(0), "the word of this int is said to stand at 0"),
            (192 + 8, u64(1 << 62), "the word of this int"),
            (192 + 16, u32(7), "its type is 7"),
            (192 + 16, u32(5), "the word of this string"),
            (192 + 24, u32(1 << 31), "its name or its unit does not lie"),
            (192 + 36, u32(1 << 31), "its name or its unit does not lie"),
            (192 + 40, u32(1 << 31), "does not fit into a slot"),
            (192 + 44, u32(1 << 31), "does not fit into a slot"),
        ]
        for offset, data, said in faults:
            with self.subTest(offset=offset, said=said):
                self.write().set_bytes(offset, data)
                with self.assertRaisesRegex(envdial.BadSnapshot, said) as caught:
                    envdial.open(self.run_dir)
                self.assertIn(str(self.path), str(caught.exception))

    def test_cut_short(self):
        whole = self.write().file_bytes
        self.assertEqual(self.path.stat().st_size, whole)
        for length in [whole - 1, *range(whole - 8, 200, -7), *range(200, -1, -1)]:
            os.truncate(self.path, length)
            with self.assertRaises(envdial.BadSnapshot, msg=str(length)):
                envdial.open(self.run_dir)

    def test_no_flipped_byte_does_harm(self):
        data = self.write().mapping
        for offset in range(len(data)):
            data[offset] ^= 0xFF
            try:
                for reading in envdial.open(self.run_dir).snapshot().readings.values():
                    self.assertIsInstance(reading.text, str)
            except envdial.BadSnapshot:
                pass
            data[offset] ^= 0xFF

    def test_no_regular_file(self):
        self.path.mkdir()
        with self.assertRaisesRegex(envdial.BadSnapshot, "no regular file"):
            envdial.open(self.run_dir)
        self.path.rmdir()
        os.mkfifo(self.path)
        with self.assertRaisesRegex(envdial.BadSnapshot, "no regular file"):
            envdial.open(self.run_dir)


class Values(SnapshotTest):
    def test_every_type(self):
        self.write()
        dials = envdial.open(self.run_dir)
        expected = [500, 0.25, True, timedelta(seconds=1.5), "good day, Zoë", '{"a": [1, 2]}', "hunter2"]
        self.assertEqual(list(dials), [row[0] for row in DIALS])
        self.assertEqual([dial.value for dial in dials.values()], expected)
        self.assertEqual([type(dial.value) for dial in dials.values()], [type(value) for value in expected])
        self.assertEqual([dial.text for dial in dials.values()], [row[3] for row in DIALS])
        self.assertEqual([dial.read().value for dial in dials.values()], expected)
        self.assertEqual([dial.type for dial in dials.values()], [row[1] for row in DIALS])
        self.assertEqual(dials["PAUSE"].unit, "per hunt")
        self.assertLess(abs(datetime.now(timezone.utc) - dials["LIMIT"].changed), timedelta(minutes=5))

    def test_ends_of_the_range(self):
        text = "x" * 70_000
        self.write([("LOW", "int", -(2**63), "-"), ("HIGH", "int", 2**63 - 1, "+"), ("LONG", "string", None, text),
                    ("EMPTY", "string", None, "")])  # fmt: skip
        dials = envdial.open(self.run_dir)
        self.assertEqual([dial.value for dial in dials.values()], [-(2**63), 2**63 - 1, text, ""])

    def test_newest_value_by_the_same_handle(self):
        writer = self.write()
        dials = envdial.open(self.run_dir)
        limit, greeting = dials["LIMIT"], dials["GREETING"]
        self.assertIs(limit, dials["LIMIT"])
        for step in range(1, 5):
            writer.publish(LIMIT=(500 + step, str(500 + step)), GREETING=(None, "hi" * step))
            self.assertEqual((limit.value, limit.text), (500 + step, str(500 + step)))
            self.assertEqual(greeting.value, "hi" * step)
            self.assertEqual(dials.version, 1 + step)
            self.assertEqual(dials.snapshot().version, 1 + step)

    def test_origins(self):
        writer = self.write()
        limit = envdial.open(self.run_dir)["LIMIT"]
        names = {1: "consul", 2: "last-known-good", 3: "default", 4: "stale", 9: "unknown-9"}
        for number, name in names.items():
            writer.publish(origin=number)
            self.assertEqual(limit.origin, name)

    def test_unknown_names(self):
        self.write()
        dials = envdial.open(self.run_dir)
        with self.assertRaisesRegex(KeyError, "there is no dial 'LIMITS'.*there are: LIMIT, RATIO, ENABLED"):
            dials["LIMITS"]
        self.assertNotIn("LIMITS", dials)
        self.assertIn("LIMIT", dials)
        self.assertIsNone(dials.get("LIMITS"))
        self.assertEqual(len(dials), len(DIALS))

    def test_many_names_are_not_all_listed(self):
        self.write([(f"D{number}", "int", number, str(number)) for number in range(256)])
        dials = envdial.open(self.run_dir)
        with self.assertRaisesRegex(KeyError, r"D19 and 236 more"):
            dials["NONE"]
        self.assertEqual([dials[f"D{number}"].value for number in range(256)], list(range(256)))

    def test_a_secret_is_in_no_repr(self):
        writer = self.write()
        dials = envdial.open(self.run_dir)
        watch = dials.watch(timeout=30)
        writer.publish(TOKEN=(None, "swordfish"), LIMIT=(600, "600"))
        changes = {change.name: repr(change) for change in (next(watch), next(watch))}
        self.assertNotIn("swordfish", changes["TOKEN"])
        self.assertNotIn("hunter2", changes["TOKEN"])
        self.assertIn("600", changes["LIMIT"])
        for shown in (dials["TOKEN"], dials["TOKEN"].read(), dials.snapshot()):
            self.assertNotIn("swordfish", repr(shown))
        self.assertIn("600", repr(dials.snapshot()))
        self.assertEqual(dials["TOKEN"].value, "swordfish")

    def test_state_and_age(self):
        writer = self.write()
        dials = envdial.open(self.run_dir)
        self.assertEqual(dials.state, "ready")
        self.assertLess(dials.age, timedelta(minutes=5))
        for number, state in ((0, "not_ready"), (1, "stale"), (2, "ready")):
            writer.set_word(writer_module.STATE, number)
            writer.beat()
            self.assertEqual(dials.state, state)
        for ago in (GONE, -3_600_000_000_000):  # old, and from before a restart of the machine
            writer.beat(ago)
            self.assertEqual(dials.state, "stale")
        writer.set_word(writer_module.CONTACT_MONO, 0)
        wall = writer.word(writer_module.CONTACT_WALL)
        writer.set_word(writer_module.CONTACT_WALL, wall - 3_600_000_000_000)
        self.assertGreater(dials.age, timedelta(minutes=59))
        writer.set_word(writer_module.CONTACT_WALL, 0)
        self.assertIsNone(dials.age)


class Torn(SnapshotTest):
    def test_a_slot_that_is_written_for_ever_is_an_error(self):
        writer = self.write()
        dials = envdial.open(self.run_dir)
        slot = writer.slots[writer.slot]
        writer.set_word(slot, writer.word(slot) | 1)
        self.assertEqual(dials["LIMIT"].value, 500, "the word is whole")
        for read in (dials.snapshot, lambda: dials["GREETING"].text, lambda: dials["LIMIT"].origin):
            with self.assertRaisesRegex(envdial.BadSnapshot, "1000 times"):
                read()

    def test_a_text_longer_than_its_room_is_an_error(self):
        writer = self.write()
        dials = envdial.open(self.run_dir)
        head = writer.slots[writer.slot] + writer.records[4]
        writer.set_word(head, writer.capacities[4] + 1)
        with self.assertRaisesRegex(envdial.BadSnapshot, "GREETING has 33 bytes of text, and room for 32"):
            dials["GREETING"].value

    def test_a_writer_killed_in_the_other_slot_is_not_noticed(self):
        writer = self.write()
        dials = envdial.open(self.run_dir)
        other = writer.slots[1 - writer.slot]
        writer.set_word(other, writer.word(other) | 1)
        self.assertEqual(dials.snapshot().readings["GREETING"].value, "good day, Zoë")

    def test_what_was_written_meanwhile_is_read_again(self):
        writer = self.write()
        dials = envdial.open(self.run_dir)
        order_loads = _file._order_loads
        self.addCleanup(setattr, _file, "_order_loads", order_loads)
        for before in (1, 2):  # before and after the slot was copied
            calls = iter(range(1, 1000))

            def publish_twice():
                order_loads()
                if next(calls) == before:
                    writer.publish()
                    writer.publish()

            _file._order_loads = publish_twice
            self.assertEqual(dials.snapshot().version, writer.version)
            self.assertEqual(next(calls), 7, "it was copied twice")

    def test_no_mix_while_the_writer_is_quick(self):
        letters = [letter * size for letter, size in zip("abcd", (1, 20, 900, 1500))]
        writer = self.write([("A", "string", None, letters[-1]), ("B", "string", None, letters[-1])])
        dials = envdial.open(self.run_dir)
        enough = threading.Event()

        def write():
            while not enough.is_set():
                for letter in letters:
                    writer.publish(wake=False, A=(None, letter), B=(None, letter))

        finish = self.in_thread(write)
        try:
            for _ in range(3000):
                readings = dials.snapshot().readings
                self.assertEqual(readings["A"].text, readings["B"].text)
                self.assertIn(dials["A"].text, letters)
        finally:
            enough.set()
        finish()


if __name__ == "__main__":
    unittest.main()
