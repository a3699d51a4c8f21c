# SPDX-License-Identifier: Apache-2.0
"""`envdial exec`: how an app is started, what it gets, and how it ends."""

import fcntl
import os
import pty
import re
import shutil
import signal
import subprocess
import termios
from pathlib import Path

from support import processes
from support.case import KEY, NAME, EndToEndTest, one_dial
from support.exec_app import ExecApp, gone
from support.sidecar import env_text, envdial, find_binary
from support.waiting import eventually

LIBRARY = "libenvdial-getenv.so"
PASSED_ON = ("HUP", "INT", "QUIT", "USR1", "USR2", "WINCH", "CONT")

# A process namespace of its own, so that exec is pid 1 there.
AS_ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
PID_1 = ("unshare", *AS_ROOT, "--pid", "--fork", "--kill-child", "--mount-proc")


class Exec(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.run_dir = self.where / "run"
        self.run_dir.mkdir()

    def with_env_file(self, **values):
        """A run directory without a sidecar, for tests that are not about where values come from."""
        (self.run_dir / "env").write_text(env_text(**values))

    def app(self, *arguments, name="app", **options):
        app = ExecApp(self.where / name, options.pop("run_dir", self.run_dir), *arguments, **options)
        self.addCleanup(app.kill)
        return app

    def run_command(self, *command, env=None, **options):
        """Runs a command to its end below exec, with the values of an env file."""
        return envdial("exec", "--run-dir", self.run_dir, *options.pop("flags", ()), "--", *command, env=env, **options)

    def test_the_dials_are_in_the_environment_as_soon_as_all_have_a_value(self):
        consul = self.start_consul()
        consul.put("hunt/a", 1)
        dials = self.dials_file(
            [{"env": "A", "key": "a", "type": "int"}, {"env": "B", "key": "b", "type": "string"}]
        )
        app = self.app("--wait", "2m", env={"A": "of the parent", "OTHER": "stays"}).start()
        pod = self.sidecar(consul, "--dials", dials, run_dir=self.run_dir).start()
        eventually("exec waits", lambda: pod.metrics()("control_clients") == 1)
        self.assertEqual(app.said(), [], "B has no value yet")
        consul.put("hunt/b", "two\nlines, $dollar")
        env = app.wait_said("start")["env"]
        expected = {"A": "1", "B": "two\nlines, $dollar", "OTHER": "stays", "ENVDIAL_RUN_DIR": str(self.run_dir)}
        self.assertEqual({name: env.get(name) for name in expected}, expected)
        consul.put("hunt/a", 2)
        eventually("2 is served", lambda: pod.dial("A")["value"] == "2")
        app.signal(signal.SIGTERM)
        self.assertEqual(app.wait_end(), 3)
        self.assertEqual([line["what"] for line in app.said()], ["start", "SIGTERM"], "by default it is told nothing")

    def test_without_values_in_time_it_is_125(self):
        done = self.run_command("true", flags=("--wait", "2s"))
        self.assertEqual(done.returncode, 125)
        self.assertRegex(done.stderr, "not started: no values within 2s .* no sidecar answers in")
        pod = self.sidecar(self.closed_port(), *one_dial(), "--startup-wait", "0s", run_dir=self.run_dir).start()
        eventually("it answers", lambda: pod.snapshot()["state"] == "not_ready")
        done = self.run_command("true", flags=("--wait", "4s"))
        self.assertEqual(done.returncode, 125)
        self.assertRegex(done.stderr, "not started: no values within 4s .* some dial has no value")

    def test_the_exit_code_is_the_commands_own_or_as_in_a_shell(self):
        self.with_env_file(A=1)
        (self.where / "no-program").write_text("no program\n")
        cases = {
            ("true",): 0,
            ("sh", "-c", "exit 7"): 7,
            ("sh", "-c", "kill -KILL $$"): 128 + 9,
            ("sh", "-c", "kill -TERM $$"): 128 + 15,
            ("no-such-program-anywhere",): 127,
            (self.where / "no-program",): 126,
            (self.where,): 126,
            ("sh", "-c", 'test "$1" = --wait', "sh", "--wait"): 0,
        }
        for command, code in cases.items():
            with self.subTest(command=command):
                done = self.run_command(*command)
                self.assertEqual(done.returncode, code, done.stderr)
                if code in (126, 127):
                    self.assertIn(f"start {command[0]}: ", done.stderr)

    def test_what_is_wrong_in_the_command_line_is_64(self):
        cases = [
            ((), "after --"), (("true",), "true"), (("--",), "after --"),
            (("--wait", "soon", "--", "true"), "--wait"), (("--wait", "0s", "--", "true"), "100ms to 24h"),
            (("--on-change", "panic", "--", "true"), "--on-change"),
            (("--signal", "KILL", "--", "true"), "--signal"), (("--stop-signal", "X", "--", "true"), "--stop-signal"),
            (("--min-interval", "25h", "--", "true"), "--min-interval"),
            (("--jitter", "-1s", "--", "true"), "--jitter"),
            (("--dials", "d.json", "--key", "k", "--", "true"), "--dials"), (("--once", "--", "true"), "--once"),
        ]  # fmt: skip
        for arguments, named in cases:
            with self.subTest(arguments=arguments):
                done = envdial("exec", *arguments)
                self.assertEqual(done.returncode, 64, done.stderr)
                self.assertIn(named, done.stderr)

    def test_while_the_sidecar_is_away_the_env_file_is_good_enough(self):
        consul = self.start_consul()
        consul.put(KEY, 100)
        pod = self.sidecar(consul, *one_dial(), run_dir=self.run_dir).start_ready()
        pod.kill()
        done = self.run_command("sh", "-c", f"echo ${NAME}", flags=("--wait", "1m"))
        self.assertEqual((done.returncode, done.stdout), (0, "100\n"), done.stderr)
        self.assertRegex(done.stderr, f"warn .*no sidecar answers .* started with the values of {self.run_dir}/env")
        (self.run_dir / "env").write_text(f"{NAME}='10")
        done = self.run_command("true", flags=("--wait", "2s"))
        self.assertEqual(done.returncode, 125, "half a file is none")
        self.assertIn("is not NAME='value'", done.stderr)

    def test_while_the_sidecar_hangs_the_env_file_is_good_enough_too(self):
        pod = self.sidecar(self.closed_port(), *one_dial("--default", "1"), "--startup-wait", "0s").start()
        eventually("the env file is there", (pod.run_dir / "env").exists)
        pod.signal(signal.SIGSTOP)
        done = envdial("exec", "--run-dir", pod.run_dir, "--wait", "20s", "--", "sh", "-c", f"echo ${NAME}")
        self.assertEqual((done.returncode, done.stdout), (0, "1\n"), done.stderr)

    def test_a_sidecar_that_publishes_once_is_enough(self):
        consul = self.start_consul()
        consul.put(KEY, 100)
        app = self.app("--wait", "2m").start()
        where = ("--run-dir", self.run_dir, "--state-dir", self.where / "state")
        done = envdial("run", "--once", *where, "--consul-addr", consul.address, *one_dial())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(app.wait_said("start")["env"][NAME], "100")

    def test_every_signal_is_passed_on(self):
        self.with_env_file(A=1)
        app = self.app().start_app()
        for name in PASSED_ON:
            app.signal(getattr(signal, f"SIG{name}"))
            app.wait_said(f"SIG{name}")
        app.signal(signal.SIGTERM)
        self.assertEqual(app.wait_end(), 3)
        self.assertEqual([line["what"] for line in app.said()], ["start", *(f"SIG{n}" for n in PASSED_ON), "SIGTERM"])

    def test_a_signal_before_the_app_was_started_ends_exec(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            app = self.app("--wait", "2m", "--log-level", "debug", name=f"app-{number}").start()
            # It has taken the signals by the time that it has a socket to ask with.
            eventually("it asks", lambda app=app: any("socket" in link for link in self.links(app.pid)))
            app.signal(number)
            self.assertEqual(app.wait_end(), 128 + number, app.log())

    def links(self, pid):
        """What the descriptors of a process are."""
        directory = Path(f"/proc/{pid}/fd")
        return [os.readlink(directory / name) for name in os.listdir(directory)]

    def test_the_app_ends_with_exec(self):
        self.with_env_file(A=1)
        app = self.app().start_app()
        pid = app.said("start")[0]["pid"]
        app.signal(signal.SIGKILL)
        app.wait_end()
        eventually("the app is told to end", lambda: app.said("SIGTERM"))
        eventually("the app is gone", lambda: gone(pid))

    def test_the_app_gets_what_exec_got_and_nothing_of_its_own(self):
        self.with_env_file(A=1)
        descriptors = "ls -l /proc/self/fd | sed -n 's/.* \\([0-9]* -> .*\\)/\\1/p'"
        show = descriptors + "; grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; ulimit -n"
        direct = self.show("sh", "-c", show)
        below = self.show(find_binary(), "exec", "--run-dir", self.run_dir, "--", "sh", "-c", show)
        state = self.where / "state"
        serving = self.show(
            find_binary(), "exec", "--run-dir", self.where / "own", "--state-dir", state, *one_dial("--default", "1"),
            "--startup-wait", "0s", "--consul-addr", self.closed_port(), "--", "sh", "-c", show,
        )  # fmt: skip
        self.assertEqual(below, direct)
        self.assertEqual(serving, direct)

    def show(self, *command):
        """What a command prints that inherits a descriptor, and SIGHUP ignored, and few open files."""
        given = self.where / "given"
        given.touch()
        with open(given) as file:
            limited = ("prlimit", "--nofile=100:200", "--", "nohup", *map(str, command))
            done = subprocess.run(
                limited, env=processes.clean_environment(), pass_fds=[file.fileno()], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=30, check=True,
            )  # fmt: skip
        self.assertIn(str(given), done.stdout)
        self.assertIn("SigIgn:\t0000000000000001\n", done.stdout)
        return re.sub(r"/proc/\d+", "/proc/PID", re.sub(r"pipe:\[\d+\]", "pipe", done.stdout))

    def test_as_pid_1_it_reaps_orphans_and_takes_signals(self):
        self.with_env_file(A=1)
        # The middle one ends at once, so that its child is an orphan when it ends.
        orphan = "sh -c 'sh -c \"exit 0\" & echo $!' >$OUT/orphan; "
        wait = "while test -e /proc/$(cat $OUT/orphan); do :; done; echo $$ >$OUT/pid; "
        script = orphan + wait + "trap 'exit 9' TERM; tail -f /dev/null & echo ready >$OUT/ready; wait"
        app = self.app(before=PID_1, command=("sh", "-c", script), env={"OUT": str(self.where)}).start()
        eventually("the orphan was reaped", lambda: app.alive() and (self.where / "ready").exists())
        self.assertNotEqual((self.where / "pid").read_text(), "1\n")
        children = Path(f"/proc/{app.pid}/task/{app.pid}/children").read_text().split()
        self.assertEqual(len(children), 1)
        os.kill(int(children[0]), signal.SIGTERM)
        self.assertEqual(app.wait_end(), 9)

    def test_at_a_terminal_the_app_gets_ctrl_c_once(self):
        self.with_env_file(A=1)
        app = self.app()
        terminal, its = pty.openpty()
        self.addCleanup(os.close, terminal)

        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        app.start(stdin=its, start_new_session=True, preexec_fn=take_terminal)
        os.close(its)
        started = app.wait_said("start")
        self.assertEqual(started["group"], os.getpgid(app.pid), "it may read from the terminal")
        for times in (1, 2):
            os.write(terminal, b"\x03")
            app.wait_said("SIGINT", times)
            # What was passed on besides would be there by the time that this is.
            app.signal(signal.SIGUSR1)
            app.wait_said("SIGUSR1", times)
            self.assertEqual(len(app.said("SIGINT")), times)
        app.signal(signal.SIGINT)
        app.wait_said("SIGINT", 3)
        app.signal(signal.SIGTERM)
        self.assertEqual(app.wait_end(), 3)

    def test_at_a_terminal_an_alarm_from_before_reaches_the_app(self):
        self.with_env_file(A=1)
        terminal, its = pty.openpty()
        self.addCleanup(os.close, terminal)
        app = self.app(command=("tail", "-f", "/dev/null"))

        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            signal.alarm(5)  # which exec(3) keeps

        app.start(stdin=its, start_new_session=True, preexec_fn=take_terminal)
        os.close(its)
        self.assertEqual(app.wait_end(), 128 + signal.SIGALRM)

    def test_ctrl_z_stops_exec_also_before_the_app_was_started(self):
        terminal, its = pty.openpty()
        self.addCleanup(os.close, terminal)
        # Stopped is only who has somebody to continue it.
        shell = ("sh", "-c", 'set -m; "$0" "$@"; echo it was stopped; fg')
        app = self.app("--wait", "2m", before=shell)
        app.start(stdin=its, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(its)
        children = Path(f"/proc/{app.pid}/task/{app.pid}/children")
        eventually("it asks", lambda: any("socket" in link for link in self.links(int(children.read_text()))))
        os.write(terminal, b"\x1a")
        app.wait_log("it was stopped")
        self.with_env_file(A=1)
        os.kill(app.wait_said("start")["pid"], signal.SIGTERM)
        self.assertEqual(app.wait_end(), 3)

    def test_preload_names_the_library_beside_the_program_or_where_it_is_installed(self):
        self.with_env_file(A=1)
        for program in ("bin/envdial", "elsewhere/envdial"):
            (self.where / program).parent.mkdir()
            shutil.copy(find_binary(), self.where / program)
        (self.where / "lib").mkdir()
        command = ("sh", "-c", "echo $LD_PRELOAD")

        def preloaded(program, *flags):
            return subprocess.run(
                [self.where / program, "exec", "--run-dir", self.run_dir, *flags, "--", *command],
                env=processes.clean_environment({"LD_PRELOAD": ""}), capture_output=True, text=True, timeout=30,
            )  # fmt: skip

        done = preloaded("bin/envdial", "--preload")
        self.assertEqual(done.returncode, 125)
        self.assertIn(f"{self.where}/bin/{LIBRARY} or {self.where}/lib/{LIBRARY}", done.stderr)
        for library, program in ((f"lib/{LIBRARY}", "bin/envdial"), (f"elsewhere/{LIBRARY}", "elsewhere/envdial")):
            (self.where / library).touch()
            self.assertEqual(preloaded(program, "--preload").stdout, f"{self.where}/{library}\n")
            self.assertEqual(preloaded(program).stdout, "\n")
