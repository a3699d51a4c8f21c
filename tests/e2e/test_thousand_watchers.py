# SPDX-License-Identifier: Apache-2.0
"""A thousand clients that wait at once, streams and long polls in equal parts, each of which has each change."""

import re
import resource

from support import unix_http
from support.case import KEY, EndToEndTest, one_dial
from support.waiting import eventually

STREAMS = 500
LONG_POLLS = 500
WITHIN = 60


class Watcher:
    def __init__(self, path):
        self._socket = unix_http.connect(path, WITHIN)
        self._received = ""

    def ask(self, target):
        self._socket.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def read_until(self, pattern):
        """What was matched. What came before it is forgotten, with it."""
        while not (found := re.search(pattern, self._received, re.DOTALL)):
            more = self._socket.recv(1 << 16)
            if not more:
                raise AssertionError(f"closed before {pattern} came, after {self._received!r}")
            self._received += more.decode()
        self._received = self._received[found.end() :]
        return found

    def close(self):
        self._socket.close()


class Stream(Watcher):
    def __init__(self, path):
        super().__init__(path)
        self.ask("/v1/watch")

    def wait_for(self, value):
        self.read_until(rf'"value":"{value}".*?\n\n')


class LongPoll(Watcher):
    def __init__(self, path):
        super().__init__(path)
        self.ask("/v1/snapshot")
        self._wait_for_another()

    def _wait_for_another(self):
        answer = self.read_until(r'"version":(?P<version>\d+).*?"value":"(?P<value>\d+)".*?\]\s*}')
        self.ask(f"/v1/snapshot?after={answer['version']}&wait=10m")
        return int(answer["value"])

    def wait_for(self, value):
        while self._wait_for_another() != value:
            pass


class ThousandWatchers(EndToEndTest):
    def setUp(self):
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def watch(self, sidecar):
        kinds = [Stream] * STREAMS + [LongPoll] * LONG_POLLS
        watchers = []
        for kind in kinds:
            watchers.append(kind(sidecar.socket))
            self.addCleanup(watchers[-1].close)
        eventually("all of them wait", lambda: sidecar.metrics()("control_clients") == len(kinds), within=WITHIN)
        return watchers

    def test_each_has_each_change(self):
        consul = self.start_consul()
        sidecar = self.sidecar(consul, *one_dial("--default", 500)).start_ready()
        watchers = self.watch(sidecar)
        for value in range(601, 606):
            consul.put(KEY, value)
            for watcher in watchers:
                watcher.wait_for(value)
            self.assertEqual(sidecar.get("/livez").status, 200)
        self.assertEqual(sidecar.get("/v1/values/MAX_CONCURRENT").text, "605")
        for watcher in watchers:
            watcher.close()
        eventually("they are forgotten", lambda: sidecar.metrics()("control_clients") == 0, within=WITHIN)
