# SPDX-License-Identifier: Apache-2.0
"""Users and capabilities that a process is started with, and those that it holds."""

import os
import re
from pathlib import Path

IS_ROOT = os.geteuid() == 0
# Without root, a user namespace gives a process all capabilities to begin with.
ALL_CAPABILITIES = () if IS_ROOT else ("unshare", "--user", "--map-root-user")
# As in a container with `drop: [ALL]`, but of the same user.
NO_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--") if IS_ROOT else ()
CAP_KILL = 1 << 5
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def capabilities(pid):
    """The sets of capabilities of each task of a process, as bits, and whether it can gain new ones."""
    tasks = [Path(f"/proc/{pid}/task/{task}/status").read_text() for task in os.listdir(f"/proc/{pid}/task")]
    fields = [dict(re.findall(r"^(\w+):\s*(\w+)$", text, re.MULTILINE)) for text in tasks]
    return [{name: int(found[name], 16) for name in (*SETS, "NoNewPrivs")} for found in fields]


def holding(bits=0):
    """What a task shows that holds these, can pass none of them on, and can gain no other."""
    return {"CapInh": 0, "CapPrm": bits, "CapEff": bits, "CapBnd": 0, "CapAmb": 0, "NoNewPrivs": 1}


def as_user(uid, gid):
    """A prefix that makes a command another user's. Needs root, or sudo without a password."""
    sudo = () if IS_ROOT else ("sudo", "-n")
    return (*sudo, "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--pdeathsig", "KILL", "--")
