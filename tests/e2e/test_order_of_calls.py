# SPDX-License-Identifier: Apache-2.0
"""In which order a change reaches the files, as the kernel sees it: saved before it is shown, synced after."""

import re

from support.case import EndToEndTest
from support.crash_points import Lives

STORE_CALLS = (
    "openat state/{0}.tmp O_WRONLY", "pwrite64 state/{0}.tmp", "renameat2 state/{0}.tmp state/{0} RENAME_EXCHANGE",
    "rename run/env.tmp run/env", "rename run/snapshot.tmp run/snapshot",
    "io_submit state/{0}", "openat state O_DIRECTORY O_RDONLY", "io_submit state",
)  # fmt: skip
ENV_CALLS = (
    "pwrite64 run/env.tmp", "rename run/env.tmp run/env",
    "openat run/env.tmp O_CREAT O_EXCL O_WRONLY", "fchown run/env.tmp", "fchmod run/env.tmp", "pwrite64 run/env.tmp",
)  # fmt: skip


class OrderOfCalls(EndToEndTest):
    def test_the_order_is_what_the_seam_says(self):
        lives = Lives(self.where, self.closed_port())
        self.addCleanup(lives.close)
        life = lives.begin("two", others=True).start_and_change()
        self.assertTrue(life.wait_shown(), life.pod.log())
        life.end()
        self.assertEqual(life.pod.unknown_calls(), set(), "calls on files that are never made to fail")
        shapes = [call.shape for call in life.pod.calls()]
        changed = shapes.index("rename run/env.tmp run/env")
        exchange = next(shape for shape in reversed(shapes[:changed]) if shape.startswith("renameat2 "))
        slot = re.search(r"last-known-good\.\d", exchange)[0]
        self.assert_in_order(shapes, [each.format(slot) for each in STORE_CALLS], changed)
        self.assert_in_order(shapes, ENV_CALLS, changed)

    def assert_in_order(self, shapes, expected, around):
        """Each of the expected once in the change that renames the env file at `around`, one after the other."""
        first = max(number for number, shape in enumerate(shapes[: around + 1]) if shape == expected[0])
        change = shapes[first:]
        self.assertEqual([shape for shape in change if shape in expected], list(expected), "\n".join(change))
