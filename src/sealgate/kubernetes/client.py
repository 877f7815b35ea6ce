"""Requests to an API server, as flows: get, list, create, apply, patch, delete. Either driver runs them.

Every answer is bounded and parsed strictly; an error of the server is told in its words (they hold no secret of ours), cut.
Reads are tried again when the server is busy, as it asks; what writes is tried again only when it surely did not arrive (429).

Sources: Kubernetes, "API Concepts" (chunked lists, server-side apply), "Server-Side Apply", `metav1.Status`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from sealgate import limits, strictjson
from sealgate.errors import (
    ClusterAnswerError,
    ClusterConflictError,
    ClusterDeniedError,
    ClusterExpiredError,
    ClusterMissingError,
    ClusterRefusedError,
    ClusterUnavailableError,
    ContentError,
    SealgateError,
    UnavailableError,
)
from sealgate.kubernetes.resource import version_of
from sealgate.transport import flow
from sealgate.transport.message import Request, Response, Tls, Url

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.kubernetes.resource import Resource
    from sealgate.transport.message import Sink

FIELD_MANAGER = "sealgate"
_METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"


class Cluster(NamedTuple):
    """Where an API server is, and how one shows who one is."""

    server: Url
    """Its target is the prefix of every path: `/` nearly always."""
    tls: Tls
    token: Callable[[], str | None] | None = None
    """The bearer token of now; may block (a file is read again, a program is run). None: none, a client certificate does."""
    namespace: str = "default"
    """The namespace that is meant when none is named; inside a cluster, one's own."""

    @property
    def where(self) -> str:
        """For messages."""
        return f"the API server {self.server.authority}"


class Page(NamedTuple):
    """One page of a list."""

    items: tuple[dict[str, Any], ...]
    version: str
    """The resource version of the whole list: where a watch goes on."""


