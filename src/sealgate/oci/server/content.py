"""Manifests and blobs: giving, taking and deleting them (distribution specification, "Pull", "Push", "Content Management")."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import ContentError, DigestMismatchError
from sealgate.oci import manifest
from sealgate.oci.layout_files import CHUNK
from sealgate.oci.layout_index import REF_NAME
from sealgate.oci.server.answers import VERSION, RefusalError, empty
from sealgate.oci.server.repositories import check_tag, parse_digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from sealgate.oci.layout import Layout
    from sealgate.oci.server.held import Registry
    from sealgate.oci.store import Manifest

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)
_FOREIGN = ("nondistributable", "foreign")
"""Parts of the media types of layers that registries need not hold."""


async def body(request: Request) -> AsyncIterator[bytes]:
    """The request's body, piece by piece. Raises `RefusalError` when the next piece does not come."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(limits.BODY_SECONDS):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise RefusalError(408, "BLOB_UPLOAD_INVALID", "the body did not come in time") from None
        yield chunk


# -- manifests


def _unknown(which: str) -> RefusalError:
    return RefusalError(404, "MANIFEST_UNKNOWN", "there is no such manifest", detail={"reference": which[:300]})


def _which(text: str) -> str | Digest:
    return parse_digest(text) if ":" in text else check_tag(text, _unknown(text))


async def get_manifest(registry: Registry, request: Request, where: tuple[str, ...]) -> Response:
    """GET and HEAD /v2/<name>/manifests/<reference>"""
    repository, which = registry.repositories.known(where[0]), _which(where[1])
    found = await run_in_threadpool(repository.layout.get_manifest, which)
    if found is None:
        raise _unknown(where[1])
    headers = {
        **VERSION,
        "content-type": found.media_type,
        "content-length": str(found.size),
        "docker-content-digest": str(found.digest),
        "etag": f'"{found.digest}"',
    }
    return Response(b"" if request.method == "HEAD" else found.raw, headers=headers)


async def put_manifest(registry: Registry, request: Request, where: tuple[str, ...]) -> Response:
    """PUT /v2/<name>/manifests/<reference>"""
    repository = registry.repositories.get(where[0])
    invalid = RefusalError(400, "MANIFEST_INVALID", "neither a tag nor a digest", detail={"reference": where[1][:300]})
    which = parse_digest(where[1]) if ":" in where[1] else check_tag(where[1], invalid)
    raw = b""
    async for chunk in body(request):
        raw += chunk
        if len(raw) > limits.MANIFEST_BYTES:
            raise RefusalError(413, "SIZE_INVALID", f"a manifest has at most {limits.MANIFEST_BYTES} bytes")
    media_type = request.headers.get("content-type")
    found = await run_in_threadpool(_store_manifest, repository.layout, raw, media_type, which)
    headers = {
        "location": f"/v2/{repository.name}/manifests/{found.digest}",
        "docker-content-digest": str(found.digest),
    }
    subject = manifest.subject(found)
    if subject is not None and registry.referrers_api:
        headers["oci-subject"] = str(subject.digest)
    return empty(201, headers)


def _store_manifest(layout: Layout, raw: bytes, media_type: str | None, which: str | Digest) -> Manifest:
    try:
        found = manifest.parse(
            raw, media_type, expected=which if isinstance(which, Digest) else None, what="the manifest"
        )
        needed = _needed(found)
    except DigestMismatchError as error:
        raise RefusalError(400, "DIGEST_INVALID", error.message) from error
    except ContentError as error:
        raise RefusalError(400, "MANIFEST_INVALID", error.message, detail={"code": error.code}) from error
    missing = [digest for digest in needed if layout.files.has_blob(digest) is None]
    if missing:
        errors: list[dict[str, Any]] = [
            {
                "code": "MANIFEST_BLOB_UNKNOWN",
                "message": "the manifest names what the repository does not hold",
                "detail": {"digest": str(digest)},
            }
            for digest in missing[:100]
        ]
        refusal = RefusalError(400, errors[0]["code"], errors[0]["message"], detail=errors[0]["detail"])
        refusal.errors = errors
        raise refusal
    annotations = ((REF_NAME, which),) if isinstance(which, str) else ()
    layout.list_entry(found.descriptor()._replace(annotations=annotations), raw)
    return found


