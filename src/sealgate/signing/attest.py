"""Sign what is known about an image (an in-toto Statement), judge it as a verifier would, and put it where they look.

One flow for the command line and the library; where things go is what `sign` does: bundles as referrers, envelopes in
cosign's `.att` tag. The identical Statement by the same key is not attached twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import LimitError, SealgateError, StatementInvalidError, UnavailableError, UsageError
from sealgate.evidence import attestation as statements
from sealgate.evidence import bundle as bundles
from sealgate.evidence import dsse, legacy, statement
from sealgate.evidence.statement import Subject
from sealgate.oci import attachments
from sealgate.oci.attachments import Attachment
from sealgate.oci.descriptor import Descriptor
from sealgate.signing.author import Author, authors, failure
from sealgate.signing.sign import (
    IMAGES_AT_ONCE,
    asked_of,
    images_of,
    may_stand,
    publish_bundles,
    publish_layers,
)
from sealgate.transport import flow
from sealgate.verification import attestation as attestations
from sealgate.verification import evidence as evidences
from sealgate.verification.attestation import Attested

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sealgate.evidence.attestation import Claim
    from sealgate.keys.signer import Signer
    from sealgate.oci.images import Image
    from sealgate.oci.store import Manifest
    from sealgate.signing.sign import Format, SignOptions
    from sealgate.verification.checks import Asked, SignatureReport

_SLACK = 256
"""Bytes by which two envelopes of one Statement may differ: the signature's length, spaces, an empty keyid."""


class Attestation(NamedTuple):
    """One attestation that was made, or found to stand already."""

    image: str
    digest: Digest
    format: Format
    key: str
    """The fingerprint."""
    predicate_type: str
    content: bytes
    """The bundle, or the envelope (legacy); empty when it stood already."""
    added: bool
    """False when it stood already or nothing was to be uploaded."""
    stored: str
    """Where it is: `registry/repository`, for people."""
    replaced: int = 0
    """How many older ones gave way to it."""
    notes: tuple[tuple[str, str], ...] = ()
    """The annotations of the layer (legacy)."""


class Wording(NamedTuple):
    """What is said of every image: a claim, of which a Statement is made for each; or a Statement for one of them."""

    claim: Claim | None = None
    given: bytes | None = None
    """A Statement, to be signed as it is."""
    subjects: tuple[Subject, ...] = ()
    """Further subjects of the Statement that is made."""

    def statement(self, image: Digest, name: str | None, annotations: dict[str, str], limit: int) -> bytes:
        """The Statement for one image. Raises `StatementInvalidError` for one that is about another."""
        if (self.claim is None) == (self.given is None):
            raise UsageError("either a predicate or a Statement is attested")
        if self.given is None and self.claim is not None:
            subject = Subject(name, ((image.algorithm, image.hex),), dict(annotations))
            return statements.encode(self.claim, (subject, *self.subjects), limit=limit)
        payload = self.given or b""
        if not statement.matches(statements.given(payload, what="the Statement", limit=limit), image):
            raise StatementInvalidError(
                f"the Statement is not about {image}", hint="none of its subjects has that digest: it could help nobody"
            )
        return payload


async def attest(
    where: Image,
    signers: Sequence[Signer | Author],
    wording: Wording,
    options: SignOptions,
    *,
    replace: bool = False,
    limit: int = limits.EVIDENCE_BYTES,
    told: Callable[[str], None] = lambda _: None,
) -> list[Attestation]:
    """Attest one image, with `recursive` its children too, by every signer in every format asked for.

    `replace`: attestations of the same type by the same key, or the same identity, give way. `limit`: the largest attestation that is made.
    `told` hears what goes on, for people. Raises `ImageNotFoundError`, `LimitError`, `SigningError`,
    `StatementInvalidError` and what stores, signers and witnesses raise; what was published before an error stays.
    """
    signing = authors(signers)
    if not signing or not options.formats:
        raise UsageError("nothing to sign with", hint="--key FILE")
    for author in signing:
        author.check(bundle="bundle" in options.formats, legacy="legacy" in options.formats, envelope=True)
        if replace and not author.judged:
            raise UsageError(
                f"--replace: without a trust root nobody can say which attestations are by {author.name}",
                hint="--trusted-root FILE",
            )
    images = await images_of(where, recursive=options.recursive)
    works = [_Work(where, image, signing, wording, options, replace, limit) for image in images]
    made = await flow.gather([work.run(told) for work in works], limit=IMAGES_AT_ONCE)
    return [attestation for attestations_ in made for attestation in attestations_]


