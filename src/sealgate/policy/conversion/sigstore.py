"""policy-controller's policies in our own grammar, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sealgate.policy.conversion.grammars import document, lost, merged, pattern, unfold
from sealgate.policy.fields import Fields
from sealgate.policy.sigstore.policy import RESOURCES

if TYPE_CHECKING:
    from sealgate.policy.reading import Source

_KINDS = {
    "pods": "Pod", "deployments": "Deployment", "replicasets": "ReplicaSet", "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet", "jobs": "Job", "cronjobs": "CronJob",
}  # fmt: skip
_LANGUAGES = {"rego": "regoCompliant", "cue": "cue"}


def read(source: Source, remarks: list[str]) -> list[dict[str, Any]]:
    """The policy of an object. Raises `PolicyUnsupportedError`."""
    spec = Fields(source.document.get("spec"), f"{source.where}: spec")
    globs = [each for image in spec.objects("images") for each in _pattern(image)]
    made: dict[str, Any] = {"images": merged(globs)}
    mode = spec.choice("mode", "enforce", "warn")
    if mode == "warn":
        made["action"] = "warn"
    match = _match(spec)
    if match:
        made["match"] = match
    if spec.has("policy"):
        lost(spec.at("policy"), "a policy over all authorities", "all, any and atLeast say what is meant")
    parts = [_authority(each, remarks) for each in spec.objects("authorities")]
    spec.end()
    made["require"] = parts[0] if len(parts) == 1 else {"any": parts}
    return [document(source.name, "", made)]


def _pattern(image: Fields) -> list[str]:
    return image.done(pattern(image.required_text("glob"), image.at("glob"), "sigstore"))


def _match(spec: Fields) -> dict[str, Any]:
    kinds, selectors = [], []
    for each in spec.objects("match"):
        resource, version = each.text("resource"), each.text("version", blank=True)
        group = each.text("group", blank=True)
        known = resource in _KINDS and version in {None, "", "*", "v1"}
        if not known or group not in {None, "", "*", RESOURCES[resource or ""]}:
            lost(each.where, "which resource, of which version, is meant")
        kinds.append(_KINDS[resource or ""])
        selectors.append(each.take("selector"))
        each.end()
    if any(each != selectors[0] for each in selectors):
        lost(spec.at("match"), "that each resource has a selector of its own", "one policy for each of them")
    found: dict[str, Any] = {"kinds": list(dict.fromkeys(kinds))} if kinds else {}
    return found | ({"selector": selectors[0]} if selectors and selectors[0] else {})


def _authority(fields: Fields, remarks: list[str]) -> dict[str, Any]:
    fields.ignored("name", "signatureFormat")
    static = fields.take("static")
    if static is not None:
        fields.end()
        return {"static": {name: each for name, each in dict(static).items() if each != ""}}
    signer = _signer(fields, remarks)
    attestations = fields.objects("attestations")
    fields.end()
    if not attestations:
        return {"signature": signer}
    parts = []
    for each in attestations:
        each.ignored("name")
        wanted: dict[str, Any] = {"type": each.required_text("predicateType"), "by": signer}
        policy = each.fields("policy")
        if policy is not None:
            kind, data = policy.required_text("type"), policy.text("data")
            if data is None or kind not in _LANGUAGES:
                lost(policy.where, "a text that is kept elsewhere", "put it into data")
            wanted["conditions"] = [{_LANGUAGES[kind]: data}]
            policy.end()
        each.end()
        parts.append({"attestation": wanted})
    return parts[0] if len(parts) == 1 else {"all": parts}


def _signer(fields: Fields, remarks: list[str]) -> dict[str, Any]:
    key, keyless = fields.fields("key"), fields.fields("keyless")
    ctlog, stamps = fields.fields("ctlog"), fields.fields("rfc3161timestamp")
    roots = _roots(key, keyless, ctlog, stamps)
    made: dict[str, Any] = {}
    if key is not None:
        data, reference = key.text("data"), key.fields("secretRef")
        if key.has("kms") or key.has("hashAlgorithm"):
            lost(key.where, "kms or hashAlgorithm")
        if reference is not None:
            made["key"] = {"secret": reference.required_text("name")}
            if reference.has("namespace"):
                lost(reference.at("namespace"), "where the Secret is", "--policy-namespace says where Secrets are")
            reference.end()
            remarks.append("Secrets are taken from --policy-namespace")
        else:
            made["key"] = data
        if ctlog is None:
            made["log"] = "ignore"
        key.end()
    elif keyless is not None:
        made["identities"] = keyless.take("identities") or []
        own = keyless.fields("ca-cert")
        if own is not None:
            if own.has("secretRef"):
                lost(own.at("secretRef"), "a certificate that is kept elsewhere", "put it into data")
            if own.text("data") is None:
                lost(own.where, "a certificate that is kept elsewhere", "put it into data")
            made["authorities"] = own.take("data")
            own.end()
        if keyless.flag("insecureIgnoreSCT", default=False):
            made["ignoreSCT"] = True
        keyless.ignored("url")
        keyless.end()
    if len(roots) > 1:
        why = "that logs, timestamps and certificates have different trust roots"
        lost(fields.where, why, "one TrustRoot, that all of them name")
    root = next(iter(roots), None)
    if root is not None:
        made["trustRoot"] = root
    if stamps is not None:
        made["timestamp"] = True
        stamps.end()
    if ctlog is not None:
        ctlog.ignored("url")
        ctlog.end()
    for each in fields.objects("source"):
        if each.has("signaturePullSecrets"):
            remarks.append("credentials for registries come from the operator, not from signaturePullSecrets")
        for theirs, ours in (("oci", "repository"), ("tagPrefix", "tagPrefix")):
            value = each.text(theirs)
            if value is not None:
                made[ours] = value
        each.end()
    return made


def _roots(key: Fields | None, keyless: Fields | None, ctlog: Fields | None, stamps: Fields | None) -> set[str | None]:
    """The trust roots that certificates, logs and timestamps go by; None: the operator's."""
    found: set[str | None] = set()
    issuers = keyless.text("trustRootRef") if keyless is not None else None
    if keyless is not None:
        found.add(issuers)
    if ctlog is not None or keyless is not None:
        found.add(ctlog.text("trustRootRef") if ctlog is not None else None)
    if stamps is not None:
        found.add(stamps.text("trustRootRef") or issuers)
    return found if key is not None or keyless is not None else {None}


