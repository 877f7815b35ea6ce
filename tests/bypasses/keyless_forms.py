"""Forms of keyless evidence, for the alteration table: each made by the trust service of the tests, each verified by a command.

A form makes evidence (`make`), lays it into files and says which command verifies it (`command`). Evidence keeps what it was
made of, so that a test can put a part of one into another, whatever the form: see `entries`, `timestamps` and `certificate`.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trust_service import authority, bundles
from trust_service.bundles import Made, simple_signing

PREDICATE = "https://example.test/predicate/v1"
IMAGE_SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
REPOSITORY = "registry.test/team/app"
_ANNOTATION = "dev.sigstore.cosign/"
_EMPTY = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}",
    "size": 2,
}


class Evidence(NamedTuple):
    """A signature with all that came along, of a form."""

    form: Form
    made: Made
    document: dict[str, Any]
    """A bundle, annotations, or cosign's old bundle."""
    content: bytes
    """What it is about: a file, the payload of an image's signature, an envelope."""

    # -- its parts, for alterations

    def changed(self, change: Callable[[dict[str, Any]], Any]) -> Evidence:
        """With a document that was changed in place."""
        document = copy.deepcopy(self.document)
        change(document)
        return self._replace(document=document)

    def with_entries_of(self, *others: Evidence) -> Evidence:
        """With the log entries of others in place of its own."""
        if self.form.holds == "bundle":
            found = [entry for other in others for entry in other.material["tlogEntries"]]
            return self.changed(lambda document: document["verificationMaterial"].update(tlogEntries=found))
        name = f"{_ANNOTATION}bundle" if self.form.holds == "annotations" else "rekorBundle"
        return self.changed(lambda document: document.update({name: others[0].document[name]}))

    def with_entry(self, change: Callable[[dict[str, Any]], Any]) -> Evidence:
        """With its log entry changed: a `TransparencyLogEntry`, or the promise of older forms."""
        if self.form.holds == "bundle":
            return self.changed(lambda document: change(document["verificationMaterial"]["tlogEntries"][0]))
        if self.form.holds == "old":
            return self.changed(lambda document: change(document["rekorBundle"]))

        def within(document: dict[str, Any]) -> None:
            entry = json.loads(document[f"{_ANNOTATION}bundle"])
            change(entry)
            document[f"{_ANNOTATION}bundle"] = json.dumps(entry)

        return self.changed(within)

    def without_entries(self) -> Evidence:
        if self.form.holds == "bundle":
            return self.changed(lambda document: document["verificationMaterial"].pop("tlogEntries"))
        name = f"{_ANNOTATION}bundle" if self.form.holds == "annotations" else "rekorBundle"
        return self.changed(lambda document: document.pop(name))

    def with_timestamps(self, *stamps: bytes) -> Evidence:
        """With these timestamps, in a bundle."""
        signed = [{"signedTimestamp": b64(stamp)} for stamp in stamps]
        data = {"rfc3161Timestamps": signed} if signed else {}
        return self.changed(lambda document: document["verificationMaterial"].update(timestampVerificationData=data))

    def with_certificates(self, *certificates: bytes) -> Evidence:
        """With other certificates: in a bundle from v0.3 on and in older forms, the first."""
        pem = authority.pem(certificates[:1])
        if self.form.holds == "annotations":
            return self.changed(lambda document: document.update({f"{_ANNOTATION}certificate": pem}))
        if self.form.holds == "old":
            return self.changed(lambda document: document.update(cert=b64(pem.encode())))
        raw = [{"rawBytes": b64(der)} for der in certificates]
        if self.form.options.get("version", "0.3") == "0.3":
            return self.changed(lambda document: document["verificationMaterial"].update(certificate=raw[0]))
        chain = {"certificates": raw}
        return self.changed(lambda document: document["verificationMaterial"].update(x509CertificateChain=chain))

    @property
    def material(self) -> dict[str, Any]:
        return self.document["verificationMaterial"]

    @property
    def raw(self) -> bytes:
        return json.dumps(self.document).encode()


