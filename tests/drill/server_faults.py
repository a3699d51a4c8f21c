# SPDX-License-Identifier: Apache-2.0
"""What happens to the servers of `script/drill servers`, and so to all its pods."""

import signal
import ssl

from pod_faults import BOUND, OTHER_BACK_OFF, SERVER_BACK_OFF, SILENCE, WAIT
from support.waiting import eventually

FENCE = "fence"


class ClusterFault:
    """As a PodFault, but of all pods. `drill` has the cluster, the pods, the writer and the recorder."""

    name = ""
    bound = SILENCE + SERVER_BACK_OFF
    quick = False
    is_noticed = True
    noticed_within = None
    hold = (0.0, 1.5)
    patience = BOUND
    exact = False  # whether the value to come is older than others that were shown

    def __init__(self, drill):
        self.drill = drill
        self.cluster = drill.cluster
        self.random = drill.random
        self._before = {}

    def begin(self):
        self._before = {pod.name: pod.failures() for pod in self.drill.pods}
        self.break_it()

    def is_hit(self, pod):
        return pod.failures() > self._before[pod.name]

    def break_it(self):
        raise NotImplementedError

    def end(self):
        """Returns the value that the pods must come to show, and since when each server has it."""
        self.mend()
        return self.newest()

    def mend(self):
        raise NotImplementedError

    def clean(self):
        """Once all pods show the newest value."""

    def newest(self):
        value = self.drill.writer.put()
        return value, self.cluster.wait_value(FENCE, str(value))

    def follower(self):
        """The one that more pods are at."""
        leader = self.cluster.leader()
        at = [pod.server() for pod in self.drill.pods]
        followers = [server for server in self.cluster.servers if server is not leader]
        return max(followers, key=lambda server: (at.count(server.address), self.random.random()))


class LeaderKilled(ClusterFault):
    name = "leader killed"

    def victims(self):
        return [self.cluster.leader()]

    def break_it(self):
        self._victims = self.victims()
        for server in self._victims:
            server.kill()

    def mend(self):
        for server in self._victims:
            server.start()


class FollowerKilled(LeaderKilled):
    name = "follower killed"

    def victims(self):
        return [self.follower()]


class LeaderVanished(LeaderKilled):
    """Its machine has lost its power: nobody is told."""

    name = "leader's host gone"

    def break_it(self):
        self._victims = self.victims()
        for server in self._victims:
            server.host.filter("INPUT -j DROP", "OUTPUT -j DROP")
            server.kill()

    def mend(self):
        for server in self._victims:
            server.host.filter()
            server.start()


class AllKilled(LeaderKilled):
    name = "all servers killed"

    def victims(self):
        return self.cluster.servers


class LeaderStopped(LeaderKilled):
    name = "leader stopped"
    hold = (0.0, 2.0)

    def break_it(self):
        self._victims = self.victims()
        for server in self._victims:
            server.signal(signal.SIGSTOP)

    def mend(self):
        for server in self._victims:
            server.signal(signal.SIGCONT)


class FollowerStopped(LeaderStopped):
    name = "follower stopped"

    def victims(self):
        return [self.follower()]


class Rolled(ClusterFault):
    """One after the other, as an upgrade does it: the next one when the one before is there again."""

    name = "servers rolled"
    is_noticed = False

    def break_it(self):
        for server in self.cluster.servers:
            server.stop()
            server.start()
            self.cluster.wait_up()

    def mend(self):
        pass


class LeaderCutOff(ClusterFault):
    name = "leader cut off from the others"

    def parts(self):
        """Servers that hear only each other."""
        leader = self.cluster.leader()
        return [[leader], [server for server in self.cluster.servers if server is not leader]]

    def break_it(self):
        parts = self.parts()
        for part in parts:
            strangers = [server for other in parts if other is not part for server in other]
            for server in part:
                server.host.filter(*(rule for other in strangers for rule in _cut(other)))

    def mend(self):
        for server in self.cluster.servers:
            server.host.filter()
        self.cluster.wait_up()


