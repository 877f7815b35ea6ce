"""What an SBOM says, whatever its format: values that are compared and searched. Claims of whoever wrote it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.digest import Digest
from sealgate.errors import DigestInvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Package(NamedTuple):
    """One package."""

    name: str
    version: str
    """Empty where the document does not say."""
    purl: str
    """Its package URL as written; empty where there is none."""
    licenses: tuple[str, ...]
    """SPDX expressions, or whatever the document calls them; empty where nothing is known."""
    supplier: str = ""
    kind: str = ""
    """`library`, `deb`, …: the purl's type, else the document's own word."""
    cpes: tuple[str, ...] = ()


class Sbom(NamedTuple):
    """One document."""

    format: str
    """`spdx`, `cyclonedx` or `syft`."""
    spec_version: str
    name: str
    subject: str
    """What it says it is about, for people."""
    digests: frozenset[Digest]
    """Images (manifests or configs) that it says it is about; empty when it does not say."""
    tools: tuple[str, ...]
    """What made it: names, with versions where they are known."""
    created: str
    """As written."""
    packages: tuple[Package, ...]

    @property
    def title(self) -> str:
        """For people: `SPDX 2.3`."""
        return f"{TITLES.get(self.format, self.format)} {self.spec_version}".rstrip()

    def is_about(self, images: Iterable[Digest]) -> bool | None:
        """Whether it names one of these images; None when it names none at all. A claim, not a proof."""
        return None if not self.digests else not self.digests.isdisjoint(images)


TITLES = {"spdx": "SPDX", "cyclonedx": "CycloneDX", "syft": "Syft"}


def digests_in(words: Iterable[str]) -> frozenset[Digest]:
    """The digests among these words, each alone, behind `@`, or in a purl's version (`sha256%3A…`)."""
    found = set()
    for word in words:
        text = word.rpartition("@")[2].partition("?")[0].replace("%3A", ":").replace("%3a", ":")
        try:
            found.add(Digest.parse(text))
        except DigestInvalidError:
            continue
    return frozenset(found)


def kind_of(purl: str, otherwise: str) -> str:
    """The type of a purl (`deb`, `npm`), read off its text; `otherwise` when there is none."""
    scheme, colon, rest = purl.partition(":")
    if scheme != "pkg" or not colon:
        return otherwise
    return rest.lstrip("/").partition("/")[0].lower() or otherwise
