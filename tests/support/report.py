# SPDX-License-Identifier: Apache-2.0
"""How measurements are printed: a table, and the conditions under which they were made."""

import os
import re
import subprocess
from pathlib import Path

from support.real_consul import find_binary
from support.sidecar import envdial


def print_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if row is rows[0]:
            print("  " + "  ".join("-" * width for width in widths))


def print_conditions(*more, consul="a development agent on the loopback"):
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    version = subprocess.run([find_binary(), "version"], capture_output=True, text=True, check=True).stdout
    print("\nConditions")
    for line in (
        f"{os.cpu_count()} cores, {cpu[1] if cpu else os.uname().machine}, Linux {os.uname().release}, "
        f"load {os.getloadavg()[0]:.1f}",
        f"{version.splitlines()[0]}, {consul}; {envdial('version').stdout.strip()}",
        *more,
    ):
        print(f"  {line}")
