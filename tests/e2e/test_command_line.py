# SPDX-License-Identifier: Apache-2.0
"""The command line: commands, exit codes, help texts, environment variables, precedence."""

import json
import re
import subprocess

from support.case import KEY, NAME, EndToEndTest, one_dial
from support.sidecar import Sidecar, env_text, envdial
from support.waiting import eventually

COMMANDS = ("run", "get", "status", "probe", "check", "version")
GOOD = {
    "prefix": "hunt/",
    "dials": [
        {"env": NAME, "key": "max-concurrent", "type": "int", "default": 500, "min": 1, "max": 2500},
        {"env": "DIFFICULTY", "key": "difficulty", "type": "string", "one_of": ["easy", "hard"], "default": "easy"},
    ],
}


class HelpAndUsage(EndToEndTest):
    def test_help_names_every_command_and_each_has_its_own(self):
        overall = envdial("--help")
        self.assertEqual(overall.returncode, 0)
        for command in COMMANDS:
            with self.subTest(command=command):
                self.assertIn(command, overall.stdout)
                own = envdial(command, "--help")
                self.assertEqual((own.returncode, own.stderr), (0, ""))
                self.assertGreater(len(own.stdout.splitlines()), 3)

    def test_help_of_run_names_every_flag_of_the_plan(self):
        text = envdial("run", "--help").stdout
        for flag in (
            "--dials --key --env --type --default --min --max --max-step --on-violation --on-delete --stale-after "
            "--when-stale --consul-addr --datacenter --connect-timeout --timeout --consistency --run-dir --state-dir "
            "--startup-wait --listen --socket-mode --env-file-mode --group --instance --require-unprivileged "
            "--log-format --log-level --signal --signal-to --once"
        ).split():
            self.assertRegex(text, rf"{flag}\b")

    def test_version(self):
        done = envdial("version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"\d+\.\d+\.\d+")

    def test_wrong_usage_is_64_and_says_what_is_wrong(self):
        cases = [
            ([], "command"),
            (["nonsense"], "nonsense"),
            (["run"], "--dials"),
            (["run", "--no-such-flag"], "no-such-flag"),
            (["run", "--dials", "x.json", *one_dial()], "--dials"),
            (["run", *one_dial("--timeout", "soon")], "--timeout"),
            (["run", *one_dial("--timeout", "100ms")], "--timeout"),
            (["run", *one_dial("--timeout", "11m")], "--timeout"),
            (["run", *one_dial("--consistency", "strong")], "--consistency"),
            (["run", *one_dial("--consul-addr", "ftp://x")], "--consul-addr"),
            (["run", *one_dial("--socket-mode", "rw")], "--socket-mode"),
            (["run", *one_dial("--log-format", "xml")], "--log-format"),
            (["run", *one_dial("--log-level", "loud")], "--log-level"),
            (["get"], "NAME"),
            (["probe"], "expected startup, ready or live"),
            (["probe", "nearly"], "nearly"),
            (["check"], "FILE"),
        ]
        for arguments, word in cases:
            with self.subTest(arguments=arguments):
                done = envdial(*arguments)
                self.assertEqual(done.returncode, 64, done.stderr)
                self.assertIn(word, done.stderr)
                self.assertEqual(done.stdout, "")


class DialsFiles(EndToEndTest):
    def write(self, content, name="dials.json"):
        path = self.where / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def test_check_of_a_good_file(self):
        done = envdial("check", self.write(GOOD))
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_check_with_a_comment(self):
        self.assertEqual(envdial("check", self.write("// dials\n" + json.dumps(GOOD))).returncode, 0)

    def test_all_errors_at_once_each_with_its_path(self):
        bad = json.loads(json.dumps(GOOD))
        bad["dials"][0]["maxx"] = 3
        bad["dials"][0]["default"] = 9000
        bad["dials"][1]["type"] = "text"
        for done in (envdial("check", self.write(bad)), envdial("run", "--dials", self.write(bad))):
            self.assertEqual(done.returncode, 78)
            for path in ("$.dials[0].maxx", "$.dials[0].default", "$.dials[1].type"):
                self.assertIn(path, done.stderr)
            self.assertIn("dials.json", done.stderr)
            self.assertRegex(done.stderr, r"did you mean \W?max")

    def test_bad_dials_are_78(self):
        cases = [
            "", "{", "[]", "{}", '{"dials": []} trailing', '{"dials": [{}]}', "\x00", "null",
            '{"dials": [{"env": "A", "key": "/a", "type": "int"}]}',
            '{"dials": [{"env": "A", "key": "a", "type": "int"}, {"env": "A", "key": "b", "type": "int"}]}',
            '{"dials": [{"env": "1A", "key": "a", "type": "int"}]}',
            '{"prefix": "no-slash", "dials": [{"env": "A", "key": "a", "type": "int"}]}',
        ]  # fmt: skip
        for content in cases:
            with self.subTest(content=content):
                done = envdial("check", self.write(content))
                self.assertEqual(done.returncode, 78, done.stdout + done.stderr)
                self.assertIn("dials.json", done.stderr)

    def test_a_missing_file_is_78_and_a_bad_dial_by_flags_is_64(self):
        self.assertEqual(envdial("check", self.where / "nowhere.json").returncode, 78)
        self.assertEqual(envdial("run", "--dials", self.where / "nowhere.json").returncode, 78)
        done = envdial("run", *one_dial("--min", "10", "--max", "1"))
        self.assertEqual(done.returncode, 64)
        self.assertIn("--m", done.stderr)
        done = envdial("run", "--key", "a", "--env", "A", "--type", "number")
        self.assertEqual(done.returncode, 64)
        self.assertIn("--type", done.stderr)

    def test_check_try(self):
        path = self.write(GOOD)
        good = envdial("check", path, "--try", f"{NAME}=900", "--try", "DIFFICULTY=hard")
        self.assertEqual(good.returncode, 0, good.stdout + good.stderr)
        refused = envdial("check", path, "--try", f"{NAME}=9000", "--try", "DIFFICULTY=hard")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("max", refused.stdout + refused.stderr)
        self.assertIn("2500", refused.stdout + refused.stderr)
        for wrong in (f"{NAME}", "NOBODY=1"):
            self.assertIn(envdial("check", path, "--try", wrong).returncode, (1, 64))


class Clients(EndToEndTest):
    def test_get_and_probe_and_status(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        consul.put("hunt/difficulty", "hard")
        path = self.where / "dials.json"
        path.write_text(json.dumps(GOOD))
        sidecar = self.sidecar(consul, "--dials", path, "--instance", "pod-7").start_ready()
        sidecar.wait_env(MAX_CONCURRENT=500, DIFFICULTY="hard")
        at = ("--run-dir", sidecar.run_dir)
        self.assertEqual(envdial("get", "DIFFICULTY", *at).stdout, "hard\n")
        self.assertEqual(envdial("get", NAME, env={"ENVDIAL_RUN_DIR": str(sidecar.run_dir)}).stdout, "500\n")
        unknown = envdial("get", "NOBODY", *at)
        self.assertEqual((unknown.returncode, unknown.stdout), (1, ""))
        self.assertIn("NOBODY", unknown.stderr)
        self.assertEqual([envdial("probe", which, *at).returncode for which in ("startup", "ready", "live")], [0, 0, 0])
        table = envdial("status", *at)
        self.assertEqual(table.returncode, 0)
        for word in ("ready", "pod-7", consul.address, NAME, "500", "DIFFICULTY", "hard", "consul"):
            self.assertIn(word, table.stdout)
        as_json = envdial("status", "--json", *at)
        self.assertEqual(as_json.returncode, 0)
        self.assertEqual(json.loads(as_json.stdout)["instance"], "pod-7")

    def test_not_ready_is_4_and_has_no_value(self):
        sidecar = self.sidecar(self.closed_port(), *one_dial()).start()
        eventually("it answers", sidecar.status)
        at = ("--run-dir", sidecar.run_dir)
        self.assertEqual(envdial("status", *at).returncode, 4)
        self.assertEqual(envdial("status", "--json", *at).returncode, 4)
        self.assertEqual(envdial("get", NAME, *at).returncode, 1)
        self.assertEqual([envdial("probe", which, *at).returncode for which in ("startup", "ready", "live")], [1, 1, 0])

    def test_without_a_sidecar_all_are_1_and_say_where_they_looked(self):
        for command in (["status"], ["status", "--json"], ["get", NAME], ["probe", "live"], ["probe", "ready"]):
            done = envdial(*command, "--run-dir", self.where)
            self.assertEqual(done.returncode, 1, command)
            self.assertIn(str(self.where), done.stderr)

    def test_a_hung_sidecar_does_not_hang_them(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        sidecar = self.sidecar(consul, *one_dial()).start_ready()
        sidecar.signal(19)  # SIGSTOP
        self.assertEqual(envdial("probe", "live", "--run-dir", sidecar.run_dir, timeout=20).returncode, 1)
        self.assertEqual(envdial("status", "--run-dir", sidecar.run_dir, timeout=20).returncode, 1)


class Environment(EndToEndTest):
    def test_every_flag_can_be_a_variable(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        where = self.where / "by-variables"
        sidecar = Sidecar(where, env={
            "ENVDIAL_KEY": KEY, "ENVDIAL_ENV": NAME, "ENVDIAL_TYPE": "int", "ENVDIAL_MAX": "600",
            "ENVDIAL_CONSUL_ADDR": f"{self.closed_port()},{consul.address}", "ENVDIAL_INSTANCE": "by-variables",
            "ENVDIAL_LOG_FORMAT": "json", "ENVDIAL_SERVICE_PORT": "tcp://10.0.0.1:80", "ENVDIAL_PORT_9102_TCP": "x",
        })  # fmt: skip
        self.addCleanup(sidecar.kill)
        sidecar.start_ready()
        sidecar.wait_env(MAX_CONCURRENT=500)
        consul.put(KEY, 700)
        eventually("refused by ENVDIAL_MAX", lambda: sidecar.dial(NAME)["rejected"])
        self.assertEqual(sidecar.status()["instance"], "by-variables")
        json.loads(sidecar.log().splitlines()[0])

    def test_a_flag_wins_over_a_variable_and_that_over_the_default(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        variables = {"ENVDIAL_MAX": "5", "ENVDIAL_CONSUL_ADDR": self.closed_port()}
        sidecar = self.sidecar(consul, *one_dial("--max", 2500), env=variables)
        sidecar.start_ready()
        sidecar.wait_env(MAX_CONCURRENT=500)

    def test_a_flag_wins_over_a_variable_for_every_command_that_asks_a_sidecar(self):
        elsewhere, here = self.where / "elsewhere", self.where / "here"
        for command in (("get", "A"), ("status",), ("probe", "live"), ("exec", "--wait", "2s", "--", "true")):
            flag = envdial(command[0], "--run-dir", here, *command[1:], env={"ENVDIAL_RUN_DIR": str(elsewhere)})
            self.assertIn(f"no sidecar answers in {here} ", flag.stderr)
            variable = envdial(*command, env={"ENVDIAL_RUN_DIR": str(elsewhere)})
            self.assertIn(f"no sidecar answers in {elsewhere} ", variable.stderr)

    def test_consuls_own_variable_for_the_address(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        for address in (consul.address, f"http://{consul.address}"):
            sidecar = Sidecar(self.where / re.sub(r"\W", "_", address), *one_dial(), env={"CONSUL_HTTP_ADDR": address})
            self.addCleanup(sidecar.kill)
            sidecar.start_ready()
            sidecar.wait_env(MAX_CONCURRENT=500)
            sidecar.kill()

    def test_proxies_of_the_environment_are_ignored(self):
        consul = self.start_consul()
        consul.put(KEY, 500)
        proxy = f"http://{self.closed_port()}"
        variables = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), proxy)
        sidecar = self.sidecar(consul, *one_dial(), env=variables)
        sidecar.start_ready()
        sidecar.wait_env(MAX_CONCURRENT=500)

    def test_bad_variables_are_64_and_name_themselves(self):
        for env in ({"ENVDIAL_TIMEOUT": "soon"}, {"CONSUL_HTTP_ADDR": "ftp://x"}, {"CONSUL_HTTP_TOKEN": "a\nb"}):
            done = envdial("run", *one_dial("--run-dir", self.where / "r", "--state-dir", self.where / "s"), env=env)
            self.assertEqual(done.returncode, 64, done.stderr)
            self.assertRegex(done.stderr, "(?i)timeout|CONSUL_HTTP_ADDR|token")

    def test_the_env_file_as_a_shell_reads_it(self):
        consul = self.start_consul()
        text = "a \"b\" $HOME `id` \\ #c; é\n\tsecond line"
        consul.put("hunt/text", text)
        sidecar = self.sidecar(consul, "--key", "hunt/text", "--env", "TEXT", "--type", "string").start_ready()
        sidecar.wait_env(TEXT=text)
        self.assertEqual(sidecar.env_text(), env_text(TEXT=text))
        read_it = ["sh", "-c", 'set -a; . "$1"; exec env -0', "sh", sidecar.env_file]
        seen = subprocess.run(read_it, capture_output=True, text=True, check=True)
        self.assertIn(f"TEXT={text}", seen.stdout.split("\0"))
