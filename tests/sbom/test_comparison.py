"""What differs between two SBOMs, whatever their formats."""

from pathlib import Path

from sealgate.sbom import reading
from sealgate.sbom.comparison import Change, compare
from sealgate.sbom.document import Package

DOCUMENTS = Path(__file__).parent / "documents"


def sbom(*packages):
    empty = reading.read((DOCUMENTS / "vendoring.cdx.json").read_bytes(), what="it")
    return empty._replace(packages=packages)


def npm(name, version, *licenses):
    return Package(name, version, f"pkg:npm/{name}@{version}", licenses, kind="npm")


def test_added_removed_changed_and_licenses():
    found = compare(
        sbom(npm("a", "1", "MIT"), npm("b", "1"), npm("c", "1"), npm("d", "1", "MIT")),
        sbom(npm("a", "2", "MIT"), npm("c", "1"), npm("d", "1", "GPL-3.0-only"), npm("e", "5")),
    )
    assert found.added == (Change("npm", "e", (), ("5",)),)
    assert found.removed == (Change("npm", "b", ("1",), ()),)
    assert found.changed == (Change("npm", "a", ("1",), ("2",)),)
    assert found.licenses == (Change("npm", "d", ("MIT",), ("GPL-3.0-only",)),)
    assert found.differs


def test_several_versions_at_once_show_what_the_other_side_has_not():
    found = compare(sbom(npm("a", "1"), npm("a", "2")), sbom(npm("a", "2"), npm("a", "3")))
    assert found.changed == (Change("npm", "a", ("1",), ("3",)),)


def test_the_same_name_in_two_ecosystems_is_two_packages():
    other = Package("a", "1", "pkg:deb/debian/a@1", (), kind="deb")
    found = compare(sbom(npm("a", "1")), sbom(other))
    assert [change.kind for change in (*found.added, *found.removed)] == ["deb", "npm"]


def test_packages_without_a_purl_are_the_same_by_kind_and_name():
    old, new = (Package("a", version, purl, (), kind="library") for version, purl in (("1", ""), ("2", "pkg:junk")))
    assert compare(sbom(old), sbom(new)).changed == (Change("library", "a", ("1",), ("2",)),)


def test_syft_says_the_same_in_every_format():
    one = reading.read((DOCUMENTS / "syft.spdx.json").read_bytes(), what="it")
    for name in ("syft.spdx", "syft-2.2.spdx.json", "syft.syft.json"):
        other = reading.read((DOCUMENTS / name).read_bytes(), what="it")
        assert not compare(one, other).differs
    cyclonedx = reading.read((DOCUMENTS / "syft.cdx.json").read_bytes(), what="it")
    # The distribution itself is a component there.
    assert compare(one, cyclonedx).added == (Change("operating-system", "debian", (), ("12",)),)
    assert len(compare(one, cyclonedx)) == 4
    assert not any(compare(one, cyclonedx)[1:])
