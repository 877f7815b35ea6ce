"""Image policies, and what becomes of a workload under them."""

from __future__ import annotations

from typing import Any

from policy import scene
from policy.scene import pem, workload
from sealgate.policy.evaluate import Placed

TEAM = "registry.example.com/team"
PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods"]}
SIGNED = "images.containers.map(i, verifyImageSignatures(i, [attestors.k])).all(e, e > 0)"
LISTS = ("containers", "initContainers", "ephemeralContainers")


def ivp(*validations: Any, keys: dict[str, Any], version: str = "v1", name: str = "ivp", **spec: Any) -> dict:
    """An ImageValidatingPolicy; `keys`: attestors by name, a key or a whole `cosign`."""
    return {
        "apiVersion": f"policies.kyverno.io/{version}",
        "kind": "ImageValidatingPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [PODS]},
            "matchImageReferences": [{"glob": "registry.example.com/*"}],
            "attestors": [
                {"name": each, "cosign": found if isinstance(found, dict) else {"key": {"data": pem(found)}}}
                for each, found in keys.items()
            ],
            "validations": [
                each if isinstance(each, dict) else {"expression": each, "message": "not signed"} for each in validations
            ],
        } | spec,
    }  # fmt: skip


def place(found: Any) -> list[Placed]:
    """The images of a Pod, or of what makes Pods."""
    spec = found.document["spec"]
    for step in ("jobTemplate", "spec", "template", "spec"):
        spec = spec.get(step, spec)
    return [
        Placed(each["image"], f"{kind}[{index}].image") for kind in LISTS for index, each in enumerate(spec.get(kind, []))
    ] + [
        Placed(each["image"]["reference"], f"volumes[{index}].image.reference")
        for index, each in enumerate(spec.get("volumes", []))
    ]  # fmt: skip


def decide(policies: Any, registry: Any, *images: str, found: Any = None, placed: Any = None, **more: Any) -> Any:
    """What becomes of a workload with these containers, or of `found` with all that it has."""
    now = {name: more.pop(name) for name in ("now",) if name in more}
    found = found or workload(more.pop("kind", "Pod"), images=images, **more)
    return scene.decide(policies, registry, workload=found, placed=placed or place(found), **now)


def codes(policies: Any, registry: Any, *images: str, **more: Any) -> list[str]:
    """The codes of all rulings, image by image."""
    return [ruling.code for image in decide(policies, registry, *images, **more).images for ruling in image.rulings]
