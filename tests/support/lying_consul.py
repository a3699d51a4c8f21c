# SPDX-License-Identifier: Apache-2.0
"""A server between the sidecar and a Consul, real or made up, that passes everything on until it is told to lie."""

import base64
import collections
import http.client
import json
import select
import socket
import struct
import threading

from support import processes
from support.kv_http import Answer, read_request
from support.scripted_kv import Interrupted

_HOP_HEADERS = ("content-length", "connection", "date", "transfer-encoding")
_BACKLOG_FILLERS = 4  # connections that nobody accepts; the kernel keeps one more than listen(0) says


class LyingConsul:
    """Listens on 127.0.0.1:`port`. `source` is where the truth comes from: a RealKv or a ScriptedKv.

    begin(fault) takes hold at once: polls that are held get their lie now. heal() lets the next ones through.
    """

    def __init__(self, source, port=None):
        self.port = port or processes.free_port()
        self.fault = None
        self.counts = collections.Counter()  # requests by key or prefix
        self.lies = collections.Counter()  # answers that were lied, by key or prefix
        self.held = collections.Counter()  # polls that wait for a change now, by key or prefix
        self.tokens = set()  # that were sent
        self.elsewhere = socket.create_server(("127.0.0.1", 0))  # where a redirect points; nobody should come
        self._source = source
        self._older = {}  # by key or prefix: the first answer with content
        self._lock = threading.Lock()
        self._generation = 0
        self._number = 0
        self._listener = None
        self._fillers = []
        self._connections = {}  # socket: reader of the source

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def open(self):
        self._listen()
        return self

    def close(self):
        self._shut()
        self._cut()
        self.elsewhere.close()

    def begin(self, fault):
        with self._lock:
            self._generation += 1
            self.fault = fault
            readers = list(self._connections.values())
        if fault.door != "open":
            self._shut()
        if fault.door == "shut":
            self._cut()
        if fault.door == "full":
            self._listen_to_nobody()
        for reader in readers:
            reader.interrupt()

    def heal(self):
        with self._lock:
            self._generation += 1
            fault, self.fault = self.fault, None
        if fault.door != "open":
            self._shut()
            self._listen()

    def visitors_elsewhere(self):
        """Whether somebody followed a redirect."""
        return bool(select.select([self.elsewhere], [], [], 0)[0])

    def older(self, request):
        """The first answer with content that this key had."""
        return self._older[request.key]

    def _new_listener(self, backlog):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(backlog)
        return listener

    def _listen(self):
        self._listener = self._new_listener(128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _listen_to_nobody(self):
        """The kernel drops who comes now, as a firewall would."""
        self._listener = self._new_listener(0)
        for _ in range(_BACKLOG_FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)

    def _shut(self):
        if self._listener is not None:
            _end(self._listener)
            self._listener = None
        while self._fillers:
            self._fillers.pop().close()

    def _cut(self):
        with self._lock:
            connections = list(self._connections)
        for each in connections:
            _shutdown(each)

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # shut
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = self._source.reader()
            with self._lock:
                self._connections[connection] = reader
            threading.Thread(target=self._serve, args=(connection, reader), daemon=True).start()

    def _serve(self, connection, reader):
        try:
            with connection.makefile("rb") as stream:
                while (request := self._next(stream)) and self._answer(Wire(connection), reader, request):
                    pass
        except OSError:
            pass  # cut by us, or by the other side
        with self._lock:
            del self._connections[connection]
        _end(connection)
        reader.close()

    def _next(self, stream):
        with self._lock:
            self._number += 1
        request = read_request(stream, self._number)
        if request is not None:
            self.counts[request.key] += 1
            self.tokens.add(request.headers.get("x-consul-token"))
        return request

    def _answer(self, wire, reader, request):
        """Answers one request; false if the connection is not to be used again."""
        truth = self._ask(reader, request)
        if truth.status == 200 and not request.consistent:
            self._older.setdefault(request.key, truth)
        fault = self.fault
        if fault is None or (fault.spares_consistent and request.consistent):
            wire.send(truth.wire())
            return True
        self.lies[request.key] += 1
        return fault.send(wire, fault.lie(truth, request, self))


    def _ask(self, reader, request):
        with self._lock:
            generation, fault = self._generation, self.fault
        if fault is not None and not fault.holds:
            return reader.get(request.plain(), lambda: True)
        waits = "index" in request.query
        self.held[request.key] += waits
        try:
            return reader.get(request, lambda: self._generation == generation)
        except Interrupted:
            return reader.get(request.plain(), lambda: True)
        finally:
            self.held[request.key] -= waits


class Wire:
    """One connection to the sidecar, as the faults use it."""

    def __init__(self, connection):
        self._socket = connection

    def send(self, data):
        self._socket.sendall(data)

    def gone(self, within=None):
        """Waits, for ever or that long, until the other side closed."""
        readable, _, _ = select.select([self._socket], [], [], within)
        return bool(readable) and not self._socket.recv(1, socket.MSG_PEEK)

    def reset(self):
        """Lets the closing be a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


class RealKv:
    """The KV store of a real agent, a real_consul.Consul."""

    def __init__(self, consul):
        self._consul = consul

    def put(self, *keys, value):
        """One transaction."""
        data = base64.b64encode(str(value).encode()).decode()
        sets = [{"KV": {"Verb": "set", "Key": key, "Value": data}} for key in keys]
        status, answer = self._consul.request("PUT", "/v1/txn", json.dumps(sets))
        if status != 200:
            raise AssertionError(f"Consul refused a transaction: {status} {answer!r}")

    def reader(self):
        return _RealReader(self._consul.port)


class _RealReader:
    """Asks on a connection of its own, which it keeps."""

    def __init__(self, port):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def get(self, request, still_wanted):
        headers = {name: value for name, value in request.headers.items() if name == "x-consul-token"}
        try:
            self._connection.request(request.method, request.target, headers=headers)
            if not still_wanted():
                raise ConnectionError
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as failure:
            self._connection.close()
            if still_wanted():
                raise ConnectionError("the real Consul is away") from failure
            raise Interrupted from failure
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_HEADERS}
        return Answer(response.status, kept, body)

    def interrupt(self):
        if (at := self._connection.sock) is not None:
            _shutdown(at)

    def close(self):
        self._connection.close()


def _shutdown(each):
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # not connected, or gone already


def _end(each):
    _shutdown(each)
    each.close()
