"""Every command that has a private key or a token in memory writes no core meanwhile; what was before is again afterwards."""

import ctypes
import resource
import sys

import pytest

from sealgate.keys.secrecy import no_core_dump

LINUX = sys.platform.startswith("linux")


def dumping():
    return resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if LINUX else 0


def test_nothing_is_dumped_inside_and_all_is_as_before_afterwards():
    before = dumping()
    with pytest.raises(ZeroDivisionError), no_core_dump():
        assert dumping() == ((0, before[0][1]), 0)
        with no_core_dump():
            assert dumping()[1] == 0
        assert dumping() == ((0, before[0][1]), 0)
        raise ZeroDivisionError
    assert dumping() == before


@pytest.mark.skipif(not LINUX, reason="what is looked at is in /proc")
def test_another_program_is_not_kept_from_anything_but_cores(tmp_path):
    import subprocess

    with no_core_dump():
        said = subprocess.run(
            ["/bin/sh", "-c", "ulimit -c; cat /proc/self/comm"], capture_output=True, text=True, check=True
        )
    assert said.stdout.split() == ["0", "cat"]
