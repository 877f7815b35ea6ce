"""While private keys or tokens are in memory: no core of the process is written, and nobody but root looks into it."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4


@contextlib.contextmanager
def no_core_dump() -> Iterator[None]:
    """No core of this process or a child of it is written meanwhile.

    The limit alone does not do: Linux pays no heed to it where cores are piped to a program (core(5), which most
    distributions do), so there the process is also not dumpable (prctl(2)). That ends with `execve`: other programs have
    the limit, and none of our secrets.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    before = _dumpable(None)
    if before == 1:
        _dumpable(0)
    try:
        yield
    finally:
        if before == 1:
            _dumpable(1)
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def _dumpable(value: int | None) -> int:
    """Set it, or with None say what it is; elsewhere than on Linux there is no such thing: 0."""
    if not sys.platform.startswith("linux"):
        return 0
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    if value is None:
        return int(prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0))
    return int(prctl(_PR_SET_DUMPABLE, value, 0, 0, 0))
