"""The policies of a user as one condition on a Statement: what they say becomes findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.verification.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sealgate.conditions.evaluation import Conditions
    from sealgate.conditions.result import Outcome, Result
    from sealgate.evidence.statement import Statement

_CODES: dict[Outcome, str] = {"passed": "condition-met", "failed": "condition-failed", "error": "condition-error"}


class Demands:
    """A `Condition`: every policy is asked of the Statement as it was signed, in one child process."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions

    def __call__(self, statement: Statement, /) -> Sequence[Finding]:
        """One finding a policy."""
        return findings(self._conditions.judge(statement.raw))


def findings(results: Sequence[Result]) -> list[Finding]:
    """One finding a policy."""
    return [
        Finding(_CODES[result.outcome], "passed" if result.outcome == "passed" else "failed", _sentence(result))
        for result in results
    ]


def _sentence(result: Result) -> str:
    if result.outcome == "passed":
        return f"meets {result.policy}"
    verb = "does not meet" if result.outcome == "failed" else "cannot be judged by"
    return f"{verb} {result.policy}: {result.message}"
