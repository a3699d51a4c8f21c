# SPDX-License-Identifier: Apache-2.0
"""Reads the map that GNU ld writes of what it linked (-Wl,-Map)."""

import re
import typing


class Linked(typing.NamedTuple):
    address: int
    size: int
    output: str  # section of the program
    name: str  # section of the file
    file: str  # archive(member), or an object


def read(map_file):
    """What is in the program, by address."""
    found, output, name = [], None, None
    for line in map_file.read_text(errors="replace").partition("\nLinker script and memory map\n")[2].splitlines():
        if match := re.match(r"^(\.[\w.]+)", line):
            output = match[1]
        elif match := re.match(r"^ (\.\S+)$", line):
            name = match[1]
        elif match := re.match(r"^ (\.\S+|) +0x([0-9a-f]+) +0x([0-9a-f]+) (\S+)$", line):
            if int(match[3], 16) > 0 and int(match[2], 16) > 0:
                found.append(Linked(int(match[2], 16), int(match[3], 16), output, match[1] or name, match[4]))
    return sorted(found)
