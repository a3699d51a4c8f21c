# SPDX-License-Identifier: Apache-2.0
"""What the kernel sees: the process killed at each of its calls on files, and each of them made to fail.

In-memory disks are where power is lost (tests/fallback/store_crash_test.cc); here the calls behind that seam are real.
"""

import os
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from support.case import EndToEndTest
from support.crash_points import LATER, NEW, OLD, Left, Lives, age_of, name_of, text_of

ERRORS = ("ENOSPC", "EIO", "EROFS", "EDQUOT", "EACCES", "EMFILE", "EINTR")
CAN_BE_INTERRUPTED = {"openat", "pwrite64", "read", "pread64", "ftruncate", "fallocate", "io_submit"}
ALL_ERRORS = os.environ.get("ENVDIAL_ALL_ERRORS") == "1"  # else one for each call, in turn
SIDE_BY_SIDE = 4
TRIES = 4  # where a loaded machine made the calls come in another order
MAX_SHOWN = 20  # of failed points
SHORT_WRITE = 150  # bytes: a slot takes several writes then
EXIT_CANNOT_WORK = 1
EXIT_NOT_FROM_CONSUL = 3
ONLY_LOOKS = {"newfstatat", "close", "read", "pread64"}
# Where a failure is no failed delivery or save, and why.
ABSORBED = re.compile(
    r"newfstatat (run|state/.*\.tmp)"  # what cannot be looked at is taken for harmed, and made anew
    r"|\w+ run/(env|snapshot)( O_RDONLY| O_RDWR| PROT_WRITE)?$"  # of an earlier process: the same
    r"|(openat|pwrite64) state/last-known-good\.\d\.tmp( O_WRONLY)?$"  # a spare that cannot be written over is made anew
    r"|\w+ run/env\.tmp"  # likewise the one of the env file; but see not_made_ahead()
    r"|mkdir state$"  # it is there already, or its lock cannot be made
    r"|(ftruncate|pwrite64) (run|state)/lock$"  # the line that says who holds it
    r"|unlink run/(control\.soc~|snapshot\.tmp)$"  # seldom there, and making a new one fails if it is
)
TOLD = re.compile(r"\w+ state/last-known-good\.\d(\.damaged)?( |$)")  # read at a start, by a line in the log
IN_THE_LOG = r"slot not readable|damaged slot .* copied"
# Without these there is no sidecar.
REFUSED = re.compile(r"\w+ run/(control\.soc~|lock)|\w+ run$")


def not_made_ahead(calls):
    """Those on the temporary file of an env file whose change waits for it: their failure is the delivery's. One that
    was made ahead of time is looked at before it is written over."""
    found, group = set(), []
    for call in calls:
        if "run/env.tmp" not in call.shape:
            continue
        if call.name == "unlink":
            group = []  # a left-over was in the way: what failed before is made good
        group.append(call)
        if call.name == "rename":
            if all(each.name != "newfstatat" for each in group):
                found |= set(group)
            group = []
    return found


