# SPDX-License-Identifier: Apache-2.0
"""envdial delivers the same from a modern Consul, from an old one and from our made-up one."""

import json

from support.case import EndToEndTest
from support.contract import MODERN, OLD, RealSubject, ScriptedSubject, keep_connection, together
from support.real_consul import find_old_binary
from support.sidecar import env_text
from support.waiting import always, eventually

ROOT_TOKEN = "3c9f8d0e-5a51-4a5e-9a5f-2f3a7c1d0b42"
DEFAULTS = {"LIMIT": 1, "WORD": "none", "DEEP": "none"}
KEYS = {"LIMIT": "hunt/limit", "WORD": "hunt/word", "DEEP": "hunt/a b/ü+%"}
DIALS = [
    {"env": env, "key": key.removeprefix("hunt/"), "default": DEFAULTS[env], "on_delete": "default"}
    | ({"type": "int"} if env == "LIMIT" else {"type": "string", "allow_empty": True})
    for env, key in KEYS.items()
]
SINGLE = ("--key", KEYS["LIMIT"], "--env", "LIMIT", "--default", 1, "--on-delete", "default", "--type", "int")


class MainStory(EndToEndTest):
    def start_pods(self, subject, env=None):
        """One that reads a prefix, and one that reads a single key of it."""
        at = f"{subject.at[0]}:{subject.at[1]}"
        dials = self.dials_file(DIALS, name=f"{subject.kind}.json")
        pods = (
            self.sidecar(at, "--dials", dials, name=f"{subject.kind}-prefix", env=env).start(),
            self.sidecar(at, *SINGLE, name=f"{subject.kind}-single", env=env).start(),
        )
        return Pods(pods, subject)

    def start_subjects(self):
        modern = self.launch_consul(keep_data=True)
        old = self.launch_consul(keep_data=True, binary=find_old_binary())
        scripted = ScriptedSubject()
        self.addCleanup(scripted.door.close)
        real = [RealSubject(kind, each.wait_for_writes()) for kind, each in ((MODERN, modern), (OLD, old))]
        return [*real, scripted]

    def test_the_same_from_all_three(self):
        subjects = self.start_subjects()
        for subject in subjects:
            subject.put(KEYS["LIMIT"], "500")
            subject.put(KEYS["DEEP"], "über 'alles'".replace("'", '"'))
            subject.put("hunt/", "")
            subject.put("hunt/undeclared", "1")
        every = [self.start_pods(subject) for subject in subjects]
        together(*[pods.live_through_it for pods in every])

    def test_an_outage(self):
        every = []
        for subject in self.start_subjects()[:2]:
            subject.put(KEYS["LIMIT"], "500")
            every.append(self.start_pods(subject))
        for pods in every:
            pods.see(LIMIT=500)
            pods.subject.consul.kill()
            pods.wait_failure("refused")
            pods.see(LIMIT=500)
            pods.subject.consul.launch()
        for pods in every:
            pods.subject.consul.wait_for_writes()
            pods.subject.put(KEYS["LIMIT"], "600")
            pods.see(LIMIT=600)

    def test_rights_that_are_taken_away_change_no_value(self):
        """An old one does not say that it hides something."""
        consuls = []
        for kind, binary in ((MODERN, None), (OLD, find_old_binary())):
            name = "master" if RealSubject.is_old(binary) else "initial_management"
            config = f'acl {{ enabled = true default_policy = "deny" tokens {{ {name} = "{ROOT_TOKEN}" }} }}'
            consuls.append((kind, self.launch_consul(config=config, token=ROOT_TOKEN, binary=binary)))
        for kind, consul in consuls:
            subject = RealSubject(kind, consul.wait_for_writes())
            subject.put(KEYS["LIMIT"], "500")
            subject.put(KEYS["WORD"], "go")
            policy = json.loads(subject.must("PUT", "/v1/acl/policy", rules("pod", "hunt/")))
            made = subject.must("PUT", "/v1/acl/token", json.dumps({"Policies": [{"Name": "pod"}]}).encode())
            pods = self.start_pods(subject, {"CONSUL_HTTP_TOKEN": json.loads(made)["SecretID"]})
            pods.see(LIMIT=500, WORD="go")
            subject.must("PUT", f"/v1/acl/policy/{policy['ID']}", rules("pod", "hunt/word"))
            pods.wait_failure("denied")
            subject.must("PUT", f"/v1/acl/policy/{policy['ID']}", rules("pod", "elsewhere"))
            always("the values stay", lambda at=pods: at.shown() == at.expected(LIMIT=500, WORD="go"), during=1.0)

    def test_what_is_of_consul_enterprise(self):
        for subject in self.start_subjects()[:2]:
            subject.put(KEYS["LIMIT"], "500")
            pods = self.start_pods(subject, {"CONSUL_NAMESPACE": "team"})
            pods.wait_failure("malformed", "Namespaces are a Consul Enterprise feature")
            partition = {"CONSUL_PARTITION": "team"}
            other = self.sidecar(subject.consul, *SINGLE, name=f"{subject.kind}-partition", env=partition).start()
            if subject.like_old:
                other.wait_env(LIMIT=500)  # it does not even say that it knows no partitions
            else:
                Pods((other,), subject).wait_failure("malformed", "Partitions are a Consul Enterprise feature")

    def test_a_connection_too_many(self):
        for kind, binary in ((MODERN, None), (OLD, find_old_binary())):
            consul = self.start_consul(config="limits { http_max_conns_per_client = 1 }", binary=binary)
            subject = RealSubject(kind, consul)
            kept = keep_connection(subject.at)
            self.addCleanup(kept.close)
            pod = self.sidecar(consul, *SINGLE, name=kind).start()
            Pods((pod,), subject).wait_failure("refused" if subject.like_old else "throttled")
            kept.close()
            pod.wait_env(LIMIT=1)
            eventually("it is heard again", lambda at=pod: at.status()["groups"][0]["connected"])


