# SPDX-License-Identifier: Apache-2.0
"""What was put and what was seen, held against the promises.

A history is a list of events in the order of their monotonic time `t`. A value is a number; each dial shows it in a
text of its own (text_of), so that a torn or mixed one is not another value by chance.

    {"t", "what": "put", "value"}                          someone begins to write it; all dials at once
    {"t", "what": "took", "value"}                         Consul has said that it has it
    {"t", "what": "never", "value"}                        by now it is known that Consul never had it
    {"t", "what": "seen", "pod", "channel", "version", "dials"}
    {"t", "what": "restored", "value"}                     from now on Consul may be what it was with that value
    {"t", "what": "healed", "pod"}                         from now on this pod can learn the newest value
    {"t", "what": "due", "pod", "value", "exact"}          by now it must have shown it since then, or a newer one

A seen event without a heal is judged too: at any time a channel shows nothing but what was put, whole, and nothing
older than it showed before.
"""

from collections import Counter
from dataclasses import dataclass, field

CHANNELS = ("env_file", "snapshot_file", "control", "signal")
KINDS = ("wrong", "older", "blank", "torn", "lost")
DIALS = ("A", "B", "C")
_LONG = 40


def text_of(dial, value):
    """What a dial is set to for that value."""
    if dial == "A":
        return str(value)
    return f"{value}:{chr(ord('a') + value % 26) * (_LONG + value % 7)}:{value}"


def dials_of(value):
    return {dial: text_of(dial, value) for dial in DIALS}


def value_of(text):
    """The value that dial A shows by this text; None if it is no value's."""
    return int(text) if text and text.isascii() and text.isdecimal() else None


@dataclass
class Violation:
    kind: str
    event: dict
    message: str


@dataclass
class _Seen:
    """Of one channel of one pod."""

    newest: int = 0  # what it shows
    floor: int = 0  # what it must not show less than
    version: int = 0
    since_heal: set = field(default_factory=set)


class Checker:
    """Reads a history event by event."""

    def __init__(self):
        self.violations = []
        self.looks = Counter()  # events by channel
        self._put = set()
        self._shown = {}  # by value: the first event that showed it
        self._channels = {}
        self._versions = {}  # of a pod: what each stands for, on whichever channel

    def read(self, event):
        getattr(self, f"_on_{event['what']}")(event)

    def counts(self):
        found = Counter(violation.kind for violation in self.violations)
        return {kind: found[kind] for kind in KINDS}

    def _of(self, pod, channel):
        return self._channels.setdefault((pod, channel), _Seen())

    def _complain(self, kind, event, message):
        self.violations.append(Violation(kind, event, message))

    def _on_put(self, event):
        self._put.add(event["value"])

    def _on_took(self, event):
        if event["value"] not in self._put:
            raise AssertionError(f"not a history: {event} was never put")

    def _on_never(self, event):
        self._put.discard(event["value"])
        if event["value"] in self._shown:
            self._complain("wrong", self._shown[event["value"]], f"Consul never had {event['value']}")

    def _on_restored(self, event):
        """Each channel may go back once, and no further than to that value."""
        for seen in self._channels.values():
            seen.floor = min(seen.floor, event["value"])

    def _on_seen(self, event):
        self.looks[event["channel"]] += 1
        dials, seen = event["dials"], self._of(event["pod"], event["channel"])
        if not dials or any(text in ("", None) for text in dials.values()):
            return self._complain("blank", event, "a dial without a value")
        value = value_of(dials.get("A"))
        self._shown.setdefault(value, event)
        if value not in self._put:
            return self._complain("wrong", event, "this was not put before")
        if dials != dials_of(value):
            return self._complain("torn", event, "these texts never stood together in Consul")
        if value < seen.floor:
            self._complain("older", event, f"{value} after {seen.floor}")
        self._check_version(event, seen)
        seen.newest = seen.floor = value
        seen.since_heal.add(value)

    def _check_version(self, event, seen):
        version = event.get("version")
        if version is None:
            return
        if version < seen.version:
            self._complain("older", event, f"version {version} after {seen.version}")
        if self._versions.setdefault((event["pod"], version), event["dials"]["A"]) != event["dials"]["A"]:
            self._complain("torn", event, f"version {version} is two things")
        seen.version = version

    def _on_healed(self, event):
        for channel in CHANNELS:
            seen = self._of(event["pod"], channel)
            seen.since_heal = {seen.newest}

    def _on_due(self, event):
        """A newer value will do, since another one may have been put; but not after a restore."""
        for channel in CHANNELS:
            shown = self._of(event["pod"], channel).since_heal
            if event["value"] not in shown and (event.get("exact") or max(shown, default=0) < event["value"]):
                newest = self._of(event["pod"], channel).newest
                self._complain("lost", event, f"{channel} shows {newest} instead of {event['value']}")


def check(events):
    """The violations of a whole history."""
    checker = Checker()
    for event in sorted(events, key=lambda event: event["t"]):
        checker.read(event)
    return checker.violations
