# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/kubernetes.md, in their order, as they stand there."""

import re
from pathlib import Path

from support.kubernetes import run

PAGE = Path("docs/kubernetes.md")
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
NOT_HERE = "# needs nodes"  # a block that begins like this asks for a kubelet


def blocks():
    return _BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def run_block(drill, block):
    said = run("bash", "-euo", "pipefail", "-c", block, env=drill.cluster.env())
    assert said.code == 0, said.text
    assert "Warning" not in said.err, said.err
    return said.out.strip().splitlines()[-1][:90] if said.out.strip() else "done"


def check(drill):
    drill.helm("uninstall", "envdial")
    drill.kubectl("delete", "deployments,cronjobs,pods,services,configmaps", "--all", "--wait=false", "--force")
    for number, block in enumerate(blocks(), 1):
        first = next(line for line in block.splitlines() if line)
        if block.startswith(NOT_HERE):
            drill.rows.append((f"docs/kubernetes.md, block {number}", "not run: there are no nodes", "-"))
        else:
            drill.check(
                f"docs/kubernetes.md, block {number}: {first[:60]}", lambda block=block: run_block(drill, block)
            )
