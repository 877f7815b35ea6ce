"""Sign images: make the signature, judge it as a verifier would, and put it where verifiers look.

One flow for the command line and the library. Formats: `bundle` (Sigstore bundle v0.3 as a referrer) and `legacy`
(cosign's `.sig` tag). What stands already, by the same key with the same content, is not written again; by a certificate it
is, since each has a key and a time of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import DigestInvalidError, ImageNotFoundError, LimitError, UsageError
from sealgate.evidence import bundle as bundles
from sealgate.evidence import dsse, legacy, predicates, simple, statement
from sealgate.oci import attachments
from sealgate.oci import manifest as manifests
from sealgate.oci.attachments import Attachment
from sealgate.oci.descriptor import Descriptor
from sealgate.signing.author import Author, authors, failure
from sealgate.signing.publish import Entry, Settling, SharedTag, add
from sealgate.transport import flow
from sealgate.verification import deny
from sealgate.verification import evidence as evidences
from sealgate.verification.checks import Asked, SignatureReport, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sealgate.keys.signer import Signer
    from sealgate.oci.images import Image
    from sealgate.oci.store import Manifest, Store

Format = Literal["bundle", "legacy"]

EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
IMAGES_AT_ONCE = 8


class SignOptions(NamedTuple):
    """How images are signed."""

    formats: tuple[Format, ...]
    created: float
    """The time now, in seconds of the epoch: for the bundle manifest's `created` annotation."""
    annotations: tuple[tuple[str, str], ...] = ()
    recursive: bool = False
    upload: bool = True
    container_identity: str | None = None
    """In place of the docker-reference of the legacy format."""
    creation_timestamp: str | None = None
    """RFC 3339, for the legacy config's `created`."""
    docker_media_types: bool = False
    tag_prefix: str = ""
    settling: Settling = Settling()


class Signature(NamedTuple):
    """One signature that was made, or found to stand already."""

    image: str
    digest: Digest
    format: Format
    key: str
    """The fingerprint."""
    content: bytes
    """The bundle; or the legacy payload."""
    signature: bytes
    added: bool
    """False when it stood already or nothing was to be uploaded."""
    stored: str
    """Where it is: `registry/repository`, for people."""
    notes: tuple[tuple[str, str], ...] = ()
    """The annotations of the layer (legacy)."""


async def sign(
    where: Image, signers: Sequence[Signer | Author], options: SignOptions, told: Callable[[str], None] = lambda _: None
) -> list[Signature]:
    """Sign one image, with `recursive` its children too, by every signer in every format asked for.

    `told` hears what goes on, for people. Raises `ImageNotFoundError`, `SigningError` and what stores, signers and witnesses
    raise; signatures that were published before an error stay.
    """
    signing = authors(signers)
    if not signing or not options.formats:
        raise UsageError("nothing to sign with", hint="--key FILE")
    for author in signing:
        author.check(bundle="bundle" in options.formats, legacy=False, envelope=True)
        author.check(bundle=False, legacy="legacy" in options.formats, envelope=False)
    images = await images_of(where, recursive=options.recursive)
    made = await flow.gather([_sign_one(where, each, signing, options, told) for each in images], limit=IMAGES_AT_ONCE)
    return [signature for signatures in made for signature in signatures]


async def images_of(where: Image, *, recursive: bool) -> list[Manifest]:
    """The manifest that `where` names; with `recursive` all that are in it, at whatever depth, follow, each once.

    Raises `ImageNotFoundError`, `LimitError`.
    """
    image = await where.store.get_manifest(where.which)
    if image is None:
        raise ImageNotFoundError(f"{where.name} does not exist", hint="push the image first, then sign it")
    if not recursive or not image.is_index:
        return [image]
    found = {image.digest: image}
    level = [image]
    for _ in range(limits.INDEX_DEPTH):
        listed = dict.fromkeys(child.digest for index in level for child in manifests.children(index))
        fresh = [digest for digest in listed if digest not in found]
        if len(found) + len(fresh) > limits.INDEX_CHILDREN + 1:
            raise LimitError(f"more than {limits.INDEX_CHILDREN} images are in {where.name}")
        level = await flow.gather([_child(where.store, digest) for digest in fresh], limit=IMAGES_AT_ONCE)
        found |= {each.digest: each for each in level}
        level = [each for each in level if each.is_index]
        if not level:
            return list(found.values())
    raise LimitError(f"indexes are nested deeper than {limits.INDEX_DEPTH} in {where.name}")


async def _child(store: Store, digest: Digest) -> Manifest:
    found = await store.get_manifest(digest)
    if found is None:
        raise ImageNotFoundError(f"{store.name}@{digest} is listed by the index and does not exist")
    return found


