# SPDX-License-Identifier: Apache-2.0
"""Puts growing values, each to all dials of all pods in one transaction, and never loses count of what Consul has."""

import base64
import http.client
import json
import threading
import time

import history

FENCE = "fence"
_PATIENCE = 60.0
_ONE_TRY = 3.0


def _verb(verb, key, text, **more):
    return {"KV": {"Verb": verb, "Key": key, "Value": base64.b64encode(text.encode()).decode(), **more}}


class Writer:
    """Each put is conditional on the one before it (check-and-set of one key): one whose outcome is unknown, because
    its server died, can then not come into force after a later one."""

    def __init__(self, cluster, prefixes, note):
        self.value = 0  # the newest that Consul is known to have
        self._tried = 0
        self._index = None  # of the fence; None: not known
        self._open = []  # values of which it is not known whether Consul has them
        self._cluster = cluster
        self._prefixes = prefixes
        self._note = note
        self._lock = threading.Lock()
        self._pace = None
        self._connection = None
        self._server = 0
        self._ended = False
        threading.Thread(target=self._run, daemon=True).start()

    def put(self):
        """One more value, and waits until Consul has it. Returns the value."""
        with self._lock:
            until = time.monotonic() + _PATIENCE
            while not self._try():
                if time.monotonic() > until:
                    raise AssertionError(f"nothing could be put within {_PATIENCE:g} s")
                time.sleep(0.02)
            return self.value

    def go_on(self, pace):
        """Puts without being told, with such pauses; None: no more. Returns once that is so."""
        with self._lock:
            self._pace = pace

    def forget(self):
        """Consul may have another past now: looks again what it has."""
        with self._lock:
            self._index = None
            self._open.clear()

    def _run(self):
        while True:
            time.sleep(self._pace or 0.05)
            with self._lock:
                if self._pace is not None:
                    self._try()

    def _try(self):
        try:
            if self._index is None:
                self._look()
            return self._put_next()
        except (OSError, http.client.HTTPException, ValueError):
            self._index = None
            self._connection = None
            self._server += 1
            return False

    def _ask(self, method, target, body=None):
        if self._connection is None:
            server = self._cluster.servers[self._server % len(self._cluster.servers)]
            self._connection = server.connect(_ONE_TRY)
        self._connection.request(method, target, body, {"X-Consul-Token": self._cluster.root_token})
        response = self._connection.getresponse()
        return response.status, response.read()

    def _look(self):
        status, answer = self._ask("GET", f"/v1/kv/{FENCE}?consistent")
        if status not in (200, 404):
            raise ConnectionError(f"{status}")
        if status == 404:
            self._index, self.value = 0, 0
            return
        entry = json.loads(answer)[0]
        self._index, self.value = entry["ModifyIndex"], int(base64.b64decode(entry["Value"]))
        if self.value in self._open:
            self._took(self.value)

    def _took(self, value):
        """What was put on top of something else before, and is not known by now, can no longer come into force."""
        self._note({"what": "took", "value": value})
        for other in self._open:
            if other != value:
                self._note({"what": "never", "value": other})
        self._open.clear()

    def _put_next(self):
        self._tried += 1
        value = self._tried
        puts = [_verb("cas", FENCE, str(value), Index=self._index)]
        for prefix in self._prefixes:
            puts += [_verb("set", f"{prefix}/{dial.lower()}", history.text_of(dial, value)) for dial in history.DIALS]
        self._note({"what": "put", "value": value})
        self._open.append(value)
        status, answer = self._ask("PUT", "/v1/txn", json.dumps(puts))
        if status != 200:
            raise ConnectionError(f"{status}")
        self._index = json.loads(answer)["Results"][0]["KV"]["ModifyIndex"]
        self.value = value
        self._took(value)
        return True
