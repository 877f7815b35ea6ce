"""Sealgate's own policies: `ImagePolicy`, `ClusterImagePolicy` and `PolicyException` (`sealgate.dev/v1alpha1`). Pure.

The model that everything here is judged by, written down. docs/policies.md explains each field, and
docs/image-policy.schema.json has them for editors; what stands in neither is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sealgate.digest import Digest
from sealgate.errors import PolicyInvalidError
from sealgate.policy import mirrors, patterns, times
from sealgate.policy.fields import Fields, located
from sealgate.policy.model import Action, Count, Digests, Exemption, Grace, Listed, Note, Override, Rule
from sealgate.policy.own import demand, selection
from sealgate.policy.reading import Loaded

if TYPE_CHECKING:
    from sealgate.policy.attestors import Settings
    from sealgate.policy.mirrors import Mirror
    from sealgate.policy.model import Expression
    from sealgate.policy.reading import Context, Source

VERSION = "v1alpha1"
ACTIONS = ("enforce", "warn", "audit")


def read(source: Source, context: Context) -> Loaded:
    """What one object comes to. Raises `PolicyInvalidError`."""
    if source.version != VERSION:
        raise PolicyInvalidError(f"{source.where}: there is no version {source.version!r} of it", hint=VERSION)
    top = Fields(source.document, source.where)
    top.ignored("apiVersion", "kind", "metadata", "status")
    if not source.name:
        raise PolicyInvalidError(f"{source.where}: metadata.name is missing")
    if source.kind == "ImagePolicy" and not source.namespace:
        raise PolicyInvalidError(
            f"{source.where}: metadata.namespace is missing", hint="of the whole cluster it is a ClusterImagePolicy"
        )
    if source.kind != "ImagePolicy" and source.namespace:
        raise PolicyInvalidError(
            f"{source.where}: it is of the whole cluster, and metadata.namespace names one",
            hint="a team's own policy is an ImagePolicy; exceptions are of the whole cluster",
        )
    if not top.has("spec"):
        raise PolicyInvalidError(f"{source.where}: spec is missing")
    top.end()
    spec = Fields(top.take("spec"), f"{source.where}: spec", elsewhere=_ELSEWHERE)
    if source.kind == "PolicyException":
        names = spec.texts("policies")
        if not names:
            raise PolicyInvalidError(f"{spec.at('policies')} is missing: an exception from what?")
        rules = tuple((name, "*") for name in names)
        exemption = spec.done(_exemption(spec, source.name, rules))
        return Loaded(exemptions=(exemption._replace(everywhere=True),))
    return _policy(spec, source, context)


_ELSEWHERE = (
    dict.fromkeys(demand.FORMS, "require")
    | dict.fromkeys(("key", "keys", "identity", "identities", "certificate", "annotations"), "require.signature")
    | dict.fromkeys(("namespaces", "namespaceSelector", "kinds", "selector", "operations"), "match")
    | {"until": "grace, or an exception"}
)


def _policy(spec: Fields, source: Source, context: Context) -> Loaded:
    notes: list[Note] = []
    namespace = source.namespace or None
    action = cast("Action", spec.choice("action", *ACTIONS, default="enforce"))
    if action == "audit":
        notes.append(Note("action-audit", "refusals of this policy are only reported", spec.at("action")))
    images = _patterns(spec, "images", notes)
    if not images:
        raise PolicyInvalidError(f"{spec.at('images')} is missing", hint='["ghcr.io/team/**"]; "*.example.com/**"')
    skip = _patterns(spec, "skip", notes, excuse=True)
    selector = selection.read(spec.fields("match"))
    denied, settings = _deny(spec, context)
    require = spec.fields("require")
    demanded = None
    if require is not None:
        demanded = demand.Reader(context, notes, settings, namespace).read(require)
    demands: list[Expression] = [*denied, *([demanded] if demanded is not None else [])]
    if demanded is None:
        raise PolicyInvalidError(
            f"{spec.at('require')} is missing", hint="static: {action: pass} admits what the deny-lists leave"
        )
    name = f"{namespace}/{source.name}" if namespace else source.name
    every = demands[0] if len(demands) == 1 else Count(len(demands), tuple(Count(1, (each,)) for each in demands))
    exceptions = tuple(
        each.done(_exemption(each, each.text("name") or f"{name}[{at}]", ((name, "*"),)))
        for at, each in enumerate(spec.objects("exceptions"))
    )
    found = _mirrors(spec, namespace)
    rule = Rule(
        name, "", source.kind, "sealgate", spec.where, namespace, action, selector, images, every, skip=skip,
        overrides=tuple(_override(each) for each in spec.objects("overrides")), grace=_grace(spec), digests=_digests(spec),
    )  # fmt: skip
    spec.end()
    return Loaded((rule,), exceptions, tuple(notes), found)


def _patterns(spec: Fields, name: str, notes: list[Note], *, excuse: bool = False) -> tuple[str, ...]:
    found = spec.texts(name)
    for each in found:
        located(lambda each=each: patterns.expression(each, "sealgate", excuse=excuse), spec.at(name))  # type: ignore[misc]
        weak = patterns.weaknesses(each, "sealgate", excuse=excuse)
        notes += [Note(code, message, spec.at(name)) for code, message in weak]
    return found


def _deny(spec: Fields, context: Context) -> tuple[list[Expression], Settings]:
    """Lists of what is refused whatever else holds: images here, signers in what attestors are asked."""
    settings = context.settings
    deny = spec.fields("deny")
    if deny is None:
        return [], settings
    names, digests = _patterns(deny, "images", []), demand.digests(deny, "digests")
    keys, identities = deny.texts("keys"), deny.texts("identities")
    reason = deny.text("reason") or "denied by the policy"
    for each in keys:
        if not each.startswith("SHA256:") or len(each.rstrip("=")) != 50:
            raise PolicyInvalidError(f"{deny.at('keys')}: a key is given by its fingerprint", hint="SHA256:…")
    deny.end()
    if not (names or digests or keys or identities):
        raise PolicyInvalidError(f"{deny.where} denies nothing", hint="images, digests, keys or identities")
    known = settings.deny
    settings = settings._replace(
        deny=known._replace(
            digests=(*known.digests, *((Digest.parse(each), reason) for each in digests)),
            keys=(*known.keys, *((each.rstrip("="), reason) for each in keys)),
            identities=(*known.identities, *((each, reason) for each in identities)),
        )
    )
    listed = [Listed(wanted=False, patterns=names, digests=digests, message=reason, where="deny")]
    return cast("list[Expression]", listed if names or digests else []), settings


def _override(fields: Fields) -> Override:
    action = fields.choice("action", *ACTIONS)
    if action is None:
        fields.missing("action")
    match = fields.fields("match")
    if match is None:
        fields.missing("match")
    return fields.done(Override(cast("Action", action), selection.read(match)))


def _grace(spec: Fields) -> Grace | None:
    fields = spec.fields("grace")
    if fields is None:
        return None
    action = cast("Action", fields.choice("action", "warn", "audit", default="warn"))
    return fields.done(Grace(times.moment(fields, "until"), action))


def _digests(spec: Fields) -> Digests:
    fields = spec.fields("digests")
    if fields is None:
        return Digests()
    return fields.done(Digests(*(fields.flag(name, default=True) for name in ("mutate", "verify", "required"))))


def _exemption(fields: Fields, name: str, rules: tuple[tuple[str, str], ...]) -> Exemption:
    images = _patterns(fields, "images", [], excuse=True)
    if not images:
        raise PolicyInvalidError(
            f"{fields.at('images')} is missing: an exception is for images by name",
            hint='["ghcr.io/team/app@sha256:…"]',
        )
    until, reason = times.moment(fields, "until"), fields.required_text("reason")
    selector = selection.read(fields.fields("match"))
    return Exemption(name, rules, selector, images, until, reason, "sealgate")


def _mirrors(spec: Fields, namespace: str | None) -> tuple[Mirror, ...]:
    found = tuple(mirrors.read(each) for each in spec.objects("mirrors"))
    if found and namespace is not None:
        raise PolicyInvalidError(
            f"{spec.at('mirrors')}: which registry is a copy of which is for the cluster to say",
            hint="ClusterImagePolicy",
        )
    return found
