"""Finding the rules that are about an image among 1,000 policies of each dialect: in this process, without a registry.

    bench/policies.py            a line a dialect, in a few seconds

The bar: 1 ms an image, median over 1,000 images, of which each is some policy's.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from sealgate.keys.private import PrivateKey
from sealgate.oci.reference import Reference, parse
from sealgate.policy import reading
from sealgate.policy.attestors import Settings
from sealgate.policy.index import Index
from sealgate.policy.reading import Context, Source
from sealgate.workloads.workload import Workload

POLICIES = 1_000
BAR = 0.001


def kyverno(number: int, pem: str) -> dict[str, Any]:
    """A ClusterPolicy of Kyverno."""
    attestors = [{"entries": [{"keys": {"publicKeys": pem}}]}]
    block = {"imageReferences": [f"registry.example.com/team-{number}/*"], "attestors": attestors}
    rule = {"name": "signed", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "verifyImages": [block]}
    return _object("kyverno.io/v1", "ClusterPolicy", number, {"validationFailureAction": "Enforce", "rules": [rule]})


def policy_controller(number: int, pem: str) -> dict[str, Any]:
    """A ClusterImagePolicy of policy-controller."""
    spec = {"images": [{"glob": f"registry.example.com/team-{number}/**"}], "authorities": [{"key": {"data": pem}}]}
    return _object("policy.sigstore.dev/v1beta1", "ClusterImagePolicy", number, spec)


def sealgate(number: int, pem: str) -> dict[str, Any]:
    """One of our own."""
    spec = {"images": [f"registry.example.com/team-{number}/**"], "require": {"signature": {"key": pem}}}
    return _object("sealgate.dev/v1alpha1", "ClusterImagePolicy", number, spec)


def _object(version: str, kind: str, number: int, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": f"policy-{number}"}, "spec": spec}


class _Nothing:
    """No policy here refers to anything."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def main() -> int:
    pem = PrivateKey.generate().public_key.pem().decode()
    pod = Workload("", "v1", "Pod", "pods", "default", "web", {}, {}, {"kind": "Pod"})
    images = [parse(f"registry.example.com/team-{number}/app:1.0") for number in range(POLICIES)]
    held = True
    dialects: dict[str, Callable[[int, str], dict[str, Any]]] = {
        "Kyverno": kyverno, "policy-controller": policy_controller, "Sealgate": sealgate,
    }  # fmt: skip
    for name, make in dialects.items():
        sources = [Source("policies.yaml", make(number, pem)) for number in range(POLICIES)]
        began = time.perf_counter()
        index = Index(reading.load(sources, Context(Settings(), _Nothing(), "kyverno")))
        loading = time.perf_counter() - began
        seconds = [_match(index, image, pod) for image in images]
        median, worst = statistics.median(seconds), max(seconds)
        held &= median <= BAR
        print(
            f"policy matching, {POLICIES} policies ({name}): {median * 1000:.3f} ms an image, at most"
            f" {worst * 1000:.3f} ms; bar ≤ {BAR * 1000:g} ms {'✓' if median <= BAR else '✗'}; loaded in {loading:.2f} s"
        )
    return 0 if held else 1


def _match(index: Index, image: Reference, pod: Workload) -> float:
    began = time.perf_counter()
    found, _ = index.matching(image, pod)
    seconds = time.perf_counter() - began
    if len(found) != 1:
        raise RuntimeError(f"{len(found)} rules are about {image}, not 1")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
