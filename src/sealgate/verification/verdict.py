"""The outcome for one image: accepted or refused, with everything that was found and checked. Pure.

A verdict is a value that must be consumed: it has no truth value, so that `if verdict:` cannot be written by mistake.
`as_json` is what `-o verdict` prints; its schema is `verdict.schema.json` beside this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

from sealgate.errors import SealgateError, UnavailableError
from sealgate.verification import requirement as requirements
from sealgate.verification.findings import CODES, Finding

if TYPE_CHECKING:
    from sealgate.digest import Digest
    from sealgate.verification.checks import SignatureReport
    from sealgate.verification.requirement import Requirement, Signatory

SCHEMA_VERSION = "sealgate.dev/verdict/v1"


class Verdict(NamedTuple):
    """The outcome for one image."""

    image: str
    """The reference as it was asked for, canonical; or `oci:…`."""
    repository: str
    digest: Digest | None
    """The digest that was resolved first and checked; None when the image was not found or could not be asked for."""
    outcome: Literal["accepted", "refused", "unknown"]
    """`unknown`: could not ask. Never treat it as accepted."""
    code: str
    exit_code: int
    summary: str
    hint: str | None
    requirement: str
    signatures: tuple[SignatureReport, ...] = ()
    problems: tuple[SealgateError, ...] = ()
    """What could not be asked or read on the way; an accepted verdict may have some."""
    notes: tuple[Finding, ...] = ()
    """What was not asked for."""
    other_attachments: int = 0
    """Attached things that are no signatures (attestations among them are counted here)."""
    predicate_type: str | None = None
    """The type of the attestations that were asked for; None: signatures were."""

    @property
    def accepted(self) -> bool:
        """Whether the requirement is met."""
        return self.outcome == "accepted"

    @property
    def signatories(self) -> tuple[Signatory, ...]:
        """Whose good signatures there are, also where they are not enough."""
        return tuple(signatory for report in self.signatures if (signatory := report.signatory) is not None)

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict has no truth value; look at verdict.accepted")

    def as_json(self) -> dict[str, Any]:
        """The whole verdict as a JSON document."""
        return {
            "schema": SCHEMA_VERSION,
            "image": self.image,
            "repository": self.repository,
            "digest": str(self.digest) if self.digest is not None else None,
            "outcome": self.outcome,
            "code": self.code,
            "exitCode": self.exit_code,
            "summary": self.summary,
            "hint": self.hint,
            "requirement": self.requirement,
            "signatures": [_report(report) for report in self.signatures],
            "problems": [{"code": problem.code, "message": problem.message} for problem in self.problems],
            "notes": [_finding(note) for note in self.notes],
            "otherAttachments": self.other_attachments,
            "predicateType": self.predicate_type,
        }


def _report(report: SignatureReport) -> dict[str, Any]:
    return {
        "label": report.label,
        "format": report.format,
        "kind": report.kind,
        "manifest": str(report.manifest),
        "content": str(report.content) if report.content is not None else None,
        "accepted": report.accepted,
        "key": None
        if report.key is None
        else {
            "name": report.key_name,
            "fingerprint": report.key.fingerprint,
            "algorithm": report.key.algorithm,
            "scheme": report.scheme,
        },
        "keyHint": report.key_hint,
        "identity": _identity(report),
        "annotations": report.payload["optional"] if report.payload is not None else None,
        "predicateType": report.predicate_type,
        "findings": [_finding(finding) for finding in report.findings],
    }


def _identity(report: SignatureReport) -> dict[str, Any] | None:
    """Who a certificate says that the signer is, and when; what is not proven stands there only if the report is accepted."""
    made = report.made
    if made is None or made.leaf is None or not report.accepted:
        return None
    leaf, identity = made.leaf, made.leaf.identity
    moments = made.proof.moments if made.proof is not None else ()
    logs = made.proof.logs if made.proof is not None else ()
    return {
        "subject": identity.subject,
        "kind": identity.kind,
        "issuer": identity.issuer,
        "extensions": dict(identity.extensions),
        "notBefore": _utc(leaf.not_before),
        "notAfter": _utc(leaf.not_after),
        "signedAt": [{"time": _utc(moment.at), "source": moment.source} for moment in moments],
        "logEntries": [{"log": proof.log.base_url, "index": proof.index} for proof in logs],
    }


def _utc(at: float) -> str:
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "outcome": finding.outcome,
        "message": finding.message,
        "remedy": finding.remedy if finding.outcome == "failed" else None,
    }


def from_error(image: str, repository: str, error: SealgateError, requirement: str) -> Verdict:
    """The verdict on an image that could not be judged. `unknown` when nobody could be asked, else refused."""
    unknown = isinstance(error, UnavailableError)
    return Verdict(
        image, repository, None, "unknown" if unknown else "refused", error.code, error.exit_code, error.message,
        error.hint, requirement,
    )  # fmt: skip


def decide(
    *,
    image: str,
    repository: str,
    digest: Digest,
    requirement: Requirement,
    reports: tuple[SignatureReport, ...],
    problems: tuple[SealgateError, ...],
    denied: str | None,
    others: int,
    noun: Literal["signature", "attestation"] = "signature",
) -> Verdict:
    """The verdict on an image whose evidence has been judged. `noun`: what counts; of signatures, attestations do not."""
    wanted = requirements.describe(requirement)
    notes = _notes(reports)
    base = Verdict(image, repository, digest, "refused", "", 0, "", None, wanted, reports, problems, notes, others)
    good = list(base.signatories)
    if denied is not None:
        return base._replace(
            code="denied-digest", exit_code=16, summary=f"the deny-list names it: {denied}", hint=CODES["denied-digest"]
        )
    if requirements.is_met(requirement, good):
        return base._replace(outcome="accepted", code="accepted", summary=_signed_by(reports))
    unavailable = next((problem for problem in problems if isinstance(problem, UnavailableError)), None)
    missing = [report for report in reports if not report.available]
    if unavailable is not None or missing:
        why = unavailable.message if unavailable is not None else missing[0].findings[0].message
        return base._replace(
            outcome="unknown",
            code=unavailable.code if unavailable is not None else "evidence-unavailable",
            exit_code=14,
            summary=f"could not ask for everything that is attached: {why}",
            hint="nothing is known about the rest; ask again later",
        )
    signatures = [report for report in reports if noun == "attestation" or report.kind != "attestation"]
    if not signatures and not problems:
        extra = f" ({len(reports)} attestations, which do not count)" if reports else ""
        return base._replace(
            code=f"no-{noun}", exit_code=10, summary=f"no {noun} is attached{extra}", hint=CODES[f"no-{noun}"]
        )
    if not signatures:
        return base._replace(
            code=problems[0].code, exit_code=12, summary=f"what is attached cannot be read: {problems[0].message}",
            hint=problems[0].hint,
        )  # fmt: skip
    for code, what in (("denied-key", "key"), ("denied-identity", "identity")):
        if any(finding.code == code for report in reports for finding in report.findings):
            summary = f"the {what} that signed it is on the deny-list"
            return base._replace(code=code, exit_code=16, summary=summary, hint=CODES[code])
    code, summary = _why_not(signatures, requirement, good, noun)
    exit_code = 13 if code == "certificate-missing" else 12
    return base._replace(code=code, exit_code=exit_code, summary=summary, hint=CODES.get(code))


def _notes(reports: tuple[SignatureReport, ...]) -> tuple[Finding, ...]:
    """What was not asked for. Where a trust root was given, the findings of each signature say it."""
    if any(report.made is not None and report.made.proof is not None for report in reports):
        return ()
    return (Finding("transparency-log-not-asked", "skipped", "transparency log: not asked for"),)


def _signed_by(reports: tuple[SignatureReport, ...]) -> str:
    names = dict.fromkeys(report.key_name for report in reports if report.accepted and report.key_name)
    return f"signed by {', '.join(names)}"


def _why_not(
    signatures: list[SignatureReport], requirement: Requirement, good: list[Signatory], noun: str
) -> tuple[str, str]:
    """One code and sentence for all: the finding nearest to success, since that is what a person will want to mend."""
    if good:
        absent = [
            part.name
            for part in requirements.leaves(requirement)
            if not any(requirements.fits(part, each) for each in good)
        ] or ["enough different signers"]
        return (
            f"no-matching-{noun}",
            f"{requirements.describe(requirement)} are asked for; there is none by {', '.join(absent)}",
        )
    failed = [[finding for finding in report.findings if finding.outcome == "failed"] for report in signatures]
    codes = {findings[0].code for findings in failed if findings}
    if codes == {"certificate-missing"}:
        return "certificate-missing", f"no {noun} carries a certificate, so none says who made it"
    if codes == {"signature-key-mismatch"}:
        return "signature-key-mismatch", f"no {noun} by the key you gave"
    nearest = min((findings for findings in failed if findings), key=len)
    which = f"its {noun}" if len(signatures) == 1 else f"the nearest of {len(signatures)} {noun}s"
    message = nearest[0].message
    joined = ": " if message.startswith(("its ", "nothing ")) else " "  # some sentences bring a subject of their own
    return nearest[0].code, f"{which}{joined}{message}"
