# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of the files named; fails also where there was none, or where one was skipped.

    ENVDIAL_BINARY=build/dev/envdial python3 tests/support/runner.py tests/promises/test_nothing_lost.py [-k PATTERN]
"""

import argparse
import importlib.util
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def load(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main():
    arguments = argparse.ArgumentParser(description="run end-to-end tests")
    arguments.add_argument("files", nargs="+")
    arguments.add_argument("-k", dest="pattern", help="only tests whose name contains this")
    chosen = arguments.parse_args()
    loader = unittest.TestLoader()
    if chosen.pattern:
        loader.testNamePatterns = [f"*{chosen.pattern}*"]
    suite = unittest.TestSuite(loader.loadTestsFromModule(load(path)) for path in chosen.files)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if result.testsRun == 0:
        sys.exit("no test was run")
    if result.skipped:
        sys.exit("a test was skipped")
    sys.exit(not result.wasSuccessful())


main()
