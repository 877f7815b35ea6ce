"""The checks on one attestation against one artifact, and the verdict on all of them. Pure: no I/O, no clock.

The numbers are those of docs/attest.md. An attestation is good when every check on it passes:

(1) it carries exactly one signature;
(2) the signature verifies, with a required key or with that of a certificate (`signer`), over the very bytes that were fetched;
(3) those bytes are an in-toto Statement of the predicate type asked for: hints beside them are not looked at;
(4) a subject of the Statement is this artifact, by its digest;
(5) that subject carries the annotations asked for;
(6) no deny-list names the key or the identity;
(7) its provenance says what is expected of it (`provenance`);
(8) every condition on the Statement is met.

The type filters first, and then at least one must be left (E06, E07): nothing here is true of nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sealgate.errors import SealgateError
from sealgate.evidence import dsse, predicates, statement
from sealgate.evidence.bundle import Bundle
from sealgate.verification import checks, signer, verdict
from sealgate.verification import requirement as requirements
from sealgate.verification.findings import CODES, PROVENANCE, Finding
from sealgate.verification.verdict import Verdict

if TYPE_CHECKING:
    from sealgate.digest import Digest
    from sealgate.evidence.legacy import LegacySignature
    from sealgate.evidence.statement import Statement
    from sealgate.verification.checks import Asked, SignatureReport
    from sealgate.verification.evidence import Evidence
    from sealgate.verification.provenance import Expected
    from sealgate.verification.requirement import Requirement
    from sealgate.verification.signer import Content


class Condition(Protocol):
    """What a user demands of a Statement, beside its type; a plain function will do.

    It is called for Statements only whose other checks have all passed: its input is signed, of the right type, about the
    right artifact. `statement.raw` are the signed bytes, for engines that parse for themselves.
    """

    def __call__(self, statement: Statement, /) -> Sequence[Finding]:
        """Findings: one `passed` at least, or `failed` ones, which refuse the attestation.

        Their codes are `condition-met`, `condition-failed` and `condition-error`. No answer refuses too, and so does a `SealgateError`.
        """


class Attested(NamedTuple):
    """What is asked of an attestation beside what is asked of a signature."""

    predicate_type: str
    conditions: tuple[Condition, ...]
    unsafe_any_subject: bool = False
    """Only of files, with --check-claims=false: whom the Statement is about is not looked at."""
    provenance: Expected | None = None
    """What a provenance must say. One that says something else is not the one asked for; conditions are not asked of it."""


def judge(evidence: Evidence, asked: Asked, attested: Attested) -> SignatureReport:
    """Make every check on one piece of evidence."""
    report = checks.new_report(evidence)
    content = evidence.content
    if content is None:
        return checks.unreadable(report, evidence.problem)
    report = checks.with_manifest_subject(report, evidence, asked)
    if isinstance(content, Bundle):
        bundle, found = content, content.content
        report = report._replace(key_hint=bundle.public_key_hint)
        if not isinstance(found, dsse.Envelope):
            finding = Finding("not-an-attestation", "failed", "holds the signature of a file, which says nothing else")
            return report._replace(findings=(*report.findings, finding), kind="signature")
        return judge_envelope(
            report, found, asked, attested, hint=bundle.public_key_hint,
            content_of=lambda envelope, message: signer.of_bundle(bundle, envelope, message),
        )  # fmt: skip
    legacy = content
    try:
        envelope = dsse.parse(legacy.payload, limit=len(legacy.payload))
    except SealgateError as error:
        return checks.unreadable(report, error)
    return judge_envelope(
        report, envelope, asked, attested, hint=None, line=_line(legacy),
        content_of=lambda envelope, message: signer.of_legacy(legacy, message, envelope=envelope),
    )  # fmt: skip


def judge_envelope(
    report: SignatureReport,
    envelope: dsse.Envelope,
    asked: Asked,
    attested: Attested,
    *,
    hint: str | None,
    content_of: Callable[[dsse.Envelope, bytes], Content],
    line: bytes | None = None,
) -> SignatureReport:
    """Make every check on an envelope; what `report` has found already counts.

    `hint` names its key, unsigned; `content_of` says what came along with its one signature; `line` is the envelope as it
    was fetched, where it was one line.
    """
    needed = _NEEDED - {"subject-verified"} if attested.unsafe_any_subject else _NEEDED
    judged = _judge(report, envelope, asked, attested, needed, hint, content_of)
    # A good attestation passed what it had to, and failed nothing (invariant 3).
    if judged.key is None or not checks.passed(judged, needed):
        return judged
    return judged._replace(accepted=True, envelope=line or dsse.encode(envelope))


_NEEDED = frozenset({"signature-verified", "predicate-type-verified", "subject-verified"})


def _line(layer: LegacySignature) -> bytes | None:
    """A legacy envelope as it was fetched, which is what cosign prints; None when that is more than a line."""
    return None if b"\n" in layer.payload or b"\r" in layer.payload else layer.payload


def _judge(
    report: SignatureReport,
    envelope: dsse.Envelope,
    asked: Asked,
    attested: Attested,
    needed: frozenset[str],
    hint: str | None,
    content_of: Callable[[dsse.Envelope, bytes], Content],
) -> SignatureReport:
    findings = list(report.findings)
    made = None
    if len(envelope.signatures) != 1:  # (1)
        message = f"has {len(envelope.signatures)} signatures, one is needed"
        findings.append(Finding("signature-count", "failed", message))
    else:  # (2), (6)
        signed = dsse.pae(envelope.payload_type, envelope.payload)
        try:
            made = checks.made_by(content_of(envelope, signed), signed, asked, hint)
            findings += made.findings
        except SealgateError as error:
            findings.append(Finding("evidence-malformed", "failed", f"cannot be read: {error.message} [{error.code}]"))
    try:
        if envelope.payload_type != dsse.IN_TOTO:  # (3)
            message = f"its payload is of type {envelope.payload_type!r}, not an in-toto Statement"
            findings.append(Finding("not-an-attestation", "failed", message))
            return checks.with_maker(report, made, findings)
        found = statement.parse(envelope.payload, limit=len(envelope.payload))
    except SealgateError as error:
        findings.append(Finding("evidence-malformed", "failed", f"cannot be read: {error.message} [{error.code}]"))
        return checks.with_maker(report, made, findings)
    findings.append(_predicate_type(found, attested.predicate_type))
    subjects = statement.subjects_of(found, asked.image)
    if attested.unsafe_any_subject:
        findings.append(
            Finding("subject-not-checked", "skipped", "its subjects were not looked at (--check-claims=false)")
        )
    elif subjects:  # (4)
        findings.append(Finding("subject-verified", "passed", f"is about {asked.image}"))
        findings.append(checks.annotations_finding(subjects[0].annotations, asked))  # (5)
    else:
        findings.append(checks.other_subject([f"{alg}:{value}" for s in found.subjects for alg, value in s.digests]))
    report = checks.with_maker(report, made, findings)
    if attested.provenance is not None and checks.passed(report, needed):  # (7)
        from sealgate.verification import provenance

        report = report._replace(findings=(*report.findings, *provenance.judge(attested.provenance, found)))
    if attested.conditions and checks.passed(report, needed):  # (8)
        report = report._replace(findings=(*report.findings, *_conditions(found, attested.conditions)))
    kind = "signature" if found.predicate_type == predicates.IMAGE_SIGNATURE else "attestation"
    return report._replace(kind=kind, predicate_type=found.predicate_type)


def _predicate_type(found: Statement, wanted: str) -> Finding:
    if found.predicate_type != wanted:
        return Finding("predicate-type-mismatch", "failed", f"is of type {found.predicate_type}, not {wanted}")
    return Finding("predicate-type-verified", "passed", f"is of type {wanted}")


def _conditions(found: Statement, conditions: Sequence[Condition]) -> list[Finding]:
    """(8) What every condition says; one that says nothing has not passed."""
    findings: list[Finding] = []
    for condition in conditions:
        try:
            said = list(condition(found))
        except SealgateError as error:
            said = [Finding("condition-failed", "failed", f"a condition could not be judged: {error.message}")]
        if not any(finding.outcome in {"passed", "failed"} for finding in said):
            said.append(Finding("condition-failed", "failed", "a condition gave no answer"))
        findings += said
    return findings


# -- the verdict


def describe(requirement: Requirement, predicate_type: str) -> str:
    """For people: `an attestation of type https://slsa.dev/provenance/v1 with a signature by cosign.pub`."""
    return f"an attestation of type {predicate_type} with {requirements.describe(requirement)}"


def decide(
    *,
    image: str,
    repository: str,
    digest: Digest,
    requirement: Requirement,
    attested: Attested,
    reports: tuple[SignatureReport, ...],
    problems: tuple[SealgateError, ...],
    denied: str | None,
    others: int,
) -> Verdict:
    """The verdict on an artifact whose attestations have been judged."""
    wanted = attested.predicate_type
    # What is signed as something else than asked for is no candidate; what could not be read may be one.
    candidates = tuple(report for report in reports if report.predicate_type == wanted or report.kind == "unknown")
    found = verdict.decide(
        image=image,
        repository=repository,
        digest=digest,
        requirement=requirement,
        reports=candidates,
        problems=problems,
        denied=denied,
        others=others,
        noun="attestation",
    )
    found = found._replace(requirement=describe(requirement, wanted), signatures=reports, predicate_type=wanted)
    unmet = _unmet(candidates, _CONDITIONS)
    if unmet is None and not found.accepted:
        unmet = _unmet(candidates, PROVENANCE)
    if unmet is not None and found.exit_code in {
        0,
        12,
    }:  # what is nearest to success is what a person will want to mend
        which = "another" if found.accepted else "an"
        return found._replace(
            outcome="refused",
            code=unmet.code,
            exit_code=12,
            summary=f"{which} attestation of type {wanted}, good in all else, {unmet.message}",
            hint=CODES[unmet.code],
        )
    if found.code != "no-attestation":
        return found
    types = types_found(reports)
    if not types:
        return found
    return found._replace(
        code="predicate-type-mismatch",
        exit_code=12,
        summary=f"none of the attestations is of type {wanted}; types found: {', '.join(types)}",
        hint=CODES["predicate-type-mismatch"],
    )


_CONDITIONS = frozenset({"condition-failed", "condition-error"})


def _unmet(reports: Sequence[SignatureReport], codes: frozenset[str]) -> Finding | None:
    """A condition that an attestation does not meet: as with cosign, all of the type must. Of the expectations of a
    provenance, as with slsa-verifier, one attestation must meet all.

    Both are asked of what a required key has signed about this artifact, and of nothing else: whoever may merely push
    cannot make one fail (W04).
    """
    for report in reports:
        for finding in report.findings:
            if finding.code in codes and finding.outcome == "failed":
                return finding
    return None


def types_found(reports: Sequence[SignatureReport]) -> tuple[str, ...]:
    """The predicate types of attestations that a required key signed; where there is none, those that others claim."""
    attestations = [report for report in reports if report.kind == "attestation"]
    signed = [report for report in attestations if report.key is not None] or attestations
    return tuple(dict.fromkeys(report.predicate_type for report in signed if report.predicate_type is not None))
