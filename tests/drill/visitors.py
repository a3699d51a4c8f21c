# SPDX-License-Identifier: Apache-2.0
"""Clients of every kind, good and bad, that come to a control socket and go again.

    /usr/bin/python3 tests/drill/visitors.py SOCKET SEED

Each number on standard input is so many connections, after which `done` is printed; 0 lets all that are open go away.
At the end of the input prints how many of each kind there were, and the statuses of their answers, as JSON.
"""

import collections
import contextlib
import json
import random
import re
import socket
import struct
import sys

MOST_OPEN = 60  # long polls, streams and silent ones; the oldest goes for a new one
CONSUMERS = 16  # the plan's most
PATIENCE = 10.0
SNAPSHOT = "/v1/snapshot"
PAGES = ("/metrics", "/v1/status", "/livez", "/readyz", "/v1/nothing", "/v1/snapshot?after=x")


class Visitors:
    def __init__(self, path, seed):
        self.counts = collections.Counter()
        self._path = path
        self._random = random.Random(seed)
        self._open = collections.deque()
        self._kinds = (
            self.snapshot, self.value, self.page, self.long_poll, self.stream, self.applied, self.silent, self.broken,
        )  # fmt: skip

    def come(self, number):
        for _ in range(number):
            kind = self._random.choice(self._kinds)
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.connect(self._path)
            client.settimeout(PATIENCE)
            self.counts[kind.__name__] += 1
            if kind(client):
                self._open.append(client)
            else:
                client.close()
            if len(self._open) > MOST_OPEN:
                self._open.popleft().close()

    def leave(self):
        while self._open:
            self._open.pop().close()

    def ask(self, client, target, method="GET", body=""):
        headers = f"Host: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        client.sendall(f"{method} {target} HTTP/1.1\r\n{headers}\r\n{body}".encode())

    def read(self, client):
        answer = b""
        while more := client.recv(65536):
            answer += more
        self.counts[re.match(rb"HTTP/1\.1 (\d+)", answer)[1].decode()] += 1
        return answer.partition(b"\r\n\r\n")[2]

    # Each of the kinds returns whether its connection stays open.

    def snapshot(self, client):
        self.ask(client, SNAPSHOT)
        self._version = json.loads(self.read(client))["version"]

    def value(self, client):
        self.ask(client, f"/v1/values/{self._random.choice('ABS')}")
        self.read(client)

    def page(self, client):
        self.ask(client, self._random.choice(PAGES))
        self.read(client)

    def long_poll(self, client):
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as first:
            first.connect(self._path)
            first.settimeout(PATIENCE)
            self.snapshot(first)
        self.ask(client, f"{SNAPSHOT}?after={self._version}&wait={self._random.choice(('100ms', '1m'))}")
        return True

    def stream(self, client):
        """Read once, or never."""
        self.ask(client, "/v1/watch")
        if self._random.random() < 0.5:
            client.recv(65536)
        return True

    def applied(self, client):
        said = {"consumer": f"visitor-{self._random.randrange(CONSUMERS)}", "version": self._random.randrange(1000)}
        self.ask(client, "/v1/applied", "PUT", json.dumps(said))
        self.read(client)

    def silent(self, client):
        client.sendall(b"GET /livez HT"[: self._random.randrange(14)])
        return True

    def broken(self, client):
        """Noise, an answer that is not waited for, a reset."""
        with contextlib.suppress(ConnectionError):
            client.sendall(self._random.choice((
                self._random.randbytes(2_000), b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
                b"GET /" + b"a" * 30_000, b"PUT /v1/applied HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n{",
            )))  # fmt: skip
            if self._random.random() < 0.5:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def main():
    visitors = Visitors(sys.argv[1], int(sys.argv[2]))
    for line in sys.stdin:
        if int(line):
            visitors.come(int(line))
        else:
            visitors.leave()
        print("done", flush=True)
    print(json.dumps(visitors.counts), flush=True)


main()
