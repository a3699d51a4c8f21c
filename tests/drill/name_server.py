# SPDX-License-Identifier: Apache-2.0
"""A name server on port 53 of the loopback, in a network namespace of the caller's own."""

import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28
_TRUNCATED, _NO_SUCH_NAME = 0x0200, 3
_PORT = 53


class NameServer:
    """`records`: addresses by lower-case name; other names don't exist. `truncated`: those that are told by TCP only."""

    def __init__(self, records, truncated=()):
        self.questions = []
        self._records = records
        self._truncated = truncated
        self._sockets = []
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            for kind, serve in ((socket.SOCK_DGRAM, self._serve_udp), (socket.SOCK_STREAM, self._serve_tcp)):
                server = socket.socket(family, kind)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind((address, _PORT))
                self._sockets.append(server)
                threading.Thread(target=serve, args=(server,), daemon=True).start()

    def _serve_udp(self, server):
        while True:
            question, client = server.recvfrom(4096)
            server.sendto(self._answer(question, by_udp=True), client)

    def _serve_tcp(self, server):
        server.listen()
        while True:
            connection = server.accept()[0]
            with connection, connection.makefile("rwb") as stream:
                while len(length := stream.read(2)) == 2:
                    answer = self._answer(stream.read(struct.unpack(">H", length)[0]), by_udp=False)
                    stream.write(struct.pack(">H", len(answer)) + answer)
                    stream.flush()

    def _answer(self, question, by_udp):
        name, end = _name_of(question)
        kind = struct.unpack_from(">H", question, end)[0]
        self.questions.append(name)
        known = self._records.get(name)
        flags = 0x8180 | (0 if known is not None else _NO_SUCH_NAME)
        version = {A: 4, AAAA: 6}.get(kind)
        found = [each.packed for each in map(ipaddress.ip_address, known or ()) if each.version == version]
        if by_udp and name in self._truncated:
            flags, found = flags | _TRUNCATED, []
        header = question[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0)
        records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(each)) + each for each in found)
        return header + question[12 : end + 4] + records


def _name_of(question):
    """The name that is asked for, and where its type stands."""
    labels, position = [], 12
    while length := question[position]:
        labels.append(question[position + 1 : position + 1 + length].decode().lower())
        position += 1 + length
    return ".".join(labels), position + 1
