"""A webhook that runs on loopback with policies made by hand, reviews made from recorded ones, and what they came to."""

from __future__ import annotations

import base64
import copy
import http.client
import io
import json
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sealgate.admission import server
from sealgate.admission.cache import Cache
from sealgate.admission.cache import Settings as CacheSettings
from sealgate.admission.cluster.issuing import OwnCertificate
from sealgate.admission.journal import Journal
from sealgate.admission.metrics import Metrics
from sealgate.admission.registries import Registries, Scopes
from sealgate.admission.standing import Loaded, Standing
from sealgate.admission.webhook import Settings as WebhookSettings
from sealgate.keys.algorithms import parse_public_pem
from sealgate.oci.host import RegistrySettings
from sealgate.policy import attestors
from sealgate.policy.model import Count, Digests, Expression, Policies, Rule, Static
from sealgate.workloads.workload import Workload

RECORDED = Path(__file__).parent / "recorded"
SETTINGS = attestors.Settings()


def recorded(name: str) -> dict[str, Any]:
    """A request as a real API server sent it: `01`, `mutate-create-pod`."""
    [path] = sorted(RECORDED.glob(f"*{name}*.json"))[:1]
    return json.loads(path.read_text(encoding="utf-8"))


class Selects:
    """Every workload of some kinds; of all without any."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds

    def selects(self, workload: Workload) -> bool:
        return not self.kinds or workload.kind in self.kinds


def by_key(pem: bytes, **more: Any) -> attestors.Attestor:
    """Signed by this key."""
    key = parse_public_pem(pem, what="the key")
    return attestors.of_key(key, name=key.fingerprint, where="keys", log=attestors.Log(), settings=SETTINGS, **more)


def rule(
    demand: Expression, *images: str, policy: str = "check-image", name: str = "verify-signature", **more: Any
) -> Rule:
    """A rule in Kyverno's dialect."""
    values: dict[str, Any] = {
        "policy": policy, "name": name, "kind": "ClusterPolicy", "dialect": "kyverno", "where": "policies.yaml",
        "namespace": None, "action": "enforce", "selector": Selects(), "images": images or ("*",), "demand": demand,
    }  # fmt: skip
    return Rule(**values | more)


def either(*parts: Expression) -> Count:
    """One of them."""
    return Count(1, parts)


