"""Attestations, for the library: what callers ask for as keyword arguments, and the flows; files too."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, NotRequired, TypedDict

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import UsageError
from sealgate.evidence import attestation as statements
from sealgate.evidence import predicates
from sealgate.evidence.statement import Subject
from sealgate.library import asked
from sealgate.library.asked import VerifyArguments
from sealgate.library.blobs import SECONDS, BlobSource
from sealgate.library.operations import text_of
from sealgate.transport import flow
from sealgate.verification import blob as blobs
from sealgate.verification import blob_attestation as blob_attestations
from sealgate.verification.attestation import Attested, Condition

if TYPE_CHECKING:
    from typing import Unpack

    from sealgate.keys.algorithms import HashName
    from sealgate.keys.private import PrivateKey
    from sealgate.keys.signer import Signer
    from sealgate.library.asked import Keys, Require
    from sealgate.library.operations import ImageName, Place
    from sealgate.library.trust import TrustArguments
    from sealgate.signing.attest import Attestation, Wording
    from sealgate.signing.attest_blob import BlobAttestation
    from sealgate.signing.author import Author
    from sealgate.signing.sign import Format, SignOptions
    from sealgate.verification.deny import DenyList
    from sealgate.verification.verdict import Verdict
    from sealgate.verification.verify import Wanted

Predicate = bytes | str | Mapping[str, Any]
"""JSON as bytes or text, which is signed as it is; or a mapping, which is written as compact JSON."""


class AttestArguments(TypedDict):
    """How `attest` attests."""

    keys: Iterable[Signer | PrivateKey | Author]
    """Every one of them signs. At least one."""
    predicate: NotRequired[Predicate]
    """What is said. Either this, with `predicate_type`, or `statement`."""
    predicate_type: NotRequired[str]
    """A URI, or one of cosign's short names: `spdxjson`, `cyclonedx`, `slsaprovenance1`, …"""
    statement: NotRequired[bytes]
    """A whole in-toto Statement, signed byte for byte; one of its subjects must be the image."""
    subjects: NotRequired[Mapping[str, Digest]]
    """Further subjects of the Statement, by their names."""
    formats: NotRequired[Iterable[Format]]
    """`"bundle"` (a referrer, the default), `"legacy"` (the `.att` tag, for cosign 2.x), or both."""
    replace: NotRequired[bool]
    """Attestations of the same type by the same key give way."""
    recursive: NotRequired[bool]
    """Attest an index and every image in it, each with a Statement of its own."""
    upload: NotRequired[bool]
    """False makes the attestations and stores nothing."""
    docker_media_types: NotRequired[bool]
    """Docker's media types in the legacy format, for registries that know no others."""
    tag_prefix: NotRequired[str]
    """Prefix of the `.att` tag."""
    settle: NotRequired[float | None]
    """Seconds that a shared tag must stand unchanged; None: 0.15 alone, 1 when others write at the same time."""
    evidence_bytes: NotRequired[int]
    """The largest attestation that is made, in bytes (16 MiB, what verifiers read)."""


class VerifyAttestationArguments(VerifyArguments):
    """What `verify_attestation` asks of every image. `annotations` are those of the Statement's subject."""

    predicate_type: str
    """A URI, or one of cosign's short names."""
    conditions: NotRequired[Sequence[Condition]]
    """Each is called with every Statement that passed all other checks; see `sealgate.Condition`."""


def wanted(predicate_type: str, conditions: Sequence[Condition] = (), **arguments: Unpack[VerifyArguments]) -> Wanted:
    """`VerifyAttestationArguments` as the engine takes them. Raises `UsageError`, `TypeError`."""
    return asked.wanted(**arguments)._replace(attested=_attested(predicate_type, conditions))


def _attested(predicate_type: str, conditions: Sequence[Condition], *, unsafe_any_subject: bool = False) -> Attested:
    if not all(callable(condition) for condition in conditions):
        raise TypeError("a condition is called with a Statement")
    return Attested(predicates.type_of(predicate_type), tuple(conditions), unsafe_any_subject)


class Attesting(NamedTuple):
    """`AttestArguments` as the engine takes them."""

    signers: list[Signer | Author]
    wording: Wording
    options: SignOptions
    replace: bool
    limit: int


def attesting(
    *,
    keys: Iterable[Signer | PrivateKey | Author],
    predicate: Predicate | None = None,
    predicate_type: str | None = None,
    statement: bytes | None = None,
    subjects: Mapping[str, Digest] | None = None,
    formats: Iterable[Format] = ("bundle",),
    replace: bool = False,
    recursive: bool = False,
    upload: bool = True,
    docker_media_types: bool = False,
    tag_prefix: str = "",
    settle: float | None = None,
    evidence_bytes: int = limits.EVIDENCE_BYTES,
) -> Attesting:
    """Raises `UsageError` for what cannot be meant, `TypeError` for wrong types, `ContentError`s for a bad predicate."""
    from sealgate.signing.attest import Wording

    if replace and not upload:
        raise UsageError("replace and upload=False contradict each other")
    signers, options = asked.signing(
        keys=keys,
        formats=formats,
        recursive=recursive,
        upload=upload,
        docker_media_types=docker_media_types,
        tag_prefix=tag_prefix,
        settle=settle,
    )
    if statement is not None:
        if predicate is not None or predicate_type is not None or subjects:
            raise UsageError("a Statement has its own predicate and subjects")
        statements.given(statement, what="the Statement", limit=evidence_bytes)
        wording = Wording(given=statement)
    else:
        claim = _claim(predicate, predicate_type, evidence_bytes)
        wording = Wording(claim=claim, subjects=tuple(_subject(name, each) for name, each in (subjects or {}).items()))
    return Attesting(signers, wording, options, replace, evidence_bytes)


