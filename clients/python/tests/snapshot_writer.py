# SPDX-License-Identifier: Apache-2.0
"""Writes snapshot files from docs/snapshot-format.md alone, also odd ones that no sidecar makes."""

import ctypes
import mmap
import os
import struct
import time

CODES = {"int": 1, "float": 2, "bool": 3, "duration": 4, "string": 5, "json": 6}
CURRENT, SUPERSEDED, CHANGES, STATE, CONTACT_WALL, CONTACT_MONO, HEARTBEAT = 64, 72, 80, 128, 136, 144, 152
MOVED = 0x9D1A15EDFEEDBEEF
SLOT_HEADER, RECORD_HEADER = 32, 24

_syscall = ctypes.CDLL(None).syscall
_FUTEX = {"x86_64": 202}.get(os.uname().machine, 98)


def hash_of(name):
    value = 2166136261
    for byte in name.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def _round_up(number):
    return (number + 7) // 8 * 8


class SnapshotWriter:
    """A file at `path` with `dials`: rows of name, type, raw scalar (an int; None for a text), text. A row may go on
    with flags and unit."""

    def __init__(self, path, dials, version=1):
        self.path = path
        self.version = version
        self.dials = [tuple(row) + (0, "")[len(row) - 4 :] for row in dials]
        self.capacities = [max(32, _round_up(2 * len(row[3].encode()))) for row in self.dials]
        self._lay_out()
        made = f"{path}.making"
        with open(made, "w+b") as file:
            os.posix_fallocate(file.fileno(), 0, self.file_bytes)
            self.mapping = mmap.mmap(file.fileno(), self.file_bytes)
        self._write_directory()
        now = time.time_ns()
        self.set_word(CONTACT_WALL, now)
        self.set_word(CONTACT_MONO, time.monotonic_ns())
        self.set_word(STATE, 2)
        self.beat()
        self.slot = 1
        self.publish(version=version)
        os.rename(made, path)

    def _lay_out(self):
        count = len(self.dials)
        self.bucket_count = 1
        while self.bucket_count < 2 * count + 1:
            self.bucket_count *= 2
        self.directory = 192
        self.buckets = self.directory + 64 * count
        self.words = _round_up(self.buckets + 4 * self.bucket_count)
        self.names = self.words + 8 * count
        self.records, at = [], SLOT_HEADER
        for capacity in self.capacities:
            self.records.append(at)
            at += RECORD_HEADER + capacity
        self.slot_bytes = at
        name_bytes = sum(len(row[0].encode()) + len(row[5].encode()) for row in self.dials)
        first = _round_up(self.names + name_bytes)
        self.slots = (first, first + self.slot_bytes)
        self.file_bytes = first + 2 * self.slot_bytes

    def _write_directory(self):
        header = (b"envdial\0", 1, len(self.dials), self.file_bytes, self.directory, self.buckets, *self.slots)
        struct.pack_into("<8sIIQQQQQII", self.mapping, 0, *header, self.bucket_count, self.slot_bytes)
        at = self.names
        for index, (name, kind, raw, _, flags, unit) in enumerate(self.dials):
            entry = self.directory + 64 * index
            word = 0 if raw is None else self.words + 8 * index
            texts = name.encode(), unit.encode()
            struct.pack_into(
                "<QQIIIIIIII", self.mapping, entry, entry, word, CODES[kind], flags, at, len(texts[0]),
                at + len(texts[0]), len(texts[1]), self.records[index], self.capacities[index],
            )  # fmt: skip
            self.mapping[at : at + sum(map(len, texts))] = b"".join(texts)
            at += sum(map(len, texts))
            bucket = hash_of(name) % self.bucket_count
            while struct.unpack_from("<I", self.mapping, self.buckets + 4 * bucket)[0]:
                bucket = (bucket + 1) % self.bucket_count
            struct.pack_into("<I", self.mapping, self.buckets + 4 * bucket, 1 + index)

    def word(self, offset):
        return struct.unpack_from("<Q", self.mapping, offset)[0]

    def set_word(self, offset, value):
        struct.pack_into("<Q", self.mapping, offset, value % 2**64)

    def set_bytes(self, offset, data):
        self.mapping[offset : offset + len(data)] = data

    def beat(self, ago_ns=0):
        self.set_word(HEARTBEAT, time.monotonic_ns() - ago_ns)

    def write_slot(self, slot, version, origin=1):
        """All of a version but its words and that it is current."""
        base = self.slots[slot]
        self.set_word(base, self.word(base) | 1)
        now = time.time_ns()
        for (_, _, raw, text, _, _), record, capacity in zip(self.dials, self.records, self.capacities):
            data = text.encode()
            struct.pack_into("<QqQ", self.mapping, base + record, len(data) + (origin << 32), now, (raw or 0) % 2**64)
            self.set_bytes(base + record + RECORD_HEADER, data.ljust(capacity, b"\0"))
        struct.pack_into("<Qq", self.mapping, base + 8, version, now)
        self.set_word(base, self.word(base) + 1)

    def publish(self, version=None, origin=1, wake=True, **values):
        """The next version; `values`: NAME=(raw scalar, text)."""
        rows = [(row[0], row[1], *values.get(row[0], row[2:4]), *row[4:]) for row in self.dials]
        self.dials = rows
        self.version = version or self.version + 1
        self.slot = 1 - self.slot
        self.write_slot(self.slot, self.version, origin)
        for index, row in enumerate(rows):
            if row[2] is not None:
                self.set_word(self.words + 8 * index, row[2])
        self.set_word(CURRENT, self.version * 2 + self.slot)
        self.change(wake)

    def change(self, wake=True):
        count = struct.unpack_from("<I", self.mapping, CHANGES)[0]
        struct.pack_into("<I", self.mapping, CHANGES, (count + 1) % 2**32)
        if wake:
            address = ctypes.addressof(ctypes.c_char.from_buffer(self.mapping)) + CHANGES
            _syscall(_FUTEX, ctypes.c_void_p(address), 1, 2**31 - 1, None, None, 0)

    def supersede(self):
        """What its writer does when a new file stands at the path."""
        self.set_word(SUPERSEDED, 1)
        for index, row in enumerate(self.dials):
            if row[2] is not None:
                self.set_word(self.words + 8 * index, MOVED)
        self.change()