async def _sign_one(
    where: Image, image: Manifest, signing: list[Author], options: SignOptions, told: Callable[[str], None]
) -> list[Signature]:
    found = None
    if options.upload:
        suffixes = (attachments.SIGNATURES,) if "legacy" in options.formats else ()
        found = await attachments.find(
            where.signatures, image.digest, suffixes=suffixes, prefix=options.tag_prefix,
            fetch_layers=any(map(may_stand, signing)),
        )  # fmt: skip
        for problem in found.problems:
            raise problem  # what stands there must be known, or entries could be lost
    made: list[Signature] = []
    for author in signing:
        for format_ in options.formats:
            asked = asked_of(author, image.digest, format_)
            standing = [
                report
                for attachment in (found.attachments if found is not None and may_stand(author) else ())
                if (evidence := evidences.read(attachment)) is not None and (report := judge(evidence, asked)).accepted
            ]
            made.append(await _make(where, image, author, asked, format_, standing, options))
    if options.upload and found is not None:
        fresh = [signature for signature in made if signature.added]
        if fresh:
            told(f"Pushing signature to: {where.signatures.name}")
        waiting = []
        if new := [signature for signature in fresh if signature.format == "bundle"]:
            contents = [signature.content for signature in new]
            waiting.append(publish_bundles(where.signatures, image, contents, options, api=found.referrers_api))
        if new := [signature for signature in fresh if signature.format == "legacy"]:
            layers = [(signature.content, dict(signature.notes)) for signature in new]
            waiting.append(publish_layers(where.signatures, image.digest, layers, options))
        await flow.gather(waiting)
    return made


def asked_of(author: Author, image: Digest, format_: Format, *, signature: bool = True) -> Asked:
    """What a verifier would ask of what the author makes; `signature`: of an image, so that its annotations are compared."""
    return Asked(image, author.keys, (), signature, deny.NOTHING, None, author.trust(legacy=format_ == "legacy"))


def may_stand(author: Author) -> bool:
    """Whether a signature that stands already can be as good as a new one, and that can be seen."""
    return not author.ephemeral and author.judged


async def _make(
    where: Image,
    image: Manifest,
    author: Author,
    asked: Asked,
    format_: Format,
    standing: list[SignatureReport],
    options: SignOptions,
) -> Signature:
    """Make a signature unless the same one stands, and judge it as a verifier would."""
    annotations = dict(options.annotations)
    made = Signature(
        f"{where.store.name}@{image.digest}", image.digest, format_, author.signer.public_key.fingerprint, b"", b"", False,
        where.signatures.name,
    )  # fmt: skip
    reference = options.container_identity or _docker_reference(where)
    if any(_same(report, format_, annotations, reference) for report in standing):
        return made
    if format_ == "bundle":
        payload = statement.encode_image_signature(image.digest, annotations)
        envelope = dsse.Envelope(dsse.IN_TOTO, payload, ())
        witnessed = await author.sign(dsse.pae(dsse.IN_TOTO, payload), legacy=False, envelope=envelope)
        envelope = envelope._replace(signatures=(dsse.EnvelopeSignature(witnessed.signature),))
        content = bundles.encode_dsse(envelope, **author.bundle_fields(witnessed))
        notes: dict[str, str] = {}
        layer = Descriptor(bundles.MEDIA_TYPE, len(content), Digest.of(content))
    else:
        content = simple.encode(reference, image.digest, annotations)
        witnessed = await author.sign(content, legacy=True)
        notes = legacy.layer_annotations(witnessed.signature, **author.legacy_fields(witnessed))
        layer = Descriptor(legacy.SIMPLE_SIGNING, len(content), Digest.of(content), tuple(notes.items()))
    origin = "referrer" if format_ == "bundle" else attachments.SIGNATURES
    evidence = evidences.read(Attachment(origin, layer.digest, None, image.digest, 1, layer, content))
    report = judge(evidence, asked) if evidence is not None else None
    if report is None or not report.accepted:
        raise failure("the signature", report.findings if report is not None else ())
    return made._replace(
        content=content, signature=witnessed.signature, added=options.upload, notes=tuple(notes.items())
    )


def _docker_reference(where: Image) -> str:
    """What the legacy payload calls the image: `registry/repository`; of a layout its last name, never a path."""
    if where.location is not None:
        return where.store.name
    return where.store.name.partition(":")[2].rstrip("/").rpartition("/")[2] or "layout"


def _same(report: SignatureReport, format_: Format, annotations: dict[str, str], reference: str) -> bool:
    if report.format != format_ or report.payload is None or report.payload["optional"] != annotations:
        return False
    return format_ == "bundle" or report.payload["reference"] == reference


# -- bundle: a referrer (distribution specification, "Pushing Manifests with Subject")


