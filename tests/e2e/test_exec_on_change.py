# SPDX-License-Identifier: Apache-2.0
"""`envdial exec --on-change`: an app that is told of new values, or restarted for them; and sidecar and app in one."""

import json
import signal

from support.case import KEY, NAME, EndToEndTest, one_dial
from support.exec_app import ExecApp, gone
from support.sidecar import env_text, envdial
from support.waiting import eventually

AT_ONCE = ("--jitter", "0s", "--min-interval", "0s")
RESTART = ("--on-change", "restart", *AT_ONCE)


class ExecOnChange(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.consul = self.start_consul()
        self.consul.put(KEY, 100)

    def pod(self):
        return self.sidecar(self.consul, *one_dial())

    def app(self, run_dir, *arguments, **options):
        app = ExecApp(self.where / "app", run_dir, *arguments, **options)
        self.addCleanup(app.kill)
        return app

    def serving_app(self, *arguments, **options):
        """Sidecar and parent of the app in one."""
        own = ("--consul-addr", self.consul.address, "--state-dir", self.where / "state", *one_dial())
        return self.app(self.where / "run", *own, *arguments, **options)

    def values(self, app):
        """What each start of the app got."""
        return [line["env"][NAME] for line in app.said("start")]

    def test_signal_tells_each_change_and_the_env_file_is_new_by_then(self):
        pod = self.pod().start_ready()
        app = self.app(pod.run_dir, "--on-change", "signal").start_app()
        for times, value in enumerate((200, 300), 1):
            self.consul.put(KEY, value)
            app.wait_said("SIGHUP", times)
            self.assertEqual(pod.env_text(), env_text(MAX_CONCURRENT=value))
        pod.kill()
        pod.start_ready()
        self.consul.put(KEY, 400)
        app.wait_said("SIGHUP", 3)
        self.assertEqual(len(app.said("SIGHUP")), 3, "a restarted sidecar with equal values is no change")
        self.assertEqual(self.values(app), ["100"])
        app.signal(signal.SIGTERM)
        self.assertEqual(app.wait_end(), 3)

    def test_signal_spares_an_app_that_does_not_catch_it_until_it_does(self):
        pod = self.pod().start_ready()
        app = self.app(pod.run_dir, "--on-change", "signal", "--signal", "USR2", words=("later",)).start_app()
        self.consul.put(KEY, 200)
        app.wait_log("it does not catch SIGUSR2 (yet)")
        app.signal(signal.SIGUSR1)
        app.wait_said("catches")
        app.wait_said("SIGUSR2")
        self.assertEqual(self.values(app), ["100"])

    def test_signal_waits_for_an_env_file_that_cannot_be_written(self):
        pod = self.pod().start_ready()
        app = self.app(pod.run_dir, "--on-change", "signal").start_app()
        env = pod.run_dir / "env"

        def block():
            env.unlink(missing_ok=True)
            (env / "in-the-way").mkdir(parents=True)
            return True

        eventually("it is put back no sooner", block)
        self.consul.put(KEY, 200)
        app.wait_log("the app is not told of the new values: ")
        self.assertEqual(app.said("SIGHUP"), [])
        (env / "in-the-way").rmdir()
        env.rmdir()
        app.wait_said("SIGHUP")
        self.assertEqual(pod.env_text(), env_text(MAX_CONCURRENT=200))

    def test_restart_starts_it_again_with_the_newest_values_and_only_for_those(self):
        pod = self.pod().start_ready()
        app = self.app(pod.run_dir, *RESTART).start_app()
        self.consul.put(KEY, 200)
        app.wait_said("start", 2)
        self.assertEqual(len(app.said("SIGTERM")), 1)
        self.assertIn(f"restarting the app, changed: {NAME}", app.log())
        pod.kill()
        app.wait_log("the app keeps the values that it has")
        pod.start_ready()
        self.consul.put(KEY, 300)
        app.wait_said("start", 3)
        self.assertEqual(self.values(app), ["100", "200", "300"])
        self.assertEqual(len({line["pid"] for line in app.said("start")}), 3)
        self.assertEqual(app.log().count("restarting the app"), 2, "one line for each")
        app.signal(signal.SIGTERM)
        self.assertEqual(app.wait_end(), 3)
        self.assertEqual(self.values(app), ["100", "200", "300"])

    def test_restart_waits_for_the_least_interval(self):
        pod = self.pod().start_ready()
        app = self.app(pod.run_dir, "--on-change", "restart", "--jitter", "0s", "--min-interval", "2s").start_app()
        self.consul.put(KEY, 200)
        app.wait_said("start", 2)
        first, second = (line["at"] for line in app.said("start")[:2])
        # The interval counts from the turn of the loop that started the app, a moment before the app is there.
        self.assertGreaterEqual(second - first, 1)

    def test_restart_kills_what_does_not_end_and_leaves_nothing_of_it(self):
        pod = self.pod().start_ready()
        words = ("catch", "stubborn", "nursery")
        app = self.app(
            pod.run_dir, *RESTART, "--stop-signal", "USR1", "--stop-timeout", "100ms", words=words
        ).start_app()
        born = app.wait_said("born")["pid"]
        self.consul.put(KEY, 200)
        app.wait_said("start", 2)
        app.wait_log("did not end within 100ms of SIGUSR1")
        eventually("its child is gone too", lambda: gone(born))
        self.assertEqual(self.values(app), ["100", "200"])

    def test_restart_leaves_nothing_of_an_app_that_ended_in_time_either(self):
        pod = self.pod().start_ready()
        app = self.app(pod.run_dir, *RESTART, words=("catch", "nursery")).start_app()
        born = app.wait_said("born")["pid"]
        self.consul.put(KEY, 200)
        app.wait_said("start", 2)
        eventually("its child is gone too", lambda: gone(born))
        self.assertEqual(len(app.said("SIGTERM")), 1, "told to the app alone")

    def test_restart_waits_until_what_was_left_is_gone(self):
        pod = self.pod().start_ready()
        look = "if read left <$OUT/left && test -e /proc/$left; then echo side by side; fi; "
        leave = "cat $OUT/app/said.held & echo $! >$OUT/left; "  # until the test is over
        script = f"trap 'exit 3' TERM; {look}{leave}echo {NAME}=${NAME} >>$OUT/starts; wait"
        app = self.app(pod.run_dir, *RESTART, command=("sh", "-c", script), env={"OUT": str(self.where)}).start()
        starts = self.where / "starts"
        for times, value in enumerate((100, 200, 300, 400), 1):
            self.consul.put(KEY, value)
            eventually(f"start {times}", lambda n=times: app.alive() and starts.read_text().count("\n") == n)
        self.assertNotIn("side by side", app.log())
        app.signal(signal.SIGTERM)
        self.assertEqual(app.wait_end(), 3)

    def test_an_app_that_ends_by_itself_is_not_started_again(self):
        pod = self.pod().start_ready()
        done = envdial("exec", "--run-dir", pod.run_dir, *RESTART, "--", "sh", "-c", "exit 5")
        self.assertEqual(done.returncode, 5, done.stderr)

    def test_who_asked_to_end_while_it_is_stopped_for_a_restart_gets_the_end(self):
        pod = self.pod().start_ready()
        app = self.app(pod.run_dir, *RESTART, "--stop-signal", "USR1", "--stop-timeout", "1h").start_app()
        self.consul.put(KEY, 200)
        app.wait_said("SIGUSR1")
        app.signal(signal.SIGTERM)
        self.assertEqual(app.wait_end(), 3)
        self.assertEqual(self.values(app), ["100"])

    def test_what_began_with_the_env_file_goes_on_with_the_sidecar(self):
        pod = self.pod().start_ready()
        pod.kill()
        app = self.app(pod.run_dir, *RESTART).start_app()
        pod.start_ready()
        self.consul.put(KEY, 200)
        app.wait_said("start", 2)
        self.assertEqual(self.values(app), ["100", "200"])

    def test_with_dials_it_is_sidecar_and_parent_in_one(self):
        app = self.serving_app("--on-change", "signal").start_app()
        run_dir = self.where / "run"
        self.assertEqual(self.values(app), ["100"])
        self.consul.put(KEY, 200)
        app.wait_said("SIGHUP")
        self.assertEqual((run_dir / "env").read_text(), env_text(MAX_CONCURRENT=200))
        self.assertEqual(envdial("get", NAME, "--run-dir", run_dir).stdout, "200\n")
        status = json.loads(envdial("status", "--json", "--run-dir", run_dir).stdout)
        self.assertEqual(status["state"], "ready")
        app.signal(signal.SIGHUP)
        app.wait_said("SIGHUP", 2)
        app.signal(signal.SIGTERM)
        self.assertEqual(app.wait_end(), 3)
        self.assertIn("stopped, since the app has ended", app.log())
        self.assertNotIn("SIGHUP is ignored", app.log())

    def test_in_one_process_it_restarts_too_and_keeps_the_values_for_the_next_time(self):
        app = self.serving_app(*RESTART).start_app()
        self.consul.put(KEY, 200)
        app.wait_said("start", 2)
        app.signal(signal.SIGTERM)
        self.assertEqual(app.wait_end(), 3)
        self.consul.kill()
        app.start()
        app.wait_said("start", 3)
        self.assertEqual(self.values(app), ["100", "200", "200"])

    def test_in_one_process_the_app_outlives_consul_and_125_is_a_sidecar_that_cannot_work(self):
        app = self.serving_app(*RESTART).start_app()
        second = envdial(
            "exec", "--run-dir", self.where / "run", "--state-dir", self.where / "other", *one_dial(), "--", "true"
        )
        self.assertEqual(second.returncode, 125, second.stderr)
        self.assertIn("the app is not started: ", second.stderr)
        self.consul.kill()
        app.wait_log("no answer that can be used")
        self.consul.start()
        self.consul.put(KEY, 200)
        app.wait_said("start", 2)
        self.assertEqual(self.values(app), ["100", "200"])
