"""Telling the cluster which policies cannot be read: as the condition `Ready` of our own, as an Event about others'.

Each replica looks before it writes, and an Event has a name that comes from what it says: so every change is told once,
however many replicas see it. What cannot be told is tried again a few times, and stops nothing: `/readyz`, the log and the
metrics have it as well.

Sources: Kubernetes API conventions, "Typical status properties"; `v1.Event`, `metav1.Condition`.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.admission.cluster.definitions import GROUP
from sealgate.errors import ClusterConflictError, SealgateError
from sealgate.kubernetes.resource import EVENT, version_of
from sealgate.transport import flow

if TYPE_CHECKING:
    from sealgate.kubernetes.client import Client
    from sealgate.kubernetes.resource import Resource

TRIES = 5
"""How often one thing is tried to be told."""
REASON = "PolicyInvalid"
_MESSAGE_CHARS = 1000
"""An Event's message has at most 1024."""


class State(NamedTuple):
    """How it stands with one policy."""

    resource: Resource
    namespace: str
    name: str
    version: str
    """Which writing of the object was read: its generation, or what it comes to."""
    error: SealgateError | None


class _Told(NamedTuple):
    version: str
    message: str
    tries: int
    done: bool


class Reporter:
    """Tells what changed."""

    def __init__(self, client: Client, *, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._states: Mapping[object, State] = {}
        self._told: dict[object, _Told] = {}

    def set(self, states: Mapping[object, State]) -> None:
        """What is now; `step` tells it."""
        self._states = states
        self._told = {key: told for key, told in self._told.items() if key in states}

    async def run(self, seconds: float = 1.0) -> None:
        """Tell for ever."""
        while True:
            await self.step()
            await flow.sleep(seconds)

    async def step(self) -> None:
        """Tell what was not told yet, a bounded part of it."""
        left = limits.REPORTS
        for key, state in list(self._states.items()):
            message = "" if state.error is None else shown(state.error)
            told = self._told.get(key)
            if told is None or (told.version, told.message) != (state.version, message):
                told = _Told(state.version, message, 0, done=False)
            if told.done or told.tries >= TRIES:
                continue
            if left == 0:
                return
            left -= 1
            try:
                await self._tell(state, message)
            except SealgateError:
                self._told[key] = told._replace(tries=told.tries + 1)
            else:
                self._told[key] = told._replace(done=True)

    async def _tell(self, state: State, message: str) -> None:
        own = state.resource.group == GROUP
        if not own and state.error is None:
            return
        namespace = state.namespace or None
        found = await self._client.get(state.resource, namespace, state.name)
        metadata = found.get("metadata")
        if not isinstance(metadata, dict):
            return
        if own:
            changed = _conditions(found, message, self._clock())
            if changed is not None:
                # With the version that was looked at: another replica that was faster is not overwritten.
                change = {"metadata": {"resourceVersion": version_of(found)}, "status": {"conditions": changed}}
                await self._client.merge(state.resource, namespace, state.name, change, subresource="status")
            return
        event = _event(state, metadata, message, self._clock())
        try:
            await self._client.create(EVENT, event["metadata"]["namespace"], event)
        except ClusterConflictError:
            return  # another replica has said it


def shown(error: SealgateError) -> str:
    """The message of an error, bounded."""
    text = f"{error.message} [{error.code}]" + (f"; {error.hint}" if error.hint else "")
    return text if len(text) <= _MESSAGE_CHARS else text[: _MESSAGE_CHARS - 1] + "…"


def _conditions(found: Mapping[str, Any], message: str, now: float) -> list[dict[str, Any]] | None:
    """All conditions as they are to be; None when they are so already."""
    status = found.get("status")
    listed = status.get("conditions") if isinstance(status, dict) else None
    before = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    old = next((each for each in before if each.get("type") == "Ready"), {})
    generation = found["metadata"].get("generation")
    ready: dict[str, Any] = {
        "type": "Ready", "status": "False" if message else "True", "reason": REASON if message else "InForce",
        "message": message or "the policy is in force",
    }  # fmt: skip
    if isinstance(generation, int):
        ready["observedGeneration"] = generation
    if all(old.get(name) == value for name, value in ready.items()):
        return None
    since = old.get("lastTransitionTime") if old.get("status") == ready["status"] else None
    ready["lastTransitionTime"] = since if isinstance(since, str) else _time(now)
    return [*(each for each in before if each.get("type") != "Ready"), ready]


def _event(state: State, metadata: Mapping[str, Any], message: str, now: float) -> dict[str, Any]:
    uid = metadata.get("uid") if isinstance(metadata.get("uid"), str) else ""
    told = hashlib.sha256("\0".join((str(uid), state.version, message)).encode()).hexdigest()[:16]
    namespace = state.namespace or "default"
    moment = _time(now)
    return {
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": f"{state.name[:200].rstrip('.-')}.{told}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": state.resource.api_version, "kind": state.resource.kind, "name": state.name,
            **({"namespace": state.namespace} if state.namespace else {}), **({"uid": uid} if uid else {}),
        },
        "type": "Warning", "reason": REASON, "message": message, "count": 1,
        "firstTimestamp": moment, "lastTimestamp": moment,
        "source": {"component": "sealgate"}, "reportingComponent": "sealgate.dev/admission", "reportingInstance": "sealgate",
    }  # fmt: skip


def _time(now: float) -> str:
    return datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
