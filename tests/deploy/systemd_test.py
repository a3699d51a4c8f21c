# SPDX-License-Identifier: Apache-2.0
"""The units of deploy/systemd, as systemd reads them. tests/e2e/test_service_manager.py tests the sidecar's own part of
Type=notify and of the watchdog; no systemd runs in the tests."""

import configparser
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

UNITS = pathlib.Path(__file__).resolve().parents[2] / "deploy/systemd"
MOST_EXPOSED = 15  # tenths of what systemd-analyze says: 0 is a unit that can do nothing, 100 one without any hardening
# What `strace -f` shows of a start, a change and a signal.
CALLED = {
    "accept4", "access", "bind", "capget", "capset", "chmod", "connect", "epoll_create1", "eventfd2", "fallocate",
    "fchmod", "fcntl", "flock", "ftruncate", "getdents64", "getrandom", "getsockname", "io_destroy", "io_getevents",
    "io_setup", "io_submit", "kill", "lchown", "listen", "mkdir", "mmap", "pidfd_open", "pidfd_send_signal", "pipe2",
    "poll", "prctl", "pread64", "prlimit64", "pwrite64", "readlink", "renameat2", "rt_sigaction", "sendto",
    "setsockopt", "socket", "socketpair", "sysinfo", "timerfd_create", "timerfd_settime", "umask", "uname", "unlink",
}  # fmt: skip


def analyze(*arguments):
    # Not the units of the machine that the test runs on, and no pager.
    environment = os.environ | {"SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60, env=environment
    )


class UnitsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.units = []
        for unit in sorted(UNITS.glob("*.service")):
            copy = pathlib.Path(folder.name, unit.name)
            # The programs are not installed here.
            copy.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text()))
            self.units.append(copy)

    def test_systemd_understands_every_line(self):
        self.assertEqual(["envdial.service", "hunt.service"], [unit.name for unit in self.units])
        done = analyze("verify", "--man=no", *self.units)
        complaints = [line for line in done.stderr.splitlines() if "envdial" in line or "hunt" in line]
        self.assertEqual([], complaints)
        self.assertEqual(0, done.returncode, done.stderr)

    def test_a_line_that_it_does_not_understand_would_be_seen(self):
        with open(self.units[0], "a") as unit:
            unit.write("\n[Service]\nProtectEverything=yes\n")
        self.assertIn("ProtectEverything", analyze("verify", "--man=no", self.units[0]).stderr)

    def test_the_sidecar_is_exposed_to_little(self):
        for threshold, passes in ((MOST_EXPOSED, True), (1, False)):
            done = analyze("security", "--offline=true", f"--threshold={threshold}", self.units[0])
            self.assertEqual(passes, done.returncode == 0, done.stdout[-3000:])

    def test_its_filter_of_system_calls_lets_ours_through(self):
        allowed, sets = set(), ["@system-service"]
        self.assertIn("SystemCallFilter=@system-service\n", (UNITS / "envdial.service").read_text())
        while sets:
            lines = analyze("syscall-filter", sets.pop()).stdout.splitlines()[1:]
            names = {line.strip() for line in lines if not line.strip().startswith("#")}
            sets += [name for name in names if name.startswith("@")]
            allowed |= names
        self.assertEqual(set(), CALLED - allowed)

    def test_its_directories_are_those_that_the_program_uses_by_itself(self):
        unit = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes="#", allow_no_value=True)
        unit.optionxform = str
        unit.read(UNITS / "envdial.service")
        self.assertEqual(["envdial"] * 2, [unit["Service"][name] for name in ("RuntimeDirectory", "StateDirectory")])
        self.assertEqual("yes", unit["Service"]["RuntimeDirectoryPreserve"])
        self.assertEqual("notify", unit["Service"]["Type"])


if __name__ == "__main__":
    unittest.main()
