"""Lists, page by page: repositories, tags, referrers (distribution specification, "Listing Tags", "Listing Referrers")."""

from __future__ import annotations

import json
from bisect import bisect_right
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from sealgate import limits
from sealgate.oci.manifest import OCI_INDEX
from sealgate.oci.server.answers import VERSION, RefusalError
from sealgate.oci.server.repositories import is_tag, parse_digest

if TYPE_CHECKING:
    from starlette.requests import Request

    from sealgate.oci.server.held import Registry


async def catalog(registry: Registry, request: Request, _: tuple[str, ...]) -> Response:
    """GET /v2/_catalog"""
    names = await run_in_threadpool(registry.repositories.names)
    page, headers = _page(registry, request, names)
    return JSONResponse({"repositories": page}, headers=headers)


async def tags(registry: Registry, request: Request, where: tuple[str, ...]) -> Response:
    """GET /v2/<name>/tags/list"""
    repository = registry.repositories.known(where[0])
    index = await run_in_threadpool(repository.layout.index)
    page, headers = _page(registry, request, sorted(tag for tag in index.tags() if is_tag(tag)))
    return JSONResponse({"name": repository.name, "tags": page}, headers=headers)


def _page(registry: Registry, request: Request, names: list[str]) -> tuple[list[str], dict[str, str]]:
    """The page that `n` and `last` ask for, and the Link to the next one. Raises `RefusalError`."""
    asked = request.query_params.get("n")
    if asked is not None and not (asked.isascii() and asked.isdigit() and len(asked) < 10):
        raise RefusalError(400, "PAGINATION_NUMBER_INVALID", "n is not a number of entries")
    size = min(int(asked), registry.page) if asked is not None else registry.page
    first = bisect_right(names, request.query_params.get("last", "")) if "last" in request.query_params else 0
    page = names[first : first + size]
    if not page or first + size >= len(names):
        return page, dict(VERSION)
    query = urlencode({"n": size, "last": page[-1]})
    return page, {**VERSION, "link": f'<{request.scope["path"]}?{query}>; rel="next"'}


async def referrers(registry: Registry, request: Request, where: tuple[str, ...]) -> Response:
    """GET /v2/<name>/referrers/<digest>; a repository that does not exist has no referrers."""
    if not registry.referrers_api:
        raise RefusalError(404, "UNSUPPORTED", "this registry was started without the referrers API")
    repository, subject = registry.repositories.get(where[0]), parse_digest(where[1])
    found = sorted(await run_in_threadpool(repository.layout.referrers, subject), key=lambda item: item.digest)
    wanted = request.query_params.get("artifactType")
    headers = {**VERSION, "content-type": OCI_INDEX}
    query = {}
    if wanted:
        found = [item for item in found if item.artifact_type == wanted]
        headers["oci-filters-applied"] = "artifactType"
        query["artifactType"] = wanted
    last = request.query_params.get("last")
    if last is not None:
        after = parse_digest(last)
        found = [item for item in found if item.digest > after]
    page: list[dict[str, Any]] = []
    size = 200
    for item in found[: registry.page]:
        entry = item.as_json()
        size += len(json.dumps(entry)) + 1
        if page and size > limits.MANIFEST_BYTES:
            break
        page.append(entry)
    if len(page) < len(found):
        query["last"] = str(page[-1]["digest"])
        headers["link"] = f'<{quote(request.scope["path"], safe="/:")}?{urlencode(query)}>; rel="next"'
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page}).encode()
    return Response(body, headers=headers)