class Client:
    """Asks one API server."""

    def __init__(self, cluster: Cluster, *, user_agent: str = "sealgate", direct: bool = False) -> None:
        """`direct`: never through a proxy, whatever the driver's client would do."""
        self.cluster = cluster
        self._direct = direct
        self._agent = user_agent

    async def get(
        self, resource: Resource, namespace: str | None, name: str, *, seconds: float = 15.0
    ) -> dict[str, Any]:
        """One object. Raises `ClusterMissingError` and the other errors of `exchange`."""
        path = resource.path(namespace, name)
        return await self._object("GET", path, what=resource.title(namespace, name), seconds=seconds)

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        metadata_only: bool = False,
        query: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Page]:
        """All objects, a page at a time. Raises `ClusterExpiredError` when the list aged away between two pages: begin anew."""
        path, what = resource.path(namespace), resource.title(namespace)
        asked = {**(query or {}), "limit": str(limits.CLUSTER_PAGE)}
        seen: set[str] = set()
        for _ in range(limits.CLUSTER_PAGES):
            document = await self._object(
                "GET", path, query=asked, what=what, limit=limits.CLUSTER_LIST_BYTES, metadata_only=metadata_only
            )
            items = document.get("items")
            if items is None:
                items = []
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise ClusterAnswerError(f"{self.cluster.where} answers with something that is no list of {what}")
            # Items of a list do not say what they are; whoever takes one out of it needs that.
            named = {"apiVersion": resource.api_version, "kind": resource.kind}
            yield Page(tuple({**item, **named} for item in items), version_of(document))
            metadata = document.get("metadata")
            more = metadata.get("continue") if isinstance(metadata, dict) else None
            if not more:
                return
            if not isinstance(more, str) or more in seen:
                raise ClusterAnswerError(f"{self.cluster.where} sends pages of {what} in a circle")
            seen.add(more)
            asked["continue"] = more
        raise ClusterAnswerError(f"{self.cluster.where} has more than {limits.CLUSTER_PAGES} pages of {what}")

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        metadata_only: bool = False,
        query: Mapping[str, str] | None = None,
    ) -> Page:
        """All objects, at most `limits.CLUSTER_OBJECTS`, and the version from which a watch goes on."""
        items: list[dict[str, Any]] = []
        version = ""
        async for page in self.pages(resource, namespace, metadata_only=metadata_only, query=query):
            items += page.items
            version = page.version
            if len(items) > limits.CLUSTER_OBJECTS:
                raise ClusterAnswerError(f"there are more than {limits.CLUSTER_OBJECTS} {resource.title(namespace)}")
        return Page(tuple(items), version)

    async def create(self, resource: Resource, namespace: str | None, document: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object. Raises `ClusterConflictError` when it is there already."""
        path = resource.path(namespace)
        what = f"a new {resource.kind}"
        return await self._object("POST", path, body=document, query={"fieldManager": FIELD_MANAGER}, what=what)

    async def replace(
        self, resource: Resource, namespace: str | None, name: str, document: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Put an object in the place of the one whose `resourceVersion` it has; `ClusterConflictError` when that is gone."""
        path, what = resource.path(namespace, name), resource.title(namespace, name)
        return await self._object("PUT", path, body=document, query={"fieldManager": FIELD_MANAGER}, what=what)

    async def apply(
        self, resource: Resource, namespace: str | None, name: str, document: Mapping[str, Any], *,
        force: bool, subresource: str | None = None, manager: str = FIELD_MANAGER,
    ) -> dict[str, Any]:  # fmt: skip
        """Server-side apply: the fields that are given become ours. `force`: also those that somebody else has."""
        path, what = resource.path(namespace, name, subresource), resource.title(namespace, name)
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        content = "application/apply-patch+yaml"  # JSON is YAML; there is no other name for it before 1.33
        return await self._object("PATCH", path, body=document, query=query, what=what, content=content)

    async def merge(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        change: Mapping[str, Any],
        *,
        subresource: str | None = None,
    ) -> dict[str, Any]:
        """A JSON merge patch (RFC 7396)."""
        path, what = resource.path(namespace, name, subresource), resource.title(namespace, name)
        content = "application/merge-patch+json"
        return await self._object(
            "PATCH", path, body=change, query={"fieldManager": FIELD_MANAGER}, what=what, content=content
        )

    async def delete(self, resource: Resource, namespace: str | None, name: str) -> bool:
        """Delete an object; False when it was not there."""
        try:
            await self._object("DELETE", resource.path(namespace, name), what=resource.title(namespace, name))
        except ClusterMissingError:
            return False
        return True

    async def exchange(
        self, method: str, path: str, *, what: str, query: Mapping[str, str] | None = None, body: bytes = b"",
        headers: tuple[tuple[str, str], ...] = (), limit: int = limits.CLUSTER_OBJECT_BYTES, sink: Sink | None = None,
        seconds: float = 30.0, lasting: bool = False,
    ) -> Response:  # fmt: skip
        """One request; its answer is a 2xx. Raises `ClusterError`s, each of which says what of the cluster was asked.

        `lasting` as in `Request`.
        """
        where = self.cluster.where
        target = self.cluster.server.target.rstrip("/") + path + ("?" + urlencode(query) if query else "")
        url = self.cluster.server._replace(target=target)
        fixed = (("User-Agent", self._agent), *headers)
        pause = 0.5
        for attempt in range(limits.ATTEMPTS):
            authorization = await self._authorization()
            request = Request(
                method,
                url,
                (*fixed, *authorization),
                body,
                limit=limit,
                sink=sink,
                tls=self.cluster.tls,
                seconds=seconds,
                direct=self._direct,
                lasting=lasting,
            )
            try:
                response = await flow.send(request)
            except UnavailableError as error:
                raise ClusterUnavailableError(f"{where} cannot be asked for {what}: {error.message}") from error
            if 200 <= response.status < 300:
                return response
            busy = response.status == 429 or (method == "GET" and response.status in {500, 502, 503, 504})
            if not busy or attempt == limits.ATTEMPTS - 1:
                raise _refusal(response, where, what)
            await flow.sleep(min(_retry_after(response) or pause, limits.RETRY_AFTER_SECONDS))
            pause *= 2
        raise AssertionError  # pragma: no cover - the loop ends by returning or raising

    async def _authorization(self) -> tuple[tuple[str, str], ...]:
        token = self.cluster.token
        if token is None:
            return ()
        found = await flow.call(token)
        return (("Authorization", f"Bearer {found}"),) if found is not None else ()

    async def _object(
        self, method: str, path: str, *, what: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None,
        content: str = "application/json", limit: int = limits.CLUSTER_OBJECT_BYTES, seconds: float = 30.0,
        metadata_only: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        accept = _METADATA.format("List") if metadata_only else "application/json"
        headers = [("Accept", accept)]
        raw = b""
        if body is not None:
            raw = json.dumps(body, separators=(",", ":")).encode()
            headers.append(("Content-Type", content))
        response = await self.exchange(
            method, path, what=what, query=query, body=raw, headers=tuple(headers), limit=limit, seconds=seconds
        )
        return parse(response.body, what=f"the answer of {self.cluster.where} for {what}", limit=limit)


def accept(*, metadata_only: bool) -> str:
    """The Accept header of a watch."""
    return _METADATA.format("") if metadata_only else "application/json"


def parse(raw: bytes, *, what: str, limit: int) -> dict[str, Any]:
    """A document of the API server: strict, but its maps (labels) may have keys that differ in case only."""
    try:
        found = strictjson.parse(raw, limit=limit, what=what, values=limits.CLUSTER_VALUES, cased=True)
    except ContentError as error:
        raise ClusterAnswerError(error.message) from error
    if not isinstance(found, dict):
        raise ClusterAnswerError(f"{what} is no object")
    return found


def status_error(document: Mapping[str, Any], where: str, what: str) -> SealgateError:
    """The error that a `metav1.Status` stands for."""
    code = document.get("code")
    return _error(code if isinstance(code, int) else 500, _words(document), where, what)


def _refusal(response: Response, where: str, what: str) -> SealgateError:
    try:
        words = _words(parse(response.body, what="an error", limit=limits.SMALL_BODY_BYTES))
    except SealgateError:
        words = ""
    return _error(response.status, words, where, what)


def _words(document: Mapping[str, Any]) -> str:
    message = document.get("message")
    if not isinstance(message, str):
        return ""
    clean = "".join(char if char.isprintable() else " " for char in message)
    return ": " + clean[: limits.TEXT_CHARS]


def _error(status: int, words: str, where: str, what: str) -> SealgateError:
    if status == 401:
        return ClusterDeniedError(
            f"{where} does not know who asks for {what} (401){words}", hint="is the token or certificate still good?"
        )
    if status == 403:
        return ClusterDeniedError(
            f"{where} does not let us ask for {what} (403){words}",
            hint="RBAC decides that; `sealgate admission install` prints what is needed",
        )
    if status == 404:
        return ClusterMissingError(f"there is no {what} at {where}")
    if status == 409:
        return ClusterConflictError(f"{what} has changed at {where}, or is there already{words}")
    if status == 410:
        return ClusterExpiredError(f"{where} no longer knows that version of {what}{words}")
    if status == 429 or status >= 500:
        return ClusterUnavailableError(f"{where} answers {status} for {what}{words}", hint="ask again later")
    return ClusterRefusedError(f"{where} refuses {what} ({status}){words}")


def _retry_after(response: Response) -> float | None:
    value = response.header("retry-after")
    return float(value) if value is not None and value.isascii() and value.isdigit() and len(value) < 6 else None
