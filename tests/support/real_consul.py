# SPDX-License-Identifier: Apache-2.0
"""A real Consul agent."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import typing
from pathlib import Path
from urllib.parse import quote, urlencode

from support import processes
from support.waiting import eventually

START_SECONDS = 30  # a single server elects itself within two seconds; a loaded machine takes longer


def find_binary():
    """ENVDIAL_CONSUL, else `consul` on the PATH, else where script/setup keeps the one that it built."""
    named = os.environ.get("ENVDIAL_CONSUL")
    if named:
        return named
    built = Path.home() / ".cache/envdial/consul-1.20.6/consul"
    found = shutil.which("consul") or (str(built) if built.exists() else None)
    if found is None:
        raise AssertionError("no Consul: run script/setup, or name one by ENVDIAL_CONSUL=/path/to/consul")
    return found


def find_old_binary():
    """ENVDIAL_OLD_CONSUL, else where script/setup keeps the one that it fetched."""
    named = os.environ.get("ENVDIAL_OLD_CONSUL")
    kept = Path.home() / ".cache/envdial/consul-1.8.7/usr/bin/consul"
    if not named and not kept.exists():
        raise AssertionError("no old Consul: run script/setup, or name one by ENVDIAL_OLD_CONSUL=/path/to/consul")
    return named or str(kept)


def version_of(binary):
    """(1, 20, 6)"""
    said = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.match(r"Consul v(\d+)\.(\d+)\.(\d+)", said).groups()))


class Token(typing.NamedTuple):
    secret: str
    accessor: str


class Consul:
    """One agent that is server and leader at once: in memory (`-dev`), or with its data kept in `where`.

    The ports stay the same from one start to the next, so that a killed one comes back at the same address.
    """

    def __init__(self, where, keep_data=False, hosts=("127.0.0.1",), config="", token=None, binary=None, flags=()):
        self.where = Path(where)
        self.where.mkdir(parents=True, exist_ok=True)
        self.port = processes.free_port()
        self.token = token
        self.version = version_of(binary or find_binary())
        self._binary = binary or find_binary()
        self._flags = flags  # of the agent; they win over ours
        self._keep_data = keep_data
        self._hosts = hosts
        self._config = config
        self._ports = [processes.free_port() for _ in range(3)]
        # gRPC over TLS, and the flag that shuts it, came with 1.14.
        self._grpc_flags = ["-grpc-port=-1"] + (["-grpc-tls-port=-1"] if self.version >= (1, 14) else [])
        self._process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self._process.pid

    def _arguments(self):
        server, lan, wan = self._ports
        mode = ["-server", "-bootstrap-expect=1", f"-data-dir={self.where / 'data'}"] if self._keep_data else ["-dev"]
        quiet = "disable_update_check = true connect { enabled = false } performance { raft_multiplier = 1 } "
        return [
            self._binary, "agent", *mode, "-node=consul", "-bind=127.0.0.1", f"-client={' '.join(self._hosts)}",
            f"-http-port={self.port}", f"-server-port={server}", f"-serf-lan-port={lan}", f"-serf-wan-port={wan}",
            *self._grpc_flags, "-dns-port=-1", "-log-level=warn", "-hcl", quiet + self._config, *self._flags,
        ]  # fmt: skip

    @property
    def lan_port(self):
        """Where other agents join it."""
        return self._ports[1]

    def launch(self):
        """Starts it and waits for nothing."""
        with open(self.where / "consul.log", "ab") as log:
            self._process = processes.start(self._arguments(), log)
        return self

    def start(self):
        """Starts it and waits until it takes writes."""
        self.launch()
        return self.wait_for_writes()

    def wait_for_writes(self):
        eventually("Consul takes writes", self._takes_writes, within=START_SECONDS, every=0.02)
        return self

    def _takes_writes(self):
        if self._process.poll() is not None:
            raise AssertionError(f"Consul ended: {(self.where / 'consul.log').read_text()[-2000:]}")
        return self.request("PUT", "/v1/kv/is-it-up", b"yes")[0] == 200

    def kill(self):
        processes.kill(self._process)

    def freeze(self):
        """Stops its process: its connections stay open and nothing is answered, as when packets are dropped."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def request(self, method, target, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, target, body=body, headers={"X-Consul-Token": self.token} if self.token else {})
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as broken:
            raise ConnectionError(repr(broken)) from broken
        finally:
            connection.close()

    def _must(self, method, target, body=None):
        status, answer = self.request(method, target, body)
        if status != 200:
            raise AssertionError(f"Consul: {method} {target}: {status} {answer!r}")
        return answer

    def put(self, key, value):
        data = value if isinstance(value, bytes) else str(value).encode()
        self._must("PUT", f"/v1/kv/{quote(key)}", data)

    def delete(self, key):
        self._must("DELETE", f"/v1/kv/{quote(key)}")

    def delete_tree(self, prefix):
        self._must("DELETE", f"/v1/kv/{quote(prefix)}?{urlencode({'recurse': 'true'})}")

    def cli(self, *arguments):
        """Runs `consul …` against this agent as an operator would, and returns what it printed."""
        env = processes.clean_environment({"CONSUL_HTTP_ADDR": self.address, "CONSUL_HTTP_TOKEN": self.token or ""})
        done = subprocess.run([self._binary, *map(str, arguments)], env=env, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise AssertionError(f"consul {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done.stdout

    def add_policy(self, name, rules):
        self.cli("acl", "policy", "create", "-name", name, "-rules", rules)

    def add_token(self, policy):
        made = json.loads(self.cli("acl", "token", "create", "-format", "json", "-policy-name", policy))
        return Token(made["SecretID"], made["AccessorID"])

    def remove_token(self, token):
        self.cli("acl", "token", "delete", "-id", token.accessor)

    def snapshot_save(self, path):
        self.cli("snapshot", "save", path)

    def snapshot_restore(self, path):
        self.cli("snapshot", "restore", path)