def _claim(predicate: Predicate | None, predicate_type: str | None, limit: int) -> statements.Claim:
    if predicate is None or predicate_type is None:
        raise UsageError("predicate and predicate_type belong together; or a statement")
    if isinstance(predicate, Mapping):
        content = json.dumps(predicate, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    else:
        content = predicate.encode("utf-8") if isinstance(predicate, str) else predicate
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return statements.claim_of(predicate_type, content, moment=moment, what="the predicate", limit=limit)


def _subject(name: str | None, digest: Digest) -> Subject:
    if not isinstance(digest, Digest):
        raise TypeError("a subject is a Digest")
    return Subject(name, ((digest.algorithm, digest.hex),), {})


async def attest(place: Place, image: ImageName, attesting: Attesting) -> list[Attestation]:
    """Attest one image by every signer, in every format asked for."""
    from sealgate.signing.attest import attest as attest_image

    with ExitStack() as closing:
        where = await place.images(closing).open(text_of(image), writable=attesting.options.upload)
        return await attest_image(
            where, attesting.signers, attesting.wording, attesting.options,
            replace=attesting.replace, limit=attesting.limit,
        )  # fmt: skip


# -- files


def attesting_blob(
    sources: Iterable[BlobSource], key: Signer | PrivateKey | Author, predicate: Predicate, predicate_type: str
) -> flow.Flow[BlobAttestation]:
    """As `attest_blob`, as a flow."""
    if isinstance(sources, (str, bytes, os.PathLike)):
        raise TypeError("sources is a list of files")
    [signer] = asked.signers([key])
    claim = _claim(predicate, predicate_type, limits.EVIDENCE_BYTES)
    return _attest_blob(list(sources), signer, claim)


async def _attest_blob(sources: list[BlobSource], signer: Signer | Author, claim: statements.Claim) -> BlobAttestation:
    from sealgate.signing import attest_blob as signing

    if not sources:
        raise UsageError("no file to attest")
    subjects = []
    for source in sources:
        found = await flow.call(lambda source=source: _read(source, "sha256"))  # type: ignore[misc]  # bound now
        name = None if isinstance(source, bytes) else os.path.basename(os.fspath(source))
        subjects.append(_subject(name, found.digest))
    return await signing.attest_blob(statements.encode(claim, subjects), signer)


def verifying_blob(
    source: BlobSource | Digest,
    *,
    attestations: Iterable[bytes],
    predicate_type: str,
    keys: Keys | None,
    require: Require,
    conditions: Sequence[Condition],
    deny: DenyList | None,
    digest_algorithm: HashName | None,
    unsafe_any_subject: bool,
    **trusting: Unpack[TrustArguments],
) -> flow.Flow[Verdict]:
    """As `verify_blob_attestation`, as a flow."""
    if isinstance(attestations, (bytes, str)):
        raise TypeError("attestations is a list of bytes")
    evidence = [blob_attestations.parse(raw, f"attestation #{n}") for n, raw in enumerate(attestations, 1)]
    if len(evidence) > limits.ATTACHMENTS:
        raise UsageError(f"more than {limits.ATTACHMENTS} attestations")
    attested = _attested(predicate_type, conditions, unsafe_any_subject=unsafe_any_subject)
    requirement, trust = asked.required_of(keys, require, **trusting)
    denied = asked.deny_list(deny)

    def verify() -> Verdict:
        if isinstance(source, Digest):
            name, digest = str(source), source
        else:
            found = _read(source, "sha256")
            name, digest = found.name, found.digest
        return blob_attestations.verify(
            name, digest, evidence,
            requirement=requirement, attested=attested, deny=denied, hash_name=digest_algorithm, trust=trust,
        )  # fmt: skip

    return flow.call(verify)


def _read(source: BlobSource, algorithm: str) -> blobs.Blob:
    if isinstance(source, bytes):
        import io

        return blobs.read(io.BytesIO(source), "the bytes", hashes=(algorithm,), whole=False)
    return blobs.read_file(os.fspath(source), hashes=(algorithm,), whole=False)


async def attest_blob(
    *sources: BlobSource, key: Signer | PrivateKey | Author, predicate: Predicate, predicate_type: str
) -> BlobAttestation:
    """Sign one Statement about files (paths, or contents as bytes) with one key. What is made is verified first.

    `predicate` and `predicate_type` as in `attest`. Raises `NotFoundError`, `LimitError`, `SigningError`, `UsageError`.
    """
    from sealgate.library.driving import run_alone_beside

    return await run_alone_beside(attesting_blob(sources, key, predicate, predicate_type), seconds=SECONDS)


async def verify_blob_attestation(
    source: BlobSource | Digest,
    *,
    attestations: Iterable[bytes],
    predicate_type: str,
    keys: Keys | None = None,
    require: Require,
    conditions: Sequence[Condition] = (),
    deny: DenyList | None = None,
    digest_algorithm: HashName | None = None,
    unsafe_any_subject: bool = False,
    **trusting: Unpack[TrustArguments],
) -> Verdict:
    """Verify what was signed about a file (its path, its content as bytes, or its digest).

    `attestations` are bundles or DSSE envelopes; the rest as in `verify_attestation`. `unsafe_any_subject` does not look at
    whom they are about. Raises `NotFoundError`, `UsageError`.
    """
    from sealgate.library.driving import run_alone_beside

    judged = verifying_blob(
        source,
        attestations=attestations,
        predicate_type=predicate_type,
        keys=keys,
        require=require,
        conditions=conditions,
        deny=deny,
        digest_algorithm=digest_algorithm,
        unsafe_any_subject=unsafe_any_subject,
        **trusting,
    )
    return await run_alone_beside(judged, seconds=SECONDS)
