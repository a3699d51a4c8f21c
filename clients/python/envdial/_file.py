# SPDX-License-Identifier: Apache-2.0
"""One mapped snapshot file, as docs/snapshot-format.md describes it."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import struct
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Dict, NamedTuple, Tuple, Union

from . import _futex

Value = Union[int, float, bool, timedelta, str]

HEADER = struct.Struct("=8sIIQQQ2QII")  # native: a big-endian machine meets a layout that it does not know
HEADER_BYTES = 192
ENTRY = struct.Struct("<QQIIIIIIII16x")
SLOT = struct.Struct("<QQqQ")
RECORD = struct.Struct("<QqQ")
# Words (offset / 8) of the header that change, and `changes`, counted in u32.
CURRENT, SUPERSEDED, STATE, CONTACT_WALL, CONTACT_MONO, HEARTBEAT = 8, 9, 16, 17, 18, 19
CHANGES = 20
TYPES = {1: "int", 2: "float", 3: "bool", 4: "duration", 5: "string", 6: "json"}
FORMATS = {"int": "q", "float": "d", "bool": "q", "duration": "q"}
ORIGINS = {1: "consul", 2: "last-known-good", 3: "default", 4: "stale"}
STATES = {0: "not_ready", 1: "stale", 2: "ready"}
MOVED = struct.pack("<Q", 0x9D1A15EDFEEDBEEF)  # what a scalar's word holds in a superseded file
HEARTBEAT_LIMIT_NS = 5_000_000_000
MAX_TRIES = 1000  # a retry needs two publications within one read; so many in a row mean a damaged file


class NotPublished(FileNotFoundError):
    """No sidecar has published in this run directory yet."""


class BadSnapshot(ValueError):
    """The file is none of envdial's, damaged, or of a layout that this reader does not know."""


class Entry(NamedTuple):
    """What of a dial never changes."""

    name: str
    type: str
    secret: bool
    unit: str
    word: int  # offset; 0 for string and json
    record: int  # offset in a slot
    capacity: int


class Reading(NamedTuple):
    """All of one dial at one moment."""

    value: Value
    text: str
    origin: str
    changed: datetime
    secret: bool

    def __repr__(self) -> str:
        value = "•••" if self.secret else repr(self.value)
        return f"<envdial.Reading {value} from {self.origin}, changed {self.changed.isoformat()}>"


def _order_loads() -> None:
    """Loads before it are not moved behind loads after it, on ARM too: Python has no fence, but a release of a lock
    is a release operation and the next acquisition of the same lock an acquire operation that reads from it."""
    lock = threading.Lock()
    with lock:
        pass
    with lock:
        pass


