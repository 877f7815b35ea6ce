"""SBOMs as cosign attaches them, signed by nobody: the `.sbom` tag, or a referrer. Attaching and fetching them.

What is written is byte for byte what cosign 2.5.0 and 3.1.1 write; what is read is that, and the SBOMs that other tools
attach as referrers. Attestations are the better way: an attached SBOM is whatever the last one who could push has left there.

Source: cosign's specs/SBOM_SPEC.md, and what both versions were seen to write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.artifacts import attached as attacheds
from sealgate.artifacts import buildkit
from sealgate.digest import Digest
from sealgate.errors import ContentError, NoSbomError, SealgateError, UnavailableError, UsageError
from sealgate.evidence import legacy
from sealgate.oci import attachments
from sealgate.oci import manifest as manifests
from sealgate.oci.descriptor import Descriptor
from sealgate.signing.publish import Settling, add
from sealgate.signing.sign import referrers_tag
from sealgate.verification.verify import platform_child

if TYPE_CHECKING:
    from sealgate.artifacts.attached import Attached
    from sealgate.oci.images import Image

CONFIG_TYPE = "application/vnd.dev.cosign.artifact.sbom.v1+json"
"""Config media type of an SBOM that is a referrer."""
FORMATS = {"spdx": ("json", "text"), "cyclonedx": ("json", "xml"), "syft": ("json",)}
SBOM_TYPES = ("application/spdx", "text/spdx", "application/vnd.cyclonedx", "application/vnd.syft")
"""What media types of SBOMs begin with."""


class AttachedSbom(NamedTuple):
    """What became of it."""

    image: str
    digest: Digest
    media_type: str
    stored: str
    """Where it is: `repository:tag`, or `repository@digest` of a referrer."""
    replaced: bool
    """Whether another SBOM was under the tag, which is gone now."""


class Sbom(NamedTuple):
    """One SBOM that was fetched."""

    media_type: str
    content: bytes
    where: str
    others: tuple[str, ...]
    """Where further ones are."""


def media_type(kind: str, input_format: str | None, content: bytes) -> str:
    """The layer's media type as cosign chooses it. `kind`: spdx, cyclonedx or syft; `input_format`: json, xml or text.

    Raises `UsageError`.
    """
    if kind not in FORMATS:
        raise UsageError(f"unknown SBOM type: {kind[:100]!a}", hint=f"one of {', '.join(FORMATS)}")
    if input_format is not None and input_format not in FORMATS[kind]:
        raise UsageError(
            f"invalid SBOM input format for {kind}: {input_format[:100]!a}", hint=f"one of {', '.join(FORMATS[kind])}"
        )
    is_json = input_format == "json" or content.lstrip()[:1] == b"{"
    if kind == "syft":
        return "application/vnd.syft+json"
    if kind == "spdx":
        return "text/spdx+json" if is_json else "text/spdx"
    return f"application/vnd.cyclonedx+{'json' if is_json else 'xml'}"


async def attach(
    image: Image,
    content: bytes,
    media_type: str,
    *,
    referrer: bool,
    prefix: str = "",
    settling: Settling = Settling(),  # noqa: B008 - a value
) -> AttachedSbom:
    """Attach an SBOM: under the `.sbom` tag, in place of what is there, or as a referrer. Raises what the store raises."""
    manifest = await attacheds.resolve(image)
    store = image.signatures
    layer = Descriptor(media_type, len(content), Digest.of(content))
    config = legacy.config([layer.digest])
    described = Descriptor(CONFIG_TYPE if referrer else legacy.OCI_CONFIG, len(config), Digest.of(config))
    raw = manifests.encode_image_manifest(described, [layer], subject=manifest.descriptor() if referrer else None)
    replaced = False
    tag = None
    if not referrer:
        tag = attachments.tag(manifest.digest, attachments.SBOMS, prefix=prefix)
        standing = await store.head_manifest(tag)
        replaced = standing is not None and standing.digest != Digest.of(raw)
    for body in (content, config):
        await store.put_blob(body, Digest.of(body))
    digest = await store.put_manifest(raw, manifests.OCI_MANIFEST, tag)
    if referrer and await store.list_referrers(manifest.digest) is None:
        entry = Descriptor(manifests.OCI_MANIFEST, len(raw), digest, artifact_type=CONFIG_TYPE)
        await add(referrers_tag(store, manifest.digest), [entry.as_json()], settling=settling)
    where = f"{store.name}:{tag}" if tag else f"{store.name}@{digest}"
    return AttachedSbom(image.name, manifest.digest, media_type, where, replaced)


async def fetch(
    image: Image, *, platform: str | None = None, prefix: str = "", limit: int = limits.EVIDENCE_BYTES
) -> Sbom:
    """The SBOM attached to an image: cosign's referrer, cosign's tag, or another tool's referrer, in this order.

    With `platform` that of this platform's image of an index. Raises `NoSbomError`, which says where else to look,
    `ImageNotFoundError`, `UnavailableError` when nobody knows, and what reading raises.
    """
    manifest = await attacheds.resolve(image)
    digest = manifest.digest if platform is None else platform_child(manifest, platform, image.name)
    listing = await attacheds.list_attached(
        attacheds.stores_of(image), digest, prefix=prefix, suffixes=(attachments.SBOMS,)
    )
    for problem in listing.problems:
        if isinstance(problem, UnavailableError):
            raise problem
    found = sorted((_ranked(each, layer) for each in listing.attached if (layer := _layer(each))), key=_rank)
    if not found:
        for each in listing.attached:
            if isinstance(each.problem, UnavailableError):
                raise each.problem
        raise _none(image, await _platforms(image, digest))
    _, chosen, layer = found[0]
    content = await chosen.store.get_blob(layer.digest, limit=limit)
    if len(content) != layer.size:
        raise ContentError(f"{layer.digest} has {len(content)} bytes, its descriptor says {layer.size}")
    return Sbom(layer.media_type, content, chosen.location, tuple(each.location for _, each, _ in found[1:]))


def _layer(item: Attached) -> Descriptor | None:
    """The SBOM in an attached manifest, if it has one."""
    layers = () if item.manifest is None else manifests.layers(item.manifest)
    return next((layer for layer in layers if layer.media_type.startswith(SBOM_TYPES)), None)


def _ranked(item: Attached, layer: Descriptor) -> tuple[int, Attached, Descriptor]:
    """Which one cosign would take comes first."""
    of_cosign = item.origin != "referrer" or attacheds.artifact_type(item) == CONFIG_TYPE
    return (0 if of_cosign and item.origin == "referrer" else 1 if of_cosign else 2), item, layer


def _rank(ranked: tuple[int, Attached, Descriptor]) -> int:
    return ranked[0]


async def _platforms(image: Image, digest: Digest) -> list[str]:
    found = await image.store.get_manifest(digest)
    if found is None or not found.is_index:
        return []
    return [entry.platform for entry in buildkit.images(found) if entry.platform]


def _none(image: Image, platforms: list[str]) -> SealgateError:
    if platforms:
        return NoSbomError(
            f"{image.name}: no SBOM is attached to the index", hint=f"--platform says whose: {', '.join(platforms)}"
        )
    return NoSbomError(
        f"{image.name}: no SBOM is attached",
        hint="`sealgate sbom show IMAGE` also reads attestations and what BuildKit put into the index",
    )
