"""An informer: what a resource has now, and what changes, without asking again and again.

A list, then watches from its version on. A watch ends after some seconds by itself and goes on where it was; bookmarks keep
that place recent. When the server no longer knows the place (410 Gone, as an answer or as an event), everything is listed anew
and what is missing has been deleted. A server that cannot be asked leaves what is known as it is, and is asked again after a
growing pause; `Informer.since` says how old that knowledge is.

Sources: Kubernetes, "API Concepts", efficient detection of changes, watch bookmarks, 410 Gone responses.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sealgate import limits
from sealgate.errors import (
    ClusterAnswerError,
    ClusterExpiredError,
    ClusterMissingError,
    ContentError,
    LimitError,
    SealgateError,
)
from sealgate.kubernetes import client as clients
from sealgate.kubernetes.resource import Key, Resource, key_of, version_of
from sealgate.transport import flow

if TYPE_CHECKING:
    from sealgate.kubernetes.client import Client

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


class Informer:
    """Keeps the objects of one resource. `run` never ends; `changed` is called after each change, on any thread."""

    def __init__(
        self, client: Client, resource: Resource, *, changed: Callable[[], object] = lambda: None,
        namespace: str | None = None, metadata_only: bool = False, optional: bool = False,
        keep: Callable[[dict[str, Any]], Any] = lambda document: document, seconds: int = limits.WATCH_SECONDS,
    ) -> None:  # fmt: skip
        """`optional`: a resource that the cluster does not have (404) is an empty one, looked for now and then.

        `keep` says what of each object is remembered: labels only, say.
        """
        self.resource = resource
        self.error: SealgateError | None = None
        """Why the newest try failed; None: what is here is current."""
        self.synced = False
        """Whether everything was listed once."""
        self.absent = False
        """The cluster does not have this resource."""
        self.since: float | None = None
        """When the server last said something (the driver's clock)."""
        self._client = client
        self._changed = changed
        self._namespace = namespace
        self._metadata_only = metadata_only
        self._optional = optional
        self._keep = keep
        self._seconds = seconds
        self._lock = threading.Lock()
        self._objects: dict[Key, Any] = {}
        self._version = ""

    def objects(self) -> dict[Key, Any]:
        """A copy of what there is."""
        with self._lock:
            return dict(self._objects)

    def get(self, key: Key) -> Any | None:
        """One object; None when there is none."""
        with self._lock:
            return self._objects.get(key)

    def __len__(self) -> int:
        return len(self._objects)

    async def run(self) -> None:
        """List, watch, and so on for ever."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self.step()
            except ClusterMissingError as error:
                if not self._optional:
                    self.error = error
                await flow.sleep(_LONGEST_PAUSE if self._optional else _jittered(pause))
                pause = min(pause * 2, _LONGEST_PAUSE)
            except SealgateError as error:
                self.error = error
                await flow.sleep(_jittered(pause))
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self.error = None
                pause = _FIRST_PAUSE

    async def step(self) -> None:
        """One list, or one watch from where the last one ended. Raises what went wrong; what is known stays."""
        if not self._version:
            await self._list()
            return
        try:
            await self._watch()
        except ClusterExpiredError:
            self._version = ""
        except (ClusterMissingError, ContentError):  # what cannot be read would come again and again
            self._version = ""
            raise

    async def _list(self) -> None:
        try:
            page = await self._client.list(self.resource, self._namespace, metadata_only=self._metadata_only)
        except ClusterExpiredError as error:  # the pages aged away: begin anew, after a pause
            raise ClusterAnswerError(error.message) from error
        except ClusterMissingError:
            if self._optional:
                self._replace({}, "")
                self.absent = True
                self.synced = True
            raise
        found = {key_of(item): self._keep(item) for item in page.items}
        self._replace(found, page.version)
        self.absent = False
        self.synced = True
        self.since = await flow.now()

    def _replace(self, found: dict[Key, Any], version: str) -> None:
        with self._lock:
            different = self._objects != found
            self._objects = found
            self._version = version
        if different or not self.synced:
            self._changed()

    async def _watch(self) -> None:
        lines = _Lines(self._take)
        query = {
            "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": self._version,
            "timeoutSeconds": str(self._seconds),
        }  # fmt: skip
        begun = await flow.now()
        response = await self._client.exchange(
            "GET", self.resource.path(self._namespace), what=self.resource.title(self._namespace), query=query,
            headers=(("Accept", clients.accept(metadata_only=self._metadata_only)),), limit=limits.WATCH_BYTES, sink=lines,
            lasting=True,
        )  # fmt: skip
        if response.body:
            raise ClusterAnswerError(f"{self._client.cluster.where} answers a watch with something else")
        lines.end()
        self.since = await flow.now()
        if self.since - begun < 1.0:  # a server that hangs up at once must not be asked without a pause
            await flow.sleep(_jittered(1.0))

    def _take(self, raw: bytes) -> None:
        event = clients.parse(raw, what="an event of a watch", limit=limits.CLUSTER_OBJECT_BYTES)
        kind, document = event.get("type"), event.get("object")
        if not isinstance(document, dict):
            raise ClusterAnswerError("an event of a watch has no object")
        if kind == "ERROR":
            raise clients.status_error(document, self._client.cluster.where, self.resource.title(self._namespace))
        version = version_of(document)
        if not version:
            raise ClusterAnswerError("an event of a watch has no version")
        if kind == "BOOKMARK":
            self._version = version
            return
        key = key_of(document)
        document = {**document, "apiVersion": self.resource.api_version, "kind": self.resource.kind}
        with self._lock:
            if kind in {"ADDED", "MODIFIED"}:
                kept = self._keep(document)
                different = self._objects.get(key) != kept
                if key not in self._objects and len(self._objects) >= limits.CLUSTER_OBJECTS:
                    raise LimitError(
                        f"there are more than {limits.CLUSTER_OBJECTS} {self.resource.title(self._namespace)}"
                    )
                self._objects[key] = kept
            elif kind == "DELETED":
                different = self._objects.pop(key, None) is not None
            else:
                raise ClusterAnswerError("an event of a watch is of no kind that is known")
            self._version = version
        if different:
            self._changed()


class _Lines:
    """A sink that hands over each line as soon as it is whole."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._rest = bytearray()

    def write(self, data: bytes, /) -> None:
        """Take what came."""
        self._rest += data
        if b"\n" not in data:
            if len(self._rest) > limits.CLUSTER_OBJECT_BYTES:
                raise LimitError(f"an event of a watch is larger than {limits.CLUSTER_OBJECT_BYTES} bytes")
            return
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            if line.strip():
                self._take(line)

    def restart(self) -> None:
        """Forget a piece of a line."""
        self._rest.clear()

    def end(self) -> None:
        """The answer has ended. Half an event is not one: it comes again, since the version did not move."""
        self._rest.clear()


_SPREAD = random.Random()  # noqa: S311 - spreads load, protects nothing
"""Its own: watches run on threads, and the generator that all share is for whoever seeds it."""


def _jittered(pause: float) -> float:
    """Replicas that lost their server together do not come back together."""
    return pause * (0.5 + _SPREAD.random())


def labels(document: Mapping[str, Any]) -> dict[str, str]:
    """`metadata.labels` of an object."""
    metadata = document.get("metadata")
    found = metadata.get("labels") if isinstance(metadata, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    return {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, str)}
