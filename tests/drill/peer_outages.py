# SPDX-License-Identifier: Apache-2.0
"""What comes over the subjects of `script/drill peers`: the same for all of them, at the same moment."""

import itertools
import socket
import time
from collections import Counter

from peer_subjects import DEFAULT, FOLDER, NAME, OTHER, OTHER_VALUE, SINGLE
from peer_verdict import NEWEST, OLD, Story
from support.gate import Gate
from support.processes import free_port

LOOK_EVERY = 0.02  # seconds
PATIENCE = 75.0  # seconds after the end of an outage: consul-template pauses for up to a minute
LONG_PATIENCE = 330.0  # for what only a keep-alive of TCP tells
START_SECONDS = 30.0
_CHANGES_BEFORE = 100

# In seconds: envdial's defaults, the longest wait of a poll, and where its back-off ends (docs/reliability.md).
SILENCE, WAIT, BACK_OFF, SERVER_BACK_OFF, STARTUP_WAIT = 4.0, 2.5 * 17 / 16, 1.0, 2.0, 3.0


class Outage:
    """One kind, once or several times in one host. A subject has a door of its own in front of Consul (a Gate)."""

    kinds = SINGLE
    bound = SILENCE + BACK_OFF  # within which envdial promises the newest value
    notice_bound = SILENCE  # within which it promises to say that something is wrong
    allowed = (OLD,)  # what envdial may show meanwhile
    tried = "connect"  # what `tries` counts
    may_show_nothing = 0.0  # for how many seconds of it
    patience = PATIENCE

    def __init__(self, name, seconds, times=1):
        self.name = name
        self.seconds = seconds
        self.times = times
        self.stories = {kind.kind: [] for kind in self.kinds}
        self._values = itertools.count(700)

    def prepare(self, where, host, consul, random):
        self.host = host
        self.consul = consul
        self.random = random
        self.base = f"peers/{self.name.replace(' ', '-').replace(',', '')}"
        self.subjects = []
        for kind in self.kinds:
            gate = Gate(consul.port, free_port(), host.hub)
            self.subjects.append(kind(where, self.base, gate, host.inside))

    def run(self):
        try:
            for subject in self.subjects:
                subject.gate.open()
            self.host.filter(*self._counting())
            self.put()
            self.start()
            for _ in range(self.times):
                self._rest()
                self._live_through()
        finally:
            for subject in self.subjects:
                subject.kill()
                subject.gate.shut()

    # What differs between the kinds.

    def start(self):
        for subject in self.subjects:
            subject.launch()
        self._must_show_newest()

    def begin(self):
        raise NotImplementedError

    def middle(self):
        """Consul gets a new value, which the subjects can't see yet."""
        self.put()

    def end(self):
        raise NotImplementedError

    # The steps.

    def put(self):
        self.old, self.value = getattr(self, "value", None), next(self._values)
        self.consul.put(f"{self.base}/{OTHER}", OTHER_VALUE)
        self.consul.put(f"{self.base}/{NAME}", self.value)

    def _rest(self):
        """Until all are well again, and so that each time begins at another moment of their polls."""
        for subject in self.subjects:
            if subject.ended:
                subject.launch()
        self._must_show_newest()
        self.pass_time(self.random.uniform(2.0, 4.5))

    def _must_show_newest(self):
        if not self.pass_time(START_SECONDS, lambda: all(map(self._is_back, self.subjects))):
            raise AssertionError(f"{self.name}: {[(each.kind, each.shown[-1:]) for each in self.subjects]}")

    def _live_through(self):
        for subject in self.subjects:
            subject.forget()
        asked = self.asked_before()
        began = time.monotonic()
        self.begin()
        self.pass_time(began + self.seconds / 2 - time.monotonic())
        self.middle()
        self.pass_time(began + self.seconds - time.monotonic())
        counts = self.asked() - asked
        self.end()
        healed = time.monotonic()
        self.pass_time(self.patience, lambda: all(each.ended or self._is_back(each) for each in self.subjects))
        for subject in self.subjects:
            self.stories[subject.kind].append(self._story(subject, began, healed, counts[subject]))

    def _story(self, subject, began, healed, tries):
        story = Story(tries=tries)
        marks = [(max(began, moment), self.name_of(text)) for moment, text in subject.shown if moment < healed]
        for (since, what), (until, _) in itertools.pairwise([*marks, (healed, None)]):
            story.served.append((what, until - since))
        story.then = [self.name_of(text) for moment, text in subject.shown if moment >= healed]
        if subject.warned:
            story.noticed = subject.warned - began
        if subject.ended:
            story.ended = subject.ended[0] - began, subject.ended[1]
        if self._is_back(subject):
            story.back = max(0.0, subject.shown[-1][0] - healed)
        return story

    def pass_time(self, seconds, enough=lambda: False):
        """Looks at all subjects for so long, or until it is enough; says whether it was."""
        until = time.monotonic() + seconds
        while True:
            for subject in self.subjects:
                subject.look()
            if enough():
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK_EVERY)

    def _is_back(self, subject):
        return bool(subject.shown) and self.name_of(subject.shown[-1][1]) == NEWEST

    def name_of(self, text):
        if text is None:
            return "no file"
        if not text.strip():
            return "empty file"
        lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        if NAME not in lines:
            return "no such name"
        known = {"": "blank", DEFAULT: "default", self.old: OLD, self.value: NEWEST}
        told = {f"'{value}'": name for value, name in known.items()}
        return told.get(lines[NAME], f"wrong: {text!r}")

    def _counting(self):
        """Rules that let pass, and count: the first packet of each connect."""
        return [f"OUTPUT -p tcp --syn --dport {subject.gate.port}" for subject in self.subjects]

    def asked_before(self):
        return self.asked()

    def asked(self):
        """By subject, how often it tried."""
        lines = self.host.run("iptables-save", "--counters").splitlines()
        counts = Counter()
        for subject in self.subjects:
            mine = [line for line in lines if "--tcp-flags" in line and f"--dport {subject.gate.port} " in f"{line} "]
            counts[subject] = sum(int(line[1:].split(":")[0]) for line in mine)
        return counts


