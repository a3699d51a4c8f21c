# SPDX-License-Identifier: Apache-2.0
"""Prints the nanoseconds of one read of a dial by the Python client: the median of many batches, less the loop's own."""

import statistics
import sys
import timeit

import envdial

READS = 5000
BATCHES = 41


def nanoseconds(statement, names):
    timer = timeit.Timer(statement, globals=names)
    return statistics.median(timer.repeat(BATCHES, READS)) / READS * 1e9


dial = envdial.open()[sys.argv[1]]
print(nanoseconds("dial.value", {"dial": dial}) - nanoseconds("pass", {}))
