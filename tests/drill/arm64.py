# SPDX-License-Identifier: Apache-2.0
"""What `script/drill arm64` does. Needs ENVDIAL_ARM64, and the rooms' tests in build/arm64."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests"))

from support import report  # noqa: E402  (found only now)


def run_room(room):
    """How many tests passed and failed, and what was said."""
    folder = os.environ["ENVDIAL_ARM64"]
    program = TOP / f"build/arm64/tests/{room}/{room}_tests"
    command = [f"{folder}/qemu-aarch64-static", "-L", f"{folder}/sysroot", program, "--gtest_brief=1"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    said = done.stdout + done.stderr
    passed = re.search(r"^\[  PASSED  \] (\d+) test", said, re.MULTILINE)
    failed = set(re.findall(r"^\[  FAILED  \] (\S+\.\S+)", said, re.MULTILINE))
    return int(passed[1]) if passed else 0, len(failed), done.returncode, said


def main():
    rows, wrong = [("room", "passed", "failed", "seconds")], []
    for room in sys.argv[1:]:
        began = time.monotonic()
        passed, failed, code, said = run_room(room)
        rows.append((room, str(passed), str(failed), f"{time.monotonic() - began:.1f}"))
        if code != 0 or not passed:
            wrong.append(room)
            print(f"--- {room}: {code}\n{said[-6000:]}", flush=True)
    report.print_table(rows)
    sys.exit(f"arm64: these failed: {', '.join(wrong)}" if wrong else None)


main()
