# SPDX-License-Identifier: Apache-2.0
"""A small disk of its own for one directory, that can be full or read-only."""

import os
import subprocess

from support import processes


class OwnDisk:
    """A tmpfs over `directory` in a mount namespace of its own: seen only by what `inside` starts, gone with close().

    Works without root too, where the kernel lets users make user namespaces.
    """

    def __init__(self, directory, size, options="rw"):
        self._directory = directory
        self._as_root = os.geteuid() == 0
        unshare = ["unshare", "--mount"] if self._as_root else ["unshare", "--mount", "--user", "--map-root-user"]
        mount = 'mount -t tmpfs -o "size=$1,$2,mode=0700" tmpfs "$3" && echo mounted && exec cat'
        self._holder = subprocess.Popen(
            [*unshare, "sh", "-c", mount, "sh", size, options, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._holder.stdout.readline() != "mounted\n":
            raise AssertionError("no tmpfs could be mounted: this test needs root, or user namespaces for users")

    @property
    def inside(self):
        """The command that starts another one where the disk is seen."""
        enter = ["nsenter", "--target", str(self._holder.pid), "--mount"]
        return enter if self._as_root else [*enter, "--user", "--preserve-credentials"]

    def path(self, name):
        """How a file on the disk is reached from outside."""
        return f"/proc/{self._holder.pid}/root{self._directory}/{name}"

    def fill(self):
        """Leaves no byte free."""
        with open(self.path("filler"), "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"x" * 4096)
            except OSError:
                return

    def make_room(self):
        os.unlink(self.path("filler"))

    def close(self):
        self._holder.stdin.close()
        self._holder.wait(10)
        self._holder.stdout.close()
        processes.kill(self._holder)