def name_of(where: Image, options: SignOptions) -> str | None:
    """The subject's name, as cosign has it: the repository. Of a layout nothing is told: it is a path of this machine."""
    if options.container_identity is not None:
        return options.container_identity
    return where.store.name if where.location is not None else None


class _Work(NamedTuple):
    where: Image
    image: Manifest
    signing: list[Author]
    wording: Wording
    options: SignOptions
    replace: bool
    limit: int

    async def run(self, told: Callable[[str], None]) -> list[Attestation]:
        name = name_of(self.where, self.options)
        payload = self.wording.statement(self.image.digest, name, dict(self.options.annotations), self.limit)
        attested = Attested(statement.parse(payload, limit=self.limit).predicate_type, ())
        found = None
        if self.options.upload:
            found = await self._standing(payload)
            for problem in found.problems:
                raise problem  # what stands there must be known, or entries could be lost
        made: list[Attestation] = []
        gone: list[Attachment] = []
        kept: list[Attachment] = []
        for author in self.signing:
            for format_ in self.options.formats:
                asked = asked_of(author, self.image.digest, format_, signature=False)
                standing = self._judged(found, asked, attested) if may_stand(author) or self.replace else []
                same = [at for at, report in standing if report.format == format_ and _says(report, payload)]
                same = same if may_stand(author) else []
                others = [at for at, report in standing if report.format == format_ and at not in same[:1]]
                kept += same[:1]
                if self.replace:
                    gone += others
                one = Attestation(
                    f"{self.where.store.name}@{self.image.digest}", self.image.digest, format_,
                    author.signer.public_key.fingerprint, attested.predicate_type, b"", False, self.where.signatures.name,
                    len(others) if self.replace else 0,
                )  # fmt: skip
                if not same:
                    content, notes = await self._sealed(payload, author, asked, attested, format_)
                    one = one._replace(content=content, added=self.options.upload, notes=tuple(notes.items()))
                made.append(one)
        gone = _giving_way(gone, kept, found.attachments if found is not None else ())
        if found is not None and (gone or any(one.added for one in made)):
            told(f"Pushing attestation to: {self.where.signatures.name}")
            await self._publish(made, gone, attested.predicate_type, api=found.referrers_api)
        return made

    async def _standing(self, payload: bytes) -> attachments.Found:
        """What is attached; only what may be this very Statement is fetched, unless older ones are to give way."""
        store = self.where.signatures
        suffixes = (attachments.ATTESTATIONS,) if "legacy" in self.options.formats else ()
        found = await attachments.find(
            store, self.image.digest, suffixes=suffixes, prefix=self.options.tag_prefix, blob_limit=self.limit,
            fetch_layers=self.replace,
        )  # fmt: skip
        if self.replace or not any(map(may_stand, self.signing)):
            return found
        envelope = dsse.Envelope(dsse.IN_TOTO, payload, (dsse.EnvelopeSignature(bytes(72)),))
        sizes = {True: len(bundles.encode_dsse(envelope, hint="")), False: len(dsse.encode(envelope))}

        async def brought(attachment: Attachment) -> Attachment:
            layer = attachment.layer
            if layer is None or attachment.problem is not None:
                return attachment
            if not attachment.may_be_evidence or abs(layer.size - sizes[attachment.is_bundle]) > _SLACK:
                return attachment
            try:
                return attachment._replace(content=await store.get_blob(layer.digest, limit=layer.size))
            except UnavailableError:
                raise
            except SealgateError as error:
                return attachment._replace(problem=error)

        listed = await flow.gather([brought(each) for each in found.attachments], limit=64)
        return found._replace(attachments=tuple(listed))

    @staticmethod
    def _judged(
        found: attachments.Found | None, asked: Asked, attested: Attested
    ) -> list[tuple[Attachment, SignatureReport]]:
        """The good attestations of this type by this key that were fetched."""
        judged = []
        for attachment in found.attachments if found is not None else ():
            evidence = evidences.read_attestation(attachment) if attachment.content else None
            if evidence is not None and (report := attestations.judge(evidence, asked, attested)).accepted:
                judged.append((attachment, report))
        return judged

    async def _sealed(
        self, payload: bytes, author: Author, asked: Asked, attested: Attested, format_: Format
    ) -> tuple[bytes, dict[str, str]]:
        """Make an attestation and the annotations of its layer, and judge it as a verifier would."""
        content, fields = await seal(payload, author, format_)
        if len(content) > self.limit:
            raise LimitError(
                f"the attestation would have {len(content)} bytes; verifiers read at most {self.limit}",
                hint="attest less, or raise COSIGN_MAX_ATTACHMENT_SIZE here and wherever it is verified",
            )
        kind = bundles.MEDIA_TYPE if format_ == "bundle" else legacy.DSSE_ENVELOPE
        notes = legacy.attestation_annotations(attested.predicate_type, **fields) if format_ == "legacy" else {}
        layer = Descriptor(kind, len(content), Digest.of(content), tuple(notes.items()))
        origin = "referrer" if format_ == "bundle" else attachments.ATTESTATIONS
        evidence = evidences.read_attestation(
            Attachment(origin, layer.digest, None, self.image.digest, 1, layer, content)
        )
        report = attestations.judge(evidence, asked, attested) if evidence is not None else None
        if report is None or not report.accepted:
            raise failure("the attestation", report.findings if report is not None else ())
        return content, notes

    async def _publish(
        self, made: list[Attestation], gone: list[Attachment], predicate_type: str, *, api: bool
    ) -> None:
        store = self.where.signatures
        waiting = []
        fresh = [one.content for one in made if one.added and one.format == "bundle"]
        old = [attachment.manifest for attachment in gone if attachment.origin == "referrer"]
        if fresh or old:
            names = frozenset(str(digest) for digest in old)
            waiting.append(
                publish_bundles(
                    store, self.image, fresh, self.options, api=api, predicate_type=predicate_type, replaced=names
                )
            )
        layers = [(one.content, dict(one.notes)) for one in made if one.added and one.format == "legacy"]
        dropped = frozenset(str(at.layer.digest) for at in gone if at.origin != "referrer" and at.layer is not None)
        if layers or dropped:
            waiting.append(
                publish_layers(
                    store,
                    self.image.digest,
                    layers,
                    self.options,
                    suffix=attachments.ATTESTATIONS,
                    replaced=dropped,
                )
            )
        await flow.gather(waiting)
        # The new ones are there to stay: only now may the old ones go.
        for outcome in await flow.settle([store.delete_manifest(digest) for digest in dict.fromkeys(old)], limit=8):
            if isinstance(outcome, SealgateError) and api:  # else it is off the list, which tied it to the image
                raise outcome


