# SPDX-License-Identifier: Apache-2.0
"""Well-behaved clients of the control channel that note every snapshot they are given: a long poll and a stream."""

import http.client
import json
import threading

from support.unix_http import UnixConnection
from support.waiting import eventually

HEARTBEAT_SECONDS = 10  # a stream says something at least that often
LATE = 5.0


class Follower(threading.Thread):
    """Follows the snapshots over one connection at a time. A connection that is cut is opened again, and counted."""

    def __init__(self, socket_path):
        super().__init__(daemon=True)
        self.newest = {"version": 0, "dials": []}
        self.versions = []
        self.cuts = 0
        self.failure = None
        self._path = socket_path
        self._connection = None
        self._ended = threading.Event()
        self.start()

    def run(self):
        while not self._ended.is_set():
            self._connection = UnixConnection(self._path, timeout=HEARTBEAT_SECONDS + LATE)
            try:
                while not self._ended.is_set():
                    self.follow(self._connection)
            except (OSError, http.client.HTTPException) as cut:
                self.failure = cut
                self.cuts += not self._ended.is_set()
                self._ended.wait(0.02)  # nobody is there, say
            finally:
                self._connection.close()

    def follow(self, connection):
        raise NotImplementedError

    def note(self, snapshot):
        self.newest = snapshot
        self.versions.append(snapshot["version"])

    def value(self, name):
        return next((dial["value"] for dial in self.newest["dials"] if dial["name"] == name), None)

    def wait_for(self, name, value, within=10.0):
        eventually(
            f"{type(self).__name__} is given {name}={value} (last failure: {self.failure!r})",
            lambda: self.value(name) == str(value),
            within,
        )

    def finish(self):
        self._ended.set()
        if (sock := self._connection and self._connection.sock) is not None:
            try:
                sock.shutdown(2)
            except OSError:
                pass  # it is closed already
        self.join(LATE)


def _expect_200(response):
    if response.status != 200:
        raise http.client.HTTPException(f"{response.status} {response.read()!r}")


class LongPoller(Follower):
    def follow(self, connection):
        wait = f"&wait={HEARTBEAT_SECONDS}s" if self.versions else ""
        after = f"?after={self.newest['version']}{wait}" if self.versions else ""
        connection.request("GET", "/v1/snapshot" + after)
        response = connection.getresponse()
        _expect_200(response)
        snapshot = json.loads(response.read())
        if not self.versions or snapshot["version"] != self.newest["version"]:
            self.note(snapshot)


class StreamReader(Follower):
    def follow(self, connection):
        headers = {"Last-Event-ID": str(self.newest["version"])} if self.versions else {}
        connection.request("GET", "/v1/watch", headers=headers)
        response = connection.getresponse()
        _expect_200(response)
        event, data = "", ""
        while line := response.readline():
            field, _, text = line.decode().rstrip("\n").partition(":")
            if field == "event":
                event = text.strip()
            elif field == "data":
                data += text
            elif not field:
                if event == "snapshot":
                    self.note(json.loads(data))
                event, data = "", ""
        raise ConnectionError("the stream ended")
