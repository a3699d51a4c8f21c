# SPDX-License-Identifier: Apache-2.0
"""The signal channel: an app that counts its signals beside the sidecar."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from support import processes
from support.case import KEY, EndToEndTest, one_dial
from support.sidecar import env_text, envdial
from support.waiting import eventually

# Says what the env file says at each SIGHUP, and does what it is told: "catch" installs the handler. It writes without a
# buffer, since a signal may come while it writes.
APP = """
import json, os, signal, sys
def say(text):
    os.write(1, text.encode() + b"\\n")
def on_signal(*_):
    say("HUP " + json.dumps(open(sys.argv[1]).read()))
say("ready")
for line in sys.stdin:
    if line == "catch\\n":
        signal.signal(signal.SIGHUP, on_signal)
    say("done")
"""

# Without root, a user namespace gives the sidecar all capabilities to begin with.
ALL_CAPABILITIES = () if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user")
CAP_KILL = 1 << 5


class App:
    """A copy of Python at a path of its own, so that its executable is nobody else's."""

    def __init__(self, where, env_file):
        self.path = where / "app"
        self.pidfile = where / "app.pid"
        self._env_file = env_file
        self._said = where / "said"
        self._process = None
        where.mkdir()
        shutil.copy(os.path.realpath("/usr/bin/python3"), self.path)

    def start(self, catch=True):
        # As a container of an unprivileged pod: a sidecar without capabilities can't see the executable of an app that
        # has some.
        bare = ["--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
        with open(self._said, "w") as said:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *bare, "--", self.path, "-I", "-S", "-c", APP, self._env_file],
                stdin=subprocess.PIPE,
                stdout=said,
            )
        self.pidfile.write_text(f"{self._process.pid}\n")
        eventually("the app runs", lambda: "ready" in self._said.read_text())
        if catch:
            self.catch()
        return self

    @property
    def pid(self):
        return self._process.pid

    def catch(self):
        self._tell("catch\n")

    def _tell(self, line):
        answers = self._said.read_text().count("done")
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        eventually("the app answers", lambda: self._said.read_text().count("done") > answers)

    def signalled(self):
        """What the env file said at each signal until now."""
        self._tell("say what you have\n")
        return [json.loads(line[4:]) for line in self._said.read_text().splitlines() if line.startswith("HUP ")]

    def wait_signalled(self, *values):
        """Waits for as many signals, and fails if it read something else at one of them."""
        expected = [env_text(MAX_CONCURRENT=value) for value in values]
        eventually(f"a signal for each of {values}", lambda: len(self.signalled()) >= len(values))
        seen = self.signalled()
        if seen != expected:
            raise AssertionError(f"at its signals, the app read {seen!r}, expected {expected!r}")

    def alive(self):
        return self._process.poll() is None

    def kill(self):
        processes.kill(self._process)
        if self._process is not None:
            self._process.stdin.close()