def rules(name, prefix):
    return json.dumps({"Name": name, "Rules": f'key_prefix "{prefix}" {{ policy = "read" }}'}).encode()


class Pods:
    def __init__(self, pods, subject):
        self.both = pods
        self.prefix = pods[0]
        self.subject = subject

    def expected(self, **values):
        all_values = DEFAULTS | values
        return env_text(**all_values), env_text(LIMIT=all_values["LIMIT"])

    def shown(self):
        return tuple(pod.env_text() for pod in self.both if pod.alive())

    def see(self, **values):
        expected = self.expected(**values)
        eventually(f"{self.subject.kind}: {expected}", lambda: self.shown() == expected, within=20)

    def wait_failure(self, reason, words=""):
        """Every pod fails by that reason, and says so."""
        for pod in self.both:
            eventually(f"{reason}: {words}", lambda at=pod: self._last_error(at, reason, words))

    @staticmethod
    def _last_error(pod, reason, words):
        if not pod.alive():
            return None
        error = pod.status()["groups"][0]["last_error"]
        return error is not None and error["reason"] == reason and words in error["message"]

    def live_through_it(self):
        for tell in STORY:
            tell(self)
        self._check_quiet_end()

    def _check_quiet_end(self):
        for pod in self.both:
            group = pod.status()["groups"][0]
            failed = {how: count for how, count in group["polls"].items() if how not in ("changed", "unchanged")}
            if any(failed.values()):
                raise AssertionError(f"{self.subject.kind}: {failed}\n{pod.log()[-3000:]}")


DEEP = 'über "alles"'


def the_start(pods):
    pods.see(LIMIT=500, DEEP=DEEP)


def a_change(pods):
    pods.subject.put(KEYS["LIMIT"], "600")
    pods.see(LIMIT=600, DEEP=DEEP)


def a_new_key_and_an_empty_value(pods):
    pods.subject.put(KEYS["WORD"], "go")
    pods.see(LIMIT=600, WORD="go", DEEP=DEEP)
    pods.subject.put(KEYS["WORD"], "")
    pods.see(LIMIT=600, WORD="", DEEP=DEEP)


def writes_elsewhere_are_no_news(pods):
    versions = [pod.snapshot()["version"] for pod in pods.both]
    for number in range(20):
        pods.subject.put("elsewhere", str(number))
    pods.subject.put("hunt/undeclared", "2")
    pods.subject.put(KEYS["LIMIT"], "600")
    eventually("it was seen", lambda: pods.prefix.status()["groups"][0]["undeclared"]["keys"] == ["hunt/undeclared"])
    if [pod.snapshot()["version"] for pod in pods.both] != versions:
        raise AssertionError(f"{pods.subject.kind}: a version for no news")


def a_deletion_and_a_return(pods):
    pods.subject.delete(KEYS["LIMIT"])
    pods.see(WORD="", DEEP=DEEP)
    pods.subject.put(KEYS["LIMIT"], "700")
    pods.see(LIMIT=700, WORD="", DEEP=DEEP)


def a_restore(pods):
    snapshot = pods.subject.save()
    pods.subject.put(KEYS["LIMIT"], "800")
    pods.see(LIMIT=800, WORD="", DEEP=DEEP)
    pods.subject.restore(snapshot)
    pods.see(LIMIT=700, WORD="", DEEP=DEEP)


def all_of_it_deleted_is_held(pods):
    pods.subject.delete_tree("hunt/")
    eventually("it is held", lambda: pods.prefix.metrics()("mass_deletions_held_total", group="hunt/") == 1)
    expected = pods.expected(LIMIT=700, WORD="", DEEP=DEEP)
    if pods.prefix.env_text() != expected[0]:
        raise AssertionError(f"{pods.subject.kind}: {pods.prefix.env_text()}")


def one_of_it_returns(pods):
    pods.subject.put(KEYS["LIMIT"], "900")
    pods.see(LIMIT=900)


STORY = (
    the_start, a_change, a_new_key_and_an_empty_value, writes_elsewhere_are_no_news, a_deletion_and_a_return, a_restore,
    all_of_it_deleted_is_held, one_of_it_returns,
)  # fmt: skip
