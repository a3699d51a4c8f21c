# SPDX-License-Identifier: Apache-2.0
"""What Consul says to reads of its KV store: one table, tried on a modern Consul, an old one, and our made-up one.

Where they differ, the table says so; docs/consul.md says what envdial makes of it.
"""

from urllib.parse import quote

from support.case import EndToEndTest
from support.contract import (
    MODERN,
    OLD,
    REAL,
    TO_ITS_END,
    WOKEN,
    Ask,
    Case,
    Delete,
    DeleteTree,
    Put,
    PutRefused,
    RealSubject,
    Restore,
    Save,
    ScriptedSubject,
    Talk,
    try_all,
)
from support.real_consul import find_old_binary
from support.waiting import eventually

BYTES = bytes(range(256))
NAMES = ("a b/ü", "pl+us", "per%cent", "q?x", 'quo"te', "&<>", "#", ".hidden", "k.json", "~", "fol/der/", "long" * 200)
BIG = 512 * 1024
NO_NAMESPACE = '(Bad request: )?Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature'
NO_PARTITION = 'Invalid query parameter: "partition" - Partitions are a Consul Enterprise feature'


def moved(target, to):
    """Consul's HTTP server redirects it, by 301 or 307."""
    location = {"Location": to}
    return Ask(target, 307, headers=location, plain=False, old={"status": 301})


CONTENT = (
    Case("a key that is there", (Put("a"), Ask("a", entries={"a": "500"}, index="newest"))),
    Case("an empty value is null", (Put("a", ""), Ask("a", entries={"a": ""}, index="newest"))),
    Case("any bytes", (Put("a", BYTES), Ask("a", entries={"a": BYTES}))),
    Case("names", tuple(step for name in NAMES for step in (Put(name), Ask(quote(name), entries={name: "500"})))),
    Case("an encoded slash is a slash", (Put("a/b"), Ask("a%2Fb", entries={"a/b": "500"}))),
    Case("flags", (
        Put("a"), Ask("a", entries={"a": "500"}, name="without"),
        Put("a", flags=2**64 - 1), Ask("a", entries={"a": ("500", 2**64 - 1)}, index="above without"),
    )),
    Case("a prefix: folder keys, deeper keys, in order", (
        Put("h/"), Put("h/b"), Put("h/a/deep", ""), Put("ha", "beside"),
        Ask("h/?recurse", entries={"h/": "500", "h/a/deep": "", "h/b": "500"}, index="newest"),
        Ask("h?recurse=true", entries={"h/": "500", "h/a/deep": "", "h/b": "500", "ha": "beside"}, index="newest"),
        Ask("h/", entries={"h/": "500"}),
        Ask("h", 404),
    )),
    Case("parameters that say nothing", (
        Put("a"), Ask("a?nonsense=1", entries={"a": "500"}), Ask("a?dc=dc1", entries={"a": "500"}),
        Ask("a?index=0&wait=30s", entries={"a": "500"}), Ask("a?index=&wait=30s", entries={"a": "500"}),
        Ask("a?wait=30s", entries={"a": "500"}), Ask("a?ns=", entries={"a": "500"}),
        Ask("a?partition=", entries={"a": "500"}),
    )),
    Case("consistency", (
        Put("a"), Ask("a?consistent", entries={"a": "500"}, index="newest"),
        Ask("a?stale", entries={"a": "500"}, index="newest", headers={"X-Consul-LastContact": "0"}),
        Ask("none?consistent", 404), Ask("none?stale", 404),
        Ask("a?stale&consistent", 400, text="Cannot specify .stale with .consistent, conflicting semantics[.]"),
    )),
    Case("parameters that are refused", (
        Put("a"),
        Ask("a?index=x", 400, text="Invalid index"), Ask("a?index=-1", 400, text="Invalid index"),
        Ask("a?index=1.5", 400, text="Invalid index"), Ask("a?index=1&wait=x", 400, text="Invalid wait time"),
        Ask("a?index=1&wait=5", 400, text="Invalid wait time"),
        Ask("a?ns=default", 400, text=NO_NAMESPACE), Ask("a?ns=other", 400, text=NO_NAMESPACE),
        Ask("a?partition=other", 400, text=NO_PARTITION, old={"status": 200, "text": None, "entries": {"a": "500"}}),
        Ask("a?dc=nowhere", 500, text="No path to datacenter"),
        Ask("/v1/kv/", 400, text="Missing key name"),
    )),
    Case("paths and methods that are none", (
        Put("a"),
        Ask("a", 405, method="HEAD"), Ask("a", 405, method="POST", text="method POST not allowed"),
        Ask("/v1/nope", 404, headers={"X-Consul-Index": None}, plain=False),
        Ask("line%0Afeed", 400, plain=False), Ask("nul%00", 400, plain=False),
        moved("/v1/kv/a//b", "/v1/kv/a/b"), moved("/v1/kv/a/../b", "/v1/kv/b"), moved("/v1/kv", "/v1/kv/"),
    ), on=REAL),
    Case("values up to 512 KiB", (
        Put("a", b"x" * BIG), Ask("a", entries={"a": b"x" * BIG}),
        PutRefused("a", b"x" * (BIG + 1), 413, r"Request body\(524289 bytes\) too large, max size: 524288 bytes[.].*"),
    ), on=REAL),
    Case("a name that is not UTF-8 is told as another", (Ask("/v1/kv/%FF", 404),), on=REAL),
)  # fmt: skip

