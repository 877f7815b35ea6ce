"""Signatures and attestations as they are attached, in the lines that `cosign download` prints. Nothing is verified."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.artifacts import attached as attacheds
from sealgate.artifacts import buildkit
from sealgate.errors import ContentError, NoAttestationError, NoSignatureError, SealgateError, UnavailableError
from sealgate.evidence import base64, dsse, legacy, predicates, statement
from sealgate.evidence.bundle import Bundle
from sealgate.evidence.dsse import Envelope
from sealgate.oci import attachments
from sealgate.transport import flow
from sealgate.verification import evidence as evidences
from sealgate.verification.verify import platform_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.digest import Digest
    from sealgate.oci.attachments import Attachment, Found
    from sealgate.oci.images import Image
    from sealgate.oci.store import Manifest


class Downloaded(NamedTuple):
    """The signatures or attestations of one image, and what could not be brought or read."""

    lines: tuple[str, ...]
    """One JSON document each."""
    problems: tuple[SealgateError, ...]

    @property
    def says_nothing(self) -> bool:
        """Whether there is nothing, and everything could be asked."""
        return not self.lines and not any(isinstance(problem, UnavailableError) for problem in self.problems)


async def download_signatures(image: Image, *, prefix: str = "", blob_limit: int = limits.EVIDENCE_BYTES) -> Downloaded:
    """Every signature of `image` in both formats; attestations are left out.

    Raises `ImageNotFoundError`, and `NoSignatureError` when there is none and everything could be asked.
    """
    digest = (await attacheds.resolve(image)).digest
    found = await _download(image, digest, attachments.SIGNATURES, prefix, blob_limit, _line)
    if found.says_nothing:
        raise NoSignatureError(
            f"{image.name}: no signatures associated", hint="`sealgate tree IMAGE` lists everything that is attached"
        )
    return found


async def download_attestations(
    image: Image,
    *,
    predicate_type: str | None = None,
    platform: str | None = None,
    unsigned: bool = False,
    prefix: str = "",
    blob_limit: int = limits.EVIDENCE_BYTES,
) -> Downloaded:
    """Every attestation of `image` in both formats, of one type when given; image signatures are left out.

    The type is that of the Statement inside. With `platform` it is this platform's image of an index. With `unsigned` the
    in-toto Statements that nobody signed follow, BuildKit's in the index among them. Raises
    `ImageNotFoundError`, and `NoAttestationError` when there is none and everything could be asked.
    """
    manifest = await attacheds.resolve(image)
    digest = manifest.digest if platform is None else platform_child(manifest, platform, image.name)
    found = await _download(
        image,
        digest,
        attachments.ATTESTATIONS,
        prefix,
        blob_limit,
        lambda each: _attestation_line(each, predicate_type, unsigned=unsigned),
    )
    if unsigned:
        found = await _with_buildkits(found, image, manifest, digest, predicate_type, blob_limit)
    if found.says_nothing:
        which = "found no attestations"
        if predicate_type is not None:
            which = f"no attestations with predicate type '{predicate_type}' found"
        raise NoAttestationError(
            f"{image.name}: {which}", hint="`sealgate tree IMAGE` lists everything that is attached"
        )
    return found


async def _download(
    image: Image,
    digest: Digest,
    suffix: str,
    prefix: str,
    blob_limit: int,
    line_of: Callable[[Attachment], str | None],
) -> Downloaded:
    found: list[Found] = await flow.gather(
        [
            attachments.find(
                store,
                digest,
                suffixes=(suffix,),
                prefix=prefix,
                blob_limit=blob_limit,
                envelopes=suffix == attachments.ATTESTATIONS,
            )
            for store in attacheds.stores_of(image)
        ]
    )
    lines: dict[str, None] = {}
    problems = [problem for each in found for problem in each.problems]
    for attachment in (attachment for each in found for attachment in each.attachments):
        try:
            line = line_of(attachment)
        except SealgateError as error:
            problems.append(error)
        else:
            if line is not None:
                lines[line] = None
    return Downloaded(tuple(lines), tuple(problems))


async def _with_buildkits(
    found: Downloaded, image: Image, manifest: Manifest, digest: Digest, wanted: str | None, limit: int
) -> Downloaded:
    """What BuildKit says as well: in the index, and of a single image what refers to it."""
    stores = list(attacheds.stores_of(image))
    asked = [buildkit.referring(store, digest) for store in stores]
    if manifest.is_index:
        stores.append(image.store)
        asked.append(buildkit.find(image.store, manifest, of=None if digest == manifest.digest else digest))
    lines = dict.fromkeys(found.lines)
    problems = list(found.problems)
    listed = zip(stores, await flow.gather(asked), strict=True)
    for store, said in [(store, each) for store, several in listed for each in several]:
        try:
            line = _statement_line(await buildkit.fetch(store, said, limit=limit), wanted)
        except SealgateError as error:
            problems.append(error)
        else:
            if line is not None:
                lines[line] = None
    return Downloaded(tuple(lines), tuple(problems))


def _statement_line(content: bytes, wanted: str | None) -> str | None:
    """A Statement that nobody signed, on one line; None for one of another type."""
    if wanted not in {None, statement.parse(content, limit=len(content)).predicate_type}:
        return None
    text = content.decode("utf-8").strip()
    if "\n" in text or "\r" in text:
        text = _compact(strictjson.parse(content, limit=len(content), what="the Statement"))
    return text


def _attestation_line(attachment: Attachment, wanted: str | None, *, unsigned: bool = False) -> str | None:
    """cosign's line; None for what is no attestation, or of another type."""
    evidence = evidences.read_attestation(attachment)
    if evidence is None:
        bare = unsigned and attachment.may_be_envelope and attachment.content
        return _statement_line(attachment.content, wanted) if bare else None
    content = evidence.content
    if content is None:
        raise evidence.problem or ContentError(f"{evidence.label} is empty")
    whole = content.content if isinstance(content, Bundle) else dsse.parse(content.payload, limit=len(content.payload))
    if not isinstance(whole, Envelope):
        return None
    predicate_type = statement.parse(whole.payload, limit=len(whole.payload)).predicate_type
    if predicate_type == predicates.IMAGE_SIGNATURE or wanted not in {None, predicate_type}:
        return None
    if isinstance(content, Bundle):
        return _bundle_line(content, evidence.label)
    return dsse.encode_with_keyid(whole).decode("utf-8")


