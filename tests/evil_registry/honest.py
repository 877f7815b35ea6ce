"""A small honest OCI registry in memory (distribution specification 1.1), as the ground on which tests lie.

Not for anything but tests: no ranges, no locks beyond one, uploads of any size in memory.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import uuid
from typing import Any, NamedTuple

from evil_registry.messages import Answer, Seen, error_answer, json_answer

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"

_NAME = r"/v2/(?P<name>[a-z0-9._/-]+?)"
_ROUTES = [
    (re.compile(r"/v2/?"), "_base"),
    (re.compile(_NAME + r"/manifests/(?P<which>[^/]+)"), "_manifests"),
    (re.compile(_NAME + r"/blobs/uploads/?"), "_begin"),
    (re.compile(_NAME + r"/blobs/uploads/(?P<upload>[^/]+)"), "_upload"),
    (re.compile(_NAME + r"/blobs/(?P<which>[^/]+)"), "_blobs"),
    (re.compile(_NAME + r"/tags/list"), "_tags"),
    (re.compile(_NAME + r"/referrers/(?P<which>[^/]+)"), "_referrers"),
]


class Stored(NamedTuple):
    """A manifest: its media type and bytes."""

    media_type: str
    raw: bytes

    @property
    def digest(self) -> str:
        """`sha256:…`."""
        return digest_of(self.raw)

    @property
    def document(self) -> dict[str, Any]:
        """Parsed."""
        return json.loads(self.raw)

    def descriptor(self) -> dict[str, Any]:
        """As a subject or index entry has it."""
        return {"mediaType": self.media_type, "size": len(self.raw), "digest": self.digest}


def digest_of(data: bytes) -> str:
    """`sha256:…` of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class HonestRegistry:
    """Answers requests; tests fill it with `put_blob`, `put_manifest`, `put_image` and look at `manifests`, `tags`, `blobs`."""

    def __init__(self, *, referrers_api: bool = True) -> None:
        self.referrers_api = referrers_api
        self.blobs: dict[tuple[str, str], bytes] = {}
        """(repository, digest) → bytes."""
        self.manifests: dict[tuple[str, str], Stored] = {}
        """(repository, digest) → manifest, oldest first."""
        self.tags: dict[tuple[str, str], str] = {}
        """(repository, tag) → digest."""
        self._uploads: dict[str, bytes] = {}
        self._lock = threading.RLock()

    # -- for tests

    def put_blob(self, repository: str, data: bytes, media_type: str = LAYER) -> dict[str, Any]:
        """Store a blob; its descriptor."""
        self.blobs[repository, digest_of(data)] = data
        return {"mediaType": media_type, "size": len(data), "digest": digest_of(data)}

    def put_manifest(
        self, repository: str, document: dict[str, Any] | bytes, tag: str | None = None, media_type: str = MANIFEST
    ) -> Stored:
        """Store a manifest (bytes as they are), with a tag when given."""
        raw = document if isinstance(document, bytes) else json.dumps(document, separators=(",", ":")).encode()
        stored = Stored(media_type, raw)
        with self._lock:
            self.manifests[repository, stored.digest] = stored
            if tag is not None:
                self.tags[repository, tag] = stored.digest
        return stored

    def put_image(self, repository: str, tag: str | None = "latest", content: bytes = b"layer") -> Stored:
        """Store an image of one layer, which is `content` (no tar: nobody unpacks it)."""
        config = self.put_blob(repository, b'{"architecture":"amd64","os":"linux"}', CONFIG)
        layer = self.put_blob(repository, content)
        return self.put_manifest(
            repository, {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}, tag
        )

    def put_index(self, repository: str, children: list[Stored], tag: str | None = None) -> Stored:
        """Store an index of manifests."""
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [child.descriptor() for child in children]}
        return self.put_manifest(repository, document, tag, INDEX)

    def put_referrer(
        self, repository: str, subject: Stored, blob: bytes, *, artifact_type: str, media_type: str | None = None
    ) -> Stored:
        """Store an artifact of one blob that refers to `subject`."""
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": artifact_type,
            "config": self.put_blob(repository, b"{}", EMPTY),
            "layers": [self.put_blob(repository, blob, media_type or artifact_type)],
            "subject": subject.descriptor(),
        }
        return self.put_manifest(repository, document)

    # -- the API

    def answer(self, seen: Seen) -> Answer:
        """What the specification says."""
        for pattern, method in _ROUTES:
            matched = pattern.fullmatch(seen.path)
            if matched is not None:
                with self._lock:
                    return getattr(self, method)(seen, **matched.groupdict())
        return error_answer(404, "UNSUPPORTED")

    def _base(self, seen: Seen) -> Answer:
        return json_answer(200, {}).changed(headers={"Docker-Distribution-API-Version": "registry/2.0"})

    def _manifests(self, seen: Seen, name: str, which: str) -> Answer:
        if seen.method == "PUT":
            return self._put_manifest(seen, name, which)
        digest = which if ":" in which else self.tags.get((name, which))
        stored = self.manifests.get((name, digest or ""))
        if stored is None:
            return error_answer(404, "MANIFEST_UNKNOWN", f"{name}:{which}")
        if seen.method == "DELETE":
            if ":" in which:
                del self.manifests[name, stored.digest]
                self.tags = {key: value for key, value in self.tags.items() if (key[0], value) != (name, which)}
            else:
                del self.tags[name, which]
            return Answer(202)
        headers = (("Content-Type", stored.media_type), ("Docker-Content-Digest", stored.digest))
        return self._read(seen, headers, stored.raw)

    def _put_manifest(self, seen: Seen, name: str, which: str) -> Answer:
        try:
            document = json.loads(seen.body)
        except ValueError:
            return error_answer(400, "MANIFEST_INVALID")
        digest = digest_of(seen.body)
        if ":" in which and which != digest:
            return error_answer(400, "DIGEST_INVALID")
        for part in [document.get("config"), *document.get("layers", [])]:
            if part and (name, part["digest"]) not in self.blobs:
                return error_answer(400, "MANIFEST_BLOB_UNKNOWN", part["digest"])
        self.put_manifest(name, seen.body, None if ":" in which else which, seen.headers.get("content-type", MANIFEST))
        headers = [("Location", f"/v2/{name}/manifests/{digest}"), ("Docker-Content-Digest", digest)]
        if self.referrers_api and "subject" in document:
            headers.append(("OCI-Subject", document["subject"]["digest"]))
        return Answer(201, tuple(headers))

    def _blobs(self, seen: Seen, name: str, which: str) -> Answer:
        data = self.blobs.get((name, which))
        if data is None:
            return error_answer(404, "BLOB_UNKNOWN", which)
        if seen.method == "DELETE":
            del self.blobs[name, which]
            return Answer(202)
        headers = (("Content-Type", "application/octet-stream"), ("Docker-Content-Digest", which))
        return self._read(seen, headers, data)

    def _begin(self, seen: Seen, name: str) -> Answer:
        mount, source = seen.argument("mount"), seen.argument("from")
        if mount and source and (source, mount) in self.blobs:
            self.blobs[name, mount] = self.blobs[source, mount]
            return self._created(name, mount)
        digest = seen.argument("digest")
        if digest:
            return self._commit(name, digest, seen.body)
        upload = uuid.uuid4().hex
        self._uploads[upload] = b""
        return self._progress(202, name, upload)

    def _upload(self, seen: Seen, name: str, upload: str) -> Answer:
        if upload not in self._uploads:
            return error_answer(404, "BLOB_UPLOAD_UNKNOWN")
        if seen.method == "DELETE":
            del self._uploads[upload]
            return Answer(204)
        if seen.method == "GET":
            return self._progress(204, name, upload)
        begins = seen.headers.get("content-range", "").partition("-")[0]
        if begins and int(begins) != len(self._uploads[upload]):
            return self._progress(416, name, upload)
        self._uploads[upload] += seen.body
        if seen.method == "PATCH":
            return self._progress(202, name, upload)
        return self._commit(name, seen.argument("digest") or "", self._uploads.pop(upload))

    def _progress(self, status: int, name: str, upload: str) -> Answer:
        ends = max(len(self._uploads[upload]) - 1, 0)
        return Answer(status, (("Location", f"/v2/{name}/blobs/uploads/{upload}"), ("Range", f"0-{ends}")))

    def _commit(self, name: str, digest: str, data: bytes) -> Answer:
        algorithm, _, value = digest.partition(":")
        if algorithm not in {"sha256", "sha512"} or hashlib.new(algorithm, data).hexdigest() != value:
            return error_answer(400, "DIGEST_INVALID")
        self.blobs[name, digest] = data
        return self._created(name, digest)

    def _created(self, name: str, digest: str) -> Answer:
        return Answer(201, (("Location", f"/v2/{name}/blobs/{digest}"), ("Docker-Content-Digest", digest)))

    def _tags(self, seen: Seen, name: str) -> Answer:
        found = sorted(tag for repository, tag in self.tags if repository == name)
        if not found and not any(repository == name for repository, _ in self.manifests):
            return error_answer(404, "NAME_UNKNOWN", name)
        last, count = seen.argument("last"), seen.argument("n")
        rest = [tag for tag in found if last is None or tag > last]
        page = rest if count is None else rest[: int(count)]
        answer = json_answer(200, {"name": name, "tags": page})
        if len(page) < len(rest) and page:
            answer = answer.changed(headers={"Link": f'</v2/{name}/tags/list?n={count}&last={page[-1]}>; rel="next"'})
        return answer

    def _referrers(self, seen: Seen, name: str, which: str) -> Answer:
        if not self.referrers_api:
            return Answer(404, (("Content-Type", "text/plain; charset=utf-8"),), b"404 page not found\n")
        wanted = seen.argument("artifactType")
        found = []
        for (repository, _), stored in self.manifests.items():
            document = stored.document
            if repository != name or (document.get("subject") or {}).get("digest") != which:
                continue
            artifact_type = document.get("artifactType") or (document.get("config") or {}).get("mediaType")
            if wanted is None or artifact_type == wanted:
                entry = {**stored.descriptor(), "artifactType": artifact_type}
                if document.get("annotations"):
                    entry["annotations"] = document["annotations"]
                found.append(entry)
        answer = json_answer(200, {"schemaVersion": 2, "mediaType": INDEX, "manifests": found}, INDEX)
        return answer.changed(headers={"OCI-Filters-Applied": "artifactType"}) if wanted else answer

    def _read(self, seen: Seen, headers: tuple[tuple[str, str], ...], data: bytes) -> Answer:
        if seen.method == "HEAD":
            return Answer(200, (*headers, ("Content-Length", str(len(data)))))
        return Answer(200, headers, data)
