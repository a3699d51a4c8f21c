# SPDX-License-Identifier: Apache-2.0
"""A sidecar behind a Consul that lies, and what must hold through each of its faults."""

import json
import re
import time

from support.lying_consul import LyingConsul
from support.observing import EnvFileObserver
from support.sidecar import Sidecar, env_text, envdial
from support.waiting import always, eventually

TIMEOUT, CONNECT_TIMEOUT = 1.5, 0.5  # seconds, unless told otherwise
TOKEN = "a-token-that-must-not-show"
DEFAULT = 7  # what a deletion that was believed would bring into force
SLACK = 3.0  # seconds that a loaded machine may take beyond the promise

# Rule 8 of the plan: where the back-off ends, in seconds.
_MAX_BACKOFF = {
    "refused": 1.0, "timeout": 1.0, "dns": 1.0, "tls": 1.0, "server": 2.0,
    "denied": 5.0, "throttled": 5.0, "malformed": 5.0,
}  # fmt: skip
_MAX_TOKEN_DEBT = 3.0  # rule 4, for a poll that had to be confirmed, was not, and is made again
_RESETS = ("backwards", "zero")
_DENIALS = ("consul_answers_refuted_total", "mass_deletions_held_total")
_BURST, _TOKENS_PER_SECOND = 5, 1.0


def _dial(name, key):
    return {"env": name, "key": key, "type": "int", "default": DEFAULT, "on_delete": "default"}


class Pod:
    """A sidecar with two dials under a prefix, A and B, and one with a key of its own, S. All have the same value.

    `source` is a RealKv or a ScriptedKv, `base` the name of the pod's keys in it.
    """

    def __init__(self, where, source, base, timeouts=(TIMEOUT, CONNECT_TIMEOUT)):
        self.groups = (f"{base}/", f"{base}-alone")
        self.consul = LyingConsul(source)
        self.timeouts = timeouts
        self._source = source
        self._base = base
        where.mkdir(parents=True)
        files = {"prefix.json": {"prefix": self.groups[0], "dials": [_dial("A", "a"), _dial("B", "b")]},
                 "single.json": {"dials": [_dial("S", self.groups[1])]}}  # fmt: skip
        arguments = []
        for name, dials in files.items():
            (where / name).write_text(json.dumps(dials))
            arguments += ["--dials", where / name]
        arguments += ["--timeout", f"{timeouts[0] * 1e3:.0f}ms", "--connect-timeout", f"{timeouts[1] * 1e3:.0f}ms"]
        self.sidecar = Sidecar(
            where / "pod", "--consul-addr", self.consul.address, *arguments, env={"CONSUL_HTTP_TOKEN": TOKEN}
        )

    def start(self, *values):
        """Starts both with the first value, and puts the others one after the other."""
        self.put(values[0])
        self.consul.open()
        self.sidecar.start_ready()
        for value in values:
            self.put(value)
            self.wait(value)

    def end(self):
        self.sidecar.kill()
        self.consul.close()

    def put(self, value):
        self._source.put(self.groups[0] + "a", self.groups[0] + "b", value=value)
        self._source.put(self.groups[1], value=value)

    def wait(self, value, within=10.0):
        text = env_text(A=value, B=value, S=value)
        eventually(f"the env file says {text!r}", lambda: self.sidecar.env_text() == text, within, every=0.01)

    def polls(self, result):
        metrics = self.sidecar.metrics()
        return {group: metrics("consul_polls_total", group=group, result=result) for group in self.groups}

    def requests(self):
        """How many requests each group has cost so far, where the server could count them."""
        return {
            group: sum(count for key, count in self.consul.counts.items() if key.startswith(group))
            for group in self.groups
        }

    def begin(self, fault):
        """Lets a fault begin, and waits until each group has met it."""
        before = self.polls(fault.reason) if fault.reason else dict(self.consul.lies)
        self.consul.begin(fault)
        timeout, connect_timeout = self.timeouts
        within = 2 * (timeout + connect_timeout + self.longest_pause(fault)) + SLACK

        def met():
            now = self.polls(fault.reason) if fault.reason else dict(self.consul.lies)
            return self.sidecar.alive() and all(now.get(group, 0) > before.get(group, 0) for group in self.groups)

        eventually(f"{fault.name} is met", met, within, every=0.02)

    def at_rest(self):
        """Whether each group waits in its long poll, and nothing else is asked."""
        return all(self.consul.held[group] == 1 for group in self.groups)

    def heal(self, fault, value):
        """Ends it; the value, put meanwhile or now, must arrive as promise 2 says. Returns the seconds that took."""
        began = time.monotonic()
        self.consul.heal()
        self.put(value)
        timeout, connect_timeout = self.timeouts
        self.wait(value, timeout + connect_timeout + self.longest_pause(fault) + SLACK)
        return time.monotonic() - began

    def live_through(self, fault, value):
        """A short fault, in which the value is put."""
        self.begin(fault)
        self.put(value)
        self.heal(fault, value)

    @staticmethod
    def longest_pause(fault):
        return _MAX_BACKOFF[fault.reason] if fault.reason else _MAX_TOKEN_DEBT


