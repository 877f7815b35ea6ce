"""Package URLs (purl): whether what a statement names is the package of a finding, or the image at hand.

The parser is `packageurl-python`'s; what is compared and how strictly is decided here, because a statement about another
product must never excuse anything.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packageurl import PackageURL

    from sealgate.scan.report import Finding

_SOURCE_TYPES = frozenset({"deb", "rpm", "apk"})


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> PackageURL | None:
    """A purl, or None for what is none."""
    from packageurl import PackageURL

    if not text.startswith("pkg:") or len(text) > 4096:
        return None
    try:
        return PackageURL.from_string(text)
    except ValueError:
        return None


def names_package(pattern: str, finding: Finding) -> bool:
    """Whether the purl `pattern` names the package of `finding`, or the source package it was built from.

    What the pattern leaves out (version, qualifiers) is not compared; what it says must be so.
    """
    wanted, actual = parse(pattern), parse(finding.purl or "")
    if wanted is None or actual is None or wanted.type != actual.type or wanted.type == "oci":
        return False
    if (wanted.namespace or "") != (actual.namespace or "") or (wanted.subpath or "") not in {"", actual.subpath or ""}:
        return False
    source = wanted.name != actual.name
    if source and (actual.type not in _SOURCE_TYPES or wanted.name != _source_name(finding, actual)):
        return False
    if wanted.version and _version(wanted) not in _versions(finding, actual, source=source):
        return False
    asked, given = _qualifiers(wanted), _qualifiers(actual)
    for name, value in asked.items():
        if name == "epoch" or (name == "arch" and source and value in {"source", "src"}):
            continue
        if given.get(name) != value:
            return False
    return True


def _source_name(finding: Finding, actual: PackageURL) -> str:
    upstream = _qualifiers(actual).get("upstream", "").partition("@")[0]
    return finding.source_package or upstream


def _versions(finding: Finding, actual: PackageURL, *, source: bool) -> set[str]:
    found = {_version(actual), actual.version or "", finding.version}
    if source:  # the source package may have a version of its own
        found = {_qualifiers(actual).get("upstream", "").partition("@")[2] or _version(actual)}
    return found - {""}


def _version(purl: PackageURL) -> str:
    epoch = _qualifiers(purl).get("epoch", "")
    return f"{epoch}:{purl.version}" if epoch not in {"", "0"} else purl.version or ""


def _qualifiers(purl: PackageURL) -> dict[str, str]:
    found = purl.qualifiers
    return dict(found) if isinstance(found, dict) else {}


def is_image(text: str) -> bool:
    """Whether a purl names an image, not a package."""
    found = parse(text)
    return found is not None and found.type in {"oci", "docker"}


def names_image(text: str, *, repository: str | None, digests: frozenset[str]) -> bool:
    """Whether a `pkg:oci/…` names the image with one of `digests`, that lies in `repository` (`registry/path`).

    A digest decides. Without one the repository must be named and be this one: a mere name is the name of many images.
    """
    found = parse(text)
    if found is None or found.type not in {"oci", "docker"}:
        return False
    if found.version:
        return found.version in digests
    where = _qualifiers(found).get("repository_url", "").rstrip("/")
    if not where or repository is None:
        return False
    where = where.removeprefix("https://").removeprefix("http://")
    return repository in {where, f"{where}/{found.name}"} and repository.rpartition("/")[2] == found.name