def _bundle_line(bundle: Bundle, label: str) -> str:
    """The bundle as it is, on one line."""
    text = bundle.raw.decode("utf-8").strip()
    if "\n" in text or "\r" in text:  # pretty-printed: what is signed is base64 inside and stays as it is
        text = _compact(strictjson.parse(bundle.raw, limit=len(bundle.raw), what=label))
    return text


def _line(attachment: Attachment) -> str | None:
    """cosign's line; None for what is no signature. Raises `SealgateError` for what could not be fetched or read."""
    evidence = evidences.read(attachment)
    if evidence is None:
        return None
    if evidence.content is None:
        raise evidence.problem or ContentError(f"{evidence.label} is empty")
    if isinstance(evidence.content, Bundle):
        envelope = evidence.content.content
        if not isinstance(envelope, Envelope):
            return None
        if statement.parse(envelope.payload).predicate_type != predicates.IMAGE_SIGNATURE:
            return None
        return _bundle_line(evidence.content, evidence.label)
    content = evidence.content
    return _compact(
        {
            "Base64Signature": base64.encode(content.signature),
            "Payload": base64.encode(content.payload),
            "Cert": next(iter(_certificates(content.certificate)), None),
            "Chain": _certificates(content.chain) or None,
            "Bundle": _document(content.bundle, legacy.BUNDLE),
            "RFC3161Timestamp": _document(content.timestamp, legacy.TIMESTAMP),
        }
    )


def _certificates(pem: bytes | None) -> list[dict[str, str]]:
    """As Go prints a certificate, but its bytes only: `Raw` is what can be read back."""
    if pem is None:
        return []
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificates

    try:
        found = load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ContentError("a certificate attached to a signature is no certificate") from error
    return [{"Raw": base64.encode(certificate.public_bytes(Encoding.DER))} for certificate in found]


def _document(text: str | None, what: str) -> Any:
    return None if text is None else strictjson.parse(text.encode("utf-8"), limit=limits.EVIDENCE_BYTES, what=what)


def _compact(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