def most_requests(fault, seconds):
    """How many requests the rules allow a group on the average, twice over."""
    if fault.reason is None:
        return 2 * (_BURST + _TOKENS_PER_SECOND * seconds)
    polls, ceiling, left = 0, 0.1, seconds
    while left > 0:
        polls += 1
        left -= ceiling / 2
        ceiling = min(2 * ceiling, _MAX_BACKOFF[fault.reason])
    # What was shown to be kept may turn out closed, and is asked for once more.
    return 2 * (2 * polls)


class Trial:
    """One fault in the life of a pod: its value was the first, is the second, and becomes the third during the fault.

    Where that one arrives during the fault, the fourth is put after it.
    """

    def __init__(self, pod, fault, values, window):
        self.pod = pod
        self.fault = fault
        self.values = values
        self.second, self.third, self.fourth = values[1:]
        self.window = window
        self.page = ""  # what `envdial status` printed during the fault
        self.requests = {}  # of each group in that window
        self.took = 0.0  # from the heal to the newest value
        self._log = ""

    def run(self):
        pod, sidecar = self.pod, self.pod.sidecar
        version = sidecar.snapshot()["version"]
        observer = EnvFileObserver(sidecar.env_file, every=0.005)
        try:
            pod.begin(self.fault)
            self._watch_the_fault()
            self.took = pod.heal(self.fault, self.third if self.fault.reason else self.fourth)
            self._check_the_end(version)
        finally:
            shown = observer.finish()
        for values in check_growing(shown):
            _must(set(values) <= set(self.values[1:]), f"a value that nobody put, or an older one: {values}")
        self._check_the_log()

    def _watch_the_fault(self):
        """During `window` seconds: alive, no storm, the value held; then what metrics, status and log say of it."""
        pod, fault = self.pod, self.fault
        before, polls = pod.requests(), self._polls()
        pod.put(self.third)
        held = {env_text(A=self.second, B=self.second, S=self.second)}
        if fault.reason is None:
            held |= {env_text(A=ab, B=ab, S=s) for ab in (self.second, self.third) for s in (self.second, self.third)}
        since = time.monotonic()
        always(
            f"alive and holding {self.second} through {fault.name}",
            lambda: pod.sidecar.alive() and pod.sidecar.env_text() in held,
            self.window,
        )
        after, polls_after, seconds = pod.requests(), self._polls(), time.monotonic() - since
        self.requests = {group: after[group] - before[group] for group in pod.groups}
        most = most_requests(fault, seconds)
        for group in pod.groups:
            asked = max(self.requests[group], polls_after[group] - polls[group])
            if asked > most:
                raise AssertionError(f"{group}: {asked} requests in {seconds:.1f} s, at most {most} were expected")
        if pod.consul.visitors_elsewhere():
            raise AssertionError("a redirect was followed")
        self._check_status()

    def _polls(self):
        return self.pod.polls(self.fault.reason) if self.fault.reason else dict.fromkeys(self.pod.groups, 0)

    def _check_status(self):
        fault, status = self.fault, self.pod.sidecar.status()
        done = envdial("status", "--run-dir", self.pod.sidecar.run_dir)
        self.page = done.stdout
        _must(done.returncode == 0, f"exit code {done.returncode}: nothing is stale yet")
        for group in status["groups"]:
            error = group["last_error"]
            if fault.reason:
                _must(error["reason"] == fault.reason, f"status gives another reason: {error}")
                _must(not group["connected"], "status says it is connected")
                _must(re.search(fault.shows, error["message"]), f"status shows no {fault.shows!r}: {error}")
            else:
                _must(error is None, f"status shows an error: {error}")
        for group in self.pod.groups:
            # From the group's line to the next one that does not belong to it.
            block = re.search(rf"^consul  {re.escape(group)} at .*\n((?: {{8}}.*\n)*)", self.page, re.MULTILINE)
            _must(block and re.search(fault.shows, block[0]), f"the page shows no {fault.shows!r}")
            if fault.reason:
                for words in (rf"FAILING for \S+ \({fault.reason}\), since \d", "look at: ", "served meanwhile"):
                    _must(re.search(words, block[0]), f"the page lacks {words!r}")
        _must(re.search(rf"^  S +{self.second}|^  S +{self.third}", self.page, re.MULTILINE), "no value on the page")

    def _check_the_end(self, version):
        sidecar, fault = self.pod.sidecar, self.fault
        newest = sidecar.snapshot()["version"]
        changes = 2 if fault.reason else 4  # of the two groups
        _must(newest <= version + changes, f"version went from {version} to {newest} with {changes} changes")
        metrics = sidecar.metrics()
        for group in self.pod.groups:
            eventually("connected", lambda: sidecar.metrics()("source_connected", group=group), every=0.02)
            if fault.odd:
                counts = [metrics("consul_index_resets_total", group=group, reason=reason) for reason in _RESETS]
                counts += [metrics(name, group=group) for name in _DENIALS]
                _must(sum(counts) > 0, "nothing odd was counted")
            _must(metrics("consul_index_resets_total", group=group, reason="restored") == 0, "an older value was taken")
            for reason in _MAX_BACKOFF:
                if reason != fault.reason:
                    _must(metrics("consul_polls_total", group=group, result=reason) == 0, f"{reason} was counted too")
        self._log = sidecar.log()

    def _check_the_log(self):
        for group in self.pod.groups:
            troubles = re.findall(rf"{re.escape(group)}: no answer that can be used \((\w+)\)", self._log)
            heals = re.findall(rf"{re.escape(group)}: Consul answers again", self._log)
            told = [self.fault.reason] if self.fault.reason else []
            _must(troubles == told, f"{group}: the log tells {troubles} instead of {told} once")
            _must(len(heals) == len(told), f"{group}: the log tells of {len(heals)} heals")
            odd = re.findall(rf"{re.escape(group)}: (?:.* answers are odd|all values of .* are gone)", self._log)
            _must(not self.fault.odd or len(odd) == 1, f"{group}: the log tells {len(odd)} times that it is odd")
        for text, where in ((self._log, "log"), (self.page, "status")):
            _must(TOKEN not in text, f"the token is in the {where}")
        _must(self.pod.consul.tokens <= {TOKEN}, "another token was sent")


def check_growing(texts):
    """What env files of a pod said: never blank or torn, A and B never apart, nothing older after something newer."""
    shown = [(0, 0)]
    for text in texts:
        match = re.fullmatch(r"A='(\d+)'\nB='\1'\nS='(\d+)'\n", text)
        _must(match, f"not a whole env file: {text!r}")
        values = (int(match[1]), int(match[2]))
        _must(all(now >= then for now, then in zip(values, shown[-1])), f"{values} after {shown[-1]}")
        shown.append(values)
    return shown[1:]


def _must(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)
