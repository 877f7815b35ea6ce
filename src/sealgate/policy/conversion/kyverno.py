"""Kyverno's `verifyImages` in our own grammar, and back: signatures by keys and identities of pods. Pure.

Whatever else such a rule says (conditions, preconditions, variables, other objects) is named and refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sealgate.errors import PolicyInvalidError
from sealgate.policy.conversion.grammars import document, lost, merged, pattern, unfold, whole
from sealgate.policy.fields import Fields
from sealgate.policy.kyverno.match import AUTOGEN
from sealgate.policy.kyverno.policy import action_of, warned

if TYPE_CHECKING:
    from sealgate.policy.reading import Source

_PODS = [{"resources": {"kinds": ["Pod"]}}]


def read(source: Source, remarks: list[str]) -> list[dict[str, Any]]:
    """One policy for each element of `verifyImages`. Raises `PolicyUnsupportedError`."""
    spec = Fields(source.document.get("spec"), f"{source.where}: spec")
    warns = spec.flag("emitWarning", default=False)
    default = warned(action_of(spec, "validationFailureAction") or "audit", warns=warns)
    if not spec.flag("admission", default=True):
        default = "audit"
    remarks += [f"{name} is no part of what a policy asks for and is left out" for name in _ASIDE if spec.has(name)]
    remarks.append(
        "Kyverno admits images that no policy matches; other policies deny them, unless --no-match allow says so"
    )
    spec.ignored(*_IDLE)
    kinds = _kinds(source)
    found = []
    rules = spec.objects("rules")
    if len(rules) > 1 and spec.text("applyRules") == "One":
        lost(spec.at("applyRules"), "that only the first rule counts", "a policy for each rule")
    spec.ignored("applyRules")
    for rule in rules:
        name = rule.required_text("name")
        if rule.take("match") not in ({"any": _PODS}, {"all": _PODS}, _PODS[0]):
            lost(
                rule.at("match"),
                "which objects it is about",
                "match: {any: [{resources: {kinds: [Pod]}}]} is converted",
            )
        for other in _OTHERS:
            if rule.has(other):
                lost(rule.at(other), other)
        blocks = rule.objects("verifyImages")
        if not blocks:
            lost(rule.where, "a rule without verifyImages")
        for at, each in enumerate(blocks):
            made = _block(each, default, warns=warns)
            if kinds:
                made["match"] = {"kinds": kinds}
            found.append(document(f"{source.name}-{name}-{at}", source.namespace, made))
        rule.ignored("skipBackgroundRequests", "reportProperties")
        rule.end()
    if spec.has("validationFailureActionOverrides"):
        lost(spec.at("validationFailureActionOverrides"), "actions by namespace")
    spec.end()
    return found


_ASIDE = ("webhookTimeoutSeconds", "webhookConfiguration", "failurePolicy", "background")
_IDLE = ("useServerSideApply", "generateExisting", "generateExistingOnPolicyUpdate", "mutateExistingOnPolicyUpdate",
         "schemaValidation")  # fmt: skip
_OTHERS = (
    "exclude",
    "preconditions",
    "celPreconditions",
    "context",
    "imageExtractors",
    "validate",
    "mutate",
    "generate",
)


def _kinds(source: Source) -> list[str]:
    """Rules for pods hold for whatever makes pods, but where the annotation says otherwise."""
    metadata = source.document.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    found = annotations.get(AUTOGEN) if isinstance(annotations, Mapping) else None
    if found not in {None, "none"}:
        lost(f"{source.where}: metadata.annotations", f"that it holds for {found} alone")
    return [] if found is None else ["Pod"]


def _images(fields: Fields, name: str, *, excuse: bool) -> list[str]:
    globs = list(fields.texts(name))
    image = fields.text("image") if not excuse else None
    globs += [image] if image is not None else []
    found: list[str] = []
    for each in globs:
        base = each.removesuffix(":*").removesuffix("@*")
        if excuse and set(whole(base)) <= set(globs):  # with tags and with digests: the repository
            found += pattern(base, fields.at(name), "other", excuse=False)
        else:
            found += pattern(each, fields.at(name), "kyverno", excuse=excuse)
    return merged(found)


def _block(fields: Fields, default: str, *, warns: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"images": _images(fields, "imageReferences", excuse=False)}
    skip = _images(fields, "skipImageReferences", excuse=True)
    if skip:
        made["skip"] = skip
    own = action_of(fields, "failureAction")
    action = default if own is None else warned(own, warns=warns)
    if action != "enforce":
        made["action"] = action
    repository = fields.text("repository")
    sets = [_set(each, repository) for each in fields.objects("attestors")]
    key = fields.text("key")
    if key is not None:
        sets.append({"signature": _terms({"key": key}, repository)})
    given = {ours: fields.flag(theirs, default=ours != "mutate" or action == "enforce") for ours, theirs in _DIGESTS}
    digests = {name: flag for name, flag in given.items() if not flag}
    if digests:
        made["digests"] = digests
    if fields.choice("type", "Cosign", "SigstoreBundle", "Notary") == "Notary":
        lost(fields.at("type"), "Notary's signatures")
    for other in ("attestations", "annotations", "roots", "issuer", "subject", "additionalExtensions", "validate",
                  "imageRegistryCredentials", "signatureAlgorithm"):  # fmt: skip
        if fields.has(other):
            lost(fields.at(other), other)
    fields.ignored("useCache", "cosignOCI11")
    fields.end()
    if not sets:
        lost(fields.where, "a block that asks for no signature")
    made["require"] = sets[0] if len(sets) == 1 else {"all": sets}
    return made


_DIGESTS = (("mutate", "mutateDigest"), ("verify", "verifyDigest"), ("required", "required"))


def _set(fields: Fields, repository: str | None) -> dict[str, Any]:
    entries = [_entry(each, repository) for each in fields.objects("entries")]
    count = fields.number("count", least=0, most=1000)
    fields.end()
    if not entries or (count or 0) > len(entries):
        raise PolicyInvalidError(f"{fields.where}: {count or 1} are asked for, and there are {len(entries)} entries")
    if len(entries) == 1:
        return entries[0]
    if count == 1:
        return {"any": entries}
    return {"atLeast": {"count": count or len(entries), "of": entries}}


def _entry(fields: Fields, repository: str | None) -> dict[str, Any]:
    keys, keyless = fields.fields("keys"), fields.fields("keyless")
    repository = fields.text("repository") or repository
    for other in ("certificates", "attestor"):
        if fields.has(other):
            lost(fields.at(other), other)
    annotations = dict(fields.text_map("annotations"))
    if any("*" in value or "?" in value for value in annotations.values()):
        lost(fields.at("annotations"), "wildcards in annotations")
    inner = keys if keys is not None else keyless
    if inner is None:
        lost(fields.where, "an entry without keys and keyless")
    fields.end()
    made: dict[str, Any] = _keys(inner) if keys is not None else {"identity": _identity(inner)}
    rekor, ctlog = inner.fields("rekor"), inner.fields("ctlog")
    if rekor is not None:
        if rekor.has("pubkey"):
            lost(rekor.at("pubkey"), "a log of its own", "a TrustRoot, and trustRoot")
        if rekor.flag("ignoreTlog", default=False):
            made["log"] = "ignore"
        rekor.ignored("url")
        rekor.end()
    if ctlog is not None:
        for name in ("pubkey", "tsaCertChain"):
            if ctlog.has(name):
                lost(ctlog.at(name), "whom it believes in", "a TrustRoot, and trustRoot")
        if ctlog.flag("ignoreSCT", default=False):
            made["ignoreSCT"] = True
        ctlog.end()
    inner.end()
    return {"signature": _terms(made, repository) | ({"annotations": annotations} if annotations else {})}


def _keys(inner: Fields) -> dict[str, Any]:
    for other in ("kms", "secret", "signatureAlgorithm"):
        if inner.has(other):
            lost(inner.at(other), other)
    key = inner.text("publicKeys")
    if key is None or "-----BEGIN" not in key or "{{" in key or key.count("-----BEGIN") > 1:
        lost(inner.where, "a key that is kept elsewhere, or several in one text", "one PEM for each entry")
    return {"key": key}


def _identity(inner: Fields) -> dict[str, Any]:
    if inner.has("roots"):
        lost(inner.at("roots"), "authorities of its own", "authorities: PEM")
    if inner.has("additionalExtensions"):
        lost(inner.at("additionalExtensions"), "extensions of certificates")
    found = {}
    for name in ("issuer", "subject"):
        text, regexp = inner.text(name), inner.text(f"{name}RegExp")
        if regexp is not None:
            found[f"{name}RegExp"] = regexp
        elif text is not None and ("*" in text or "?" in text):
            pieces = [
                ".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", text)
            ]
            found[f"{name}RegExp"] = "".join(pieces)
        elif text is not None:
            found[name] = text
        else:
            lost(inner.where, f"that the {name} may be anything")
    return found


def _terms(made: dict[str, Any], repository: str | None) -> dict[str, Any]:
    return made | ({"repository": repository} if repository is not None else {})


# -- back


def write(document: Mapping[str, Any], where: str, remarks: list[str]) -> list[dict[str, Any]]:
    """A policy of our own as a ClusterPolicy. Raises `PolicyUnsupportedError`."""
    given = document.get("metadata") or {}
    metadata: dict[str, Any] = {name: given[name] for name in ("name", "namespace") if given.get(name)}
    top: dict[str, Any] = {}
    spec = Fields(document.get("spec"), f"{where}: spec")
    block: dict[str, Any] = {"imageReferences": _globs(spec, "images")}
    skip = _globs(spec, "skip")
    if skip:
        block["skipImageReferences"] = skip
    action = spec.text("action") or "enforce"
    block["failureAction"] = "Enforce" if action == "enforce" else "Audit"
    if action == "warn":
        top["emitWarning"] = True
    _write_digests(spec, block, action)
    match = spec.take("match")
    if match == {"kinds": ["Pod"]}:
        metadata["annotations"] = {AUTOGEN: "none"}
    elif match is not None:
        lost(spec.at("match"), "which objects it is about")
    require = spec.fields("require")
    if require is None:
        spec.missing("require")
    parts = require.objects("all") if require.has("all") else [require]
    block["attestors"] = [_attestors(each) for each in parts]
    require.end()
    for name in ("deny", "overrides", "grace", "exceptions", "mirrors"):
        if spec.has(name):
            lost(spec.at(name), name)
    spec.end()
    remarks.append(
        "Kyverno admits images that no policy matches, and looks at objects of other kinds only as the pods they make"
    )
    rule = {"name": "verify", "match": {"any": _PODS}, "verifyImages": [block]}
    kind = "Policy" if "namespace" in metadata else "ClusterPolicy"
    return [{"apiVersion": "kyverno.io/v1", "kind": kind, "metadata": metadata, "spec": top | {"rules": [rule]}}]


def _write_digests(spec: Fields, block: dict[str, Any], action: str) -> None:
    """Nothing is written there where refusals are only reported."""
    digests = spec.fields("digests")
    found = {ours: digests.flag(ours, default=True) for ours, _ in _DIGESTS} if digests is not None else {}
    if digests is not None:
        digests.end()
    if action != "enforce" and found.get("mutate", True):
        lost(spec.at("digests.mutate"), "that digests are written though refusals are only reported", "mutate: false")
    block |= {theirs: False for ours, theirs in _DIGESTS if not found.get(ours, True)}


def _globs(spec: Fields, name: str) -> list[str]:
    found: list[str] = []
    for text in spec.texts(name):
        if text == "**":
            found.append("*")
            continue
        base, more, tag = unfold(text, spec.at(name))
        if "*" in base or tag is not None:
            lost(spec.at(name), f"what {text!r} means", "there a * crosses slashes; HOST/PATH/** is converted")
        found += [f"{base}/*"] if more else []
        found += whole(base) if more != "/*" else []
    return found


def _attestors(fields: Fields) -> dict[str, Any]:
    if fields.has("any"):
        parts, count = fields.objects("any"), 1
        fields.end()
    elif fields.has("atLeast"):
        inner = fields.fields("atLeast")
        if inner is None:
            fields.missing("atLeast")
        parts, found = inner.objects("of"), inner.number("count", least=1, most=1000)
        if found is None:
            inner.missing("count")
        count = found
        inner.end()
        fields.end()
    else:
        parts, count = [fields], 1
    entries = [_entry_of(each) for each in parts]
    return {"count": count, "entries": entries}


def _entry_of(fields: Fields) -> dict[str, Any]:
    signature = fields.fields("signature")
    if signature is None:
        lost(fields.where, "what is demanded beside signatures")
    fields.end()
    more: dict[str, Any] = {}
    log = signature.choice("log", "auto", "require", "ignore")
    if log == "require":
        lost(signature.at("log"), "that a log must be believed in", "log: auto asks for an entry where one is")
    if log == "ignore":
        more["rekor"] = {"ignoreTlog": True, "url": "https://rekor.sigstore.dev"}
    if signature.flag("ignoreSCT", default=False):
        more["ctlog"] = {"ignoreSCT": True}
    key, identity = signature.take("key"), signature.take("identity")
    if isinstance(key, str):
        made: dict[str, Any] = {"keys": {"publicKeys": key} | more}
    elif isinstance(identity, Mapping) and "extensions" not in identity:
        if not {"subject", "subjectRegExp"} & set(identity):
            lost(signature.at("identity"), "that the subject may be anything", 'subjectRegExp: ".*"')
        rekor = {"rekor": {"url": "https://rekor.sigstore.dev"}}
        made = {
            "keyless": {name: _plain(str(value), name, signature.where) for name, value in identity.items()}
            | rekor
            | more
        }
    else:
        lost(signature.where, "who: several keys or identities, a Secret, a certificate, or extensions")
    for name in ("repository", "annotations"):
        value = signature.take(name)
        if value is not None:
            made[name] = value
    for name in ("tagPrefix", "trustRoot", "timestamp", "authorities"):
        if signature.has(name):
            lost(signature.at(name), name)
    signature.end()
    return made


def _plain(value: str, name: str, where: str) -> str:
    """Exact texts must have no wildcards there, and regular expressions match anywhere: they are anchored."""
    if name.endswith("RegExp"):
        return f"^(?:{value})$"
    if "*" in value or "?" in value:
        lost(where, f"that {name} has a * or ? in it")
    return value
