# SPDX-License-Identifier: Apache-2.0
"""The language of the contract tests: steps, what Consul must say to them, and the Consuls that they are tried on."""

import base64
import http.client
import json
import re
import threading
import time
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urlsplit

from support.lying_consul import LyingConsul
from support.real_consul import find_binary, version_of
from support.scripted_kv import ScriptedKv
from support.waiting import eventually

MODERN, OLD, SCRIPTED = "modern", "old", "scripted"
REAL = (MODERN, OLD)
ALL = (MODERN, OLD, SCRIPTED)
_OLD_BEFORE = (1, 12)  # of the two versions that are tested; what those between them do was not seen
_HELD_AFTER = 0.3  # by then a poll has arrived; what happens earlier is answered all the same, but as no long poll
_MEMBERS = {"LockIndex", "Key", "Flags", "Value", "CreateIndex", "ModifyIndex"}

AT_ONCE, WOKEN, TO_ITS_END = "answered at once", "woken", "held to its end"


@dataclass(frozen=True)
class Put:
    key: str
    value: object = "500"
    flags: int = 0

    def do(self, talk):
        talk.subject.put(talk.folder + self.key, self.value, self.flags)


@dataclass(frozen=True)
class PutRefused:
    """A write that a real one does not take."""

    key: str
    value: bytes
    status: int
    text: str

    def do(self, talk):
        status, said = talk.subject.consul.request("PUT", f"/v1/kv/{talk.folder}{self.key}", self.value)
        if status != self.status or not re.fullmatch(self.text, said.decode()):
            raise AssertionError(f"PUT {self.key}: expected {self.status} {self.text}; seen: {status} {said!r}")


@dataclass(frozen=True)
class Delete:
    key: str

    def do(self, talk):
        talk.subject.delete(talk.folder + self.key)


@dataclass(frozen=True)
class DeleteTree:
    prefix: str

    def do(self, talk):
        talk.subject.delete_tree(talk.folder + self.prefix)


@dataclass(frozen=True)
class Save:
    def do(self, talk):
        talk.snapshot = talk.subject.save()


@dataclass(frozen=True)
class Restore:
    def do(self, talk):
        talk.subject.restore(talk.snapshot)


@dataclass(frozen=True)
class Ask:
    """One request, and what must be said to it.

    `target` is the key below the case's own folder, with its query, as it stands in the URL; a whole path if it begins
    with a slash. {name} in it is the X-Consul-Index of the answer of that name.
    """

    target: str
    status: int = 200
    entries: dict | None = None  # {key: value or (value, flags)}, in Consul's order; None: no matter
    index: str = ""  # "newest": the highest ModifyIndex of the entries; "as/above/below NAME" of an earlier answer
    text: str | None = None  # the body, as a regular expression
    headers: dict = field(default_factory=dict)  # their values, as regular expressions; None: not there
    name: str = ""
    held: str | None = AT_ONCE  # None: no matter
    during: tuple = ()  # steps that are taken once it is held
    method: str = "GET"
    token: str = ""  # a name of the subject's
    plain: bool = True  # an error comes as text/plain
    old: dict = field(default_factory=dict)  # what is different where
    scripted: dict = field(default_factory=dict)

    def do(self, talk):
        like_old = replace(self, **self.old) if talk.subject.like_old else self
        expected = replace(like_old, **self.scripted) if talk.subject.kind == SCRIPTED else like_old
        Said.ask(expected, talk).check()


