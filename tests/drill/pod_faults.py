# SPDX-License-Identifier: Apache-2.0
"""What happens to one pod of `script/drill servers`."""

import signal
import time

from support.cluster import HTTPS
from support.network import SlowLink
from support.waiting import eventually

# In seconds: the sidecar's defaults, the longest wait of a poll, and where its back-off ends.
TIMEOUT, CONNECT_TIMEOUT, WAIT = 3.0, 1.0, 2.5 * 17 / 16
BACK_OFF, SERVER_BACK_OFF, OTHER_BACK_OFF = 1.0, 2.0, 5.0
SILENCE = TIMEOUT + CONNECT_TIMEOUT  # within which a loss of the path is noticed
BOUND = SILENCE + BACK_OFF


class PodFault:
    """`begin` and `end` it; between them `is_hit` tells whether the pod has noticed. Each is done once."""

    name = ""
    bound = BOUND  # seconds from the end to the newest value
    quick = False  # whether that is promised within 1 s in the median, and 2 s in the 99th percentile
    is_noticed = True  # by the sidecar, at a moment that can be told
    noticed_within = None  # seconds; None: no promise
    hold = (0.0, 1.5)  # seconds that it goes on after it was noticed
    patience = 2 * BOUND  # seconds in which it is noticed; else it has not hit

    def __init__(self, pod, drill):
        self.pod = pod
        self.cluster = drill.cluster
        self.random = drill.random
        self._before = 0

    @classmethod
    def fits(cls, pod):
        return True

    def begin(self):
        self._before = self.pod.failures()
        self.break_it()

    def is_hit(self, _pod):
        return self.pod.failures() > self._before

    def break_it(self):
        raise NotImplementedError

    def end(self):
        self.pod.host.filter()

    def clean(self):
        """Once the pod shows the newest value."""


class _Filter(PodFault):
    def rules(self):
        raise NotImplementedError

    def break_it(self):
        self.pod.host.filter(*self.rules())


class Refused(_Filter):
    name = "connects refused"
    quick = True
    noticed_within = SILENCE

    def rules(self):
        return [f"OUTPUT -p tcp --dport {HTTPS} -j REJECT --reject-with tcp-reset"]


class Swallowed(_Filter):
    name = "connects swallowed"
    quick = True
    noticed_within = SILENCE

    def rules(self):
        return ["INPUT -p tcp -j DROP", "OUTPUT -p tcp -j DROP"]


class RequestsDropped(_Filter):
    name = "requests dropped, one way"
    noticed_within = SILENCE

    def rules(self):
        return ["OUTPUT -p tcp -j DROP"]


class AnswersDropped(_Filter):
    name = "answers dropped, one way"
    noticed_within = SILENCE

    def rules(self):
        return ["INPUT -p tcp -j DROP"]


class Unreachable(_Filter):
    name = "host unreachable"
    noticed_within = SILENCE

    def rules(self):
        return ["OUTPUT -p tcp -j REJECT --reject-with icmp-host-unreachable"]


class HalfOpen(_Filter):
    """The connection is gone without a word, for ever; new ones work."""

    name = "connection half open"
    bound = CONNECT_TIMEOUT + BACK_OFF  # it has ended by then: it was noticed
    noticed_within = SILENCE

    def rules(self):
        ports = eventually("there is a connection", self.pod.connections, BOUND)
        return [rule for port in ports for rule in (f"INPUT -p tcp --dport {port} -j DROP",
                                                    f"OUTPUT -p tcp --sport {port} -j DROP")]  # fmt: skip

    def end(self):
        pass

    def clean(self):
        self.pod.host.filter()


class Loss(_Filter):
    is_noticed = False
    hold = (3.0, 5.0)

    def rules(self):
        chance = self.random.uniform(*self.range)
        random = f"-p tcp -m statistic --mode random --probability {chance:.3f} -j DROP"
        return [f"INPUT {random}", f"OUTPUT {random}"]

    def is_hit(self, _pod):
        return self.pod.host.caught() > 0


class SmallLoss(Loss):
    name = "1-10 % of packets lost"
    range = (0.01, 0.10)


class BigLoss(Loss):
    name = "10-30 % of packets lost"
    range = (0.10, 0.30)


class Latency(PodFault):
    is_noticed = False
    hold = (2.0, 4.0)

    def begin(self):
        self.break_it()

    def break_it(self):
        delay = self.random.uniform(*self.range)
        self._link = SlowLink(self.pod.host, delay, delay / 4)
        self._carried = 0

    def is_hit(self, _pod):
        self._carried += self._link.carried()
        return self._carried >= 4  # a round trip at least, that is, a poll and its answer

    def end(self):
        self._link.close()


class SmallLatency(Latency):
    name = "20-100 ms each way"
    range = (20, 100)


class BigLatency(Latency):
    """Also longer than a connect may take."""

    name = "100-800 ms each way"
    range = (100, 800)


