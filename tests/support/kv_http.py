# SPDX-License-Identifier: Apache-2.0
"""One read of Consul's KV API over HTTP/1.1: what was asked, and what is said."""

from dataclasses import dataclass, field, replace
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

MAX_HEAD = 64 * 1024  # of one request: the sidecar sends a few hundred bytes


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict  # names in lower case
    number: int = 0  # the how-manieth request of the server, from 1

    @property
    def path(self):
        return unquote(urlsplit(self.target).path)

    @property
    def query(self):
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def key(self):
        """The key or prefix that a KV request is about."""
        return self.path.removeprefix("/v1/kv/")

    @property
    def consistent(self):
        return "consistent" in self.query

    def plain(self):
        """The same without `index` and `wait`: one that is answered at once."""
        kept = {name: value for name, value in self.query.items() if name not in ("index", "wait")}
        return replace(self, target=urlsplit(self.target).path + ("?" + urlencode(kept) if kept else ""))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    protocol: str = "HTTP/1.1"

    def with_headers(self, **headers):
        """Headers replaced, added, or taken away where None; `content_type` stands for Content-Type."""
        changed = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in changed}
        return replace(self, headers=kept | {name: value for name, value in changed.items() if value is not None})

    def head(self, length=None):
        """The status line and the headers, with the Content-Length of the body or the one given."""
        lines = [f"{self.protocol} {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines.append(f"Content-Length: {len(self.body) if length is None else length}")
        return "\r\n".join([*lines, "", ""]).encode()

    def wire(self):
        return self.head() + self.body


def read_request(stream, number):
    """The next request of a connection, or None at its end. Bodies are not expected."""
    line = stream.readline(MAX_HEAD).decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = {}
    while field_line := stream.readline(MAX_HEAD).strip():
        name, _, value = field_line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Request(line[0], line[1], headers, number)
