# SPDX-License-Identifier: Apache-2.0
"""A sidecar under strace: which calls it makes on its files, and what the kernel is told to do at one of them."""

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support import processes
from support.sidecar import Sidecar

# What touches files by a path or a descriptor; strace counts those of them that are about the sidecar's files.
_BY_PATH = (
    "openat", "mkdir", "flock", "ftruncate", "read", "pread64", "write", "pwrite64", "chmod", "fchmod", "chown",
    "fchown", "lchown", "newfstatat", "mmap", "fallocate", "rename", "renameat2", "unlink", "close",
)  # fmt: skip
_BY_NUMBER = ("bind", "io_submit")  # strace does not see what these are about: it counts all of them
_SYNCS = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync")  # none of them should be seen
_FILES = {
    "run": ("", "lock", "env", "env.tmp", "snapshot", "snapshot.tmp", "control.sock", "control.soc~"),
    "state": ("", "lock", *(f"last-known-good.{n}{end}" for n in (0, 1) for end in ("", ".tmp", ".damaged"))),
}
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
_FLAG = re.compile(r"\b(?:O_(?:RDONLY|WRONLY|RDWR|CREAT|EXCL|DIRECTORY)|RENAME_EXCHANGE|PROT_WRITE)\b")


@dataclass(frozen=True)
class Call:
    """The how-manieth call of that name. `shape` is what it is about, the same in every run."""

    name: str
    nth: int
    shape: str

    def __str__(self):
        return f"{self.shape} (number {self.nth})"


def _shape(line, where):
    _, name, rest = _LINE.match(line).groups()
    paths = re.findall(rf"{re.escape(str(where))}/([\w./~-]+)", rest)
    return " ".join([name, *dict.fromkeys(paths), *sorted(set(_FLAG.findall(rest)))])


def calls_in(trace, where):
    """The calls on the files below `where`, in their order."""
    seen, calls = {}, []
    for line in trace.splitlines():
        found = _LINE.match(line)
        if not found:
            continue
        name = found[2]
        is_ours = re.search(rf"{re.escape(str(where))}/(run|state)\b", line) and name != "execve"
        if is_ours or name in _BY_NUMBER:
            seen[name] = seen.get(name, 0) + 1
        if is_ours:
            calls.append(Call(name, seen[name], _shape(line, where)))
    return calls


class TracedSidecar(Sidecar):
    """`inject` is an order for strace, say signal=SIGKILL or error=EIO, that is carried out at `call`, once. Without a
    call all that is made on files is traced: `others`, too, that were not thought of here."""

    def __init__(self, where, *arguments, call=None, inject="", others=False, preload=None, env=None):
        super().__init__(where, *arguments, env=env, make_run_dir=False)
        self.trace_file = self.where / "trace"
        self._call = call
        by_path = call is not None and call.name in _BY_PATH
        names = _BY_PATH if by_path else (*_BY_PATH, *_BY_NUMBER, *_SYNCS) if call is None else (call.name,)
        names = ("%file", "%desc", *_BY_NUMBER, *_SYNCS) if others else names
        self.before = [
            "strace", "-f", "-y", "-o", self.trace_file, "-e", "trace=" + ",".join(names),
        ]  # fmt: skip
        if call is not None:
            self.before += ["-e", f"inject={call.name}:{inject}:when={call.nth}"]
        if by_path:
            directories = {"run": self.run_dir, "state": self.state_dir}
            for folder, files in _FILES.items():
                for name in files:
                    self.before += ["-P", directories[folder] / name if name else directories[folder]]
        for name, value in (preload or {}).items():
            self.before += ["-E", f"{name}={value}"]
        # strace that is killed lets go of what it traces.
        self.before = list(map(str, [*self.before, "setpriv", "--pdeathsig", "KILL", "--"]))

    def trace(self):
        return self.trace_file.read_text(errors="replace") if self.trace_file.exists() else ""

    def calls(self):
        return calls_in(self.trace(), self.where)

    def unknown_calls(self):
        """The names of those on files that cannot be made to fail, because they were not thought of here."""
        found = {call.name for call in self.calls() if "UNIX-STREAM" not in call.shape}
        return found - {*_BY_PATH, *_BY_NUMBER}

    def was_injected(self):
        """Whether it was done, and at that call and no other."""
        lines = [line for line in self.trace().splitlines() if _LINE.match(line)]
        hit = [line for line in lines if "(INJECTED)" in line]
        if not hit and "+++ killed by SIGKILL +++" in self.trace():
            hit = lines[-1:]
        return len(hit) == 1 and _shape(hit[0], self.where) == self._call.shape

    def stop_strace(self):
        """Kills the sidecar with -9, of which strace then dies, too."""
        if self.ended():
            return  # the pid may be another's by now
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            processes.kill(self._process)
