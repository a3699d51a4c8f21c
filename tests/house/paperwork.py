# SPDX-License-Identifier: Apache-2.0
"""What every file of ours must have: a licence line, a bounded size, JSON that parses, links that lead somewhere."""

import json
import os
import pathlib
import re
import urllib.parse

import tree

# Beyond it a file is rarely about one thing.
MAX_LINES = 400
# Apps copy this one header, and nothing else.
LONGER = {pathlib.Path("clients/c/envdial.h"): 680}

_CODE = {".cc", ".h", ".c", ".py", ".go", ".sh", ".cmake"}
_SPDX = "SPDX-License-Identifier: Apache-2.0"
_LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def check(top: pathlib.Path) -> list[str]:
    """What is missing in the tree `top`, one sentence each."""
    found = []
    for path in tree.files(top):
        if _is_code(top / path):
            found += _check_code(top, path)
        elif path.suffix == ".md":
            found += _check_links(top, path)
        elif path.suffix == ".json" and path.parts[:3] != ("tests", "guard", "dials"):  # bad ones, and comments
            found += _check_json(top, path)
    return found


def scripts(top: pathlib.Path) -> list[pathlib.Path]:
    """What people start: the executable files of script/ and .ci/."""
    started = (top / path for path in tree.files(top) if path.parts[0] in ("script", ".ci"))
    return [path for path in started if os.access(path, os.X_OK)]


def _is_code(path: pathlib.Path) -> bool:
    if path.suffix in _CODE or path.name == "CMakeLists.txt":
        return True
    with open(path, "rb") as file:
        return file.read(2) == b"#!"


def _check_code(top: pathlib.Path, path: pathlib.Path) -> list[str]:
    lines = (top / path).read_text(encoding="utf-8").splitlines()
    found = []
    if not any(_SPDX in line for line in lines[:2]):
        found.append(f"{path}: the first line (after #!) must be: {_SPDX}")
    most = LONGER.get(path, MAX_LINES)
    if len(lines) > most:
        found.append(f"{path}: {len(lines)} lines are more than {most}: split it by meaning")
    return found


def _check_links(top: pathlib.Path, path: pathlib.Path) -> list[str]:
    text = _FENCE.sub("", (top / path).read_text(encoding="utf-8"))
    found = []
    for link in _LINK.findall(text):
        target = urllib.parse.urlsplit(link)
        if target.scheme or target.netloc or not target.path:
            continue
        if not (top / path.parent / urllib.parse.unquote(target.path)).exists():
            found.append(f"{path}: the link {link} leads nowhere")
    return found


def _check_json(top: pathlib.Path, path: pathlib.Path) -> list[str]:
    try:
        json.loads((top / path).read_text(encoding="utf-8"))
    except ValueError as error:
        return [f"{path}: {error}"]
    return []
