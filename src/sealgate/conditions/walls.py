"""The walls around a user's policy, put up by the child process for itself before it reads one.

What holds where: the limits of `setrlimit` on every POSIX system; on Linux (x86-64, AArch64) a seccomp filter that takes
away sockets, other programs and looking into processes, and death with the parent. A kernel or container that refuses the
filter leaves the engines, which have no function that opens a socket, behind an empty environment.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_ALLOW, _KILL, _EPERM = 0x7FFF0000, 0x80000000, 0x00050001
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06

# Audit architecture; socket, socketpair, connect, bind, sendto, ptrace, process_vm_readv and _writev, and of both
# io_uring_setup (sockets without socket()); then execve and execveat.
_SYSCALLS = {
    "x86_64": (0xC000003E, (41, 53, 42, 49, 44, 101, 310, 311, 425), (59, 322)),
    "aarch64": (0xC00000B7, (198, 199, 203, 200, 206, 117, 270, 271, 425), (221, 281)),
}


def limit(*, cpu: int, memory: int | None, files: int) -> None:
    """CPU seconds, bytes of address space (None: unbounded, the parent watches), open files; no core dumps, no files."""
    _at_most(resource.RLIMIT_CPU, cpu)
    _at_most(resource.RLIMIT_CORE, 0)
    _at_most(resource.RLIMIT_FSIZE, 0)
    _at_most(resource.RLIMIT_NOFILE, files)
    if memory is not None:
        _at_most(resource.RLIMIT_AS, memory)


def _at_most(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def close_off(*, programs: bool) -> bool:
    """No sockets, no looking into processes and, unless `programs`, no other program; dies with the parent.

    Gives whether the filter stands (Linux on a known machine, and nobody forbade it).
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    found = _SYSCALLS.get(platform.machine())
    if found is None or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    architecture, outside, execution = found
    code = _filter(architecture, outside if programs else outside + execution)
    buffer = ctypes.create_string_buffer(code)

    class Program(ctypes.Structure):
        _fields_ = (("count", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    program = Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(architecture: int, refused: tuple[int, ...]) -> bytes:
    """A BPF program over `struct seccomp_data`: refused calls get EPERM, those of another architecture kill."""

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    steps = [step(_LOAD, 4), step(_EQUAL, architecture, 1, 0), step(_RETURN, _KILL), step(_LOAD, 0)]
    # x86-64's second table of numbers (x32) begins there.
    steps += [step(_AT_LEAST, 0x40000000, 0, 1), step(_RETURN, _KILL)]
    for number in refused:
        steps += [step(_EQUAL, number, 0, 1), step(_RETURN, _EPERM)]
    return b"".join([*steps, step(_RETURN, _ALLOW)])


def silence() -> int:
    """Whatever the engines and policies print goes nowhere; gives the descriptor that was the standard output."""
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return answers
