"""Predicate types of in-toto Statements, and cosign's short names for them (`--type`)."""

from __future__ import annotations

from sealgate.errors import UsageError

IMAGE_SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
"""An image signature in the bundle format. Nothing else counts as a signature of an image."""
CUSTOM = "https://cosign.sigstore.dev/attestation/v1"
VULNERABILITIES = "https://cosign.sigstore.dev/attestation/vuln/v1"
SLSA_PROVENANCE_V0_1 = "https://slsa.dev/provenance/v0.1"
SLSA_PROVENANCE_V0_2 = "https://slsa.dev/provenance/v0.2"
SLSA_PROVENANCE_V1 = "https://slsa.dev/provenance/v1"
SPDX = "https://spdx.dev/Document"
CYCLONEDX = "https://cyclonedx.org/bom"
LINK = "https://in-toto.io/Link/v1"
OPENVEX = "https://openvex.dev/ns"

SHORT_NAMES = {
    "custom": CUSTOM,
    "slsaprovenance": SLSA_PROVENANCE_V0_2,
    "slsaprovenance02": SLSA_PROVENANCE_V0_2,
    "slsaprovenance1": SLSA_PROVENANCE_V1,
    "spdx": SPDX,
    "spdxjson": SPDX,
    "cyclonedx": CYCLONEDX,
    "link": LINK,
    "vuln": VULNERABILITIES,
    "openvex": OPENVEX,
}
"""As in cosign 3.1.1."""

_SCHEME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-")


def type_of(name: str) -> str:
    """The predicate type that a short name or a URI stands for. Raises `UsageError` for anything else."""
    known = SHORT_NAMES.get(name)
    if known is not None:
        return known
    scheme, colon, rest = name.partition(":")
    printable = name.isascii() and name.isprintable() and " " not in name
    if not (colon and rest and printable and scheme[:1].isalpha() and _SCHEME_CHARS.issuperset(scheme)):
        raise UsageError(
            f"not a predicate type: {ascii(name)[:100]}", hint="a URI, or one of " + ", ".join(sorted(SHORT_NAMES))
        )
    return name


def short_names(predicate_type: str) -> tuple[str, ...]:
    """The short names that cosign has for a predicate type, if any."""
    return tuple(name for name, uri in SHORT_NAMES.items() if uri == predicate_type)
