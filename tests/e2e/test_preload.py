# SPDX-License-Identifier: Apache-2.0
"""libenvdial-getenv.so in unchanged programs: what docs/apps.md says of them, one by one."""

import subprocess
from pathlib import Path

from support import processes, unix_http
from support.asking import Asked
from support.case import KEY, NAME, EndToEndTest, needs, one_dial
from support.waiting import eventually

# Each says, line by line, what it has for a name; `-` for nothing.
LUA = 'for name in io.lines() do print(os.getenv(name) or "-") io.flush() end'
PERL = 'use POSIX; $| = 1; while (<STDIN>) { chomp; print join(" ", $ENV{$_} // "-", POSIX::getenv($_) // "-"), "\\n" }'
BASH = 'while read -r name; do echo "${!name:--}"; done'
PYTHON = """
import ctypes, os, sys
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
for line in sys.stdin:
    name, _, own = line.strip().partition("=")
    if own:
        os.environ[name] = own
    print(os.environ.get(name, "-"), os.getenv(name, "-"), (getenv(name.encode()) or b"-").decode(), flush=True)
"""
LUA_TIME = 'for name in io.lines() do print(os.getenv(name), os.date("%H", 0)) io.flush() end'

# Its expression env() asks the C library at each request.
HAPROXY = """
defaults
  mode http
  timeout client 60s
  timeout connect 60s
  timeout server 60s
frontend app
  bind unix@{socket}
  http-request deny deny_status 503 if {{ env(DRAINING) -m str true }}
  http-request return status 200 content-type text/plain lf-string "at most %[env(MAX_CONCURRENT)]"
"""


