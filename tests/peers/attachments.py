"""What hangs on images, put there without a line of the product's code."""

from __future__ import annotations

import json

from peers.images import Client, Pushed, digest_of

COSIGN_OFFLINE = ("--use-signing-config=false", "--tlog-upload=false", "-y")
"""cosign 3.1.1 signs with a key and asks no service."""


def attach_artifact(client: Client, image: Pushed, kind: str, body: bytes, *, tag: str | None = None) -> str:
    """An artifact of another tool, as a referrer; in the fallback index of a registry without the API."""
    config = b"{}"
    client.put_blob(image.repository, config)
    client.put_blob(image.repository, body)
    subject = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.raw)}
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": kind,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(config), "size": 2},
        "layers": [{"mediaType": kind, "digest": digest_of(body), "size": len(body)}],
        "subject": subject,
    }
    raw = json.dumps(document).encode()
    digest = client.put_manifest(image.repository, tag, raw, document["mediaType"])
    if client.request("GET", f"/v2/{image.repository}/referrers/{image.digest}").status == 404:
        add_to_fallback(client, image, {"mediaType": document["mediaType"], "digest": digest, "size": len(raw),
                                        "artifactType": kind})  # fmt: skip
    return digest


def fallback_tag(image: Pushed) -> str:
    return image.digest.replace(":", "-")


def add_missing_to_fallback(client: Client, image: Pushed) -> str:
    """List something in the fallback index and delete it then: the registry does not take an index of what is not there."""
    from peers.images import push_image

    gone = push_image(client.host, image.repository, None)
    add_to_fallback(client, image, {"mediaType": gone.media_type, "digest": gone.digest, "size": len(gone.raw)})
    client.request("DELETE", f"/v2/{image.repository}/manifests/{gone.digest}")
    return gone.digest


def add_to_fallback(client: Client, image: Pushed, entry: dict) -> None:
    answer = client.get_manifest(image.repository, fallback_tag(image))
    index = json.loads(answer.body) if answer.status == 200 else {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}  # fmt: skip
    index["manifests"].append(entry)
    client.put_manifest(image.repository, fallback_tag(image), json.dumps(index).encode(), index["mediaType"])
