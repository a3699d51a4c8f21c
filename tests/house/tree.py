# SPDX-License-Identifier: Apache-2.0
"""Walks the checkout for the house tests, which read sources and run no program of ours."""

import os
import pathlib
import re

_CASE = re.compile(r"^TEST(?:_F)?\((\w+), (\w+)\)", re.MULTILINE)
_NOT_OURS = {".git", "build", "__pycache__"}


def source_dir() -> pathlib.Path:
    """The checkout's top."""
    return pathlib.Path(__file__).resolve().parents[2]


def files(top: pathlib.Path) -> list[pathlib.Path]:
    """All files of ours, relative to `top`, sorted."""
    found = []
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in _NOT_OURS]
        found += [pathlib.Path(folder, name).relative_to(top) for name in names]
    return sorted(found)


def write_tree(top: pathlib.Path, contents: dict[str, str]) -> None:
    """Plants files for a self-test."""
    for name, text in contents.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def tests(top: pathlib.Path) -> set[str]:
    """As ctest calls them, as far as the sources tell: GoogleTest's of the rooms, and the files that run envdial."""
    names = set()
    for path in (top / "tests").glob("*/*_test.cc"):
        for suite, case in _CASE.findall(path.read_text(encoding="utf-8")):
            names.add(f"{path.parent.name}.{suite}.{case}")
    for path in (top / "tests").glob("*/test_*.py"):
        names.add(f"{path.parent.name}.{path.stem.removeprefix('test_')}")
    return names
