# SPDX-License-Identifier: Apache-2.0
"""A Consul made of a dictionary: what its KV API would say, without the process."""

import base64
import json
import re
import threading
import time

from support.kv_http import Answer

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0}
_MAX_WAIT = 600.0  # as Consul's own


class Interrupted(Exception):
    """A held poll that is no longer wanted."""


class ScriptedKv:
    """Keys with their indexes. Reads block as Consul's do; the tombstones of deleted keys are kept for ever."""

    def __init__(self):
        self._changed = threading.Condition()
        self._index = 1
        self._entries = {}  # key: (value, CreateIndex, ModifyIndex)
        self._tombstones = {}  # key: index of its deletion

    def put(self, *keys, value):
        self.put_all(dict.fromkeys(keys, value))

    def put_all(self, values):
        """One transaction; like Consul, it leaves the index alone where nothing changes."""
        new = {key: value if isinstance(value, bytes) else str(value).encode() for key, value in values.items()}
        with self._changed:
            changed = [key for key in new if self._entries.get(key, (None,))[0] != new[key]]
            self._index += bool(changed)
            for key in changed:
                created = self._entries[key][1] if key in self._entries else self._index
                self._entries[key] = (new[key], created, self._index)
            self._changed.notify_all()

    def delete(self, key):
        with self._changed:
            if self._entries.pop(key, None) is not None:
                self._index += 1
                self._tombstones[key] = self._index
            self._changed.notify_all()

    def reader(self):
        """What one connection asks through."""
        return _Reader(self)

    def interrupt(self):
        with self._changed:
            self._changed.notify_all()

    def answer(self, request, still_wanted):
        """Answers a GET, as late as its index and wait ask for. Raises Interrupted once it is no longer wanted."""
        query = request.query
        after = int(query.get("index", 0))
        deadline = time.monotonic() + min(_MAX_WAIT, _seconds(query.get("wait", "5m")))
        with self._changed:
            while True:
                answer, index = self._look(request.key, "recurse" in query)
                left = deadline - time.monotonic()
                if index > after or after == 0 or left <= 0:
                    return answer
                if not still_wanted():
                    raise Interrupted
                self._changed.wait(left)

    def _look(self, key, recurse):
        found = sorted(each for each in self._entries if (each.startswith(key) if recurse else each == key))
        gone = [index for each, index in self._tombstones.items() if recurse and each.startswith(key)]
        index = max([self._entries[each][2] for each in found] + gone) if found else self._index
        headers = {
            "Content-Type": "application/json",
            "X-Consul-Index": str(index),
            "X-Consul-Knownleader": "true",
            "X-Consul-Lastcontact": "0",
        }
        if not found:
            del headers["Content-Type"]
            return Answer(404, headers), index
        return Answer(200, headers, json.dumps([self._entry(each) for each in found]).encode()), index

    def _entry(self, key):
        value, created, modified = self._entries[key]
        return {
            "LockIndex": 0,
            "Key": key,
            "Flags": 0,
            "Value": base64.b64encode(value).decode() if value else None,
            "CreateIndex": created,
            "ModifyIndex": modified,
        }


class _Reader:
    def __init__(self, store):
        self._store = store

    def get(self, request, still_wanted):
        return self._store.answer(request, still_wanted)

    def interrupt(self):
        self._store.interrupt()

    def close(self):
        pass


def _seconds(text):
    number, unit = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)", text).groups()
    return float(number) * _UNITS[unit]
