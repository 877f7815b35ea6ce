"""Making SBOMs of images: each image is fetched into a temporary layout by our own client, so that the digest holds.

The generator sees a layout with this one image and nothing else: no registry, no credentials, no other platform.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.artifacts import attached as attacheds
from sealgate.artifacts import buildkit, transfer
from sealgate.digest import Digest
from sealgate.errors import ImageNotFoundError, ManifestUnsupportedError, UsageError
from sealgate.oci import manifest as manifests
from sealgate.sbom.binding import Subject
from sealgate.transport import flow
from sealgate.verification.verify import platform_child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sealgate.artifacts.transfer import Status
    from sealgate.oci.images import Image
    from sealgate.oci.store import Manifest
    from sealgate.sbom.generator import Format


class Part(NamedTuple):
    """One image of which an SBOM is made."""

    image: Image
    """Pinned to its digest."""
    manifest: Manifest
    platform: str | None
    """What the index says; None where there is no index."""

    @property
    def largest(self) -> int:
        """Bytes of its largest layer."""
        return max((layer.size for layer in manifests.layers(self.manifest)), default=0)


async def parts(image: Image, *, platform: str | None) -> list[Part]:
    """The image itself, or the images of an index; with `platform` that one. What BuildKit says in an index is no image.

    Raises `ImageNotFoundError`, `NotFoundError` (no such platform), `ManifestUnsupportedError`, and what the store raises.
    """
    found = await attacheds.resolve(image)
    if platform is not None:
        which = platform_child(found, platform, image.name)
        return [await _part(image, which, platform)]
    if not found.is_index:
        _require_image(found, image.name)
        return [Part(image._replace(which=found.digest), found, None)]
    entries = buildkit.images(found)
    if not entries:
        raise ManifestUnsupportedError(f"{image.name} is an index without images: there is nothing in it")
    return await flow.gather([_part(image, entry.digest, entry.platform) for entry in entries], limit=8)


async def _part(image: Image, which: Digest, platform: str | None) -> Part:
    name = f"{image.store.name}@{which}"
    found = await image.store.get_manifest(which)
    if found is None:
        raise ImageNotFoundError(f"{name} is listed by the index and does not exist")
    _require_image(found, name)
    return Part(image._replace(name=name, which=which), found, platform)


def _require_image(found: Manifest, name: str) -> None:
    if found.is_index:
        raise ManifestUnsupportedError(f"{name} is an index in an index", hint="name one of its images by its digest")
    config = manifests.config(found)
    if config is None or not config.media_type.endswith((".image.config.v1+json", ".container.image.v1+json")):
        raise ManifestUnsupportedError(f"{name} is no image: there are no packages in it")


async def fetch(part: Part, folder: str, *, progress: Callable[[Status], None] = lambda _: None) -> Subject:
    """Bring one image into a new layout at `folder`, every blob hashed; answers with whom the SBOM is about.

    Raises what the store raises, `LayoutInvalidError`, and `UsageError` for a folder that cannot be written.
    """
    from sealgate import strictjson
    from sealgate.oci.layout import LayoutStore

    manifest = part.manifest
    config = manifests.config(manifest)
    blobs = [blob for blob in (config, *manifests.layers(manifest)) if blob is not None]
    plan = transfer.Plan(
        manifest, ((manifest,),), tuple((blob, part.image.store, manifest.digest) for blob in blobs), (), ()
    )
    layout = LayoutStore(folder)
    await transfer.move_content(plan, layout, progress=progress)
    architecture = ""
    if config is not None:
        raw = await layout.get_blob(config.digest, limit=limits.MANIFEST_BYTES)
        said = strictjson.parse_object(raw, limit=limits.MANIFEST_BYTES, what="the image's config").get("architecture")
        architecture = said if isinstance(said, str) and said.isalnum() and len(said) <= 32 else ""
    return Subject(_name(part.image), manifest.digest, architecture, part.image.location is not None)


def _name(image: Image) -> str:
    """`registry/repository`; of a layout its last name, never a path."""
    if image.location is not None:
        return image.store.name
    return image.store.name.partition(":")[2].rstrip("/").rpartition("/")[2] or "image"


def generate(
    subject: Subject,
    folder: str,
    *,
    largest: int,
    format: Format,  # noqa: A002 - the option's name
    program: str,
    environ: Mapping[str, str],
    seconds: float,
    moment: str,
) -> bytes:
    """The SBOM of the one image in the layout at `folder`, bound to its digest. `program` is Syft, `largest` as `Part` has it.

    Raises `GeneratorError`.
    """
    import os

    from sealgate._version import __version__
    from sealgate.sbom import binding, generator

    words = generator.command(
        program, layout=os.path.abspath(folder), format=format, name=subject.name, digest=str(subject.digest)
    )
    raw = generator.run(words, environ=environ, seconds=seconds, largest=largest)
    return binding.bind(raw, subject, format=format, moment=moment, version=__version__)


def only(found: list[Part], name: str) -> Part:
    """The one image there is. Raises `UsageError` that lists the platforms."""
    if len(found) != 1:
        there = ", ".join(part.platform or str(part.manifest.digest) for part in found)
        raise UsageError(
            f"{name} has {len(found)} images, each with an SBOM of its own", hint=f"--platform says which: {there}"
        )
    return found[0]
