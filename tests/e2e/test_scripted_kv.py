# SPDX-License-Identifier: Apache-2.0
"""The made-up Consul says what the real one says, also through the server that can lie (more: tests/contract)."""

import http.client
import json
import threading
import time

from support.case import EndToEndTest
from support.faults import by_name
from support.lying_consul import LyingConsul, RealKv
from support.scripted_kv import ScriptedKv

KEY, OTHER, FOLDER = "hunt/max", "hunt/min", "hunt/"
KEPT_HEADERS = ("content-type", "x-consul-knownleader")


class ScriptedAndReal(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.real = self.start_consul()
        self.sources = {"real": RealKv(self.real), "scripted": ScriptedKv()}
        self.sources["real"].delete = self.real.delete
        self.doors = {}
        for name, source in self.sources.items():
            self.doors[name] = LyingConsul(source).open()
            self.addCleanup(self.doors[name].close)

    def ask(self, name, target, timeout=10):
        connection = http.client.HTTPConnection("127.0.0.1", self.doors[name].port, timeout=timeout)
        self.addCleanup(connection.close)
        connection.request("GET", f"/v1/kv/{target}")
        response = connection.getresponse()
        return response, response.read()

    def index(self, name, target):
        return int(self.ask(name, target)[0].headers["X-Consul-Index"])

    def assert_alike(self, target):
        told = []
        for name in self.doors:
            response, body = self.ask(name, target)
            entries = [{**entry, "CreateIndex": 0, "ModifyIndex": 0} for entry in json.loads(body or b"[]")]
            headers = {header: response.headers[header] for header in KEPT_HEADERS if response.status == 200}
            told.append((response.status, headers, entries, int(response.headers["X-Consul-Index"]) > 0))
        self.assertEqual(told[0], told[1], target)

    def each(self, act):
        for name, source in self.sources.items():
            act(name, source)

    def test_reads(self):
        targets = (KEY, OTHER, f"{FOLDER}?recurse", f"{KEY}?consistent", "elsewhere", "elsewhere/?recurse")
        for put in ((KEY, 500), (OTHER, ""), (KEY, "two words\n")):
            self.each(lambda _, source, put=put: source.put(put[0], value=put[1]))
            for target in targets:
                with self.subTest(put=put, target=target):
                    self.assert_alike(target)
        self.each(lambda _, source: source.delete(OTHER))
        for target in targets:
            with self.subTest(target=target):
                self.assert_alike(target)

    def test_indexes(self):
        def act(name, source):
            source.put(KEY, value=1)
            first = self.index(name, KEY)
            source.put(KEY, value=1)
            self.assertEqual(self.index(name, KEY), first, f"{name}: nothing changed")
            source.put(OTHER, value=1)
            self.assertEqual(self.index(name, KEY), first, f"{name}: another key changed")
            folder = self.index(name, f"{FOLDER}?recurse")
            self.assertGreater(folder, first, name)
            source.delete(OTHER)
            self.assertGreater(self.index(name, f"{FOLDER}?recurse"), folder, f"{name}: a deletion is a change")

        self.each(act)

    def test_a_long_poll_waits_for_a_change_and_no_longer_than_it_was_asked_to(self):
        def act(name, source):
            source.put(KEY, value=1)
            index = self.index(name, KEY)
            began = time.monotonic()
            self.assertEqual(self.index(name, f"{KEY}?index={index}&wait=300ms"), index, name)
            self.assertGreaterEqual(time.monotonic() - began, 0.3, name)
            change = threading.Timer(0.2, source.put, (KEY,), {"value": 2})
            change.start()
            began = time.monotonic()
            self.assertGreater(self.index(name, f"{KEY}?index={index}&wait=9s"), index, name)
            self.assertLess(time.monotonic() - began, 8, name)
            change.join()
            self.assertGreater(self.index(name, f"{KEY}?index={index}&wait=9s"), index, f"{name}: an old index")

        self.each(act)

    def test_a_fault_takes_hold_of_a_poll_that_is_held_and_ends(self):
        def act(name, source):
            source.put(KEY, value=1)
            index, door = self.index(name, KEY), self.doors[name]
            lie = threading.Timer(0.2, door.begin, (by_name("500"),))
            lie.start()
            self.assertEqual(self.ask(name, f"{KEY}?index={index}&wait=9s", timeout=8)[0].status, 500, name)
            lie.join()
            self.assertEqual(door.lies[KEY], 1, name)
            door.heal()
            self.assertEqual(self.ask(name, KEY)[0].status, 200, name)
            self.assertEqual(door.counts[KEY], 3, name)

        self.each(act)

    def test_doors(self):
        def act(name, _):
            door = self.doors[name]
            for fault, failure in (("refused", ConnectionRefusedError), ("dropped_before_the_connect", TimeoutError)):
                door.begin(by_name(fault))
                with self.assertRaises(failure):
                    self.ask(name, KEY, timeout=0.5)
                door.heal()
                self.assertEqual(self.ask(name, KEY)[0].status, 404, f"{name} after {fault}")

        self.each(act)
