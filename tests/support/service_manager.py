# SPDX-License-Identifier: Apache-2.0
"""The socket on which a service manager such as systemd is told how its service is (sd_notify(3))."""

import select
import socket
import time


class ServiceManager:
    """`name` is a path, or an abstract name that begins with @."""

    def __init__(self, name):
        self.name = str(name)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.name[1:] if self.name.startswith("@") else self.name)

    def close(self):
        self._socket.close()

    def next(self, within):
        """The variables of the next message, or none if there was none in that many seconds."""
        ready, _, _ = select.select([self._socket], [], [], within)
        if not ready:
            return None
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def wait(self, within=15.0, **expected):
        """Reads on until a message has these variables; returns all messages that came until then."""
        deadline, seen = time.monotonic() + within, []
        while True:
            message = self.next(max(0, deadline - time.monotonic()))
            if message is None:
                raise AssertionError(f"not told within {within:g} s: {expected} (but: {seen[-5:]})")
            seen.append(message)
            if expected.items() <= message.items():
                return seen
