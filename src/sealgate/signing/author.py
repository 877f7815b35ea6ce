"""Who signs, and who is asked to bear witness: a key, perhaps a certificate for it, logs and timestamp authorities.

Every way of signing (images, attestations, files) goes through here:

1. sign with the key;
2. have the signature timestamped and logged, all at once; every answer must be about this signature;
3. put it together in the format that is asked for (whoever calls this does);
4. judge it as a verifier would, under the trust root where one is known. Without one, that the key, the digest, the entries
   and the timestamps are about each other is all that can be seen; whoever calls this says so.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate.errors import SigningError, UsageError
from sealgate.keys.signer import Signer, sign_digest, sign_message
from sealgate.transport import flow
from sealgate.verification.requirement import IdentifiedAs, SignedBy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sealgate.evidence.dsse import Envelope
    from sealgate.signing.fulcio import Certificate
    from sealgate.signing.rekor import Covered, Entry, Log
    from sealgate.signing.service import Service
    from sealgate.trust.root import TrustRoot
    from sealgate.verification.findings import Finding
    from sealgate.verification.signer import Trust


class Witnesses(NamedTuple):
    """Who is asked to bear witness that a signature was made, and when."""

    logs: tuple[Log, ...] = ()
    """Every one of them gets an entry."""
    legacy_log: Log | None = None
    """Of version 1: whose promise is put beside a signature in the legacy format, which has room for one."""
    timestamp_authorities: tuple[Service, ...] = ()

    @property
    def all_logs(self) -> tuple[Log, ...]:
        """Of both formats."""
        return (*self.logs, *((self.legacy_log,) if self.legacy_log is not None else ()))

    def check_time(self, *, bundle: bool, legacy: bool) -> None:
        """Raise `UsageError` where nobody would say when a certificate was used, in these formats."""
        stamped = bool(self.timestamp_authorities)
        if legacy and self.legacy_log is None and not stamped:
            raise UsageError(
                "nothing would prove when a signature in the legacy format was made, and a certificate lives for minutes",
                hint="a log of version 1 (Rekor v1), or a timestamp authority; the bundle format takes Rekor v2",
            )
        if bundle and not stamped and not any(log.version == 1 for log in self.logs):
            raise UsageError(
                "nothing would prove when the signature was made, and a certificate lives for minutes",
                hint="a timestamp authority (tsaUrls, --timestamp-server-url): logs of version 2 promise no time",
            )


class Witnessed(NamedTuple):
    """A signature and what came of asking."""

    signature: bytes
    entries: tuple[dict[str, Any], ...] = ()
    """`TransparencyLogEntry` objects, for a bundle."""
    promise: dict[str, Any] | None = None
    """For the legacy format."""
    timestamps: tuple[bytes, ...] = ()
    """RFC 3161 responses."""


class Author(NamedTuple):
    """Somebody who signs. A signer alone is an author without witnesses."""

    signer: Signer
    certificate: Certificate | None = None
    """None: verifiers know the key."""
    witnesses: Witnesses = Witnesses()
    root: TrustRoot | None = None
    """What is made is judged under it; None: none is known, or nothing that it could judge is made."""
    sct: bool = True
    """Ask the certificate for an SCT, where the root has a CT log; False: `--insecure-skip-verify`."""
    now: float = 0.0
    """The time, in seconds since 1970."""
    lasting: bool = False
    """The certificate is one's own and lives for long (`certified`), so that nobody need say when it was used."""

    @property
    def name(self) -> str:
        """For people: `key SHA256:…`, or whom the certificate names."""
        if self.certificate is not None:
            return self.certificate.leaf.identity.subject
        return f"key {self.signer.public_key.fingerprint}"

    @property
    def ephemeral(self) -> bool:
        """Whether nothing that stands already can be by this very author: each time has a certificate of its own."""
        return self.certificate is not None

    @property
    def judged(self) -> bool:
        """Whether everything that is made is judged as a verifier would."""
        return self.root is not None or (self.certificate is None and self.witnesses == Witnesses())

    @property
    def by(self) -> SignedBy | IdentifiedAs:
        """What a verifier would require of the signature."""
        if self.certificate is None or self.root is None:
            return SignedBy(self.signer.public_key, "the key")
        from sealgate.trust.identity import IdentityPattern

        named = self.certificate.leaf.identity
        pattern = IdentityPattern.parse(
            subject=named.subject,
            subject_regexp=None,
            issuer=named.issuer or None,
            issuer_regexp=None,
            extensions=(),
            anchored=True,
        )
        return IdentifiedAs(pattern, named.subject)

    @property
    def keys(self) -> tuple[SignedBy, ...]:
        """The keys of `by`."""
        by = self.by
        return (by,) if isinstance(by, SignedBy) else ()

    def trust(self, *, legacy: bool) -> Trust | None:
        """What a verifier would ask for beside the signature, in this format."""
        if self.root is None:
            return None
        from sealgate.trust.proof import Demand
        from sealgate.verification.signer import Trust

        certified = self.certificate is not None
        demand = Demand(
            self.root,
            log=self.witnesses.legacy_log is not None if legacy else bool(self.witnesses.logs),
            sct=certified and self.sct and bool(self.root.ct_logs),
            timestamp=bool(self.witnesses.timestamp_authorities),
            now=self.now,
        )
        by = self.by
        return Trust(demand, (by,) if isinstance(by, IdentifiedAs) else (), None)

    def check(self, *, bundle: bool, legacy: bool, envelope: bool) -> None:
        """Raise `UsageError` or `KeyUnsupportedError` where what would be made could not be believed by anybody.

        `bundle` and `legacy`: the formats; `envelope`: what is signed in them is the encoding of an envelope.
        """
        from sealgate.signing import rekor

        key, hash_name = self.signer.public_key, self.signer.hash_name
        asked = [(log, envelope) for log in self.witnesses.logs] if bundle else []
        if legacy and self.witnesses.legacy_log is not None:
            asked.append((self.witnesses.legacy_log, envelope))
        for log, of_envelope in asked:
            rekor.check_loggable(key, hash_name, version=log.version, envelope=of_envelope)
        if self.certificate is not None and not self.lasting:
            self.witnesses.check_time(bundle=bundle, legacy=legacy)

    async def sign(
        self, message: bytes, *, legacy: bool, envelope: Envelope | None = None, stamp_envelope: bool = False
    ) -> Witnessed:
        """(1), (2) Sign `message`; `envelope` is the unsigned one that it encodes.

        `stamp_envelope`: timestamps are of the envelope as it is stored, as cosign has it for attestations of images in the
        legacy format, and not of the signature.

        Raises what the signer and the services raise; `SigningError` when the signature is not the key's.
        """
        signature = await sign_message(self.signer, message)
        digest = hashlib.new(self.signer.hash_name or "sha256", message).digest()
        return await self._witnessed(signature, digest, envelope, legacy=legacy, stamp_envelope=stamp_envelope)

    async def sign_digest(self, digest: bytes, *, legacy: bool) -> Witnessed:
        """As `sign`, of a file known by its digest, with a signer that wants no more."""
        signature = await sign_digest(self.signer, digest)
        return await self._witnessed(signature, digest, None, legacy=legacy, stamp_envelope=False)

    async def _witnessed(
        self, signature: bytes, digest: bytes, envelope: Envelope | None, *, legacy: bool, stamp_envelope: bool
    ) -> Witnessed:
        logs = [self.witnesses.legacy_log] if legacy else list(self.witnesses.logs)
        asked = [log for log in logs if log is not None]
        authorities = self.witnesses.timestamp_authorities
        if not asked and not authorities:
            return Witnessed(signature)
        from sealgate.evidence import dsse
        from sealgate.signing import rekor, timestamping

        sealed = envelope._replace(signatures=(dsse.EnvelopeSignature(signature),)) if envelope is not None else None
        stamped = dsse.encode(sealed) if sealed is not None and stamp_envelope else signature
        covered = rekor.Covered(
            signature, self.signer.public_key, self.signer.hash_name, digest, sealed,
            self.certificate.leaf.der if self.certificate is not None else None,
        )  # fmt: skip

        async def entry(log: Log, covered: Covered) -> Entry | bytes:
            return await rekor.add(log, covered, self.root)

        async def stamp(authority: Service) -> Entry | bytes:
            return await timestamping.stamp(authority, stamped)

        found = await flow.gather([*(entry(log, covered) for log in asked), *(stamp(each) for each in authorities)])
        entries = [each for each in found if isinstance(each, rekor.Entry)]
        stamps = tuple(each for each in found if isinstance(each, bytes))
        promise = next((each.promise for each in entries if each.promise is not None), None)
        return Witnessed(signature, tuple(each.bundled for each in entries), promise, stamps)

    # -- (3) what formats need

    def bundle_fields(self, witnessed: Witnessed) -> dict[str, Any]:
        """Keyword arguments of `bundle.encode_dsse` and `bundle.encode_message`."""
        fields: dict[str, Any] = {"log_entries": witnessed.entries, "timestamps": witnessed.timestamps}
        if self.certificate is not None:
            return fields | {"certificate": self.certificate.leaf.der}
        return fields | {"hint": self.signer.public_key.hint}

    def legacy_fields(self, witnessed: Witnessed) -> dict[str, Any]:
        """Keyword arguments of `legacy.layer_annotations` and `legacy.attestation_annotations`."""
        from sealgate.evidence.gojson import encoding_json

        fields: dict[str, Any] = {}
        if self.certificate is not None:
            fields |= {"certificate": self.certificate.pem(), "chain": self.certificate.chain_pem()}
        if witnessed.promise is not None:
            fields["bundle"] = encoding_json(witnessed.promise)
        if witnessed.timestamps:  # it has room for one
            from sealgate.evidence import base64

            stamp = {"SignedRFC3161Timestamp": base64.encode(witnessed.timestamps[0])}
            fields["timestamp"] = encoding_json(stamp)
        return fields


def authors(signers: Iterable[Signer | Author]) -> list[Author]:
    """All as authors."""
    return [each if isinstance(each, Author) else Author(each) for each in signers]


def failure(what: str, findings: Iterable[Finding]) -> SigningError:
    """(4) The error for something that was made and does not verify: why not."""
    failed = [finding for finding in findings if finding.outcome == "failed"]
    why = f": {failed[0].message} [{failed[0].code}]" if failed else ""
    return SigningError(
        f"{what} that was made does not verify{why}",
        hint="nothing was published; is this the trust root (--trusted-root) of the services that were asked?"
        if failed and not failed[0].code.startswith("signature-")
        else "nothing was published",
    )
