# SPDX-License-Identifier: Apache-2.0
"""The snippets that the docs show, so that tests run what readers paste."""

import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
MOST_LINES = 5


def snippet(page, language):
    """The lines of the one block of code in `language` on a page, given from the top of the tree."""
    text = (TOP / page).read_text()
    blocks = re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if len(blocks) != 1:
        raise AssertionError(f"{page} has {len(blocks)} blocks in {language}, and one was expected")
    lines = blocks[0].splitlines()
    if len(lines) > MOST_LINES:
        raise AssertionError(f"{page}: the block in {language} has {len(lines)} lines, and {MOST_LINES} are promised")
    return lines


def client_snippet(language):
    """The five lines by which a program in `language` follows a dial, as docs/clients.md and the README show them."""
    lines = snippet("docs/clients.md", language)
    if snippet("README.md", language) != lines:
        raise AssertionError(f"README.md and docs/clients.md differ in what they show in {language}")
    return lines
