# SPDX-License-Identifier: Apache-2.0
"""In which order a change reaches the files, as the kernel sees it: saved before it is shown, synced after."""

import re

from support.case import EndToEndTest
from support.crash_points import LATER, NEW, OLD, Lives

SHOWN = "rename run/env.tmp run/env"
STORE_CALLS = (
    "openat state/{0}.tmp O_WRONLY", "pwrite64 state/{0}.tmp", "renameat2 state/{0}.tmp state/{0} RENAME_EXCHANGE",
    SHOWN, "rename run/snapshot.tmp run/snapshot", "io_submit state/{0}", "openat state O_DIRECTORY O_RDONLY",
    "io_submit state",
)  # fmt: skip
IN_PLACE_CALLS = ("openat state/{0} O_WRONLY", "pwrite64 state/{0}", SHOWN, "io_submit state/{0}")
ENV_CALLS = (
    "pwrite64 run/env.tmp", SHOWN,
    "openat run/env.tmp O_CREAT O_EXCL O_WRONLY", "fchown run/env.tmp", "fchmod run/env.tmp", "pwrite64 run/env.tmp",
)  # fmt: skip


class OrderOfCalls(EndToEndTest):
    def begin(self):
        lives = Lives(self.where, self.closed_port())
        self.addCleanup(lives.close)
        life = lives.begin("two", others=True).start_and_change()
        self.assertTrue(life.wait_shown(), life.pod.log())
        return life

    def end(self, life):
        """The shapes of its calls."""
        life.end()
        self.assertEqual(life.pod.unknown_calls(), set(), "calls on files that are never made to fail")
        return [call.shape for call in life.pod.calls()]

    def test_the_order_is_what_the_seam_says(self):
        shapes = self.end(self.begin())
        changed = shapes.index(SHOWN)
        slot = self.slot_of("renameat2", shapes[:changed])
        self.assert_in_order(shapes, [each.format(slot) for each in STORE_CALLS], changed)
        self.assert_in_order(shapes, ENV_CALLS, changed)

    def test_once_both_slots_are_synced_they_are_written_in_place_and_synced_alone(self):
        life = self.begin()
        for value in (LATER, OLD, NEW) * 10:  # the third, or a later one where the disk is slow
            life.change_to(value)
            if any(re.fullmatch(r"pwrite64 state/last-known-good\.\d", call.shape) for call in life.pod.calls()):
                break
        shapes = self.end(life)
        changed = len(shapes) - 1 - shapes[::-1].index(SHOWN)
        slot = self.slot_of("pwrite64", shapes[:changed])
        self.assert_in_order(shapes, [each.format(slot) for each in IN_PLACE_CALLS], changed)
        self.assertNotIn("io_submit state", shapes[changed:], "no name has changed")

    @staticmethod
    def slot_of(call, shapes):
        """Of the newest such call."""
        newest = next(shape for shape in reversed(shapes) if shape.startswith(f"{call} state/"))
        return re.search(r"last-known-good\.\d", newest)[0]

    def assert_in_order(self, shapes, expected, around):
        """Each of the expected once in the change that renames the env file at `around`, one after the other."""
        first = max(number for number, shape in enumerate(shapes[: around + 1]) if shape == expected[0])
        change = shapes[first:]
        self.assertEqual([shape for shape in change if shape in expected], list(expected), "\n".join(change))
