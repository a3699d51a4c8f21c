# SPDX-License-Identifier: Apache-2.0
"""Where a drill in namespaces of its own puts its files."""

import contextlib
import shutil
import sys
from pathlib import Path

from support import network


@contextlib.contextmanager
def place(kept):
    """A directory in memory that only this drill sees, gone with its last process; kept in `kept` if it fails."""
    where = Path("/run/envdial-drill")
    where.mkdir(exist_ok=True)
    network.run("mount", "-t", "tmpfs", "-o", "size=4g,mode=0755", "tmpfs", where)
    try:
        yield where
    except BaseException:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(where, kept, ignore=lambda folder, names: [
            name for name in names if not (Path(folder, name).is_dir() or Path(folder, name).is_file())
        ])  # fmt: skip
        print(f"its files and logs are in {kept}", file=sys.stderr)
        raise
