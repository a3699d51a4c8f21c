# SPDX-License-Identifier: Apache-2.0
"""A CA and its certificates, made by `consul tls` as Consul's own documentation does; what that can't make, by openssl."""

import subprocess
from pathlib import Path

from support import processes
from support.real_consul import find_binary

SERVER_NAME = "server.dc1.consul"
_NAMES = f"subjectAltName=DNS:{SERVER_NAME},DNS:localhost,IP:127.0.0.1\n"


def _run(*arguments, where):
    done = subprocess.run(arguments, cwd=where, env=processes.clean_environment(), capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")


class Pair:
    """A certificate and its key."""

    def __init__(self, certificate, key):
        self.certificate = certificate
        self.key = key


class Authority:
    def __init__(self, where):
        self.where = Path(where)
        self.where.mkdir(parents=True)
        _run(find_binary(), "tls", "ca", "create", where=self.where)
        self.certificate = self.where / "consul-agent-ca.pem"
        self._made = 0

    def _make(self, kind, prefix):
        """The first free number of that kind is taken by `consul tls`."""
        _run(find_binary(), "tls", "cert", "create", f"-{kind}", where=self.where)
        name = f"{prefix}-{kind}-consul-{len(list(self.where.glob(f'{prefix}-{kind}-consul-*-key.pem'))) - 1}"
        return Pair(self.where / f"{name}.pem", self.where / f"{name}-key.pem")

    def server(self):
        """For SERVER_NAME, localhost and 127.0.0.1."""
        return self._make("server", "dc1")

    def client(self):
        return self._make("client", "dc1")

    def expired(self, pair):
        """One for the same key, which was over before it began."""
        certificate, request, names = (pair.key.with_suffix(suffix) for suffix in (".expired.pem", ".csr", ".names"))
        names.write_text(_NAMES)
        key = self.where / "consul-agent-ca-key.pem"
        _run("openssl", "req", "-new", "-key", pair.key, "-subj", f"/CN={SERVER_NAME}", "-out", request, where="/")
        _run(
            "openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", key, "-set_serial", "1",
            "-days", "-1", "-extfile", names, "-out", certificate, where="/",
        )  # fmt: skip
        return Pair(certificate, pair.key)