def _cut(server):
    return f"INPUT -s {server.host.address} -j DROP", f"OUTPUT -d {server.host.address} -j DROP"


class FollowerCutOff(LeaderCutOff):
    name = "follower cut off from the others"

    def parts(self):
        follower = self.follower()
        return [[follower], [server for server in self.cluster.servers if server is not follower]]


class NoQuorum(LeaderCutOff):
    name = "no server hears another"

    def parts(self):
        return [[server] for server in self.cluster.servers]


class SplitInTwo(LeaderCutOff):
    """With half of the pods on either side."""

    name = "network split, pods on both sides"

    def break_it(self):
        super().break_it()
        single = self.cluster.servers[0]
        others = self.cluster.servers[1:]
        for number, pod in enumerate(self.drill.pods):
            far = others if number % 2 else [single]
            pod.host.filter(*(rule for server in far for rule in _cut(server)))

    def parts(self):
        return [self.cluster.servers[:1], self.cluster.servers[1:]]

    def mend(self):
        for pod in self.drill.pods:
            pod.host.filter()
        super().mend()


class LeaderDeaf(ClusterFault):
    """The leader's packets arrive, the others' to it don't."""

    name = "leader deaf, one way"

    def break_it(self):
        leader = self.cluster.leader()
        others = [server for server in self.cluster.servers if server is not leader]
        self._host = leader.host
        self._host.filter(*(f"INPUT -s {server.host.address} -j DROP" for server in others))

    def mend(self):
        self._host.filter()
        self.cluster.wait_up()


class Restored(ClusterFault):
    name = "snapshot restored"
    is_noticed = False
    bound = SILENCE + SERVER_BACK_OFF + WAIT
    patience = 0.0
    hold = (0.5, 1.0)
    exact = True

    def break_it(self):
        self.drill.writer.go_on(None)
        self._value = self.drill.writer.put()
        self._snapshot = self.cluster.save()
        self.drill.writer.go_on(0.2)

    def is_hit(self, pod):
        """A restore changes what each pod is told."""
        return True

    def end(self):
        newer = self.drill.writer.put()
        self.drill.wait_shown(newer)
        self.drill.recorder.note({"what": "restored", "value": self._value})
        self.cluster.restore(self._snapshot)
        self.drill.writer.forget()
        return self._value, self.cluster.wait_value(FENCE, str(self._value))


class DataLost(ClusterFault):
    name = "all data lost"
    bound = SILENCE + OTHER_BACK_OFF + WAIT

    def break_it(self):
        self.cluster.kill()

    def mend(self):
        for server in self.cluster.servers:
            server.wipe()
        self.cluster.start()
        self.drill.writer.forget()


class ServersExpired(ClusterFault):
    """New connections are shown a certificate that nobody should believe."""

    name = "servers' certificates expired"

    def shown(self, server):
        return server.expired_certificate

    def break_it(self):
        for server in self.cluster.servers:
            server.show(self.shown(server))
        for server in self.cluster.servers:
            eventually("the new certificate is shown", lambda server=server: not _is_believed(server), 10)
        for pod in self.drill.pods:
            pod.cut_connections()

    def mend(self):
        for server in self.cluster.servers:
            server.show(server.certificate)
        for pod in self.drill.pods:
            pod.host.filter()
        self.cluster.wait_up()


class ServersOfAnother(ServersExpired):
    name = "servers' certificates of another CA"

    def shown(self, server):
        return server.strange_certificate


def _is_believed(server):
    try:
        server.request("GET", "/v1/status/leader", timeout=1.0)
    except ssl.SSLError:
        return False
    return True


SERVER_FAULTS = (
    LeaderKilled, LeaderVanished, FollowerKilled, AllKilled, LeaderStopped, FollowerStopped, Rolled, LeaderCutOff,
    FollowerCutOff, NoQuorum, SplitInTwo, LeaderDeaf, Restored, DataLost, ServersExpired, ServersOfAnother,
)  # fmt: skip
