# SPDX-License-Identifier: Apache-2.0
"""Clients that misbehave towards the control channel, each kind a process of its own.

    /usr/bin/python3 tests/support/neighbours.py KIND ADDRESS [--count N] [--seed N]

ADDRESS is the control socket's path, or HOST:PORT of the TCP listener. Prints `on` once it is in full swing, goes on
until SIGTERM, then prints what it did as one line of JSON.
"""

import argparse
import collections
import contextlib
import json
import random
import re
import resource
import select
import signal
import socket
import struct
import time

PATIENCE = 30.0  # seconds: longer than anything may take here
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
STREAM = b"GET /v1/watch HTTP/1.1\r\nHost: x\r\n\r\n"
SNAPSHOT = b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
HALF_BODY = b"PUT /v1/applied HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + b" " * 59_000
FLOODS = {
    "headers": (
        (b"GET /livez HTTP/1.1\r\n", b"X-Y: z\r\n" * 8_000),
        (b"GET /livez HTTP/1.1\r\nX: ", b"y" * 65_536),
        (b"GET /livez?", b"y" * 65_536),
    ),
    "bodies": (
        (b"PUT /v1/applied HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b" " * 65_536),
        (b"PUT /v1/applied HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
         b"10000\r\n" + b" " * 65_536 + b"\r\n"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000),
    ),
}  # fmt: skip


class Ended(BaseException):
    """SIGTERM came."""


class Neighbour:
    def __init__(self, address, count, seed):
        self.address = address
        self.count = count
        self.did = collections.Counter()
        self.random = random.Random(seed)
        self._is_on = False

    def on(self):
        if not self._is_on:
            print("on", flush=True)
        self._is_on = True

    def connect(self):
        # While it is blocking: a Unix socket whose listener's queue is full has no other way to wait for a place.
        if self.address.startswith("/"):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.connect(self.address)
        else:
            host, port = self.address.rsplit(":", 1)
            client = socket.create_connection((host, int(port)))
        client.settimeout(PATIENCE)
        self.did["connections"] += 1
        return client

    @contextlib.contextmanager
    def may_be_cut(self):
        """Who misbehaves must expect to be cut off, but never to be held up for ever."""
        try:
            yield
        except TimeoutError:
            self.did["held up"] += 1
        except OSError:
            self.did["cut off"] += 1

    def count_statuses(self, client, of):
        """Reads until `of` answers are there, or the end of the connection, and counts them by their status."""
        data = b""
        while data.count(b"HTTP/1.1 ") < of and (more := client.recv(65536)):
            data += more
        for status in re.findall(rb"HTTP/1\.1 (\d\d\d)", data):
            self.did[status.decode()] += 1

    def hold(self, begin, pulse=None):
        """Holds `count` connections on which begin() spoke; whichever is cut is replaced, as a client's library would.

        Twice a second, each gets what pulse() does to it.
        """
        cut = select.epoll()
        held = {}

        def add():
            client = self.connect()
            with self.may_be_cut():
                begin(client)
            held[client.fileno()] = (client, time.monotonic())
            cut.register(client, select.EPOLLRDHUP)

        while len(held) < self.count:
            add()
        self.on()
        pulse_at = 0.0
        while True:
            for number, _ in cut.poll(0.5):
                client, since = held.pop(number)
                self.did["longest"] = max(self.did["longest"], round(time.monotonic() - since))
                self.did["replaced"] += 1
                client.close()
                add()
            if pulse and time.monotonic() > pulse_at:
                pulse_at = time.monotonic() + 0.5
                for client, _ in held.values():
                    with self.may_be_cut():
                        pulse(client)

    def again_and_again(self, act):
        """A connection after the other; `count` of them are full swing."""
        while True:
            client = self.connect()
            with self.may_be_cut():
                act(client)
            client.close()
            if self.did["connections"] >= self.count:
                self.on()


def silent(self):
    self.hold(lambda client: None)


def half(self):
    """Requests that never get whole: they stop within the headers, or within the body."""

    def begin(client):
        request = self.random.choice((LIVEZ, METRICS, STREAM, HALF_BODY))
        client.sendall(request[: self.random.randrange(1, len(request))])

    self.hold(begin)


def trickle(self):
    """Headers without an end, a byte at a time: always busy, never idle, never done."""
    self.hold(lambda client: client.sendall(b"GET /livez HTTP/1.1\r\nX: "), lambda client: client.send(b"x"))


def deaf(self):
    """They ask for more and more, and read nothing."""

    def begin(client):
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                client.send(METRICS * 100)

    self.hold(begin)


def noise(self):
    """Random bytes, half of them behind a request that is damaged."""

    def act(client):
        data = bytearray(self.random.choice((b"", LIVEZ, METRICS, STREAM, HALF_BODY[:500])))
        for _ in range(self.random.randrange(4) if data else 0):
            data[self.random.randrange(len(data))] = self.random.randrange(256)
        client.sendall(data + self.random.randbytes(self.random.choice((0, 1, 100, 5_000, 100_000))))
        client.shutdown(socket.SHUT_WR)
        self.count_statuses(client, of=2)

    self.again_and_again(act)


def quick(self):
    """In and out: without a word, with a question and no ear for the answer, with a reset, or as is proper."""

    def act(client):
        way = self.random.randrange(4)
        if way > 0:
            client.sendall(LIVEZ)
        if way == 1:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if way == 2:
            self.count_statuses(client, of=1)

    self.again_and_again(act)


def flood(self, floods):
    """A beginning, then more of the same, up to some 13 MB."""

    def act(client):
        beginning, more = self.random.choice(floods)
        sent = len(beginning)
        client.sendall(beginning)
        try:
            for _ in range(200):
                client.sendall(more)
                sent += len(more)
        except ConnectionError:
            self.did["stopped"] += 1
        self.did["most bytes"] = max(self.did["most bytes"], sent)
        self.count_statuses(client, of=1)

    self.again_and_again(act)


def pipeline(self):
    """Requests by the hundred on each of `count` connections, without an end, and the answers read as they come."""
    unsent = {}

    def turn(client, can_read, can_write):
        if can_write:
            unsent[client] = unsent[client] or self.random.choice((LIVEZ, METRICS)) * 200
            unsent[client] = unsent[client][client.send(unsent[client]) :]
        if can_read:
            answers = client.recv(1 << 20)
            if not answers:
                raise ConnectionError
            self.did["200"] += answers.count(b"HTTP/1.1 200")

    while True:
        while len(unsent) < self.count:
            client = self.connect()
            client.setblocking(False)
            unsent[client] = b""
        readable, writable, _ = select.select(unsent, unsent, [], PATIENCE)
        for client in {*readable, *writable}:
            try:
                turn(client, client in readable, client in writable)
            except ConnectionError:
                self.did["cut off"] += 1
                del unsent[client]
                client.close()
        if self.did["200"] > self.count:
            self.on()


def vanish(self):
    """Streams and long polls, a hundred at a time, whose clients go away in the middle."""

    def act(asking):
        asking.sendall(SNAPSHOT)
        version = int(re.search(rb'"version": ?(\d+)', asking.recv(65536))[1])
        long_poll = b"GET /v1/snapshot?after=%d&wait=10m HTTP/1.1\r\nHost: x\r\n\r\n" % version
        clients = [self.connect() for _ in range(100)]
        for client in clients:
            client.sendall(self.random.choice((STREAM, long_poll)))
        for client in clients:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.recv(self.random.choice((1, 100)))
            client.close()

    self.again_and_again(act)


KINDS = {each.__name__: each for each in (silent, half, trickle, deaf, noise, quick, pipeline, vanish)} | {
    name: lambda self, floods=floods: flood(self, floods) for name, floods in FLOODS.items()
}


def main():
    arguments = argparse.ArgumentParser(description="be a bad client of the control channel")
    arguments.add_argument("kind", choices=sorted(KINDS))
    arguments.add_argument("address")
    arguments.add_argument("--count", type=int, default=100, help="connections that are full swing")
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()

    def end(_signal, _frame):
        raise Ended

    signal.signal(signal.SIGTERM, end)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    neighbour = Neighbour(chosen.address, chosen.count, chosen.seed)
    try:
        KINDS[chosen.kind](neighbour)
    except Ended:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(json.dumps(neighbour.did), flush=True)


if __name__ == "__main__":
    main()
