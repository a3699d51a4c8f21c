# SPDX-License-Identifier: Apache-2.0
"""HTTP over a Unix socket."""

import http.client
import socket


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=5.0):
        super().__init__("localhost", timeout=timeout)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()


def request(path, method, target, body=None, timeout=5.0):
    """One request on a connection of its own. A broken answer is an OSError too, so that waiting goes on."""
    connection = UnixConnection(path, timeout)
    try:
        connection.request(method, target, body=body)
        return Answer(connection.getresponse())
    except http.client.HTTPException as broken:
        raise ConnectionError(f"{method} {target}: {broken!r}") from broken
    finally:
        connection.close()
