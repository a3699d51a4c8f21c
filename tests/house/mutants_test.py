# SPDX-License-Identifier: Apache-2.0
"""That no mutant of tests/drill rots: each still applies, and names tests and targets that there are."""

import pathlib
import re
import shutil
import sys
import tempfile
import unittest

import tree

sys.path.insert(0, str(tree.source_dir() / "tests/drill"))

import mutants  # noqa: E402  (found only now)

_TARGET = re.compile(r"(?:add_executable|envdial_tests)\(\s*(\w+)")
_PARTS = re.compile(r"foreach\(part ([^)]*)\)")
_PATCH = "tests/drill/mutants/version_restarts.patch"


def check(top: pathlib.Path) -> list[str]:
    """What is wrong with the mutants of the tree `top`, one sentence each."""
    tests, targets = tree.tests(top), _targets(top)
    found = []
    for path in sorted((top / "tests/drill/mutants").iterdir()):
        try:
            mutant = mutants.read(path)
            mutants.apply(mutant, top, "--check")
        except mutants.Broken as broken:
            found.append(str(broken))
            continue
        found += [f"{path.name}: there is no test {name}" for name in mutant.tests if name not in tests]
        found += [f"{path.name}: there is no target {name}" for name in mutant.targets if name not in targets]
    return found


def _targets(top: pathlib.Path) -> set[str]:
    names = set()
    for path in tree.files(top):
        if path.name != "CMakeLists.txt" and path.suffix != ".cmake":
            continue
        text = (top / path).read_text(encoding="utf-8")
        for name in _TARGET.findall(text):
            names |= {name, name + "_tests"}
        for parts in _PARTS.findall(text):
            names |= set(parts.split())
    return names


class MutantsTest(unittest.TestCase):
    maxDiff = None

    def test_every_mutant_fits_the_tree(self):
        self.assertGreaterEqual(len(mutants.read_all()), 12)
        self.assertEqual([], check(tree.source_dir()))

    def test_one_that_rots_is_named(self):
        for old, new, expected in [
            ("", "", None),
            ("version_(kept", "version_(found", "does not apply any more"),
            ("\n-  ", "\n   ", "does not apply any more"),
            ("VersionGoesOnFromTheStore", "VersionGoesOn", "there is no test fallback.LedgerStart.VersionGoesOn"),
            ("build: fallback_tests", "build: fallback_checks", "there is no target fallback_checks"),
            ("# simulator: yes\n", "", "expected lines of comment"),
            ("simulator: yes", "simulator: perhaps", '"# simulator: yes" or no'),
            ("# caught by", "# found by", "expected one of"),
        ]:
            with self.subTest(new=new):
                self._check(old, new, expected)

    def _check(self, old, new, expected):
        with tempfile.TemporaryDirectory() as folder:
            top = pathlib.Path(folder)
            for name in ("fallback/ledger.cc", "tests/fallback/ledger_start_test.cc", "tests/fallback/CMakeLists.txt"):
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(tree.source_dir() / name, top / name)
            text = (tree.source_dir() / _PATCH).read_text(encoding="utf-8")
            self.assertIn(old, text)
            tree.write_tree(top, {_PATCH: text.replace(old, new)})
            found = check(top)
            self.assertEqual(expected is not None, bool(found), found)
            if expected:
                self.assertIn(expected, found[0])


if __name__ == "__main__":
    unittest.main()