class Refused(Outage):
    """What a Consul that was killed does: connections end, and new ones are refused."""

    def begin(self):
        for subject in self.subjects:
            subject.gate.shut()

    def end(self):
        for subject in self.subjects:
            subject.gate.open()


class Swallowed(Outage):
    """Packets vanish either way, and then no more: no connection is reset."""

    def begin(self):
        drop = ["INPUT -p tcp -j DROP", "OUTPUT -p tcp -j DROP"]
        self.host.filter(*self._counting(), *drop)

    def end(self):
        self.host.filter(*self._counting())

    def asked_before(self):
        """The rules are new from the beginning on, and so are their counts."""
        return Counter()


class HalfOpen(Swallowed):
    """The open connections are lost in silence, for good; new ones work. The value is put after a while."""

    patience = LONG_PATIENCE

    def begin(self):
        cut = []
        for subject in self.subjects:
            for port in self.host.connections(subject.gate.port):
                cut += [f"INPUT -p tcp --dport {port} -j DROP", f"OUTPUT -p tcp --sport {port} -j DROP"]
        self.host.filter(*self._counting(), *cut)

    def middle(self):
        pass

    def end(self):
        self.put()


class StartWithout(Refused):
    """A start while Consul is away, as after a reboot: with what they keep on disk."""

    may_show_nothing = 1.0

    def _rest(self):
        super()._rest()
        for subject in self.subjects:
            subject.kill()
            subject.lose_what_is_rendered()

    def begin(self):
        super().begin()
        for subject in self.subjects:
            subject.launch()


class FirstStartWithout(StartWithout):
    """A start while Consul is away, with nothing on disk."""

    allowed = ("default",)
    may_show_nothing = STARTUP_WAIT + 1.0

    def start(self):
        pass

    def _rest(self):
        pass


class Deleted(Outage):
    """The key is deleted, and put again at the end."""

    kinds = (*SINGLE, *FOLDER)
    tried = "request"
    notice_bound = WAIT

    def begin(self):
        self.consul.delete(f"{self.base}/{NAME}")

    def middle(self):
        pass

    def end(self):
        self.put()

    def asked(self):
        return Counter({subject: subject.gate.requests for subject in self.subjects})


class DataLost(Deleted):
    """Consul is killed and comes back empty; the values are put again at the end. It is this outage's own Consul."""

    bound = SILENCE + WAIT + SERVER_BACK_OFF
    notice_bound = SILENCE

    def start(self):
        """On a Consul that has lived: the one that comes back counts its changes anew and is far behind."""
        for number in range(_CHANGES_BEFORE):
            self.consul.put("elsewhere", number)
        self.put()
        super().start()

    def begin(self):
        self.consul.kill()
        for subject in self.subjects:
            subject.gate.shut()
        self.consul.launch()
        self.pass_time(START_SECONDS, self._listens)
        for subject in self.subjects:
            subject.gate.open()

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.consul.port)) == 0

    def end(self):
        self.consul.wait_for_writes()
        super().end()
