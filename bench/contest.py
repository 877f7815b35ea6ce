"""Running programs against each other: interleaved, each run timed as a whole process, with its peak memory."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, NamedTuple

_MEMORY = Path(__file__).with_name("memory.py")


class Run(NamedTuple):
    """One process, from start to end."""

    seconds: float
    code: int
    stdout: bytes
    stderr: bytes
    rss: float = 0.0
    """MiB, when it was asked for: of the largest process, its children included."""
    requests: int = 0
    cpu: float = 0.0
    """Seconds of processor time, children included: what a busy machine changes least."""


class Result(NamedTuple):
    """What a contender needed: over all its runs."""

    median: float
    best: float
    worst: float
    requests: float
    rss: float
    cpu: float
    """Median."""
    runs: int


class Machine:
    """Starts programs with a clean environment, a home of their own, and warm bytecode."""

    def __init__(self, scratch: Path, timeout: float = 300) -> None:
        self._scratch = scratch
        self._timeout = timeout
        home = scratch / "home"
        (home / ".docker").mkdir(parents=True)
        # PYTHONDONTWRITEBYTECODE must not come along: without bytecode Python's start-up takes twice as long.
        self.environ = {
            "PATH": os.defpath, "HOME": str(home), "DOCKER_CONFIG": str(home / ".docker"), "TMPDIR": str(scratch),
            "XDG_CONFIG_HOME": str(home / ".config"), "LC_ALL": "C.UTF-8", "COSIGN_PASSWORD": "pw",
        }  # fmt: skip

    def start(self, command: list[str], *, memory: bool = False) -> Started:
        return Started(command, self.environ, self._scratch, self._timeout, memory=memory)

    def run(self, command: list[str], *, good: int | None = 0, memory: bool = False) -> Run:
        """Run to the end. Raises `RuntimeError`, with what it said, for an exit code that is not expected."""
        return expect(self.start(command, memory=memory).end(), command, good)


def expect(run: Run, command: list[str], good: int | None = 0) -> Run:
    """The run, if it ended as it should; `good` None: in an exit code that is not 0."""
    if run.code != good if good is not None else run.code == 0:
        said = run.stderr.decode(errors="replace")[-1500:]
        raise RuntimeError(f"{' '.join(command[:6])} … ended in {run.code}, not {good}:\n{said}")
    return run


class Started:
    """A process on its way."""

    def __init__(
        self, command: list[str], environ: dict[str, str], folder: Path, timeout: float, *, memory: bool
    ) -> None:
        with contextlib.ExitStack() as files:

            def file() -> IO[bytes]:
                return files.enter_context(tempfile.NamedTemporaryFile(dir=folder))

            self._measured = file() if memory else None
            self._out, self._err = file(), file()
            self._files = files.pop_all()
        if self._measured is not None:
            # A child's peak begins with that of whoever forks it, so a small process stands between.
            command = [sys.executable, "-I", "-S", str(_MEMORY), self._measured.name, *command]
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            command, env=environ, cwd=folder, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err
        )
        self._alarm = threading.Timer(timeout, self._process.terminate)
        self._alarm.daemon = True
        self._alarm.start()

    def end(self) -> Run:
        _, status, usage = os.wait4(self._process.pid, 0)
        seconds = time.perf_counter() - self._began
        self._process.returncode = code = os.waitstatus_to_exitcode(status)
        self._alarm.cancel()
        with self._files:
            rss = 0.0
            if self._measured is not None:
                seconds, rss = json.loads(self._measured.read())
            said = []
            for file in (self._out, self._err):
                file.seek(0)
                said.append(file.read())
        return Run(seconds, code, said[0], said[1], rss, cpu=usage.ru_utime + usage.ru_stime)


Contender = Callable[[int], Run]
"""Does the work once; gets the number of the round, -1 for the one that warms up."""


def interleave(contenders: Mapping[str, Contender], rounds: int) -> dict[str, Result]:
    """Each contender once a round, in turning order, after one run of each that does not count."""
    names = list(contenders)
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for name in names:
        contenders[name](-1)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            runs[name].append(contenders[name](number))
    return {name: summary(found) for name, found in runs.items()}


def summary(runs: list[Run]) -> Result:
    seconds = [run.seconds for run in runs]
    return Result(
        statistics.median(seconds),
        min(seconds),
        max(seconds),
        statistics.median(run.requests for run in runs),
        max(run.rss for run in runs),
        statistics.median(run.cpu for run in runs),
        len(runs),
    )
