# SPDX-License-Identifier: Apache-2.0
"""Promise 7: no capability is held that is not needed; only those who may open the socket can ask; secrets and tokens
never reach a log."""

import http.client
import json
import os
import re
from pathlib import Path

from support.case import KEY, NAME, EndToEndTest, needs, one_dial
from support.rights import ALL_CAPABILITIES, capabilities, holding
from support.sidecar import envdial
from support.waiting import eventually

TOKEN = "5ec3e7ab-0000-4444-8888-70ce70ce70ce"
SECRET = "correct-horse-battery-staple"
REFUSED_SECRET = "wrong-donkey-battery-staple-and-more"
WITH_ACLS = f'acl {{ enabled = true default_policy = "deny" tokens {{ initial_management = "{TOKEN}" }} }}'


class NeverMoreRightsThanNeeded(EndToEndTest):
    def test_no_task_holds_a_capability(self):
        consul = self.start_consul()
        consul.put(KEY, 100)
        pod = self.sidecar(consul, *one_dial("--require-unprivileged"), before=ALL_CAPABILITIES).start_ready()
        pod.wait_env(MAX_CONCURRENT=100)
        self.assertEqual(capabilities(pod.pid), [holding()])
        limits = Path(f"/proc/{pod.pid}/limits").read_text()
        self.assertRegex(limits, r"Max core file size\s+0\s+0")
        # The sidecar still had them when it was started: else the test would show nothing.
        own = re.search(r"^CapEff:\s*(\S+)", Path("/proc/self/status").read_text(), re.MULTILINE)
        self.assertTrue(ALL_CAPABILITIES or int(own[1], 16) != 0)

    def test_require_unprivileged_refuses_to_go_on_with_a_capability(self):
        held = {"LD_PRELOAD": needs("ENVDIAL_KEEP_CAPABILITIES")}
        strict = one_dial("--require-unprivileged")
        pod = self.sidecar(self.closed_port(), *strict, before=ALL_CAPABILITIES, env=held).start()
        self.assertEqual(pod.wait_end(), 1)
        self.assertRegex(pod.log(), "(?i)cap_")
        self.assertFalse(pod.socket.exists(), "nothing may be listened on")

    def test_capabilities_that_stay_are_warned_of_where_they_are_not_forbidden(self):
        held = {"LD_PRELOAD": needs("ENVDIAL_KEEP_CAPABILITIES")}
        consul = self.start_consul()
        consul.put(KEY, 100)
        pod = self.sidecar(consul, *one_dial(), before=ALL_CAPABILITIES, env=held).start_ready()
        pod.wait_env(MAX_CONCURRENT=100)
        self.assertTrue(pod.log_lines("(?i)warn.*cap_"), pod.log())

    def test_files_have_the_promised_modes_whatever_the_umask(self):
        consul = self.start_consul()
        consul.put(KEY, 100)
        before = os.umask(0o000)
        self.addCleanup(os.umask, before)
        pod = self.sidecar(consul, *one_dial())
        pod.run_dir.rmdir()
        pod.state_dir.rmdir()
        pod.start_ready()
        pod.wait_env(MAX_CONCURRENT=100)
        eventually("a slot", lambda: list(pod.state_dir.glob("last-known-good.?")))
        expected = {pod.run_dir: 0o750, pod.state_dir: 0o700, pod.env_file: 0o640, pod.socket: 0o660}
        expected |= {slot: 0o600 for slot in pod.state_dir.glob("last-known-good.?")}
        for path, mode in expected.items():
            self.assertEqual(oct(path.stat().st_mode & 0o7777), oct(mode), path)

    def test_modes_can_be_chosen(self):
        consul = self.start_consul()
        consul.put(KEY, 100)
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        chosen = one_dial("--socket-mode", "0666", "--env-file-mode", "0644", "--group", os.getgid())
        pod = self.sidecar(consul, *chosen).start_ready()
        pod.wait_env(MAX_CONCURRENT=100)
        self.assertEqual((pod.socket.stat().st_mode & 0o777, pod.env_file.stat().st_mode & 0o777), (0o666, 0o644))

    def everything_it_says(self, pod):
        texts = [pod.log(), pod.metrics().text, pod.get("/v1/status").text]
        for command in (("status",), ("status", "--json")):
            done = envdial(*command, "--run-dir", pod.run_dir)
            texts += [done.stdout, done.stderr]
        return "\n".join(texts)

    def start_with_secret(self, **options):
        consul = self.start_consul(config=WITH_ACLS, token=TOKEN)
        consul.put("hunt/password", SECRET)
        password = {"env": "PASSWORD", "key": "password", "type": "string", "secret": True, "max_bytes": 30}
        dials = self.dials_file([password])
        return consul, self.sidecar(consul, "--dials", dials, "--log-level", "debug", **options)

    def test_secrets_and_tokens_stay_out_of_logs_metrics_and_status(self):
        consul, pod = self.start_with_secret(env={"CONSUL_HTTP_TOKEN": TOKEN})
        pod.start_ready()
        pod.wait_env(PASSWORD=SECRET)
        self.assertEqual(pod.dial("PASSWORD")["value"], SECRET, "the channels that carry values carry it")
        consul.put("hunt/password", REFUSED_SECRET)
        eventually("refused", lambda: pod.dial("PASSWORD")["rejected"])
        consul.put("hunt/password", SECRET + "2")
        pod.wait_env(PASSWORD=SECRET + "2")
        consul.freeze()  # a failure's message tells the request, without its token
        pod.wait_metric(0, "source_connected", group="hunt/")
        said = self.everything_it_says(pod)
        consul.thaw()
        for hidden in (SECRET, REFUSED_SECRET, TOKEN):
            self.assertNotIn(hidden, said)
        self.assertIn("PASSWORD", said)
        self.assertIn("•••", envdial("status", "--run-dir", pod.run_dir).stdout)

    def test_a_token_from_a_file(self):
        path = self.where / "token"
        path.write_text(TOKEN + "\n")
        _, pod = self.start_with_secret(env={"CONSUL_HTTP_TOKEN_FILE": str(path)})
        pod.start_ready()
        pod.wait_env(PASSWORD=SECRET)
        self.assertNotIn(TOKEN, self.everything_it_says(pod))

    def test_without_rights_the_values_are_denied_and_nothing_is_cleared(self):
        consul, pod = self.start_with_secret(env={"CONSUL_HTTP_TOKEN": TOKEN})
        pod.start_ready()
        pod.wait_env(PASSWORD=SECRET)
        pod.kill()
        pod.env = {"CONSUL_HTTP_TOKEN": TOKEN.replace("5", "6")}
        pod.start_ready()
        eventually("denied", lambda: pod.status()["groups"][0]["last_error"]["reason"] == "denied")
        pod.wait_env(PASSWORD=SECRET)
        self.assertNotIn(pod.env["CONSUL_HTTP_TOKEN"], self.everything_it_says(pod))
        self.assertTrue(consul.pid)

    def test_the_tcp_listener_serves_health_and_metrics_and_no_values(self):
        consul = self.start_consul()
        consul.put(KEY, 100)
        port = int(self.closed_port().rpartition(":")[2])
        pod = self.sidecar(consul, *one_dial("--listen", f"127.0.0.1:{port}")).start_ready()
        pod.wait_env(MAX_CONCURRENT=100)

        def status(path):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode()
            connection.close()
            return answer.status, body

        for path in ("/livez", "/readyz", "/startupz", "/metrics"):
            self.assertEqual(status(path)[0], 200, path)
        for path in ("/v1/snapshot", "/v1/status", f"/v1/values/{NAME}", "/v1/watch", "/"):
            answer, body = status(path)
            self.assertEqual(answer, 404, path)
            self.assertIn("error", json.loads(body))
