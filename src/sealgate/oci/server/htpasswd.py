"""Who may use the registry: an htpasswd file of bcrypt hashes, HTTP basic authentication (RFC 7617)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re

import bcrypt

from sealgate import limits
from sealgate.errors import UsageError

_HASH = re.compile(r"\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}", re.ASCII)
_KEPT = 256


class Passwords:
    """Users and their hashes. `allows` is slow the first time, on purpose (bcrypt): call it in a thread."""

    def __init__(self, users: dict[str, bytes]) -> None:
        self._users = users
        self._nobody = bcrypt.hashpw(os.urandom(16), bcrypt.gensalt(rounds=10))
        """Compared with when the user does not exist, so that this takes as long."""
        self._key = os.urandom(32)
        self._allowed: dict[bytes, None] = {}

    @classmethod
    def read(cls, path: str) -> Passwords:
        """Read an htpasswd file. Raises `UsageError`; no message shows a line."""
        try:
            with open(path, "rb") as file:
                raw = file.read(limits.CONFIG_FILE_BYTES + 1)
            text = raw.decode("utf-8")
        except OSError as error:
            raise UsageError(f"the htpasswd file {path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise UsageError(f"the htpasswd file {path} is not UTF-8 text") from None
        if len(raw) > limits.CONFIG_FILE_BYTES:
            raise UsageError(f"the htpasswd file {path} is larger than {limits.CONFIG_FILE_BYTES} bytes")
        users: dict[str, bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, colon, hashed = line.strip().partition(":")
            if not colon or not name or _HASH.fullmatch(hashed) is None:
                raise UsageError(
                    f"line {number} of the htpasswd file {path} is not a user with a bcrypt hash",
                    hint="`htpasswd -B -c FILE USER` writes one (cost at most 14)",
                )
            if name in users:
                raise UsageError(f"line {number} of the htpasswd file {path} has a user for the second time")
            users[name] = hashed.encode("ascii")
        if not users:
            raise UsageError(f"the htpasswd file {path} has no user")
        return cls(users)

    def is_known(self, header: str) -> bool:
        """Whether exactly this Authorization header was allowed before. Fast."""
        return self._mark(header) in self._allowed

    def allows(self, header: str) -> bool:
        """Whether an Authorization header has the name and password of a user."""
        scheme, _, encoded = header.partition(" ")
        try:
            name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
        except (binascii.Error, ValueError):
            return False
        given = password.encode("utf-8")
        if scheme.lower() != "basic" or not colon or len(given) > 72 or b"\0" in given:
            return False
        hashed = self._users.get(name)
        if not bcrypt.checkpw(given, hashed or self._nobody) or hashed is None:
            return False
        while len(self._allowed) >= _KEPT:
            self._allowed.pop(next(iter(self._allowed)), None)
        self._allowed[self._mark(header)] = None
        return True

    def _mark(self, header: str) -> bytes:
        return hmac.digest(self._key, header.encode("utf-8", "surrogateescape"), hashlib.sha256)
