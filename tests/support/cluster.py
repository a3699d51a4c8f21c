# SPDX-License-Identifier: Apache-2.0
"""Three real Consul servers with mutual TLS and ACLs, each on a host of its own (network.py)."""

import base64
import http.client
import json
import shutil
import signal
import ssl
import subprocess
import time
from pathlib import Path

from support import processes
from support.certificates import SERVER_NAME, Authority
from support.real_consul import find_binary
from support.waiting import eventually

HTTPS = 8501
START_SECONDS = 60
_END_SECONDS = 5
ROOT_TOKEN = "0d111111-1111-1111-1111-111111111111"

_CONFIG = """
datacenter = "dc1"
server = true
bootstrap_expect = 3
node_name = "{name}"
bind_addr = "{address}"
client_addr = "0.0.0.0"
data_dir = "{where}/data"
retry_join = [{others}]
retry_interval = "1s"
log_level = "warn"
disable_update_check = true
connect {{ enabled = false }}
performance {{ raft_multiplier = 1 }}
autopilot {{ cleanup_dead_servers = false }}
limits {{ http_max_conns_per_client = 1000 }}
ports {{ http = -1  https = 8501  grpc = -1  grpc_tls = -1  dns = -1 }}
acl {{ enabled = true  default_policy = "deny"  tokens {{ agent = "{token}" }} }}
tls {{
  defaults {{ ca_file = "{ca}" }}
  https {{ verify_incoming = true  cert_file = "{where}/https.pem"  key_file = "{where}/https-key.pem" }}
  internal_rpc {{
    cert_file = "{where}/rpc.pem"  key_file = "{where}/rpc-key.pem"
    verify_incoming = true  verify_outgoing = true  verify_server_hostname = true
  }}
}}
"""


class _Connection(http.client.HTTPSConnection):
    """The certificates are for one name, whatever the address."""

    def connect(self):
        http.client.HTTPConnection.connect(self)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=SERVER_NAME)


class Server:
    def __init__(self, host, where, cluster):
        self.host = host
        self.where = where
        self.where.mkdir()
        self._cluster = cluster
        self._process = None
        self.certificate = cluster.authority.server()
        self.expired_certificate = cluster.authority.expired(self.certificate)
        self.strange_certificate = cluster.stranger.server()
        self.show(self.certificate, reload=False)
        self._place(self.certificate, "rpc")

    @property
    def address(self):
        return f"{self.host.address}:{HTTPS}"

    def configure(self, hosts):
        others = ", ".join(f'"{host.address}"' for host in hosts)
        (self.where / "consul.hcl").write_text(
            _CONFIG.format(
                name=self.host.name, address=self.host.address, where=self.where, others=others,
                ca=self._cluster.authority.certificate, token=ROOT_TOKEN,
            )
        )  # fmt: skip

    def start(self):
        with open(self.where / "consul.log", "ab") as log:
            self._process = processes.start(
                [*self.host.inside, find_binary(), "agent", "-config-file", self.where / "consul.hcl"], log
            )

    def running(self):
        return self._process is not None and self._process.poll() is None

    def alive(self):
        if not self.running():
            raise AssertionError(f"{self.host.name} ended: {(self.where / 'consul.log').read_text()[-2000:]}")
        return True

    def kill(self):
        processes.kill(self._process)

    def signal(self, number):
        self._process.send_signal(number)

    def stop(self):
        """As an upgrade does: asked to end, and killed if it takes its time (1.20.6 was seen to hang in its end)."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def wipe(self):
        shutil.rmtree(self.where / "data")

    def show(self, certificate, reload=True):
        """The certificate that clients are shown on new connections."""
        self._place(certificate, "https")
        if reload:
            self.signal(signal.SIGHUP)

    def _place(self, pair, use):
        shutil.copy(pair.certificate, self.where / f"{use}.pem")
        shutil.copy(pair.key, self.where / f"{use}-key.pem")

    def connect(self, timeout=5.0):
        return _Connection(self.host.address, HTTPS, timeout=timeout, context=self._cluster.context)

    def request(self, method, target, body=None, timeout=5.0):
        """Status, headers and body; OSError for what is no answer."""
        connection = self.connect(timeout)
        try:
            connection.request(method, target, body=body, headers={"X-Consul-Token": ROOT_TOKEN})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        except http.client.HTTPException as broken:
            raise ConnectionError(repr(broken)) from broken
        finally:
            connection.close()

    def must(self, method, target, body=None, timeout=10.0):
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        status, _, answer = self.request(method, target, data, timeout)
        if status != 200:
            raise ConnectionError(f"{self.host.name}: {method} {target}: {status} {answer[:300]!r}")
        return answer

    def value(self, key, timeout=2.0):
        """Of a key, as this server's clients are told; None if it is not there, OSError where nothing is known."""
        status, headers, answer = self.request("GET", f"/v1/kv/{key}", timeout=timeout)
        if status not in (200, 404) or headers["X-Consul-KnownLeader"] != "true":
            raise ConnectionError(f"{self.host.name}: {status}")
        return base64.b64decode(json.loads(answer)[0]["Value"] or "").decode() if status == 200 else None

    def is_leader(self):
        status, _, answer = self.request("GET", "/v1/agent/self", timeout=2.0)
        return status == 200 and json.loads(answer)["Stats"]["consul"]["leader"] == "true"