async def seal(payload: bytes, author: Author, format_: Format) -> tuple[bytes, dict[str, Any]]:
    """A Statement signed: as a bundle; or as a bare envelope (`legacy`), and what goes into its annotations.

    Raises what the signer and the witnesses raise.
    """
    envelope = dsse.Envelope(dsse.IN_TOTO, payload, ())
    legacy_ = format_ == "legacy"
    message = dsse.pae(dsse.IN_TOTO, payload)
    witnessed = await author.sign(message, legacy=legacy_, envelope=envelope, stamp_envelope=legacy_)
    envelope = envelope._replace(signatures=(dsse.EnvelopeSignature(witnessed.signature),))
    if format_ == "bundle":
        return bundles.encode_dsse(envelope, **author.bundle_fields(witnessed)), {}
    return dsse.encode(envelope), author.legacy_fields(witnessed)


def _giving_way(gone: list[Attachment], kept: list[Attachment], everything: tuple[Attachment, ...]) -> list[Attachment]:
    """Of `gone`, what can go without taking anything else along: a layer by its digest, a referrer with all its layers."""
    layers = {(at.origin, at.layer.digest) for at in kept if at.layer is not None}
    places = {(at.manifest, at.position) for at in gone}
    shared = {at.manifest for at in everything if (at.manifest, at.position) not in places}
    found = []
    for at in gone:
        if at.origin == "referrer":
            stays = at.manifest in shared
        else:
            stays = at.layer is None or (at.origin, at.layer.digest) in layers
        if not stays:
            found.append(at)
    return found


def _says(report: SignatureReport, payload: bytes) -> bool:
    return report.statement().raw == payload
