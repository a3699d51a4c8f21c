# SPDX-License-Identifier: Apache-2.0
"""Starting and ending processes so that nothing is left behind, and finding ports for them."""

import fcntl
import functools
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

# Below the ports that the kernel gives to outgoing connections: a Consul that is killed finds its port free again.
_FIRST_PORT, _PORTS_EACH, _BLOCKS = 12000, 250, 76


@functools.cache
def _block():
    """The ports of this test process, and the lock that keeps them its own for as long as it lives: the tests of several
    processes, and the ports of one server, never meet."""
    folder = Path(tempfile.gettempdir()) / f"envdial-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for attempt in range(_BLOCKS):
        number = (os.getpid() + attempt) % _BLOCKS  # seldom one that was given up just now
        lock = open(folder / str(number), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        first = _FIRST_PORT + number * _PORTS_EACH
        return lock, itertools.cycle(range(first, first + _PORTS_EACH))
    raise AssertionError(f"{_BLOCKS} test processes hold all blocks of ports: {folder}")


def free_port():
    """A TCP port that nobody listens on and that was not given lately."""
    _, ports = _block()
    for port in itertools.islice(ports, _PORTS_EACH):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError(f"none of the {_PORTS_EACH} ports of this process is free")


def clean_environment(extra=None):
    """The environment without anything that Consul or envdial would read, then `extra`."""
    unwanted = re.compile(r"(CONSUL|ENVDIAL)_|.*_proxy$", re.IGNORECASE)
    kept = {name: value for name, value in os.environ.items() if not unwanted.match(name)}
    # A process that made itself undumpable cannot be searched for leaks by its own tracer; ours is.
    kept.setdefault("ASAN_OPTIONS", "detect_leaks=0:verify_asan_link_order=0")
    return kept | (extra or {})


def start(arguments, output, env=None):
    """Starts a process that ends when this one does, however that ends. Its stdout and stderr go to `output`."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise AssertionError("setpriv (util-linux) is missing: without it a killed test would leave processes behind")
    return subprocess.Popen(
        [setpriv, "--pdeathsig", "KILL", "--", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=clean_environment() if env is None else env,
        start_new_session=True,
    )


def kill(process):
    """Kills with -9 and waits until it is gone."""
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGKILL)
        process.wait()
