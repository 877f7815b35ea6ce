"""Indexes with attestations as BuildKit leaves them, made by hand after docs/attestations/attestation-storage.md of
moby/buildkit: no BuildKit runs here."""

from __future__ import annotations

import json
from typing import NamedTuple

from peers.attachments import add_to_fallback
from peers.images import OCI_INDEX, OCI_MANIFEST, Client, Pushed, descriptor, digest_of, push_image

IN_TOTO = "application/vnd.in-toto+json"
ARTIFACT_TYPE = "application/vnd.docker.attestation.manifest.v1+json"
SPDX = "https://spdx.dev/Document"
SLSA = "https://slsa.dev/provenance/v0.2"
SBOM = {
    "SPDXID": "SPDXRef-DOCUMENT",
    "spdxVersion": "SPDX-2.3",
    "name": "sbom",
    "dataLicense": "CC0-1.0",
    "documentNamespace": "https://example.com/sbom",
    "creationInfo": {"created": "2026-01-01T00:00:00Z", "creators": ["Tool: buildkit-v0.17.0"]},
    "packages": [
        {
            "name": "busybox",
            "SPDXID": "SPDXRef-Package-busybox",
            "versionInfo": "1.36.1-r5",
            "downloadLocation": "NOASSERTION",
            "externalRefs": [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": "pkg:apk/alpine/busybox@1.36.1-r5",
                }
            ],
        }
    ],
}
PROVENANCE = {"builder": {"id": ""}, "buildType": "https://mobyproject.org/buildkit@v1", "materials": [], "x": 1.50}


class Built(NamedTuple):
    """What was pushed."""

    index: Pushed
    """Its children are the images; the attestation manifests are not among them."""
    attestations: tuple[str, ...]
    """Digests of the attestation manifests, one an image."""
    statements: tuple[tuple[bytes, ...], ...]
    """The Statements in each of them."""


def statement(subject: str, predicate_type: str, predicate: dict, *, name: str = "pkg:docker/app@1") -> bytes:
    """As BuildKit writes it: v0.1, indented."""
    algorithm, _, value = subject.partition(":")
    document = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": predicate_type,
        "subject": [{"name": name, "digest": {algorithm: value}}],
        "predicate": predicate,
    }
    return json.dumps(document, indent=2).encode()


def push_built(
    host: str,
    repository: str,
    tag: str = "latest",
    *,
    artifact: bool = False,
    said=lambda image: (statement(image, SPDX, SBOM), statement(image, SLSA, PROVENANCE)),
    filed=lambda image: image,
    types=(SPDX, SLSA),
) -> Built:
    """An index of two images with an attestation manifest each.

    `artifact`: with artifactType and subject, as newer versions write it. `said` gives the Statements about an image,
    `filed` the digest under which they are filed, `types` the annotations of the layers.
    """
    client = Client(host)
    plain = push_image(host, repository, None, kind="index")
    entries = plain.document["manifests"]
    manifests, statements = [], []
    for child in plain.children:
        contents = said(child.digest)
        config = b"{}" if artifact else json.dumps(
            {"architecture": "unknown", "os": "unknown", "config": {},
             "rootfs": {"type": "layers", "diff_ids": [digest_of(each) for each in contents]}}
        ).encode()  # fmt: skip
        for blob in (config, *contents):
            client.put_blob(repository, blob)
        config_type = "application/vnd.oci.empty.v1+json" if artifact else "application/vnd.oci.image.config.v1+json"
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(config_type, config),
            "layers": [
                descriptor(IN_TOTO, each, annotations={"in-toto.io/predicate-type": kind})
                for each, kind in zip(contents, types, strict=True)
            ],
        }
        if artifact:
            document["artifactType"] = ARTIFACT_TYPE
            document["subject"] = descriptor(child.media_type, child.raw)
        raw = json.dumps(document).encode()
        manifests.append(client.put_manifest(repository, None, raw, OCI_MANIFEST))
        statements.append(contents)
        if artifact and client.request("GET", f"/v2/{repository}/referrers/{child.digest}").status == 404:
            add_to_fallback(client, child, descriptor(OCI_MANIFEST, raw, artifactType=ARTIFACT_TYPE))
        entries.append(
            descriptor(
                OCI_MANIFEST, raw,
                annotations={
                    "vnd.docker.reference.digest": filed(child.digest),
                    "vnd.docker.reference.type": "attestation-manifest",
                },
                platform={"architecture": "unknown", "os": "unknown"},
            )
        )  # fmt: skip
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    digest = client.put_manifest(repository, tag, raw, OCI_INDEX)
    index = Pushed(host, repository, tag, OCI_INDEX, digest, raw, {}, plain.children)
    return Built(index, tuple(manifests), tuple(statements))
