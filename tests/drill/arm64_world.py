# SPDX-License-Identifier: Apache-2.0
"""Where this machine runs programs for arm64 as it runs its own: by the emulator, in namespaces of this process."""

import ctypes
import os
import sys
from pathlib import Path

_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000  # CLONE_NEWUSER, CLONE_NEWNS
_READ_ONLY, _PRIVATE, _RECURSIVE = 1, 1 << 18, 1 << 14  # MS_RDONLY, MS_PRIVATE, MS_REC
_DIE_WITH_PARENT, _KILL = 1, 9  # PR_SET_PDEATHSIG, SIGKILL
_KINDS = "/proc/sys/fs/binfmt_misc"
# The first 20 bytes of a program or library for arm64 (ELF, 64 bits, little-endian, EM_AARCH64), and which bits count.
_MAGIC = rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"

_libc = ctypes.CDLL(None, use_errno=True)


def enter(libraries):
    """Returns in a child that lives there; this process waits for it and ends as it does. What the kernel does with a
    program for arm64 it is told in a user namespace; Debian's libraries for arm64 are laid under /usr/lib in a mount
    namespace, and over them those of the folder `libraries`. So nothing changes for others, and each user and each
    `env -i` in there has both."""
    ask, asked = os.pipe()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        _call("prctl", _DIE_WITH_PARENT, _KILL, 0, 0, 0)
        _call("unshare", _NEW_USER | _NEW_MOUNTS)
        os.write(asked, b"?")
        os.read(told, 1)
        _furnish(Path(os.environ["ENVDIAL_ARM64"]), libraries)
        return
    os.close(asked)
    if os.read(ask, 1):  # else it has ended
        _map_users(child)
    os.write(tell, b"!")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _call(name, *arguments):
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        why = "this needs user namespaces, each with binfmt_misc of its own: Linux 6.7"
        sys.exit(f"arm64: {name}: {os.strerror(code)}; {why}")


def _map_users(child):
    """Everybody is who he was."""
    for kind in ("uid", "gid"):
        rows = [row.split() for row in Path(f"/proc/self/{kind}_map").read_text().splitlines()]
        same = "\n".join(f"{first} {first} {count}" for first, _, count in rows)
        Path(f"/proc/{child}/{kind}_map").write_text(same)


def _furnish(folder, libraries):
    _call("mount", b"none", b"/", None, _PRIVATE | _RECURSIVE, None)
    layers = ":".join(map(str, ("/usr/lib", libraries, folder / "sysroot/lib", folder / "sysroot/usr/lib")))
    _call("mount", b"arm64", b"/usr/lib", b"overlay", _READ_ONLY, f"lowerdir={layers}".encode())
    _call("mount", b"binfmt_misc", _KINDS.encode(), b"binfmt_misc", 0, None)
    # F: the emulator is opened now, so that also who can't read this folder has it.
    kind = b":".join((b"", b"arm64", b"M", b"", _MAGIC, _MASK, bytes(folder / "qemu-aarch64-static"), b"F"))
    Path(_KINDS, "register").write_bytes(kind)
