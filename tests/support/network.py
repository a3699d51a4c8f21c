# SPDX-License-Identifier: Apache-2.0
"""A network of its own for a test: hosts, each in a network namespace, on one bridge.

The bridge stands in the namespace of this process, which must be no one else's: script/drill makes it, together with a
mount and a PID namespace. So the kernel takes all of it away with the last process, however that ends.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from support import processes

_BRIDGE = "hub"
_NET = "10.77.0"
_NETNS = "/run/netns"

# linux/sockios.h, linux/ethtool.h: what a card is left to do later. Packets that are handed on by slow_link.py must be
# whole, and of the size that the wire has.
_SIOCETHTOOL = 0x8946
_SET_OFFLOADS = {"ETHTOOL_STXCSUM": 0x17, "ETHTOOL_STSO": 0x1F, "ETHTOOL_SGSO": 0x24}


def run(*command, stdin=None):
    done = subprocess.run(list(map(str, command)), input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def need_own_namespaces():
    """Refuses to touch the machine's own network."""
    if os.geteuid() != 0:
        raise AssertionError("this needs root: it makes network namespaces and sets up packet filters in them")
    if os.getpid() != 1 or run("ip", "-o", "link", "show", "up"):
        raise AssertionError("this process has no network and PID namespace of its own: start it by script/drill")


class Network:
    def __init__(self):
        need_own_namespaces()
        os.makedirs(_NETNS, exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", _NETNS)
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", _BRIDGE, "type", "bridge")
        run("ip", "addr", "add", f"{_NET}.1/24", "dev", _BRIDGE)
        run("ip", "link", "set", _BRIDGE, "up")
        self.address = f"{_NET}.1"  # of this process, as the hosts see it
        self._last = 10

    def host(self, name):
        self._last += 1
        return Host(name, f"{_NET}.{self._last}", self.address)


class Host:
    """A network namespace with one address, joined to the bridge by the interface of its name."""

    def __init__(self, name, address, hub):
        self.name = name
        self.address = address
        self.hub = hub
        self.namespace = f"{_NETNS}/{name}"
        # What starts another command there.
        self.inside = ["nsenter", f"--net={self.namespace}", "--"]
        run("ip", "netns", "add", name)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-in")
        for end in (name, f"{name}-in"):
            _compute_at_once(end)
        run("ip", "link", "set", f"{name}-in", "netns", name, "name", "eth0")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.join()

    def run(self, *command, stdin=None):
        return run(*self.inside, *command, stdin=stdin)

    def join(self):
        run("ip", "link", "set", self.name, "master", _BRIDGE, "up")

    def leave(self):
        run("ip", "link", "set", self.name, "nomaster")

    def filter(self, *rules):
        """Packets are judged by these rules of iptables from now on, and by no others."""
        lines = ["*filter", ":INPUT ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *(f"-A {rule}" for rule in rules), "COMMIT"]
        self.run("iptables-restore", "--wait", stdin="\n".join(lines) + "\n")

    def caught(self):
        """How many packets met a rule since it was set."""
        lines = self.run("iptables-save", "--counters").splitlines()
        return sum(int(line[1:].split(":")[0]) for line in lines if line.startswith("["))

    def connections(self, port):
        """The local ports of this host's connections to that port."""
        lines = self.run("cat", "/proc/self/net/tcp").splitlines()[1:]
        ends = [[int(end.split(":")[1], 16) for end in line.split()[1:3]] for line in lines]
        return [local for local, remote in ends if remote == port]


class SlowLink:
    """Between a host and the bridge, from now on until close(): each frame is late (slow_link.py)."""

    def __init__(self, host, milliseconds, jitter):
        self._host = host
        near, far = self._ends = f"{host.name}-near", f"{host.name}-far"
        run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
        for end in self._ends:
            _compute_at_once(end)
            run("ip", "link", "set", end, "up")
        self._carrier = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-B", Path(__file__).with_name("slow_link.py"),
             str(milliseconds), str(jitter), host.name, near],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        if self._carrier.stdout.readline() != b"up\n":
            raise AssertionError("slow_link.py did not start")
        os.set_blocking(self._carrier.stdout.fileno(), False)
        host.leave()
        run("ip", "link", "set", far, "master", _BRIDGE)

    def carried(self):
        """Frames since the last call."""
        return len(self._carrier.stdout.read() or b"")

    def close(self):
        self._host.join()
        processes.kill(self._carrier)
        self._carrier.stdout.close()
        run("ip", "link", "del", self._ends[0])


def _compute_at_once(interface):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in _SET_OFFLOADS.values():
            value = (ctypes.c_uint32 * 2)(command, 0)
            fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP", interface.encode(), ctypes.addressof(value)))
