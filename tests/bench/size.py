# SPDX-License-Identifier: Apache-2.0
"""What `script/bench size` does: size.py MAP, where MAP is the linker's of the image's program."""

import collections
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import link_map  # noqa: E402  (found only now)
from support.report import print_table  # noqa: E402

SHOWN = 20
KINDS = ("code", "data", "tables of exceptions")
NOT_IN_THE_FILE = (".bss", ".tbss", ".comment", ".debug", ".stab")


def origin(linked):
    """Archive and member. All of ours is one, since it is optimised as a whole."""
    archive = re.search(r"([^/]+\.a)\((.+)\)$", linked.file)
    if archive:
        return archive[1], f"{archive[1]}({archive[2]})"
    return ("envdial's own", "") if ".ltrans" in linked.file else ("start-up and the linker's", "")


def kind(linked):
    if linked.output.startswith(".text"):
        return "code"
    return "tables of exceptions" if linked.output in (".eh_frame", ".gcc_except_table") else "data"


def main():
    archives, members, parts = collections.Counter(), collections.Counter(), collections.Counter()
    for linked in link_map.read(Path(sys.argv[1])):
        if linked.output.startswith(NOT_IN_THE_FILE):
            continue
        archive, member = origin(linked)
        archives[archive] += linked.size
        parts[archive, kind(linked)] += linked.size
        members[member] += linked.size
    del members[""]
    rows = [("from", "bytes", *KINDS)]
    for name, size in archives.most_common():
        rows.append((name, f"{size:,}", *(f"{parts[name, each]:,}" for each in KINDS)))
    sums = [sum(parts[name, each] for name in archives) for each in KINDS]
    print_table([*rows, ("all", f"{sum(sums):,}", *(f"{each:,}" for each in sums))])
    print()
    largest = [(name, f"{size:,}") for name, size in members.most_common(SHOWN)]
    print_table([("the largest of the libraries' parts", "bytes"), *largest])


main()
