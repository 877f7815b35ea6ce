"""Verify what was signed about a file: bundles and envelopes, the checks on them, and the verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits, strictjson
from sealgate.digest import Digest
from sealgate.errors import LimitError, SealgateError
from sealgate.evidence import bundle as bundles
from sealgate.evidence import dsse
from sealgate.evidence.legacy import parse_blob_bundle
from sealgate.verification import attestation, checks, signer
from sealgate.verification import requirement as requirements
from sealgate.verification.checks import Asked, SignatureReport
from sealgate.verification.findings import Finding
from sealgate.verification.signer import came_in

if TYPE_CHECKING:
    from sealgate.evidence.bundle import Bundle
    from sealgate.keys.algorithms import HashName
    from sealgate.verification.attestation import Attested
    from sealgate.verification.deny import DenyList
    from sealgate.verification.requirement import Requirement
    from sealgate.verification.verdict import Verdict


class BlobAttestation(NamedTuple):
    """One attestation as it came. Nothing of it is believed yet."""

    label: str
    """For people: `bundle app.sigstore.json`."""
    format: str
    """`bundle` or `legacy` (a bare envelope, or cosign's older bundle around one)."""
    document: Digest
    envelope: dsse.Envelope | None
    bundle: Bundle | None = None
    came: signer.Came | None = None
    """What came along with a bare envelope."""
    line: bytes | None = None
    """A bare envelope as it came, where it is one line."""
    problem: SealgateError | None = None
    """Why it could not be read."""


def parse(raw: bytes, label: str, *, limit: int = limits.EVIDENCE_BYTES) -> BlobAttestation:
    """A Sigstore bundle, a DSSE envelope, or cosign's older bundle around an envelope. What cannot be read is said in it."""
    found = BlobAttestation(label, "bundle", Digest.of(raw), None)
    if len(raw) > limit:
        return found._replace(problem=LimitError(f"{label} is larger than {limit} bytes"))
    try:
        whole = strictjson.parse_object(raw, limit=limit, what=label)
        if "base64Signature" in whole:
            older = parse_blob_bundle(raw, limit=limit)
            raw = older.signature
            found = found._replace(format="legacy", envelope=dsse.parse(raw, limit=limit), line=_line(raw))
            return found._replace(came=came_in(older))
        if "payloadType" in whole:
            return found._replace(format="legacy", envelope=dsse.parse(raw, limit=limit), line=_line(raw))
        bundle = bundles.from_document(whole, raw)
    except SealgateError as error:
        return found._replace(problem=error)
    if not isinstance(bundle.content, dsse.Envelope):
        return found
    return found._replace(envelope=bundle.content, bundle=bundle)


def _line(raw: bytes) -> bytes | None:
    text = raw.rstrip(b"\r\n")
    return None if b"\n" in text or b"\r" in text else text


def judge(evidence: BlobAttestation, asked: Asked, attested: Attested) -> SignatureReport:
    """Make every check on one attestation."""
    bundle = evidence.bundle
    hint = bundle.public_key_hint if bundle is not None else None
    report = SignatureReport(
        evidence.label, evidence.format, evidence.document, evidence.document, False, None, None, hint, None, (),
        "unknown", None, True,
    )  # fmt: skip
    if evidence.problem is not None:
        return checks.unreadable(report, evidence.problem)
    if evidence.envelope is None:
        finding = Finding("not-an-attestation", "failed", "holds the signature of a file, which says nothing else")
        return report._replace(findings=(finding,), kind="signature")

    def content_of(envelope: dsse.Envelope, message: bytes) -> signer.Content:
        if bundle is not None:
            return signer.of_bundle(bundle, envelope, message)
        return signer.of_envelope(envelope, message, evidence.came or signer.NOTHING_CAME)

    return attestation.judge_envelope(
        report, evidence.envelope, asked, attested, hint=hint, content_of=content_of, line=evidence.line
    )


def verify(
    name: str,
    digest: Digest,
    evidence: Sequence[BlobAttestation],
    *,
    requirement: Requirement,
    attested: Attested,
    deny: DenyList,
    hash_name: HashName | None,
    trust: signer.Trust | None,
) -> Verdict:
    """The verdict on a file, known by its digest; `name` is for people."""
    asked = Asked(digest, requirements.keys(requirement), (), True, deny, hash_name, trust)
    found = attestation.decide(
        image=name,
        repository="",
        digest=digest,
        requirement=requirement,
        attested=attested,
        reports=tuple(judge(each, asked, attested) for each in evidence),
        problems=(),
        denied=deny.digest(digest),
        others=0,
    )
    return found._replace(hint=_HINTS.get(found.code, found.hint))


_HINTS = {
    "no-attestation": "attest it: `sealgate attest-blob --key cosign.key --type TYPE --predicate FILE --bundle OUT FILE`",
    "signature-key-mismatch": "check that this is the key of who signed, and that the file is the one that was meant",
    "denied-digest": "the deny-list names this file",
    "signature-subject-mismatch": "the attestation is about another file, or the file was altered since",
    "evidence-malformed": "a bundle belongs behind --bundle, an envelope behind --signature",
    "predicate-type-mismatch": "ask for the type that was found: --type",
}
