"""A serving certificate that the webhook makes itself, shares among its replicas, renews, and has the API server believe in.

One Secret holds the authority and the certificate; every replica looks at it, and whoever first sees that something is due
writes it (by `resourceVersion`: the others take over what the first one wrote). A new authority is told to the API server
beside the old one, and has settled for a while, before anything that it signed is served; so no review meets a certificate
that nobody believes in yet. The Secret and the registrations are made by the installation: to create any is no right of ours.

Sources: Kubernetes, "Dynamic Admission Control", `caBundle`; "API Concepts", resource versions.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.admission import certificates
from sealgate.admission.certificates import Authority, Pair
from sealgate.errors import (
    ClusterAnswerError,
    ClusterConflictError,
    ClusterMissingError,
    ClusterUnavailableError,
    SealgateError,
)
from sealgate.kubernetes.resource import SECRET, Resource
from sealgate.transport import driver, flow

if TYPE_CHECKING:
    from sealgate.kubernetes.client import Client
    from sealgate.transport.driver import Sender

LOOK_SECONDS = 30.0
SETTLE_SECONDS = 600.0
"""How long a new authority is told to the API servers before what it signed is served."""
_AUTHORITY = "sealgate webhook authority"
"""Never a name that it certifies: what names itself as its issuer is taken for self-signed."""
_TRIES = 8
_OLDER = 2
_YEARS = 10 * 365 * 24 * 3600.0
_GROUP = "admissionregistration.k8s.io"
REGISTRATIONS = (
    Resource(_GROUP, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", namespaced=False),
    Resource(_GROUP, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", namespaced=False),
)


class Kept(NamedTuple):
    """What the Secret holds."""

    authorities: tuple[Authority, ...]
    """The newest first; of older ones the certificate alone, to be believed until it ends."""
    pair: Pair


NOTHING = Kept((), Pair(b"", b""))


def plan(kept: Kept, names: Sequence[str], *, now: float) -> Kept:
    """What is to be kept from now on; the same when nothing is due. Pure but for the keys that it makes."""
    authorities = tuple(each for each in kept.authorities if certificates.is_valid(each.certificate, now=now))
    newest = authorities[0] if authorities else None
    if newest is None or not newest.key or certificates.is_due(newest.certificate, now=now):
        older = tuple(Authority(each.certificate, b"") for each in authorities[:_OLDER])
        authorities = (certificates.make_authority(_AUTHORITY, now=now), *older)
    served = certificates.is_issued(kept.pair, authorities, names, now=now)
    settled = now - certificates.begin(authorities[0].certificate) >= SETTLE_SECONDS
    due = served and certificates.is_due(kept.pair.chain, now=now) and settled
    pair = certificates.issue(authorities[0], names, now=now) if due or not served else kept.pair
    return Kept(authorities, pair)


def read(document: Mapping[str, Any]) -> Kept:
    """What a Secret holds; nothing where it holds something else, so that it is made anew."""
    data = document.get("data") or {}
    found = {name: _decoded(data.get(name)) for name in ("ca.crt", "ca.key", "ca-old.crt", "tls.crt", "tls.key")}
    pieces = [found["ca.crt"], *certificates.split(found["ca-old.crt"])[:_OLDER]]
    authorities = tuple(Authority(each, found["ca.key"] if at == 0 else b"") for at, each in enumerate(pieces) if each)
    if authorities and not certificates.is_authority(authorities[0]):
        return NOTHING
    return Kept(authorities, Pair(found["tls.crt"], found["tls.key"]))


def written(document: Mapping[str, Any], kept: Kept) -> dict[str, Any]:
    """The Secret with what is kept; its `resourceVersion` stays, and decides who was first."""
    newest, *older = kept.authorities
    data = {
        "ca.crt": newest.certificate, "ca.key": newest.key, "ca-old.crt": b"".join(each.certificate for each in older),
        "tls.crt": kept.pair.chain, "tls.key": kept.pair.key,
    }  # fmt: skip
    encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
    return {**document, "apiVersion": "v1", "kind": "Secret", "data": encoded}


class Issuer:
    """Keeps one webhook's certificate."""

    def __init__(
        self, client: Client, *, namespace: str, secret: str, registration: str, names: Sequence[str],
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._client = client
        self._namespace = namespace
        self._secret = secret
        self._registration = registration
        self._names = tuple(names)
        self.clock = clock
        self.kept = NOTHING

    async def step(self) -> None:
        """Look, renew what is due, and tell the API server. Raises what asking raises; what is served stays."""
        for _ in range(_TRIES):
            document = await self._client.get(SECRET, self._namespace, self._secret)
            before = read(document)
            wanted = plan(before, self._names, now=self.clock())
            if wanted == before:
                break
            try:
                await self._client.replace(SECRET, self._namespace, self._secret, written(document, wanted))
            except ClusterConflictError:
                continue  # another replica was first
            break
        else:
            raise ClusterUnavailableError(f"the Secret {self._namespace}/{self._secret} is written by too many at once")
        # What is believed is told before what is served changes; in one step at the first start alone.
        bundle = certificates.bundle(wanted.authorities, now=self.clock())
        for resource in REGISTRATIONS:
            await self._inject(resource, bundle)
        self.kept = wanted

    async def _inject(self, resource: Resource, bundle: bytes) -> None:
        text = base64.b64encode(bundle).decode()
        for _ in range(_TRIES):
            try:
                document = await self._client.get(resource, None, self._registration)
            except ClusterMissingError:
                return  # not registered yet
            hooks = document.get("webhooks")
            if not isinstance(hooks, list) or not all(isinstance(each, dict) for each in hooks):
                raise ClusterAnswerError(f"the {resource.kind} {self._registration} has no list of webhooks")
            if all((each.get("clientConfig") or {}).get("caBundle") == text for each in hooks):
                return
            changed = [
                {**each, "clientConfig": {**(each.get("clientConfig") or {}), "caBundle": text}} for each in hooks
            ]
            named = {"apiVersion": resource.api_version, "kind": resource.kind, "webhooks": changed}
            try:
                await self._client.replace(resource, None, self._registration, {**document, **named})
            except ClusterConflictError:
                continue
            return
        raise ClusterUnavailableError(f"the {resource.kind} {self._registration} is written by too many at once")


class OwnCertificate:
    """An `Issuer` on a thread of its own, as `server` wants a certificate: `read` gives the newest at once."""

    def __init__(self, issuer: Issuer, *, sender: Sender, seconds: float, look_seconds: float = LOOK_SECONDS) -> None:
        """Waits for the first certificate, at most `seconds`. Raises why there is none."""
        self._issuer = issuer
        self._look_seconds = look_seconds
        self._arrived = threading.Event()
        self._error: SealgateError | None = None
        self._thread = threading.Thread(target=self._run, args=(sender,), name="sealgate certificate", daemon=True)
        self._thread.start()
        self._arrived.wait(seconds)
        if not issuer.kept.pair.chain:
            raise self._error or ClusterUnavailableError("the serving certificate could not be made in time")

    def read(self) -> Pair:
        """The newest. Raises why it could not be looked after, when it is about to end."""
        error = self._error  # the thread may take it away meanwhile
        if error is not None and certificates.is_due(self._issuer.kept.pair.chain, now=self._issuer.clock()):
            raise error
        return self._issuer.kept.pair

    def _run(self, sender: Sender) -> None:
        driver.run(self._keep(), sender=sender, seconds=_YEARS)

    async def _keep(self) -> None:
        while True:
            try:
                await self._issuer.step()
            except SealgateError as error:
                self._error = error
            except Exception as error:  # noqa: BLE001 - a fault here must not end the renewal
                self._error = ClusterUnavailableError(f"the serving certificate: {type(error).__name__}")
            else:
                self._error = None
                self._arrived.set()
            await flow.sleep(self._look_seconds if self._error is None else min(self._look_seconds, 2.0))


def _decoded(value: Any) -> bytes:
    if not isinstance(value, str) or len(value) > limits.CONFIG_FILE_BYTES:
        return b""
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return b""
