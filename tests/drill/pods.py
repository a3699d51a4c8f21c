# SPDX-License-Identifier: Apache-2.0
"""Pods of `script/drill servers`: each a host with a sidecar, a small disk for its state, and an app (app.py)."""

import collections
import json
import math
import os
import selectors
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import history
from support import network
from support.certificates import SERVER_NAME
from support.cluster import HTTPS
from support.sidecar import Sidecar, find_binary

_CLIENT = Path(__file__).resolve().parents[2] / "clients/python"
_DISK = "1m"


class _Sidecar(Sidecar):
    """Its program is a copy, so that another one may take its place."""

    binary = None

    def upgrade(self):
        name = "envdial-0" if self.binary is None or self.binary.name == "envdial-1" else "envdial-1"
        self.binary = Path(shutil.copy(find_binary(), self.where / name))

    def command(self):
        command = super().command()
        command[len(self.before)] = str(self.binary)
        return command


class Pod:
    """Every second one runs its sidecar under libfaketime, so that its wall clock can be set, and is told its app by
    the executable; the others by a pidfile."""

    def __init__(self, number, where, net, cluster):
        self.number = number
        self.name = f"p{number}"
        self.where = Path(where) / self.name
        self.where.mkdir()
        self.host = net.host(self.name)
        self.token_file = self.where / "token"
        self.ca_file = self.where / "ca.pem"
        self.client_files = (self.where / "client.pem", self.where / "client-key.pem")
        self.clock_file = self.where / "clock"
        self.settable = number % 2 == 0
        self.secrets = 0
        self._cluster = cluster
        types = {dial: "int" if dial == "A" else "string" for dial in history.DIALS}
        dials = [{"env": dial, "key": dial.lower(), "type": type_} for dial, type_ in types.items()]
        (self.where / "dials.json").write_text(json.dumps({"prefix": f"{self.name}/", "dials": dials}))
        self.sidecar = _Sidecar(self.where, *self._arguments(), env=self._environment(), before=self.host.inside)
        network.run("mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=0700", "tmpfs", self.sidecar.state_dir)
        self.sidecar.upgrade()
        self.new_token()
        self._app = None

    def _arguments(self):
        addresses = self._cluster.addresses
        first = self.number % len(addresses)
        told = addresses[first:] + addresses[:first]
        to = f"exe:{self._python()}" if self.settable else f"pidfile:{self.where / 'app.pid'}"
        return [
            "--dials", self.where / "dials.json", "--signal", "HUP", "--signal-to", to, "--instance", self.name,
            *(part for address in told for part in ("--consul-addr", address)),
        ]  # fmt: skip

    def _environment(self):
        self.trust(self._cluster.authority)
        self.identify(self._cluster.client)
        env = {
            "CONSUL_HTTP_SSL": "true", "CONSUL_HTTP_TOKEN_FILE": str(self.token_file),
            "CONSUL_CACERT": str(self.ca_file), "CONSUL_TLS_SERVER_NAME": SERVER_NAME,
            "CONSUL_CLIENT_CERT": str(self.client_files[0]), "CONSUL_CLIENT_KEY": str(self.client_files[1]),
        }  # fmt: skip
        if self.settable:
            self.set_clock(0)
            env |= {
                "LD_PRELOAD": _faketime(), "FAKETIME_TIMESTAMP_FILE": str(self.clock_file), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
            }  # fmt: skip
        return env

    def _python(self):
        """An executable of its own, so that `exe:` means this app only."""
        own = self.where / "python"
        if self.settable and not own.exists():
            shutil.copy(os.path.realpath(sys.executable), own)
        return own if self.settable else Path(sys.executable)

    def start(self):
        # A process with capabilities cannot be looked at by a sidecar that has none (docs/signal.md).
        rights = ["--bounding-set=-all", "--inh-caps=-all"] if self.settable else []
        self._app = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *rights, "--", self._python(), "-B",
             Path(__file__).with_name("app.py"), _CLIENT, self.sidecar.run_dir, self.where / "app.pid"],
            stdout=subprocess.PIPE, stderr=open(self.where / "app.log", "ab"),
        )  # fmt: skip
        self.sidecar.start()

    @property
    def output(self):
        return self._app.stdout

    def new_token(self):
        """Makes one in Consul; the sidecar is not told it yet."""
        self.secrets += 1
        self.secret = f"0d{self.number:06x}-0000-0000-0000-{self.secrets:012x}"
        self._cluster.token(self.name, self.secret)
        if self.secrets == 1:
            self.tell_token()

    def tell_token(self):
        _replace(self.token_file, self.secret)

    def trust(self, authority):
        _replace(self.ca_file, authority.certificate.read_text())

    def identify(self, pair):
        """Shows this certificate to the servers from now on."""
        for file, made in zip(self.client_files, (pair.certificate, pair.key)):
            _replace(file, made.read_text())

    def set_clock(self, seconds):
        _replace(self.clock_file, f"{seconds:+d}s\n" if seconds else "+0\n")

    def _group(self):
        return self.sidecar.status()["groups"][0]

    def server(self):
        """Whom it asks just now."""
        return self._group()["source"]["address"].rpartition("/")[2]

    def failures(self):
        """Polls that failed since its start."""
        return sum(count for result, count in self._group()["polls"].items() if result not in ("changed", "unchanged"))

    def connections(self):
        """The local ports of those that it has to Consul."""
        return self.host.connections(HTTPS)

    def cut_connections(self):
        """Those that it has now are reset as soon as it uses them; until the host's filter is set anew."""
        reject = "-j REJECT --reject-with tcp-reset"
        self.host.filter(*(f"OUTPUT -p tcp --sport {port} {reject}" for port in self.connections()))


