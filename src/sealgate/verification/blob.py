"""The signature of a file: what it is made of, the checks on it, the verdict.

A file is read once, as a stream, and hashed with the hashes that the keys at hand may have signed; only Ed25519 needs the
bytes themselves. The checks, numbered as in docs/blobs.md:

(1) the document is a signature of a file: a Sigstore bundle with a message signature, cosign's legacy bundle, or the bare
    signature;
(2) the digest that a bundle names, unsigned as it is, is the file's (E08);
(3) the signature verifies, with a required key or with that of a certificate (`signer`), over the bytes of the file;
(4) no deny-list names the key, the identity or the file.

The bytes may be anything, the payload of an image signature too: whoever signed those has signed both (W06). That is why
`signing.blob` does not sign them unasked, and why the verification of images looks at what the payload says.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from sealgate import limits, strictjson
from sealgate.digest import Digest
from sealgate.errors import EnvelopeInvalidError, LimitError, NotFoundError, SealgateError, UsageError
from sealgate.evidence.dsse import Envelope
from sealgate.evidence.legacy import decode_signature, parse_blob_bundle
from sealgate.keys.algorithms import HASHES
from sealgate.verification import checks, signer
from sealgate.verification import requirement as requirements
from sealgate.verification import verdict as verdicts
from sealgate.verification.checks import SignatureReport
from sealgate.verification.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from sealgate.evidence.bundle import Bundle
    from sealgate.keys.algorithms import HashName, PublicKey
    from sealgate.verification.deny import DenyList
    from sealgate.verification.requirement import Requirement, SignedBy
    from sealgate.verification.verdict import Verdict

_CHUNK = 1024 * 1024
_HASH_OF: dict[str, str] = {
    "SHA2_256": "sha256",
    "SHA2_384": "sha384",
    "SHA2_512": "sha512",
    "SHA3_256": "sha3_256",
    "SHA3_384": "sha3_384",
}
"""`HashAlgorithm` of sigstore_common.proto, and what Python calls it."""


# -- the file


class Blob(NamedTuple):
    """A file that was read once."""

    name: str
    size: int
    digests: dict[str, bytes]
    """By the name of the hash; sha256 is always there."""
    message: bytes | None
    """The whole content, where a key needs it."""

    @property
    def digest(self) -> Digest:
        """The sha256, for reports."""
        return Digest("sha256", self.digests["sha256"].hex())


def read(
    stream: BinaryIO, name: str, *, hashes: Collection[str], whole: bool, hear: Callable[[bytes], None] | None = None
) -> Blob:
    """Read `stream` to its end; with `whole` keep the content. `hear` is told every piece.

    Raises `LimitError` for more than `limits.BLOB_BYTES`, with `whole` for more than `limits.SIGNED_FILE_BYTES`.
    """
    hashing = {each: hashlib.new(each) for each in {"sha256", *hashes}}
    most = limits.SIGNED_FILE_BYTES if whole else limits.BLOB_BYTES
    kept: list[bytes] = []
    size = 0
    while True:
        piece = stream.read(_CHUNK)
        if piece is None:  # a pipe that was made non-blocking: the end is not known
            raise UsageError(f"{name} has nothing more at the moment; it cannot be read to its end")
        if not piece:
            break
        size += len(piece)
        if size > most:
            raise LimitError(
                f"{name} is larger than {most} bytes",
                hint="an Ed25519 key needs the whole file in memory; ECDSA and RSA keys do not" if whole else None,
            )
        for each in hashing.values():
            each.update(piece)
        if hear is not None:
            hear(piece)
        if whole:
            kept.append(piece)
    digests = {each: found.digest() for each, found in hashing.items()}
    return Blob(name, size, digests, b"".join(kept) if whole else None)


def read_file(path: str, *, hashes: Collection[str], whole: bool, hear: Callable[[bytes], None] | None = None) -> Blob:
    """As `read`, of a file by its path. Raises `NotFoundError`, and `UsageError` when it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return read(stream, path, hashes=hashes, whole=whole, hear=hear)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the name is not a path"
        raise UsageError(f"{path} cannot be read: {reason}") from error


# -- the signature


class BlobEvidence(NamedTuple):
    """One signature as it came. Nothing of it is believed yet."""

    label: str
    """For people: `bundle app.sigstore.json`."""
    format: str
    """`bundle`, `legacy` or `detached`."""
    document: Digest
    signature: bytes
    hash_name: str | None = None
    """The hash that the bundle names; unsigned."""
    digest: bytes | None = None
    """The digest that the bundle names; unsigned (E08): compared, never verified by."""
    bundle: Bundle | None = None
    came: signer.Came | None = None
    """What came along with a signature that is in no bundle of Sigstore's."""
    problem: SealgateError | None = None
    """Why it could not be read; then nothing else counts."""
    other: str | None = None
    """What it is instead of the signature of a file."""


