# SPDX-License-Identifier: Apache-2.0
"""What Consul says to reads that it may not, will not or cannot answer: a modern one and an old one."""

import http.client
import json
import socket
from dataclasses import dataclass

from support.case import EndToEndTest
from support.contract import MODERN, OLD, TO_ITS_END, Ask, Delete, Put, RealSubject, Talk, keep_connection, together
from support.real_consul import find_old_binary
from support.waiting import eventually

ROOT_TOKEN = "3c9f8d0e-5a51-4a5e-9a5f-2f3a7c1d0b42"
FOLDER = "hunt/"
FILTERED = "X-Consul-Results-Filtered-By-ACLs"
TOLD = {"headers": {FILTERED: "true"}, "old": {"headers": {FILTERED: None}}}  # an old one hides in silence
NOT_TOLD = {"headers": {FILTERED: None}}
HIDDEN = "Permission denied.*"
# So that a test need not wait for the usual 7 s in which an agent hopes for a leader.
IMPATIENT = ("-hcl", 'performance { rpc_hold_timeout = "500ms" }')
NO_LEADER = {"status": 500, "text": "No cluster leader|rpc error .*|leadership lost while committing log"}


@dataclass(frozen=True)
class Revoke:
    """Deletes a token."""

    name: str

    def do(self, talk):
        consul = talk.subject.consul
        tokens = json.loads(talk.subject.must("GET", "/v1/acl/tokens"))
        accessor = next(each["AccessorID"] for each in tokens if each["Description"] == self.name)
        consul.request("DELETE", f"/v1/acl/token/{accessor}")


RIGHTS = (
    Put("a"), Put("b"), Ask("a", token="root", entries={"a": "500"}, name="a"),
    # Without a token, with one that nobody made, with one that nobody could have made.
    Ask("a", 403, text=HIDDEN), Ask("none", 403, text=HIDDEN), Ask("?recurse", 404, **NOT_TOLD),
    Ask("a", 403, token="unknown", text="ACL not found"), Ask("?recurse", 403, token="unknown", text="ACL not found"),
    Ask("a", 403, token="garbage", text="ACL not found"),
    # With one for a part of the prefix.
    Ask("a", token="part", entries={"a": "500"}, index="newest"), Ask("b", 403, token="part", text=HIDDEN),
    Ask("none", 403, token="part", text=HIDDEN),
    Ask("?recurse", token="part", entries={"a": "500"}, **TOLD),
    # With one for something else, where there is something to hide and where there is nothing.
    Ask("a", 403, token="elsewhere", text=HIDDEN), Ask("?recurse", 404, token="elsewhere", **TOLD),
    Ask("/v1/kv/nothing/?recurse", 404, token="elsewhere", **NOT_TOLD),
    # A poll that is held outlives its token.
    Ask("a?index={a}&wait=900ms", token="part", held=TO_ITS_END, during=(Revoke("part"),), entries={"a": "500"}),
    Ask("a", 403, token="part", text="ACL not found"), Ask("?recurse", 403, token="part", text="ACL not found"),
    # What is gone is gone for all who may see it.
    Delete("a"), Ask("a", 404, token="root"), Ask("a", 403, token="elsewhere"),
)  # fmt: skip


def binaries():
    return ((MODERN, {}), (OLD, {"binary": find_old_binary()}))


