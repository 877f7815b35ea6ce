"""Images in layouts, signed by Sealgate; policies over them; what becomes of a workload."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from policy.remembering import Remembering
from sealgate import blocking
from sealgate.digest import Digest
from sealgate.errors import PolicyInvalidError, UnavailableError
from sealgate.evidence import simple
from sealgate.keys.private import PrivateKey
from sealgate.oci.layout import LayoutStore
from sealgate.policy import reading
from sealgate.policy.attestors import Settings
from sealgate.policy.decision import Decision, ImageDecision
from sealgate.policy.evaluate import Placed, evaluate
from sealgate.policy.index import Index
from sealgate.policy.judging import StoreJudge
from sealgate.policy.model import Policies
from sealgate.policy.reading import Context, Source
from sealgate.transport import driver
from sealgate.workloads.workload import Workload

NOW = 1_800_000_000.0
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def pem(key: PrivateKey) -> str:
    """The public half."""
    return key.public_key.pem().decode()


class Registry:
    """Repositories, each a layout. A `judging.Stores`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stores: dict[str, LayoutStore] = {}
        self.asked: list[str] = []
        self.down = False

    def push(self, name: str, tag: str = "1.0") -> str:
        """A new image; its digest."""
        folder = self._folder / hashlib.sha256(name.encode()).hexdigest()[:16]
        (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        config = json.dumps({"architecture": "amd64", "os": "linux", "x": secrets.token_hex(8)}).encode()
        layer = secrets.token_bytes(8)
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "config": self._blob(folder, config) | {"mediaType": CONFIG},
            "layers": [self._blob(folder, layer) | {"mediaType": "application/vnd.oci.image.layer.v1.tar"}],
        }  # fmt: skip
        entry = self._blob(folder, json.dumps(manifest).encode()) | {"mediaType": MANIFEST}
        entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
        index = folder / "index.json"
        found = json.loads(index.read_text()) if index.exists() else {"schemaVersion": 2, "manifests": []}
        found["manifests"] = [each for each in found["manifests"] if each.get("annotations") != entry["annotations"]]
        found["manifests"].append(entry)
        index.write_text(json.dumps(found))
        self._stores[name] = LayoutStore(str(folder), name=name)
        return entry["digest"]

    def _blob(self, folder: Path, data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (folder / "blobs" / "sha256" / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def location(self, name: str, tag: str = "1.0") -> str:
        """What `sealgate` calls the image."""
        return f"oci:{self._stores[name].layout.path}:{tag}"

    def sign(self, name: str, *keys: PrivateKey, tag: str = "1.0", **more: Any) -> None:
        """Sign an image."""
        blocking.sign(self.location(name, tag), keys=list(keys), **more)

    def attach(self, name: str, bundle: Mapping[str, Any], *, tag: str = "1.0") -> None:
        """Put a bundle beside an image, as a referrer."""
        folder = Path(self._stores[name].layout.path)
        index = json.loads((folder / "index.json").read_text())
        [image] = [
            each for each in index["manifests"]
            if (each.get("annotations") or {}).get("org.opencontainers.image.ref.name") == tag
        ]  # fmt: skip
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
            "config": self._blob(folder, b"{}") | {"mediaType": "application/vnd.oci.empty.v1+json"},
            "layers": [self._blob(folder, json.dumps(bundle).encode()) | {"mediaType": BUNDLE}],
            "subject": {"mediaType": MANIFEST, "digest": image["digest"], "size": image["size"]},
        }  # fmt: skip
        entry = self._blob(folder, json.dumps(manifest).encode()) | {"mediaType": MANIFEST, "artifactType": BUNDLE}
        index["manifests"].append(entry)
        (folder / "index.json").write_text(json.dumps(index))

    def legacy(
        self,
        name: str,
        key: PrivateKey,
        reference: str,
        *,
        tag: str = "1.0",
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """A signature in the legacy format, made for `reference`."""
        payload = simple.encode(reference, Digest.parse(self._named(name)[tag]["digest"]), {})
        signed = {"dev.cosignproject.cosign/signature": base64.b64encode(key.sign(payload, "sha256")).decode()}
        self.layer(name, payload, signed | dict(annotations or {}), tag=tag)

    def _named(self, name: str) -> dict[Any, Any]:
        index = json.loads((Path(self._stores[name].layout.path) / "index.json").read_text())
        return {
            (each.get("annotations") or {}).get("org.opencontainers.image.ref.name"): each
            for each in index["manifests"]
        }

    def layer(
        self, name: str, payload: bytes, annotations: Mapping[str, str], *, tag: str = "1.0", prefix: str = ""
    ) -> None:
        """A layer in the legacy format, under the image's tag for signatures."""
        folder = Path(self._stores[name].layout.path)
        index = json.loads((folder / "index.json").read_text())
        layer = self._blob(folder, payload) | {
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "annotations": dict(annotations)
        }  # fmt: skip
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "config": self._blob(folder, b"{}") | {"mediaType": CONFIG},
            "layers": [layer],
        }  # fmt: skip
        entry = self._blob(folder, json.dumps(manifest).encode()) | {"mediaType": MANIFEST}
        place = prefix + self._named(name)[tag]["digest"].replace(":", "-") + ".sig"
        index["manifests"].append(entry | {"annotations": {"org.opencontainers.image.ref.name": place}})
        (folder / "index.json").write_text(json.dumps(index))

    def attest(self, name: str, key: PrivateKey, kind: str, predicate: Any, *, tag: str = "1.0", **more: Any) -> None:
        """Attest something about an image."""
        raw = json.dumps(predicate).encode()
        blocking.attest(self.location(name, tag), keys=[key], predicate=raw, predicate_type=kind, **more)

    def repository(self, reference: Any) -> LayoutStore:
        """As `judging.Stores`."""
        self.asked.append(reference.name)
        if self.down:
            raise UnavailableError("the registry is down")
        store = self._stores.get(reference.name)
        return store or LayoutStore(str(self._folder / "nothing"), name=reference.name)


class References:
    """Secrets, ConfigMaps and trust roots."""

    def __init__(
        self, secrets: Mapping[tuple[str, str], Mapping[str, bytes]] | None = None, maps: Any = None, roots: Any = None
    ) -> None:
        self._roots = roots or {}
        self._secrets = secrets or {}
        self._maps = maps or {}

    def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """As `reading.References`."""
        if (namespace, name) not in self._secrets:
            raise PolicyInvalidError(f"there is no Secret {namespace}/{name}")
        return self._secrets[namespace, name]

    def config_map(self, namespace: str, name: str) -> Mapping[str, str]:
        """As `reading.References`."""
        if (namespace, name) not in self._maps:
            raise PolicyInvalidError(f"there is no ConfigMap {namespace}/{name}")
        return self._maps[namespace, name]

    def trust_root(self, name: str) -> Source:
        """As `reading.References`."""
        if name not in self._roots:
            raise PolicyInvalidError(f"there is no TrustRoot {name}")
        return Source("roots.yaml", self._roots[name])


def load(
    *documents: dict | str,
    references: References | None = None,
    settings: Settings | None = None,
    home: str = "kyverno",
    files: Any = None,
    **more: Any,
) -> Policies:
    """The policies of some documents, YAML or values."""
    parsed = [yaml.safe_load(each) if isinstance(each, str) else each for each in documents]
    file = None if files is None else files.__getitem__
    context = Context(settings or Settings(), references or References(), home, file)
    return reading.load([Source(f"{index}.yaml", each) for index, each in enumerate(parsed)], context, **more)


def refused(
    *documents: dict | str, kind: type[PolicyInvalidError] = PolicyInvalidError, **more: Any
) -> PolicyInvalidError:
    """The error that stops these documents from being loaded."""
    with pytest.raises(kind) as found:
        load(*documents, **more)
    assert found.value.exit_code == 2
    return found.value


_PLURAL = {"Pod": ("", "v1", "pods"), "CronJob": ("batch", "v1", "cronjobs"), "Job": ("batch", "v1", "jobs")}


def workload(kind: str = "Pod", *, images: tuple[str, ...] = (), spec: dict | None = None, **more: Any) -> Workload:
    """One object."""
    group, version, plural = more.pop("gvr", _PLURAL.get(kind, ("apps", "v1", kind.lower() + "s")))
    pod = {"containers": [{"name": f"c{index}", "image": image} for index, image in enumerate(images)]} | (spec or {})
    metadata = {"name": "web", "labels": dict(more.get("labels", {})), "annotations": dict(more.get("annotations", {}))}
    if kind == "Pod":
        document = {"metadata": metadata, "spec": pod}
    elif kind == "CronJob":
        document = {"metadata": metadata, "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}
    else:
        document = {"metadata": metadata, "spec": {"template": {"metadata": metadata, "spec": pod}}}
    fields: dict[str, Any] = {
        "namespace": "default",
        "name": "web",
        "labels": {},
        "annotations": {},
        "document": document,
    }
    return Workload(group=group, version=version, kind=kind, resource=plural, **(fields | more))


def decide(
    policies: Policies,
    registry: Registry,
    *images: str,
    kind: str = "Pod",
    now: float = NOW,
    placed: Sequence[Placed] | None = None,
    memory: Any = None,
    **more: Any,
) -> Decision:
    """What becomes of a workload with these images."""
    found = more.pop("workload", None) or workload(kind, images=images, **more)
    if placed is None:
        placed = [Placed(image, f"containers[{index}].image") for index, image in enumerate(images)]
    judge = StoreJudge(registry) if memory is None else Remembering(StoreJudge(registry), memory)
    flow = evaluate(Index(policies), found, placed, judge, clock=lambda: now)

    def sender(*_: object) -> None:
        raise AssertionError("nothing is asked over the network")

    return driver.run(flow, sender=sender)


def one(policies: Policies, registry: Registry, image: str, **more: Any) -> ImageDecision:
    """What becomes of one image."""
    [found] = decide(policies, registry, image, **more).images
    return found


def codes(found: ImageDecision) -> list[str]:
    """The codes of all rulings."""
    return [ruling.code for ruling in found.rulings]
