"""The checks on one piece of evidence against one image. Pure: no I/O, no clock.

A signature is good when every check on it passes. All of them are made even when one has failed, so that a verdict can
say everything. The numbers are those of docs/verify.md:

(1) it carries exactly one signature;
(2) the signature verifies, with a required key or with that of a certificate (`signer`), over the very bytes that were fetched;
(3) those bytes say that they are the signature of an image, of the right kind;
(4) they name the digest of this image;
(5) they carry the annotations asked for, all in this one signature;
(6) no deny-list names the key or the identity;
(7) they name the image as it is asked for, where that is asked for (`naming`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate.errors import LimitError, PayloadTypeError, SealgateError, StatementInvalidError, UnavailableError
from sealgate.evidence import predicates, simple, statement
from sealgate.evidence.bundle import Bundle
from sealgate.evidence.dsse import IN_TOTO, Envelope, pae
from sealgate.verification import signer
from sealgate.verification.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sealgate.digest import Digest
    from sealgate.evidence.legacy import LegacySignature
    from sealgate.evidence.statement import Statement
    from sealgate.keys.algorithms import PublicKey
    from sealgate.verification.deny import DenyList
    from sealgate.verification.evidence import Evidence
    from sealgate.verification.naming import Naming
    from sealgate.verification.requirement import Signatory, SignedBy
    from sealgate.verification.signer import Content, Made, Trust


class Asked(NamedTuple):
    """What is asked of each signature. Every field is required: nothing is left unchecked by forgetting it."""

    image: Digest
    keys: tuple[SignedBy, ...]
    annotations: tuple[tuple[str, str], ...]
    check_annotations: bool
    """False only with --check-claims=false; the report says so."""
    deny: DenyList
    hash_name: str | None
    """Only signatures over this hash count; None: whatever the key's kind is signed with."""
    trust: Trust | None
    """Whose certificates count, and what else is asked for; None: keys alone are asked for, and nothing beside them."""
    annotation_patterns: tuple[tuple[str, str], ...] = ()
    """As `annotations`, with a regular expression (RE2) that the whole value must match."""
    naming: Naming | None = None
    """What the signature must call the image; None: what it likes."""


class SignatureReport(NamedTuple):
    """One piece of evidence, judged."""

    label: str
    format: str
    manifest: Digest
    content: Digest | None
    accepted: bool
    key: PublicKey | None
    """The key that the signature verified with."""
    key_name: str | None
    key_hint: str | None
    """Whom the evidence itself names as its signer; unsigned."""
    scheme: str | None
    findings: tuple[Finding, ...]
    kind: str
    """`signature`, `attestation`, or `unknown` when it could not be read."""
    payload: dict[str, Any] | None
    """A good signature's signed content in the form of cosign's output: `critical` and `optional`."""
    available: bool
    """False when it could not be fetched: then nobody knows what it is."""
    predicate_type: str | None = None
    """What the Statement inside says it is about; believed only if the signature verifies."""
    envelope: bytes | None = None
    """A good attestation's DSSE envelope on one line, as cosign prints it."""
    made: Made | None = None
    """Who made it, with certificate, log entries and times; believed only if it is accepted."""

    @property
    def signatory(self) -> Signatory | None:
        """Whose good signature it is."""
        if not self.accepted or self.key is None:
            return None
        from sealgate.verification.requirement import Signatory

        return Signatory(self.key, self.made.leaf.identity if self.made is not None and self.made.leaf else None)

    def statement(self) -> Statement:
        """What a good attestation says. Raises `StatementInvalidError` for anything else."""
        from sealgate.evidence import dsse

        if self.envelope is None:
            raise StatementInvalidError(f"{self.label} is no good attestation")
        return statement.parse(dsse.parse(self.envelope, limit=len(self.envelope)).payload, limit=len(self.envelope))


def judge(evidence: Evidence, asked: Asked) -> SignatureReport:
    """Make every check on one piece of evidence."""
    report = new_report(evidence)
    if evidence.content is None:
        return unreadable(report, evidence.problem)
    if isinstance(evidence.content, Bundle):
        report = _judge_bundle(report, evidence.content, asked)
    else:
        report = _judge_legacy(report, evidence.content, asked)
    report = with_manifest_subject(report, evidence, asked)
    # A good signature passed something, and failed nothing (invariant 3).
    accepted = (
        report.kind == "signature"
        and report.key is not None
        and passed(report, frozenset({"signature-verified", "subject-verified"}))
    )
    return report._replace(accepted=accepted, payload=report.payload if accepted else None)


