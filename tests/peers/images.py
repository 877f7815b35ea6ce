"""Small images, put on a registry by plain HTTP, without a line of the product's code."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import io
import json
import secrets
import ssl
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import pytest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
MANIFEST_TYPES = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)

Kind = Literal["image", "index", "docker", "docker-list"]


class Answer(NamedTuple):
    """What the registry said."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Pushed(NamedTuple):
    """An image or index as it lies on the registry."""

    host: str
    repository: str
    tag: str
    media_type: str
    digest: str
    raw: bytes
    blobs: dict[str, bytes]
    """Config and layers of an image, by digest."""
    children: tuple[Pushed, ...] = ()
    """The images of an index: linux/amd64, linux/arm64."""

    @property
    def name(self) -> str:
        """`host/repository`"""
        return f"{self.host}/{self.repository}"

    @property
    def tagged(self) -> str:
        """`host/repository:tag`"""
        return f"{self.name}:{self.tag}"

    @property
    def reference(self) -> str:
        """`host/repository@digest`"""
        return f"{self.name}@{self.digest}"

    @property
    def document(self) -> dict:
        """The manifest, parsed."""
        return json.loads(self.raw)


class Client:
    """One registry over plain HTTP (or TLS, with `ca`), just enough to push and to look."""

    def __init__(
        self,
        host: str,
        *,
        auth: tuple[str, str] | None = None,
        ca: Path | None = None,
        client: tuple[Path, Path] | None = None,
    ) -> None:
        self.host = host
        self._headers = {}
        if auth is not None:
            self._headers["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        self._tls = None
        if ca is not None:
            self._tls = ssl.create_default_context(cafile=str(ca))
            if client is not None:
                self._tls.load_cert_chain(*client)

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """One request, one connection."""
        if self._tls is not None:
            connection = http.client.HTTPSConnection(self.host, timeout=30, context=self._tls)
        else:
            connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.request(method, path, body or None, self._headers | dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def put_blob(self, repository: str, data: bytes) -> str:
        """Push a blob, return its digest."""
        digest = digest_of(data)
        begun = self._expect(202, self.request("POST", f"/v2/{repository}/blobs/uploads/", headers=_EMPTY))
        where = urlsplit(begun.headers["location"])
        query = "&".join(filter(None, [where.query, f"digest={digest}"]))
        octets = {"Content-Type": "application/octet-stream", "Content-Length": str(len(data))}
        self._expect(201, self.request("PUT", f"{where.path}?{query}", data, octets))
        return digest

    def put_manifest(self, repository: str, which: str | None, raw: bytes, media_type: str) -> str:
        """Push a manifest under a tag, or by its digest when `which` is None; return its digest."""
        digest = digest_of(raw)
        path = f"/v2/{repository}/manifests/{which or digest}"
        self._expect(201, self.request("PUT", path, raw, {"Content-Type": media_type}))
        return digest

    def get_manifest(self, repository: str, which: str) -> Answer:
        """A manifest by tag or digest, whatever the status."""
        path = f"/v2/{repository}/manifests/{which}"
        return self.request("GET", path, headers={"Accept": ", ".join(MANIFEST_TYPES)})

    def get_blob(self, repository: str, digest: str) -> Answer:
        """A blob, whatever the status."""
        return self.request("GET", f"/v2/{repository}/blobs/{digest}")

    def tags(self, repository: str) -> list[str]:
        """All tags of a repository."""
        answer = self.request("GET", f"/v2/{repository}/tags/list")
        return [] if answer.status == 404 else json.loads(self._expect(200, answer).body)["tags"] or []

    def _expect(self, status: int, answer: Answer) -> Answer:
        if answer.status != status:
            pytest.fail(f"the registry {self.host} answers {answer.status}, not {status}: {answer.body[:300]!r}")
        return answer


_EMPTY = {"Content-Length": "0"}


def digest_of(data: bytes) -> str:
    """`sha256:hex`"""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def descriptor(media_type: str, data: bytes, **more: object) -> dict:
    """An OCI descriptor of `data`."""
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)} | more


def push_image(
    host: str,
    repository: str = "test/image",
    tag: str = "latest",
    *,
    kind: Kind = "image",
    auth: tuple[str, str] | None = None,
    ca: Path | None = None,
) -> Pushed:
    """Put a small image on a registry, other bytes at each call.

    `kind`: `image` (OCI), `index` (OCI, of linux/amd64 and linux/arm64), `docker` (schema 2) or `docker-list`.
    """
    client = Client(host, auth=auth, ca=ca)
    if kind in {"image", "docker"}:
        return _push_one(client, repository, tag, docker=kind == "docker", architecture="amd64")
    docker = kind == "docker-list"
    children = tuple(
        _push_one(client, repository, None, docker=docker, architecture=name) for name in ("amd64", "arm64")
    )
    entries = [
        descriptor(child.media_type, child.raw, platform={"architecture": name, "os": "linux"})
        for child, name in zip(children, ("amd64", "arm64"), strict=True)
    ]
    media_type = DOCKER_LIST if docker else OCI_INDEX
    raw = _json({"schemaVersion": 2, "mediaType": media_type, "manifests": entries})
    digest = client.put_manifest(repository, tag, raw, media_type)
    return Pushed(host, repository, tag, media_type, digest, raw, {}, children)


def push_index_of(inner: Pushed, tag: str = "outer", **lies: object) -> Pushed:
    """Put an index with one entry, `inner`, into its repository; `lies` replace fields of the entry."""
    entry = descriptor(inner.media_type, inner.raw) | lies
    raw = _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]})
    digest = Client(inner.host).put_manifest(inner.repository, tag, raw, OCI_INDEX)
    return Pushed(inner.host, inner.repository, tag, OCI_INDEX, digest, raw, {}, (inner,))


def _push_one(client: Client, repository: str, tag: str | None, *, docker: bool, architecture: str) -> Pushed:
    tar = _layer(secrets.token_hex(16))
    layer = gzip.compress(tar, mtime=0)
    config = _json(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar)]},
            "history": [{"created_by": "tests"}],
        }
    )
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    raw = _json(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": descriptor(DOCKER_CONFIG if docker else OCI_CONFIG, config),
            "layers": [descriptor(DOCKER_LAYER if docker else OCI_LAYER, layer)],
        }
    )
    blobs = {client.put_blob(repository, data): data for data in (config, layer)}
    digest = client.put_manifest(repository, tag, raw, media_type)
    return Pushed(client.host, repository, tag or "", media_type, digest, raw, blobs)


def _layer(text: str) -> bytes:
    """A tar with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("hello")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode("ascii")))
    return buffer.getvalue()


def _json(document: dict) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("utf-8")