INDEXES = (
    Case("of an absent key or prefix: the whole store's", (
        Put("a"), Ask("a", name="a"), Ask("none", 404, index="as a"), Ask("none/?recurse", 404, index="as a"),
        Put("b"), Ask("none", 404, index="above a"), Ask("none/?recurse", 404, index="above a"),
        Ask("a", index="as a"),
    )),
    Case("the same content again is no change", (
        Put("a"), Ask("a", name="a"), Put("a"), Ask("a", index="as a"), Ask("none", 404, index="as a"),
        Delete("none"), Ask("none", 404, index="as a"),
    )),
    Case("grows by a change, and by one anywhere in the prefix", (
        Put("h/a"), Put("h/b"), Ask("h/?recurse", name="both"), Ask("h/b", index="as both"),
        Put("h/a", "501"), Ask("h/?recurse", index="above both"), Ask("h/a", index="above both"),
        Ask("h/b", index="as both"),
    )),
    Case("after a deletion", (
        Put("h/a"), Put("h/b"), Ask("h/?recurse", name="both"),
        Delete("h/b"), Ask("h/?recurse", entries={"h/a": "500"}, index="above both", name="one"),
        Ask("h/b", 404, index="as one"),
        Put("elsewhere"), Ask("h/?recurse", index="as one"), Ask("h/b", 404, index="above one"),
        Put("h/b"), Ask("h/b", entries={"h/b": "500"}, index="newest"), Ask("h/b", index="above one"),
    )),
    Case("after the deletion of a whole prefix: the deletion's, for that prefix", (
        Put("h/a"), Put("h/deep/b"), Ask("h/?recurse", name="both"),
        DeleteTree("h/"), Ask("h/?recurse", 404, index="above both", name="gone"),
        Put("elsewhere"), Ask("h/?recurse", 404, index="as gone"), Ask("h/deep/?recurse", 404, index="above gone"),
        Ask("h/a", 404, index="above gone"), Ask("h?recurse", 404, index="as gone"),
        Put("h/a"), Ask("h/?recurse", entries={"h/a": "500"}, index="newest"),
    )),
)  # fmt: skip