def _faketime():
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        raise AssertionError("libfaketime is missing: run script/setup")
    return str(found[0])


def _replace(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


class Recorder(threading.Thread):
    """Collects what the apps print, and what is noted here, into one history."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.checker = history.Checker()
        self._file = open(path, "w", encoding="utf-8", buffering=1 << 16)
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._seen = collections.defaultdict(list)  # of a pod's channel: when it began to show which value
        self._events = []
        self._failure = None

    def add(self, pod):
        self._selector.register(pod.output, selectors.EVENT_READ, pod)

    def note(self, event):
        event.setdefault("t", time.monotonic())
        with self._lock:
            self._events.append(event)

    def run(self):
        try:
            self._collect()
        except (OSError, ValueError) as failure:
            self._failure = failure

    def _collect(self):
        rest = {}
        while True:
            for key, _ in self._selector.select(0.1):
                pod = key.data.name
                read = os.read(key.fd, 1 << 16)
                if not read:
                    raise OSError(f"the app of {pod} has ended")
                data = rest.get(pod, b"") + read
                *lines, rest[pod] = data.split(b"\n")
                for line in lines:
                    self._take(pod, json.loads(line))

    def _take(self, pod, event):
        value = history.value_of((event["dials"] or {}).get("A"))
        with self._lock:
            self._events.append(event | {"what": "seen", "pod": pod})
            if value is not None:
                self._seen[pod, event["channel"]].append((event["t"], value))

    def shown(self, pod, value, since, exact=False):
        """When, after `since`, each channel of the pod showed this value or a newer one; None if one has not."""
        with self._lock:
            all_seen = [self._seen[pod.name, channel] for channel in history.CHANNELS]
            times = [self._first_time(seen, value, since, exact) for seen in all_seen]
        return None if None in times else times

    @staticmethod
    def _first_time(seen, value, since, exact):
        for number, (t, shown) in enumerate(seen):
            until = seen[number + 1][0] if number + 1 < len(seen) else math.inf
            if until > since and (shown == value or (shown > value and not exact)):
                return max(t, since)
        return None

    def judge(self):
        """The violations in what has happened since the last call."""
        with self._lock:
            events, self._events = sorted(self._events, key=lambda event: event["t"]), []
            for key, seen in self._seen.items():
                self._seen[key] = seen[-1:]
        if self._failure is not None:
            raise AssertionError(f"what the apps print cannot be read: {self._failure!r}")
        known = len(self.checker.violations)
        for event in events:
            self._file.write(json.dumps(event) + "\n")
            self.checker.read(event)
        self._file.flush()
        return self.checker.violations[known:]