class Form(NamedTuple):
    """A form of evidence."""

    name: str
    command: str
    holds: str
    """`bundle`, `annotations` or `old`: what the document is."""
    options: Mapping[str, Any]
    """Of `TrustService.make_bundle`."""

    @property
    def rekor(self) -> int:
        return self.options["rekor"]

    @property
    def managed(self) -> bool:
        return bool(self.options.get("managed"))

    @property
    def dsse(self) -> bool:
        return self.options.get("kind") == "dsse"

    def make(self, service: Any, alter: Mapping[str, Any] | None = None, **options: Any) -> Evidence:
        """Evidence by the service as it is now. `artifact`: what it is about, in whatever way the form has it."""
        artifact = options.pop("artifact", bundles.ARTIFACT)
        options = {**self.options, **options}
        digest = hashlib.sha256(image_of(artifact)).hexdigest()
        if self.command == "verify" and self.holds == "annotations":
            payload = simple_signing(REPOSITORY, f"sha256:{digest}")
            made, annotations = service.make_annotations(payload, alter=alter, **options)
            return Evidence(self, made, annotations, artifact)
        if self.command in {"verify", "verify-attestation"}:
            kind = IMAGE_SIGNATURE if self.command == "verify" else PREDICATE
            options.setdefault("statement", {
                "_type": "https://in-toto.io/Statement/v1",
                "subject": [{"name": "image", "digest": {"sha256": digest}}],
                "predicateType": kind,
                "predicate": {},
            })  # fmt: skip
        if self.holds == "annotations":
            tsa = options.pop("tsa", None)
            made = service.make_bundle(alter=alter, **options)
            layer = json.dumps(made.envelope).encode()
            hooks = service.hooks.also(alter)
            if tsa is not None:  # cosign stamps the whole layer
                at = options.get("at", service.now())
                stamp = service.tsa(tsa).stamp("sha256", hashlib.sha256(layer).digest(), at, hooks)
                made = made._replace(timestamps=(stamp,))
            return Evidence(self, made, bundles.legacy_annotations(service, layer, made, hooks), artifact)
        if self.holds == "old":
            made, document = service.make_legacy_bundle(alter=alter, artifact=artifact, **options)
            return Evidence(self, made, document, artifact)
        made = service.make_bundle(alter=alter, artifact=artifact, **options)
        return Evidence(self, made, made.bundle, artifact)

    def arguments(self, evidence: Evidence, folder: Path) -> list[str]:
        """The command that verifies it, but for who is asked for; its files are in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.command in {"verify", "verify-attestation"}:
            more = ["--type", PREDICATE] if self.command == "verify-attestation" else []
            return [self.command, *more, layout(evidence, folder)]
        (folder / "file").write_bytes(evidence.content)
        (folder / "bundle").write_bytes(evidence.raw)
        more = ["--type", PREDICATE] if self.dsse else []
        return [self.command, *more, "--bundle", str(folder / "bundle"), str(folder / "file")]


FORMS = {
    form.name: form
    for form in (
        Form("bundle-v0.1", "verify-blob", "bundle", {"rekor": 1, "version": "0.1"}),
        Form("bundle-v0.2", "verify-blob", "bundle", {"rekor": 1, "version": "0.2"}),
        Form("bundle-rekor1", "verify-blob", "bundle", {"rekor": 1}),
        Form("bundle-rekor2", "verify-blob", "bundle", {"rekor": 2}),
        Form("attestation-rekor1", "verify-blob-attestation", "bundle", {"rekor": 1, "kind": "dsse"}),
        Form("attestation-intoto", "verify-blob-attestation", "bundle", {"rekor": 1, "kind": "dsse", "entry_kind": "intoto"}),
        Form("attestation-rekor2", "verify-blob-attestation", "bundle", {"rekor": 2, "kind": "dsse"}),
        Form("attestation-dsse2", "verify-blob-attestation", "bundle", {"rekor": 2, "kind": "dsse", "entry_kind": "dsse"}),
        Form("image", "verify", "bundle", {"rekor": 2, "kind": "dsse"}),
        Form("image-attestation", "verify-attestation", "bundle", {"rekor": 1, "kind": "dsse"}),
        Form("legacy-image", "verify", "annotations", {"rekor": 1}),
        Form("legacy-attestation", "verify-attestation", "annotations", {"rekor": 1, "kind": "dsse"}),
        Form("legacy-file", "verify-blob", "old", {"rekor": 1}),
        Form("key-rekor1", "verify-blob", "bundle", {"rekor": 1, "managed": True}),
        Form("key-rekor2", "verify-blob", "bundle", {"rekor": 2, "managed": True}),
        Form("key-legacy-image", "verify", "annotations", {"rekor": 1, "managed": True}),
    )
}  # fmt: skip


def names(*, holds: str | None = None, rekor: int | None = None, managed: bool | None = None, dsse: bool | None = None) -> tuple[str, ...]:  # fmt: skip
    """The forms of that kind."""
    return tuple(
        name
        for name, form in FORMS.items()
        if (holds is None or form.holds in holds.split())
        and (rekor is None or form.rekor == rekor)
        and (managed is None or form.managed is managed)
        and (dsse is None or form.dsse is dsse)
    )


def image_of(artifact: bytes) -> bytes:
    """The manifest of an image that is about an artifact."""
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": _EMPTY["digest"], "size": 2}
    mark = {"about": hashlib.sha256(artifact).hexdigest()}
    return json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [], "annotations": mark,
    }).encode()  # fmt: skip


def layout(evidence: Evidence, folder: Path) -> str:
    """An OCI layout with an image and its evidence; the name of the image."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    put(b"{}", "")
    image = put(image_of(evidence.content), MANIFEST)
    manifest: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST, "config": _EMPTY}
    listed = [image | {"annotations": {"org.opencontainers.image.ref.name": "latest"}}]
    if evidence.form.holds == "bundle":
        manifest |= {"artifactType": BUNDLE, "layers": [put(evidence.raw, BUNDLE)], "subject": image}
        listed.append(put(json.dumps(manifest).encode(), MANIFEST))
    else:
        content, kind, suffix = evidence.made.signed, "application/vnd.dev.cosign.simplesigning.v1+json", ".sig"
        if evidence.made.envelope is not None:
            content, kind, suffix = (
                json.dumps(evidence.made.envelope).encode(),
                "application/vnd.dsse.envelope.v1+json",
                ".att",
            )
        layer = put(content, kind) | {"annotations": evidence.document}
        put_manifest = put(json.dumps(manifest | {"layers": [layer]}).encode(), MANIFEST)
        tag = image["digest"].replace(":", "-") + suffix
        listed.append(put_manifest | {"annotations": {"org.opencontainers.image.ref.name": tag}})
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": listed}
    (folder / "index.json").write_text(json.dumps(index))
    return f"oci:{folder}:latest"


def public_pem(made: Made) -> bytes:
    """The public key that signed."""
    return made.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
