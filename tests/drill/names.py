# SPDX-License-Identifier: Apache-2.0
"""How names are resolved in the image: its program in a root directory with nothing else, beside a name server of ours.
Part of `script/drill pod`; needs root and namespaces of its own.

    names.py PROGRAM
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import typing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from name_server import NameServer  # noqa: E402  (found only now)
from support import report, unix_http  # noqa: E402
from support.real_consul import Consul  # noqa: E402
from support.waiting import eventually  # noqa: E402

SEARCH = "search hunt.svc.cluster.local svc.cluster.local cluster.local\n"
KUBERNETES = f"nameserver 127.0.0.1\n{SEARCH}options ndots:5\n"
RECORDS = {
    "four.example.com": ["127.0.0.1"],
    "six.example.com": ["::1"],
    "both.example.com": ["127.0.0.1", "::1"],
    "large.example.com": ["127.0.0.1"],
    "consul.svc.cluster.local": ["127.0.0.1"],
    "server.consul.svc.cluster.local": ["::1"],
}
SILENT = "127.0.0.99"  # a name server that takes questions and answers none
LOOKS, LOOK_SECONDS, MOST_LOOK_SECONDS = 20, 0.2, 1.0
UNPRIVILEGED = 65532
HEADINGS = ("case", "name", "what came of it", "")


class Case(typing.NamedTuple):
    what: str
    name: str
    hosts: str | None = None
    resolv_conf: str | None = None
    exit_code: int = 0  # 3: the value did not come from Consul


CASES = (
    Case("hosts file, IPv4", "consul", hosts="127.0.0.1 localhost\n127.0.0.1 other consul # here\n"),
    Case("hosts file, IPv6", "consul", hosts="::1 consul\n"),
    Case("hosts file before the name server", "four.example.com", "::1 four.example.com\n", KUBERNETES),
    Case("name server, whole name", "four.example.com", resolv_conf="nameserver 127.0.0.1\n"),
    Case("name server, name that ends in a dot", "four.example.com.", resolv_conf=KUBERNETES),
    Case("name server by IPv6", "four.example.com", resolv_conf="nameserver ::1\n"),
    Case("IPv6 address alone", "six.example.com", resolv_conf="nameserver 127.0.0.1\n"),
    Case("both families", "both.example.com", resolv_conf="nameserver 127.0.0.1\n"),
    Case("answer that needs TCP", "large.example.com", resolv_conf="nameserver 127.0.0.1\n"),
    Case("ndots:5, short name by the second search domain", "consul", resolv_conf=KUBERNETES),
    Case("ndots:5, name with dots by the third", "server.consul.svc", resolv_conf=KUBERNETES),
    Case("ndots:5, name outside the cluster", "four.example.com", resolv_conf=KUBERNETES),
    Case("first name server refuses", "four.example.com", resolv_conf="nameserver 127.0.0.98\nnameserver 127.0.0.1\n"),
    Case("first name server is silent", "four.example.com", resolv_conf=f"nameserver {SILENT}\nnameserver 127.0.0.1\n"),
    Case("no file at all, an address", "127.0.0.1"),
    Case("no file at all, an IPv6 address", "[::1]"),
    Case("no hosts file, localhost", "localhost", exit_code=3),  # each container runtime writes one
    Case("name that does not exist", "nobody.example.com", resolv_conf=KUBERNETES, exit_code=3),
    Case("no file at all, a name", "consul", exit_code=3),
)


def make_root(folder, program, case):
    """What a container made from the image has: the program, and the files that the runtime puts there."""
    (folder / "etc").mkdir(parents=True)
    shutil.copy(program, folder / "envdial")
    for name, text in (("hosts", case.hosts), ("resolv.conf", case.resolv_conf)):
        if text is not None:
            (folder / "etc" / name).write_text(text)
    for name in ("run", "state"):
        (folder / name).mkdir()
        os.chown(folder / name, UNPRIVILEGED, UNPRIVILEGED)


def start(root, name, port, *more):
    def enter():
        os.chroot(root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(UNPRIVILEGED)
        os.setuid(UNPRIVILEGED)

    arguments = ["/envdial", "run", "--key", "turn", "--env", "TURN", "--type", "int", "--default", "1", "--run-dir",
                 "/run", "--state-dir", "/state", "--consul-addr", f"http://{name}:{port}", "--connect-timeout", "5s",
                 *more]  # fmt: skip
    return subprocess.Popen(arguments, preexec_fn=enter, env={}, stderr=subprocess.PIPE)  # noqa: PLW1509


def try_case(where, program, consul, case):
    root = where / str(CASES.index(case))
    make_root(root, program, case)
    process = start(root, case.name, consul.port, "--once", "--startup-wait", "10s")
    complaint = process.communicate(timeout=60)[1].decode()
    seen = (process.returncode, (root / "run/env").read_text())
    wanted, value = ("Consul's value", 7) if case.exit_code == 0 else ("the default", 1)
    holds = seen == (case.exit_code, f"TURN='{value}'\n")
    if not holds:
        print(f"{case.what}: {seen}\n{complaint}")
    return (case.what, case.name, wanted, "ok" if holds else "WRONG")


def live_beside_a_silent_server(where, program, port):
    """The longest that /livez took, in seconds, while a name server owes its answer."""
    case = Case("", "", resolv_conf=f"nameserver {SILENT}\n")
    make_root(where / "silent", program, case)
    process = start(where / "silent", "four.example.com", port)
    try:
        control, longest = where / "silent/run/control.sock", 0.0
        eventually("the control channel", lambda: unix_http.request(control, "GET", "/livez").status == 200)
        for _ in range(LOOKS):
            began = time.monotonic()
            if unix_http.request(control, "GET", "/livez").status != 200:
                raise AssertionError("/livez is not 200")
            longest = max(longest, time.monotonic() - began)
            time.sleep(LOOK_SECONDS)  # so that the looks are spread over many turns of the watch
        return longest
    finally:
        process.kill()
        process.communicate()


def check(program):
    """Rows of a table: what, the name, what came of it, and whether that is right."""
    with contextlib.ExitStack() as cleanup:
        where = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="envdial-names-")))
        where.chmod(0o755)
        NameServer(RECORDS, truncated=("large.example.com",))
        silent = cleanup.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind((SILENT, 53))
        consul = Consul(where / "consul", hosts=("127.0.0.1", "::1")).start()
        cleanup.callback(consul.kill)
        consul.put("turn", 7)
        rows = [try_case(where, program, consul, case) for case in CASES]
        longest = live_beside_a_silent_server(where, program, consul.port)
        rows.append((f"silent name server: {LOOKS} looks at /livez", "four.example.com",
                     f"at most {1000 * longest:.0f} ms", "ok" if longest < MOST_LOOK_SECONDS else "WRONG"))  # fmt: skip
    return rows


def main():
    rows = check(Path(sys.argv[1]).resolve())
    report.print_table([HEADINGS, *rows])
    sys.exit(1 if any(row[-1] != "ok" for row in rows) else None)


if __name__ == "__main__":
    main()