class Said:
    """One answer beside what was expected."""

    def __init__(self, expected, talk, response, body, took):
        self.expected, self.talk = expected, talk
        self.status, self.headers, self.body, self.took = response.status, response.headers, body, took

    @classmethod
    def ask(cls, expected, talk):
        target = re.sub(r"{(\w+)}", lambda match: str(talk.indexes[match[1]]), expected.target)
        path = target if target.startswith("/") else f"/v1/kv/{talk.folder}{target}"
        token = talk.subject.tokens[expected.token] if expected.token else ""
        connection = http.client.HTTPConnection(*talk.subject.at, timeout=40)
        acting = threading.Timer(_HELD_AFTER, talk.act, (expected.during,))
        began = time.monotonic()
        try:
            connection.request(expected.method, path, headers={"X-Consul-Token": token} if token else {})
            if expected.during:
                acting.start()
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        took = time.monotonic() - began
        if expected.during:
            acting.join()
            talk.raise_failure()
        return cls(expected, talk, response, body, took)

    def must(self, true, what):
        if not true:
            seen = f"{self.status} {dict(self.headers)} {self.body[:300]!r} after {self.took:.3f} s"
            asked = f"{self.talk.subject.kind}: {self.expected.method} {self.expected.target}"
            raise AssertionError(f"{asked}: {what}; seen: {seen}")

    def check(self):
        expected = self.expected
        self.must(self.status == expected.status, f"status {expected.status}")
        for name, pattern in expected.headers.items():
            value = self.headers[name]
            matches = value is None if pattern is None else value is not None and re.fullmatch(pattern, value)
            self.must(matches, f"{name}: {pattern}")
        if expected.text is not None:
            self.must(re.fullmatch(expected.text, self.body.decode()), f"the text {expected.text}")
        if self.status in (200, 404) and "X-Consul-Index" in self.headers:
            self._check_answer()
        else:
            self._check_error()
        self._check_time()

    def _check_answer(self):
        """What envdial requires of every answer, and what this one must say."""
        self.must(re.fullmatch(r"[1-9]\d*", self.headers["X-Consul-Index"]), "a positive index")
        self.must(re.fullmatch(r"\d+", self.headers["X-Consul-LastContact"] or ""), "a last contact")
        leader = "X-Consul-KnownLeader"
        self.must(leader in self.expected.headers or self.headers[leader] == "true", "a leader")
        filtered = "X-Consul-Results-Filtered-By-ACLs"
        self.must(filtered in self.expected.headers or filtered not in self.headers, f"no {filtered}")
        if self.status == 404:
            self.must(self.body == b"" and "Content-Type" not in self.headers, "nothing in it")
            entries = []
        else:
            self.must(self.headers["Content-Type"] == "application/json", "JSON")
            entries = json.loads(self.body)
        if self.expected.entries is not None:
            self._check_entries(entries)
        self._check_index(entries)

    def _check_entries(self, entries):
        wanted = []
        for key, value in self.expected.entries.items():
            value, flags = value if isinstance(value, tuple) else (value, 0)
            data = value if isinstance(value, bytes) else value.encode()
            wanted.append((self.talk.folder + key, base64.b64encode(data).decode() or None, flags, 0))
        found = [(entry["Key"], entry["Value"], entry["Flags"], entry["LockIndex"]) for entry in entries]
        self.must(found == wanted, f"the entries {wanted}")
        self.must(all(set(entry) == _MEMBERS for entry in entries), f"entries of {sorted(_MEMBERS)}")
        self.must(all(1 <= entry["CreateIndex"] <= entry["ModifyIndex"] for entry in entries), "sound indexes")

    def _check_index(self, entries):
        index = int(self.headers["X-Consul-Index"])
        relation, _, name = self.expected.index.partition(" ")
        if relation == "newest":
            newest = max(entry["ModifyIndex"] for entry in entries)
            self.must(index == newest, f"the index {newest}")
        elif relation:
            other = self.talk.indexes[name]
            self.must({"as": index == other, "above": index > other, "below": index < other}[relation],
                      f"an index {self.expected.index}, {other}")  # fmt: skip
        if self.expected.name:
            self.talk.indexes[self.expected.name] = index

    def _check_error(self):
        self.must("X-Consul-Index" not in self.headers, "no index")
        if self.expected.plain:
            self.must((self.headers["Content-Type"] or "").startswith("text/plain"), "plain text")

    def _check_time(self):
        wait = re.search(r"[?&]wait=(\d+)(ms|s)", self.expected.target)
        seconds = float(wait[1]) * {"ms": 0.001, "s": 1}[wait[2]] if wait else None
        if self.expected.held == TO_ITS_END:
            self.must(self.took >= seconds, f"held for {seconds:g} s")
        elif self.expected.held is not None and seconds:
            self.must(self.took < seconds, f"not held for {seconds:g} s")


