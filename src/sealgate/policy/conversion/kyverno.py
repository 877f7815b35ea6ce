"""Kyverno's `verifyImages` in our own grammar, and back: signatures and attestations by keys and identities, of pods. Pure.

Whatever else such a rule says (preconditions, variables, other objects) is named and refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sealgate.errors import PolicyInvalidError, UsageError
from sealgate.evidence import predicates
from sealgate.policy.conversion import comparisons
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
            made = _block(each, default, remarks, warns=warns)
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


def _block(fields: Fields, default: str, remarks: list[str], *, warns: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"images": _images(fields, "imageReferences", excuse=False)}
    skip = _images(fields, "skipImageReferences", excuse=True)
    if skip:
        made["skip"] = skip
    own = action_of(fields, "failureAction")
    action = default if own is None else warned(own, warns=warns)
    if action != "enforce":
        made["action"] = action
    sets = _demands(fields, remarks)
    given = {ours: fields.flag(theirs, default=ours != "mutate" or action == "enforce") for ours, theirs in _DIGESTS}
    digests = {name: flag for name, flag in given.items() if not flag}
    if digests:
        made["digests"] = digests
    if fields.choice("type", "Cosign", "SigstoreBundle", "Notary") == "Notary":
        lost(fields.at("type"), "Notary's signatures")
    for other in ("annotations", "roots", "issuer", "subject", "additionalExtensions", "validate",
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


def _demands(fields: Fields, remarks: list[str]) -> list[dict[str, Any]]:
    """What a block asks for, all of it. `key` is who must have attested, where there are attestations and no attestors."""
    repository, key = fields.text("repository"), fields.text("key")
    attestations = fields.objects("attestations")
    sets = [_set(each, repository, None) for each in fields.objects("attestors")]
    if key is not None and (sets or not attestations):
        sets.append({"signature": _terms({"key": key}, repository)})
    for each in attestations:
        wanted = _attested(each, remarks)
        own = [_set(one, repository, wanted) for one in each.objects("attestors")]
        if key is not None:
            own.append(_asked({"key": key}, repository, wanted))
        if not own:  # those who must sign the image must have attested it, too
            own = [_set(one, repository, wanted) for one in fields.objects("attestors")]
        each.end()
        if not own:
            raise PolicyInvalidError(f"{each.where}: nobody is named who must have attested it", hint="attestors")
        sets += own
    return sets


def _attested(fields: Fields, remarks: list[str]) -> dict[str, Any]:
    """The type of an attestation, and its conditions."""
    kind = fields.text("type") or fields.text("predicateType")
    fields.ignored("name", "predicateType")
    if kind is None:
        fields.missing("type")
    if "{{" in kind or not _is_uri(kind):
        lost(fields.at("type"), f"which type {kind!r} is", "a predicate type is a URI")
    made: dict[str, Any] = {"type": kind}
    texts = [{"cel": comparisons.convert(value, where)} for value, where in fields.items("conditions")]
    if texts:
        made["conditions"] = texts
        remarks.append("messages of conditions are left out")
    return made


def _is_uri(kind: str) -> bool:
    """Whether a type means itself in our grammar."""
    try:
        return predicates.type_of(kind) == kind
    except UsageError:
        return False


def _asked(who: dict[str, Any], repository: str | None, wanted: dict[str, Any] | None) -> dict[str, Any]:
    """A signature, or an attestation, by somebody."""
    signer = _terms(who, repository)
    return {"signature": signer} if wanted is None else {"attestation": wanted | {"by": signer}}


def _set(fields: Fields, repository: str | None, wanted: dict[str, Any] | None) -> dict[str, Any]:
    entries = [_entry(each, repository, wanted) for each in fields.objects("entries")]
    count = fields.number("count", least=0, most=1000)
    fields.end()
    if not entries or (count or 0) > len(entries):
        raise PolicyInvalidError(f"{fields.where}: {count or 1} are asked for, and there are {len(entries)} entries")
    if len(entries) == 1:
        return entries[0]
    if count == 1:
        return {"any": entries}
    return {"atLeast": {"count": count or len(entries), "of": entries}}


def _entry(fields: Fields, repository: str | None, wanted: dict[str, Any] | None) -> dict[str, Any]:
    keys, keyless = fields.fields("keys"), fields.fields("keyless")
    repository = fields.text("repository") or repository
    for other in ("certificates", "attestor"):
        if fields.has(other):
            lost(fields.at(other), other)
    annotations = dict(fields.text_map("annotations"))
    if any("*" in value or "?" in value for value in annotations.values()):
        lost(fields.at("annotations"), "wildcards in annotations")
    if annotations and wanted is not None:
        lost(fields.at("annotations"), "annotations of attestations")
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
    return _asked(made | ({"annotations": annotations} if annotations else {}), repository, wanted)


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
    made = [_attestors(each) for each in parts]
    signed = [found for kind, found in made if kind is None]
    if signed:
        block["attestors"] = signed
    attested = [{"type": kind, "attestors": [found]} for kind, found in made if kind is not None]
    if attested:
        block["attestations"] = attested
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


def _attestors(fields: Fields) -> tuple[str | None, dict[str, Any]]:
    """A set, and the type of attestation that it is about; None: signatures."""
    if fields.has("any"):
        parts, count = fields.objects("any"), 1
        fields.end()
    elif fields.has("atLeast"):
        inner = fields.fields("atLeast")
        if inner is None:
            fields.missing("atLeast")
        parts, number = inner.objects("of"), inner.number("count", least=1, most=1000)
        if number is None:
            inner.missing("count")
        count = number
        inner.end()
        fields.end()
    else:
        parts, count = [fields], 1
    found = [_entry_of(each) for each in parts]
    kinds = {kind for kind, _ in found}
    if len(kinds) > 1:
        lost(fields.where, "that signatures and attestations, or attestations of different types, are alternatives")
    return next(iter(kinds)), {"count": count, "entries": [entry for _, entry in found]}


def _entry_of(fields: Fields) -> tuple[str | None, dict[str, Any]]:
    signature, kind = fields.fields("signature"), None
    if signature is None:
        attestation = fields.fields("attestation")
        if attestation is None:
            lost(fields.where, "what is demanded beside signatures and attestations")
        signature, kind = _attestation_of(attestation)
    fields.end()
    return kind, _signer_of(signature)


def _attestation_of(fields: Fields) -> tuple[Fields, str]:
    for name in ("conditions", "maxAge"):
        if fields.has(name):
            lost(fields.at(name), f"{name} of an attestation")
    by = fields.fields("by")
    if by is None:
        fields.missing("by")
    kind = fields.required_text("type")
    try:
        return fields.done((by, predicates.type_of(kind)))
    except UsageError as error:
        raise PolicyInvalidError(f"{fields.at('type')}: {error.message}", hint=error.hint) from error


def _signer_of(signature: Fields) -> dict[str, Any]:
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
