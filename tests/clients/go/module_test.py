# SPDX-License-Identifier: Apache-2.0
"""Runs the Go client's own tests, and what Go itself finds fault with."""

import unittest

from support import go_client


class GoModule(unittest.TestCase):
    def test_its_own_tests(self):
        go_client.run_go("test", "-count=1", "./...", folder=go_client.CLIENT)

    def test_vet(self):
        go_client.run_go("vet", "./...", folder=go_client.CLIENT)
