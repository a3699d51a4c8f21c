# SPDX-License-Identifier: Apache-2.0
"""Tokens that are rotated and revoked while the sidecar runs, and a proxy that wants a password."""

import base64
import contextlib
import http.server
import os
import threading
import urllib.error
import urllib.request

from support.case import KEY, EndToEndTest, one_dial
from support.waiting import always, eventually

ROOT_TOKEN = "3c9f8d0e-5a51-4a5e-9a5f-2f3a7c1d0b42"
DENY = f'acl {{ enabled = true default_policy = "deny" tokens {{ initial_management = "{ROOT_TOKEN}" }} }}'
READ = 'key_prefix "hunt/" { policy = "read" }'


class Tokens(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.consul = self.start_consul(config=DENY, token=ROOT_TOKEN)
        self.consul.put(KEY, 500)
        self.consul.add_policy("read-hunt", READ)

    def pod(self, path, *arguments, env=None):
        variables = {"CONSUL_HTTP_TOKEN_FILE": str(path)} | (env or {})
        return self.sidecar(self.consul, *one_dial("--default", 5, *arguments), env=variables)

    def denials(self, pod):
        return pod.metrics()("consul_polls_total", group=KEY, result="denied")

    def test_a_rotated_token(self):
        """As a Secret's volume changes: by a link to another directory. Not one poll is denied."""
        old, new = self.consul.add_token("read-hunt"), self.consul.add_token("read-hunt")
        for name, token in (("1", old.secret), ("2", new.secret)):
            (self.where / name).mkdir()
            (self.where / name / "token").write_text(token + "\n")
        link = self.where / "secret"
        link.symlink_to("1")
        pod = self.pod(link / "token").start_ready()
        pod.wait_env(MAX_CONCURRENT=500)
        (self.where / "next").symlink_to("2")
        os.replace(self.where / "next", link)
        pod.wait_log("token has changed and is in use from now on")
        polls = self.polls(pod)
        eventually("a poll with the new token", lambda: self.polls(pod) > polls + 1)
        self.consul.remove_token(old)
        self.consul.put(KEY, 600)
        pod.wait_env(MAX_CONCURRENT=600)
        self.assertEqual(self.denials(pod), 0)
        for token in (old, new):
            self.assertNotIn(token.secret, pod.log() + pod.get("/v1/status").text + pod.get("/metrics").text)

    @staticmethod
    def polls(pod):
        return sum(pod.status()["groups"][0]["polls"].values())

    def test_a_revoked_token_and_its_successor(self):
        first = self.consul.add_token("read-hunt")
        path = self.where / "token"
        path.write_text(first.secret)
        pod = self.pod(path).start_ready()
        pod.wait_env(MAX_CONCURRENT=500)
        self.consul.remove_token(first)
        eventually("denied", lambda: self.denials(pod) > 0)
        self.consul.put(KEY, 700)
        path.write_text("")  # as while it is being written
        pod.wait_log("it is empty, expected a token; what it held before stays in force")
        always("the value stays", lambda: "'500'" in pod.env_text(), 0.5)
        path.write_text(self.consul.add_token("read-hunt").secret)
        pod.wait_env(MAX_CONCURRENT=700)
        pod.wait_log("Consul answers again")

    def test_a_token_that_comes_after_the_start(self):
        """As from an agent that starts beside us: until then the variable's token is used, if there is one."""
        path = self.where / "token"
        pod = self.pod(path).start()
        eventually("denied", lambda: self.denials(pod) > 0)
        pod.wait_log("CONSUL_HTTP_TOKEN_FILE: open .*No such file.*; Consul is asked without a token")
        pod.wait_env(MAX_CONCURRENT=5)
        path.write_text(self.consul.add_token("read-hunt").secret)
        pod.wait_env(MAX_CONCURRENT=500)

    def test_a_missing_file_and_a_variable(self):
        token = self.consul.add_token("read-hunt").secret
        pod = self.pod(self.where / "none", env={"CONSUL_HTTP_TOKEN": token}).start_ready()
        pod.wait_env(MAX_CONCURRENT=500)
        pod.wait_metric(1, "credential_files_failing")


class PasswordProxy(http.server.BaseHTTPRequestHandler):
    """Passes on to the Consul of its server what has the right password, and answers 401 to the rest."""

    protocol_version = "HTTP/1.1"
    wanted = "Basic " + base64.b64encode(b"artist:sesame open").decode()

    def handle(self):
        with contextlib.suppress(OSError):
            super().handle()

    def do_GET(self):  # noqa: N802: the name is http.server's
        self.server.seen.append(self.headers.get("Authorization"))
        status, headers, body = 401, {}, b"who are you?"
        if self.headers.get("Authorization") == self.wanted:
            try:
                answer = urllib.request.urlopen(f"http://{self.server.consul}{self.path}", timeout=30)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                status, headers, body = answer.status, dict(answer.headers), answer.read()
        self.send_response(status)
        for name, value in headers.items():
            if name.startswith(("X-Consul", "Content-Type")):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class BasicAuthentication(EndToEndTest):
    def test_a_proxy_that_wants_a_password(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), PasswordProxy)
        proxy.consul, proxy.seen = consul.address, []
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        self.addCleanup(proxy.server_close)
        self.addCleanup(proxy.shutdown)
        address = f"127.0.0.1:{proxy.server_port}"
        env = {"CONSUL_HTTP_AUTH": "artist:sesame open"}
        pod = self.sidecar(address, *one_dial(), env=env).start_ready()
        pod.wait_env(MAX_CONCURRENT=500)
        consul.put(KEY, 600)
        pod.wait_env(MAX_CONCURRENT=600)
        self.assertEqual(set(proxy.seen), {PasswordProxy.wanted})
        self.assertNotIn("sesame", pod.log() + pod.get("/v1/status").text)
        wrong = self.sidecar(address, *one_dial("--default", 5), env={"CONSUL_HTTP_AUTH": "artist"}, name="wrong")
        wrong.start().wait_env(MAX_CONCURRENT=5)
        wrong.wait_log("401: who are you?")
