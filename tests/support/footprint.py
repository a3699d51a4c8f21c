# SPDX-License-Identifier: Apache-2.0
"""What a running sidecar takes up."""

import re
from pathlib import Path


def anonymous_bytes(pid):
    """Memory that is its alone: heap, stacks and the like. Exact where we may look (as root: it is not dumpable)."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(re.search(r"^Anonymous:\s+(\d+) kB", text, re.MULTILINE)[1]) << 10
    except PermissionError:
        text = Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE)[1]) << 10


def threads(pid):
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def open_files(sidecar):
    """As it counts itself: its /proc/PID/fd is closed to others. The connection that asks is among them."""
    return int(sidecar.metrics().samples["process_open_fds", frozenset()])
