# SPDX-License-Identifier: Apache-2.0
"""A Consul that is reached over TLS only by those whom its CA knows, and what goes wrong with certificates."""

import contextlib
import os
import shutil
import socket
import ssl
import threading
from pathlib import Path

from support import processes
from support.case import KEY, NAME, EndToEndTest, one_dial
from support.certificates import SERVER_NAME, Authority
from support.waiting import always, eventually

TLS = """
ports {{ https = {port} }}
tls {{ defaults {{ ca_file = "{here}/ca.pem" cert_file = "{here}/server.pem" key_file = "{here}/server-key.pem" }}
       https {{ verify_incoming = {mutual} }} }}
"""


def put_in_place(source, target):
    """As a careful administrator does: whoever reads sees the old file or the new one."""
    new = target.with_name(target.name + ".new")
    shutil.copy(source, new)
    os.replace(new, target)


class Tls(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.authority = Authority(self.where / "authority")
        self.here = self.where / "tls"
        self.here.mkdir()
        self.server = self.authority.server()
        self.client = self.authority.client()
        self.port = processes.free_port()
        self.env = {
            "CONSUL_CACERT": str(self.here / "ca.pem"),
            "CONSUL_CLIENT_CERT": str(self.here / "client.pem"),
            "CONSUL_CLIENT_KEY": str(self.here / "client-key.pem"),
        }
        self.use(ca=self.authority.certificate)
        self.use_server(self.server)
        self.use_client(self.client)

    def use(self, **files):
        for name, source in files.items():
            put_in_place(source, self.here / f"{name.replace('_', '-')}.pem")

    def use_server(self, pair):
        self.use(server=pair.certificate, server_key=pair.key)

    def use_client(self, pair):
        self.use(client=pair.certificate, client_key=pair.key)

    def start_tls_consul(self, mutual=True):
        self.consul = self.start_consul(
            config=TLS.format(port=self.port, here=self.here, mutual=str(mutual).lower()), keep_data=True
        )
        self.consul.put(KEY, 500)

    def restart_consul(self):
        self.consul.kill()
        self.consul.start()

    def pod(self, *arguments, host="127.0.0.1", env=None, name="pod"):
        dial = one_dial("--default", 5, *arguments)
        return self.sidecar(f"https://{host}:{self.port}", *dial, env=self.env if env is None else env, name=name)

    def wait_failure(self, pod, words, reason="tls", within=15.0):
        def failed():
            error = pod.status()["groups"][0]["last_error"]
            if not error or error["reason"] != reason:
                raise ValueError(f"{reason} is expected instead of {error}")
            return error["message"]

        message = eventually(f"a failure of TLS like {words!r}", failed, within)
        print(message)
        self.assertRegex(message, words)

    def test_mutual_tls(self):
        self.start_tls_consul()
        pod = self.pod().start_ready()
        pod.wait_env(MAX_CONCURRENT=500)
        self.consul.put(KEY, 600)
        pod.wait_env(MAX_CONCURRENT=600)
        self.assertEqual(pod.status()["groups"][0]["source"]["address"], f"https://127.0.0.1:{self.port}")
        self.assertEqual(pod.metrics()("consul_polls_total", group=KEY, result="tls"), 0)
        # One handshake is enough for all polls.
        self.wait_one_connection(pod)

    def wait_one_connection(self, pod):
        eventually("one connection", lambda: len(self.connections(pod)) == 1)

    def connections(self, pod):
        """Its established ones to Consul's port for TLS."""
        own = {os.readlink(file) for file in Path(f"/proc/{pod.pid}/fd").iterdir()}
        with open(f"/proc/{pod.pid}/net/tcp") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        remote = f":{self.port:04X}"
        return [row for row in rows if row[2].endswith(remote) and row[3] == "01" and f"socket:[{row[9]}]" in own]

    def test_by_name_and_by_consuls_other_variables(self):
        """A bare address asked for over TLS, the names in the certificate, a directory of CAs, a proxy to be ignored."""
        self.start_tls_consul()
        directory = self.where / "cas"
        directory.mkdir()
        shutil.copy(Authority(self.where / "other").certificate, directory / "other.pem")
        shutil.copy(self.authority.certificate, directory / "ours.crt")
        env = {name: value for name, value in self.env.items() if name != "CONSUL_CACERT"}
        env |= {"CONSUL_CAPATH": str(directory), "HTTPS_PROXY": f"http://{self.closed_port()}"}
        by_name = self.pod(host="localhost", env=env, name="by-name").start_ready()
        by_server_name = self.pod(host="127.0.0.1", env=env | {"CONSUL_TLS_SERVER_NAME": SERVER_NAME}, name="sni")
        by_server_name.start_ready()
        both = self.pod(host="localhost", env=env | {"CONSUL_TLS_SERVER_NAME": SERVER_NAME}, name="both").start_ready()
        ssl_only = self.sidecar(
            "127.0.0.1:1", *one_dial("--default", 5), env=env | {"CONSUL_HTTP_SSL": "true"}, name="ssl"
        )
        ssl_only.arguments[ssl_only.arguments.index("127.0.0.1:1")] = f"127.0.0.1:{self.port}"
        ssl_only.start_ready()
        for pod in (by_name, by_server_name, both, ssl_only):
            pod.wait_env(MAX_CONCURRENT=500)
        self.consul.put(KEY, 501)
        for pod in (by_name, by_server_name, both, ssl_only):
            pod.wait_env(MAX_CONCURRENT=501)
            self.wait_one_connection(pod)

    def test_who_is_not_trusted(self):
        self.start_tls_consul()
        other = Authority(self.where / "other")
        stranger = other.client()
        changes = {
            "another CA": ({"CONSUL_CACERT": str(other.certificate)}, "certificate"),
            "the system's CAs": ({"CONSUL_CACERT": ""}, "certificate"),
            "another name": ({"CONSUL_TLS_SERVER_NAME": "server.dc2.consul"}, "server.dc2.consul"),
            "no certificate": ({"CONSUL_CLIENT_CERT": "", "CONSUL_CLIENT_KEY": ""}, "alert"),
            "another certificate": (
                {"CONSUL_CLIENT_CERT": str(stranger.certificate), "CONSUL_CLIENT_KEY": str(stranger.key)},
                "alert",
            ),
        }  # fmt: skip
        pods = {}
        for name, (env, words) in changes.items():
            pods[name] = self.pod(env=self.env | env, name=name.replace(" ", "-")).start()
        for name, (_, words) in changes.items():
            with self.subTest(name):
                self.wait_failure(pods[name], words)
                pods[name].wait_env(MAX_CONCURRENT=5)
        # A name that is not checked because nothing is. The operator is told.
        env = self.env | {"CONSUL_CACERT": str(other.certificate), "CONSUL_HTTP_SSL_VERIFY": "false"}
        careless = self.pod(env=env, name="careless").start_ready()
        careless.wait_env(MAX_CONCURRENT=500)
        careless.wait_log("warn.*CONSUL_HTTP_SSL_VERIFY")

    def test_an_expired_certificate_and_its_renewal(self):
        self.start_tls_consul()
        pod = self.pod().start_ready()
        pod.wait_env(MAX_CONCURRENT=500)
        self.use_server(self.authority.expired(self.server))
        self.restart_consul()
        self.wait_failure(pod, "expired")
        self.consul.put(KEY, 700)
        always("the value stays", lambda: "'500'" in pod.env_text(), 0.5)
        self.use_server(self.authority.server())
        self.consul.cli("reload")
        pod.wait_env(MAX_CONCURRENT=700)
        pod.wait_log("answers again")

    def test_files_that_change_are_read_again(self):
        """Consul goes over to another CA, of which the sidecar learns by its files alone."""
        self.start_tls_consul()
        pod = self.pod().start_ready()
        pod.wait_env(MAX_CONCURRENT=500)
        successor = Authority(self.where / "successor")
        shutil.copy(successor.certificate, self.here / "ca.pem.new")
        self.use_server(successor.server())
        new_ca = self.here / "ca.pem"
        old_ca = self.here / "ca-before.pem"
        shutil.copy(new_ca, old_ca)
        os.replace(self.here / "ca.pem.new", new_ca)
        self.restart_consul()
        self.consul.put(KEY, 800)
        self.wait_failure(pod, "alert")  # the CA is known, our own certificate is not
        self.use_client(successor.client())
        pod.wait_env(MAX_CONCURRENT=800)
        for name in ("ca", "client", "client-key"):
            pod.wait_log(f"{name}.pem has changed")

    def test_files_that_are_missing_or_spoilt(self):
        """No reason to end, and none to give up a connection that works; the operator is told, and it heals."""
        self.start_tls_consul()
        ca = self.here / "our-ca.pem"
        pod = self.pod(env=self.env | {"CONSUL_CACERT": str(ca)}).start()
        self.wait_failure(pod, "CONSUL_CACERT: open .*our-ca.pem: No such file")
        pod.wait_env(MAX_CONCURRENT=5)
        pod.wait_metric(1, "credential_files_failing")
        self.use(our_ca=self.authority.certificate)
        pod.wait_env(MAX_CONCURRENT=500)
        pod.wait_metric(0, "credential_files_failing")
        ca.write_text("this is no certificate")
        pod.wait_log("CONSUL_CACERT: .*expected PEM; what it held before stays in force")
        self.assertEqual(len(pod.status()["credential_troubles"]), 1)
        self.restart_consul()
        self.consul.put(KEY, 900)
        pod.wait_env(MAX_CONCURRENT=900)

    def test_an_old_version_of_tls_is_refused(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server.certificate, self.server.key)
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        self.serve(context)
        pod = self.pod().start()
        self.wait_failure(pod, "(?i)protocol|version")

    def serve(self, context):
        """Shakes hands with everybody as `context` says, and closes."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.addCleanup(listener.close)

        def loop():
            with contextlib.suppress(OSError):
                while True:
                    client = listener.accept()[0]
                    with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as secure:
                        secure.recv(1000)

        threading.Thread(target=loop, daemon=True).start()

    def test_plain_http_where_tls_is_expected_and_the_other_way_round(self):
        self.start_tls_consul(mutual=False)
        plain = self.sidecar(f"http://127.0.0.1:{self.port}", *one_dial("--default", 5), name="plain").start()
        self.wait_failure(plain, "HTTPS|https|400", reason="malformed")
        self.port = self.consul.port
        self.wait_failure(self.pod().start(), "(?i)wrong version|record")

    def test_a_server_that_ends_in_the_handshake(self):
        listener = socket.create_server(("127.0.0.1", self.port))
        self.addCleanup(listener.close)

        def loop():
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=loop, daemon=True).start()
        self.wait_failure(self.pod().start(), "(?i)reset|closed|eof", reason="refused")

    def test_what_cannot_be_meant(self):
        for env in ({"CONSUL_HTTP_SSL": "maybe"}, {"CONSUL_HTTP_SSL_VERIFY": "2"}, {"CONSUL_CLIENT_CERT": "/x"}):
            pod = self.pod(env=env, name="wrong").start()
            self.assertEqual(pod.wait_end(), 64)
            self.assertIn(next(iter(env)), pod.log())
        self.assertNotIn(NAME, pod.log())
