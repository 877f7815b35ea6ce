"""One parsed signature or attestation with all that came along, made from an attachment. Nothing in it is believed yet. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import ContentError, SealgateError

if TYPE_CHECKING:
    from sealgate.evidence.bundle import Bundle
    from sealgate.evidence.legacy import LegacySignature
    from sealgate.oci.attachments import Attachment


class Evidence(NamedTuple):
    """What one attachment says."""

    attachment: Attachment
    content: Bundle | LegacySignature | None
    """None when it could not be fetched or read; then `problem` says why."""
    problem: SealgateError | None

    @property
    def format(self) -> str:
        """`bundle` or `legacy`."""
        return "bundle" if self.attachment.is_bundle else "legacy"

    @property
    def label(self) -> str:
        """For people: `bundle sha256:ff8e…` or `.sig #1 sha256:ab83…`."""
        layer = self.attachment.layer
        digest = str(layer.digest if layer is not None else self.attachment.manifest)
        if self.attachment.origin != "referrer":
            return f".{self.attachment.origin} #{self.attachment.position} {digest}"
        return f"{'envelope' if self.attachment.may_be_envelope else self.format} {digest}"


def read(attachment: Attachment) -> Evidence | None:
    """Parse an attachment; None when it is no signature in any format (an SBOM, another tool's artifact)."""
    layer = attachment.layer
    if attachment.problem is not None or layer is None:
        return Evidence(attachment, None, attachment.problem or ContentError("no layer"))
    if not attachment.may_be_evidence:
        return None
    try:
        if attachment.is_bundle:
            from sealgate.evidence import bundle

            return Evidence(attachment, bundle.parse(attachment.content), None)
        from sealgate.evidence import legacy

        content = legacy.parse_layer(attachment.content, dict(layer.annotations), layer.media_type)
    except SealgateError as error:
        return Evidence(attachment, None, error)
    return Evidence(attachment, content, None)


def read_attestation(attachment: Attachment) -> Evidence | None:
    """Parse an attachment: a bundle, or an envelope (an `.att` layer, or a referrer of another tool's making).

    None when it is no attestation in any format, an in-toto Statement that nobody signed among them.

    What was fetched is read whatever its size: who fetched it had a limit.
    """
    layer = attachment.layer
    if attachment.problem is not None or layer is None:
        return Evidence(attachment, None, attachment.problem or ContentError("no layer"))
    try:
        if attachment.is_bundle:
            from sealgate.evidence import bundle

            return Evidence(attachment, bundle.parse(attachment.content, limit=len(attachment.content)), None)
        if attachment.origin != "att" and (not attachment.may_be_envelope or b'"payload"' not in attachment.content):
            return None
        from sealgate.evidence import legacy

        content = legacy.parse_attestation_layer(attachment.content, dict(layer.annotations), layer.media_type)
    except SealgateError as error:
        return Evidence(attachment, None, error)
    return Evidence(attachment, content, None)
