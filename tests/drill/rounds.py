# SPDX-License-Identifier: Apache-2.0
"""One round of `script/drill servers`: faults begin, are noticed, end, and each pod must come to the newest value."""

import time
from collections import Counter, defaultdict

from pods import Pod, Recorder
from support.cluster import Cluster
from support.network import Network
from support.waiting import eventually
from writer import Writer

LATE = 30.0  # seconds after which a value that has not come counts as lost
LOOK_EVERY = 0.1  # seconds; so exactly is known when a fault was noticed
PACES = (0.05, 0.2, 0.5)  # seconds between two puts while a fault lasts
START_SECONDS = 30.0
HITS = 10  # of one fault count, at most: there may be more pods


class Meeting:
    """A fault and the pods that it may hit; at the end, what became of it for each."""

    def __init__(self, fault, pods):
        self.fault = fault
        self.pods = pods
        self.value = 0  # that each pod must come to show
        self.exact = False  # whether that one, and not a newer one
        self.ended = 0.0  # when nothing kept the pods from that value any more
        self.noticed = {}  # by pod: after how many seconds
        self._began = 0.0
        self._until = 0.0

    def begin(self, random):
        self._began = time.monotonic()
        self.fault.begin()
        self._until = time.monotonic() + random.uniform(*self.fault.hold)

    def look(self):
        for pod in self.pods:
            if pod.name not in self.noticed and self._is_hit(pod):
                self.noticed[pod.name] = time.monotonic() - self._began

    def _is_hit(self, pod):
        try:
            return self.fault.is_hit(pod)
        except (OSError, ValueError, KeyError):
            return False  # it does not answer just now

    def is_over(self):
        now = time.monotonic()
        all_noticed = len(self.noticed) == len(self.pods)
        return now >= self._until and (all_noticed or now > self._began + self.fault.patience)


class Drill:
    def __init__(self, where, random, pods):
        self.random = random
        self.injected = Counter()  # by fault
        self.noticed = defaultdict(list)  # by fault: seconds, of each pod that it hit
        self.converged = defaultdict(list)  # the same, from the end to the newest value on the last channel
        self.violations = Counter()  # by fault and kind
        self.unnoticed = Counter()  # by fault: pods that should have noticed it in its time
        net = Network()
        self.cluster = Cluster(net, where / "cluster")
        self.cluster.start()
        self.pods = [Pod(number, where, net, self.cluster) for number in range(1, pods + 1)]
        self.recorder = Recorder(where / "history.jsonl")
        self.recorder.start()
        self.writer = Writer(self.cluster, [pod.name for pod in self.pods], self.recorder.note)
        self.writer.put()
        for pod in self.pods:
            pod.start()
            self.recorder.add(pod)
        for pod in self.pods:
            pod.sidecar.wait_published(START_SECONDS)
        self.wait_shown(self.writer.put())

    @property
    def hits(self):
        return sum(map(len, self.converged.values()))

    def wait_shown(self, value):
        """Nothing is broken: each channel of each pod comes to show it."""
        for pod in self.pods:
            eventually(
                f"{pod.name} shows {value} ({pod.where})",
                lambda pod=pod: self.recorder.shown(pod, value, 0.0), LATE, every=0.01,
            )  # fmt: skip

    def pods_round(self, kinds):
        """For each pod a fault of its own, the next one in `kinds` that fits it; those are taken away there."""
        meetings = []
        for pod in self.pods:
            kind = next((kind for kind in kinds if kind.fits(pod)), None)
            if kind is not None:
                kinds.remove(kind)
                meetings.append(Meeting(kind(pod, self), [pod]))
        self._live_through(meetings)
        value = self.writer.put()
        for meeting in meetings:
            self._note_healed(meeting)
            meeting.fault.end()
            meeting.value, meeting.ended = value, time.monotonic()
        self._judge(meetings)

    def cluster_round(self, kind):
        """One fault for all."""
        meeting = Meeting(kind(self), self.pods)
        self._live_through([meeting])
        self._note_healed(meeting)
        meeting.value, meeting.ended = meeting.fault.end()
        meeting.exact = meeting.fault.exact
        self._judge([meeting])

    def _live_through(self, meetings):
        self.writer.go_on(self.random.choice(PACES))
        for meeting in meetings:
            meeting.begin(self.random)
        while not all(meeting.is_over() for meeting in meetings):
            time.sleep(LOOK_EVERY)
            for meeting in meetings:
                meeting.look()
        self.writer.go_on(None)

    def _note_healed(self, meeting):
        for pod in meeting.pods:
            self.recorder.note({"what": "healed", "pod": pod.name})

    def _judge(self, meetings):
        left = [(meeting, pod) for meeting in meetings for pod in meeting.pods]
        until = time.monotonic() + LATE
        while left and time.monotonic() < until:
            left = [each for each in left if not self._has_converged(*each)]
            time.sleep(0.01)
        for meeting in meetings:
            self.injected[meeting.fault.name] += 1
            if meeting.fault.noticed_within is not None:
                self.unnoticed[meeting.fault.name] += len(meeting.pods) - len(meeting.noticed)
            for pod in meeting.pods:
                due = {"what": "due", "pod": pod.name, "value": meeting.value, "exact": meeting.exact}
                self.recorder.note(due)
            meeting.fault.clean()
        for violation in self.recorder.judge():
            name = next((meeting.fault.name for meeting in meetings if self._is_of(violation, meeting)), "no fault")
            self.violations[name, violation.kind] += 1
            print(f"{name}: {violation.kind}: {violation.message}: {violation.event}", flush=True)

    @staticmethod
    def _is_of(violation, meeting):
        return violation.event.get("pod") in {pod.name for pod in meeting.pods}

    def _has_converged(self, meeting, pod):
        times = self.recorder.shown(pod, meeting.value, meeting.ended, meeting.exact)
        if times is None:
            return False
        if pod.name in list(meeting.noticed)[:HITS]:
            self.noticed[meeting.fault.name].append(meeting.noticed[pod.name])
            self.converged[meeting.fault.name].append(max(times) - meeting.ended)
        return True
