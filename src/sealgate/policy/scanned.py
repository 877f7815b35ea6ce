"""A demand on a scan that somebody attested: recent, and with nothing in it that may not ship. Pure; the time is a parameter.

The report is judged by `scan`, the same that `sealgate scan` asks. Which image it is about the Statement says, and that has
been checked before: the names that the scanner itself gives to images are not looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import ReportStaleError, SealgateError
from sealgate.scan import judge, reading
from sealgate.scan.binding import Part, Target
from sealgate.verification.findings import Finding

if TYPE_CHECKING:
    from sealgate.evidence.statement import Statement
    from sealgate.scan.severity import Severity


class Scanned(NamedTuple):
    """A `verification.attestation.Condition`."""

    fail_on: Severity
    max_age: float
    ignore_unfixed: bool
    now: float = 0.0

    @property
    def dated(self) -> bool:
        """That its findings say until when they hold."""
        return True

    def at(self, now: float) -> Scanned:
        """The same, asked at another time."""
        return self._replace(now=now)

    def __call__(self, statement: Statement, /) -> Sequence[Finding]:
        """Whether the scan is recent and clean."""
        try:
            report = reading.read(statement.raw, what="the scan")
        except SealgateError as error:
            return [Finding("condition-failed", "failed", f"cannot be read: {error.message} [{error.code}]")]
        nowhere: frozenset[str] = frozenset()
        report = report._replace(subjects=nowhere, digests=nowhere, image_ids=nowhere)
        target = Target("the image", "", (Part("", ""),))
        wanted = judge.Policy(
            self.fail_on, ignore_unfixed=self.ignore_unfixed, max_age=self.max_age, unsafe_unbound=True
        )
        [decision] = judge.judge([target], [report], wanted, now=self.now)
        until = judge.until([report], wanted, now=self.now)
        refusal = decision.refusal()
        if refusal is not None:
            # An old scan does not count; what a recent one found does, whatever another says.
            code = "attestation-stale" if isinstance(refusal, ReportStaleError) else "condition-failed"
            return [Finding(code, "failed", f"{refusal.message} [{refusal.code}]", until)]
        message = f"found nothing of severity {self.fail_on.name.lower()} or worse"
        return [Finding("condition-met", "passed", message, until)]
