"""The conditions that a policy writes itself, in CUE, Rego, CEL or JSON Schema: evaluated in the cage, a process each time.

A condition is a value of its own, so that policies can be compared and their verdicts kept: what it says depends on its text,
on what it is asked about, and on the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sealgate.conditions import policy as policies
from sealgate.errors import LimitError, PolicyInvalidError, UsageError

if TYPE_CHECKING:
    from sealgate.conditions.policy import Language, Policy
    from sealgate.conditions.result import Result
    from sealgate.evidence.statement import Statement
    from sealgate.verification.findings import Finding


class Caged(NamedTuple):
    """Texts of conditions, all of which must be met: a `verification.attestation.Condition`."""

    policies: tuple[Policy, ...]
    now: float = 0.0
    """Set anew for each evaluation (`at`)."""

    @property
    def dated(self) -> bool:
        """That its findings say until when they hold."""
        return True

    def at(self, now: float) -> Caged:
        """The same, asked at another time."""
        return self._replace(now=now)

    def judge(self, document: bytes) -> tuple[Result, ...]:
        """What each text says of a JSON document."""
        import os
        import time

        from sealgate.conditions.evaluation import Conditions

        with Conditions(
            self.policies, now=lambda: self.now, monotonic=time.monotonic, path=os.environ.get("PATH", os.defpath)
        ) as conditions:
            return conditions.judge(document)

    def __call__(self, statement: Statement, /) -> Sequence[Finding]:
        """One finding a text. What a text sees of the time is whole seconds: so long it holds."""
        from sealgate.verification.conditions import findings

        timed = any(each.timed for each in self.policies)
        return [
            each._replace(until=math.floor(self.now) + 1.0) if timed else each
            for each in findings(self.judge(statement.raw))
        ]


def condition(text: str, language: Language, where: str) -> Policy:
    """One text. Raises `PolicyInvalidError` for one that is empty or too long."""
    try:
        return policies.of_language(where, language, text.encode("utf-8", "surrogatepass"))
    except (UsageError, LimitError) as error:
        raise PolicyInvalidError(error.message, hint=error.hint) from error
