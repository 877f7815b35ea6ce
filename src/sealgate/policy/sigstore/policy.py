"""policy-controller's `ClusterImagePolicy`: any authority of a policy is enough, every policy that matches must be met. Pure.

An image that no policy matches is denied, unless the operator says otherwise. What the product would fetch while it reads a
policy (`remote`, `kms`) is an error at load, and so is what it would only warn of: a keyless authority without identities.

Source: sigstore/policy-controller, pkg/apis/policy/v1alpha1 and v1beta1: clusterimagepolicy_types.go,
clusterimagepolicy_validation.go; pkg/webhook/validator.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from sealgate.errors import PolicyInvalidError
from sealgate.policy import labels, patterns
from sealgate.policy.fields import Fields, located
from sealgate.policy.labels import LabelSelector
from sealgate.policy.model import Action, Count, Digests, Note, Rule
from sealgate.policy.reading import Loaded
from sealgate.policy.sigstore import conditions
from sealgate.policy.sigstore.authority import ELSEWHERE, Authority, Reader

if TYPE_CHECKING:
    from sealgate.policy.model import Expression
    from sealgate.policy.reading import Context, Source
    from sealgate.workloads.workload import Workload

VERSIONS = ("v1alpha1", "v1beta1")
RESOURCES: dict[str, str] = {
    "pods": "", "cronjobs": "batch", "jobs": "batch", "daemonsets": "apps", "statefulsets": "apps",
    "deployments": "apps", "replicasets": "apps",
}  # fmt: skip
"""What `match` may name, and the API group of each."""


class Resource(NamedTuple):
    """One entry of `match`."""

    group: str | None
    version: str | None
    resource: str | None
    selector: LabelSelector | None

    def fits(self, workload: Workload) -> bool:
        """Whether the object is meant: by group and resource, never by its kind's name alone (P17)."""
        return (
            (self.group is None or self.group == workload.group)
            and (self.version is None or self.version == workload.version)
            and (self.resource is None or self._named(workload))
            and (self.selector is None or self.selector.fits(workload.labels))
        )

    def _named(self, workload: Workload) -> bool:
        group = self.group if self.group is not None else RESOURCES[self.resource or ""]
        return workload.resource == self.resource and workload.group == group


class Match(NamedTuple):
    """`match`: any entry; none is every object. A `Selector`."""

    entries: tuple[Resource, ...]

    def selects(self, workload: Workload) -> bool:
        """Whether the policy is about this object."""
        return not self.entries or any(each.fits(workload) for each in self.entries)


def read(source: Source, context: Context) -> Loaded:
    """The one rule of a policy. Raises `PolicyInvalidError`."""
    if source.version not in VERSIONS:
        raise PolicyInvalidError(
            f"{source.where}: there is no version {source.version!r} of it", hint=f"of: {', '.join(VERSIONS)}"
        )
    top = Fields(source.document, source.where)
    top.ignored("apiVersion", "kind", "metadata", "status")
    if not source.name:
        raise PolicyInvalidError(f"{source.where}: missing field(s): metadata.name")
    if source.namespace:
        raise PolicyInvalidError(f"{source.where}: it is of the whole cluster, and metadata.namespace names one")
    if not top.has("spec"):
        raise PolicyInvalidError(f"{source.where}: missing field(s): spec")
    top.end()
    notes: list[Note] = []
    spec = Fields(top.take("spec"), f"{source.where}: spec", elsewhere=_ELSEWHERE)
    images = _images(spec, notes)
    action = cast("Action", spec.choice("mode", "enforce", "warn", default="enforce"))
    match = Match(tuple(_resource(each) for each in spec.objects("match")))
    authorities = _authorities(spec, Reader(context, notes))
    demand = _demand(spec, authorities, context)
    spec.end()
    rule = Rule(
        source.name, "", source.kind, "sigstore", spec.where, None, action, match, images, demand, digests=Digests()
    )
    return Loaded((rule,), notes=tuple(notes))


_ELSEWHERE = {
    "key": "authorities[]", "keyless": "authorities[]", "static": "authorities[]", "attestations": "authorities[]",
    "ctlog": "authorities[]", "rfc3161timestamp": "authorities[]", "source": "authorities[]", "glob": "images[]",
    "identities": "authorities[].keyless", "resource": "match[]", "group": "match[]", "version": "match[]",
    "selector": "match[]", "trustRootRef": "authorities[].keyless or .ctlog",
}  # fmt: skip


def _images(spec: Fields, notes: list[Note]) -> tuple[str, ...]:
    found = []
    for each in spec.objects("images"):
        glob = each.text("glob")
        if glob is None:
            raise PolicyInvalidError(f"{each.where}: missing field(s): glob")
        each.end()
        located(lambda glob=glob: patterns.expression(glob, "sigstore"), each.at("glob"))  # type: ignore[misc]
        notes += [Note(code, message, each.at("glob")) for code, message in patterns.weaknesses(glob, "sigstore")]
        found.append(glob)
    if not found:
        raise PolicyInvalidError(f"{spec.where}: missing field(s): images", hint='images: [{glob: "ghcr.io/you/**"}]')
    return tuple(found)


def _resource(fields: Fields) -> Resource:
    group, version, resource = (_any(fields, name) for name in ("group", "version", "resource"))
    selector = labels.read(fields, "selector", LabelSelector)
    if selector is not None and resource is None:
        raise PolicyInvalidError(f"{fields.where}: selector requires a resource type to match the labels")
    if resource is not None and resource not in RESOURCES:
        raise PolicyInvalidError(
            f"{fields.at('resource')}: unsupported resource name {resource!r}", hint=f"of: {', '.join(RESOURCES)}"
        )
    return fields.done(Resource(group, version, resource, selector))


def _any(fields: Fields, name: str) -> str | None:
    """What is not there, empty or `*` is anything: what a policy demands is demanded of more rather than of less."""
    found = fields.text(name, blank=True)
    return None if found in {None, "", "*"} else found


def _authorities(spec: Fields, reader: Reader) -> tuple[Authority, ...]:
    found = tuple(
        reader.read(each, number) for number, each in enumerate(spec.objects("authorities", elsewhere=ELSEWHERE))
    )
    if not found:
        raise PolicyInvalidError(
            f"{spec.where}: missing field(s): authorities", hint="a policy without authorities asks for nothing"
        )
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            raise PolicyInvalidError(f"{spec.at('authorities')}: two authorities are called {name!r}")
    return found


def _demand(spec: Fields, authorities: tuple[Authority, ...], context: Context) -> Expression:
    policy = spec.fields("policy")
    if policy is None:
        return Count(1, tuple(each.expression for each in authorities), "authorities")
    included = conditions.Included(
        spec=policy.flag("includeSpec", default=False),
        metadata=policy.flag("includeObjectMeta", default=False),
        typemeta=policy.flag("includeTypeMeta", default=False),
    )
    text = conditions.read(policy, context)
    if all(each.is_static for each in authorities):
        raise PolicyInvalidError(
            f"{policy.where}: it is asked of authorities that ask nothing of an image",
            hint="nothing is admitted by a policy's text alone: name a key or an identity",
        )
    return conditions.Matches(authorities, text, included, policy.where)
