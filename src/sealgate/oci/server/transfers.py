"""Uploads of blobs: in one piece, in chunks, from another repository (distribution specification, "Pushing blobs")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from sealgate.errors import ContentError
from sealgate.oci.server.answers import RefusalError, empty
from sealgate.oci.server.content import body
from sealgate.oci.server.repositories import parse_digest, valid_name

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from sealgate.digest import Digest
    from sealgate.oci.server.held import Registry
    from sealgate.oci.server.repositories import Repository
    from sealgate.oci.server.uploads import Upload

_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:\*|[0-9]{1,18}))?", re.ASCII)


def _created(repository: Repository, digest: Digest) -> Response:
    headers = {"location": f"/v2/{repository.name}/blobs/{digest}", "docker-content-digest": str(digest)}
    return empty(201, headers)


async def begin(registry: Registry, request: Request, where: tuple[str, ...]) -> Response:
    """POST /v2/<name>/blobs/uploads/: begins an upload, takes a blob at once (`digest`), or from elsewhere (`mount`)."""
    repository = registry.repositories.get(where[0])
    query = request.query_params
    if "mount" in query:
        digest = parse_digest(query["mount"])
        if await run_in_threadpool(_mount, registry, repository, digest, query.get("from")):
            return _created(repository, digest)
    elif "digest" in query:
        digest = parse_digest(query["digest"])
        upload = registry.uploads.begin(repository.name)
        try:
            await upload.append(body(request), expected=None)
            await run_in_threadpool(upload.into, repository.layout, digest)
        finally:
            registry.uploads.forget(upload)
        return _created(repository, digest)
    return empty(202, registry.uploads.begin(repository.name).headers())


def _mount(registry: Registry, repository: Repository, digest: Digest, source: str | None) -> bool:
    """Take a blob from another repository; False when an upload must be begun instead."""
    if repository.layout.exists() and repository.layout.files.has_blob(digest) is not None:
        return True
    if source is None or not valid_name(source) or source == repository.name:
        return False
    try:
        other = registry.repositories.known(source)
        if other.layout.files.has_blob(digest) is None:
            return False
        repository.layout.create()
        return repository.layout.files.link_blob(digest, other.layout.files)
    except (RefusalError, ContentError):
        return False


def _check_range(request: Request, upload: Upload) -> int | None:
    """How many bytes must come, when Content-Range says where they go. Raises `RefusalError` when that is not next."""
    header = request.headers.get("content-range")
    if header is None:
        return None
    match = _CONTENT_RANGE.fullmatch(header)
    if match is None or int(match[1]) != upload.size or int(match[2]) < int(match[1]):
        raise RefusalError(
            416, "BLOB_UPLOAD_INVALID", f"the next byte is number {upload.size}", headers=upload.headers()
        )
    return int(match[2]) - int(match[1]) + 1


async def status(registry: Registry, _: Request, where: tuple[str, ...]) -> Response:
    """GET /v2/<name>/blobs/uploads/<id>"""
    repository = registry.repositories.get(where[0])
    return empty(204, registry.uploads.get(repository.name, where[1]).headers())


async def patch(registry: Registry, request: Request, where: tuple[str, ...]) -> Response:
    """PATCH /v2/<name>/blobs/uploads/<id>: the next chunk; without Content-Range, whatever comes."""
    repository = registry.repositories.get(where[0])
    upload = registry.uploads.get(repository.name, where[1])
    async with upload.lock:
        registry.uploads.get(repository.name, where[1])  # another request may have ended it meanwhile
        expected = _check_range(request, upload)
        await upload.append(body(request), expected=expected)
        return empty(202, upload.headers())


async def finish(registry: Registry, request: Request, where: tuple[str, ...]) -> Response:
    """PUT /v2/<name>/blobs/uploads/<id>?digest=…: the last chunk, or nothing more. Another digest ends the upload."""
    repository = registry.repositories.get(where[0])
    upload = registry.uploads.get(repository.name, where[1])
    if "digest" not in request.query_params:
        raise RefusalError(400, "DIGEST_INVALID", "the query has no digest")
    digest = parse_digest(request.query_params["digest"])
    async with upload.lock:
        registry.uploads.get(repository.name, where[1])  # another request may have ended it meanwhile
        expected = _check_range(request, upload) if request.headers.get("content-length") != "0" else None
        await upload.append(body(request), expected=expected)
        try:
            await run_in_threadpool(upload.into, repository.layout, digest)
        finally:
            registry.uploads.forget(upload)
    return _created(repository, digest)


async def cancel(registry: Registry, _: Request, where: tuple[str, ...]) -> Response:
    """DELETE /v2/<name>/blobs/uploads/<id>"""
    repository = registry.repositories.get(where[0])
    upload = registry.uploads.get(repository.name, where[1])
    async with upload.lock:
        registry.uploads.forget(upload)
    return empty(204, {})
