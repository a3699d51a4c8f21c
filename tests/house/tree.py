# SPDX-License-Identifier: Apache-2.0
"""Walks the checkout for the house tests, which read sources and run no program of ours."""

import os
import pathlib

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