def _needed(found: Manifest) -> list[Digest]:
    """What must be here before the manifest: all but its subject and layers that live elsewhere."""
    config = manifest.config(found)
    parts = [*manifest.children(found), *manifest.layers(found), *((config,) if config is not None else ())]
    return list(dict.fromkeys(part.digest for part in parts if not any(word in part.media_type for word in _FOREIGN)))


async def delete_manifest(registry: Registry, _: Request, where: tuple[str, ...]) -> Response:
    """DELETE /v2/<name>/manifests/<reference>; of a tag, the manifest stays."""
    repository, which = registry.repositories.known(where[0]), _which(where[1])
    if not await run_in_threadpool(repository.layout.delete_manifest, which):
        raise _unknown(where[1])
    return empty(202, {})


# -- blobs


async def get_blob(registry: Registry, request: Request, where: tuple[str, ...]) -> Response:
    """GET and HEAD /v2/<name>/blobs/<digest>, whole or one range of it (RFC 9110 section 14)."""
    repository, digest = registry.repositories.known(where[0]), parse_digest(where[1])
    opened = await run_in_threadpool(repository.layout.files.open_blob, digest)
    if opened is None:
        raise RefusalError(404, "BLOB_UNKNOWN", "there is no such blob", detail={"digest": str(digest)})
    fd, size = opened
    headers = {
        **VERSION,
        "content-type": "application/octet-stream",
        "accept-ranges": "bytes",
        "docker-content-digest": str(digest),
        "etag": f'"{digest}"',
    }
    try:
        first, last = _range(request.headers.get("range"), size)
    except RefusalError:
        os.close(fd)
        raise
    status = 200
    if (first, last) != (0, size - 1):
        status, headers["content-range"] = 206, f"bytes {first}-{last}/{size}"
    headers["content-length"] = str(last - first + 1)
    if request.method == "HEAD":
        os.close(fd)
        return Response(status_code=status, headers=headers)
    return _BlobResponse(fd, first, last + 1, request, status, headers)


def _range(header: str | None, size: int) -> tuple[int, int]:
    """The first and last byte that are asked for. What is not one plain range means the whole."""
    match = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None or match[0] == "bytes=-":
        return 0, size - 1
    if not match[1]:
        count = int(match[2])
        first, last = max(size - count, 0), size - 1
        valid = count > 0 and size > 0
    else:
        first = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        if match[2] and int(match[2]) < first:
            return 0, size - 1
        valid = first < size
    if not valid:
        raise RefusalError(
            416, "SIZE_INVALID", "the blob does not reach there", headers={"content-range": f"bytes */{size}"}
        )
    return first, last


class _BlobResponse(Response):
    """Part of an open file. The file is closed whatever becomes of the request."""

    def __init__(self, fd: int, first: int, end: int, request: Request, status: int, headers: dict[str, str]) -> None:
        super().__init__(status_code=status, headers=headers)
        self._fd: int | None = fd
        self._offset = first
        self._end = end
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while self._fd is not None and self._offset < self._end:
                chunk = await run_in_threadpool(os.pread, self._fd, min(CHUNK, self._end - self._offset), self._offset)
                self._offset += len(chunk)
                if not chunk or await self._request.is_disconnected():
                    return  # the file was cut: the body stays short, and the client sees it
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._close()

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __del__(self) -> None:
        self._close()


async def delete_blob(registry: Registry, _: Request, where: tuple[str, ...]) -> Response:
    """DELETE /v2/<name>/blobs/<digest>"""
    repository, digest = registry.repositories.known(where[0]), parse_digest(where[1])
    await run_in_threadpool(_remove_blob, repository.layout, digest)
    return empty(202, {})


def _remove_blob(layout: Layout, digest: Digest) -> None:
    if layout.index().of(digest) is not None:
        raise RefusalError(405, "UNSUPPORTED", "it is a manifest; delete it as one", detail={"digest": str(digest)})
    if not layout.files.remove_blob(digest):
        raise RefusalError(404, "BLOB_UNKNOWN", "there is no such blob", detail={"digest": str(digest)})
