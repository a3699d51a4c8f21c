# SPDX-License-Identifier: Apache-2.0
"""The image's papers: what deploy/image/parts names is locked, and the Dockerfile takes what it needs and no more."""

import re
import unittest

import tree

TOP = tree.source_dir()
SCHEMES = {"tool": "package", "library": "package", "header": "package", "source": "source"}


def rows(path):
    lines = (TOP / path).read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


class ImageTest(unittest.TestCase):
    def test_each_part_is_locked(self):
        locked = {(row[0], row[2]) for row in rows("deploy/image.lock") if row[0] != "date"}
        for kind, name, *_ in rows("deploy/image/parts"):
            with self.subTest(part=name):
                self.assertIn((SCHEMES[kind], name), locked, "run script/image --update")

    def test_each_source_is_a_part(self):
        parts = {name for kind, name, *_ in rows("deploy/image/parts") if kind == "source"}
        self.assertEqual(parts, {row[2] for row in rows("deploy/image.lock") if row[0] == "source"})

    def test_the_lock_has_versions_and_checksums(self):
        for row in rows("deploy/image.lock"):
            with self.subTest(row=row):
                text = " ".join(row)
                pattern = r"date \S+Z|(package \w+|source source) [a-z0-9.+-]+ [A-Za-z0-9.:~+-]+ [0-9a-f]{64}"
                self.assertRegex(text, re.compile(f"^({pattern})$"))

    def test_what_is_linked_has_a_licence(self):
        for kind, name, *licence in rows("deploy/image/parts"):
            with self.subTest(part=name):
                self.assertEqual(kind != "tool", bool(licence))

    def test_the_context_is_there(self):
        for (name,) in rows(".dockerignore"):
            if name.startswith("!"):
                with self.subTest(name=name):
                    self.assertTrue((TOP / name[1:]).exists())

    def test_the_image_is_one_program_and_no_root(self):
        last = (TOP / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")[2]
        self.assertTrue(last.startswith("scratch\n"))
        self.assertEqual(1, last.count("\nCOPY "))
        self.assertIn('\nUSER 65532:65532\nENTRYPOINT ["/envdial"]\n', last)


if __name__ == "__main__":
    unittest.main()
