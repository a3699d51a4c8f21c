# SPDX-License-Identifier: Apache-2.0
"""The policy of docs/troubleshooting.md is enough where Consul denies by default, and what less rights look like."""

import re
from pathlib import Path

from support.case import KEY, NAME, EndToEndTest, one_dial
from support.sidecar import env_text, envdial
from support.waiting import always, eventually

PAGE = Path(__file__).resolve().parents[2] / "docs/troubleshooting.md"
ROOT_TOKEN = "3c9f8d0e-5a51-4a5e-9a5f-2f3a7c1d0b42"
DENY = f'acl {{ enabled = true default_policy = "deny" tokens {{ initial_management = "{ROOT_TOKEN}" }} }}'
LEFT, RIGHT = "hunt/left", "hunt/right"


def policy_of_the_page():
    return re.search(r"```hcl\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]


class AclPolicy(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.consul = self.start_consul(config=DENY, token=ROOT_TOKEN)
        self.consul.put(KEY, 500)

    def token(self, rules, name="envdial"):
        self.consul.add_policy(name, rules)
        return self.consul.add_token(name)

    def pod(self, token, *arguments):
        return self.sidecar(self.consul, *arguments, env={"CONSUL_HTTP_TOKEN": token})

    def two_dials(self):
        self.consul.put(LEFT, 100)
        self.consul.put(RIGHT, 200)
        names = (("LEFT", "left"), ("RIGHT", "right"))
        dial = {"type": "int", "default": 1, "on_delete": "default"}
        return ("--dials", self.dials_file([{"env": env, "key": key, **dial} for env, key in names]))

    def wait_denied(self, pod):
        group = pod.status()["groups"][0]["group"]
        eventually("denied", lambda: pod.metrics()("consul_polls_total", group=group, result="denied") > 0)
        self.assertEqual(pod.status()["groups"][0]["last_error"]["reason"], "denied")
        page = envdial("status", "--run-dir", pod.run_dir).stdout
        self.assertIn(f'key_prefix "{group}" {{ policy = "read" }}', page)
        return page

    def test_the_policy_of_the_page_is_enough(self):
        token = self.token(policy_of_the_page())
        single = self.pod(token.secret, *one_dial()).start_ready()
        single.wait_env(MAX_CONCURRENT=500)
        self.consul.put(KEY, 600)
        single.wait_env(MAX_CONCURRENT=600)
        self.consul.delete(KEY)
        single.wait_log("(?i)delet")
        self.assertEqual(single.metrics()("consul_polls_total", group=KEY, result="denied"), 0)

    def test_it_is_enough_for_a_prefix_too(self):
        token = self.token(policy_of_the_page())
        pod = self.sidecar(self.consul, *self.two_dials(), env={"CONSUL_HTTP_TOKEN": token.secret}).start_ready()
        pod.wait_env(LEFT=100, RIGHT=200)
        self.consul.delete(LEFT)
        pod.wait_env(LEFT=1, RIGHT=200)

    def test_without_a_token_it_is_denied_and_the_default_is_served(self):
        pod = self.sidecar(self.consul, *one_dial("--default", 5)).start_ready()
        page = self.wait_denied(pod)
        print(page)
        pod.wait_env(MAX_CONCURRENT=5)
        self.assertIn("403", page)

    def test_a_prefix_that_may_not_be_read_is_no_deletion(self):
        """Consul hides it in silence: a 404 without content."""
        nothing = self.token('key_prefix "elsewhere/" { policy = "read" }', "nothing")
        pod = self.pod(nothing.secret, *self.two_dials()).start()
        eventually("asked", lambda: sum(pod.status()["groups"][0]["polls"].values()) > 0)
        always("the defaults", lambda: not pod.env_file.exists() or pod.env_text() == env_text(LEFT=1, RIGHT=1), 0.5)
        print(envdial("status", "--run-dir", pod.run_dir).stdout)

    def test_rights_that_are_taken_away_change_no_value(self):
        token = self.token(policy_of_the_page())
        one = self.sidecar(self.consul, *one_dial(), env={"CONSUL_HTTP_TOKEN": token.secret}, name="one").start_ready()
        two = self.sidecar(self.consul, *self.two_dials(), env={"CONSUL_HTTP_TOKEN": token.secret}, name="two").start_ready()
        one.wait_env(MAX_CONCURRENT=500)
        two.wait_env(LEFT=100, RIGHT=200)
        less = 'key_prefix "hunt/left" { policy = "read" }'
        self.consul.cli("acl", "policy", "update", "-name", "envdial", "-rules", less)
        self.wait_denied(one)
        self.wait_denied(two)
        always("the values stay", lambda: two.env_text() == env_text(LEFT=100, RIGHT=200), 1.0)
        self.assertEqual(one.env_text(), env_text(MAX_CONCURRENT=500))
        self.consul.remove_token(token)
        self.consul.put(KEY, 700)
        always("the values stay", lambda: two.env_text() == env_text(LEFT=100, RIGHT=200), 1.0)
        self.assertIsNotNone(one.dial(NAME))
