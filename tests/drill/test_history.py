# SPDX-License-Identifier: Apache-2.0
"""The checker of histories finds what was planted in them, and nothing in those that are well."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from history import CHANNELS, check, dials_of, text_of, value_of  # noqa: E402  (found only now)


class Story:
    """Events one after the other. Unless told otherwise, they are of one pod and seen on all of its channels."""

    def __init__(self):
        self.events = []

    def add(self, what, **more):
        self.events.append({"t": float(len(self.events)), "what": what} | more)
        return self

    def put(self, value):
        return self.add("put", value=value).add("took", value=value)

    def seen(self, dials, channels=CHANNELS, version=None):
        for channel in channels:
            told = version if channel in ("snapshot_file", "control") else None
            self.add("seen", pod="p1", channel=channel, version=told, dials=dials)
        return self

    def shown(self, *values):
        for value in values:
            self.put(value).seen(dials_of(value), version=value)
        return self

    def healed(self):
        return self.add("healed", pod="p1")

    def due(self, value, exact=False):
        return self.add("due", pod="p1", value=value, exact=exact)

    def kinds(self):
        return {violation.kind for violation in check(self.events)}


class GoodHistories(unittest.TestCase):
    def check(self, story):
        self.assertEqual([], check(story.events))

    def test_one_after_the_other(self):
        self.check(Story().shown(1, 2, 3).healed().due(3))

    def test_a_value_may_be_skipped(self):
        self.check(Story().shown(1).put(2).shown(3).healed().due(2))

    def test_a_value_may_be_seen_before_its_put_is_answered_or_when_it_never_is(self):
        self.check(Story().shown(1).add("put", value=2).seen(dials_of(2)).add("took", value=2))
        self.check(Story().shown(1).add("put", value=2).seen(dials_of(2)))

    def test_the_same_may_be_seen_again(self):
        self.check(Story().shown(1).seen(dials_of(1), version=1))

    def test_a_value_that_consul_never_had_and_nobody_showed(self):
        self.check(Story().shown(1).add("put", value=2).shown(3).add("never", value=2))

    def test_back_to_what_was_restored(self):
        story = Story().shown(1, 2, 3).add("restored", value=2).healed()
        self.check(story.seen(dials_of(2), version=4).due(2, exact=True).put(4).seen(dials_of(4), version=5).due(4))

    def test_a_newer_value_serves_where_one_is_due(self):
        self.check(Story().shown(1).healed().put(2).shown(3).due(2))

    def test_events_in_another_order(self):
        self.assertEqual([], check(list(reversed(Story().shown(1, 2, 3).events))))


class PlantedViolations(unittest.TestCase):
    def check(self, kind, story):
        self.assertEqual({kind}, story.kinds())

    def test_invented(self):
        self.check("wrong", Story().shown(1).seen(dials_of(7)))

    def test_seen_before_it_was_put(self):
        self.check("wrong", Story().shown(1).seen(dials_of(2)).put(2))

    def test_no_number(self):
        for text in ("1x", "-1", " 1", "'1'"):
            with self.subTest(text=text):
                self.check("wrong", Story().shown(1).seen(dials_of(1) | {"A": text}))

    def test_a_value_that_consul_never_had(self):
        story = Story().shown(1).add("put", value=2).seen(dials_of(2), ["control"], version=2)
        self.check("wrong", story.add("never", value=2))
        self.check("wrong", Story().shown(1).add("put", value=2).add("never", value=2).seen(dials_of(2)))

    def test_older_on_one_channel(self):
        for channel in CHANNELS:
            with self.subTest(channel=channel):
                self.check("older", Story().shown(1, 2).seen(dials_of(1), [channel], version=3))

    def test_older_than_what_was_restored(self):
        story = Story().shown(1, 2, 3).add("restored", value=2).seen(dials_of(1), ["env_file"])
        self.check("older", story)

    def test_back_a_second_time_after_a_restore(self):
        story = Story().shown(1, 2).add("restored", value=1).seen(dials_of(1), version=3).put(3)
        self.check("older", story.seen(dials_of(3), version=4).seen(dials_of(1), ["env_file"]))

    def test_a_version_that_went_back(self):
        self.check("older", Story().shown(1).put(2).seen(dials_of(2), version=5).put(3).seen(dials_of(3), version=4))

    def test_blank(self):
        for dials in (None, {}, {"": ""}, dials_of(1) | {"B": ""}, dials_of(1) | {"C": None}):
            with self.subTest(dials=dials):
                self.check("blank", Story().shown(1).seen(dials))

    def test_a_dial_is_missing(self):
        self.check("torn", Story().shown(1).seen({"A": "1", "B": text_of("B", 1)}))

    def test_half_a_text(self):
        self.check("torn", Story().shown(1).seen(dials_of(1) | {"C": text_of("C", 1)[:-9]}))

    def test_half_a_file(self):
        self.check("wrong", Story().shown(1).seen({"": "A='1'\nB='"}))

    def test_two_snapshots_in_one(self):
        self.check("torn", Story().shown(1, 2).seen(dials_of(2) | {"B": text_of("B", 1)}))

    def test_one_version_for_two_contents(self):
        self.check("torn", Story().shown(1).put(2).seen(dials_of(2), ["snapshot_file"], version=1))

    def test_one_version_for_two_contents_on_two_channels(self):
        story = Story().shown(1).put(2).seen(dials_of(2), ["control"], version=2)
        self.check("torn", story.put(3).seen(dials_of(3), ["snapshot_file"], version=2))

    def test_lost_on_one_channel(self):
        for channel in CHANNELS:
            with self.subTest(channel=channel):
                others = [other for other in CHANNELS if other != channel]
                self.check("lost", Story().shown(1).healed().put(2).seen(dials_of(2), others, version=2).due(2))

    def test_lost_by_a_pod_that_shows_nothing(self):
        self.check("lost", Story().put(1).healed().due(1))

    def test_what_was_restored_never_came(self):
        self.check("lost", Story().shown(1, 2).add("restored", value=1).healed().due(1, exact=True))

    def test_a_broken_history_is_not_taken_for_a_good_one(self):
        with self.assertRaisesRegex(AssertionError, "never put"):
            check([{"t": 0.0, "what": "took", "value": 1}])


class Texts(unittest.TestCase):
    def test_each_value_has_its_own(self):
        for dial in dials_of(1):
            self.assertEqual(500, len({text_of(dial, value) for value in range(500)}))

    def test_a_text_tells_its_value(self):
        self.assertEqual(17, value_of(text_of("A", 17)))
        self.assertIsNone(value_of(None))
        self.assertIsNone(value_of("٣"))