def parse_bundle(raw: bytes, label: str) -> BlobEvidence:
    """A Sigstore bundle v0.1 to v0.3 or cosign's legacy bundle; what cannot be read is said in `problem`."""
    from sealgate.evidence import bundle as bundles

    found = BlobEvidence(label, "bundle", Digest.of(raw), b"")
    try:
        whole = strictjson.parse_object(raw, limit=limits.EVIDENCE_BYTES, what="the bundle")
        if "base64Signature" in whole:
            older = parse_blob_bundle(raw)
            return found._replace(format="legacy", signature=older.signature, came=signer.came_in(older))
        if "payloadType" in whole:
            return found._replace(other="is a bare DSSE envelope, not the signature of a file")
        bundle = bundles.parse(raw)
    except SealgateError as error:
        return found._replace(problem=error)
    if isinstance(bundle.content, Envelope):
        return found._replace(other="holds a signed statement, not the signature of a file")
    content = bundle.content
    name = content.digest_algorithm
    hash_name = _HASH_OF[name] if name is not None else None
    return found._replace(signature=content.signature, hash_name=hash_name, digest=content.digest, bundle=bundle)


def parse_signature(raw: bytes, label: str) -> BlobEvidence:
    """A bare signature: base64 as `sign-blob` prints it, or the bytes themselves (`--b64=false`)."""
    found = BlobEvidence(label, "detached", Digest.of(raw), raw)
    if len(raw) > limits.EVIDENCE_BYTES:
        return found._replace(problem=LimitError(f"{label} is larger than {limits.EVIDENCE_BYTES} bytes"))
    if raw[:1] == b"{":
        return found._replace(problem=EnvelopeInvalidError("is JSON, not a signature", hint="give it as --bundle"))
    try:
        return found._replace(signature=decode_signature(raw.decode("ascii")))
    except (UnicodeDecodeError, SealgateError):
        if raw.strip():
            return found
        return found._replace(problem=EnvelopeInvalidError("the signature is empty"))


# -- the checks


class BlobAsked(NamedTuple):
    """What is asked of each signature. Every field is required: nothing is left unchecked by forgetting it."""

    keys: tuple[SignedBy, ...]
    deny: DenyList
    hash_name: HashName | None
    """Only signatures over this hash count; None: the key's own hash, SHA-256, or the one that the bundle names."""
    trust: signer.Trust | None
    """As `checks.Asked.trust`."""


def hashes_of(asked: BlobAsked, evidence: Sequence[BlobEvidence]) -> frozenset[str]:
    """The hashes to read the file with."""
    named = {each.hash_name for each in evidence if each.hash_name is not None}
    if asked.trust is not None:  # keys that are not known before certificates are read, and what logs may name
        return frozenset(HASHES)
    return frozenset(named.union(*(_tried(each.key, asked, named) for each in asked.keys)))


_ED25519 = bytes.fromhex("300506032b6570")
"""The AlgorithmIdentifier in a certificate (RFC 8410, section 3)."""


def needs_message(keys: Sequence[SignedBy], evidence: Sequence[BlobEvidence]) -> bool:
    """Whether a key, or one in a certificate, needs the bytes of the file (`limits.SIGNED_FILE_BYTES`)."""
    if any(not each.key.hashes for each in keys):
        return True
    return any(_ED25519 in (_certificate(each) or b"") for each in evidence)


def _certificate(evidence: BlobEvidence) -> bytes | None:
    if evidence.bundle is not None:
        return evidence.bundle.certificates[0] if evidence.bundle.certificates else None
    return evidence.came.certificate if evidence.came is not None else None


def _tried(key: PublicKey, asked: BlobAsked, named: Collection[str | None]) -> Iterator[HashName]:
    """The hashes that a signature by `key` may be over. A bundle may name a further one: it chooses, and proves nothing."""
    for position, name in enumerate(key.hashes):
        if asked.hash_name is not None:
            wanted = name == asked.hash_name
        else:
            wanted = position == 0 or name == "sha256" or name in named
        if wanted:
            yield name


def judge(evidence: BlobEvidence, blob: Blob, asked: BlobAsked) -> SignatureReport:
    """Make every check on one signature."""
    report = SignatureReport(
        evidence.label, evidence.format, evidence.document, evidence.document, False, None, None, _hint(evidence),
        None, (), "unknown", None, True,
    )  # fmt: skip
    if evidence.problem is not None:  # (1)
        problem = evidence.problem
        code = "evidence-limit" if isinstance(problem, LimitError) else "evidence-malformed"
        return report._replace(
            findings=(Finding(code, "failed", f"cannot be read: {problem.message} [{problem.code}]"),)
        )
    if evidence.other is not None:
        return report._replace(findings=(Finding("not-a-blob-signature", "failed", evidence.other),))
    findings = [*_compare(evidence, blob)]  # (2)
    made = signer.judge(  # (3), (4)
        _content(evidence, blob, asked),
        by_key=lambda: _verify(evidence, blob, asked),
        keys=bool(asked.keys),
        trust=asked.trust,
        deny=asked.deny,
        hash_name=asked.hash_name,
    )
    report = checks.with_maker(report, made, [*findings, *made.findings])._replace(kind="signature")
    # A good signature passed something, and failed nothing (invariant 3).
    accepted = made.key is not None and checks.passed(report, frozenset({"signature-verified"}))
    return report._replace(accepted=accepted)


