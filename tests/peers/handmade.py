"""Signatures made by hand, without a line of the product's code: what cosign writes, and what it merely tolerates.

`key` is a private key of `cryptography` (ECDSA), so that the bytes that are signed are the test's own.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from peers.images import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Client, Pushed

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
EMPTY = "application/vnd.oci.empty.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
IN_TOTO = "application/vnd.in-toto+json"


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """What stands in cosign.pub."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def ecdsa(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """ASN.1 DER, SHA-256."""
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


def hint(key: ec.EllipticCurvePrivateKey) -> str:
    """base64(SHA-256(SPKI))."""
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


# -- legacy


def payload(image: Pushed, /, **changes: Any) -> dict:
    """A simple-signing payload; `changes` replace members of `critical`, `optional` the annotations."""
    optional = changes.pop("optional", None)
    critical = {
        "identity": {"docker-reference": image.name},
        "image": {"docker-manifest-digest": image.digest},
        "type": "cosign container image signature",
    } | changes
    return {"critical": critical, "optional": optional}


def attach_legacy(
    image: Pushed,
    signed: bytes,
    signature: bytes | str,
    *,
    layer_type: str = SIMPLE_SIGNING,
    config: bytes = b"{}",
    config_type: str = OCI_CONFIG,
    annotations: dict | None = None,
    auth: tuple[str, str] | None = None,
) -> None:
    """Put a `.sig` manifest with one layer on the image's tag."""
    client = Client(image.host, auth=auth)
    text = signature if isinstance(signature, str) else base64.b64encode(signature).decode()
    layer = {
        "mediaType": layer_type,
        "size": len(signed),
        "digest": client.put_blob(image.repository, signed),
        "annotations": {SIGNATURE: text} | (annotations or {}),
    }
    described = {"mediaType": config_type, "size": len(config), "digest": client.put_blob(image.repository, config)}
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": [layer]}
    client.put_manifest(image.repository, tag(image) + ".sig", json.dumps(manifest).encode(), OCI_MANIFEST)


# -- bundles


def statement(image: Pushed, **changes: Any) -> dict:
    """The statement of an image signature; `changes` replace its members."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": image.digest.partition(":")[2]}, "annotations": {}}],
        "predicateType": SIGN_PREDICATE,
        "predicate": {},
    } | changes


def pae(payload_type: str, body: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(body), body)


def bundle(key: ec.EllipticCurvePrivateKey, body: bytes, **changes: Any) -> dict:
    """A bundle of a signed statement; `changes` replace its members."""
    signature = base64.b64encode(ecdsa(key, pae(IN_TOTO, body))).decode()
    return {
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": hint(key)}},
        "dsseEnvelope": {
            "payload": base64.b64encode(body).decode(),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": signature}],
        },
    } | changes


def attach_bundle(
    image: Pushed,
    content: dict | bytes,
    *,
    subject: Pushed | None = None,
    layer_type: str = BUNDLE,
    manifest: dict | None = None,
    entry: dict | None = None,
    drop: tuple[str, ...] = (),
    more_entries: tuple[dict, ...] = (),
) -> None:
    """Put a bundle's manifest up and write the image's fallback index.

    `manifest` and `entry` replace members of the manifest and of its index entry; `drop` removes members of both.
    """
    client = Client(image.host)
    raw = content if isinstance(content, bytes) else json.dumps(content, separators=(",", ":")).encode()
    layer = {"mediaType": layer_type, "size": len(raw), "digest": client.put_blob(image.repository, raw)}
    of = subject or image
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": EMPTY, "size": 2, "digest": client.put_blob(image.repository, b"{}")},
        "layers": [layer],
        "subject": {"mediaType": of.media_type, "size": len(of.raw), "digest": of.digest},
        "artifactType": BUNDLE,
    } | (manifest or {})
    body = json.dumps({name: value for name, value in document.items() if name not in drop}).encode()
    digest = client.put_manifest(image.repository, None, body, OCI_MANIFEST)
    listed = {"mediaType": OCI_MANIFEST, "size": len(body), "digest": digest, "artifactType": BUNDLE} | (entry or {})
    listed = {name: value for name, value in listed.items() if name not in drop}
    put_index(image, [*more_entries, listed])


def put_index(image: Pushed, entries: list[dict]) -> None:
    """Write the image's fallback index."""
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    Client(image.host).put_manifest(image.repository, tag(image), index, OCI_INDEX)


def tag(image: Pushed) -> str:
    """The fallback tag of the image; with `.sig` at its end that of its signatures."""
    return image.digest.replace(":", "-")