class Cluster:
    root_token = ROOT_TOKEN

    def __init__(self, network, where):
        self.where = Path(where)
        self.where.mkdir()
        self.authority = Authority(self.where / "ca")
        self.stranger = Authority(self.where / "another-ca")
        self.client = self.authority.client()
        self.expired_client = self.authority.expired(self.client)
        self.context = ssl.create_default_context(cafile=str(self.authority.certificate))
        self.context.load_cert_chain(self.client.certificate, self.client.key)
        self.servers = [Server(network.host(f"s{number}"), self.where / f"s{number}", self) for number in (1, 2, 3)]
        for server in self.servers:
            server.configure([other.host for other in self.servers])
        self._tokens = {}  # secret by the prefix that it may read

    @property
    def addresses(self):
        return [server.address for server in self.servers]

    def start(self):
        for server in self.servers:
            if not server.running():
                server.start()
        self.wait_up()
        self._make_tokens()

    def kill(self):
        for server in self.servers:
            server.kill()

    def wait_up(self, within=START_SECONDS):
        """Waits until each server knows the leader; returns when that was."""
        eventually("the servers have a leader", self._all_know_the_leader, within, every=0.02)
        return time.monotonic()

    def _all_know_the_leader(self):
        for server in self.servers:
            server.alive()
            status, _, answer = server.request("GET", "/v1/status/leader", timeout=1.0)
            if status != 200 or not json.loads(answer):
                raise ConnectionError(f"{server.host.name} knows no leader")
        return True

    def wait_value(self, key, text, within=START_SECONDS):
        """Waits until each server tells it; returns when that was."""
        eventually(
            f"each server says that {key} is {text}",
            lambda: all(server.value(key, timeout=0.5) == text for server in self.servers), within, every=0.01,
        )  # fmt: skip
        return time.monotonic()

    def leader(self, within=START_SECONDS):
        def find():
            for server in self.servers:
                try:
                    if server.running() and server.is_leader():
                        return server
                except OSError:
                    continue
            return None

        return eventually("a leader", find, within, every=0.05)

    def anywhere(self, method, target, body=None):
        """By the first server that does it."""

        def ask():
            for server in self.servers:
                try:
                    return server.must(method, target, body) or b" "
                except OSError as failure:
                    last = failure
            raise last

        return eventually(f"{method} {target}", ask, START_SECONDS, every=0.1)

    def _make_tokens(self):
        """Also anew, under the same names and secrets, where all data were lost."""

        def bootstrapped():
            status, _, answer = self.servers[0].request(
                "PUT", "/v1/acl/bootstrap", json.dumps({"BootstrapSecret": ROOT_TOKEN}).encode()
            )
            if status == 200 or (status == 403 and b"no longer allowed" in answer):
                return True
            raise ConnectionError(f"{status} {answer!r}")

        eventually("the ACLs are set up", bootstrapped, START_SECONDS, every=0.1)
        for prefix, secret in self._tokens.items():
            self._make_token(prefix, secret)

    def token(self, prefix, secret):
        """A token that may read this prefix and nothing else."""
        self._tokens[prefix] = secret
        self._make_token(prefix, secret)

    def _make_token(self, prefix, secret):
        name = f"reads-{prefix}"
        rules = f'key_prefix "{prefix}/" {{ policy = "read" }}'
        known = json.loads(self.anywhere("GET", "/v1/acl/policies"))
        if not any(policy["Name"] == name for policy in known):
            self.anywhere("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
        self.anywhere("PUT", "/v1/acl/token", {"SecretID": secret, "Policies": [{"Name": name}]})

    def revoke(self, prefix):
        """Takes its token away."""
        secret = self._tokens.pop(prefix)
        tokens = json.loads(self.anywhere("GET", "/v1/acl/tokens"))
        accessor = next(token["AccessorID"] for token in tokens if token.get("SecretID") == secret)
        self.anywhere("DELETE", f"/v1/acl/token/{accessor}")

    def save(self):
        return self.leader().must("GET", "/v1/snapshot", timeout=30)

    def restore(self, snapshot):
        self.leader().must("PUT", "/v1/snapshot", snapshot, timeout=30)
