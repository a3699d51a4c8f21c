# SPDX-License-Identifier: Apache-2.0
"""The signal channel: an app that counts its signals beside the sidecar."""

import os
import re

from support.case import KEY, EndToEndTest, one_dial
from support.sidecar import env_text, envdial
from support.signal_app import SignalApp
from support.waiting import eventually


class SignalChannel(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.consul = self.start_consul()
        self.consul.put(KEY, 100)

    def app(self, name="app", pod="pod"):
        app = SignalApp(self.where / name, self.where / pod / "run" / "env")
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
