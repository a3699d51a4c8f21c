# SPDX-License-Identifier: Apache-2.0
"""What script/demo shows. Needs ENVDIAL_BINARY and ENVDIAL_CONSUL."""

import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests"))

from support import processes  # noqa: E402  (found only now)
from support.real_consul import Consul, find_binary  # noqa: E402
from support.sidecar import Sidecar, envdial  # noqa: E402
from support.waiting import always, eventually  # noqa: E402

KEY = "hunt/max-concurrent"
NAME = "MAX_CONCURRENT"
DIAL = ("--key", KEY, "--env", NAME, "--type", "int", "--default", "500", "--min", "1", "--max", "2500")


class Program:
    """The small program; each of its lines is shown as it comes, and kept with its time."""

    def __init__(self, env_file):
        self.lines = []
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", str(TOP / "examples/hunt.sh"), str(env_file)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self):
        return self._process.pid

    def runs(self):
        return self._process.poll() is None

    def _read(self):
        for line in self._process.stdout:
            self.lines.append((time.monotonic(), line.strip()))
            print(f"      hunt.sh | {line.strip()}", flush=True)

    def wait_for(self, line, since):
        """When it printed `line`, at or after `since`."""
        return eventually(
            f"the program prints {line!r}",
            lambda: next((when for when, seen in self.lines if seen == line and when >= since), None),
        )

    def values_printed(self):
        return [line.rpartition(" ")[2] for _, line in self.lines if line.startswith(NAME)]

    def end(self):
        processes.kill(self._process)


