"""Finds a program of somebody else, and runs it within bounds: a scanner, an SBOM generator.

No shell; the environment that is given and nothing of ours (no password, no token); an empty folder to work in, so that no
configuration that lies about changes what it says; bounds of time and output. What it started ends with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

from sealgate.errors import SealgateError

_PAUSE = 0.05
_SAID = 2000


def find(name: str, path: str) -> str | None:
    """The program in an absolute directory of `path` (a PATH), or None.

    Never in the working directory, where an attacker's file may lie: empty and relative entries of a PATH name it (X05).
    """
    import os

    for directory in path.split(os.pathsep):
        found = os.path.join(directory, name)
        if os.path.isabs(directory) and os.path.isfile(found) and os.access(found, os.X_OK):
            return found
    return None


def run(
    words: list[str],
    *,
    environ: Mapping[str, str],
    seconds: float,
    most: int,
    error: type[SealgateError],
    hint: str | None = None,
    private: Iterable[str] = (),
    file_bytes: int | None = None,
) -> bytes:
    """What the program printed, at most `most` bytes. Raises `error`; `hint` says how to give it more time.

    `private` names variables that point to an empty folder of this run's own: HOME, TMPDIR. `file_bytes` is the most that
    one file may have that it writes.
    """
    import os
    import subprocess
    import tempfile
    import time

    with tempfile.TemporaryDirectory(prefix="sealgate-run-") as folder:
        out_path, err_path = os.path.join(folder, "out"), os.path.join(folder, "err")
        empty = os.path.join(folder, "work")
        os.mkdir(empty)
        own = {}
        for name in private:
            own[name] = os.path.join(folder, name.lower())
            os.mkdir(own[name], 0o700)
        with open(out_path, "wb") as out, open(err_path, "wb") as err:
            try:
                with _files_bounded(file_bytes):
                    process = subprocess.Popen(
                        words,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=err,
                        cwd=empty,
                        env={**environ, **own},
                        start_new_session=True,
                    )
            except OSError as failure:
                raise error(f"{words[0]} cannot be run: {failure.strerror}") from failure
            except ValueError as failure:  # a NUL in a word or a variable, `=` in a variable's name
                raise error(f"{words[0]!a} cannot be run: its words or variables cannot be passed") from failure
            try:
                if file_bytes is not None:
                    _bound_files(process.pid, file_bytes)
                end = time.monotonic() + seconds
                # WNOWAIT: it stays a zombie, so that its process group is still its own when `_end` ends it.
                while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    if time.monotonic() > end:
                        raise error(f"{words[0]} took longer than {seconds:g} seconds", hint=hint)
                    if max(os.fstat(out.fileno()).st_size, os.fstat(err.fileno()).st_size) > most:
                        raise error(f"{words[0]} said more than {most} bytes")
                    time.sleep(_PAUSE)
            finally:
                _end(process.pid)
                process.wait()
        if process.returncode != 0:
            with open(err_path, "rb") as err:
                said = err.read(64 * 1024)[-_SAID:].decode("utf-8", "replace").strip()
            raise error(f"{words[0]} failed with {process.returncode}: {said or 'it did not say why'}")
        with open(out_path, "rb") as out:
            return out.read(most + 1)


@contextlib.contextmanager
def _files_bounded(most: int | None) -> Iterator[None]:
    """What is started meanwhile begins with the bound: set afterwards, it may come after the first writing.

    It is this process's own for as long, too, and only the soft one, so that it can be taken back.
    """
    import resource

    if most is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    lower = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (lower, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _bound_files(pid: int, most: int) -> None:
    """Where the system can do that to a process that runs (Linux): then it cannot take the bound back itself."""
    import resource

    prlimit = getattr(resource, "prlimit", None)
    if prlimit is not None:
        with contextlib.suppress(OSError, ValueError):  # it has ended already, or its bound is lower
            prlimit(pid, resource.RLIMIT_FSIZE, (most, most))


def _end(group: int) -> None:
    """End what is left of the program and what it started: it leads a process group of its own."""
    import os
    import signal

    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