class ClockStep(PodFault):
    is_noticed = False
    hold = (0.5, 2.0)

    @classmethod
    def fits(cls, pod):
        return pod.settable

    def begin(self):
        self._shift = self.sign * self.random.choice((30, 600, 86400, 30 * 86400))
        self.break_it()

    def break_it(self):
        self.pod.set_clock(self._shift)

    def is_hit(self, _pod):
        """Its time of the last contact is now told by the other clock."""
        metrics = self.pod.sidecar.metrics().series("source_last_success_timestamp_seconds")
        return any(abs(when - time.time() - self._shift) < 20 for _, when in metrics)

    def end(self):
        self.pod.set_clock(0)


class ClockForward(ClockStep):
    name = "clock set forward"
    sign = 1


class ClockBack(ClockStep):
    name = "clock set back"
    sign = -1


class FullDisk(PodFault):
    name = "disk full"

    def begin(self):
        self._before = self._failed_saves()
        self.break_it()

    def _failed_saves(self):
        return self.pod.sidecar.metrics()("fallback_save_failures_total")

    def break_it(self):
        """Without what it keeps for that: the spares, as if they had never fitted, and slots that are its own alone."""
        for spare in self.pod.sidecar.state_dir.glob("*.tmp"):
            spare.unlink()
        for slot in self.pod.sidecar.state_dir.glob("last-known-good.[01]"):
            slot.with_suffix(f"{slot.suffix}.link").hardlink_to(slot)
        with open(self.pod.sidecar.state_dir / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                return

    def is_hit(self, _pod):
        return self._failed_saves() > self._before

    def end(self):
        (self.pod.sidecar.state_dir / "filler").unlink()
        for link in self.pod.sidecar.state_dir.glob("*.link"):
            link.unlink()


class Killed(PodFault):
    name = "sidecar killed"
    is_noticed = False

    def begin(self):
        self.break_it()

    def break_it(self):
        self.pod.sidecar.kill()

    def is_hit(self, _pod):
        return self.pod.sidecar.ended()

    def end(self):
        self.pod.sidecar.start()


class Stopped(PodFault):
    name = "sidecar stopped"
    is_noticed = False
    hold = (0.5, 6.0)

    def begin(self):
        self.break_it()

    def break_it(self):
        self.pod.sidecar.signal(signal.SIGSTOP)

    def is_hit(self, _pod):
        with open(f"/proc/{self.pod.sidecar.pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(") ")[2][0] == "T"

    def end(self):
        self.pod.sidecar.signal(signal.SIGCONT)


class Upgraded(Killed):
    name = "sidecar upgraded"

    def break_it(self):
        code, _ = self.pod.sidecar.terminate()
        if code != 0:
            raise AssertionError(f"{self.pod.name}: SIGTERM ended it with {code}")
        self.pod.sidecar.upgrade()


class KilledWithoutConsul(PodFault):
    """What is on disk must serve: the files are its own again only once it has started."""

    name = "sidecar killed, Consul silent"
    is_noticed = False
    quick = True

    def break_it(self):
        self.pod.host.filter("INPUT -p tcp -j DROP", "OUTPUT -p tcp -j DROP")
        self.pod.sidecar.kill()
        self.pod.sidecar.start()

    begin = break_it

    def is_hit(self, _pod):
        dials = self.pod.sidecar.snapshot()["dials"]
        return all(dial["origin"] == "last-known-good" and dial["value"] for dial in dials)

    def end(self):
        self.pod.host.filter()


class KilledOnFullDisk(FullDisk):
    name = "sidecar killed, disk full"
    is_noticed = False

    def break_it(self):
        super().break_it()
        self.pod.sidecar.kill()
        self._before = 0
        self.pod.sidecar.start()


class TokenRevoked(PodFault):
    name = "token revoked, made again"
    bound = SILENCE + OTHER_BACK_OFF

    def break_it(self):
        self.cluster.revoke(self.pod.name)

    def end(self):
        self.cluster.token(self.pod.name, self.pod.secret)


class TokenReplaced(TokenRevoked):
    """A new one takes its place, which the sidecar finds in its file."""

    name = "token revoked, file replaced"

    def end(self):
        self.pod.new_token()
        self.pod.tell_token()


class StrangeAuthority(PodFault):
    """Its file of trusted certificates is another authority's."""

    name = "CA file of another CA"

    def break_it(self):
        self.pod.trust(self.cluster.stranger)
        self.pod.cut_connections()

    def end(self):
        self.pod.host.filter()
        self.pod.trust(self.cluster.authority)


class ClientExpired(PodFault):
    """The servers ask for a certificate, and refuse this one."""

    name = "client certificate expired"

    def break_it(self):
        self.pod.identify(self.cluster.expired_client)
        self.pod.cut_connections()

    def end(self):
        self.pod.host.filter()
        self.pod.identify(self.cluster.client)


POD_FAULTS = (
    Refused, Swallowed, RequestsDropped, AnswersDropped, Unreachable, HalfOpen, SmallLoss, BigLoss, SmallLatency,
    BigLatency, ClockForward, ClockBack, FullDisk, Killed, Stopped, Upgraded, KilledWithoutConsul, KilledOnFullDisk,
    TokenRevoked, TokenReplaced, StrangeAuthority, ClientExpired,
)  # fmt: skip