def passed(report: SignatureReport, needed: frozenset[str]) -> bool:
    """Whether every one of these checks passed, and those of who made it, and none failed."""
    if report.made is None:
        return False
    found = {finding.code for finding in report.findings if finding.outcome == "passed"}
    return needed | report.made.needed <= found and not any(each.outcome == "failed" for each in report.findings)


def new_report(evidence: Evidence) -> SignatureReport:
    """A report in which nothing was checked yet."""
    attachment = evidence.attachment
    return SignatureReport(
        evidence.label, evidence.format, attachment.manifest, attachment.layer.digest if attachment.layer else None,
        False, None, None, None, None, (), "unknown", None, True,
    )  # fmt: skip


def with_manifest_subject(report: SignatureReport, evidence: Evidence, asked: Asked) -> SignatureReport:
    """(4) A referrer must not refer to another image. What it says of this one proves nothing."""
    subject = evidence.attachment.subject
    if subject is None or subject == asked.image:
        return report
    finding = Finding(
        "referrer-subject-mismatch", "failed", f"hangs on a manifest that refers to another image, {subject}"
    )
    return report._replace(findings=(*report.findings, finding))


def unreadable(report: SignatureReport, problem: SealgateError | None) -> SignatureReport:
    """A report of what could not be fetched or read."""
    message = problem.message if problem is not None else "it is empty"
    if isinstance(problem, UnavailableError):
        finding = Finding("evidence-unavailable", "failed", f"could not be fetched: {message} [{problem.code}]")
        return report._replace(findings=(finding,), available=False)
    code = "evidence-limit" if isinstance(problem, LimitError) else "evidence-malformed"
    detail = f" [{problem.code}]" if problem is not None else ""
    return report._replace(findings=(Finding(code, "failed", f"cannot be read: {message}{detail}"),))


def _judge_bundle(report: SignatureReport, bundle: Bundle, asked: Asked) -> SignatureReport:
    envelope = bundle.content
    report = report._replace(key_hint=bundle.public_key_hint)
    if not isinstance(envelope, Envelope):
        finding = Finding("evidence-unsupported", "failed", "holds the signature of a file, not of an image")
        return report._replace(findings=(finding,), kind="signature")
    made: Made | None = None
    findings: list[Finding] = []
    if len(envelope.signatures) != 1:  # (1)
        findings.append(
            Finding("signature-count", "failed", f"has {len(envelope.signatures)} signatures, one is needed")
        )
    else:  # (2), (6)
        message = pae(envelope.payload_type, envelope.payload)
        made = made_by(signer.of_bundle(bundle, envelope, message), message, asked, bundle.public_key_hint)
        findings += made.findings
    kind = "signature"
    payload = None
    try:
        if envelope.payload_type != IN_TOTO:  # (3)
            raise _OtherTypeError(f"its payload is of type {envelope.payload_type!r}")
        found = statement.parse(envelope.payload)
        report = report._replace(predicate_type=found.predicate_type)
        if found.predicate_type != predicates.IMAGE_SIGNATURE:
            kind = "attestation"
            raise _OtherTypeError(f"is an attestation of type {found.predicate_type}, not a signature")
        findings.append(Finding("predicate-type-verified", "passed", "says that it is the signature of an image"))
        subjects = statement.subjects_of(found, asked.image)
        if not subjects:  # (4)
            findings.append(other_subject([f"{alg}:{value}" for s in found.subjects for alg, value in s.digests]))
        else:
            findings.append(Finding("subject-verified", "passed", f"is for this image, {asked.image}"))
            annotations = subjects[0].annotations
            findings.append(annotations_finding(annotations, asked))  # (5)
            if asked.naming is not None:  # (7) a bundle has no name
                findings.append(asked.naming.finding(None))
            payload = {"type": predicates.IMAGE_SIGNATURE, "reference": None, "optional": annotations}
    except _OtherTypeError as other:
        findings.append(Finding("not-an-image-signature", "failed", str(other)))
    except SealgateError as error:
        findings.append(Finding("evidence-malformed", "failed", f"cannot be read: {error.message} [{error.code}]"))
    return with_maker(report, made, findings)._replace(kind=kind, payload=payload)


class _OtherTypeError(Exception):
    """What was signed is something else than the signature of an image."""


