# SPDX-License-Identifier: Apache-2.0
"""A door in front of a TCP server that can be shut and opened in no time, and that counts what goes through."""

import socket
import threading


class Gate:
    """Forwards `host`:`port` to 127.0.0.1:`target`. While shut, connections are refused, and open ones are cut."""

    def __init__(self, target, port, host="127.0.0.1"):
        self.host = host
        self.port = port
        self.requests = 0  # that clients sent through it, counted by their request lines
        self._target = target
        self._lock = threading.Lock()
        self._listener = None
        self._sockets = set()

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def open(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family, backlog=64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def shut(self):
        with self._lock:
            listener, self._listener = self._listener, None
            sockets, self._sockets = self._sockets, set()
        if listener is not None:
            self._end(listener)
        for each in sockets:
            self._end(each)

    @staticmethod
    def _end(each):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # not connected, or gone already
        each.close()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # shut
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=10)
            except OSError:
                client.close()
                continue
            for each in (client, server):
                each.settimeout(None)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                is_open = self._listener is listener
                if is_open:
                    self._sockets |= {client, server}
            if not is_open:
                self._end(client)
                self._end(server)
                return
            threading.Thread(target=self._forward, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()

    def _forward(self, source, sink, is_request):
        try:
            while data := source.recv(65536):
                if is_request:
                    self.requests += data.count(b" HTTP/1.1\r\n")
                sink.sendall(data)
        except OSError:
            pass  # cut by shut(), or by one of the two sides
        with self._lock:
            self._sockets -= {source, sink}
        self._end(source)
        self._end(sink)
