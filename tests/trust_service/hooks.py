"""What a test may change: every object before it is signed and before it is served, and how often a service fails.

The name of an object is what is about to be signed, `signed-…` what came of it:

| name | value |
|---|---|
| `token`, `signed-token` | claims (dict), compact JWT (str) |
| `certificate`, `signed-certificate` | `authority.Profile`, DER |
| `sct`, `signed-sct`, `scts` | `ctlog.Sct`, its bytes, the list of the bytes of all of them |
| `chain` | DER certificates that the authority answers with, leaf first (list) |
| `body` | what the log will hold (dict), before it is canonical JSON and a leaf |
| `checkpoint`, `signed-checkpoint` | `notes.Checkpoint`, the signed note (str) |
| `proof` | `{"logIndex", "treeSize", "rootHash", "hashes"}` with numbers and bytes |
| `set`, `signed-set` | the promise of Rekor v1: payload (dict), signature (bytes) |
| `entry` | what the log answers with: a TransparencyLogEntry, or Rekor v1's `{uuid: …}` |
| `timestamp`, `signed-timestamp` | `timestamping.Timestamp`, DER |
| `statement`, `envelope`, `bundle`, `annotations` | what `bundles` makes: bytes, then dicts |
| `trusted-root`, `signing-config`, `tuf` | dicts; of `tuf` the files, name to bytes |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

NAMES = frozenset(
    "token signed-token certificate signed-certificate sct signed-sct scts chain body checkpoint signed-checkpoint proof "
    "set signed-set entry timestamp signed-timestamp statement envelope bundle annotations trusted-root signing-config "
    "tuf".split()
)
SERVICES = frozenset({"fulcio", "rekor", "tsa", "oidc", "tuf"})

Alteration = Callable[[Any], Any]


class Hooks:
    """Alterations by name, each applied to the value in the order they were added."""

    def __init__(self, alterations: Mapping[str, tuple[Alteration, ...]] | None = None) -> None:
        self._alterations = dict(alterations or {})

    def add(self, name: str, alteration: Alteration) -> None:
        if name not in NAMES:
            raise ValueError(f"nothing is called {name}: {', '.join(sorted(NAMES))}")
        self._alterations[name] = (*self._alterations.get(name, ()), alteration)

    def also(self, more: Mapping[str, Alteration] | None) -> Hooks:
        """These, and `more` after them, as an object of their own."""
        hooks = Hooks(self._alterations)
        for name, alteration in (more or {}).items():
            hooks.add(name, alteration)
        return hooks

    def __call__(self, name: str, value: Any) -> Any:
        """The value as it is to be used."""
        if name not in NAMES:
            raise ValueError(name)
        for alteration in self._alterations.get(name, ()):
            value = alteration(value)
        return value


class Failure(NamedTuple):
    """What a service does instead of its work."""

    service: str
    status: int | None
    """None: it answers as always, after `delay`; 0: it closes the connection without an answer."""
    body: bytes
    headers: tuple[tuple[str, str], ...]
    delay: float
    path: str
    """Only where the path contains this."""


class Failures:
    """The failures that are still to come."""

    def __init__(self) -> None:
        self._coming: list[tuple[Failure, int | None]] = []

    def add(self, failure: Failure, times: int | None) -> None:
        if failure.service not in SERVICES:
            raise ValueError(f"no service is called {failure.service}: {', '.join(sorted(SERVICES))}")
        self._coming.append((failure, times))

    def next(self, service: str, path: str) -> Failure | None:
        """The failure of this request."""
        for number, (failure, times) in enumerate(self._coming):
            if failure.service == service and failure.path in path:
                if times is not None:
                    self._coming[number : number + 1] = [(failure, times - 1)] if times > 1 else []
                return failure
        return None
