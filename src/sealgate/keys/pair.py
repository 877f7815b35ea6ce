"""Writing a key pair: PREFIX.key (mode 0600) and PREFIX.pub (mode 0644), whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import NamedTuple

from sealgate.errors import KeyExistsError, KeyMaterialError


class Pair(NamedTuple):
    """The two names of a key pair."""

    private: str
    public: str

    @classmethod
    def named(cls, prefix: str) -> Pair:
        """`PREFIX.key` and `PREFIX.pub`. Raises `KeyMaterialError` for a prefix that cannot be a file name."""
        if not prefix or prefix.endswith("/") or "\0" in prefix:
            raise KeyMaterialError(
                "the prefix of the key files is not a file name", hint="such as my-key or keys/my-key"
            )
        return cls(f"{prefix}.key", f"{prefix}.pub")


def write_file(path: str, data: bytes, *, mode: int, replace: bool) -> None:
    """Write `data` to `path` with exactly `mode`, so that nobody ever sees half of it.

    Without `replace`, an existing file is left alone: `KeyExistsError`. Other failures: `KeyMaterialError`.
    """
    if is_special(path):
        raise KeyMaterialError(f"{path} is not a regular file, and is left alone")
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{secrets.token_hex(6)}")
    reserved = False
    try:
        try:
            _write_new(temporary, data, mode)
            if not replace:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                reserved = True
            os.replace(temporary, path)
            reserved = False
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            if reserved:
                os.unlink(path)
    except FileExistsError:
        raise KeyExistsError(f"{path} exists already", hint="choose another name, or remove it") from None
    except OSError as error:
        raise KeyMaterialError(f"cannot write {path}: {error.strerror}") from None


def is_special(path: str) -> bool:
    """Whether `path` leads to a device, a pipe or a directory: nothing to put a file in place of."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _write_new(path: str, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def write(pair: Pair, *, private: bytes, public: bytes, replace: bool) -> None:
    """Write both files, the private key first. The public one follows its private key: it is always replaced, as cosign does."""
    write_file(pair.private, private, mode=0o600, replace=replace)
    write_file(pair.public, public, mode=0o644, replace=True)
