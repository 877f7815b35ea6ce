"""Everything attached to an image, as a tree: what, where, of which type, how large, since when.

Whatever hangs there is listed, signed or not, of whatever tool. Types come from the content where there is a bundle, else
from what the manifest says of itself; times are claims.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.artifacts import attached as attacheds
from sealgate.artifacts import buildkit
from sealgate.errors import ImageNotFoundError, LimitError, SealgateError
from sealgate.oci import manifest as manifests
from sealgate.oci.descriptor import parse_annotations
from sealgate.transport import flow

if TYPE_CHECKING:
    from sealgate.artifacts.attached import Attached
    from sealgate.digest import Digest
    from sealgate.oci.descriptor import Descriptor
    from sealgate.oci.images import Image
    from sealgate.oci.store import Manifest, Store

_CREATED = "org.opencontainers.image.created"
_PREDICATE = "dev.sigstore.bundle.predicateType"
_LEGACY_PREDICATE = "predicateType"


class Layer(NamedTuple):
    """One layer of an attached manifest."""

    digest: Digest
    media_type: str
    size: int
    predicate_type: str | None


class Artifact(NamedTuple):
    """One attached manifest."""

    origin: str
    """`referrer`, `index` (BuildKit's, in the index), or the suffix of cosign's tag: `sig`, `att`, `sbom`."""
    location: str
    digest: Digest
    artifact_type: str | None
    predicate_type: str | None
    created: str | None
    """A claim."""
    layers: tuple[Layer, ...]
    problem: SealgateError | None
    kind: str = "other"
    """`sig`, `att`, `sbom` or `other`."""
    signed: bool | None = None
    """Whether it carries a signature, which nobody verified; None when that cannot be said."""
    about: str | None = None
    """The image of the index that it says it is about: its platform, or its digest."""
    attached: tuple[Artifact, ...] = ()
    """What hangs on the artifact itself; with `recursive`."""

    @property
    def size(self) -> int:
        """Bytes of all layers, as the manifest says."""
        return sum(layer.size for layer in self.layers)

    def as_json(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "origin": self.origin,
            "location": self.location,
            "digest": str(self.digest),
            "kind": self.kind,
            "signed": self.signed,
            "about": self.about,
            "artifactType": self.artifact_type,
            "predicateType": self.predicate_type,
            "created": self.created,
            "size": self.size,
            "layers": [
                {
                    "digest": str(layer.digest),
                    "mediaType": layer.media_type,
                    "size": layer.size,
                    "predicateType": layer.predicate_type,
                }
                for layer in self.layers
            ],
            "problem": None if self.problem is None else _problem(self.problem),
            "attached": [artifact.as_json() for artifact in self.attached],
        }


class Tree(NamedTuple):
    """One image and what hangs on it."""

    image: str
    repository: str
    digest: Digest
    media_type: str
    platform: str | None
    artifacts: tuple[Artifact, ...]
    problems: tuple[SealgateError, ...]
    """What could not be asked or read: nobody knows what else there is."""
    children: tuple[Tree, ...] = ()
    """The images of an index; with `recursive`."""

    def as_json(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "image": self.image,
            "repository": self.repository,
            "digest": str(self.digest),
            "mediaType": self.media_type,
            "platform": self.platform,
            "artifacts": [artifact.as_json() for artifact in self.artifacts],
            "problems": [_problem(problem) for problem in self.problems],
            "children": [child.as_json() for child in self.children],
        }

    def all_problems(self) -> list[SealgateError]:
        """The problems of the whole tree, those of single artifacts included."""
        found = list(self.problems)
        waiting = list(self.artifacts)
        while waiting:
            artifact = waiting.pop()
            waiting += artifact.attached
            if artifact.problem is not None:
                found.append(artifact.problem)
        return found + [problem for child in self.children for problem in child.all_problems()]


def _problem(error: SealgateError) -> dict[str, str]:
    return {"code": error.code, "message": error.message}


async def tree(image: Image, *, recursive: bool, prefix: str = "") -> Tree:
    """What hangs on `image`; with `recursive` also on the images of an index, and on what is attached itself.

    Raises `ImageNotFoundError` and what the store raises for the image; other failures are in the tree.
    """
    walker = _Walker(attacheds.stores_of(image), image.store, prefix, recursive=recursive)
    return await walker.image(image.name, await attacheds.resolve(image), None, 0)


class _Walker:
    def __init__(self, stores: tuple[Store, ...], store: Store, prefix: str, *, recursive: bool) -> None:
        self._stores = stores
        self._store = store
        self._prefix = prefix
        self._recursive = recursive
        self._seen: set[Digest] = set()
        """Whose attachments have been looked for: fallback tags may name each other in a circle."""

    async def image(self, name: str, manifest: Manifest, platform: str | None, depth: int) -> Tree:
        artifacts, problems = await self._attached(manifest.digest, 0)
        if manifest.is_index:
            artifacts = (*artifacts, *await self._in_index(manifest))
        children: list[Tree] = []
        if self._recursive and manifest.is_index:
            if depth >= limits.INDEX_DEPTH:
                problems.append(LimitError(f"indexes are nested deeper than {limits.INDEX_DEPTH}"))
            else:
                listed = buildkit.images(manifest)
                outcomes = await flow.settle([self._child(child, depth) for child in listed], limit=8)
                children = [outcome for outcome in outcomes if not isinstance(outcome, SealgateError)]
                problems += [outcome for outcome in outcomes if isinstance(outcome, SealgateError)]
        return Tree(
            name, self._store.name, manifest.digest, manifest.media_type, platform, artifacts, tuple(problems),
            tuple(children),
        )  # fmt: skip

    async def _in_index(self, index: Manifest) -> list[Artifact]:
        """What BuildKit says of the images, as artifacts of the index that has it."""
        platforms = {str(entry.digest): entry.platform for entry in buildkit.images(index)}
        found = []
        for item in await buildkit.attached(self._store, index):
            about = item.listed.annotation(buildkit.REFERENCE_DIGEST) if item.listed is not None else None
            artifact = await self._artifact(item, 0)
            found.append(artifact._replace(about=platforms.get(about or "") or about))
        return found

    async def _child(self, child: Descriptor, depth: int) -> Tree:
        name = f"{self._store.name}@{child.digest}"
        manifest = await self._store.get_manifest(child.digest)
        if manifest is None:
            raise ImageNotFoundError(f"{name} is listed by the index and does not exist")
        return await self.image(name, manifest, child.platform, depth + 1)

    async def _attached(self, digest: Digest, depth: int) -> tuple[tuple[Artifact, ...], list[SealgateError]]:
        if digest in self._seen or depth > limits.INDEX_DEPTH:
            return (), []
        self._seen.add(digest)
        if len(self._seen) > limits.MANIFESTS:
            raise LimitError(f"more than {limits.MANIFESTS} manifests hang on each other")
        listing = await attacheds.list_attached(self._stores, digest, prefix=self._prefix)
        found = await flow.gather([self._artifact(item, depth) for item in listing.attached], limit=attacheds.AT_ONCE)
        return tuple(found), list(listing.problems)

    async def _artifact(self, item: Attached, depth: int) -> Artifact:
        problem = item.problem
        created = predicate = None
        inside = attacheds.Inside(None, None)
        layers: tuple[Layer, ...] = ()
        nested: tuple[Artifact, ...] = ()
        try:
            if item.manifest is not None:
                notes = dict(parse_annotations(item.manifest.document.get("annotations"), str(item.digest)))
                created = notes.get(_CREATED)
                inside = await attacheds.inside(item)
                layers = tuple(_layer(each, inside) for each in manifests.layers(item.manifest))
                predicate = inside.predicate_type or notes.get(_PREDICATE)
                if self._recursive:
                    nested, problems = await self._attached(item.digest, depth + 1)
                    problem = next(iter(problems), None)
        except SealgateError as error:
            problem = error
        return Artifact(
            item.origin, item.location, item.digest, attacheds.artifact_type(item), predicate, created, layers, problem,
            attacheds.kind_inside(item, inside), inside.signed, None, nested,
        )  # fmt: skip


def _layer(each: Descriptor, inside: attacheds.Inside) -> Layer:
    """A layer with its type. Several Statements in one manifest have several: then each layer's own annotation says it."""
    said = each.annotation(_LEGACY_PREDICATE) or each.annotation(buildkit.PREDICATE_TYPE)
    bare = each.media_type == buildkit.IN_TOTO
    return Layer(each.digest, each.media_type, each.size, (said if bare else None) or inside.predicate_type or said)
