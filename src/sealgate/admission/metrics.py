"""What operators see of the webhook: Prometheus metrics. No label holds an image, a tag or anything else that strangers choose
without a bound (D10): hosts beyond `limits.HOSTS` are `other`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sealgate.admission.cache import Cache

_REVIEW_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_REGISTRY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """All of them, with a registry of their own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._all = CollectorRegistry()
        self._hosts: set[str] = set()
        self._children: dict[tuple[str, ...], Any] = {}

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sealgate_{name}", text, labels, registry=self._all)

        self._reviews = counter("reviews", "Reviews answered.", "path", "outcome")
        self._decisions = counter("decisions", "What was said of images, by reason.", "code", "effect")
        self._images = counter("images", "Images seen, by what became of them.", "state")
        self._answers = counter("registry_answers", "Answers of registries, or why there was none.", "host", "status")
        self._late = counter("deadlines_missed", "Images that were not judged in time, by registry.", "host")
        self.faults = counter("faults", "Reviews refused because something went wrong inside.")
        self.policy_failures = counter("policy_load_failures", "Changes of the policies that could not be read.")
        self.certificate_failures = counter("certificate_load_failures", "Serving certificates that could not be read.")
        self._seconds = Histogram(
            "sealgate_review_seconds", "How long reviews took.", ("path",), buckets=_REVIEW_BUCKETS, registry=self._all
        )
        self._registry_seconds = Histogram(
            "sealgate_registry_seconds", "How long registries took.", ("host",), buckets=_REGISTRY_BUCKETS,
            registry=self._all,
        )  # fmt: skip
        self.rules = Gauge("sealgate_policy_rules", "Rules in force.", registry=self._all)
        self.policies_broken = Gauge(
            "sealgate_policies_broken", "1 while the newest policies cannot be read and older ones are in force.",
            registry=self._all,
        )  # fmt: skip
        self.certificate_expires = Gauge(
            "sealgate_certificate_expires_seconds", "When the serving certificate ends (seconds since 1970).",
            registry=self._all,
        )  # fmt: skip
        for state in ("verified", "refused", "unknown", "unmatched", "skipped", "unchanged", "own", "known-good"):
            self._images.labels(state)

    def review(self, path: str, outcome: str, seconds: float) -> None:
        """One review was answered: `admit`, `warn`, `deny`, `exempt` or `malformed`."""
        self._child("review", self._reviews, path, outcome).inc()
        self._child("seconds", self._seconds, path).observe(seconds)

    def decision(self, code: str, effect: str) -> None:
        """One ruling that is not plain acceptance."""
        self._child("decision", self._decisions, code, effect).inc()

    def image(self, state: str, count: int = 1) -> None:
        """What became of an image."""
        if count:
            self._child("image", self._images, state).inc(count)

    def registry(self, host: str, status: str, seconds: float) -> None:
        """One request to a registry, a token service, or a cloud that gives credentials."""
        host = self._host(host)
        self._child("answer", self._answers, host, status).inc()
        self._child("registry", self._registry_seconds, host).observe(seconds)

    def late(self, host: str) -> None:
        """An image was not judged in time."""
        self._child("late", self._late, self._host(host)).inc()

    def watch(
        self, cache: Cache, *, looks: Callable[[], int], reviews: Callable[[], int], dropped: Callable[[], int]
    ) -> None:
        """Read these when metrics are asked for."""
        self._all.register(_Watched(cache, looks, reviews, dropped))

    def text(self) -> bytes:
        """The exposition, as Prometheus reads it (text format 0.0.4)."""
        from prometheus_client import generate_latest

        return generate_latest(self._all)

    def _host(self, host: str) -> str:
        if host in self._hosts:
            return host
        if len(self._hosts) >= limits.HOSTS:
            return "other"
        self._hosts.add(host)
        return host

    def _child(self, kind: str, family: Any, *labels: str) -> Any:
        """A labelled metric; to look one up in the library takes longer than to count."""
        where = (kind, *labels)
        found = self._children.get(where)
        if found is None:
            found = self._children[where] = family.labels(*labels)
        return found


class _Watched:
    """A collector of numbers that others keep."""

    def __init__(
        self, cache: Cache, looks: Callable[[], int], reviews: Callable[[], int], dropped: Callable[[], int]
    ) -> None:
        self._cache = cache
        self._looks = looks
        self._reviews = reviews
        self._dropped = dropped

    def collect(self) -> Iterator[Any]:
        """As `prometheus_client.registry.Collector`."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counts, descriptions = self._cache.counts, self._cache.descriptions
        asked: Iterable[tuple[str, str, int]] = (
            ("verdict", "hit", counts.hits), ("verdict", "miss", counts.misses),
            ("tag", "hit", counts.tag_hits), ("tag", "miss", counts.tag_misses),
            ("description", "hit", descriptions.hits), ("description", "miss", descriptions.misses),
        )  # fmt: skip
        family = CounterMetricFamily("sealgate_cache_requests", "Look-ups in the caches.", labels=("cache", "result"))
        for cache, result, value in asked:
            family.add_metric((cache, result), value)
        yield family
        gone = counts.evicted + descriptions.evicted
        yield CounterMetricFamily("sealgate_cache_evictions", "Entries of the caches given up for room.", value=gone)
        yield CounterMetricFamily(
            "sealgate_known_good",
            "Verdicts used beyond their time, while a registry was away.",
            value=counts.known_good,
        )
        entries = GaugeMetricFamily("sealgate_cache_entries", "What is kept.", labels=("cache",))
        entries.add_metric(("verdict",), len(self._cache))
        entries.add_metric(("tag",), self._cache.tags)
        entries.add_metric(("description",), len(descriptions))
        yield entries
        yield GaugeMetricFamily("sealgate_looks_in_flight", "Images that are being looked at.", value=self._looks())
        yield GaugeMetricFamily("sealgate_reviews_in_flight", "Reviews that are being answered.", value=self._reviews())
        yield CounterMetricFamily(
            "sealgate_log_lines_dropped", "Lines of the log that nobody took.", value=self._dropped()
        )