POLLS = (
    Case("older than what is there: answered at once", (
        Put("a"), Ask("a?index=1&wait=30s", entries={"a": "500"}, index="newest"),
        Ask("none?index=1&wait=30s", 404),
    )),
    Case("held to its end", (
        Put("h/a"), Ask("h/a", name="a"), Ask("h/a?index={a}&wait=300ms", held=TO_ITS_END, index="as a"),
        Ask("h/?recurse&index={a}&wait=300ms", held=TO_ITS_END, index="as a"),
        Ask("h/a?stale&index={a}&wait=300ms", held=TO_ITS_END, index="as a"),
        Ask("h/a?consistent&index={a}&wait=300ms", held=TO_ITS_END, index="as a"),
    )),
    Case("from an index that was never there: held to its end", (
        Put("a"), Ask("a", name="a"), Ask("a?index=900000000&wait=300ms", held=TO_ITS_END, index="as a"),
    )),
    Case("woken by a change", (
        Put("h/a"), Ask("h/a", name="a"),
        Ask("h/a?index={a}&wait=30s", held=WOKEN, during=(Put("h/a", "501"),), entries={"h/a": "501"}, index="newest"),
        Ask("h/a", name="a"),
        Ask("h/?recurse&index={a}&wait=30s", held=WOKEN, during=(Put("h/b"),),
            entries={"h/a": "501", "h/b": "500"}, index="newest"),
    )),
    Case("a wait beyond the highest is none to refuse", (
        Put("a"), Ask("a", name="a"), Ask("a?index={a}&wait=3600s", held=WOKEN, during=(Put("a", "501"),)),
    )),
    Case("woken by a deletion", (
        Put("h/a"), Put("h/b"), Ask("h/?recurse", name="both"),
        Ask("h/?recurse&index={both}&wait=30s", held=WOKEN, during=(Delete("h/b"),), entries={"h/a": "500"}),
        Ask("h/a", name="a"),
        Ask("h/a?index={a}&wait=30s", 404, held=WOKEN, during=(Delete("h/a"),), index="above a"),
        Put("h/a"), Ask("h/?recurse", name="again"),
        Ask("h/?recurse&index={again}&wait=30s", 404, held=WOKEN, during=(DeleteTree("h/"),), index="above again"),
    )),
    Case("woken by the key's appearance", (
        Put("elsewhere"), Ask("h/a", 404, name="none"),
        Ask("h/a?index={none}&wait=30s", held=WOKEN, during=(Put("h/a"),), entries={"h/a": "500"}),
        Ask("i/?recurse", 404, name="none"),
        Ask("i/?recurse&index={none}&wait=30s", held=WOKEN, during=(Put("i/a"),), entries={"i/a": "500"}),
    )),
    Case("not woken by a write elsewhere, nor by the same content", (
        Put("h/a"), Ask("h/a", name="a"),
        Ask("h/a?index={a}&wait=600ms", held=TO_ITS_END, during=(Put("h/b"),), index="as a"),
        Ask("h/?recurse", name="both"),
        Ask("h/?recurse&index={both}&wait=600ms", held=TO_ITS_END, during=(Put("elsewhere"), Put("h/a")),
            index="as both"),
    )),
    Case("absent: woken by a write elsewhere, or not", (
        Put("elsewhere"), Ask("none/?recurse", 404, name="none"),
        Ask("none/?recurse&index={none}&wait=30s", 404, held=WOKEN, during=(Put("elsewhere", "1"),),
            index="above none"),
        Ask("none", 404, name="none"),
        Ask("none?index={none}&wait=600ms", 404, held=TO_ITS_END, during=(Put("elsewhere", "2"),), index="above none",
            old={"target": "none?index={none}&wait=30s", "held": WOKEN}),
    )),
    Case("a deleted prefix is not woken by a write elsewhere", (
        Put("h/a"), Delete("h/a"), Ask("h/?recurse", 404, name="gone"),
        Ask("h/?recurse&index={gone}&wait=600ms", 404, held=TO_ITS_END, during=(Put("elsewhere"),), index="as gone"),
    )),
)  # fmt: skip

# They change the whole store, and so come last.
RESTORES = (
    Case("an older snapshot: the open poll is answered from before it, the next one waits for nothing", (
        Put("h/a"), Save(), Put("h/a", "501"), Put("h/b"), Ask("h/a", name="newer"), Ask("h/?recurse", name="newest"),
        Ask("h/a?index={newer}&wait=30s", held=WOKEN, during=(Restore(),), entries={"h/a": "501"}, index="as newer"),
        Ask("h/a", entries={"h/a": "500"}, index="below newer"),
        Ask("h/?recurse", entries={"h/a": "500"}, index="below newest"),
        Ask("h/a?index={newer}&wait=300ms", held=TO_ITS_END, entries={"h/a": "500"}, index="below newer"),
        Ask("h/b", 404, index="below newest"),
    )),
    Case("the same of a prefix", (
        Put("h/a"), Save(), Put("h/b"), Ask("h/?recurse", name="newer"),
        Ask("h/?recurse&index={newer}&wait=30s", held=WOKEN, during=(Restore(),),
            entries={"h/a": "500", "h/b": "500"}, index="as newer"),
        Ask("h/?recurse", entries={"h/a": "500"}, index="below newer"),
    )),
)  # fmt: skip


class Answers(EndToEndTest):
    def setUp(self):
        super().setUp()
        modern = self.launch_consul(keep_data=True)
        old = self.launch_consul(keep_data=True, binary=find_old_binary())
        self.modern, self.old = (RealSubject(MODERN, modern.wait_for_writes()), RealSubject(OLD, old.wait_for_writes()))
        self.scripted = ScriptedSubject()
        self.addCleanup(self.scripted.door.close)

    def test_the_table(self):
        try_all(self, CONTENT + INDEXES + POLLS + RESTORES, (self.modern, self.old, self.scripted))

    def test_a_restart_keeps_values_and_indexes(self):
        talks = [Talk(subject, "restart/") for subject in (self.modern, self.old)]
        before = (Put("h/a"), Put("h/b"), Delete("h/b"), Put("elsewhere"))
        reads = (("h/a", 200), ("h/?recurse", 200), ("none", 404))
        for talk in talks:
            talk.run(before)
            talk.run(Ask(target, status, name=str(number)) for number, (target, status) in enumerate(reads))
            talk.subject.consul.kill()
        for talk in talks:
            talk.subject.consul.launch()
        for talk in talks:
            eventually("it has a leader", lambda at=talk.subject: at.consul.request("GET", "/v1/kv/none")[0] == 404, 30)
            talk.run(Ask(target, status, index=f"as {number}") for number, (target, status) in enumerate(reads))