class Talk:
    """A case's steps with one Consul."""

    def __init__(self, subject, folder):
        self.subject, self.folder = subject, folder
        self.indexes = {}
        self.snapshot = None
        self._failure = None

    def run(self, steps):
        for step in steps:
            step.do(self)

    def act(self, steps):
        """In a thread of its own."""
        try:
            self.run(steps)
        except Exception as failure:  # noqa: BLE001 - it is raised again where the test is
            self._failure = failure

    def raise_failure(self):
        if self._failure is not None:
            raise self._failure


class RealSubject:
    """A real agent, a real_consul.Consul that runs."""

    def __init__(self, kind, consul, tokens=None):
        self.kind, self.consul, self.tokens = kind, consul, tokens or {}
        self.like_old = consul.version < _OLD_BEFORE
        self.at = ("127.0.0.1", consul.port)

    @staticmethod
    def is_old(binary=None):
        return version_of(binary or find_binary()) < _OLD_BEFORE

    def put(self, key, value, flags=0):
        data = value if isinstance(value, bytes) else value.encode()
        self.must("PUT", f"/v1/kv/{quote(key)}?flags={flags}", data)

    def delete(self, key):
        self.consul.delete(key)

    def delete_tree(self, prefix):
        self.consul.delete_tree(prefix)

    def save(self):
        return self.must("GET", "/v1/snapshot")

    def restore(self, snapshot):
        self.must("PUT", "/v1/snapshot", snapshot)

    def must(self, method, target, body=None):
        status, answer = self.consul.request(method, target, body)
        if status != 200:
            raise AssertionError(f"{self.kind}: {method} {urlsplit(target).path}: {status} {answer!r}")
        return answer


class ScriptedSubject:
    """The made-up Consul of our tests, behind its own door."""

    kind = SCRIPTED
    like_old = True
    tokens = {}

    def __init__(self):
        self.kv = ScriptedKv()
        self.door = LyingConsul(self.kv).open()
        self.at = ("127.0.0.1", self.door.port)

    def put(self, key, value, flags=0):
        self.kv.put(key, value=value, flags=flags)

    def delete(self, key):
        self.kv.delete(key)

    def delete_tree(self, prefix):
        self.kv.delete_tree(prefix)

    def save(self):
        return self.kv.save()

    def restore(self, snapshot):
        self.kv.restore(snapshot)


@dataclass(frozen=True)
class Case:
    name: str
    steps: tuple
    on: tuple = ALL


def keep_connection(at):
    """A connection that counts for a Consul that limits them; one that was closed may count a little longer."""
    connection = http.client.HTTPConnection(*at, timeout=10)

    def taken():
        connection.request("GET", "/v1/kv/none")
        response = connection.getresponse()
        response.read()
        return response.status == 404

    eventually("the connection is taken", taken)
    return connection


def together(*actions):
    """Does them side by side; raises the first failure."""
    failures = []

    def run(action):
        try:
            action()
        except Exception as failure:  # noqa: BLE001 - it is raised again below
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def try_all(test, cases, subjects):
    """Tries each case on each of the subjects that it is for; the subjects side by side."""
    failures = {}

    def run(subject):
        for number, case in enumerate(cases):
            if subject.kind in case.on:
                try:
                    Talk(subject, f"case-{number}/").run(case.steps)
                except Exception as failure:  # noqa: BLE001 - each is shown as a failed sub-test
                    failures[case.name, subject.kind] = failure

    together(*[lambda subject=subject: run(subject) for subject in subjects])
    tried = 0
    for case in cases:
        for kind in case.on:
            tried += 1
            with test.subTest(case=case.name, consul=kind):
                if (failure := failures.get((case.name, kind))) is not None:
                    raise failure
    print(f"{tried} cases were tried")