class SystemCalls(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.lives = Lives(self.where, self.closed_port())
        self.addCleanup(self.lives.close)

    def calls(self, start, **options):
        """Every call on the files of a life. On a busy machine one may save more often than it has to, so that another
        one has no such call: the shortest of several is what each does."""
        return min((self.calls_of_one(start, **options) for _ in range(TRIES)), key=len)

    def calls_of_one(self, start, **options):
        """To the last one that changes anything."""
        life = self.lives.begin(start, **options).start_and_change()
        self.assertTrue(life.wait_shown(), life.pod.log())
        life.end()
        calls = life.pod.calls()
        last = max(number for number, call in enumerate(calls) if call.name not in ONLY_LOOKS)
        return calls[: last + 1]

    def live_through(self, points, check):
        """Runs check(point) for each, side by side; prints how many there were. Their answers."""
        failures = []

        def checked(point):
            try:
                return check(point)
            except AssertionError as failure:
                failures.append(str(failure))

        began = time.monotonic()
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            answers = list(pool.map(checked, points))
        print(f"{len(points)} points in {time.monotonic() - began:.0f} s", flush=True)
        if failures:
            self.fail(f"{len(failures)} of {len(points)} points failed:\n" + "\n".join(failures[:MAX_SHOWN]))
        return answers

    def hit(self, start, call, inject, **options):
        """A life in which that was injected at that call, and whether it lives on."""
        for _ in range(TRIES):
            life = self.lives.begin(start, call, inject, **options)
            self.addCleanup(life.pod.stop_strace)
            life.start_and_change()
            lives_on = life.wait_shown()
            if life.pod.was_injected():
                return life, lives_on
            life.end()
        raise AssertionError(f"from {start}, {inject} was never carried out at {call}:\n\n{life.pod.trace()[-3000:]}")

    def check_killed_at(self, point):
        start, call, options = point
        where = f"killed at {call}, from {start}"
        life, _ = self.hit(start, call, "signal=SIGKILL", **options)
        before = Left(self.where / start)
        left = life.left
        env = left.env()
        self.assertIn(env, (before.env(), text_of(OLD), text_of(NEW)), where)
        shown = left.snapshot()
        self.assertIn(shown, (before.snapshot(), OLD, NEW), where)
        ages = [age_of(text_of(shown))] if shown else []
        ages += [age_of(env)] if env != before.env() or start != "damaged" else []
        newest = max(ages, default=-1)
        self.assertEqual(life.restart_without_consul(), EXIT_NOT_FROM_CONSUL, where)
        self.assertGreaterEqual(age_of(left.env()), newest, f"{where}: an older value than the one that was shown")
        if left.env() is not None:
            self.assertEqual(text_of(left.snapshot()), left.env(), where)
        if start != "nothing":
            self.assertIsNotNone(left.env(), f"{where}: nothing is served")
        self.assertEqual(life.restart_with_consul(), 0, where)
        self.assertTrue(left.shows(LATER) and name_of(LATER) in left.saved(), where)
        life.forget()

    def check_failed_at(self, point):
        """Whether it was counted, absorbed, or the start refused."""
        start, call, error, options, absorbable = point
        where = f"{error} at {call}, from {start}"
        life, lives_on = self.hit(start, call, f"error={error}", **options)
        if lives_on:
            outcome = "counted" if life.failures() > 0 else "absorbed"
            if outcome == "absorbed" and error != "EINTR":
                if TOLD.match(call.shape):
                    self.assertRegex(life.pod.log(), IN_THE_LOG, where)
                else:
                    self.assertTrue(absorbable and ABSORBED.search(call.shape), f"{where}: nobody is told")
            life.end()
            self.assertEqual(life.restart_without_consul(), EXIT_NOT_FROM_CONSUL, where)
            self.assertTrue(life.left.shows(NEW), where)
        else:
            outcome = "refused"
            self.assertRegex(call.shape, REFUSED, where)
            self.assertEqual(life.pod.wait_end(), EXIT_CANNOT_WORK, f"{where}: {life.pod.log()}")
            self.assertRegex(life.pod.log(), r"cannot work: ", where)
            self.assertEqual(life.restart_with_consul(), 0, where)
        life.forget()
        return outcome

    def test_killed_at_each_call(self):
        points = [(start, call, {}) for start in Lives.STARTS for call in self.calls(start)]
        self.live_through(points, self.check_killed_at)
        self.assertGreaterEqual(len(points), 420, "the enumeration has become smaller than it was")

    def test_each_call_fails(self):
        points = []
        for start in Lives.STARTS:
            calls = self.calls(start)
            delivering = not_made_ahead(calls)
            for call in calls:
                if call.name == "close":
                    continue  # the descriptor is gone, whatever close(2) answers
                errors = [error for error in ERRORS if error != "EINTR" or call.name in CAN_BE_INTERRUPTED]
                for error in errors if ALL_ERRORS else [errors[len(points) % len(errors)]]:
                    points.append((start, call, error, {}, call not in delivering))
        self.assertFalse(all(absorbable for *_, absorbable in points), "no env file was made for a change that waits")
        outcomes = self.live_through(points, self.check_failed_at)
        print(dict(Counter(outcomes)))
        self.assertGreaterEqual(len(points), 380, "the enumeration has become smaller than it was")
        self.assertGreaterEqual(outcomes.count("counted"), 100)

    def test_short_writes(self):
        """Each file takes several; killed, and the disk full, at each of them."""
        options = {"short_write": str(SHORT_WRITE)}
        calls = [call for call in self.calls("two", **options) if call.name == "pwrite64"]
        self.assertGreaterEqual(len(calls), 10)
        self.live_through([("two", call, options) for call in calls], self.check_killed_at)
        self.live_through([("two", call, "ENOSPC", options, True) for call in calls], self.check_failed_at)
