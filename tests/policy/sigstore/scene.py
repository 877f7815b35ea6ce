"""Policies of policy-controller."""

from __future__ import annotations

from typing import Any

from policy.scene import pem
from sealgate.keys.private import PrivateKey


def cip(*authorities: dict, images: Any = ("registry.example.com/**",), name: str = "cip", **spec: Any) -> dict:
    """A ClusterImagePolicy."""
    return {
        "apiVersion": "policy.sigstore.dev/v1beta1",
        "kind": "ClusterImagePolicy",
        "metadata": {"name": name},
        "spec": {
            "images": [each if isinstance(each, dict) else {"glob": each} for each in images],
            "authorities": list(authorities),
        }
        | spec,
    }


def keyed(key: PrivateKey, **more: Any) -> dict:
    """An authority with a key."""
    return {"key": {"data": pem(key)}} | more