class Troubles(EndToEndTest):
    def launch_both(self, **options):
        return [(kind, self.launch_consul(**options, **more)) for kind, more in binaries()]

    def talks(self, consuls):
        return [Talk(RealSubject(kind, consul), FOLDER) for kind, consul in consuls]

    def launch_client(self, kind_options, server, *flags):
        """An agent that is no server, as there is one on each node."""
        client = self.launch_consul(
            keep_data=True, flags=("-server=false", "-bootstrap-expect=0", f"-retry-join=127.0.0.1:{server.lan_port}",
                                   "-node=client", *IMPATIENT, *flags), **kind_options)  # fmt: skip
        eventually("it has joined", lambda: client.request("GET", "/v1/kv/hunt/a")[0] in (200, 429), within=30)
        return client

    def test_rights(self):
        for kind, more in binaries():
            # The name of the first token's setting changed with 1.11.
            name = "master" if RealSubject.is_old(more.get("binary")) else "initial_management"
            config = f'acl {{ enabled = true default_policy = "deny" tokens {{ {name} = "{ROOT_TOKEN}" }} }}'
            self.launch_consul(config=config, token=ROOT_TOKEN, **more)
        talks = []
        for (kind, _), consul in zip(binaries(), self._consuls, strict=True):
            subject = RealSubject(kind, consul.wait_for_writes())
            subject.tokens = {
                "root": ROOT_TOKEN, "unknown": "c0ffee00-5a51-4a5e-9a5f-2f3a7c1d0b42", "garbage": "x",
                "part": self.make_token(subject, "part", f'key_prefix "{FOLDER}a" {{ policy = "read" }}'),
                "elsewhere": self.make_token(subject, "elsewhere", 'key_prefix "elsewhere/" { policy = "read" }'),
            }  # fmt: skip
            talks.append(Talk(subject, FOLDER))
        together(*[lambda talk=talk: talk.run(RIGHTS) for talk in talks])

    def make_token(self, subject, name, rules):
        subject.must("PUT", "/v1/acl/policy", json.dumps({"Name": name, "Rules": rules}).encode())
        made = {"Description": name, "Policies": [{"Name": name}]}
        return json.loads(subject.must("PUT", "/v1/acl/token", json.dumps(made).encode()))["SecretID"]

    def test_a_server_that_never_had_a_leader(self):
        consuls = self.launch_both(keep_data=True, flags=("-bootstrap-expect=3", *IMPATIENT))
        for talk in self.talks(consuls):
            consul = talk.subject.consul
            eventually("it listens", lambda at=consul: at.request("GET", "/v1/status/leader")[0] == 200, within=30)
            queries = ("", "?stale", "?consistent", "?recurse&stale")
            talk.run([Ask(f"a{query}", held=None, **NO_LEADER) for query in queries])

    def test_a_server_that_lost_its_leader(self):
        first = self.launch_both(keep_data=True, flags=("-bootstrap-expect=2", "-node=first", *IMPATIENT))
        second = []
        for (kind, more), (_, consul) in zip(binaries(), first, strict=True):
            join = ("-bootstrap-expect=2", "-node=second", f"-retry-join=127.0.0.1:{consul.lan_port}", *IMPATIENT)
            second.append((kind, self.launch_consul(keep_data=True, flags=join, **more)))
        together(*[
            lambda talk=talk, other=other: self.lose_the_leader(talk, other)
            for talk, (_, other) in zip(self.talks(first), second, strict=True)
        ])  # fmt: skip

    def lose_the_leader(self, talk, other):
        consul = talk.subject.consul.wait_for_writes()
        talk.run([Put("a"), Ask("a", name="a")])
        seen = Ask("a?stale", entries={"a": "500"}, headers={"X-Consul-LastContact": r"\d+"})
        for each in (consul, other):
            eventually("it is on both", lambda at=each: at.request("GET", "/v1/kv/hunt/a?stale")[0] == 200)
        talk.run([seen])
        # Whoever leads: one of two is no majority.
        held = Ask("a?stale&index={a}&wait=2s", held=TO_ITS_END, during=(Kill(other),), entries={"a": "500"},
                   headers={"X-Consul-KnownLeader": "true"})  # fmt: skip
        talk.run([held])  # what was so when it began
        eventually("it is long ago", lambda at=consul: stale_contact(at) > 3000, within=30)
        leader = {"X-Consul-KnownLeader": "true|false", "X-Consul-LastContact": r"[3-9]\d{3}|\d{5,}"}
        stale = [Ask("a?stale", entries={"a": "500"}, headers=leader), Ask("none?stale", 404, headers=leader),
                 Ask("a?stale&index={a}&wait=300ms", held=TO_ITS_END, headers=leader)]  # fmt: skip
        talk.run([*stale, Ask("a", **NO_LEADER), Ask("a?consistent", **NO_LEADER)])

    def test_an_agent_without_its_server(self):
        for (kind, more), (_, server) in zip(binaries(), self.launch_both(), strict=True):
            server.wait_for_writes().put("hunt/a", "500")
            client = self.launch_client(more, server)
            talk = Talk(RealSubject(kind, client), FOLDER)
            talk.run([
                Ask("a", entries={"a": "500"}, name="a"), Ask("none", 404), Ask("a?stale", entries={"a": "500"}),
                Ask("a?dc=nowhere", 500, text="rpc error making call: No path to datacenter"),
                Ask("a?index={a}&wait=30s", 500, text="rpc error .*", during=(Kill(server),)),
                Ask("a", **NO_LEADER), Ask("a?stale", **NO_LEADER),
            ])  # fmt: skip

    def test_too_many_connections(self):
        consuls = self.launch_both(config="limits { http_max_conns_per_client = 3 }")
        for talk in self.talks(consuls):
            subject = talk.subject
            subject.consul.wait_for_writes()
            for _ in range(3):
                self.addCleanup(keep_connection(subject.at).close)
            with self.subTest(consul=subject.kind):
                # An old one closes it without a word.
                self.assertRegex(refusal_of(subject.at), rb"^$" if subject.like_old else rb"^HTTP/1.1 429 .*text/plain")

    def test_too_many_requests(self):
        for (kind, more), (_, server) in zip(binaries(), self.launch_both(), strict=True):
            server.wait_for_writes().put("hunt/a", "500")
            client = self.launch_client(more, server, "-hcl", "limits { rpc_rate = 0.5 rpc_max_burst = 2 }")
            said = Ask("a", 429, text="RPC rate limit exceeded", headers={"Retry-After": None},
                       old={"text": "", "plain": False})  # fmt: skip
            self.wait_for_too_much(Talk(RealSubject(kind, client), FOLDER), said)

    def test_more_reads_than_a_server_allows(self):
        """A setting that came with 1.15."""
        if RealSubject.is_old():
            print("the only Consul here is an old one, and has no such setting")
            return
        server = self.launch_consul(config='limits { request_limits { mode = "enforcing" read_rate = 1 } }')
        talk = Talk(RealSubject(MODERN, server.wait_for_writes()), FOLDER)
        self.wait_for_too_much(talk, Ask("a", 429, text="rate limit exceeded, try again later or against a different server",
                                         headers={"Retry-After": None}))  # fmt: skip

    @staticmethod
    def wait_for_too_much(talk, said):
        """Asks until the limit is reached, which a slow machine may take a while for."""

        def is_said():
            try:
                talk.run([said])
            except AssertionError as other:
                raise ValueError(str(other)) from None
            return True

        eventually("it is too much", is_said, within=30, every=0)


@dataclass(frozen=True)
class Kill:
    consul: object

    def do(self, _talk):
        self.consul.kill()


def stale_contact(consul):
    """For how many milliseconds it has not heard of a leader."""
    connection = http.client.HTTPConnection("127.0.0.1", consul.port, timeout=10)
    try:
        connection.request("GET", "/v1/kv/hunt/a?stale")
        return int(connection.getresponse().headers["X-Consul-LastContact"])
    finally:
        connection.close()


def refusal_of(at):
    """All that is said to one more connection."""
    with socket.create_connection(at, timeout=10) as connection:
        said = b""
        try:
            connection.sendall(b"GET /v1/kv/none HTTP/1.1\r\nHost: consul\r\n\r\n")
            while part := connection.recv(4096):
                said += part
        except ConnectionError:
            pass  # reset: it was closed before the request came
        return said.replace(b"\r\n", b" ")
