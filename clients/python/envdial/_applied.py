# SPDX-License-Identifier: Apache-2.0
"""Tells a sidecar which version its app runs with: PUT /v1/applied in docs/control-channel.md."""

from __future__ import annotations

import errno
import operator
import os
import re
import socket
import struct
import time

TIMEOUT = 2.0  # seconds, for all of it
_CONSUMER = re.compile("[a-z0-9-]{1,40}")
_ACCEPTED = b"HTTP/1.1 204"
_REFUSED = re.compile(rb"HTTP/1\.1 (\d{3})(?:.*?\r\n\r\n(.*))?", re.DOTALL)
_MAX_ANSWER = 4096  # bytes; a refusal has some hundreds
_MAX_PATH = 107  # bytes that Linux takes as the address of a Unix socket


def tell(path: str, consumer: str, version: int) -> None:
    """Raises ValueError for what no sidecar takes, else an OSError that names the socket."""
    if not _CONSUMER.fullmatch(consumer):
        raise ValueError(f"the consumer {consumer!r}: 1 to 40 of a-z, 0-9 and - are expected")
    if not 0 <= operator.index(version) < 1 << 64:
        raise ValueError(f"the version {version}: 0 to 2^64 - 1 is expected")
    if len(os.fsencode(path)) > _MAX_PATH:
        raise OSError(errno.ENAMETOOLONG, f"the path of a socket has {_MAX_PATH} bytes at most", path)
    body = f'{{"consumer": "{consumer}", "version": {version:d}}}'
    head = f"PUT /v1/applied HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    try:
        answer = _ask(path, (head + body).encode())
    except socket.timeout:
        raise TimeoutError(errno.ETIMEDOUT, f"the sidecar did not answer within {TIMEOUT:g} s", path) from None
    except OSError as failed:
        said = f"{failed.strerror}; a sidecar that listens there is expected"
        raise OSError(failed.errno, said, path) from failed
    if not answer.startswith(_ACCEPTED):
        raise _refusal(answer, path)


def _ask(path: str, request: bytes) -> bytes:
    """The answer, or what of it came in time; socket.timeout, or why else it could not be read, if that is nothing."""
    deadline = time.monotonic() + TIMEOUT
    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        _connect(connection, path)
        connection.sendall(request)
        try:
            while not answer.startswith(_ACCEPTED) and len(answer) < _MAX_ANSWER:
                connection.settimeout(_until(deadline))
                part = connection.recv(_MAX_ANSWER)
                if not part:
                    break
                answer += part
        except OSError:
            if not answer:
                raise
    return answer


def _connect(connection: socket.socket, path: str) -> None:
    """Waits for a place in a full queue, too: for that the socket must block, and one with a timeout does not."""
    seconds, microseconds = divmod(int(TIMEOUT * 1_000_000), 1_000_000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", seconds, microseconds))
    try:
        connection.connect(path)
    except BlockingIOError:
        raise socket.timeout from None


def _until(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:  # as a timeout of a socket, 0 would mean something else
        raise socket.timeout
    return left


def _refusal(answer: bytes, path: str) -> Exception:
    status = _REFUSED.match(answer)
    if status is None:
        found = f"{answer[:80]!r} is no answer" if answer else "the connection was closed without an answer"
        return OSError(errno.EPROTO, f"{found}; HTTP/1.1 204 is expected", path)
    said = f"the sidecar answered {status[1].decode()}: {(status[2] or b'').decode(errors='replace').strip()}"
    if status[1] == b"400":
        return ValueError(f"{path}: {said}")
    return OSError(errno.EUSERS if status[1] == b"429" else errno.EPROTO, f"{said}; 204 is expected", path)
