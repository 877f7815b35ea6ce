"""Verdicts by hand: who signed, or why nothing is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sealgate.errors import UnreachableError
from sealgate.policy.model import Attestor
from sealgate.verification import deny
from sealgate.verification import requirement as requirements
from sealgate.verification.requirement import Signatory
from sealgate.verification.verdict import Verdict, from_error
from sealgate.verification.verify import Wanted

IMAGE, NAME = "registry.example.com/app@sha256:" + "ab" * 32, "registry.example.com/app"


class Key(NamedTuple):
    """As much of a key as counting looks at."""

    spki: bytes


class Report(NamedTuple):
    """As much of a report as counting looks at."""

    signatory: Signatory


def attestor(name: str, repository: str | None = None) -> Attestor:
    """Somebody of this name."""
    wanted = Wanted(
        requirement=requirements.SignedBy(Key(name.encode()), name),
        deny=deny.NOTHING,
        annotations=(),
    )
    return Attestor(name, f"attestors.{name}", wanted, name, repository)


def accepted(*signers: str) -> Verdict:
    """Signed by keys of these names."""
    reports: Any = tuple(Report(Signatory(Key(each.encode()), None)) for each in signers)
    return Verdict(IMAGE, NAME, None, "accepted", "accepted", 0, "signed", None, "a signature", reports)


def refused(code: str = "no-signature") -> Verdict:
    """Nobody who counts."""
    return Verdict(IMAGE, NAME, None, "refused", code, 10, "no signature is attached", None, "a signature")


def unknown() -> Verdict:
    """Could not ask."""
    return from_error(IMAGE, NAME, UnreachableError("the registry is down"), "a signature")


class Judge:
    """A `Judge` that has its verdicts by name, and writes down what it is asked."""

    def __init__(self, digest: Any, found: dict[str, Verdict], missing: Sequence[str] = (), error: Any = None) -> None:
        self.digest, self.found, self.error = digest, found, error
        self.resolved: list[str] = []
        self.asked: list[tuple[str, str, tuple[str, ...], float]] = []

    async def resolve(self, reference: Any) -> Any:
        """As the protocol."""
        self.resolved.append(str(reference))
        if self.error is not None:
            raise self.error
        return self.digest

    async def verdicts(
        self, reference: Any, digest: Any, attestors: Sequence[Attestor], *, now: float
    ) -> list[Verdict]:
        """As the protocol."""
        self.asked.append((str(reference), str(digest), tuple(each.name for each in attestors), now))
        return [self.found[each.name] for each in attestors]
