# SPDX-License-Identifier: Apache-2.0
"""The dials of an envdial sidecar, always at their newest value.

    with envdial.open() as dials:                   # $ENVDIAL_RUN_DIR, else /run/envdial
        limit = dials["MAX_CONCURRENT"]             # once
        while running:
            if hunts < limit.value: ...             # the newest value, no system call
        for change in dials.watch(): ...            # sleeps until a value changes

Linux, 64 bit, standard library only. Everything here may be used by any number of threads. While the sidecar is gone
the last values stay; `dials.state` and `dials.age` tell.
"""

from ._dials import Dial, Dials, Snapshot, open
from ._file import BadSnapshot, NotPublished, Reading, Value
from ._watch import AsyncChanges, Change, Watch

__all__ = [
    "AsyncChanges",
    "BadSnapshot",
    "Change",
    "Dial",
    "Dials",
    "NotPublished",
    "Reading",
    "Snapshot",
    "Value",
    "Watch",
    "open",
]