class Preload(EndToEndTest):
    def setUp(self):
        super().setUp()
        self.library = needs("ENVDIAL_GETENV_LIBRARY")
        self.c_program = [needs("ENVDIAL_GETENV_APP")]
        self.consul = self.start_consul()
        self.consul.put(KEY, 100)

    def pod(self, *more, **options):
        return self.sidecar(self.consul, *(more or one_dial()), **options)

    def environment(self, pod, **own):
        return processes.clean_environment({"LD_PRELOAD": self.library, "ENVDIAL_RUN_DIR": str(pod.run_dir)} | own)

    def program(self, command, pod, **own):
        program = Asked(command, self.environment(pod, **own))
        self.addCleanup(program.kill)
        return program

    def wait_answer(self, program, answer, name=NAME):
        eventually(f"{name} is {answer}", lambda: program.ask(name) == answer or self._not(program, name), 30)

    @staticmethod
    def _not(program, name):
        raise ValueError(f"it says {program.ask(name)!r}")

    def test_a_c_program_in_a_loop_has_each_new_value(self):
        pod = self.pod().start_ready()
        program = self.program(self.c_program, pod, MAX_CONCURRENT="1", OTHER="its own")
        self.assertEqual(program.ask(NAME), "100", "the dial wins over what the program was started with")
        for value in (200, 300, 200):
            self.consul.put(KEY, value)
            self.wait_answer(program, str(value))
        self.assertEqual(program.ask("OTHER"), "its own")
        self.assertEqual(program.ask("NOBODYS"), "-")

    def test_the_last_value_stays_while_the_sidecar_is_away(self):
        pod = self.pod().start_ready()
        program = self.program(self.c_program, pod)
        self.assertEqual(program.ask(NAME), "100")
        pod.kill()
        self.assertEqual(program.ask(NAME), "100")
        self.consul.put(KEY, 200)
        pod.start_ready()
        self.wait_answer(program, "200")

    def test_exec_adds_the_library(self):
        pod = self.pod().start_ready()
        command = [needs("ENVDIAL_BINARY"), "exec", "--run-dir", pod.run_dir, "--preload", "--", *self.c_program]
        program = Asked(command, processes.clean_environment())
        self.addCleanup(program.kill)
        self.assertEqual(program.ask(NAME), "100")
        self.consul.put(KEY, 200)
        self.wait_answer(program, "200")

    def test_without_a_snapshot_it_is_the_programs_own_environment(self):
        pod = self.pod()
        program = self.program(self.c_program, pod, MAX_CONCURRENT="1")
        self.assertEqual(program.ask(NAME), "1")
        pod.start_ready()
        self.wait_answer(program, "100")

    def test_other_dials_make_another_file_and_it_is_found(self):
        pod = self.pod().start_ready()
        program = self.program(self.c_program, pod)
        self.assertEqual(program.ask(NAME), "100")
        self.assertEqual(program.ask("DIFFICULTY"), "-")
        pod.terminate()
        self.consul.put("hunt/difficulty", "hard")
        dials = [
            {"env": NAME, "key": "max-concurrent", "type": "int"},
            {"env": "DIFFICULTY", "key": "difficulty", "type": "string"},
        ]
        again = self.pod("--dials", self.dials_file(dials), run_dir=pod.run_dir, name="again").start_ready()
        self.wait_answer(program, "hard", "DIFFICULTY")
        self.consul.put(KEY, 200)
        self.wait_answer(program, "200")
        again.kill()
        self.assertEqual(program.ask("DIFFICULTY"), "hard")

    def test_one_sees_from_outside_that_it_is_at_work(self):
        pod = self.pod().start_ready()
        program = self.program(self.c_program, pod)
        program.ask(NAME)
        maps = Path(f"/proc/{program.pid}/maps").read_text()
        self.assertIn(self.library, maps)
        self.assertRegex(maps, rf"r--s .* {pod.run_dir}/snapshot\n")

    def test_languages_that_ask_the_c_library_are_live_and_those_with_a_copy_are_not(self):
        pod = self.pod().start_ready()
        cases = {
            "Lua": (["lua5.4", "-e", LUA], "100", "200"),
            "Perl": (["perl", "-e", PERL], "1 1", "1 1"),
            "bash": (["bash", "-c", BASH], "1", "1"),
            "Python": (["/usr/bin/python3", "-c", PYTHON], "1 1 100", "1 1 200"),
        }
        programs = {
            language: self.program(command, pod, MAX_CONCURRENT="1") for language, (command, _, _) in cases.items()
        }
        for language, (_, before, _) in cases.items():
            self.assertEqual(programs[language].ask(NAME), before, language)
        self.consul.put(KEY, 200)
        self.wait_answer(programs["Lua"], "200")
        for language, (_, _, after) in cases.items():
            self.assertEqual(programs[language].ask(NAME), after, language)

    def test_what_a_program_sets_by_itself_wins(self):
        pod = self.pod().start_ready()
        program = self.program(["/usr/bin/python3", "-c", PYTHON], pod)
        self.assertEqual(program.ask(NAME), "- - 100")
        self.assertEqual(program.ask(f"{NAME}=7"), "7 7 7")
        self.consul.put(KEY, 200)
        self.wait_answer(self.program(self.c_program, pod), "200")
        self.assertEqual(program.ask(NAME), "7 7 7")

    def test_a_new_process_inherits_the_array_and_asks_for_itself(self):
        pod = self.pod().start_ready()
        done = subprocess.run(
            ["sh", "-c", f"echo {NAME} | {self.c_program[0]}; printenv {NAME}; env | grep ^{NAME}="],
            env=self.environment(pod, MAX_CONCURRENT="1"),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        self.assertEqual(done.stdout.splitlines(), ["100", "1", f"{NAME}=1"])

    def test_what_the_c_library_reads_for_itself_is_left_alone(self):
        self.consul.put("hunt/tz", "UTC-5")
        pod = self.pod("--key", "hunt/tz", "--env", "TZ", "--type", "string").start_ready()
        program = self.program(["lua5.4", "-e", LUA_TIME], pod, TZ="UTC0")
        self.assertEqual(program.ask("TZ"), "UTC-5\t00")

    def test_haproxy_follows_at_each_request(self):
        self.consul.put("hunt/draining", "false")
        dials = [
            {"env": NAME, "key": "max-concurrent", "type": "int"},
            {"env": "DRAINING", "key": "draining", "type": "bool"},
        ]
        pod = self.pod("--dials", self.dials_file(dials)).start_ready()
        config, socket = self.where / "haproxy.cfg", self.where / "haproxy.sock"
        config.write_text(HAPROXY.format(socket=socket))
        with open(self.where / "haproxy.log", "wb") as log:
            command = ["/usr/sbin/haproxy", "-db", "-f", config]
            server = processes.start(command, log, env=self.environment(pod, MAX_CONCURRENT="1"))
        self.addCleanup(processes.kill, server)

        def wait_answer(status, text):
            def answered():
                answer = unix_http.request(socket, "GET", "/", timeout=60)
                if answer.status == status and text in answer.text:
                    return True
                raise ValueError(f"{answer.status} {answer.text}")

            eventually(f"haproxy says {status} {text}", answered, 30)

        wait_answer(200, "at most 100")
        self.consul.put(KEY, 200)
        wait_answer(200, "at most 200")
        self.consul.put("hunt/draining", "true")
        wait_answer(503, "")
        self.consul.put("hunt/draining", "false")
        wait_answer(200, "at most 200")
