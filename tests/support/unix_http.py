# SPDX-License-Identifier: Apache-2.0
"""HTTP over a Unix socket."""

import http.client
import socket
import struct


def connect(path, timeout):
    """A connection whose calls take `timeout` seconds at most, so also that for a place in a full queue.

    For such a place only a blocking socket waits; Python's own time-outs make one that is told EAGAIN at once.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", *divmod(int(timeout * 1e6), 10**6)))
        client.connect(str(path))
    except BlockingIOError:
        client.close()
        raise TimeoutError(f"{path}: no place in the listener's queue within {timeout} s") from None
    except BaseException:
        client.close()
        raise
    client.settimeout(timeout)
    return client


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=5.0):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = connect(self._path, self.timeout)


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
