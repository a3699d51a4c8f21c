# SPDX-License-Identifier: Apache-2.0
"""Sleeping on a word of a read-only mapping: futex(2), which the standard library does not offer."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from typing import Any, Optional

_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "loongarch64": 98, "ppc64le": 221}
_FUTEX_WAIT, _FUTEX_WAKE = 0, 1  # not FUTEX_PRIVATE_FLAG: it is another process that wakes
_ALL = 2**31 - 1
_EXPECTED = {errno.EAGAIN, errno.ETIMEDOUT, errno.EINTR}


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_int64), ("nanoseconds", ctypes.c_int64)]


class _Buffer(ctypes.Structure):
    """Py_buffer, which is part of the stable ABI."""

    _fields_ = [
        ("address", ctypes.c_void_p),
        ("owner", ctypes.py_object),
        ("bytes", ctypes.c_ssize_t),
        ("item_bytes", ctypes.c_ssize_t),
        ("read_only", ctypes.c_int),
        ("dimensions", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [ctypes.py_object, ctypes.POINTER(_Buffer), ctypes.c_int]
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [ctypes.POINTER(_Buffer)]
_release_buffer.restype = None
_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [
    ctypes.c_long,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_uint32,
    ctypes.POINTER(_Timespec),
    ctypes.c_void_p,
    ctypes.c_uint32,
]


def address_of(mapping: Any) -> int:
    """Where a mapping stands in memory, as long as it is not closed. (ctypes' from_buffer wants a writable one.)"""
    buffer = _Buffer()
    _get_buffer(mapping, ctypes.byref(buffer), 0)
    try:
        return int(buffer.address)
    finally:
        _release_buffer(ctypes.byref(buffer))


def wait(address: int, expected: int, seconds: float) -> None:
    """Returns when the u32 at `address` is not `expected` or was changed and woken; at the latest after `seconds`;
    and now and then for no reason."""
    number = _number()
    if number is None:
        raise OSError(errno.ENOSYS, f"envdial cannot wait on {platform.machine()}: the number of futex is not known")
    whole = int(seconds)
    timeout = _Timespec(whole, int((seconds - whole) * 1e9))
    if _syscall(number, address, _FUTEX_WAIT, expected, ctypes.byref(timeout), None, 0) == -1:
        failed = ctypes.get_errno()
        if failed not in _EXPECTED:
            raise OSError(failed, f"futex: {os.strerror(failed)}")


def wake(address: int) -> None:
    """Ends the sleep of all who wait there."""
    number = _number()
    if number is not None:
        _syscall(number, address, _FUTEX_WAKE, _ALL, None, None, 0)


def _number() -> Optional[int]:
    return _NUMBERS.get(platform.machine()) if sys.maxsize > 2**32 else None
