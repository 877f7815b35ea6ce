"""Who signs without a key of one's own, for the library: from an identity token to an author."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.errors import UsageError
from sealgate.transport.message import Tls

if TYPE_CHECKING:
    from sealgate.signing.author import Author
    from sealgate.signing.sign import Format
    from sealgate.transport.flow import Flow


def author(
    token: str,
    *,
    signing_config: bytes,
    trusted_root: bytes | None,
    formats: Iterable[Format],
    audience: str,
    algorithm: str,
) -> Flow[Author]:
    """As `load_author`, as a flow."""
    from sealgate.signing import keyless
    from sealgate.signing.tokens import token as tokens
    from sealgate.trust import root as roots
    from sealgate.truststore import signing_config as configs

    if isinstance(formats, str):
        raise TypeError('formats is a list: ["bundle"], ["legacy"] or both')
    chosen = set(formats)
    if not chosen or not chosen <= {"bundle", "legacy"}:
        raise UsageError("formats are bundle and legacy")
    now = time.time()
    wanted = keyless.Formats("bundle" in chosen, "legacy" in chosen)
    found = keyless.from_config(configs.parse(signing_config), wanted, certified=True, log=True, now=now, tls=Tls())
    found.witnesses.check_time(bundle=wanted.bundle, legacy=wanted.legacy)
    root = roots.parse(trusted_root) if trusted_root is not None else None
    identity = tokens.parse(token, what="the token")
    identity.check(audience=audience, now=now)
    if found.authority is None:
        raise UsageError("the signing configuration names no certificate authority")
    return keyless.author(
        found.authority,
        identity,
        signer=None,
        algorithm=algorithm,
        witnesses=found.witnesses,
        root=root,
        sct=True,
        now=now,
    )


async def load_author(
    token: str,
    *,
    signing_config: bytes,
    trusted_root: bytes | None,
    formats: Iterable[Format] = ("bundle",),
    audience: str = "sigstore",
    algorithm: str = "ecdsa-sha2-256-nistp256",
    seconds: float = limits.TOTAL_SECONDS,
) -> Author:
    """Somebody who signs with a certificate (keyless): takes the place of a key in `sign`, `attest`, `sign_blob`, `attest_blob`.

    `token` is an identity token for `audience`; `signing_config` and `trusted_root` are the documents (`signing_config.json`,
    `trusted_root.json`). What is made is judged under the trust root before it is published; None: as far as that goes without.
    The certificate lives for minutes, and so does the author. `formats`: those that it will be asked for.

    Raises `IdentityTokenError`s, `SigningConfigInvalidError`, `TrustRootInvalidError`, `NoServiceError`, and what the
    authority raises: `FulcioUnavailableError`, `FulcioRefusedError`, `FulcioAnswerError`.
    """
    from sealgate.library.driving import run_alone_beside

    made = author(
        token, signing_config=signing_config, trusted_root=trusted_root, formats=formats, audience=audience,
        algorithm=algorithm,
    )  # fmt: skip
    return await run_alone_beside(made, seconds=seconds)
