# SPDX-License-Identifier: Apache-2.0
"""Short lives of a traced sidecar that starts from files that an earlier one left, and sees one change."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

from support import pages
from support.case import needs
from support.lying_consul import LyingConsul
from support.scripted_kv import ScriptedKv
from support.sidecar import Sidecar, env_text, envdial
from support.system_calls import TracedSidecar
from support.waiting import eventually

sys.path.insert(0, str(pages.TOP / "clients/python"))

import envdial as client  # noqa: E402

EARLIER = (100, 200, 300, 500)  # what the sidecars before saw
OLD, NEW, LATER = 500, 600, 700  # at the start of a life, its change, and what the life after it sees
_ORDER = [*EARLIER, NEW, LATER]
_QUIET = 0.06  # seconds without a call, after which a start is over
_WITHIN = 30.0  # seconds; a loaded machine is slow
_DIALS = {
    "prefix": "hunt/",
    "dials": [{"env": "LIMIT", "key": "limit", "type": "int"}, {"env": "NAME", "key": "name", "type": "string"}],
}


def name_of(value):
    # The new one outgrows its room in the snapshot file, so that a file is made for it.
    return f"name-{value}" + "x" * (400 if value == NEW else 0)


def text_of(value):
    return env_text(LIMIT=value, NAME=name_of(value))


def age_of(text):
    """Which of all the values a whole env file shows; -1 for no file."""
    if text is None:
        return -1
    for age, value in enumerate(_ORDER):
        if text == text_of(value):
            return age
    raise AssertionError(f"the env file shows no whole version: {text!r}")


class ManyKvs:
    """What a LyingConsul asks: a KV of its own for each token."""

    def __init__(self):
        self._kvs = {}
        self._lock = threading.Lock()

    def new(self, token, *values):
        kv = ScriptedKv()
        for value in values:
            put(kv, value)
        with self._lock:
            self._kvs[token] = kv
        return kv

    def reader(self):
        return self

    def get(self, request, still_wanted):
        with self._lock:
            kv = self._kvs[request.headers["x-consul-token"]]
        return kv.answer(request, still_wanted)

    def interrupt(self):
        with self._lock:
            kvs = list(self._kvs.values())
        for kv in kvs:
            kv.interrupt()

    def close(self):
        pass


def put(kv, value):
    # One answer of the watch has both: the values of one version belong together.
    kv.put_all({"hunt/limit": value, "hunt/name": name_of(value)})


class Left:
    """What stands in the directories of a sidecar that is gone."""

    def __init__(self, where):
        self.where = where

    def env(self):
        try:
            return (self.where / "run/env").read_text()
        except FileNotFoundError:
            return None

    def snapshot(self):
        """The value that readers of the snapshot file see; None where there is no file that can be read."""
        try:
            dials = client.open(self.where / "run")
        except (client.NotPublished, client.BadSnapshot):
            return None
        with dials:
            readings = dials.snapshot().readings
        limit, name = readings["LIMIT"].text, readings["NAME"].text
        if name != name_of(int(limit)):
            raise AssertionError(f"the snapshot file mixes two versions: {limit} and {name!r}")
        return int(limit)

    def saved(self):
        """All slots, one after the other."""
        slots = [self.where / f"state/last-known-good.{number}" for number in (0, 1)]
        return "".join(slot.read_text(errors="replace") for slot in slots if slot.exists())

    def shows(self, value):
        return self.env() == text_of(value) and self.snapshot() == value


class Lives:
    """Makes lives below `where`, each from one of the starts."""

    STARTS = ("nothing", "one", "two", "damaged")

    def __init__(self, where, closed_port):
        self._where = where
        self._closed_port = closed_port
        self._kvs = ManyKvs()
        self._consul = LyingConsul(self._kvs).open()
        self._number = 0
        self._lock = threading.Lock()
        self._dials = where / "dials.json"
        self._dials.write_text(json.dumps(_DIALS))
        self._kvs.new("later", *EARLIER, NEW, LATER)
        self._make_starts()

    def close(self):
        self._consul.close()

    def _arguments(self, address=None, startup_wait="30s"):
        return [
            "--dials", self._dials, "--consul-addr", address or self._consul.address, "--startup-wait", startup_wait,
            "--group", os.getgid(),
        ]  # fmt: skip

    def _make_starts(self):
        (self._where / "nothing").mkdir()
        self._leave("one", EARLIER, ())
        self._leave("two", EARLIER[:1], EARLIER[1:])
        subprocess.run(["cp", "-a", self._where / "two", self._where / "damaged"], check=True)
        slots = [self._where / f"damaged/state/last-known-good.{number}" for number in (0, 1)]
        newest = next(slot for slot in slots if name_of(OLD) in slot.read_text())
        for harmed in (newest, self._where / "damaged/run/env", self._where / "damaged/run/snapshot"):
            os.truncate(harmed, harmed.stat().st_size // 2)

    def _leave(self, name, first, then):
        kv = self._kvs.new(name, *first)
        pod = Sidecar(self._where / name, *self._arguments(), env={"CONSUL_HTTP_TOKEN": name})
        left = Left(pod.where)
        for value in (first[-1], *then):  # each in a process of its own, so that the store comes to have its spares
            try:
                pod.start()
                put(kv, value)
                eventually("it is saved", lambda v=value: left.shows(v) and name_of(v) in left.saved(), _WITHIN)
            finally:
                pod.kill()

    def begin(self, start, call=None, inject="", others=False, short_write=None):
        with self._lock:
            self._number += 1
            token = f"life-{self._number}"
        where = self._where / token
        subprocess.run(["cp", "-a", self._where / start, where], check=True)
        preload = {"LD_PRELOAD": needs("ENVDIAL_SHORT_WRITE"), "ENVDIAL_TEST_SHORT_WRITE": short_write}
        pod = TracedSidecar(
            where,
            *self._arguments(),
            call=call,
            inject=inject,
            others=others,
            preload=preload if short_write else None,
            env={"CONSUL_HTTP_TOKEN": token},
        )
        return Life(pod, self._kvs.new(token, *EARLIER), self)

    def without_consul(self, where):
        """A start that has nothing but what was left. Its exit code."""
        return self._once(where, *self._arguments(self._closed_port, "1s"))

    def with_consul(self, where):
        return self._once(where, *self._arguments())

    @staticmethod
    def _once(where, *arguments):
        command = ["run", "--once", "--run-dir", where / "run", "--state-dir", where / "state", *arguments]
        return envdial(*command, env={"CONSUL_HTTP_TOKEN": "later"}, timeout=60).returncode


class Life:
    """One life: start() sees the old value, change() the new one."""

    def __init__(self, pod, kv, lives):
        self.pod = pod
        self.left = Left(pod.where)
        self._kv = kv
        self._lives = lives

    def start_and_change(self):
        self.pod.start()
        eventually("it has started, or ended", lambda: self.pod.ended() or self._is_quiet(), _WITHIN)
        put(self._kv, NEW)
        return self

    def change_to(self, value):
        """One more, and all that belongs to it. The value must not be in the store already."""
        put(self._kv, value)
        eventually(
            f"it shows and has saved {value}",
            lambda: self.left.shows(value) and name_of(value) in self.left.saved() and self._is_quiet(),
            _WITHIN,
        )

    def _is_quiet(self):
        """Published, and without a call for a while: what belongs to the start is over."""
        size = self.pod.trace_file.stat().st_size
        began = time.monotonic()
        while time.monotonic() < began + _QUIET:
            if self.pod.trace_file.stat().st_size != size or self.pod.ended():
                return False
            time.sleep(0.005)
        return self.pod.snapshot()["version"] > 0

    def wait_shown(self):
        """Waits until it ended, or everything shows the new value and the syncs are over; says which."""
        eventually(
            "it ended, or shows the new value",
            lambda: self.pod.ended() or (self._is_shown() and self._is_quiet()),
            _WITHIN,
        )
        return not self.pod.ended()

    def _is_shown(self):
        dials = {dial["name"]: dial["value"] for dial in self.pod.snapshot()["dials"]}
        return (
            dials == {"LIMIT": str(NEW), "NAME": name_of(NEW)}
            and self.left.shows(NEW)
            and name_of(NEW) in self.left.saved()
        )

    def failures(self):
        """What /metrics counts."""
        metrics = self.pod.metrics()
        deliveries = sum(value for _, value in metrics.series("delivery_failures_total"))
        return deliveries + metrics("fallback_save_failures_total")

    def end(self):
        self.pod.stop_strace()

    def restart_without_consul(self):
        return self._lives.without_consul(self.pod.where)

    def restart_with_consul(self):
        return self._lives.with_consul(self.pod.where)

    def forget(self):
        shutil.rmtree(self.pod.where)
