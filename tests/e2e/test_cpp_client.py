# SPDX-License-Identifier: Apache-2.0
"""The C and C++ clients beside the real sidecar and a real Consul, and as an outside project finds them."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from support import client_story, pages, processes
from support.app_reader import AppReader
from support.case import EndToEndTest, one_dial
from support.client_story import DIALS
from support.running_app import RunningApp

BUILD = Path(os.environ["ENVDIAL_BINARY"]).parent
APP = BUILD / "tests/clients/client_app"
OUTSIDE = pages.TOP / "tests/clients/outside"
SECONDS = 300

# The README's lines are what stands in a program's main(), with these around them.
C_PROGRAM = """#include <envdial.h>
#include <stdio.h>
int main(void) {{
{body}
}}
"""
CPP_PROGRAM = """#include <envdial.hpp>
#include <iostream>
int main() {{
{body}
}}
"""


def run(*command, **environment):
    done = subprocess.run(
        [str(word) for word in command], env=processes.clean_environment(environment), capture_output=True, text=True,
        timeout=SECONDS,
    )  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Installed:
    """The headers and their packages, as `cmake --install` leaves them in a directory that ends with the tests."""

    def __init__(self):
        self.where = Path(tempfile.mkdtemp(prefix="envdial-installed-"))
        self.prefix = self.where / "prefix"
        run("cmake", "--install", BUILD, "--component", "clients", "--prefix", self.prefix)

    def flags(self):
        packages = self.prefix / "share/pkgconfig"
        return run("pkg-config", "--cflags", "envdial", PKG_CONFIG_PATH=str(packages)).split()

    def compile(self, compiler, standard, source, text):
        program = self.where / source.replace(".", "-")
        (self.where / source).write_text(text)
        run(compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", *self.flags(), self.where / source, "-o", program)
        return program

    def remove(self):
        shutil.rmtree(self.where)


class WithInstalled(EndToEndTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.installed = Installed()
        cls.addClassCleanup(cls.installed.remove)


class CppClient(client_story.ClientStory):
    def open_reader(self, sidecar):
        names = [f"{dial['type']}:{dial['env']}" for dial in DIALS] + ["int:NEW"]
        app = RunningApp([APP, *names], {"ENVDIAL_RUN_DIR": str(sidecar.run_dir)}, sys.stderr)
        self.addCleanup(app.end)
        return AppReader(app)


class OutsideProject(WithInstalled):
    def test_it_is_found_built_and_run(self):
        build = self.where / "outside"
        run("cmake", "-S", OUTSIDE, "-B", build, f"-DCMAKE_PREFIX_PATH={self.installed.prefix}")
        run("cmake", "--build", build)
        sidecar = self.sidecar(self.start_consul(), *one_dial("--default", 500)).start_ready()
        run(build / "strict", ENVDIAL_RUN_DIR=str(sidecar.run_dir))


class CPage(WithInstalled, client_story.PageStory):
    language, compiler, standard, program = "c", "cc", "c11", C_PROGRAM

    def start_app(self, env):
        lines = pages.client_snippet(self.language)
        text = self.program.format(body="\n".join(f"  {line}" for line in lines))
        program = self.installed.compile(self.compiler, self.standard, f"page.{self.language}", text)
        app = RunningApp(["stdbuf", "-oL", program], env, sys.stderr)
        self.addCleanup(app.end)
        return app


class CppPage(CPage):
    language, compiler, standard, program = "cpp", "c++", "c++17", CPP_PROGRAM
