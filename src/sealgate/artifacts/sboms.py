"""The SBOMs that hang on an image, wherever tools put them: finding them. Nothing of them is believed, and nothing verified.

cosign's `.sbom` tag, referrers that are an SBOM (`oras attach`), attestations in both formats, and what BuildKit puts into
an index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from sealgate.digest import Digest
    from sealgate.errors import SealgateError

Origin = Literal["sbom-tag", "referrer", "attestation", "buildkit"]


class AttachedDocument(NamedTuple):
    """One SBOM that hangs on an image, or the reason why it could not be brought."""

    where: str
    """`repository:tag` or `repository@digest`: for people."""
    origin: Origin
    media_type: str
    """What the layer says it is; of an attestation its predicate type."""
    content: bytes
    """The document, or the in-toto Statement that it is the predicate of; empty with a `problem`."""
    signed: bool
    """Whether it came in an envelope with a signature, which was not verified here."""
    manifest: Digest
    """The attached manifest."""
    platform: str | None
    """`os/architecture` of the image in an index that it hangs on; None when it hangs on the image that was asked for."""
    problem: SealgateError | None
    image: Digest | None = None
    """The image that it hangs on."""
    layer: Digest | None = None
    """The layer that it was fetched as: evidence of that digest is this very document."""


class Found(NamedTuple):
    """The SBOMs of one image, in a stable order, and what could not be asked."""

    documents: tuple[AttachedDocument, ...]
    problems: tuple[SealgateError, ...] = ()
    """Listings that failed: with an `UnavailableError` among them nobody knows what else there is."""
    digest: Digest | None = None
    """The image that was asked for."""