class Clock:
    """The policies' clock, which goes by itself until it is put."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Said(NamedTuple):
    """What the webhook answered."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def response(self) -> dict[str, Any]:
        document = json.loads(self.body)
        assert (document["apiVersion"], document["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        return document["response"]

    @property
    def message(self) -> str:
        return self.response.get("status", {}).get("message", "")

    @property
    def warnings(self) -> list[str]:
        return self.response.get("warnings", [])

    @property
    def patch(self) -> list[dict[str, str]]:
        found = self.response.get("patch")
        return json.loads(base64.b64decode(found)) if found else []

    def is_allowed(self) -> None:
        assert self.status == 200, self.body
        assert self.response["allowed"] is True, self.body

    def is_denied(self, code: str) -> None:
        assert self.status == 200, self.body
        assert self.response["allowed"] is False, self.body
        assert self.response["status"]["code"] == 403
        assert "patch" not in self.response
        assert f"[{code}]" in self.message, self.message


class Place:
    """The webhook, and how to ask it."""

    def __init__(
        self, running: server.Running, parts: server.Parts, log: io.StringIO, context: ssl.SSLContext | None
    ) -> None:
        self.running = running
        self.parts = parts
        self.clock: Clock = parts.clock  # type: ignore[assignment]
        self.context = context
        self._log = log

    def connect(self, context: ssl.SSLContext | None = None, seconds: float = 40) -> http.client.HTTPConnection:
        host, _, port = self.running.address.rpartition(":")
        if self.context is None:
            return http.client.HTTPConnection(host, int(port), timeout=seconds)
        return http.client.HTTPSConnection(host, int(port), timeout=seconds, context=context or self.context)

    def ask(
        self, path: str, body: Any, *, timeout: str | None = "10s", headers: dict[str, str] | None = None,
        connection: http.client.HTTPConnection | None = None, method: str = "POST",
    ) -> Said:  # fmt: skip
        """Send something; dictionaries as JSON."""
        own = connection or self.connect()
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        target = path if timeout is None else f"{path}?timeout={timeout}"
        began = time.monotonic()
        try:
            own.request(method, target, data, {"Content-Type": "application/json"} if headers is None else headers)
            answer = own.getresponse()
            found = Said(
                answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read(), time.monotonic() - began
            )
        finally:
            if connection is None:
                own.close()
        return found

    def mutate(self, body: Any, **more: Any) -> Said:
        return self._review("/mutate", body, **more)

    def validate(self, body: Any, **more: Any) -> Said:
        return self._review("/validate", body, **more)

    def _review(self, path: str, body: Any, **more: Any) -> Said:
        found = self.ask(path, body, **more)
        if isinstance(body, dict) and found.status == 200:
            assert found.response["uid"] == body["request"]["uid"]
            for warning in found.warnings:
                assert len(warning) <= 256
                assert "\n" not in warning  # the API server would drop it
        return found

    def get(self, path: str, **more: Any) -> Said:
        return self.ask(path, None, timeout=None, headers={}, method="GET", **more)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 when it is not there."""
        for line in self.get("/metrics").body.decode().splitlines():
            series, _, value = line.rpartition(" ")
            found, _, rest = series.partition("{")
            if found == name and all(f'{key}="{text}"' in rest for key, text in labels.items()):
                return float(value)
        return 0.0

    def log(self) -> list[dict[str, Any]]:
        """What was logged so far."""
        self.parts.journal.flush()
        return [json.loads(line) for line in self._log.getvalue().splitlines()]


class Start:
    """Starts webhooks that end with the test."""

    def __init__(self, running: Any, authority: Any) -> None:
        self._running = running
        self._authority = authority
        self.issued = authority.issue("127.0.0.1", "localhost")

    def __call__(
        self, *rules: Rule, webhook: WebhookSettings | None = None, cache: CacheSettings | None = None,
        load: Callable[[], Loaded] | None = None, paths: tuple[str, ...] = (), registry: RegistrySettings | None = None,
        policies: Policies | None = None, namespaces: dict[str, dict[str, str]] | None = None,
        scopes: Scopes | None = None, certificate: OwnCertificate | None = None, **settings: Any,
    ) -> Place:  # fmt: skip
        """A webhook with these rules."""
        loaded = Loaded(policies or Policies(rules), namespaces or {})
        log = io.StringIO()
        clock = Clock()
        parts = server.Parts(
            Standing(paths, load or (lambda: loaded)),
            Registries(registry or RegistrySettings(first_pause=0.01), scopes),
            Cache(cache or CacheSettings()),
            Metrics(),
            Journal(log),
            webhook or WebhookSettings(),
            certificate=certificate,
            clock=clock,
        )
        values: dict[str, Any] = {
            "listen": "127.0.0.1:0", "tls_cert": str(self.issued.certificate), "tls_key": str(self.issued.key),
            "look_seconds": 3600.0,
        }  # fmt: skip
        running = self._running.enter_context(server.serve_in_thread(server.Settings(**values | settings), parts))
        self._running.callback(parts.journal.close)
        context = None
        if not settings.get("insecure_http"):
            context = ssl.create_default_context(cafile=str(self._authority.certificate))
        return Place(running, parts, log, context)


# -- reviews


def pod(*images: str, name: str = "01", **spec: Any) -> dict[str, Any]:
    """The recorded creation of a Pod, with other images."""
    found = recorded(name)
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    found["request"]["object"]["spec"] |= {"containers": containers, **spec}
    return found


def patched(review: dict[str, Any], patch: list[dict[str, str]]) -> dict[str, Any]:
    """The review of the object as the API server makes it of a patch."""
    found = copy.deepcopy(review)
    for step in patch:
        assert step["op"] == "replace"
        *way, last = step["path"].split("/")[1:]
        place = found["request"]["object"]
        for name in way:
            place = place[int(name)] if isinstance(place, list) else place[name]
        assert last in place
        place[last] = step["value"]
    return found


def updated(review: dict[str, Any], change: Callable[[dict[str, Any]], None], **request: Any) -> dict[str, Any]:
    """An UPDATE of what was created by this review: `change` is done to the new object."""
    found = copy.deepcopy(review)
    old = copy.deepcopy(found["request"]["object"])
    change(found["request"]["object"])
    found["request"] |= {"operation": "UPDATE", "oldObject": old, **request}
    return found


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run these at the same time, results in order."""
    results: list[Any] = [None] * len(calls)

    def work(number: int) -> None:
        results[number] = calls[number]()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


__all__ = ["Digests", "Static"]
