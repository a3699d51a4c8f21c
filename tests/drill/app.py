# SPDX-License-Identifier: Apache-2.0
"""An app beside a sidecar of `script/drill servers`: prints a line for each thing that it sees on each channel.

    app.py CLIENT RUN_DIR PIDFILE       (CLIENT: the directory of envdial's Python client)

Each line is JSON: the monotonic time, the channel, the version where the channel has one, and the dials' texts; null
instead of them where the channel shows nothing at all.
"""

import http.client
import json
import os
import select
import signal
import socket
import sys
import threading
import time

EVERY = 0.005  # seconds between two looks at the files
HEARTBEAT = 10.0  # seconds; a stream says something at least that often


def tell(channel, dials, version=None):
    """In one write, so that threads don't meet in a line."""
    line = {"t": time.monotonic(), "channel": channel, "version": version, "dials": dials}
    os.write(1, (json.dumps(line) + "\n").encode())


def parse(text):
    """The dials of an env file; what is no whole one stands there as it was."""
    lines = text.split("\n")
    pairs = [line.partition("=") for line in lines[:-1]]
    whole = text.endswith("\n") and all(rest[:1] == rest[-1:] == "'" and len(rest) > 1 for _, _, rest in pairs)
    return {name: rest[1:-1] for name, _, rest in pairs} if whole else {"": text}


class EnvFile:
    def __init__(self, run_dir):
        self._path = os.path.join(run_dir, "env")
        self._seen = None
        self._began = False

    def read(self):
        try:
            with open(self._path, encoding="utf-8") as file:
                return parse(file.read())
        except FileNotFoundError:
            return None

    def look(self):
        try:
            found = os.stat(self._path)
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            stamp = None
        if stamp != self._seen:
            self._seen = stamp
            self._began = self._began or stamp is not None
            if self._began:
                tell("env_file", self.read())


class SnapshotFile:
    def __init__(self, client, run_dir):
        sys.path.insert(0, client)
        import envdial

        self._client = envdial
        self._run_dir = run_dir
        self._dials = None
        self._version = 0

    def look(self):
        if self._dials is None:
            try:
                self._dials = self._client.open(self._run_dir)
            except (OSError, self._client.NotPublished):
                return
        self._dials["A"].value  # noqa: B018  (so that the client looks whether there is a new file)
        if self._dials.version != self._version:
            snapshot = self._dials.snapshot()
            self._version = snapshot.version
            tell("snapshot_file", {name: each.text for name, each in snapshot.readings.items()}, snapshot.version)


class Stream(threading.Thread):
    """Follows the control channel."""

    def __init__(self, run_dir):
        super().__init__(daemon=True)
        self._path = os.path.join(run_dir, "control.sock")
        self._version = 0

    def run(self):
        while True:
            try:
                self._follow()
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.01)  # no sidecar is there

    def _follow(self):
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(HEARTBEAT + 5)
            stream.connect(self._path)
            stream.sendall(b"GET /v1/watch HTTP/1.1\r\nHost: app\r\n\r\n")
            answer = http.client.HTTPResponse(stream)
            answer.begin()
            event = ""
            while line := answer.readline():
                field, _, text = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    event = text
                elif field == "data" and event == "snapshot":
                    self._note(json.loads(text))

    def _note(self, snapshot):
        if snapshot["version"] not in (0, self._version):
            self._version = snapshot["version"]
            tell("control", {dial["name"]: dial["value"] for dial in snapshot["dials"]}, snapshot["version"])


def main():
    client, run_dir, pidfile = sys.argv[1:]
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGHUP, lambda *_: None)
    with open(pidfile, "w", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    env_file, snapshot = EnvFile(run_dir), SnapshotFile(client, run_dir)
    Stream(run_dir).start()
    while True:
        if select.select([woken], [], [], EVERY)[0]:
            os.read(woken, 4096)
            tell("signal", env_file.read())
        env_file.look()
        snapshot.look()


main()
