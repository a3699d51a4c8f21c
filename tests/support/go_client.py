# SPDX-License-Identifier: Apache-2.0
"""Builds programs that use the Go client, without a network."""

import os
import shutil
import subprocess
from pathlib import Path

from support import processes

TOP = Path(__file__).resolve().parents[2]
CLIENT = TOP / "clients/go"
MODULE = "github.com/envdial/envdial/clients/go"
CACHE = TOP / "build/go"
BUILD_SECONDS = 500  # the first time Go compiles its standard library

_MAIN = """\
package main

import (
	"context"
	"fmt"

	envdial "{module}"
)

func main() {{
{body}}}
"""


def find_go():
    """ENVDIAL_GO, else `go` on the PATH, else where Go's own archive is unpacked."""
    usual = "/usr/local/go/bin/go"
    found = os.environ.get("ENVDIAL_GO") or shutil.which("go") or (usual if Path(usual).exists() else None)
    if found is None:
        raise AssertionError("no Go: run script/setup, or name one of 1.19 or newer by ENVDIAL_GO=/path/to/go")
    return found


def run_go(*arguments, folder):
    """Runs Go in the module `folder`. It fetches nothing, neither modules nor another Go, and writes into build/."""
    settings = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOWORK": "off", "GOPROXY": "off", "GOENV": "off"}
    places = {"GOCACHE": str(CACHE / "cache"), "GOPATH": str(CACHE / "path")}
    done = subprocess.run(
        [find_go(), *map(str, arguments)],
        cwd=folder,
        env=processes.clean_environment(settings | places),
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    if done.returncode != 0:
        raise AssertionError(f"go {' '.join(map(str, arguments))} in {folder}: {done.stdout}{done.stderr}")


def build(folder, program):
    """Builds the main package in `folder`, a module of its own, into the file `program`."""
    run_go("build", "-o", program, ".", folder=folder)
    return program


def build_snippet(lines, folder):
    """Builds a program of these lines, in the new folder `folder`."""
    folder.mkdir()
    body = "".join(f"\t{line}\n" for line in lines)
    (folder / "main.go").write_text(_MAIN.format(module=MODULE, body=body))
    (folder / "go.mod").write_text(
        f"module envdial.invalid/page\n\ngo 1.19\n\nrequire {MODULE} v0.0.0\n\nreplace {MODULE} => {CLIENT}\n"
    )
    return build(folder, folder / "program")
