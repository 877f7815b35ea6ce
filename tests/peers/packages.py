"""An image of a Debian with a few packages, for programs that look at packages."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence

from peers.images import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Client,
    Pushed,
    descriptor,
    digest_of,
)

FILES = {
    "etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n',
    "etc/debian_version": "12.5\n",
    "var/lib/dpkg/status": "Package: openssl\nStatus: install ok installed\nVersion: 3.0.11-1~deb12u2\n"
    "Architecture: amd64\nMaintainer: x\nDescription: x\n\n",
    "usr/lib/python3/dist-packages/requests-2.31.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: requests\n"
    "Version: 2.31.0\nLicense: Apache-2.0\n",
}


def push_packages(
    host: str,
    repository: str,
    *,
    architectures: Sequence[str] = ("amd64",),
    docker: bool = False,
    files: Mapping[str, str] = FILES,
) -> Pushed:
    """An image with packages, or an index of some."""
    client = Client(host)
    children = []
    for architecture in architectures:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, text in (dict(files) | {"etc/arch": architecture}).items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                tar.addfile(entry, io.BytesIO(text.encode()))
        layer = gzip.compress(buffer.getvalue(), mtime=0)
        rootfs = {"type": "layers", "diff_ids": [digest_of(buffer.getvalue())]}
        config = json.dumps({"architecture": architecture, "os": "linux", "config": {}, "rootfs": rootfs}).encode()
        kinds = (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER) if docker else (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER)
        for blob in (config, layer):
            client.put_blob(repository, blob)
        document = {
            "schemaVersion": 2, "mediaType": kinds[0],
            "config": descriptor(kinds[1], config), "layers": [descriptor(kinds[2], layer)],
        }  # fmt: skip
        raw = json.dumps(document).encode()
        digest = client.put_manifest(repository, "v1", raw, kinds[0])
        children.append(Pushed(host, repository, "v1", kinds[0], digest, raw, {}))
    if len(children) == 1:
        return children[0]
    entries = [
        descriptor(child.media_type, child.raw, platform={"os": "linux", "architecture": architecture})
        for child, architecture in zip(children, architectures, strict=True)
    ]
    kind = DOCKER_LIST if docker else OCI_INDEX
    raw = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
    digest = client.put_manifest(repository, "v1", raw, kind)
    return Pushed(host, repository, "v1", kind, digest, raw, {}, tuple(children))
