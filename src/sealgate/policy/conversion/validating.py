"""Kyverno's image policies in our own grammar, where their expressions are of the plain forms (`plainforms`). Pure.

What they say beside that (conditions on objects, variables, payloads, trust of their own) is named and refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.errors import PolicyInvalidError
from sealgate.evidence import predicates
from sealgate.policy import patterns
from sealgate.policy.conversion import plainforms
from sealgate.policy.conversion.grammars import document, lost, merged, pattern
from sealgate.policy.fields import Fields
from sealgate.policy.kyverno import constraints, validating
from sealgate.policy.kyverno.match import CONTROLLERS

if TYPE_CHECKING:
    from sealgate.policy.conversion.plainforms import Form
    from sealgate.policy.reading import Source

_ALWAYS = {"CREATE", "UPDATE"}
"""What admission asks about."""
_BESIDE = ("failurePolicy", "webhookConfiguration", "auditAnnotations")
_OTHERS = ("matchConditions", "variables", "images", "credentials")


def read(source: Source, remarks: list[str]) -> list[dict[str, Any]]:
    """The policy of an object. Raises `PolicyUnsupportedError`."""
    spec = Fields(source.document.get("spec"), f"{source.where}: spec")
    for name in _OTHERS:
        if spec.has(name):
            lost(spec.at(name), name)
    remarks += [f"{name} is no part of what a policy asks for and is left out" for name in _BESIDE if spec.has(name)]
    made: dict[str, Any] = {"images": _images(spec)}
    match = _match(spec)
    if match:
        made["match"] = match
    action = validating.action_of(spec, [])
    if action != "enforce":
        made["action"] = action
    digests = validating.digests_of(spec, action)
    if not digests.required:
        lost(spec.at("validationConfigurations.required"), "that images which no expression asks about are admitted")
    given = {"mutate": digests.mutate, "verify": digests.verify}
    if not all(given.values()):
        made["digests"] = {name: flag for name, flag in given.items() if not flag}
    attestors = {each.required_text("name"): _signer(each, remarks) for each in spec.objects("attestors")}
    types = {each.required_text("name"): _type(each) for each in spec.objects("attestations")}
    made["require"] = _demand(spec, attestors, types, remarks)
    spec.end()
    remarks.append(
        "Kyverno admits images that no policy matches; other policies deny them, unless --no-match allow says so"
    )
    return [document(source.name, source.namespace, made)]


def _images(spec: Fields) -> list[str]:
    found: list[str] = []
    references = spec.objects("matchImageReferences")
    for each in references:
        if each.has("expression"):
            lost(each.at("expression"), "which images an expression means", "glob")
        glob = each.required_text("glob")
        each.end()
        for one in patterns.alternatives(glob):
            if "[" in one:
                lost(each.at("glob"), f"which names {one!r} means")
            found += pattern(one, each.at("glob"), "kyverno")
    return merged(found) if references else ["**"]


def _match(spec: Fields) -> dict[str, Any]:
    """Rules for Pods hold for whatever makes Pods, but where `autogen` names some."""
    fields = spec.fields("matchConstraints")
    if fields is None:
        spec.missing("matchConstraints")
    where = fields.at("resourceRules")
    for name in ("excludeResourceRules", "objectSelector"):
        if fields.take(name):
            lost(fields.at(name), name)
    selector = fields.take("namespaceSelector")
    found = constraints.read(spec)
    [rule] = found.rules if len(found.rules) == 1 else [None]
    if rule is None or not rule.is_pods or rule.scope != "*":
        lost(where, "which objects it is about", "a single rule for pods of v1 is converted")
    made: dict[str, Any] = {}
    if set(found.controllers) != set(CONTROLLERS):
        made["kinds"] = ["Pod", *found.controllers]
    if selector:
        made["namespaceSelector"] = selector
    if "*" not in rule.operations and not set(rule.operations) >= _ALWAYS:
        made["operations"] = list(rule.operations)
    return made


def _signer(fields: Fields, remarks: list[str]) -> dict[str, Any]:
    """One attestor: what stands in `signature`, or in `by`."""
    if fields.has("notary"):
        lost(fields.at("notary"), "Notary's signatures")
    cosign = fields.fields("cosign")
    if cosign is None:
        fields.missing("cosign")
    fields.end()
    for name in ("certificate", "tuf", "trustedRoot"):
        if cosign.has(name):
            lost(cosign.at(name), "whom it believes in", "a TrustRoot beside the policies, and trustRoot")
    key, keyless = cosign.fields("key"), cosign.fields("keyless")
    made: dict[str, Any] = {}
    if key is not None:
        for name in ("kms", "expression", "hashAlgorithm"):
            if key.has(name):
                lost(key.at(name), name)
        made["key"] = key.done(key.required_text("data"))
    elif keyless is not None:
        for name in ("roots", "additionalExtensions"):
            if keyless.has(name):
                lost(keyless.at(name), name)
        made["identities"] = [_identity(each) for each in keyless.objects("identities")]
        keyless.end()
    else:
        cosign.missing("key")
    ctlog = cosign.fields("ctlog")
    if ctlog is not None:
        for name in ("rekorPubKey", "ctLogPubKey", "tsaCertChain"):
            if ctlog.has(name):
                lost(ctlog.at(name), "whom it believes in", "a TrustRoot beside the policies, and trustRoot")
        if ctlog.flag("insecureIgnoreTlog", default=False):
            made["log"] = "ignore"
        if ctlog.flag("insecureIgnoreSCT", default=False):
            made["ignoreSCT"] = True
        ctlog.ignored("url")
        ctlog.end()
    source = cosign.fields("source")
    if source is not None:
        if source.has("PullSecrets"):
            remarks.append("credentials for registries come from the operator, not from PullSecrets")
        for name in ("repository", "tagPrefix"):
            value = source.text(name)
            if value is not None:
                made[name] = value
        source.end()
    annotations = dict(cosign.text_map("annotations"))
    cosign.end()
    return made | ({"annotations": annotations} if annotations else {})


def _identity(fields: Fields) -> dict[str, Any]:
    if fields.has("subjectExpression"):
        lost(fields.at("subjectExpression"), "a subject that an expression gives", "subject")
    names = ("issuer", "issuerRegExp", "subject", "subjectRegExp")
    return fields.done({name: value for name in names if (value := fields.text(name)) is not None})


def _type(fields: Fields) -> str:
    if fields.has("referrer"):
        lost(fields.at("referrer"), "artifacts that Notary signs")
    intoto = fields.fields("intoto")
    if intoto is None:
        fields.missing("intoto")
    fields.end()
    kind = intoto.done(intoto.required_text("type"))
    if kind in predicates.SHORT_NAMES or ":" not in kind:
        lost(intoto.at("type"), f"which type {kind!r} is", "a predicate type is a URI")
    return kind


def _demand(
    spec: Fields, attestors: dict[str, dict[str, Any]], types: dict[str, str], remarks: list[str]
) -> dict[str, Any]:
    """What every image must have. Lists of which it asks different things are refused."""
    asked: dict[str, list[Form]] = {}
    where = spec.at("validations")
    for each in spec.objects("validations"):
        for form in plainforms.read(each.required_text("expression"), each.at("expression")):
            for name in form.lists:
                asked.setdefault(name, []).append(form._replace(lists=()))
        if each.has("message") or each.has("messageExpression"):
            remarks.append("messages of validations are left out")
        each.ignored("reason")
        each.end()
    if not asked:
        raise PolicyInvalidError(f"{where} is empty: it would demand nothing")
    first = next(iter(asked.values()))
    if any(set(forms) != set(first) for forms in asked.values()):
        lost(where, "that images are asked for different things by where they stand")
    unasked = [name for name in (*plainforms.LISTS, "volumes") if name not in asked]
    remarks.append(
        f"images of {', '.join(unasked)}, which no validation asks about, were refused; now the same is asked of them"
    )
    parts = [_part(form, attestors, types, where) for form in dict.fromkeys(first)]
    return parts[0] if len(parts) == 1 else {"all": parts}


def _part(form: Form, attestors: dict[str, dict[str, Any]], types: dict[str, str], where: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    for name in form.attestors:
        if name not in attestors:
            raise PolicyInvalidError(f"{where}: the policy has no attestor {name!r}")
        signer = attestors[name]
        if form.attestation is None:
            parts.append({"signature": signer})
            continue
        if form.attestation not in types:
            raise PolicyInvalidError(f"{where}: the policy has no attestation {form.attestation!r}")
        if "annotations" in signer:
            lost(f"{where}: attestors.{name}", "annotations of attestations")
        parts.append({"attestation": {"type": types[form.attestation], "by": signer}})
    if len(parts) == 1:
        return parts[0]
    return {"any": parts} if form.needed == 1 else {"atLeast": {"count": form.needed, "of": parts}}
