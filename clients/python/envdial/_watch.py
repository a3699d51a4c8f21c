# SPDX-License-Identifier: Apache-2.0
"""Waiting for changes: as an iterator that sleeps, and for asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Deque, Dict, Iterator, Optional

from ._file import Reading, SnapshotFile, Value

if TYPE_CHECKING:
    from ._dials import Dials

# How long a sleep is at most, in seconds: until the next look for a new file, which nothing would wake us for.
_NAP = 5.0
_NAP_ALONE = 0.5  # while the sidecar is gone, or its new file cannot be read


@dataclass(frozen=True)
class Change:
    """One dial that has another value now."""

    name: str
    value: Value
    old: Optional[Value]  # None: the dial is new
    text: str
    origin: str
    changed: datetime
    version: int
    secret: bool

    def __repr__(self) -> str:
        old, new = ("•••", "•••") if self.secret else (repr(self.old), repr(self.value))
        return f"<envdial.Change {self.name}: {old} → {new}, version {self.version}>"


def _nap(file: SnapshotFile) -> float:
    return _NAP if file.is_alive() and not file.is_superseded() else _NAP_ALONE


class _Differences:
    """What changed from one look to the next."""

    def __init__(self, dials: Dials) -> None:
        self._dials = dials
        self._seen: Dict[str, Reading] = dials.snapshot().readings
        self.pending: Deque[Change] = deque()

    def look(self) -> Optional[SnapshotFile]:
        """Appends what changed to `pending`; returns the file that it looked at, None when the dials are closed."""
        file = self._dials._newest(at_once=True)
        if file is None:
            return None
        version, _, readings = file.all_readings()
        for name, now in readings.items():
            before = self._seen.get(name)
            if before is not None and before.text == now.text:
                continue
            old = None if before is None else before.value
            secret = file.entries[name].secret
            self.pending.append(Change(name, now.value, old, now.text, now.origin, now.changed, version, secret))
        self._seen.update(readings)
        return file


class Watch(Iterator[Change]):
    """What Dials.watch() gives. For one thread at a time."""

    def __init__(self, dials: Dials, timeout: Optional[float]) -> None:
        self._differences = _Differences(dials)
        self._dials = dials
        self._timeout = timeout

    def __next__(self) -> Change:
        end = None if self._timeout is None else time.monotonic() + self._timeout
        pending = self._differences.pending
        while not pending:
            file = self._dials._newest()
            if file is None:
                raise StopIteration
            changes = file.changes()  # before the look: what comes after it ends the sleep at once
            if self._differences.look() is not file or pending:
                continue
            nap = _nap(file)
            if end is not None:
                nap = min(nap, end - time.monotonic())
                if nap <= 0:
                    raise StopIteration
            file.wait(changes, nap)
        return pending.popleft()


class Bell:
    """Wakes asyncio tasks when something may have changed: one thread, and only while somebody waits."""

    def __init__(self, dials: Dials) -> None:
        self._dials = dials
        self._lock = threading.Lock()
        self._waiting: Dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}
        self._thread: Optional[threading.Thread] = None

    def enter(self) -> asyncio.Future[None]:
        """A future that is done when something may have changed after this call."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._waiting[future] = loop
            if self._thread is None or not self._thread.is_alive():  # a forked child has no threads
                self._thread = threading.Thread(target=self._run, name="envdial", daemon=True)
                self._thread.start()
        return future

    def leave(self, future: asyncio.Future[None]) -> None:
        with self._lock:
            self._waiting.pop(future, None)

    def _run(self) -> None:
        seen, rang = None, True
        while self._goes_on(rang):
            try:
                file = self._dials._newest(at_once=True)
                now = None if file is None else (file, file.changes())
                if file is not None and now == seen:
                    file.wait(now[1], _nap(file))
                seen, error = now, None
            except OSError as failed:
                error = failed
            rang = self._ring(error) and now is not None  # after a nap too: there may be a new file

    def _goes_on(self, rang: bool) -> bool:
        """Until nobody waits: one who was woken just now will be back."""
        with self._lock:
            if not self._waiting and not rang:
                self._thread = None
            return self._thread is not None

    def _ring(self, error: Optional[OSError]) -> bool:
        with self._lock:
            waiting = list(self._waiting.items())
            self._waiting.clear()
        for future, loop in waiting:
            try:
                loop.call_soon_threadsafe(_finish, future, error)
            except RuntimeError:
                pass  # that loop was closed
        return bool(waiting)


def _finish(future: asyncio.Future[None], error: Optional[OSError]) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


class AsyncChanges:
    """What Dials.changes() gives. For one task at a time; may be cancelled at any moment and iterated again."""

    def __init__(self, dials: Dials, bell: Bell) -> None:
        self._differences = _Differences(dials)
        self._bell = bell

    def __aiter__(self) -> AsyncChanges:
        return self

    async def __anext__(self) -> Change:
        pending = self._differences.pending
        while not pending:
            rung = self._bell.enter()  # before the look, so that nothing is missed between the two
            try:
                if self._differences.look() is None:
                    raise StopAsyncIteration
                if not pending:
                    await rung
            finally:
                self._bell.leave(rung)
        return pending.popleft()
