# SPDX-License-Identifier: Apache-2.0
"""What `script/drill peers` requires of envdial: it finds what was planted, and nothing in a story that is well."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peer_outages import FirstStartWithout, Refused  # noqa: E402  (found only now)
from peer_verdict import NEWEST, OLD, Story, broken, row  # noqa: E402

SLACK = 0.1
OUTAGE = Refused("refused 3 s", 3.0)
START = FirstStartWithout("first start", 20.0)


def story(served=((OLD, 3.0),), then=(NEWEST,), noticed=0.1, back=0.5, ended=None):
    return Story(list(served), list(then), noticed, back, ended)


class Verdict(unittest.TestCase):
    def found(self, told, outage=OUTAGE):
        return list(broken(outage, "envdial", told, SLACK))

    def test_a_story_that_is_well(self):
        self.assertEqual(self.found(story()), [])
        self.assertEqual(self.found(story(back=OUTAGE.bound, noticed=OUTAGE.notice_bound)), [])
        self.assertEqual(self.found(story(then=[OLD, NEWEST])), [])

    def test_a_first_start_may_wait_and_then_has_the_default(self):
        self.assertEqual(self.found(story([("no file", 3.0), ("default", 17.0)], ["default", NEWEST]), START), [])
        for served in ([("no file", 20.0)], [("no file", 3.0), (OLD, 17.0)], [("default", 9.0), ("no file", 0.05)]):
            self.assertEqual(len(self.found(story(served), START)), 1, served)

    def test_what_must_not_be_shown(self):
        for what in ("no file", "empty file", "no such name", "blank", "default", "wrong: 'x'", NEWEST):
            self.assertEqual(len(self.found(story([(OLD, 1.0), (what, 0.02), (OLD, 2.0)]))), 1, what)

    def test_what_must_not_be_shown_after_the_end(self):
        for then in (["blank", NEWEST], ["default", NEWEST], [NEWEST, OLD, NEWEST]):
            self.assertEqual(len(self.found(story(then=then))), 1, then)

    def test_late_never_and_ended(self):
        for told in (
            story(back=OUTAGE.bound + 2 * SLACK), story(back=None), story(noticed=OUTAGE.notice_bound + 2 * SLACK),
            story(noticed=None), story(ended=(2.0, 14)),
        ):  # fmt: skip
            self.assertEqual(len(self.found(told)), 1, told)


class Row(unittest.TestCase):
    def test_medians_and_the_most(self):
        stories = [story(back=back, noticed=0.02) for back in (0.1, 0.9, 0.3)]
        cells = ("refused 3 s", "3", "envdial", OLD, "0.02 s (most 0.02)", "0.30 s (most 0.90)", "0 connects", "-")
        self.assertEqual(row(OUTAGE, "envdial", stories), cells)

    def test_who_never_came_back_and_who_ended(self):
        gone = story(back=None, noticed=None, ended=(304.0, 14))
        self.assertEqual(row(OUTAGE, "other", [gone])[4:], ("never", "never", "0 connects", "code 14 after 304 s"))
        cells = ("1 of 2 never", "1 of 2 never", "0 connects", "code 14 after 304 s, 1 of 2 times")
        self.assertEqual(row(OUTAGE, "other", [gone, story()])[4:], cells)

    def test_what_was_shown_in_turn(self):
        told = story([(OLD, 60.0), ("empty file", 30.0)])
        self.assertEqual(row(OUTAGE, "other", [told])[3], "old value 60.0 s, empty file 30.0 s")
        self.assertEqual(row(OUTAGE, "other", [story([(OLD, 0.01), ("blank", 10.0)])])[3], "blank")
