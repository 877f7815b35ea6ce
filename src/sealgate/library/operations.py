"""What a client can do, as flows: from an image as callers name it to verdicts, signatures and attachments."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import ImageNotFoundError, SealgateError, UnavailableError, UsageError
from sealgate.oci import attachments as finding
from sealgate.oci.images import Image, Images
from sealgate.oci.location import LayoutLocation
from sealgate.oci.reference import Reference
from sealgate.transport import flow
from sealgate.verification import verdict as verdicts
from sealgate.verification import verify as verifying

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sealgate.artifacts.copy import Copied, CopyOptions
    from sealgate.digest import Digest
    from sealgate.keys.signer import Signer
    from sealgate.oci.attachments import Attachment
    from sealgate.oci.registry import Session
    from sealgate.signing.author import Author
    from sealgate.signing.sign import Signature, SignOptions
    from sealgate.verification.verdict import Verdict
    from sealgate.verification.verify import Wanted

ImageName = str | Reference | LayoutLocation
"""`registry/repository[:tag][@digest]`, `oci:DIR[:tag]` or `oci-archive:FILE[:tag]`, as text or parsed.

Where the text comes from somebody else, parse it with `Reference.parse` first: that never names a file.
"""


class Attachments(NamedTuple):
    """What is attached to one image. Nothing of it has been verified."""

    image: str
    """The image as it was asked for, canonical."""
    digest: Digest
    """What the name led to; everything below hangs on this digest."""
    items: tuple[Attachment, ...]
    """One for each layer: referrers first, then the tags `.sig`, `.att` and `.sbom`."""
    problems: tuple[SealgateError, ...]
    """What is there and could not be read."""
    referrers_api: bool
    """Whether the store has the referrers API; else the fallback tag was read."""


class Place(NamedTuple):
    """Where a call finds its images."""

    session: Session
    signature_repository: str | None = None
    """`registry/repository` that has the signatures of every image, instead of its own (cosign's COSIGN_REPOSITORY)."""

    def images(self, closing: ExitStack) -> Images:
        """Opens the images of one call."""
        return Images(self.session, closing=closing, signature_repository=self.signature_repository)


async def verify_all(place: Place, images: Sequence[ImageName], wanted: Wanted) -> list[list[Verdict]]:
    """Verify images at once: a list an image, in order; with `recursive` the children's verdicts follow their index's.

    What goes wrong with one image is in its verdict; only wrong usage, no image among it, is raised.
    """
    if isinstance(images, (str, Reference, LayoutLocation)):
        raise TypeError("images is a list; `verify` takes one image")
    names = [text_of(image) for image in images]
    if not names:
        raise UsageError("no image to verify")
    with ExitStack() as closing:
        opened = place.images(closing)
        return await flow.gather([_verify(opened, name, wanted) for name in names], limit=verifying.IMAGES_AT_ONCE)


async def _verify(opened: Images, name: str, wanted: Wanted) -> list[Verdict]:
    try:
        image = await opened.open(name)
    except UsageError:
        raise
    except SealgateError as error:
        return [verdicts.from_error(name, name, error, wanted.describe())]
    return await verifying.verify(image, wanted)


async def verify(place: Place, image: ImageName, wanted: Wanted) -> Verdict:
    """Verify one image; with `recursive` the first verdict that is not accepted, else the index's own."""
    [found] = await verify_all(place, [image], wanted)
    return next((verdict for verdict in found if not verdict.accepted), found[0])


async def sign(place: Place, image: ImageName, signers: list[Signer | Author], options: SignOptions) -> list[Signature]:
    """Sign one image by every signer, in every format asked for."""
    from sealgate.signing.sign import sign as sign_image

    with ExitStack() as closing:
        where = await place.images(closing).open(text_of(image), writable=options.upload)
        return await sign_image(where, signers, options)


async def resolve(place: Place, image: ImageName) -> Digest:
    """The digest that the image's name leads to now. Raises `ImageNotFoundError`."""
    with ExitStack() as closing:
        return await _digest(await place.images(closing).open(text_of(image)))


async def attachments(place: Place, image: ImageName, *, content: bool, tag_prefix: str = "") -> Attachments:
    """List what is attached; with `content`, layers are fetched and hashed. Raises `UnavailableError` if not all could be asked."""
    with ExitStack() as closing:
        where = await place.images(closing).open(text_of(image))
        digest = await _digest(where)
        found = await finding.find(
            where.signatures, digest, suffixes=(finding.SIGNATURES, finding.ATTESTATIONS, finding.SBOMS),
            prefix=tag_prefix, fetch_layers=content,
        )  # fmt: skip
    for problem in found.problems:
        if isinstance(problem, UnavailableError):
            raise problem
    return Attachments(where.name, digest, found.attachments, found.problems, found.referrers_api)


async def copy(place: Place, source: ImageName, target: ImageName, options: CopyOptions) -> Copied:
    """Copy an image and everything attached to it."""
    from sealgate.artifacts.copy import copy as copy_image

    with ExitStack() as closing:
        opened = place.images(closing)
        return await copy_image(await opened.open(text_of(source)), await opened.open_target(text_of(target)), options)


async def _digest(where: Image) -> Digest:
    found = await where.store.get_manifest(where.which)
    if found is None:
        raise ImageNotFoundError(f"{where.name} does not exist", hint="check the name, the tag and the registry")
    return found.digest


def text_of(image: ImageName) -> str:
    """The name as text. Raises `TypeError` for anything else."""
    if not isinstance(image, (str, Reference, LayoutLocation)):
        raise TypeError(f"an image is named by text or a Reference, not by {type(image).__name__}")
    return str(image)
