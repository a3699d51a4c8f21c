# SPDX-License-Identifier: Apache-2.0
import pathlib
import subprocess
import tempfile
import unittest

import paperwork
import tree

_SPDX = "SPDX-License-Identifier: Apache-2.0"

GOOD = {
    "base/a.cc": f"// {_SPDX}\n" + "\n" * (paperwork.MAX_LINES - 1),
    "base/CMakeLists.txt": f"# {_SPDX}\n",
    "script/run": f"#!/bin/sh\n# {_SPDX}\n",
    "docs/a.json": "{}\n",
    "docs/a.md": "[b](b.md#part) [top](../README.md) [out](https://example.org/x) [x](#y)\n```\n[no](no.md)\n```\n",
    "docs/b.md": "",
    "README.md": "![picture](docs/a.json)\n",
}

FAULTS = [
    ("base/b.h", "#pragma once\n", "base/b.h: the first line"),
    ("script/go", "#!/bin/sh\necho\n", "script/go: the first line"),
    ("base/a.cc", GOOD["base/a.cc"] + "\n", "base/a.cc: 401 lines are more than 400"),
    ("docs/a.json", "{,}\n", "docs/a.json: "),
    ("docs/c.md", "see [this](c/d.md)\n", "docs/c.md: the link c/d.md leads nowhere"),
]


class PaperworkTest(unittest.TestCase):
    maxDiff = None

    def test_the_tree_is_in_order(self):
        self.assertEqual([], paperwork.check(tree.source_dir()))

    def test_a_tree_without_fault_passes(self):
        self.assertEqual([], self._check({}))

    def test_each_planted_fault_is_found(self):
        for name, text, expected in FAULTS:
            with self.subTest(name=name):
                found = self._check({name: text})
                self.assertEqual(1, len(found), found)
                self.assertIn(expected, found[0])

    def test_every_script_has_help(self):
        scripts = paperwork.scripts(tree.source_dir())
        self.assertTrue(scripts)
        for script in scripts:
            with self.subTest(script=script.name):
                done = subprocess.run(
                    [script, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20
                )
                self.assertEqual(0, done.returncode, done.stderr)
                self.assertIn("Usage: ", done.stdout)
                self.assertGreater(len(done.stdout.splitlines()), 2)

    def _check(self, planted):
        with tempfile.TemporaryDirectory() as folder:
            tree.write_tree(pathlib.Path(folder), GOOD | planted)
            return paperwork.check(pathlib.Path(folder))


if __name__ == "__main__":
    unittest.main()
