"""Kyverno's `verifyImages` in our own grammar, and back: signatures by keys and identities of pods. Pure.

Whatever else such a rule says (conditions, preconditions, variables, other objects) is named and refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sealgate.policy.conversion import document, lost, pattern
from sealgate.policy.fields import Fields

if TYPE_CHECKING:
    from sealgate.policy.reading import Source

_PODS = [{"resources": {"kinds": ["Pod"]}}]


def read(source: Source, remarks: list[str]) -> list[dict[str, Any]]:
    """One policy for each element of `verifyImages`. Raises `PolicyUnsupportedError`."""
    spec = Fields(source.document.get("spec"), f"{source.where}: spec")
    default = spec.text("validationFailureAction") or "Audit"
    aside = ("webhookTimeoutSeconds", "webhookConfiguration", "failurePolicy", "background", "admission", "emitWarning")
    remarks += [f"{name} is no part of what a policy asks for and is left out" for name in aside if spec.has(name)]
    found = []
    for rule in spec.objects("rules"):
        name = rule.required_text("name")
        if rule.take("match") not in ({"any": _PODS}, {"all": _PODS}, _PODS[0]):
            lost(rule.at("match"), "which objects it is about", "match: {kinds: [Pod]} alone is converted")
        for at, each in enumerate(rule.objects("verifyImages")):
            made = _block(each, default)
            found.append(document(f"{source.name}-{name}-{at}", source.namespace, made))
        for other in (
            "exclude",
            "preconditions",
            "celPreconditions",
            "context",
            "imageExtractors",
            "validate",
            "mutate",
            "generate",
        ):
            if rule.has(other):
                lost(rule.at(other), other)
        rule.end()
    if spec.has("validationFailureActionOverrides"):
        lost(spec.at("validationFailureActionOverrides"), "actions by namespace")
    spec.end()
    return found


def _block(fields: Fields, default: str) -> dict[str, Any]:
    globs = list(fields.texts("imageReferences"))
    image = fields.text("image")
    globs += [image] if image is not None else []
    made: dict[str, Any] = {"images": [pattern(each, fields.at("imageReferences"), deep=True) for each in globs]}
    skip = [pattern(each, fields.at("skipImageReferences"), deep=True) for each in fields.texts("skipImageReferences")]
    if skip:
        made["skip"] = skip
    action = (fields.text("failureAction") or default).lower()
    if action == "audit":
        made["action"] = "audit"
    repository = fields.text("repository")
    sets = [_set(each, repository) for each in fields.objects("attestors")]
    key = fields.text("key")
    if key is not None:
        sets.append({"signature": _terms({"key": key}, repository)})
    digests = {ours: False for ours, theirs in _DIGESTS if not fields.flag(theirs, default=True)}
    if digests:
        made["digests"] = digests
    for other in ("attestations", "annotations", "roots", "issuer", "subject", "additionalExtensions", "type", "validate",
                  "imageRegistryCredentials"):  # fmt: skip
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
    if len(entries) == 1:
        return entries[0]
    return {"atLeast": {"count": count or len(entries), "of": entries}}


def _entry(fields: Fields, repository: str | None) -> dict[str, Any]:
    keys, keyless = fields.fields("keys"), fields.fields("keyless")
    repository = fields.text("repository") or repository
    annotations = dict(fields.text_map("annotations"))
    if any("*" in value or "?" in value for value in annotations.values()):
        lost(fields.at("annotations"), "wildcards in annotations")
    inner = keys if keys is not None else keyless
    if inner is None:
        lost(fields.where, "certificates, or attestors in attestors")
        return {}
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
    metadata = document.get("metadata") or {}
    spec = Fields(document.get("spec"), f"{where}: spec")
    block: dict[str, Any] = {"imageReferences": [_glob(each, spec.at("images")) for each in spec.texts("images")]}
    skip = [_glob(each, spec.at("skip")) for each in spec.texts("skip")]
    if skip:
        block["skipImageReferences"] = skip
    action = spec.text("action") or "enforce"
    if action == "warn":
        lost(spec.at("action"), "that refusals warn")
    block["failureAction"] = "Audit" if action == "audit" else "Enforce"
    if action == "audit":
        block["mutateDigest"] = False
    if spec.take("match") not in (None, {"kinds": ["Pod"]}):
        lost(spec.at("match"), "which objects it is about")
    require = spec.fields("require")
    if require is None:
        spec.missing("require")
    parts = require.objects("all") if require.has("all") else [require]
    block["attestors"] = [_attestors(each) for each in parts]
    for name in ("deny", "overrides", "grace", "digests", "exceptions", "mirrors"):
        if spec.has(name):
            lost(spec.at(name), name)
    spec.end()
    remarks.append("Kyverno admits images that no policy matches; Sealgate's own policies deny them")
    rule = {"name": "verify", "match": {"any": _PODS}, "verifyImages": [block]}
    kind = "Policy" if metadata.get("namespace") else "ClusterPolicy"
    return [{"apiVersion": "kyverno.io/v1", "kind": kind, "metadata": dict(metadata), "spec": {"rules": [rule]}}]


def _glob(text: str, where: str) -> str:
    if text == "**":
        return "*"
    if text.startswith("*.") or "@" in text or ":" in text.rpartition("/")[2] or "*" in text.removesuffix("/**"):
        lost(where, f"what {text!r} means", "there a * crosses slashes; HOST/PATH/** is converted")
    if not text.endswith("/**"):  # no pattern there covers its tags and digests, and no other name
        lost(where, f"that {text!r} is one repository, with any tag or digest")
    return text.removesuffix("*")


def _attestors(fields: Fields) -> dict[str, Any]:
    if fields.has("any"):
        parts, count = fields.objects("any"), 1
    elif fields.has("atLeast"):
        inner = fields.fields("atLeast")
        if inner is None:
            fields.missing("atLeast")
        parts, found = inner.objects("of"), inner.number("count", least=1, most=1000)
        count = found or len(parts)
        inner.end()
    else:
        parts, count = [fields], 1
    entries = [_entry_of(each) for each in parts]
    return {"count": count, "entries": entries}


def _entry_of(fields: Fields) -> dict[str, Any]:
    signature = fields.fields("signature")
    if signature is None:
        lost(fields.where, "what is demanded beside signatures")
        return {}
    fields.end()
    more: dict[str, Any] = {}
    if signature.text("log") == "ignore":
        more["rekor"] = {"ignoreTlog": True, "url": "https://rekor.sigstore.dev"}
    if signature.flag("ignoreSCT", default=False):
        more["ctlog"] = {"ignoreSCT": True}
    key, identity = signature.take("key"), signature.take("identity")
    if isinstance(key, str):
        made: dict[str, Any] = {"keys": {"publicKeys": key} | more}
    elif isinstance(identity, Mapping) and "extensions" not in identity:
        rekor = {"rekor": {"url": "https://rekor.sigstore.dev"}}
        made = {
            "keyless": {name: _plain(str(value), name, signature.where) for name, value in identity.items()}
            | rekor
            | more
        }
    else:
        lost(signature.where, "who: several keys or identities, a Secret, a certificate, or extensions")
        return {}
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