class Demo:
    def __init__(self, where):
        self.consul = Consul(where / "consul")
        self.sidecar = Sidecar(where, "--consul-addr", self.consul.address, *DIAL, "--stale-after", "2s")
        self.program = None
        self.steps = []

    # -- how a step is told

    def step(self, title):
        print(f"\n{len(self.steps) + 1}. {title}", flush=True)
        self.steps.append([title, None])

    def say(self, text):
        print(f"   {text}", flush=True)

    def command(self, text):
        print(f"   $ {text}", flush=True)

    def seen(self, what, seconds):
        self.steps[-1][1] = seconds
        took = f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
        print(f"   seen: {what} ({took})", flush=True)

    def show_status(self, expected_code):
        self.command("envdial status")
        done = envdial("status", "--run-dir", self.sidecar.run_dir)
        for line in done.stdout.rstrip().splitlines():
            print(f"      {line}".rstrip(), flush=True)
        if done.returncode != expected_code:
            raise AssertionError(f"envdial status ended with {done.returncode}, not {expected_code}\n{done.stderr}")
        return done.stdout

    def show_log(self, pattern):
        line = self.sidecar.wait_log(pattern)[-1]
        print(f"      envdial | {line}", flush=True)

    def put(self, value):
        """`consul kv put`; returns when it was typed. Its own time is told, so that it isn't taken for envdial's."""
        self.command(f"consul kv put {KEY} {value}")
        began = time.monotonic()
        self.consul.cli("kv", "put", KEY, str(value))
        return began, time.monotonic() - began

    def put_and_see(self, value):
        began, own_time = self.put(value)
        when = self.program.wait_for(f"{NAME} is now {value}", began)
        self.seen(f"the program has {value}, of which {own_time * 1e3:.0f} ms are `consul kv put` itself", when - began)

    # -- the steps

    def start(self):
        self.step("A development Consul, the sidecar, and a program that follows one value")
        self.say(f"$ consul agent -dev        ({find_binary()})")
        self.consul.start()
        self.say(f"$ envdial run {' '.join(DIAL[:6])} \\")
        self.say(f"      {' '.join(DIAL[6:])} --stale-after 2s")
        began = time.monotonic()
        self.sidecar.start()
        self.say("$ examples/hunt.sh RUN_DIR/env")
        self.program = Program(self.sidecar.env_file)
        self.program.wait_for(f"{NAME} is now 500", began)
        took = time.monotonic() - began
        self.seen("the key is not in Consul yet, so the program begins with the dial's default, 500", took)

    def first_value(self):
        self.step("A first value")
        self.put_and_see(600)

    def change(self):
        self.step("A change, while the program runs")
        self.put_and_see(800)

    def refuse(self):
        self.step("A value above the maximum of 2500: a typo")
        began, _ = self.put(9000)
        rejected = eventually("9000 is refused", lambda: self.sidecar.dial(NAME)["rejected"])
        took = time.monotonic() - began
        self.show_log("9000")
        if "max" not in self.show_status(0) or rejected["reason"] != "max":
            raise AssertionError(f"the reason is not shown: {rejected}")
        always("the program keeps 800", lambda: self.program.values_printed()[-1] == "800", 0.5)
        self.seen("refused, with the reason; the program keeps 800", took)

    def lose_consul(self):
        self.step("Consul dies")
        self.command(f"kill -9 {self.consul.pid}        (Consul)")
        began, wall = time.monotonic(), time.time()
        self.consul.kill()
        self.sidecar.wait_state("stale")
        took = time.monotonic() - began
        self.show_log(r"\(refused\)")
        self.show_status(3)
        name = "source_last_success_timestamp_seconds"
        since = self.sidecar.metrics()(name, group=KEY, source="consul")
        if abs(since - wall) > 4:
            raise AssertionError(f"{name} says {since}, Consul died at {wall}")
        self.say(f"envdial_{name} {since:.3f}, that is {time.strftime('%H:%M:%S', time.gmtime(since))} UTC")
        if self.program.values_printed()[-1] != "800":
            raise AssertionError("the program lost its value")
        self.seen("stale 2 s after the last contact; the metric says since when; the program keeps 800", took)

    def lose_sidecar(self):
        self.step("The sidecar dies too, and comes back while Consul is away")
        self.command(f"kill -9 {self.sidecar.pid}        (envdial)")
        self.sidecar.kill()
        self.command("rm RUN_DIR/env           (so that only the last-known-good store can bring it back)")
        self.sidecar.env_file.unlink()
        self.command("envdial run …            (again)")
        self.sidecar.start()
        self.sidecar.wait_env(**{NAME: 800})
        took = time.monotonic() - self.sidecar.started
        eventually("its origin is told", lambda: self.sidecar.dial(NAME)["origin"] == "last-known-good")
        self.show_log("(?i)last-known-good")
        self.seen("800 is in the env file again, from the store", took)
        if took > 2:
            raise AssertionError("that was not at once")

    def regain_consul(self):
        self.step("Consul comes back, empty as a rebuilt one, and gets a newer value")
        self.command("consul agent -dev        (again)")
        self.consul.start()
        began, own_time = self.put(1200)
        when = self.program.wait_for(f"{NAME} is now 1200", began)
        self.sidecar.wait_state("ready")
        self.show_log("(?i)answers again")
        self.seen("the program has 1200, the state is ready", when - began)

    def delete(self):
        self.step("The key is deleted")
        self.command(f"consul kv delete {KEY}")
        began = time.monotonic()
        self.consul.cli("kv", "delete", KEY)
        self.sidecar.wait_log("(?i)delet")
        took = time.monotonic() - began
        self.show_log("(?i)delet")
        always("the program keeps 1200", lambda: self.program.values_printed()[-1] == "1200", 0.5)
        self.show_status(0)
        self.seen("kept (on_delete: keep), and said", took)

    def finish(self):
        self.step("The end")
        values = self.program.values_printed()
        if not self.program.runs() or values != ["500", "600", "800", "1200"]:
            raise AssertionError(f"the program was to print 500, 600, 800, 1200 and to run on; it printed {values}")
        code, took = self.sidecar.terminate()
        if code != 0 or took > 1:
            raise AssertionError(f"SIGTERM ended the sidecar with {code} after {took:.1f} s")
        self.seen(f"the program is still pid {self.program.pid}; SIGTERM ended the sidecar", took)

    def run(self):
        for step in (
            self.start, self.first_value, self.change, self.refuse, self.lose_consul, self.lose_sidecar,
            self.regain_consul, self.delete, self.finish,
        ):  # fmt: skip
            step()

    def clean_up(self):
        if self.program is not None:
            self.program.end()
        self.sidecar.kill()
        self.consul.kill()


def stop(number, _frame):
    sys.exit(128 + number)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="envdial-demo-") as where:
        demo = Demo(Path(where))
        try:
            demo.run()
        except AssertionError as failure:
            print(f"\nNOT SEEN: {failure}\n\nThe sidecar's log:\n{demo.sidecar.log()}", flush=True)
            return 1
        finally:
            demo.clean_up()
    print(f"\nAll {len(demo.steps)} steps were seen, in {time.monotonic() - began:.0f} s. Nothing is left running.")
    return 0


sys.exit(main())