async def publish_bundles(
    store: Store,
    image: Manifest,
    contents: list[bytes],
    options: SignOptions,
    *,
    api: bool,
    predicate_type: str = predicates.IMAGE_SIGNATURE,
    replaced: frozenset[str] = frozenset(),
) -> None:
    """Put up bundles as referrers of `image`, in the fallback index too unless the registry has the referrers `api`.

    `replaced`: digests of referrers that are taken off the fallback index; whoever asks for that deletes them afterwards.
    """
    config = Descriptor(EMPTY_TYPE, len(EMPTY), Digest.of(EMPTY))
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(options.created))
    annotations = {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": predicate_type,
        "org.opencontainers.image.created": created,
    }
    bodies = {config.digest: EMPTY, **{Digest.of(content): content for content in contents}}
    await flow.gather([store.put_blob(body, digest) for digest, body in bodies.items()])
    entries: list[Entry] = []
    for content in contents:
        layer = Descriptor(bundles.MEDIA_TYPE, len(content), Digest.of(content))
        raw = manifests.encode_image_manifest(
            config, [layer], annotations=annotations, subject=image.descriptor(), artifact_type=bundles.MEDIA_TYPE
        )
        digest = await store.put_manifest(raw, manifests.OCI_MANIFEST)
        entry = Descriptor(manifests.OCI_MANIFEST, len(raw), digest, tuple(annotations.items()), bundles.MEDIA_TYPE)
        entries.append(entry.as_json())
    if not api:
        await add(
            referrers_tag(store, image.digest), entries,
            settling=options.settling, replaces=lambda entry: entry.get("digest") in replaced,
        )  # fmt: skip


def referrers_tag(store: Store, image: Digest) -> SharedTag:
    """The fallback tag of `image`, written as the specification says: real artifact types and annotations, all entries kept."""

    def read(manifest: Manifest) -> list[Entry]:
        if not manifest.is_index or manifest.digest == image:  # `cosign copy` leaves the image itself under this tag
            return []
        return list(manifest.document["manifests"] or [])

    def write(entries: list[Entry]) -> tuple[bytes, str]:
        ordered = sorted(entries, key=lambda entry: str(entry.get("digest")))
        return manifests.encode_index(ordered), manifests.OCI_INDEX

    def identity(entry: Entry) -> str:
        return str(entry.get("digest"))

    async def is_there(entry: Entry) -> bool:
        try:
            return await store.head_manifest(Digest.parse(entry.get("digest"))) is not None
        except DigestInvalidError:
            return False

    return SharedTag(store, attachments.fallback_tag(image), read, write, identity, is_there)


# -- legacy: layers of the .sig manifest


async def publish_layers(
    store: Store,
    image: Digest,
    layers: list[tuple[bytes, dict[str, str]]],
    options: SignOptions,
    *,
    suffix: str = attachments.SIGNATURES,
    replaced: frozenset[str] = frozenset(),
) -> None:
    """Add layers with their annotations to the tag of `image` with this suffix.

    Signed payloads (`legacy.layer_annotations`) go to `.sig`, envelopes (`legacy.attestation_annotations`) to `.att`.
    `replaced`: digests of layers that are taken off it.
    """
    media_type = legacy.SIMPLE_SIGNING if suffix == attachments.SIGNATURES else legacy.DSSE_ENVELOPE
    entries: list[Entry] = []
    blobs: dict[Digest, bytes] = {}
    for content, notes in layers:
        digest = Digest.of(content)
        blobs[digest] = content
        entries.append(Descriptor(media_type, len(content), digest, tuple(notes.items())).as_json())
    await flow.gather([store.put_blob(body, digest) for digest, body in blobs.items()])
    shared, before_write = layers_tag(store, image, options, suffix=suffix)
    await add(
        shared, entries,
        settling=options.settling, before_write=before_write, replaces=lambda entry: entry.get("digest") in replaced,
    )  # fmt: skip


def layers_tag(
    store: Store, image: Digest, options: SignOptions, *, suffix: str
) -> tuple[SharedTag, Callable[[list[Entry]], flow.Flow[None]]]:
    """cosign's `.sig` or `.att` tag of `image`, and what puts up the config that its manifest needs."""
    created = options.creation_timestamp or legacy.NO_TIME
    docker = options.docker_media_types

    def config(entries: list[Entry]) -> bytes:
        return legacy.config([Digest.parse(entry.get("digest")) for entry in entries], created=created)

    def read(manifest: Manifest) -> list[Entry]:
        return list(manifest.document.get("layers") or [])

    def write(entries: list[Entry]) -> tuple[bytes, str]:
        body = config(entries)
        described = Descriptor(legacy.DOCKER_CONFIG if docker else legacy.OCI_CONFIG, len(body), Digest.of(body))
        media_type = legacy.DOCKER_MANIFEST if docker else manifests.OCI_MANIFEST
        return manifests.encode_image_manifest(described, entries, media_type=media_type), media_type

    async def before_write(entries: list[Entry]) -> None:
        body = config(entries)
        await store.put_blob(body, Digest.of(body))

    def identity(entry: Entry) -> tuple[str, tuple[tuple[str, str], ...]]:
        return str(entry.get("digest")), tuple(sorted((entry.get("annotations") or {}).items()))

    tag = attachments.tag(image, suffix, prefix=options.tag_prefix)
    return SharedTag(store, tag, read, write, identity), before_write
