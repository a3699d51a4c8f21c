# SPDX-License-Identifier: Apache-2.0
"""docs/api.yaml against the running binary: what it says is so, and what is so it says."""

import contextlib
import copy
import json
import re
import socket
from pathlib import Path

import jsonschema
import yaml

from support import processes, unix_http
from support.case import EndToEndTest
from support.waiting import eventually

API = Path(__file__).resolve().parents[2] / "docs/api.yaml"
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS")
FILES = 128  # few, so that few clients make a crowd
MORE_THAN_MAY_WAIT = 100
APPLIED = {"consumer": "hunt-service", "version": 7}


class Api:
    """The document, with every object of it closed: a member that it doesn't name is a fault here."""

    def __init__(self):
        self.document = yaml.safe_load(API.read_text(encoding="utf-8"))
        self._closed = copy.deepcopy(self.document)
        for schema in self._closed["components"]["schemas"].values():
            _close(schema)

    @property
    def paths(self):
        return self.document["paths"]

    def at(self, node):
        """`node`, or what it refers to."""
        while "$ref" in node:
            found = self.document
            for name in node["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            node = found
        return node

    def operations(self):
        """(path, METHOD, operation) of all."""
        for path, item in self.paths.items():
            for method, operation in item.items():
                if method.upper() in METHODS:
                    yield path, method.upper(), operation

    def methods(self, path):
        return [method for at, method, _ in self.operations() if at == path]

    def over_tcp(self):
        return [path for path, item in self.paths.items() if len(item.get("servers", [])) == 2]

    def check(self, instance, schema):
        resolver = jsonschema.RefResolver.from_schema(self._closed)
        jsonschema.Draft202012Validator(schema, resolver=resolver).validate(instance)


def _close(schema):
    if isinstance(schema, list):
        for item in schema:
            _close(item)
    elif isinstance(schema, dict):
        for item in schema.values():
            _close(item)
        if schema.get("type") == "object" and "properties" in schema:
            schema["additionalProperties"] = False


class TheDescription(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.api = Api()

    def start(self, consul, *arguments, **options):
        dials = self.dials_file(
            [
                {"env": "MAX_CONCURRENT", "key": "max-concurrent", "type": "int", "unit": "hunts", "max": 2500,
                 "stale_after": "1s"},
                {"env": "DIFFICULTY", "key": "difficulty", "type": "string", "default": "easy"},
                {"env": "SEED", "key": "seed", "type": "string", "secret": True, "default": "a", "max_bytes": 8},
            ]
        )  # fmt: skip
        limited = ("prlimit", f"--nofile={FILES}:{FILES}", "--")
        return self.sidecar(consul, "--dials", dials, *arguments, before=limited, **options).start()

    def start_all(self):
        """One that has published, with everything to show that there is, and one that has not."""
        self.consul = self.start_consul()
        for key, value in (("max-concurrent", 500), ("seed", "b"), ("max-concurent", 7)):
            self.consul.put(f"hunt/{key}", value)
        self.sidecar_up = self.start(self.consul)
        self.sidecar_up.wait_published()
        self.consul.put("hunt/max-concurrent", 9000)
        self.consul.put("hunt/seed", "much too long")
        for name in ("MAX_CONCURRENT", "SEED"):
            eventually(f"{name} is refused", lambda name=name: self.sidecar_up.dial(name)["rejected"])
        self.waiting = self.start(self.closed_port(), name="waiting")
        eventually("it answers", lambda: self.waiting.get("/livez").status == 200)
        eventually("it failed", lambda: self.waiting.status()["groups"][0]["last_error"])

    def ask(self, sidecar, method, target, body=None, headers=None):
        connection = unix_http.UnixConnection(sidecar.socket)
        with contextlib.closing(connection):
            connection.request(method, target, body=body, headers=headers or {})
            return unix_http.Answer(connection.getresponse())

    @contextlib.contextmanager
    def crowd(self):
        """As many clients as may wait, and then some."""
        with contextlib.ExitStack() as clients:
            for _ in range(MORE_THAN_MAY_WAIT):
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(str(self.sidecar_up.socket))
                client.sendall(b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
            version = self.sidecar_up.snapshot()["version"]
            brief = f"/v1/snapshot?after={version}&wait=1ms"
            eventually("no more may wait", lambda: self.sidecar_up.get(brief).status == 503)
            yield f"/v1/snapshot?after={version}"

    def snapshot(self, method, status):
        if status == 503:
            with self.crowd() as one_more:
                return self.ask(self.sidecar_up, method, one_more)
        return self.ask(self.sidecar_up, method, {200: "/v1/snapshot", 400: "/v1/snapshot?after=x"}[status])

    def value(self, method, status):
        name = "NO_SUCH_DIAL" if status == 404 else "MAX_CONCURRENT"
        return self.ask(self.waiting if status == 503 else self.sidecar_up, method, f"/v1/values/{name}")

    def watch(self, method, status):
        if status == 503:
            with self.crowd():
                return self.ask(self.sidecar_up, method, "/v1/watch")
        stream = Stream(self.sidecar_up)
        stream.close()
        return stream

    def applied(self, method, status):
        if status == 429:
            for number in range(16):
                body = json.dumps({"consumer": f"c-{number}", "version": number})
                self.ask(self.sidecar_up, "PUT", "/v1/applied", body)
            return self.ask(self.sidecar_up, method, "/v1/applied", json.dumps({"consumer": "late", "version": 1}))
        body = {204: json.dumps(APPLIED), 400: json.dumps(APPLIED | {"pid": 1}), 413: " " * 5_000}[status]
        return self.ask(self.sidecar_up, method, "/v1/applied", body)

    def plain(self, path):
        def ask(method, status):
            return self.ask(self.waiting if status == 503 else self.sidecar_up, method, path)

        return ask

    def provoke(self, path, method, status):
        """An answer of that status; of any that no request of ours should get, for the default."""
        if status == "default":
            target = path.replace("{name}", "MAX_CONCURRENT")
            return self.ask(self.sidecar_up, method, target, headers={"X-Long": "x" * 20_000})
        special = {
            "/v1/snapshot": self.snapshot,
            "/v1/values/{name}": self.value,
            "/v1/watch": self.watch,
            "/v1/applied": self.applied,
        }
        return special.get(path, self.plain(path))(method, int(status))

    def test_every_answer_that_it_describes_is_given_and_is_as_described(self):
        self.start_all()
        for path, method, operation in self.api.operations():
            for status, described in operation["responses"].items():
                with self.subTest(path=path, method=method, status=status):
                    answer = self.provoke(path, method, status)
                    self.assertEqual(answer.status, 431 if status == "default" else int(status), answer.text)
                    self.check_answer(answer, self.api.at(described))

    def check_answer(self, answer, described):
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        for name, header in described.get("headers", {}).items():
            self.assertIn(name, answer.headers)
            value = answer.headers[name]
            self.api.check(int(value) if value.isdigit() else value, header["schema"])
        if "content" not in described:
            self.assertEqual(answer.text, "")
            return
        self.assertIn(answer.headers["Content-Type"], described["content"])
        is_json = answer.headers["Content-Type"] == "application/json"
        media = described["content"][answer.headers["Content-Type"]]
        self.api.check(json.loads(answer.text) if is_json else answer.text, media["schema"])

    def test_status_and_snapshot_are_as_described_in_good_days_and_bad_ones(self):
        self.start_all()
        self.ask(self.sidecar_up, "PUT", "/v1/applied", json.dumps(APPLIED))
        everything = [self.sidecar_up.status(), self.waiting.status()]
        self.assertEqual(everything[0]["consumers"][0]["consumer"], APPLIED["consumer"])
        metric = self.sidecar_up.metrics()("consumer_applied_version", consumer=APPLIED["consumer"])
        self.assertEqual(metric, APPLIED["version"])
        self.assertEqual(everything[0]["groups"][0]["undeclared"]["keys"], ["hunt/max-concurent"])
        self.consul.kill()
        self.sidecar_up.wait_state("stale")
        everything.append(self.sidecar_up.status())
        self.assertTrue(everything[2]["groups"][0]["last_error"])
        for status in everything:
            self.api.check(status, {"$ref": "#/components/schemas/Status"})
        for sidecar in (self.sidecar_up, self.waiting):
            self.api.check(sidecar.snapshot(), {"$ref": "#/components/schemas/Snapshot"})

    def test_every_event_that_it_describes_is_sent_and_is_as_described(self):
        self.start_all()
        described = self.api.paths["/v1/watch"]["get"]["responses"]["200"]["x-events"]
        with contextlib.closing(Stream(self.sidecar_up)) as stream:
            first = stream.next()
            self.assertEqual((first.type, first.data), ("snapshot", self.sidecar_up.snapshot()))
            self.consul.put("hunt/max-concurrent", 600)
            changed = stream.next()
            self.assertEqual((changed.type, changed.id), ("snapshot", str(changed.data["version"])))
            self.assertEqual(changed.data["dials"][0]["value"], "600")
            self.consul.kill()
            seen = {"snapshot": changed}
            while seen.keys() != described.keys():
                event = stream.next()
                self.assertIn(event.type, described)
                seen[event.type] = event
        for name, event in seen.items():
            self.api.check(event.data, described[name])
        self.assertEqual(seen["state"].data["state"], "stale")
        self.assertEqual(seen["heartbeat"].data["version"], changed.data["version"])
        with contextlib.closing(Stream(self.sidecar_up, seen["snapshot"].id)) as again:
            self.assertEqual(again.next().type, "state")

    def test_every_path_that_the_binary_knows_is_described(self):
        port = processes.free_port()
        sidecar = self.start(self.closed_port(), "--listen", f"127.0.0.1:{port}")
        eventually("it answers", lambda: sidecar.get("/livez").status == 200)

        def known(answer):
            self.assertEqual(answer.status, 404)
            paths = re.findall(r"/[\w/]+", json.loads(answer.text)["error"].split(";")[1])
            return {path.replace("NAME", "{name}") for path in paths}

        self.assertEqual(known(self.ask(sidecar, "GET", "/")), set(self.api.paths))
        with contextlib.closing(Tcp(port)) as tcp:
            self.assertEqual(known(tcp.ask("GET", "/")), set(self.api.over_tcp()))
            for path in self.api.paths:
                target = path.replace("{name}", "MAX_CONCURRENT")
                for method in METHODS:
                    with self.subTest(path=path, method=method):
                        answer = tcp.ask(method, target)
                        if path in self.api.over_tcp():
                            self.assertEqual(answer.status, self.ask(sidecar, method, target).status)
                        else:
                            self.assertEqual(answer.status, 404)

    def test_every_method_that_it_does_not_describe_is_refused(self):
        sidecar = self.start(self.closed_port())
        eventually("it answers", lambda: sidecar.get("/livez").status == 200)
        for path in self.api.paths:
            for method in set(METHODS) - set(self.api.methods(path)):
                with self.subTest(path=path, method=method):
                    answer = self.ask(sidecar, method, path.replace("{name}", "MAX_CONCURRENT"), "700")
                    self.assertEqual(answer.status, 405)
                    self.assertEqual(answer.headers["Allow"], ", ".join(self.api.methods(path)))
                    if method != "HEAD":
                        self.api.check(json.loads(answer.text), {"$ref": "#/components/schemas/Error"})

    def test_its_examples_are_understood_and_other_parameters_are_not(self):
        self.start_all()
        parameters = [self.api.at(each) for each in self.api.paths["/v1/snapshot"]["get"]["parameters"]]
        query = "&".join(f"{each['name']}={each['example']}" for each in parameters)
        self.assertEqual(self.sidecar_up.get(f"/v1/snapshot?{query}").status, 200)
        self.assertEqual(self.sidecar_up.get(f"/v1/snapshot?{query}&pretty=1").status, 400)
        for each in parameters:
            self.api.check(each["example"], each["schema"])
        media = self.api.paths["/v1/applied"]["put"]["requestBody"]["content"]["application/json"]
        self.assertEqual(self.ask(self.sidecar_up, "PUT", "/v1/applied", json.dumps(media["example"])).status, 204)
        for body, fits in ((media["example"], True), ({"consumer": "A", "version": 7}, False), ({}, False)):
            answer = self.ask(self.sidecar_up, "PUT", "/v1/applied", json.dumps(body))
            self.assertEqual(answer.status, 204 if fits else 400)
            if fits:
                self.api.check(body, media["schema"])
            else:
                self.assertRaises(jsonschema.ValidationError, self.api.check, body, media["schema"])


class Event:
    def __init__(self, lines):
        fields = dict(line.split(": ", 1) for line in lines)
        self.type, self.id = fields["event"], fields.get("id")
        self.data = json.loads(fields["data"])


class Stream:
    """A reader of /v1/watch; looks like an Answer, too."""

    def __init__(self, sidecar, last_event_id=None):
        self._connection = unix_http.UnixConnection(sidecar.socket, timeout=20.0)  # two heartbeats
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        self._connection.request("GET", "/v1/watch", headers=headers)
        self._response = self._connection.getresponse()
        self.status, self.headers = self._response.status, self._response.headers
        self.text = ""

    def next(self):
        lines = []
        while (line := self._response.readline().decode()) != "\n":
            if not line:
                raise AssertionError(f"the stream ended after {lines}")
            lines.append(line.rstrip("\n"))
        return Event(lines)

    def close(self):
        self._response.close()
        self._connection.close()


class Tcp:
    def __init__(self, port):
        self._connection = unix_http.http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)

    def ask(self, method, target):
        self._connection.request(method, target)
        return unix_http.Answer(self._connection.getresponse())

    def close(self):
        self._connection.close()
