"""What differs between two SBOMs, whatever their formats (`sbom diff`). Pure.

Packages are the same by their purl without version and qualifiers, or by kind and name where there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sealgate.sbom.document import Package, Sbom


class Change(NamedTuple):
    """One package that differs."""

    kind: str
    name: str
    before: tuple[str, ...]
    """Versions, or licenses."""
    after: tuple[str, ...]


class Difference(NamedTuple):
    """What differs, each list sorted by kind and name."""

    added: tuple[Change, ...]
    removed: tuple[Change, ...]
    changed: tuple[Change, ...]
    """Packages of which there are other versions now; `before` and `after` have what the other side has not."""
    licenses: tuple[Change, ...]

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return any(self)


class _Side(NamedTuple):
    versions: set[str]
    licenses: set[str]


def compare(before: Sbom, after: Sbom) -> Difference:
    """From `before` to `after`."""
    old, new = _grouped(before.packages), _grouped(after.packages)
    added = [Change(*key, (), _sorted(new[key].versions)) for key in sorted(new.keys() - old.keys())]
    removed = [Change(*key, _sorted(old[key].versions), ()) for key in sorted(old.keys() - new.keys())]
    changed, licenses = [], []
    for key in sorted(old.keys() & new.keys()):
        left, right = old[key], new[key]
        if left.versions != right.versions:
            changed.append(
                Change(*key, _sorted(left.versions - right.versions), _sorted(right.versions - left.versions))
            )
        if left.licenses != right.licenses:
            licenses.append(Change(*key, _sorted(left.licenses), _sorted(right.licenses)))
    return Difference(tuple(added), tuple(removed), tuple(changed), tuple(licenses))


def _sorted(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(words))


def _grouped(packages: Iterable[Package]) -> dict[tuple[str, str], _Side]:
    found: dict[tuple[str, str], _Side] = {}
    for package in packages:
        side = found.setdefault(_identity(package), _Side(set(), set()))
        side.versions.add(package.version)
        side.licenses.update(package.licenses)
    return found


def _identity(package: Package) -> tuple[str, str]:
    if package.purl:
        from packageurl import PackageURL

        try:
            purl = PackageURL.from_string(package.purl)
        except ValueError:
            pass
        else:
            return purl.type, f"{purl.namespace}/{purl.name}" if purl.namespace else purl.name
    return package.kind, package.name