class SignalChannel(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.consul = self.start_consul()
        self.consul.put(KEY, 100)

    def app(self, name="app", pod="pod"):
        app = App(self.where / name, self.where / pod / "run" / "env")
        self.addCleanup(app.kill)
        return app

    def pod(self, target, *more, **options):
        return self.sidecar(self.consul, *one_dial("--signal", "HUP", "--signal-to", target, *more), **options)

    def channel(self, pod):
        return next(channel for channel in pod.status()["channels"] if channel["channel"] == "signal")

    def wait_error(self, pod, pattern):
        """Waits until status tells a failure of the channel like this."""
        return eventually(f"an error like {pattern!r}", lambda: re.search(pattern, self.channel(pod)["error"] or ""))

    def test_one_signal_for_each_version_after_the_first_and_the_file_is_new_by_then(self):
        for kind in ("exe", "pidfile"):
            with self.subTest(kind=kind):
                self.consul.put(KEY, 100)
                app = self.app(kind, pod=f"pod-{kind}").start()
                target = f"exe:{app.path}" if kind == "exe" else f"pidfile:{app.pidfile}"
                pod = self.pod(target, name=f"pod-{kind}").start_ready()
                pod.wait_env(MAX_CONCURRENT=100)
                self.assertEqual(app.signalled(), [], "nothing is signalled at start-up")
                for values in ((200,), (200, 300), (200, 300, 250)):
                    self.consul.put(KEY, values[-1])
                    app.wait_signalled(*values)
                pod.wait_metric(3, "deliveries_total", channel="signal")
                self.assertEqual(pod.metrics()("delivery_failures_total", channel="signal"), 0)
                self.assertEqual(self.channel(pod)["version"], pod.snapshot()["version"])
                pod.kill()

    def test_a_restart_signals_only_where_it_finds_another_value(self):
        app = self.app().start()
        pod = self.pod(f"exe:{app.path}").start_ready()
        self.consul.put(KEY, 200)
        app.wait_signalled(200)
        for end in (pod.terminate, pod.kill):
            end()
            pod.start_ready()
            pod.wait_metric(1, "source_connected", group=KEY)
        self.assertEqual(app.signalled(), [env_text(MAX_CONCURRENT=200)])
        pod.terminate()
        self.consul.put(KEY, 300)
        pod.start_ready()
        app.wait_signalled(200, 300)
        self.consul.put(KEY, 400)
        app.wait_signalled(200, 300, 400)

    def test_who_does_not_catch_it_lives_on_and_is_told_as_soon_as_it_does(self):
        app = self.app().start(catch=False)
        pod = self.pod(f"exe:{app.path}").start_ready()
        self.consul.put(KEY, 200)
        self.wait_error(pod, rf"process {app.pid} \(app\) does not catch SIGHUP")
        self.assertGreaterEqual(pod.metrics()("delivery_failures_total", channel="signal"), 1)
        self.assertEqual(pod.metrics()("deliveries_total", channel="signal"), 0)
        self.assertIn("does not catch SIGHUP", envdial("status", "--run-dir", pod.run_dir).stdout)
        pod.wait_env(MAX_CONCURRENT=200)
        self.assertEqual(pod.snapshot()["state"], "ready", "the values are there all the same")
        pod.wait_metric(2, "delivery_failures_total", channel="signal")
        self.assertTrue(app.alive())
        self.assertEqual(len(pod.log_lines("does not catch SIGHUP")), 1, "one line per change")
        app.catch()
        app.wait_signalled(200)
        eventually("the error is over", lambda: self.channel(pod)["error"] is None)
        pod.wait_metric(1, "deliveries_total", channel="signal")
        self.assertEqual(app.signalled(), [env_text(MAX_CONCURRENT=200)])

    def test_others_are_left_alone_and_who_comes_later_needs_no_signal(self):
        app = self.app().start()
        other = self.app("other").start()
        pod = self.pod(f"exe:{app.path}").start_ready()
        self.consul.put(KEY, 200)
        app.wait_signalled(200)
        app.kill()
        self.consul.put(KEY, 300)
        self.wait_error(pod, f"no process is seen to run {app.path}")
        # A start is told in ticks of the clock: one after the next try, a second later, is seen to be after the version.
        eventually("a second try", lambda: pod.metrics()("delivery_failures_total", channel="signal") >= 2)
        app.start()
        eventually("the error is over", lambda: self.channel(pod)["error"] is None)
        self.assertEqual(app.signalled(), [], "it has read the new file when it started")
        self.consul.put(KEY, 400)
        app.wait_signalled(400)
        self.assertEqual(other.signalled(), [])

    def test_a_pidfile_that_names_no_process_harms_nothing(self):
        app = self.app().start()
        pod = self.pod(f"pidfile:{app.pidfile}").start_ready()
        app.pidfile.write_text("not a number\n")
        self.consul.put(KEY, 200)
        self.wait_error(pod, f"the first line of pidfile {app.pidfile} is no pid")
        pod.wait_env(MAX_CONCURRENT=200)
        app.pidfile.unlink()
        self.wait_error(pod, f"there is no pidfile {app.pidfile}")
        os.mkfifo(app.pidfile)
        self.wait_error(pod, "no regular file")
        app.pidfile.unlink()
        app.pidfile.write_text(f"{app.pid}\n")
        app.wait_signalled(200)

    def capabilities(self, pod):
        status = Path(f"/proc/{pod.pid}/status").read_text()
        return {name: int(value, 16) for name, value in re.findall(r"^(Cap\w+):\s*(\w+)$", status, re.MULTILINE)}

    def test_cap_kill_is_kept_for_a_pidfile_only_and_not_where_no_rights_are_wanted(self):
        cases = {
            ("exe:/usr/bin/app",): 0,
            ("pidfile:/run/app.pid",): CAP_KILL,
            ("pidfile:/run/app.pid", "--require-unprivileged"): 0,
        }
        for number, (arguments, kept) in enumerate(cases.items()):
            with self.subTest(arguments=arguments):
                pod = self.pod(*arguments, name=f"pod-{number}", before=ALL_CAPABILITIES).start_ready()
                expected = {"CapInh": 0, "CapPrm": kept, "CapEff": kept, "CapBnd": 0, "CapAmb": 0}
                self.assertEqual(self.capabilities(pod), expected)
                self.assertEqual(pod.log_lines("cap_"), [])

    def test_bad_flags_are_64(self):
        cases = [
            ("--signal", "HUP"), ("--signal-to", "exe:/usr/bin/app"),
            ("--signal", "KILL", "--signal-to", "exe:/usr/bin/app"),
            ("--signal", "NOSUCH", "--signal-to", "exe:/usr/bin/app"),
            ("--signal", "HUP", "--signal-to", "/usr/bin/app"), ("--signal", "HUP", "--signal-to", "exe:app"),
            ("--signal", "HUP", "--signal-to", "pidfile:"),
        ]  # fmt: skip
        for case in cases:
            with self.subTest(case=case):
                done = envdial("run", *one_dial(*case))
                self.assertEqual(done.returncode, 64, done.stderr)
                self.assertIn("--signal", done.stderr)
