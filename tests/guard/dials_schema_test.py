#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps docs/dials.schema.json, docs/dials.md and the parser in step.

Usage: dials_schema_test.py VERDICT SOURCE_DIR; VERDICT is the binary dials_verdict.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import jsonschema

VERDICT, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
EXAMPLES = SOURCE / "tests" / "guard" / "dials"
BAD_DIALS_FILE = 78

# Bad examples that a schema must let through, and why.
BEYOND_A_SCHEMA = {
    "repeated-member": "JSON readers keep one of two members",
    "repeated-dials": "JSON readers keep one of two members",
    "nested-too-deep": "a schema does not count levels in members that it ignores",
    "number-too-large-for-any-double": "the number is read as infinity before the schema sees it",
    "env-twice": "compares members of different dials",
    "key-twice": "compares members of different dials",
    "whole-key-too-long": "adds the lengths of two members",
    "default-int-as-5.0": "to a schema 5.0 is an integer",
    "default-int-with-exponent": "to a schema 1e3 is an integer",
    "default-int-minus-zero": "to a schema -0 is 0",
    "default-json-invalid": "a schema does not look into strings",
    "default-too-long": "compares two members",
    "default-above-max": "compares two members",
    "default-below-min-despite-clamp": "compares two members",
    "default-not-one-of": "compares two members",
    "secret-default-refused": "compares two members",
    "min-above-max": "compares two members",
    "max-longer-than-max-bytes": "compares two members",
    "max-step-percent-too-large": "a schema does not compare numbers in strings",
    "one-of-repeated-by-value": "to a schema 60s and 1m are different strings",
    "one-of-outside-the-bounds": "compares two members",
    "when-stale-value-refused": "compares two members",
}

COMMENT_OR_STRING = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def read(text):
    """The document as an editor would see it: without comments and byte order mark."""
    keep_strings = lambda match: match.group() if match.group().startswith('"') else " "
    return json.loads(COMMENT_OR_STRING.sub(keep_strings, text.removeprefix("\ufeff")))


def members_of_schema(schema):
    dial = schema["$defs"]["dial"]
    stale = next(form for form in dial["properties"]["when_stale"]["anyOf"] if form.get("type") == "object")
    objects = {"group": schema, "dial": dial, "when_stale": stale}
    return {(name, member) for name, each in objects.items() for member in each["properties"] if member != "$schema"}


class DialsSchema(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.schema = json.loads((SOURCE / "docs" / "dials.schema.json").read_text(encoding="utf-8"))
        cls.validator = jsonschema.Draft202012Validator(cls.schema)

    def passes_schema(self, data):
        try:
            return self.validator.is_valid(read(data.decode("utf-8")))
        except (UnicodeDecodeError, json.JSONDecodeError):
            return False

    def verdict(self, path):
        done = subprocess.run([VERDICT, str(path)], capture_output=True, check=False, timeout=60)
        self.assertIn(done.returncode, (0, BAD_DIALS_FILE), f"{path}: {done.stderr}")
        self.assertEqual(done.returncode == 0, done.stdout == b"", path)
        return done.returncode == 0, done.stdout.decode("utf-8")

    def test_schema_is_one(self):
        jsonschema.Draft202012Validator.check_schema(self.schema)

    def test_good_examples_pass_both(self):
        paths = sorted((EXAMPLES / "good").glob("*.json"))
        self.assertGreaterEqual(len(paths), 12)
        for path in paths:
            with self.subTest(path.name):
                faults = [fault.message for fault in self.validator.iter_errors(read(path.read_text(encoding="utf-8")))]
                self.assertEqual(faults, [])
                self.assertEqual(self.verdict(path), (True, ""))

    def test_bad_examples_fail_both(self):
        paths = sorted((EXAMPLES / "bad").glob("*.json"))
        self.assertGreaterEqual(len(paths), 45)
        for path in paths:
            with self.subTest(path.name):
                self.assertFalse(self.verdict(path)[0])
                self.assertEqual(self.passes_schema(path.read_bytes()), path.stem in BEYOND_A_SCHEMA)

    def test_every_exception_is_an_example(self):
        stems = {path.stem for path in (EXAMPLES / "bad").glob("*.json")}
        self.assertEqual(set(BEYOND_A_SCHEMA) - stems, set())

    def test_schema_and_parser_know_the_same_members(self):
        done = subprocess.run([VERDICT, "--members"], capture_output=True, check=True, text=True, timeout=60)
        parser = {tuple(line.split(" ")) for line in done.stdout.splitlines()}
        self.assertEqual(parser, members_of_schema(self.schema))
        for pattern in (self.schema, self.schema["$defs"]["dial"]):
            self.assertIn("^x-", pattern["patternProperties"])

    def test_every_member_is_described_and_on_the_page(self):
        page = (SOURCE / "docs" / "dials.md").read_text(encoding="utf-8")
        objects = (self.schema, self.schema["$defs"]["dial"])
        for name, member in ((n, m) for each in objects for n, m in each["properties"].items()):
            with self.subTest(name):
                self.assertTrue(member.get("description"))
                self.assertIn(f"`{name}`", page)

    def test_blocks_of_the_page_pass_both(self):
        page = (SOURCE / "docs" / "dials.md").read_text(encoding="utf-8")
        blocks = re.findall(r"^```json\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        self.assertGreaterEqual(len(blocks), 5)
        for number, block in enumerate(blocks, 1):
            with self.subTest(block=number), tempfile.TemporaryDirectory() as directory:
                path = pathlib.Path(directory) / "dials.json"
                path.write_text(block, encoding="utf-8")
                self.assertEqual(self.verdict(path), (True, ""))
                self.assertTrue(self.passes_schema(block.encode("utf-8")))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
