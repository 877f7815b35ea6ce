"""CUE, through the `cue` program: the Statement must unify with the policy, and every value must be there (`vet -c`).

cosign lets pass a field that the policy demands and the attestation lacks; with `-c` (concrete) it does not pass here.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from typing import Any

from sealgate import program as programs
from sealgate.conditions.result import EngineMissingError, PolicyError

_OUTPUT = 2000
_MISSING = (
    'CUE needs the program cue on the PATH. The same in CEL (a file .cel): predicate.bomFormat == "CycloneDX"; in JSON'
    ' Schema (.json): {"type": "object", "required": ["predicate"], "properties": {"predicate": {"type": "object",'
    ' "required": ["bomFormat"], "properties": {"bomFormat": {"const": "CycloneDX"}}}}}'
)


class Vet:
    """A policy for `cue vet`."""

    def __init__(self, source: str, path: str) -> None:
        """`path` is where programs are looked for. Raises `PolicyError`."""
        program = programs.find("cue", path)
        if program is None:
            raise EngineMissingError(_MISSING)
        self._program = program
        self._source = source

    def evaluate(self, document: Any, now: int) -> str | None:
        """None if the document unifies with the policy, else what cue says. Raises `PolicyError`."""
        return self._vet("-c", "json:", "-", data=json.dumps(document).encode())

    def compile(self) -> None:
        """Look at the policy alone: whether it is CUE, and does not contradict itself. Raises `PolicyError`."""
        said = self._vet("-c=false")  # not every value is there yet
        if said is not None:
            raise PolicyError(f"is not CUE: {said}")

    def _vet(self, concrete: str, *documents: str, data: bytes = b"") -> str | None:
        # Nothing is written to a disk: cue reads both from pipes.
        readable, writable = os.pipe()
        writer = threading.Thread(target=_pour, args=(writable, self._source.encode()), daemon=True)
        writer.start()
        try:
            done = subprocess.run(
                [self._program, "vet", concrete, "cue:", f"/dev/fd/{readable}", *documents],
                input=data,
                pass_fds=(readable,),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={"PATH": "", "HOME": "/nonexistent", "CUE_REGISTRY": "none", "CUE_CACHE_DIR": "/nonexistent"},
                check=False,
            )
        except OSError as error:
            raise PolicyError(f"cue could not be started: {error.strerror}") from error
        finally:
            os.close(readable)
            writer.join()
        if done.returncode == 0:
            return None
        said = " ".join(done.stderr[:_OUTPUT].decode("utf-8", "replace").split())
        said = said.replace(f"./dev/fd/{readable}:", "policy.cue:")
        if done.returncode < 0 or not said:
            raise PolicyError("cue ended without an answer")
        return said[:300]


def _pour(writable: int, data: bytes) -> None:
    try:
        with open(writable, "wb") as file:
            file.write(data)
    except BrokenPipeError:
        pass  # cue has said what it thinks of the policy already
