# SPDX-License-Identifier: Apache-2.0
import contextlib
import errno
import os
import socket
import threading
import unittest

from fixture import SnapshotTest

import envdial
from envdial import _applied

REQUEST = (
    b"PUT /v1/applied HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    b'{"consumer": "hunt-service", "version": %d}'
)
LEFT = contextlib.suppress(BrokenPipeError, ConnectionResetError)  # the client has read as much as it wanted


class Applied(SnapshotTest):
    def setUp(self):
        super().setUp()
        self.writer = self.write()
        self.dials = envdial.open(self.run_dir)
        self.addCleanup(setattr, _applied, "TIMEOUT", _applied.TIMEOUT)
        _applied.TIMEOUT = 60.0
        self.socket = str(self.run_dir / "control.sock")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(self.listener.close)
        self.listener.settimeout(30)
        self.listener.bind(self.socket)
        self.listener.listen()

    def answer(self, *parts):
        """Takes one connection, answers with `parts` and closes it; what it was asked is told by what is returned."""

        def serve():
            connection = self.listener.accept()[0]
            with connection:
                asked = b""
                while not asked.endswith(b"}"):
                    asked += connection.recv(4096)
                with LEFT:
                    for part in parts:
                        connection.sendall(part)
                return asked

        return self.in_thread(serve)

    def refused_as(self, answer, kind):
        finish = self.answer(answer)
        with self.assertRaises(kind) as caught:
            self.dials.applied("hunt-service")
        finish()
        self.assertIn(self.socket, str(caught.exception))
        return caught.exception

    def test_tells_the_present_version_or_another(self):
        self.writer.publish(LIMIT=(600, "600"))
        for told, version in ((None, 2), (2**64 - 1, 2**64 - 1), (0, 0)):
            asked = self.answer(b"HTTP/1.1 204 No Content\r\n", b"Connection: close\r\n\r\n")
            self.dials.applied("hunt-service", version=told)
            self.assertEqual(asked(), REQUEST % (41 + len(str(version)), version))

    def test_takes_an_answer_in_pieces(self):
        asked = self.answer(*(bytes([byte]) for byte in b"HTTP/1.1 204 No Content\r\n\r\n"))
        self.dials.applied("a-1")
        asked()

    def test_does_not_wait_for_more_than_the_status(self):
        over = threading.Event()
        self.addCleanup(over.set)

        def serve():
            with self.listener.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 204 No Content\r\n")
                over.wait(30)

        finish = self.in_thread(serve)
        self.dials.applied("hunt-service")
        over.set()
        finish()

    def test_what_no_sidecar_takes_is_not_sent(self):
        for consumer in ("", "x" * 41, "Hunt", "hunt_service", "hunt service", 'a"', "a\n", "zoë", "١"):
            with self.assertRaisesRegex(ValueError, "1 to 40 of a-z, 0-9 and - are expected", msg=consumer):
                self.dials.applied(consumer)
        for version in (-1, 1 << 64):
            with self.assertRaisesRegex(ValueError, "0 to 2.64 - 1 is expected"):
                self.dials.applied("hunt-service", version)
        with self.assertRaises(TypeError):
            self.dials.applied("hunt-service", 7.0)
        self.listener.setblocking(False)
        with self.assertRaises(BlockingIOError, msg="nobody connected"):
            self.listener.accept()

    def test_refusals_say_what_the_sidecar_said(self):
        bad = self.refused_as(b'HTTP/1.1 400 Bad Request\r\nX: y\r\n\r\n{"error": "no version"}', ValueError)
        self.assertRegex(str(bad), 'answered 400: {"error": "no version"}')
        many = self.refused_as(b'HTTP/1.1 429 Too Many Requests\r\n\r\n{"error": "16 already"}', OSError)
        self.assertEqual(many.errno, errno.EUSERS)
        self.assertIn('answered 429: {"error": "16 already"}', str(many))
        for status in (b"200 OK", b"404 Not Found", b"503 Busy"):
            self.assertEqual(self.refused_as(b"HTTP/1.1 " + status + b"\r\n\r\n", OSError).errno, errno.EPROTO)

    def test_what_is_no_answer(self):
        for answer in (b"", b"\0", b"HTTP/1.1 20", b"HTTP/1.0 204 No Content\r\n\r\n", b"SSH-2.0\r\n", b"x" * 100_000):
            with self.subTest(answer=answer[:30]):
                failed = self.refused_as(answer, OSError)
                self.assertEqual(failed.errno, errno.EPROTO)
                self.assertIn("204 is expected", str(failed))
                self.assertLess(len(str(failed)), 400 + len(self.socket))

    def test_a_silent_sidecar(self):
        _applied.TIMEOUT = 0.01
        with self.assertRaisesRegex(TimeoutError, "did not answer within 0.01 s") as caught:
            self.dials.applied("hunt-service")
        self.assertEqual((caught.exception.errno, caught.exception.filename), (errno.ETIMEDOUT, self.socket))

    def test_a_queue_that_stays_full(self):
        """Not an error at once: there may be a place soon."""
        self.listener.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiting:
            waiting.connect(self.socket)
            self.test_a_silent_sidecar()

    def test_one_that_answers_for_ever_is_left(self):
        """The time is for the whole answer, not for each piece of it."""
        _applied.TIMEOUT = 0.3
        given_up = threading.Event()
        sent = []

        def drip():
            with self.listener.accept()[0] as connection:
                with LEFT:
                    while not given_up.wait(0.01):  # far too slow for what is read at most
                        connection.sendall(b"x")
                        sent.append(b"x")

        finish = self.in_thread(drip)
        with self.assertRaises(OSError):
            self.dials.applied("hunt-service")
        given_up.set()
        finish()
        self.assertLess(len(sent), _applied._MAX_ANSWER)

    def test_no_sidecar(self):
        self.listener.close()
        with self.assertRaisesRegex(ConnectionRefusedError, "a sidecar that listens there is expected"):
            self.dials.applied("hunt-service")
        os.unlink(self.socket)
        with self.assertRaises(FileNotFoundError) as caught:
            self.dials.applied("hunt-service")
        self.assertEqual(caught.exception.filename, self.socket)

    def test_a_path_that_no_socket_can_have(self):
        deep = self.run_dir / ("x" * 107)
        deep.mkdir()
        self.path = deep / "snapshot"
        self.write()
        with self.assertRaisesRegex(OSError, "107 bytes at most") as caught:
            envdial.open(deep).applied("hunt-service")
        self.assertEqual(caught.exception.errno, errno.ENAMETOOLONG)

    def test_closed_dials(self):
        self.dials.close()
        with self.assertRaisesRegex(ValueError, "was closed"):
            self.dials.applied("hunt-service")


if __name__ == "__main__":
    unittest.main()
