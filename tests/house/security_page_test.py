# SPDX-License-Identifier: Apache-2.0
import re
import unittest

import tree

# A row of docs/security.md ends in the tests that show what it says.
_ROW = re.compile(r"^\|.*\| (`[^|]*) \|$", re.MULTILINE)
_CLAIMS = "## What each can and cannot do"


class SecurityPageTest(unittest.TestCase):
    def setUp(self):
        self.top = tree.source_dir()
        page = (self.top / "docs/security.md").read_text()
        self.rows = _ROW.findall(page[page.index(_CLAIMS) :])

    def test_each_line_of_the_threat_model_names_tests_that_there_are(self):
        known = tree.tests(self.top)
        self.assertTrue(self.rows)
        for row in self.rows:
            for name in re.findall("`([^`]+)`", row):
                with self.subTest(name=name):
                    command, *arguments = name.split()
                    if command == "script/fuzz":
                        for target in arguments:
                            self.assertTrue((self.top / "tests/fuzz/corpus" / target).is_dir(), target)
                    elif command == "script/drill":
                        self.assertIn(f"\n#        {command} {arguments[0]} ", (self.top / command).read_text())
                    else:
                        self.assertTrue(any(name in test for test in known))

    def test_no_line_is_without_one(self):
        page = (self.top / "docs/security.md").read_text()
        claims = [line for line in page[page.index(_CLAIMS) :].splitlines() if line.startswith("|")]
        heads = [line for line in claims if line.endswith("| test |") or set(line) <= set("|-")]
        self.assertEqual(len(self.rows), len(claims) - len(heads))


if __name__ == "__main__":
    unittest.main()
