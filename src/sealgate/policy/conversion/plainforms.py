"""The plain forms of CEL in Kyverno's image policies: every image of some lists has so many of these signers. Pure.

    images.containers.map(i, verifyImageSignatures(i, [attestors.a, attestors.b])).all(e, e > 0)
    (images.containers + images.initContainers).all(i, verifyAttestationSignatures(i, attestations.x, [attestors.a]) >= 1)

Several of them, joined by `&&`. Whatever else an expression says is named and refused.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sealgate.policy.conversion.grammars import lost

LISTS = ("containers", "initContainers", "ephemeralContainers")
_TOKEN = re.compile(r"\s*(?:([A-Za-z_][A-Za-z0-9_]*)|([0-9]{1,6})|(&&|>=|==|[()\[\].,>+])|(\S))")
_HINT = "images.containers.map(i, verifyImageSignatures(i, [attestors.NAME])).all(e, e > 0)"


class Form(NamedTuple):
    """One of them."""

    lists: tuple[str, ...]
    """Of `images`."""
    attestation: str | None
    """By its name in the policy; None: signatures."""
    attestors: tuple[str, ...]
    needed: int


class _Other(Exception):
    """The expression says something else."""


def read(expression: str, where: str) -> list[Form]:
    """All forms of an expression. Raises `PolicyUnsupportedError`."""
    try:
        reader = _Reader(expression)
        found = [reader.form()]
        while reader.accept("&&"):
            found.append(reader.form())
        reader.finish()
    except _Other:
        lost(where, "what this expression says", f"converted are forms like {_HINT}, joined by &&")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        end = 0
        for found in _TOKEN.finditer(text):
            if found[4] is not None:
                raise _Other
            self._tokens.append(found[1] or found[2] or found[3])
            end = found.end()
        if text[end:].strip():
            raise _Other
        self._at = 0

    def accept(self, *tokens: str) -> bool:
        """Whether these come next; they are taken."""
        if self._tokens[self._at : self._at + len(tokens)] != list(tokens):
            return False
        self._at += len(tokens)
        return True

    def expect(self, *tokens: str) -> None:
        if not self.accept(*tokens):
            raise _Other

    def finish(self) -> None:
        if self._at != len(self._tokens):
            raise _Other

    def name(self) -> str:
        if self._at >= len(self._tokens) or not self._tokens[self._at][0].isalpha():
            raise _Other
        self._at += 1
        return self._tokens[self._at - 1]

    def form(self) -> Form:
        """One form, in parentheses or without."""
        start = self._at
        try:
            return self._bare()
        except _Other:
            self._at = start
        self.expect("(")
        found = self._bare()
        self.expect(")")
        return found

    def _bare(self) -> Form:
        lists = self._lists()
        if self.accept(".", "map", "("):
            image = self.name()
            self.expect(",")
            attestation, attestors = self._call(image)
            self.expect(")", ".", "all", "(")
            count = self.name()
            self.expect(",", count)
        else:
            self.expect(".", "all", "(")
            image = self.name()
            self.expect(",")
            attestation, attestors = self._call(image)
        needed = self._needed(len(attestors))
        self.expect(")")
        if not 1 <= needed <= len(attestors):
            raise _Other
        return Form(lists, attestation, attestors, needed)

    def _lists(self) -> tuple[str, ...]:
        grouped = self.accept("(")
        found = [self._list()]
        while grouped and self.accept("+"):
            found.append(self._list())
        if grouped:
            self.expect(")")
        return tuple(dict.fromkeys(found))

    def _list(self) -> str:
        self.expect("images", ".")
        name = self.name()
        if name not in LISTS:
            raise _Other
        return name

    def _call(self, image: str) -> tuple[str | None, tuple[str, ...]]:
        attestation = None
        if self.accept("verifyAttestationSignatures", "(", image, ",", "attestations", "."):
            attestation = self.name()
        else:
            self.expect("verifyImageSignatures", "(", image)
        self.expect(",", "[")
        found = [self._attestor()]
        while self.accept(","):
            found.append(self._attestor())
        self.expect("]", ")")
        if len(set(found)) != len(found):
            raise _Other
        return attestation, tuple(found)

    def _attestor(self) -> str:
        self.expect("attestors", ".")
        return self.name()

    def _needed(self, most: int) -> int:
        """At least so many; exactly so many only where that is all of them."""
        if self._at + 2 > len(self._tokens):
            raise _Other
        operator, number = self._tokens[self._at : self._at + 2]
        if operator not in {">", ">=", "=="} or not number.isdigit() or (operator == "==" and int(number) != most):
            raise _Other
        self._at += 2
        return int(number) + (operator == ">")
