"""Images that real clients signed keyless (tests/trust/recorded), put into OCI layouts as they lay in their registry."""

import hashlib
import json
from pathlib import Path

RECORDED = Path(__file__).resolve().parents[1] / "trust" / "recorded"
"""Bundles, certificates and a trust root of real clients; `INDEX.md` says which."""


def text(case: str, name: str) -> str:
    """A small file of a case, without line ends."""
    return (RECORDED / case / name).read_text().strip()


def layout(case: str, folder: Path, *, tag: str = "recorded") -> tuple[str, str]:
    """The image of a case and all that is attached to it, as a layout in `folder`; its `oci:` name, and its digest."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def put(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return f"sha256:{digest}"

    files = {path.name: path.read_bytes() for path in (RECORDED / case).iterdir()}
    for name, data in files.items():
        if not name.endswith((".txt", ".pem", ".b64", "annotations.json", "rekor-bundle.json", "timestamp.json")):
            put(data)
    put(b"{}")
    digest = put(files["subject.manifest.json"])
    entries = [_entry(files["subject.manifest.json"], tag)]
    for name, suffix in (("sig.manifest.json", "sig"), ("att.manifest.json", "att")):
        if name in files:
            entries.append(_entry(files[name], f"{digest.replace(':', '-')}.{suffix}"))
    if "referrers-index.json" in files:
        entries.append(_entry(files["referrers-index.json"], digest.replace(":", "-")))
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    (folder / "index.json").write_text(json.dumps(index))
    return f"oci:{folder}:{tag}", digest


def _entry(manifest: bytes, tag: str) -> dict[str, object]:
    return {
        "mediaType": json.loads(manifest)["mediaType"],
        "digest": f"sha256:{hashlib.sha256(manifest).hexdigest()}",
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": tag},
    }
