"""Kyverno's `ClusterPolicy`."""

from __future__ import annotations

from typing import Any

from policy.scene import pem
from sealgate.keys.private import PrivateKey


def policy(*blocks: dict, name: str = "check", rule: dict | None = None, spec: dict | None = None, **top: Any) -> dict:
    """A ClusterPolicy with one rule for Pods."""
    made = {"name": "verify", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}}
    if blocks:
        made["verifyImages"] = list(blocks)
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {"validationFailureAction": "Enforce", "rules": [made | (rule or {})]} | (spec or {}),
    } | top


def block(
    *entries: dict, images: tuple[str, ...] = ("registry.example.com/*",), count: int | None = None, **more: Any
) -> dict:
    """One element of `verifyImages`."""
    made: dict[str, Any] = {"imageReferences": list(images)}
    if entries:
        made["attestors"] = [{"entries": list(entries)} | ({"count": count} if count is not None else {})]
    return made | more


def keys(*several: PrivateKey, **more: Any) -> dict:
    """An entry with one text of keys."""
    return {"keys": {"publicKeys": "".join(pem(each) for each in several)}} | more