# -- back


def write(
    document: Mapping[str, Any],
    where: str,
    remarks: list[str],  # noqa: ARG001 - every writer is called so
) -> list[dict[str, Any]]:
    """A policy of our own as policy-controller's. Raises `PolicyUnsupportedError`."""
    metadata = document.get("metadata") or {}
    if metadata.get("namespace"):
        lost(where, "that it is of one namespace")
    spec = Fields(document.get("spec"), f"{where}: spec")
    made: dict[str, Any] = {
        "images": [{"glob": glob} for each in spec.texts("images") for glob in _globs(each, spec.at("images"))]
    }
    action = spec.text("action")
    if action == "audit":
        lost(spec.at("action"), "that refusals are only reported")
    if action == "warn":
        made["mode"] = "warn"
    match = spec.fields("match")
    if match is not None:
        made["match"] = _match_of(match)
    require = spec.fields("require")
    if require is None:
        spec.missing("require")
    parts = require.objects("any") if require.has("any") else [require]
    made["authorities"] = [_authority_of(each, at) for at, each in enumerate(parts)]
    require.end()
    for name in ("skip", "deny", "overrides", "grace", "digests", "exceptions", "mirrors"):
        if spec.has(name):
            lost(spec.at(name), name)
    spec.end()
    return [
        {
            "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
            "metadata": {"name": metadata.get("name")}, "spec": made,
        }
    ]  # fmt: skip


def _globs(text: str, where: str) -> list[str]:
    """A pattern in globs. One without a tag covers any tag and digest there only where it ends in a wildcard."""
    if text == "**":
        return [text]
    name, more, tag = unfold(text, where)
    if "**" in name or (tag is not None and "*" in tag):
        lost(where, f"what {text!r} means", "** alone stands at the end")
    end = "" if tag is None else f":{tag}"
    found = [f"{name}/**{end}"] if more else []
    if more != "/*":
        found += [name] if name.endswith("*") and not end else [name + end] if end else [f"{name}:**", f"{name}@**"]
    return found


