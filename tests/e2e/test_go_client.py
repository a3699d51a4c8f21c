# SPDX-License-Identifier: Apache-2.0
"""The Go client beside the real sidecar and a real Consul."""

import shutil
import sys
import tempfile
from pathlib import Path

from support import client_story, go_client, pages
from support.app_reader import AppReader
from support.running_app import RunningApp


class GoClient(client_story.ClientStory):
    @classmethod
    def setUpClass(cls):
        folder = Path(tempfile.mkdtemp(prefix="envdial-go-"))
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.program = go_client.build(go_client.TOP / "tests/clients/go/app", folder / "app")

    def open_reader(self, sidecar):
        app = RunningApp([self.program], {"ENVDIAL_RUN_DIR": str(sidecar.run_dir)}, sys.stderr)
        self.addCleanup(app.end)
        return AppReader(app)


class GoPage(client_story.PageStory):
    def start_app(self, env):
        program = go_client.build_snippet(pages.client_snippet("go"), self.where / "page")
        app = RunningApp([program], env, sys.stderr)
        self.addCleanup(app.end)
        return app
