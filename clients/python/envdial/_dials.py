# SPDX-License-Identifier: Apache-2.0
"""The dials of a run directory, across the files that stand there one after the other."""

from __future__ import annotations

import os
import struct
import threading
import time
from datetime import datetime, timedelta
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from . import _applied, _file
from ._file import BadSnapshot, Entry, Reading, SnapshotFile, Value
from ._watch import AsyncChanges, Bell, Watch

_LOOK_EVERY = 1.0  # seconds; how often reads look at the heartbeat
_MOVE_AGAIN_AFTER = 0.01  # seconds; where a superseded file has no successor that can be read, reads stay cheap
_MAX_NAMES_SHOWN = 20
# Held while the present file is replaced, and not while one is mapped. The child of a fork finds it free.
_replacing = threading.RLock()
os.register_at_fork(before=_replacing.acquire, after_in_parent=_replacing.release, after_in_child=_replacing.release)


class Snapshot(NamedTuple):
    """All dials of one version."""

    version: int
    published: datetime
    readings: Dict[str, Reading]


class Dial:
    """One dial. Keep it: it always has the newest value, also from a new file after the sidecar was restarted."""

    def __init__(self, owner: Dials, file: SnapshotFile, entry: Entry) -> None:
        self._owner = owner
        self.name = entry.name
        self._cached: Tuple[Optional[SnapshotFile], int, str] = (None, 0, "")
        self._follow(file)

    def _follow(self, file: SnapshotFile) -> None:
        """Reads `file` from now on; one that lacks this dial is left alone, and the last values stand."""
        entry = file.entries.get(self.name)
        if entry is None:
            return
        form = _file.FORMATS.get(entry.type)
        view = None if form is None else file.views[form]
        moved = None if form is None else struct.unpack("<" + form, _file.MOVED)[0]
        # In one assignment, for readers in other threads.
        self._place = (file, entry, view, entry.word // 8, moved)

    @property
    def value(self) -> Value:
        """The newest value: int, float, bool, timedelta; str for `string` and `json`."""
        self._owner._look_now_and_then()
        _, entry, view, index, moved = self._place
        if view is None:
            return self.text
        raw = view[index]
        if raw == moved:
            self._owner._newest()
            file, entry, view, index, moved = self._place
            if view is None:
                return self.text
            raw = view[index]
            if raw == moved:  # by chance, or because no later file has this dial
                raw = file.scalar(entry)
        return raw if entry.type == "int" else _file.to_value(entry.type, raw)

    @property
    def text(self) -> str:
        """The newest value as it stands in the environment."""
        self._owner._newest()
        file, entry = self._place[:2]
        current = file.words[_file.CURRENT]
        cached = self._cached
        if cached[0] is file and cached[1] == current:
            return cached[2]  # a version has one text
        text = file.reading(entry).text
        if file.words[_file.CURRENT] == current:
            self._cached = (file, current, text)
        return text

    def read(self) -> Reading:
        """Value, text, origin and time of change, of one moment."""
        self._owner._newest()
        file, entry = self._place[:2]
        return file.reading(entry)

    @property
    def origin(self) -> str:
        """Where the value came from: `consul`, `last-known-good`, `default`, `stale`; others may come."""
        return self.read().origin

    @property
    def changed(self) -> datetime:
        """When the value changed last, in UTC."""
        return self.read().changed

    @property
    def type(self) -> str:
        """`int`, `float`, `bool`, `duration`, `string` or `json`."""
        return self._place[1].type

    @property
    def unit(self) -> str:
        return self._place[1].unit

    @property
    def secret(self) -> bool:
        return self._place[1].secret

    def __repr__(self) -> str:
        return f"<envdial.Dial {self.name}={'•••' if self.secret else repr(self.text)}>"


class Dials(Mapping[str, Dial]):
    """All dials by their env names, in the dials' order. Made by envdial.open()."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: Optional[SnapshotFile] = SnapshotFile(self.path)
        self._dials: Dict[str, Dial] = {}
        self._next_look = 0.0
        self._next_move = 0.0
        self._bell = Bell(self)

    def __enter__(self) -> Dials:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends every watch(); one that was about to sleep just now, within seconds. The file stays mapped as long as a
        Dial of it is held."""
        with _replacing:
            file, self._file = self._file, None
            self._dials = {}
        if file is not None:
            file.wake()

    @property
    def closed(self) -> bool:
        return self._file is None

    def __getitem__(self, name: str) -> Dial:
        file = self._present()
        entry = file.entries.get(name)
        if entry is None:
            raise KeyError(f"there is no dial {name!r} in {self.path}; there are: {_list(list(file.entries))}")
        dial = self._dials.get(name)
        if dial is None:
            with _replacing:
                dial = self._dials.setdefault(name, Dial(self, file, entry))
                dial._follow(self._file or file)  # another thread may have gone over just now
        return dial

    def __contains__(self, name: object) -> bool:
        return name in self._present().entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._present().entries)

    def __len__(self) -> int:
        return len(self._present().entries)

    def __repr__(self) -> str:
        return f"<envdial.Dials {self.path!r}{', closed' if self.closed else ''}>"

    def snapshot(self) -> Snapshot:
        """All dials of one and the same version."""
        return Snapshot(*self._present().all_readings())

    @property
    def version(self) -> int:
        return self._present().words[_file.CURRENT] >> 1

    @property
    def state(self) -> str:
        """`ready`, `stale` or `not_ready`, as the sidecar says; `stale` also when the sidecar is gone."""
        file = self._present()
        number = file.words[_file.STATE]
        state = _file.STATES.get(number, f"unknown-{number}")
        return "stale" if state == "ready" and not file.is_alive() else state

    @property
    def age(self) -> Optional[timedelta]:
        """How long ago the source last confirmed the values; None: it never did."""
        words = self._present().views["q"]
        mono, wall = words[_file.CONTACT_MONO], words[_file.CONTACT_WALL]
        if wall == 0:
            return None
        age = time.monotonic_ns() - mono
        if mono == 0 or age < 0:
            age = time.time_ns() - wall
        return timedelta(microseconds=max(age, 0) // 1000)

    def watch(self, timeout: Optional[float] = None) -> Watch:
        """An iterator over the changes from this call on; it sleeps in between.

        Where a value changed more than once since the last look, only its newest one is told. The loop ends when
        nothing changed for `timeout` seconds, or by close(); iterating again goes on where it ended.
        """
        return Watch(self, timeout)

    def changes(self) -> AsyncChanges:
        """The same for `async for`. It ends by close()."""
        return AsyncChanges(self, self._bell)

    def applied(self, consumer: str, version: Optional[int] = None) -> None:
        """Tells the sidecar, and thereby its operators, that `consumer` runs with `version`: the present one, if none
        is given. `consumer` (1 to 40 of a-z, 0-9 and -) says what the app is, not which process.

        One request to control.sock beside the snapshot, of two seconds at most: under asyncio, call it by
        asyncio.to_thread(). Raises ValueError for a consumer or a version that no sidecar takes, TimeoutError where it
        did not answer, and other OSErrors: FileNotFoundError, PermissionError, errno.EUSERS where 16 others told
        before …
        """
        told = self.version if version is None else version
        _applied.tell(os.path.join(os.path.dirname(self.path), "control.sock"), consumer, told)

    def refresh(self) -> None:
        """Goes over to a new file where there is one. All reads do that by themselves, within seconds."""
        self._next_look = 0.0
        self._present(at_once=True)

    def _present(self, at_once: bool = False) -> SnapshotFile:
        file = self._newest(at_once)
        if file is None:
            raise ValueError(f"the snapshot {self.path} was closed")
        return file

    def _look_now_and_then(self) -> None:
        if time.monotonic() >= self._next_look:
            self._newest()

    def _newest(self, at_once: bool = False) -> Optional[SnapshotFile]:
        """The file to read: goes over to a new one where there is reason to think that there is one.

        Reads go on with a superseded file while another thread maps its successor. Who would then sleep on it, where
        nobody wakes, goes over `at_once`.
        """
        file = self._file
        if file is None:
            return None
        superseded = file.is_superseded()
        now = time.monotonic()
        if not superseded and now < self._next_look:
            return file
        self._next_look = now + _LOOK_EVERY
        if (superseded and now < self._next_move and not at_once) or (not superseded and file.is_alive()):
            return file
        self._next_move = now + _MOVE_AGAIN_AFTER
        return self._move(file)

    def _move(self, file: SnapshotFile) -> Optional[SnapshotFile]:
        try:
            status = os.stat(self.path)
            if (status.st_dev, status.st_ino) == file.identity:
                return self._file
            new = SnapshotFile(self.path)
        except (OSError, BadSnapshot):
            return self._file  # the old one is read on
        with _replacing:
            if self._file is not file:  # another thread was faster, maybe with a newer file; or closed the dials
                return self._file
            for dial in self._dials.values():  # first: who sees the new version finds its values
                dial._follow(new)
            self._file = new
            self._next_move = 0.0
        return new


def _list(names: List[str]) -> str:
    more = len(names) - _MAX_NAMES_SHOWN
    return (", ".join(names[:_MAX_NAMES_SHOWN]) or "none") + (f" and {more} more" if more > 0 else "")


def open(run_dir: Union[str, os.PathLike[str], None] = None) -> Dials:
    """The dials of the sidecar that publishes in `run_dir`, else in $ENVDIAL_RUN_DIR, else in /run/envdial.

    Raises NotPublished until a sidecar has published there, BadSnapshot for a file that cannot be read, and OSError.
    """
    return Dials(path_in(run_dir))


def path_in(run_dir: Union[str, os.PathLike[str], None]) -> str:
    return os.path.join(os.fspath(run_dir or os.environ.get("ENVDIAL_RUN_DIR") or "/run/envdial"), "snapshot")