def _match_of(match: Fields) -> list[dict[str, Any]]:
    for name in ("namespaces", "namespaceSelector", "operations"):
        if match.has(name):
            lost(match.at(name), name)
    resources = {kind: resource for resource, kind in _KINDS.items()}
    kinds, selector = match.texts("kinds"), match.take("selector")
    unknown = [kind for kind in kinds if kind.rpartition("/")[2] not in resources]
    if unknown or (selector and not kinds):
        lost(match.where, "a selector without kinds" if not unknown else f"the kind {unknown[0]}")
    more = {"selector": selector} if selector else {}
    match.end()
    return [{"resource": resources[kind.rpartition("/")[2]]} | more for kind in kinds]


def _authority_of(fields: Fields, number: int) -> dict[str, Any]:
    name = {"name": f"authority-{number}"}
    static = fields.take("static")
    if static is not None:
        fields.end()
        return name | {"static": dict(static)}
    signature = fields.fields("signature")
    if signature is not None:
        if signature.has("annotations"):
            lost(signature.at("annotations"), "annotations of signatures")
        fields.end()
        return name | _signer_of(signature)
    found = [_attested(each) for each in (fields.objects("all") if fields.has("all") else [fields])]
    if not found or any(by != found[0][0] for by, _ in found):
        lost(fields.where, "that several signers are asked for at once")
    fields.end()
    wanted = [more | {"name": f"attestation-{at}"} for at, (_, more) in enumerate(found)]
    return name | _signer_of(Fields(found[0][0], fields.where)) | {"attestations": wanted}


def _attested(fields: Fields) -> tuple[Any, dict[str, Any]]:
    """By whom an attestation is, and what it is."""
    attestation = fields.fields("attestation")
    if attestation is None:
        lost(fields.where, "what is demanded beside signatures and attestations, or of several at once")
    by = attestation.take("by")
    if by is None:
        attestation.missing("by")
    wanted: dict[str, Any] = {"predicateType": attestation.required_text("type")}
    conditions = attestation.objects("conditions")
    if len(conditions) > 1 or attestation.has("maxAge"):
        lost(attestation.where, "several conditions, or maxAge")
    for each in conditions:
        found = [(kind, text) for kind, ours in _LANGUAGES.items() if (text := each.text(ours)) is not None]
        if not found:
            lost(each.where, "a condition in CEL, JSON Schema or cosign's Rego")
        wanted["policy"] = {"type": found[0][0], "data": found[0][1]}
        each.end()
    attestation.end()
    fields.end()
    return by, wanted


def _signer_of(fields: Fields) -> dict[str, Any]:
    made: dict[str, Any] = {}
    root, log = fields.text("trustRoot"), fields.text("log") or "auto"
    referred = {"trustRootRef": root} if root is not None else {}
    if log == "require":
        lost(fields.at("log"), "that a log must be believed in", "log: auto asks for an entry where one is")
    key = fields.take("key")
    if key is not None:
        if not isinstance(key, str):
            lost(fields.at("key"), "a key in a Secret", "put it there as PEM")
        made["key"] = {"data": key}
        if log != "ignore":
            made["ctlog"] = referred or {"url": "https://rekor.sigstore.dev"}
    else:
        identities = fields.take("identities")
        single = fields.take("identity")
        found = [single] if single is not None else identities
        if not isinstance(found, list) or any(not isinstance(each, Mapping) or "extensions" in each for each in found):
            lost(fields.where, "several keys, a certificate, or extensions of certificates")
        if any(not {"subject", "subjectRegExp"} & set(each) for each in found):
            lost(fields.where, "that the subject may be anything", 'subjectRegExp: ".*"')
        anchored = [
            {name: f"^(?:{text})$" if name.endswith("RegExp") else text for name, text in each.items()}
            for each in found
        ]  # there they match anywhere
        made["keyless"] = {"identities": anchored} | referred
        if log == "ignore":
            lost(fields.at("log"), "that no log entry is asked for")
        own = fields.text("authorities")
        if own is not None:
            made["keyless"]["ca-cert"] = {"data": own}
        if fields.flag("ignoreSCT", default=False):
            made["keyless"]["insecureIgnoreSCT"] = True
        if root is not None:
            made["ctlog"] = referred
    if fields.flag("timestamp", default=False):
        made["rfc3161timestamp"] = dict(referred)
    place = {
        theirs: value
        for ours, theirs in (("repository", "oci"), ("tagPrefix", "tagPrefix"))
        if (value := fields.text(ours))
    }
    if place:
        made["source"] = [place]
    fields.end()
    return made
