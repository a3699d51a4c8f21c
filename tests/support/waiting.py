# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition with a deadline."""

import time


def eventually(what, condition, within=10.0, every=0.003):
    """Calls `condition` until it returns something true, and returns that.

    OSError, KeyError and ValueError mean "not yet": a socket or a file that is not there, an answer that does not hold
    the thing. When `within` seconds are over, fails and says what was waited for and what was seen last.
    """
    deadline = time.monotonic() + within
    seen = None
    while True:
        try:
            seen = condition()
            if seen:
                return seen
        except (OSError, KeyError, ValueError) as not_yet:
            seen = repr(not_yet)
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what} (last seen: {seen!r})")
        time.sleep(every)


def always(what, condition, during):
    """Fails as soon as `condition` returns something false within the next `during` seconds."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        if not condition():
            raise AssertionError(f"no longer: {what}")
        time.sleep(0.01)
