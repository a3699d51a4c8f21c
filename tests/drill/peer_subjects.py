# SPDX-License-Identifier: Apache-2.0
"""Who goes through the outages of `script/drill peers`: each follows a value of Consul's into a file."""

import json
import os
import re
import time
from pathlib import Path

from support import processes
from support.sidecar import Sidecar

NAME = "MAX_CONCURRENT"
DEFAULT = 500
OTHER = "DIFFICULTY"  # what else is in the folder
OTHER_VALUE = "easy"
_FAILURES = ("refused", "timeout", "dns", "tls", "denied", "throttled", "server", "malformed")
ASK_EVERY = 0.1  # seconds: envdial's metrics
_WARNING = re.compile(rb"\[(?:WARN|ERR)\]| (?:warn|error) ")


class Subject:
    """One process and the file that it renders. look() is to be called often: what it sees has the time of the look."""

    kind = ""
    is_ours = False

    def __init__(self, where, base, gate, before):
        self.where = where / self.kind.replace(" ", "-").replace(",", "")
        self.where.mkdir(parents=True)
        self.base = base  # the folder in Consul, without a slash at its end
        self.gate = gate
        self.before = list(before)  # what starts it in its host
        self.log_file = self.where / "log"
        self.shown = []  # (moment, text), whenever the text is another one; None: there is no file
        self.warned = None  # the first moment since forget() at which it said that something is wrong
        self.ended = None  # (moment, exit code)
        self._process = None
        self._last = None
        self._log_read = 0

    @property
    def file(self):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def launch(self):
        with open(self.log_file, "ab") as log:
            self._process = processes.start(self.before + list(map(str, self.command())), log)
        self.ended = None

    def kill(self):
        processes.kill(self._process)

    def forget(self):
        """What was seen so far does not count any more."""
        self.look()
        self.warned = None
        del self.shown[:-1]

    def look(self):
        now = time.monotonic()
        if self.ended is None and self._process is not None and self._process.poll() is not None:
            self.ended = now, self._process.returncode
        self._look_at_file(now)
        if self._has_warned() and self.warned is None:
            self.warned = now

    def _look_at_file(self, now):
        try:
            status = self.file.stat()
            version = status.st_ino, status.st_mtime_ns
            if version == self._last:
                return
            text = self.file.read_text(errors="replace")
        except FileNotFoundError:
            version = text = None
        self._last = version
        if not self.shown or self.shown[-1][1] != text:
            self.shown.append((now, text))

    def _has_warned(self):
        if not self.log_file.exists() or self.log_file.stat().st_size == self._log_read:
            return False
        with open(self.log_file, "rb") as log:
            log.seek(self._log_read)
            lines = log.read()
        self._log_read += len(lines)
        return bool(_WARNING.search(lines))


class Envdial(Subject):
    kind = "envdial"
    is_ours = True

    def __init__(self, where, base, gate, before):
        super().__init__(where, base, gate, before)
        self._sidecar = Sidecar(self.where, "--consul-addr", gate.address, *self._dials(), before=before)
        self.log_file = self._sidecar.log_file
        self._failures = 0.0
        self._next_question = 0.0

    @property
    def file(self):
        return self._sidecar.env_file

    def _dials(self):
        return ["--key", f"{self.base}/{NAME}", "--env", NAME, "--type", "int", "--default", str(DEFAULT)]

    def command(self):
        return self._sidecar.command()[len(self.before) :]

    def lose_what_is_rendered(self):
        """As /run is empty after a reboot: the state directory is all that is left."""
        for each in self._sidecar.run_dir.iterdir():
            each.unlink()

    def forget(self):
        self._next_question = 0.0
        super().forget()

    def _has_warned(self):
        """An equal line is logged once a minute at most, so its metrics are asked, too."""
        return super()._has_warned() | self._has_counted_failures()

    def _has_counted_failures(self):
        now = time.monotonic()
        if now < self._next_question:
            return False
        self._next_question = now + ASK_EVERY
        try:
            polls = self._sidecar.metrics().series("consul_polls_total")
        except (OSError, ValueError):
            return False  # not there yet
        before = self._failures
        self._failures = sum(count for labels, count in polls if labels["result"] in _FAILURES)
        return self._failures > before


class EnvdialFolder(Envdial):
    kind = "envdial, folder"

    def _dials(self):
        dials = [
            {"env": NAME, "key": NAME, "type": "int", "default": DEFAULT},
            {"env": OTHER, "key": OTHER, "type": "string", "default": OTHER_VALUE},
        ]
        file = self.where / "dials.json"
        file.write_text(json.dumps({"prefix": f"{self.base}/", "dials": dials}))
        return ["--dials", str(file)]


class ConsulTemplate(Subject):
    """With its defaults."""

    kind = "consul-template"
    settings = ""  # of its own
    consul_settings = ""

    @property
    def file(self):
        return self.where / "rendered"

    def template(self):
        return f"{NAME}='{{{{ key \"{self.base}/{NAME}\" }}}}'\n"

    def lose_what_is_rendered(self):
        """It has nothing but what it rendered."""

    def command(self):
        config = self.where / "config.hcl"
        config.write_text(
            f'{self.settings}consul {{\n  address = "{self.gate.address}"\n{self.consul_settings}}}\n'
            f"template {{\n  contents = {json.dumps(self.template())}\n"
            f"  destination = {json.dumps(str(self.file))}\n}}\n"
        )
        return [Path(os.environ["ENVDIAL_CONSUL_TEMPLATE"]), "-config", config]


class TunedConsulTemplate(ConsulTemplate):
    """With all of its settings that help in an outage."""

    kind = "consul-template, tuned"
    settings = 'block_query_wait = "3s"\n'
    consul_settings = """\
  retry {
    attempts    = 0
    backoff     = "100ms"
    max_backoff = "1s"
  }
  transport {
    dial_timeout    = "1s"
    dial_keep_alive = "1s"
  }
"""


class ConsulTemplateFolder(ConsulTemplate):
    kind = "consul-template, folder"
    call = "ls"

    def template(self):
        return f"{{{{ range {self.call} \"{self.base}\" }}}}{{{{ .Key }}}}='{{{{ .Value }}}}'\n{{{{ end }}}}"


class TunedConsulTemplateFolder(ConsulTemplateFolder):
    kind = "consul-template, tuned, folder"
    settings = TunedConsulTemplate.settings
    consul_settings = TunedConsulTemplate.consul_settings
    call = "safeLs"


SINGLE = (Envdial, ConsulTemplate, TunedConsulTemplate)
FOLDER = (EnvdialFolder, ConsulTemplateFolder, TunedConsulTemplateFolder)
