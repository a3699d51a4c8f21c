# SPDX-License-Identifier: Apache-2.0
"""A Consul made of a dictionary: what its KV API would say, without the process."""

import base64
import json
import re
import threading
import time

from support.kv_http import Answer

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0}
_WAIT = r"(\d+(?:\.\d+)?)(ms|s|m)"
_MAX_WAIT = 600.0  # as Consul's own


class Interrupted(Exception):
    """A held poll that is no longer wanted."""


class ScriptedKv:
    """Keys with their indexes. Reads block as Consul's do; the tombstones of deleted keys are kept for ever.

    tests/contract holds it against real ones. Where those differ it is like the older.
    """

    def __init__(self):
        self._changed = threading.Condition()
        self._index = 1
        self._entries = {}  # key: (value, flags, CreateIndex, ModifyIndex)
        self._tombstones = {}  # key, or prefix of a deleted tree: index of its deletion
        self._restores = 0

    def put(self, *keys, value, flags=0):
        self.put_all(dict.fromkeys(keys, value), flags)

    def put_all(self, values, flags=0):
        """One transaction; like Consul, it leaves the index alone where nothing changes."""
        new = {key: value if isinstance(value, bytes) else str(value).encode() for key, value in values.items()}
        with self._changed:
            changed = [key for key in new if self._entries.get(key, ())[:2] != (new[key], flags)]
            self._index += bool(changed)
            for key in changed:
                created = self._entries[key][2] if key in self._entries else self._index
                self._entries[key] = (new[key], flags, created, self._index)
            self._changed.notify_all()

    def delete(self, key):
        self._delete(key, [key])

    def delete_tree(self, prefix):
        self._delete(prefix, [key for key in self._entries if key.startswith(prefix)])

    def _delete(self, tombstone, keys):
        with self._changed:
            gone = [key for key in keys if self._entries.pop(key, None) is not None]
            if gone:
                self._index += 1
                self._tombstones[tombstone] = self._index
            self._changed.notify_all()

    def save(self):
        """A snapshot."""
        with self._changed:
            return self._index, dict(self._entries), dict(self._tombstones)

    def restore(self, snapshot):
        """The polls that are held are answered at once, from before it."""
        with self._changed:
            self._index, self._entries, self._tombstones = snapshot[0], dict(snapshot[1]), dict(snapshot[2])
            self._restores += 1
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
        if (refusal := _refusal(request)) is not None:
            return refusal
        after = int(query.get("index") or 0)
        deadline = time.monotonic() + min(_MAX_WAIT, _seconds(query.get("wait") or "5m"))
        with self._changed:
            restores = self._restores
            answer, index = self._look(request.key, "recurse" in query)
            while 0 < after >= index and (left := deadline - time.monotonic()) > 0:
                if not still_wanted():
                    raise Interrupted
                self._changed.wait(left)
                if self._restores != restores:
                    break
                answer, index = self._look(request.key, "recurse" in query)
            return answer

    def _look(self, key, recurse):
        found = sorted(each for each in self._entries if (each.startswith(key) if recurse else each == key))
        gone = [index for each, index in self._tombstones.items() if recurse and each.startswith(key)]
        seen = [self._entries[each][3] for each in found] + gone
        index = max(seen) if seen else self._index
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
        value, flags, created, modified = self._entries[key]
        return {
            "LockIndex": 0,
            "Key": key,
            "Flags": flags,
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


def _refusal(request):
    """What is wrong with the request; in the order in which Consul looks."""
    query = request.query
    if not re.fullmatch(r"\d*", query.get("index", "")):
        return _error(400, "Invalid index")
    if not re.fullmatch(_WAIT, query.get("wait") or "0s"):
        return _error(400, "Invalid wait time")
    if "stale" in query and request.consistent:
        return _error(400, "Cannot specify ?stale with ?consistent, conflicting semantics.")
    if query.get("ns"):
        return _error(400, 'Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature')
    if not request.key and "recurse" not in query:
        return _error(400, "Missing key name")
    if query.get("dc", "dc1") != "dc1":
        return _error(500, "No path to datacenter")
    return None


def _error(status, text):
    return Answer(status, {"Content-Type": "text/plain; charset=utf-8"}, text.encode())


def _seconds(text):
    number, unit = re.fullmatch(_WAIT, text).groups()
    return float(number) * _UNITS[unit]
