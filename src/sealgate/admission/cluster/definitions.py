"""The definitions (CRDs) of Sealgate's own policies, as values. Pure.

The API server drops what a structural schema does not know, and says nothing: a misspelt demand would be gone, and the policy
weaker than it was written. So what is unknown is kept (`x-kubernetes-preserve-unknown-fields`), and the reader, which is
strict, refuses it and says so in the status. What is known has its type here, so that a wrong one is refused at once.

Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", structural schemas and field pruning.
"""

from __future__ import annotations

from typing import Any

GROUP = "sealgate.dev"
VERSION = "v1alpha1"
KEPT = "x-kubernetes-preserve-unknown-fields"
_MOST = 1024
_KINDS = (
    ("ImagePolicy", "imagepolicies", "Namespaced"),
    ("ClusterImagePolicy", "clusterimagepolicies", "Cluster"),
    ("PolicyException", "policyexceptions", "Cluster"),
)
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT, "maxItems": _MOST}
_MOMENT: dict[str, Any] = {"type": "string", "format": "date-time"}
_ACTION: dict[str, Any] = {"type": "string", "enum": ["enforce", "warn", "audit"]}


def documents() -> list[dict[str, Any]]:
    """The three definitions."""
    return [_definition(*each) for each in _KINDS]


def _definition(kind: str, plural: str, scope: str) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": {"app.kubernetes.io/name": "sealgate"}},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower(),
                "categories": ["sealgate"],
            },
            "versions": [
                {
                    "name": VERSION, "served": True, "storage": True, "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(kind),
                    "schema": {"openAPIV3Schema": _object(kind)},
                }
            ],
        },
    }  # fmt: skip


def _columns(kind: str) -> list[dict[str, Any]]:
    first = "until" if kind == "PolicyException" else "action"
    ready = '.status.conditions[?(@.type=="Ready")]'
    return [
        {"name": first.title(), "type": "string", "jsonPath": f".spec.{first}"},
        {"name": "Ready", "type": "string", "jsonPath": f"{ready}.status"},
        {"name": "Message", "type": "string", "jsonPath": f"{ready}.message", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]


def _object(kind: str) -> dict[str, Any]:
    return {
        "type": "object", "required": ["spec"], KEPT: True,
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
            "spec": _exception() if kind == "PolicyException" else _policy(), "status": _status(),
        },
    }  # fmt: skip


def _open(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """An object whose unknown fields are kept, for the reader to refuse."""
    found: dict[str, Any] = {"type": "object", "properties": properties, KEPT: True}
    return {**found, "required": list(required)} if required else found


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "maxItems": _MOST}


def _policy() -> dict[str, Any]:
    exempt = {"name": _TEXT, "images": _some(), "until": _MOMENT, "reason": _TEXT, "match": _match()}
    return _open(
        {
            "action": _ACTION,
            "images": _some(),
            "skip": _TEXTS,
            "match": _match(),
            "require": _open({}),  # demands stand in demands, which a structural schema cannot say
            "deny": _open({"images": _TEXTS, "digests": _TEXTS, "keys": _TEXTS, "identities": _TEXTS, "reason": _TEXT}),
            "overrides": _list(_open({"action": _ACTION, "match": _match()}, "action", "match")),
            "grace": _open({"until": _MOMENT, "action": {"type": "string", "enum": ["warn", "audit"]}}, "until"),
            "digests": _open({name: {"type": "boolean"} for name in ("mutate", "verify", "required")}),
            "exceptions": _list(_open(exempt, "images", "until", "reason")),
            "mirrors": _list(_open({"mirror": _TEXT, "of": _TEXT}, "mirror", "of")),
        },
        "images", "require",
    )  # fmt: skip


def _exception() -> dict[str, Any]:
    exempt = {"policies": _some(), "images": _some(), "until": _MOMENT, "reason": _TEXT, "match": _match()}
    return _open(exempt, "policies", "images", "until", "reason")


def _some() -> dict[str, Any]:
    return {**_TEXTS, "minItems": 1}


def _match() -> dict[str, Any]:
    operator = {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]}
    expression = _open({"key": _TEXT, "operator": operator, "values": _TEXTS}, "key", "operator")
    labels = _open(
        {
            "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
            "matchExpressions": _list(expression),
        }
    )
    operations = _list({"type": "string", "enum": ["CREATE", "UPDATE", "DELETE", "CONNECT"]})
    return _open(
        {
            "namespaces": _TEXTS,
            "kinds": _TEXTS,
            "operations": operations,
            "namespaceSelector": labels,
            "selector": labels,
        }
    )


def _status() -> dict[str, Any]:
    """Ours to write: nothing unknown belongs here. Source: `metav1.Condition`."""
    text = {"type": "string"}
    condition = {
        "type": "object",
        "required": ["type", "status", "lastTransitionTime", "reason", "message"],
        "properties": {
            "type": text, "status": {"type": "string", "enum": ["True", "False", "Unknown"]}, "reason": text,
            "message": {"type": "string", "maxLength": 32768}, "lastTransitionTime": _MOMENT,
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        },
    }  # fmt: skip
    conditions = {
        "type": "array",
        "items": condition,
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    }
    return {"type": "object", "properties": {"conditions": conditions}}
