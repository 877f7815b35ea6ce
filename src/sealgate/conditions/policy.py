"""A policy: a file of a user that says what a Statement must say. Its extension names its language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sealgate import limits
from sealgate.errors import LimitError, UsageError

Language = Literal["rego", "cel", "schema", "cue", "rego-compliant"]
"""`rego-compliant`: as policy-controller takes Rego, `package sigstore` and `isCompliant`; no file's extension means it."""

LANGUAGES: dict[str, Language] = {".rego": "rego", ".cel": "cel", ".json": "schema", ".cue": "cue"}


class Policy(NamedTuple):
    """One policy. `name` is for people: the file's."""

    name: str
    language: Language
    source: str

    @property
    def timed(self) -> bool:
        """Whether its answer may depend on the time. Schemas and CUE know none; a false yes costs only time."""
        looks = _LOOKS_AT_THE_TIME.get(self.language)
        return looks is not None and looks.search(self.source) is not None


_DATA = re.compile(r"now_ns|(?<![.A-Za-z0-9_])data(?![A-Za-z0-9_])(?!\s*\.\s*(?!sealgate(?![A-Za-z0-9_]))[A-Za-z_])")
"""Rego: the time is `data.sealgate.now_ns`, which whoever goes through all of `data` sees too."""
_LOOKS_AT_THE_TIME: dict[str, re.Pattern[str]] = {
    "cel": re.compile(r"(?<![A-Za-z0-9_])now(?![A-Za-z0-9_])"), "rego": _DATA, "rego-compliant": _DATA,
}  # fmt: skip


def language_of(path: str) -> Language:
    """The language of a file, by its extension alone: nothing is guessed from what is in it. Raises `UsageError`."""
    for extension, language in LANGUAGES.items():
        if path.endswith(extension):
            return language
    raise UsageError(
        f"the policy {path}: its extension names no language",
        hint="Rego ends in .rego, CEL in .cel, JSON Schema in .json, CUE in .cue",
    )


def parse(name: str, raw: bytes) -> Policy:
    """The policy of these bytes. Raises `UsageError` (extension, not UTF-8, empty) and `LimitError`."""
    return of_language(name, language_of(name), raw)


def of_language(name: str, language: Language, raw: bytes) -> Policy:
    """As `parse`, of a text whose language is known otherwise."""
    if len(raw) > limits.CONDITION_BYTES:
        raise LimitError(f"the policy {name} is larger than {limits.CONDITION_BYTES} bytes")
    try:
        source = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"the policy {name} is not UTF-8") from error
    if "\0" in source:
        raise UsageError(f"the policy {name} has a NUL character: it is no text")
    if not source.strip():
        raise UsageError(f"the policy {name} is empty: it would demand nothing")
    return Policy(name, language, source)


def read(path: str) -> Policy:
    """The policy in a file. Raises `UsageError` and `LimitError`."""
    language_of(path)
    try:
        with open(path, "rb") as file:
            raw = file.read(limits.CONDITION_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the policy {path} cannot be read: {error.strerror}") from error
    return parse(path, raw)


def read_all(paths: Sequence[str]) -> tuple[Policy, ...]:
    """Every policy; more than `limits.CONDITIONS` are refused."""
    if len(paths) > limits.CONDITIONS:
        raise UsageError(f"more than {limits.CONDITIONS} policies")
    return tuple(read(path) for path in paths)
