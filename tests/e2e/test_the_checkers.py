# SPDX-License-Identifier: Apache-2.0
"""What the other tests lean on notices what it is there to notice."""

import socket

from support import observing, processes
from support.case import EndToEndTest
from support.gate import Gate
from support.metrics import Metrics
from support.observing import EnvFileObserver, Writer
from support.waiting import always, eventually


class Checkers(EndToEndTest):
    def check(self, *texts):
        return observing.check_shown(texts, ["A", "B"], lambda value: value < 100)

    def test_good_texts_pass(self):
        self.assertEqual(self.check("A='1'\nB='1'\n", "A='7'\nB='7'\n"), 7)

    def test_torn_mixed_invented_and_older_texts_do_not(self):
        for bad in ("", "A='1'\n", "A='1'\nB='1'", "A='1'\nB='1'\nA='1'\n", "A='1'\nB='2'\n", "A='500'\nB='500'\n"):
            with self.subTest(bad=bad), self.assertRaises(AssertionError):
                self.check(bad)
        with self.assertRaisesRegex(AssertionError, "3 was shown after 4"):
            self.check("A='4'\nB='4'\n", "A='3'\nB='3'\n")

    def test_metrics_a_scraper_would_refuse_are_noticed(self):
        self.assertEqual(Metrics('# HELP envdial_x y\n# TYPE envdial_x gauge\nenvdial_x{a="b"} 2\n')("x", a="b"), 2)
        for bad in ("envdial_x\n", "x 1\nx 2\n", "x{a=b} 1\n", "# TYPE x gauge\n# TYPE x gauge\n"):
            with self.subTest(bad=bad), self.assertRaises((AssertionError, ValueError)):
                Metrics(bad)

    def test_waiting_ends(self):
        with self.assertRaisesRegex(AssertionError, "a miracle"):
            eventually("a miracle", lambda: False, within=0.05)
        with self.assertRaises(AssertionError):
            always("wrong", lambda: False, during=0.05)

    def test_the_observer_sees_what_a_file_said(self):
        path = self.where / "env"
        observer = EnvFileObserver(path)
        for text in ("one", "two", "three"):
            path.write_text(text)
            eventually("seen", lambda: observer.seen and observer.seen[-1][1] == text)
        self.assertEqual([text for text in observer.finish() if text], ["one", "two", "three"])

    def test_a_gate_is_shut_and_open_and_counts(self):
        consul = self.start_consul()
        gate = Gate(consul.port, processes.free_port()).open()
        self.addCleanup(gate.shut)

        def ask(connection):
            connection.sendall(b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n")
            return connection.recv(4096)

        kept = socket.create_connection(("127.0.0.1", gate.port), timeout=5)
        self.assertTrue(ask(kept).startswith(b"HTTP/1.1 200"))
        gate.shut()
        self.assertEqual(kept.recv(10), b"", "open connections are cut")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gate.port), timeout=5)
        gate.open()
        with socket.create_connection(("127.0.0.1", gate.port), timeout=5) as again:
            self.assertTrue(ask(again).startswith(b"HTTP/1.1 200"))
        self.assertEqual(gate.requests, 2)
        kept.close()

    def test_a_writer_that_fails_is_noticed(self):
        consul = self.start_consul()
        writer = Writer(consul, ["a"], 1)
        eventually("some are put", lambda: writer.confirmed > 10)
        consul.kill()
        eventually("it failed", lambda: writer.failure)
        with self.assertRaisesRegex(AssertionError, "the writer failed"):
            writer.finish()

    def test_consuls_data_survives_where_that_is_asked_for(self):
        for keep_data, expected in ((True, 200), (False, 404)):
            consul = self.start_consul(keep_data=keep_data)
            consul.put("a", 1)
            consul.kill()
            consul.start()
            self.assertEqual(consul.request("GET", "/v1/kv/a")[0], expected)
            consul.kill()
