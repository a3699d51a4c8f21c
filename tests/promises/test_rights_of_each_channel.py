# SPDX-License-Identifier: Apache-2.0
"""Promise 7, channel by channel: which rights each needs (docs/security.md), and what others are refused."""

import json
import os
import re
import subprocess
from pathlib import Path

from support import processes
from support.case import KEY, NAME, EndToEndTest, one_dial
from support.rights import ALL_CAPABILITIES, CAP_KILL, IS_ROOT, NO_CAPABILITIES, as_user, capabilities, holding
from support.sidecar import env_text, envdial
from support.signal_app import SignalApp

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
GROUP = 4242 if IS_ROOT else os.getegid()  # a process without capabilities can share with groups of its own only
ANOTHER = 65534  # a user, and a group, that is neither ours nor that one
DENIED = "Permission denied"

# What a process can do with the run directory of its argument, as JSON.
INTRUDER = """
import json, os, socket, sys
folder = sys.argv[1]
def ask():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(folder + "/control.sock")
        client.sendall(b"GET /v1/values/MAX_CONCURRENT HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        return client.makefile().read().splitlines()[-1]
def look(name):
    with open(f"{folder}/{name}", "rb") as file:
        return len(file.read()) > 0
def write(name):
    return os.close(os.open(f"{folder}/{name}", os.O_WRONLY))
def attempt(what, *arguments):
    try:
        return what(*arguments)
    except OSError as error:
        return error.strerror
print(json.dumps({
    "ask": attempt(ask),
    "read": [attempt(look, name) for name in ("env", "snapshot")],
    "write": [attempt(write, name) for name in ("env", "snapshot")],
    "replace": attempt(os.rename, f"{folder}/env", f"{folder}/control.sock"),
}))
"""


class RightsOfEachChannel(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.consul = self.start_consul()
        self.consul.put(KEY, 100)

    def table(self):
        """The page's rows: what is turned on, by which flags, and what is held then."""
        rows = re.findall(r"^\| .* \| (`[^|]*`|always) \| .* \| ([^|]+) \|$", PAGE.read_text(), re.MULTILINE)
        self.assertGreaterEqual(len(rows), 6, f"{PAGE} has no table of the channels")
        return rows

    def test_each_channel_holds_what_the_page_says_and_no_more(self):
        for number, (flags, held) in enumerate(self.table()):
            with self.subTest(flags=flags):
                places = {"ADDR:PORT": f"127.0.0.1:{processes.free_port()}", "GID": str(os.getegid())}
                arguments = [places.get(word, word) for word in flags.strip("`").split() if flags != "always"]
                options = {"name": f"pod-{number}", "before": ALL_CAPABILITIES}
                pod = self.sidecar(self.consul, *one_dial(*arguments), **options).start_ready()
                expected = {"none": 0, "`CAP_KILL`": CAP_KILL}[held]
                self.assertEqual(capabilities(pod.pid), [holding(expected)])
                self.assertEqual(pod.log_lines("cap_"), [])
                pod.kill()

    def test_require_unprivileged_keeps_not_even_that_one(self):
        arguments = one_dial("--signal", "HUP", "--signal-to", "pidfile:/run/app.pid", "--require-unprivileged")
        pod = self.sidecar(self.consul, *arguments, before=ALL_CAPABILITIES).start_ready()
        self.assertEqual(capabilities(pod.pid), [holding()])

    def test_with_equal_users_every_channel_works_without_any_capability(self):
        app = SignalApp(self.where / "app", self.where / "pod" / "run" / "env")
        self.addCleanup(app.kill)
        app.start()
        port = processes.free_port()
        flags = ("--signal", "HUP", "--signal-to", f"exe:{app.path}", "--listen", f"127.0.0.1:{port}")
        pod = self.sidecar(self.consul, *one_dial("--require-unprivileged", *flags), before=NO_CAPABILITIES)
        pod.start_ready()
        self.assertEqual([task["CapPrm"] for task in capabilities(pod.pid)], [0])
        self.consul.put(KEY, 200)
        app.wait_signalled(200)
        pod.wait_env(MAX_CONCURRENT=200)
        self.assertEqual(pod.dial(NAME)["value"], "200")
        self.assertEqual(envdial("get", NAME, "--run-dir", pod.run_dir).stdout, "200\n")
        for channel in ("env_file", "snapshot_file", "control", "signal"):
            pod.wait_metric(0, "delivery_failures_total", channel=channel)
        version = pod.snapshot()["version"]
        self.assertEqual({channel["version"] for channel in pod.status()["channels"]}, {version})

    def test_who_is_of_the_same_user_cannot_look_into_it(self):
        pod = self.sidecar(self.consul, *one_dial(), env={"CONSUL_HTTP_TOKEN": "5ec3e7"}).start_ready()
        peek = "import sys; print(open(sys.argv[1], 'rb').read(1))"
        for name in ("environ", "mem", "maps"):
            with self.subTest(name=name):
                own, its = (
                    subprocess.run(
                        [*NO_CAPABILITIES, "/usr/bin/python3", "-I", "-S", "-c", peek, f"/proc/{pid}/{name}"],
                        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                    ).stderr for pid in ("self", pod.pid)
                )  # fmt: skip
                self.assertNotIn(DENIED, own)
                self.assertIn(DENIED, its)
        self.assertNotIn(b"5ec3e7", Path(f"/proc/{pod.pid}/cmdline").read_bytes())

    def intrude(self, *gids):
        """A sidecar that shares its run directory with a group, and tells what another user of each group can do."""
        before = ("setpriv", "--groups", GROUP, "--") if IS_ROOT else ()
        run_dir = self.where / "run"
        arguments = one_dial("--group", GROUP)
        pod = self.sidecar(self.consul, *arguments, run_dir=run_dir, make_run_dir=False, before=before).start_ready()
        pod.wait_env(MAX_CONCURRENT=100)
        self.where.chmod(0o711)  # so that the run directory itself is what stands before others
        for gid in gids:
            done = subprocess.run(
                [*as_user(ANOTHER, gid), "/usr/bin/python3", "-I", "-S", "-c", INTRUDER, run_dir],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stderr)
            yield json.loads(done.stdout)
        pod.wait_env(MAX_CONCURRENT=100)

    def test_the_group_may_ask_and_read_and_change_nothing(self):
        (seen,) = self.intrude(GROUP)
        self.assertEqual(seen, {"ask": "100", "read": [True, True], "write": [DENIED, DENIED], "replace": DENIED})

    def test_others_may_neither_ask_nor_read(self):
        (seen,) = self.intrude(ANOTHER)
        self.assertEqual(seen, {"ask": DENIED, "read": [DENIED, DENIED], "write": [DENIED, DENIED], "replace": DENIED})
