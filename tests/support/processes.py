# SPDX-License-Identifier: Apache-2.0
"""Starting and ending processes so that nothing is left behind, and finding ports for them."""

import os
import re
import shutil
import signal
import socket
import subprocess

# Below the ports that the kernel gives to outgoing connections: a Consul that is killed finds its port free again.
_FIRST_PORT, _LAST_PORT = 12000, 31000

# Each test process begins elsewhere and gives no port twice, so that tests that run at the same time, and the ports of
# one server, never meet.
_PORTS_EACH = 250
_next_port = _FIRST_PORT + os.getpid() * _PORTS_EACH % (_LAST_PORT - _FIRST_PORT)


def free_port():
    """A TCP port that nobody listens on and that was not given before."""
    global _next_port
    for _ in range(_PORTS_EACH):
        port = _next_port
        _next_port = port + 1 if port < _LAST_PORT else _FIRST_PORT
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError(f"no free port in {_PORTS_EACH} from {_FIRST_PORT} to {_LAST_PORT}")


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
