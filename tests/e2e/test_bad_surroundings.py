# SPDX-License-Identifier: Apache-2.0
"""Machines that stand still, clocks that jump, limits that are too low, logs that nobody reads."""

import os
import re
import signal
import subprocess
import time

from support.case import KEY, NAME, EndToEndTest, needs, one_dial
from support.own_disk import OwnDisk
from support.sidecar import env_text
from support.waiting import always, eventually

AT_WORST = 5.0  # promise 2: timeout + connect timeout + back-off
STALE_AFTER = 3.0  # seconds
DAY = 86_400
EXIT_CANNOT_WORK = 1


class BadSurroundings(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.consul = self.start_consul()
        self.consul.put(KEY, 100)

    def assert_follows(self, pod, first, last):
        for value in range(first, last + 1):
            self.consul.put(KEY, value)
            pod.wait_env(within=AT_WORST, MAX_CONCURRENT=value)
        self.assertEqual(pod.get("/livez").status, 200)

    def start_logging_to(self, output):
        pod = self.sidecar(self.consul, *one_dial()).start(output)
        pod.wait_published()
        return pod

    def test_standing_still_is_got_over(self):
        """As on a machine that is suspended; the second time Consul is another one when it goes on."""
        pod = self.sidecar(self.consul, *one_dial("--timeout", "1s", "--stale-after", f"{STALE_AFTER:g}s"))
        pod.start_ready()
        for value, is_consul_restarted in ((200, False), (300, True)):
            pod.signal(signal.SIGSTOP)
            since = time.monotonic()
            if is_consul_restarted:
                self.consul.kill()
                self.consul.start()
            self.consul.put(KEY, value)
            eventually("every time-out has passed", lambda: time.monotonic() > since + STALE_AFTER + 1)
            pod.signal(signal.SIGCONT)
            pod.wait_env(within=AT_WORST, MAX_CONCURRENT=value)
            pod.wait_state("ready")

    def with_clock(self, *arguments):
        """A sidecar, and the file that says by how many seconds its wall clock is shifted."""
        shift = self.where / "shift"
        shift.write_text("0")
        variables = {"LD_PRELOAD": needs("ENVDIAL_SHIFT_CLOCK"), "ENVDIAL_TEST_CLOCK_SHIFT": str(shift)}
        pod = self.sidecar(self.consul, *one_dial("--timeout", "1s", *arguments), env=variables)
        return pod.start_ready(), shift

    def test_a_clock_that_jumps_changes_nothing(self):
        pod, shift = self.with_clock("--default", "7", "--when-stale", "default", "--stale-after", "30s")
        for value, days in ((200, 1), (300, -1), (400, 400), (500, 0)):
            shift.write_text(str(days * DAY))
            self.consul.put(KEY, value)
            pod.wait_env(within=AT_WORST, MAX_CONCURRENT=value)
            changed = pod.metrics()("dial_last_change_timestamp_seconds", dial=NAME)
            self.assertAlmostEqual(changed - time.time(), days * DAY, delta=60, msg="the clock did not jump")
            expected = env_text(MAX_CONCURRENT=value)
            always(
                "it is ready and serves the value",
                lambda: pod.status()["state"] == "ready" and pod.env_text() == expected,
                during=1.5,
            )

    def test_a_clock_that_jumps_makes_nothing_stale_before_its_time(self):
        pod, shift = self.with_clock("--stale-after", f"{STALE_AFTER:g}s")
        for days in (1, -1):
            since = time.monotonic()
            self.consul.freeze()
            shift.write_text(str(days * DAY))
            pod.wait_state("stale", within=STALE_AFTER + AT_WORST)
            # The last answer may be as old as a wait.
            self.assertGreater(time.monotonic() - since, STALE_AFTER - 1)
            self.consul.thaw()
            pod.wait_state("ready")

    def test_a_limit_on_the_size_of_files_is_a_failed_delivery_and_not_the_end(self):
        pod = self.sidecar(self.consul, *one_dial()).start_ready()
        pod.wait_env(MAX_CONCURRENT=100)
        subprocess.run(["prlimit", f"--pid={pod.pid}", "--fsize=10:"], check=True)
        self.consul.put(KEY, 200)
        eventually("counted", lambda: pod.metrics()("delivery_failures_total", channel="env_file") > 0)
        self.assertEqual(pod.get(f"/v1/values/{NAME}").text, "200")
        self.assertEqual(pod.env_text(), env_text(MAX_CONCURRENT=100))
        subprocess.run(["prlimit", f"--pid={pod.pid}", "--fsize=unlimited:"], check=True)
        pod.wait_env(within=AT_WORST, MAX_CONCURRENT=200)

    def test_a_log_that_nobody_reads(self):
        """A stopped terminal, a stuck log collector: more than fits into the pipe."""
        reading, writing = os.pipe()
        pod = self.start_logging_to(writing)
        os.close(writing)
        self.assert_follows(pod, 101, 100 + 1000)
        text = os.read(reading, 1 << 20)
        self.assertNotIn(b"-> 1100", text, "the pipe was never full")
        self.consul.put(KEY, 2000)
        pod.wait_env(within=AT_WORST, MAX_CONCURRENT=2000)
        os.set_blocking(reading, False)
        told = bytearray()

        def is_told():
            told.extend(os.read(reading, 1 << 20))
            return re.search(rb"(?s)short of some lines here: \d{2,}\n.*-> 2000 ", told)

        eventually("it tells what is missing", is_told)
        os.close(reading)
        self.assert_follows(pod, 2001, 2010)

    def test_a_full_disk_for_the_log(self):
        with open("/dev/full", "wb") as full:
            pod = self.start_logging_to(full)
        self.assert_follows(pod, 101, 110)

    def test_closed_standard_streams(self):
        """What it opens must not get their numbers: a store that is descriptor 2 would be given the log."""
        pod = self.sidecar(self.consul, *one_dial(), before=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]).start_ready()
        self.assert_follows(pod, 101, 110)
        for name in ("last-known-good.0", "last-known-good.1"):
            self.assertNotIn(b"info", (pod.state_dir / name).read_bytes())
        pod.kill()
        self.consul.kill()
        pod.env_file.unlink()
        pod.start()
        pod.wait_env(MAX_CONCURRENT=110)

    def test_a_read_only_run_directory(self):
        pod = self.sidecar(self.consul, *one_dial())
        disk = OwnDisk(pod.run_dir, "64k", "ro")
        self.addCleanup(disk.close)
        pod.before = disk.inside
        pod.start()
        self.assertEqual(pod.wait_end(), EXIT_CANNOT_WORK)
        self.assertRegex(pod.log(), r"cannot work: run directory: .*Read-only file system")
