"""Files, for the library: sign one, verify one. No registry and no network."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.errors import UsageError
from sealgate.library import asked
from sealgate.transport import flow
from sealgate.verification import blob as blobs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Unpack

    from sealgate.keys.algorithms import HashName
    from sealgate.keys.private import PrivateKey
    from sealgate.keys.signer import Signer
    from sealgate.library.asked import Keys, Require
    from sealgate.library.trust import TrustArguments
    from sealgate.signing.author import Author
    from sealgate.signing.blob import BlobSignature
    from sealgate.verification.deny import DenyList
    from sealgate.verification.verdict import Verdict

BlobSource = bytes | str | os.PathLike[str]
"""The content itself as bytes, or the path of a file, which is read as a stream."""


def signing(
    source: BlobSource, key: Signer | PrivateKey | Author, *, unsafe_image_payload: bool
) -> flow.Flow[BlobSignature]:
    """As `sign_blob`, as a flow."""
    [signer] = asked.signers([key])
    return _sign(source, signer, unsafe_image_payload=unsafe_image_payload)


async def _sign(source: BlobSource, signer: Signer | Author, *, unsafe_image_payload: bool) -> BlobSignature:
    from sealgate.signing import blob as signing_blobs

    payload = signing_blobs.ImagePayload()
    hashes, whole = signing_blobs.hashes_of(signer), signing_blobs.needs_message(signer)
    found = await flow.call(lambda: _read(source, hashes, whole=whole, hear=payload.hear))
    if payload.found is not None and not unsafe_image_payload:
        raise UsageError(
            f"{found.name} is {payload.found}: its signature would sign that image",
            hint="unsafe_image_payload=True, if that is what you want",
        )
    return await signing_blobs.sign_blob(found, signer)


def verifying(
    source: BlobSource,
    *,
    bundles: Iterable[bytes],
    signatures: Iterable[bytes],
    keys: Keys | None,
    require: Require,
    deny: DenyList | None,
    digest_algorithm: HashName | None,
    **trusting: Unpack[TrustArguments],
) -> flow.Flow[Verdict]:
    """As `verify_blob`, as a flow."""
    if isinstance(bundles, (bytes, str)) or isinstance(signatures, (bytes, str)):
        raise TypeError("bundles and signatures are lists of bytes")
    denied = asked.deny_list(deny)
    evidence = [blobs.parse_bundle(raw, f"bundle #{number}") for number, raw in enumerate(bundles, 1)]
    evidence += [blobs.parse_signature(raw, f"signature #{number}") for number, raw in enumerate(signatures, 1)]
    if len(evidence) > limits.ATTACHMENTS:
        raise UsageError(f"more than {limits.ATTACHMENTS} signatures")
    requirement, trust = asked.required_of(keys, require, **trusting)

    def verify() -> Verdict:
        return blobs.verify(
            lambda hashes, whole: _read(source, hashes, whole=whole),
            evidence,
            requirement=requirement,
            deny=denied,
            hash_name=digest_algorithm,
            trust=trust,
        )

    return flow.call(verify)


def _read(
    source: BlobSource, hashes: Collection[str], *, whole: bool, hear: Callable[[bytes], None] | None = None
) -> blobs.Blob:
    if isinstance(source, bytes):
        import io

        return blobs.read(io.BytesIO(source), "the bytes", hashes=hashes, whole=whole, hear=hear)
    return blobs.read_file(os.fspath(source), hashes=hashes, whole=whole, hear=hear)


async def sign_blob(
    source: BlobSource, *, key: Signer | PrivateKey | Author, unsafe_image_payload: bool = False
) -> BlobSignature:
    """Sign a file (its path, or its content as bytes) with one key. What is made is verified before it is returned.

    A file is hashed as it is read; only Ed25519 needs it in memory (256 MiB at most). What an image signature is made over
    is refused, unless `unsafe_image_payload`: signing it would sign that image. Raises `NotFoundError`, `LimitError`,
    `SigningError`, `UsageError`.
    """
    from sealgate.library.driving import run_alone_beside

    made = signing(source, key, unsafe_image_payload=unsafe_image_payload)
    return await run_alone_beside(made, seconds=SECONDS)


async def verify_blob(
    source: BlobSource,
    *,
    bundles: Iterable[bytes] = (),
    signatures: Iterable[bytes] = (),
    keys: Keys | None = None,
    require: Require,
    deny: DenyList | None = None,
    digest_algorithm: HashName | None = None,
    **trusting: Unpack[TrustArguments],
) -> Verdict:
    """Verify a file (its path, or its content as bytes) with what was signed: `bundles`, or bare `signatures` (base64 or raw).

    `keys`, `require`, `identities`, `trust_root` and what goes with it, `deny` and `digest_algorithm` as in `verify`. The verdict's `image` is the file's name. Raises
    `NotFoundError` and `UsageError` for a file that cannot be read, `LimitError` for one that is too large.
    """
    from sealgate.library.driving import run_alone_beside

    judged = verifying(
        source,
        bundles=bundles,
        signatures=signatures,
        keys=keys,
        require=require,
        deny=deny,
        digest_algorithm=digest_algorithm,
        **trusting,
    )
    return await run_alone_beside(judged, seconds=SECONDS)


SECONDS = 86_400.0
"""The disk sets the pace; there is nobody to wait for."""
