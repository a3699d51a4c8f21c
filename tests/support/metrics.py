# SPDX-License-Identifier: Apache-2.0
"""Prometheus' text format, read strictly enough to notice what a scraper would refuse."""

import re

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')
_HELP_OR_TYPE = re.compile(r"^# (HELP|TYPE) (\S+) (.+)$")


class Metrics:
    """One scrape: samples by name and labels, and each family's HELP and TYPE."""

    def __init__(self, text):
        self.text = text
        self.samples = {}
        self.help = {}
        self.type = {}
        for line in filter(None, text.split("\n")):
            self._read(line)

    def _read(self, line):
        about = _HELP_OR_TYPE.match(line)
        if about:
            family = self.help if about[1] == "HELP" else self.type
            if about[2] in family:
                raise AssertionError(f"a second {about[1]} for {about[2]}")
            family[about[2]] = about[3]
            return
        sample = _SAMPLE.match(line)
        if not sample or _LABEL.sub("", sample[2] or ""):
            raise AssertionError(f"not a line of Prometheus' text format: {line!r}")
        labels = frozenset(_LABEL.findall(sample[2] or ""))
        if (sample[1], labels) in self.samples:
            raise AssertionError(f"the same series twice: {line!r}")
        self.samples[sample[1], labels] = float(sample[3])

    def __call__(self, name, **labels):
        """The value of envdial_`name` with exactly these labels."""
        return self.samples[f"envdial_{name}", frozenset(labels.items())]

    def series(self, name):
        """All label sets of envdial_`name` with their values, as a list of (dict, float)."""
        return [(dict(labels), value) for (full, labels), value in self.samples.items() if full == f"envdial_{name}"]
