# SPDX-License-Identifier: Apache-2.0
"""A writer that never rests, and a reader that misses little: what was shown is held against what was put."""

import base64
import http.client
import json
import re
import threading
import time

from support.waiting import eventually


class Writer(threading.Thread):
    """PUTs growing numbers, one after the other, each to all of its keys in one transaction of Consul."""

    def __init__(self, consul, keys, first, pause=0.0):
        super().__init__(daemon=True)
        self.newest = first - 1  # that Consul may have: noted before it is put
        self.confirmed = first - 1  # that Consul has said it has
        self.first = first
        self.failure = None
        self._consul = consul
        self._keys = keys
        self._pause = pause
        self._ended = threading.Event()
        self.start()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._consul.port, timeout=10)
        try:
            while not self._ended.wait(self._pause):
                self.newest += 1
                self._put(connection, self.newest)
                self.confirmed = self.newest
        except (OSError, http.client.HTTPException, AssertionError) as failure:
            self.failure = failure
        finally:
            connection.close()

    def _put(self, connection, value):
        if len(self._keys) == 1:
            connection.request("PUT", f"/v1/kv/{self._keys[0]}", body=str(value))
        else:
            connection.request("PUT", "/v1/txn", body=transaction(self._keys, value))
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise AssertionError(f"Consul refused a PUT: {response.status}")

    def finish(self):
        """Ends it and returns the last number put."""
        self._ended.set()
        self.join(15)
        if self.failure is not None:
            raise AssertionError(f"the writer failed: {self.failure!r}")
        return self.confirmed


def transaction(keys, value):
    """The body of a PUT to /v1/txn that sets them all."""
    data = base64.b64encode(str(value).encode()).decode()
    return json.dumps([{"KV": {"Verb": "set", "Key": key, "Value": data}} for key in keys])


class EnvFileObserver(threading.Thread):
    """Reads the env file over and over and notes each text that differs from the one before it, with its time."""

    def __init__(self, path, every=0.0005):
        super().__init__(daemon=True)
        self.seen = []
        self.failure = None
        self._path = path
        self._every = every
        self._ended = threading.Event()
        self.start()

    def run(self):
        last = None
        while not self._ended.wait(self._every):
            try:
                text = self._path.read_bytes()
            except FileNotFoundError:
                continue  # not there yet, or taken away by the test; it is never half there
            except OSError as failure:
                self.failure = failure
                return
            if text != last:
                self.seen.append((time.monotonic(), text.decode()))
                last = text

    def wait_for(self, text):
        """Waits until this is what it saw last."""
        eventually(f"the env file says {text!r}", lambda: self.seen and self.seen[-1][1] == text)

    def finish(self):
        self._ended.set()
        self.join(10)
        if self.failure is not None:
            raise AssertionError(f"reading the env file: {self.failure!r}")
        return [text for _, text in self.seen]


def numbers(text, names):
    """The numbers of an env file that says exactly these names; anything else about the file is a failure."""
    pattern = "".join(rf"{name}='(\d+)'\n" for name in names)
    match = re.fullmatch(pattern, text)
    if match is None:
        raise AssertionError(f"not a whole env file of {names}: {text!r}")
    return [int(each) for each in match.groups()]


def check_shown(texts, names, allowed):
    """Each text is whole, all its numbers are equal and allowed, and none is lower than one shown before it."""
    highest = None
    for text in texts:
        values = numbers(text, names)
        if len(set(values)) != 1:
            raise AssertionError(f"two snapshots in one file: {text!r}")
        if not allowed(values[0]):
            raise AssertionError(f"a value that nobody put: {text!r}")
        if highest is not None and values[0] < highest:
            raise AssertionError(f"{values[0]} was shown after {highest}")
        highest = values[0]
    return highest


def wait_for_number(path, names, at_least, within=10.0):
    """Waits until the env file's numbers reach `at_least`; returns the first of them."""

    def reached():
        value = numbers(path.read_text(), names)[0]
        return value if value >= at_least else None

    return eventually(f"the env file shows at least {at_least}", reached, within)