def _judge_legacy(report: SignatureReport, legacy: LegacySignature, asked: Asked) -> SignatureReport:
    made: Made | None = None
    findings: list[Finding] = []
    payload = None
    try:
        content = signer.of_legacy(legacy, legacy.payload, envelope=None)
        made = made_by(content, legacy.payload, asked, None)  # (1), (2), (6)
        findings += made.findings
        found = simple.parse(legacy.payload)  # (3): it reads no other type
        findings.append(Finding("payload-type-verified", "passed", "says that it is the signature of an image"))
        if found.digest == asked.image:  # (4)
            findings.append(Finding("subject-verified", "passed", f"is for this image, {asked.image}"))
            findings.append(annotations_finding(found.optional, asked))  # (5)
            if asked.naming is not None:  # (7)
                findings.append(asked.naming.finding(found.docker_reference))
            payload = {"type": found.kind, "reference": found.docker_reference, "optional": found.optional}
        else:
            findings.append(other_subject([str(found.digest)]))
    except PayloadTypeError as error:
        findings.append(Finding("payload-type-mismatch", "failed", error.message))
    except SealgateError as error:
        findings.append(Finding("evidence-malformed", "failed", f"cannot be read: {error.message} [{error.code}]"))
    return with_maker(report, made, findings)._replace(kind="signature", payload=payload)


def made_by(content: Content, message: bytes, asked: Asked, hint: str | None) -> Made:
    """(2), (6) Who made one signature over `message`; the key that `hint` names is tried first."""
    return signer.judge(
        content,
        by_key=lambda: verify_signature(content.signature, message, asked, hint),
        keys=bool(asked.keys),
        trust=asked.trust,
        deny=asked.deny,
        hash_name=asked.hash_name,
    )


def with_maker(report: SignatureReport, made: Made | None, findings: Sequence[Finding]) -> SignatureReport:
    """The report with who made it, as far as that is known."""
    if made is None:
        return report._replace(findings=tuple(findings))
    return report._replace(key=made.key, key_name=made.name, scheme=made.scheme, findings=tuple(findings), made=made)


def verify_signature(
    signature: bytes, message: bytes, asked: Asked, hint: str | None
) -> tuple[SignedBy | None, str | None, Finding]:
    """(2) Try every required key; the one that the hint names first. The hint decides nothing else."""
    if not signature:
        return None, None, Finding("signature-missing", "failed", "carries an empty signature")
    for signed_by in sorted(asked.keys, key=lambda candidate: candidate.key.hint != hint):
        scheme = signed_by.key.verify(signature, message)
        if scheme is not None and asked.hash_name is not None and not scheme.endswith(f"-{asked.hash_name}"):
            return (
                None,
                None,
                Finding("signature-hash-mismatch", "failed", f"is {scheme}, and {asked.hash_name} is asked for"),
            )
        if scheme is not None:
            return (
                signed_by,
                scheme,
                Finding(
                    "signature-verified",
                    "passed",
                    f"signed by {signed_by.name} ({signed_by.key.fingerprint}, {scheme})",
                ),
            )
    named = next((candidate for candidate in asked.keys if candidate.key.hint == hint), None)
    if named is not None:
        return (
            None,
            None,
            Finding(
                "signature-invalid", "failed", f"names {named.name} as its key, but does not verify with it: altered"
            ),
        )
    wanted = ", ".join(f"{candidate.name} ({candidate.key.fingerprint})" for candidate in asked.keys)
    signer = f"names key SHA256:{hint.rstrip('=')} as its signer" if hint else "is by another key, or altered"
    return None, None, Finding("signature-key-mismatch", "failed", f"{signer}; not signed by {wanted}")


def other_subject(named: Sequence[str]) -> Finding:
    """(4) What was signed names other digests."""
    shown = ", ".join(named[:3]) + (", …" if len(named) > 3 else "")
    return Finding("signature-subject-mismatch", "failed", f"is for another image, {shown or 'none is named'}")


def annotations_finding(found: Mapping[str, object], asked: Asked) -> Finding:
    """(5) cosign compares text with text: an annotation that is no string matches nothing."""
    if not asked.check_annotations:
        return Finding("annotations-not-checked", "skipped", "annotations were not checked (--check-claims=false)")
    for name, value in asked.annotations:
        if name not in found:
            return Finding("annotation-mismatch", "failed", f"has no annotation {name!r}")
        if found[name] != value:
            return Finding(
                "annotation-mismatch", "failed", f"says {found[name]!r} in its annotation {name!r}, not {value!r}"
            )
    for name, expression in asked.annotation_patterns:
        from sealgate import regexp

        text = found.get(name)
        if not isinstance(text, str):
            return Finding("annotation-mismatch", "failed", f"has no annotation {name!r}")
        try:
            fits = regexp.compiled(expression).fullmatch(text) is not None
        except ValueError as error:
            return Finding("annotation-mismatch", "failed", f"its annotation {name!r} cannot be compared: {error}")
        if not fits:
            return Finding("annotation-mismatch", "failed", f"its annotation {name!r} is {text!r}, not as asked for")
    if not asked.annotations and not asked.annotation_patterns:
        return Finding("annotations-verified", "skipped", "no annotation was asked for")
    return Finding("annotations-verified", "passed", "carries the annotations asked for")
