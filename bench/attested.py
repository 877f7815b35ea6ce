"""What is measured of attestations and SBOMs; the rest of the cases is in `cases`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cases import Bar, Row, memory_at_most, requests_at_most
from contest import interleave

if TYPE_CHECKING:
    from cases import Scene
    from contest import Contender, Run

    from peers.images import Pushed

_OFFLINE = ("--use-signing-config=false", "--tlog-upload=false", "-y")
_TYPES = ("spdxjson", "cyclonedx", "vuln", "openvex", "slsaprovenance1")
_WANTED = "cyclonedx"
_PACKAGES = 700
"""What an image of a Debian with Python has; its SBOM is 0.8 MB."""


def verify_attestation(scene: Scene) -> Iterator[Row]:
    """One type among 20 attested by cosign, each of another type, a round trip of 50 ms."""
    types = [*_TYPES, *(f"https://example.test/kind/{number}" for number in range(20 - len(_TYPES)))]
    predicate = scene.folder / "predicate.json"
    predicate.write_text('{"bomFormat":"CycloneDX","specVersion":"1.6"}', encoding="ascii")
    for text, more in (("bundles", ()), ("legacy attestations", ("--new-bundle-format=false",))):
        image = scene.image()
        for kind in types:
            _attest(scene, [image], kind, str(predicate), *more)
        ask = ("verify-attestation", "--key", scene.public, "--type", _WANTED, scene.through(image))
        contenders = {
            "cosign": _printing(scene, [scene.cosign, *ask, "--insecure-ignore-tlog"], envelopes=1),
            "sealgate": _printing(scene, [scene.sealgate, *ask], envelopes=1),
        }
        yield Row(
            f"verify-attestation, 1 type of 20 {text}, 50 ms a request",
            interleave(contenders, 3 if scene.quick else 7),
            (seconds_at_most(0.5), requests_at_most(46)),
        )


def find_in_sboms(scene: Scene) -> Iterator[Row]:
    """A package in the attested SBOMs of 50 images, 50 ms a request. cosign cannot look: it downloads, two at once."""
    count = 10 if scene.quick else 50
    images = [scene.image() for _ in range(count)]
    for number, image in enumerate(images):
        document = scene.folder / "sbom.json"
        document.write_text(json.dumps(_sbom(number)), encoding="ascii")
        _attest(scene, [image], "spdxjson", str(document))
    listed = scene.folder / "fleet"
    listed.write_text("\n".join(scene.through(image) for image in images) + "\n", encoding="ascii")
    find = [scene.sealgate, "sbom", "find", "-o", "json", "--images-from", str(listed), "log4j-core@2.14.1"]
    kind = "--predicate-type=https://spdx.dev/Document"
    each = [scene.cosign, "download", "attestation", kind]
    contenders = {
        "cosign, xargs -P2 -n1": _printing(
            scene, ["/usr/bin/xargs", "-a", str(listed), "-P2", "-n1", *each], envelopes=count, memory=True
        ),
        "sealgate": _finding(scene, find, count),
    }
    yield Row(
        f"sbom find in {count} images, against `cosign download` alone, 50 ms a request",
        interleave(contenders, 1 if scene.quick else 3),
        (memory_at_most(200),),
        peer="cosign, xargs -P2 -n1",
    )


def seconds_at_most(seconds: float) -> Bar:
    return Bar(f"≤ {seconds * 1000:.0f} ms", lambda row: row.ours.median <= seconds)


def _attest(scene: Scene, images: list[Pushed], kind: str, predicate: str, *more: str) -> None:
    """By cosign."""
    command = [scene.cosign, "attest", "--key", scene.key, *_OFFLINE, *more, "--type", kind, "--predicate", predicate]
    for image in images:
        scene.machine.run([*command, image.reference])


def _printing(scene: Scene, command: list[str], *, envelopes: int, memory: bool = False) -> Contender:
    """Runs it, and looks that it printed so many envelopes, one a line."""

    def contend(_: int) -> Run:
        scene.slow.reset()
        run = scene.machine.run(command, memory=memory)
        if (printed := run.stdout.count(b'"payloadType"')) != envelopes:
            raise RuntimeError(f"{' '.join(command[:6])} … printed {printed} envelopes, not {envelopes}")
        return run._replace(requests=scene.slow.requests)

    return contend


def _finding(scene: Scene, command: list[str], images: int) -> Contender:
    """Every image has the package that is looked for."""

    def contend(_: int) -> Run:
        scene.slow.reset()
        run = scene.machine.run(command, memory=True)
        if (found := run.stdout.count(b'"2.14.1"')) < images:
            raise RuntimeError(f"{found} of {images} images were found")
        return run._replace(requests=scene.slow.requests)

    return contend


def _sbom(number: int) -> dict[str, object]:
    """SPDX 2.3 as Syft writes it, of an image with many packages, one of them Log4j."""
    packages = [
        _package(f"lib-{number}-{each}", f"1.{each}.0", f"pkg:deb/debian/lib-{number}-{each}@1.{each}.0?arch=amd64")
        for each in range(_PACKAGES - 1)
    ]
    packages.append(_package("log4j-core", "2.14.1", "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1"))
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"image-{number}",
        "documentNamespace": f"https://example.test/{number}",
        "creationInfo": {"creators": ["Tool: syft"], "created": "2026-01-01T00:00:00Z"},
        "packages": packages,
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relatedSpdxElement": package["SPDXID"],
                "relationshipType": "DESCRIBES",
            }
            for package in packages
        ],
    }


def _package(name: str, version: str, purl: str) -> dict[str, object]:
    return {
        "name": name,
        "SPDXID": f"SPDXRef-Package-{name}",
        "versionInfo": version,
        "supplier": "Person: somebody who maintains it (somebody@example.test)",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "sourceInfo": f"acquired package info from DPKG DB: /usr/share/doc/{name}/copyright, /var/lib/dpkg/status",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "GPL-2.0-only AND LGPL-2.1-or-later AND LicenseRef-public-domain",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            *(
                {
                    "referenceCategory": "SECURITY",
                    "referenceType": "cpe23Type",
                    "referenceLocator": f"cpe:2.3:a:{vendor}:{name}:{version}:*:*:*:*:*:*:*",
                }
                for vendor in (name, name.replace("-", "_"), "debian")
            ),
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl},
        ],
    }