def _hint(evidence: BlobEvidence) -> str | None:
    return evidence.bundle.public_key_hint if evidence.bundle is not None else None


def _content(evidence: BlobEvidence, blob: Blob, asked: BlobAsked) -> signer.Content:
    bundle, came = evidence.bundle, evidence.came or signer.NOTHING_CAME
    extra = bundle.certificates[1:] if bundle is not None else ()
    return signer.Content(
        evidence.signature, None, blob.message, lambda key: _scheme(key, evidence, blob, asked),
        lambda name: blob.digests[name], _certificate(evidence), extra,
        lambda: signer.material_of(bundle) if bundle is not None else signer.material_that(came),
        bundle is not None and bundle.version != "0.1",
    )  # fmt: skip


def _compare(evidence: BlobEvidence, blob: Blob) -> Iterator[Finding]:
    if evidence.digest is None:
        return
    name = evidence.hash_name
    if name is None:
        yield Finding("blob-digest-mismatch", "failed", "names a digest and not of which hash: it cannot be compared")
    elif blob.digests[name] != evidence.digest:
        yield Finding(
            "blob-digest-mismatch", "failed",
            f"is for another file, {name}:{evidence.digest.hex()}; this one is {name}:{blob.digests[name].hex()}",
        )  # fmt: skip
    else:
        yield Finding(
            "blob-digest-verified", "passed", f"names the digest of this file, {name}:{evidence.digest.hex()}"
        )


def _verify(evidence: BlobEvidence, blob: Blob, asked: BlobAsked) -> tuple[SignedBy | None, str | None, Finding]:
    """(3) Try every required key; the one that the hint names first. The hint decides nothing else."""
    if not evidence.signature:
        return None, None, Finding("signature-missing", "failed", "carries an empty signature")
    hint = _hint(evidence)
    for signed_by in sorted(asked.keys, key=lambda each: each.key.hint != hint):
        scheme = _scheme(signed_by.key, evidence, blob, asked)
        if scheme is None:
            continue
        if asked.hash_name is not None and not scheme.endswith(f"-{asked.hash_name}"):
            message = f"is {scheme}, and {asked.hash_name} is asked for"
            return None, None, Finding("signature-hash-mismatch", "failed", message)
        message = f"signed by {signed_by.name} ({signed_by.key.fingerprint}, {scheme})"
        return signed_by, scheme, Finding("signature-verified", "passed", message)
    named = next((each for each in asked.keys if each.key.hint == hint), None)
    if named is not None:
        message = f"names {named.name} as its key, but does not verify with it: the file or the signature was altered"
        return None, None, Finding("signature-invalid", "failed", message)
    wanted = ", ".join(f"{each.name} ({each.key.fingerprint})" for each in asked.keys)
    signer = f"names key SHA256:{hint.rstrip('=')} as its signer" if hint else "is by another key, or altered"
    return None, None, Finding("signature-key-mismatch", "failed", f"{signer}; not signed by {wanted}")


def _scheme(key: PublicKey, evidence: BlobEvidence, blob: Blob, asked: BlobAsked) -> str | None:
    if not key.hashes:
        return key.verify(evidence.signature, blob.message) if blob.message is not None else None
    for name in _tried(key, asked, {evidence.hash_name}):
        if scheme := key.verify_digest(evidence.signature, blob.digests[name], name):
            return scheme
    return None


# -- the verdict


def decide(blob: Blob, evidence: Sequence[BlobEvidence], asked: BlobAsked, requirement: Requirement) -> Verdict:
    """The verdict on a file. `asked.keys` must be the keys of `requirement`. Pure."""
    found = verdicts.decide(
        image=blob.name,
        repository="",
        digest=blob.digest,
        requirement=requirement,
        reports=tuple(judge(each, blob, asked) for each in evidence),
        problems=(),
        denied=asked.deny.digest(blob.digest),
        others=0,
    )
    return found._replace(hint=_HINTS.get(found.code, found.hint))


_HINTS = {
    "no-signature": "sign it: `sealgate sign-blob --key cosign.key --bundle FILE.sigstore.json FILE`",
    "signature-key-mismatch": "check that this is the key of who signed, and that the file is the one that was signed",
    "denied-digest": "the deny-list names this file",
    "evidence-malformed": "a bundle belongs behind --bundle, a bare signature behind --signature",
}


def verify(
    read_blob: Callable[[Collection[str], bool], Blob],
    evidence: Sequence[BlobEvidence],
    *,
    requirement: Requirement,
    deny: DenyList,
    hash_name: HashName | None,
    trust: signer.Trust | None,
) -> Verdict:
    """Read the file, judge every signature, decide. `read_blob` is given the hashes to read with, and whether to keep it all.

    Raises what `read_blob` raises: a file that is not there has no verdict.
    """
    asked = BlobAsked(requirements.keys(requirement), deny, hash_name, trust)
    blob = read_blob(hashes_of(asked, evidence), needs_message(asked.keys, evidence))
    return decide(blob, evidence, asked, requirement)