def to_time(nanoseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=nanoseconds // 1000)


def to_value(type_name: str, raw: Union[int, float]) -> Value:
    if type_name == "duration":
        return timedelta(microseconds=raw // 1000)
    return bool(raw) if type_name == "bool" else raw


class SnapshotFile:
    """Mapped for as long as somebody refers to it."""

    def __init__(self, path: str) -> None:
        """Raises NotPublished, BadSnapshot, or any other OSError."""
        self.path = path
        self._mapping, self.identity = _map(path)
        header = HEADER.unpack_from(self._mapping)
        file_bytes, self.slots, self.slot_bytes = header[3], header[6:8], header[9]
        self._check_header(header)
        self.bytes = memoryview(self._mapping)[:file_bytes]
        # One item of a view that was cast is read by one load.
        self.words = self.bytes.cast("Q")
        self.views = {"q": self.bytes.cast("q"), "d": self.bytes.cast("d")}
        self._counters = self.bytes.cast("I")
        self._changes_address = _futex.address_of(self._mapping) + 4 * CHANGES
        self.entries: Dict[str, Entry] = {}
        for index in range(header[2]):
            entry = self._entry(header[4] + index * ENTRY.size)
            self.entries.setdefault(entry.name, entry)
        self.all_readings()  # what cannot be read is refused now, and does not take the place of a good file

    def _bad(self, what: str) -> BadSnapshot:
        return BadSnapshot(f"{self.path}: {what}")

    def _check_header(self, header: Tuple) -> None:
        magic, layout, dials, file_bytes, directory, buckets, slot0, slot1, bucket_count, slot_bytes = header
        if magic != b"envdial\0":
            raise self._bad(f"it begins with {magic!r} and not with {b'envdial' + bytes(1)!r}: it is no snapshot")
        if layout != 1:
            raise self._bad(f"its layout is {layout}; this reader knows layout 1: is the sidecar a newer one?")
        if file_bytes > len(self._mapping) or file_bytes % 8:
            raise self._bad(f"it should have {file_bytes} bytes, a multiple of 8, and has {len(self._mapping)}")
        if bucket_count <= dials or bucket_count & (bucket_count - 1):
            raise self._bad(f"it has {bucket_count} buckets: a power of two above its {dials} dials was expected")
        parts = {
            "directory": (directory, dials * ENTRY.size),
            "buckets": (buckets, bucket_count * 4),
            "slot 0": (slot0, max(slot_bytes, SLOT.size)),
            "slot 1": (slot1, max(slot_bytes, SLOT.size)),
        }
        for name, (offset, size) in parts.items():
            if offset % 8 or offset < HEADER_BYTES or offset + size > file_bytes:
                raise self._bad(f"its {name} at {offset}, {size} bytes, does not lie within its {file_bytes} bytes")

    def _entry(self, offset: int) -> Entry:
        own, word, kind, flags, name, name_bytes, unit, unit_bytes, record, capacity = ENTRY.unpack_from(
            self.bytes, offset
        )
        wrong = f"its entry at {offset} is damaged: "
        if own != offset:
            raise self._bad(wrong + f"it says that it stands at {own}")
        if kind not in TYPES:
            raise self._bad(wrong + f"its type is {kind}, and 1 to 6 was expected")
        is_scalar = TYPES[kind] in FORMATS
        if is_scalar != (word != 0) or word % 8 or word + 8 > len(self.bytes):
            raise self._bad(wrong + f"the word of this {TYPES[kind]} is said to stand at {word}")
        if record % 8 or capacity % 8 or record < SLOT.size or record + RECORD.size + capacity > self.slot_bytes:
            raise self._bad(wrong + f"a record at {record} with {capacity} bytes of text does not fit into a slot")
        if name + name_bytes > len(self.bytes) or unit + unit_bytes > len(self.bytes):
            raise self._bad(wrong + "its name or its unit does not lie within the file")
        try:
            texts = [str(self.bytes[at : at + size], "utf-8") for at, size in ((name, name_bytes), (unit, unit_bytes))]
        except UnicodeDecodeError as bad:
            raise self._bad(wrong + f"its name or its unit is not UTF-8: {bad}") from None
        return Entry(texts[0], TYPES[kind], bool(flags & 1), texts[1], word, record, capacity)

    def is_superseded(self) -> bool:
        return self.words[SUPERSEDED] == 1

    def is_alive(self) -> bool:
        """Whether its sidecar lives. A heartbeat later than now is one from before the machine was started anew."""
        heartbeat = self.views["q"][HEARTBEAT]  # first: one that comes meanwhile would be later than now
        return 0 <= time.monotonic_ns() - heartbeat < HEARTBEAT_LIMIT_NS

    def changes(self) -> int:
        return self._counters[CHANGES]

    def wait(self, changes: int, seconds: float) -> None:
        _futex.wait(self._changes_address, changes, seconds)

    def wake(self) -> None:
        """Ends every wait(), for no reason that the others would see."""
        _futex.wake(self._changes_address)

    def _copy(self, offset: int, size: int) -> bytes:
        """A part of the newest whole slot."""
        for _ in range(MAX_TRIES):
            slot = self.slots[self.words[CURRENT] & 1]
            sequence = self.words[slot // 8]
            _order_loads()
            taken = self.bytes[slot + offset : slot + offset + size].tobytes()
            _order_loads()
            # Who loaded `current` long ago may meet a version that is whole and yet to be published: no older one may
            # follow it.
            is_published = self.words[slot // 8 + 1] <= self.words[CURRENT] >> 1
            _order_loads()
            if sequence % 2 == 0 and is_published and self.words[slot // 8] == sequence:
                return taken
        raise self._bad(f"its newest slot was being written, each of the {MAX_TRIES} times that it was read")

    def reading(self, entry: Entry) -> Reading:
        return self._reading(entry, self._copy(entry.record, RECORD.size + entry.capacity))

    def scalar(self, entry: Entry) -> Union[int, float]:
        """The scalar as the slot has it."""
        word = self._copy(entry.record + 16, 8)
        return struct.unpack("<" + FORMATS[entry.type], word)[0]

    def all_readings(self) -> Tuple[int, datetime, Dict[str, Reading]]:
        """Version, when it was published, and all dials: of one and the same version."""
        slot = self._copy(0, self.slot_bytes)
        _, version, published, _ = SLOT.unpack_from(slot)
        readings = {
            entry.name: self._reading(entry, slot[entry.record : entry.record + RECORD.size + entry.capacity])
            for entry in self.entries.values()
        }
        return version, to_time(published), readings

    def _reading(self, entry: Entry, record: bytes) -> Reading:
        head, changed, _ = RECORD.unpack_from(record)
        length, origin = head & 0xFFFFFFFF, head >> 32
        if length > entry.capacity:
            raise self._bad(f"{entry.name} has {length} bytes of text, and room for {entry.capacity}")
        text = str(record[RECORD.size : RECORD.size + length], "utf-8", "surrogateescape")
        value: Value = text
        if entry.word:
            value = to_value(entry.type, struct.unpack_from("<" + FORMATS[entry.type], record, 16)[0])
        return Reading(value, text, ORIGINS.get(origin, f"unknown-{origin}"), to_time(changed), entry.secret)


def _map(path: str) -> Tuple[mmap.mmap, Tuple[int, int]]:
    try:
        # O_NONBLOCK: whatever else may stand there, opening it does not wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotPublished(errno.ENOENT, "no sidecar has published a snapshot here yet", path) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadSnapshot(f"{path}: a snapshot was expected, and it is no regular file")
        if status.st_size < HEADER_BYTES:
            raise BadSnapshot(f"{path}: it has {status.st_size} bytes; the header alone would have {HEADER_BYTES}")
        mapping = mmap.mmap(descriptor, status.st_size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
    return mapping, (status.st_dev, status.st_ino)
