"""Connaisseur's configuration in our own grammar. Pure.

One rule decides there, the narrowest; here all that match do: each policy skips what a narrower one is about. A pattern there
is also found within names, so that a trusted host in a foreign path fits; here it is the name's beginning.

Source: Connaisseur, docs: Basics ("Using Connaisseur"), Features, Validators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.errors import PolicyInvalidError
from sealgate.policy.conversion.grammars import document, lost, narrower, pattern
from sealgate.policy.fields import Fields

if TYPE_CHECKING:
    from sealgate.policy.reading import Source

_ASIDE = ("alerting", "logLevel")
_LABEL = "securesystemsengineering.connaisseur/webhook"


def read(source: Source, remarks: list[str]) -> list[dict[str, Any]]:
    """One policy a rule. Raises `PolicyInvalidError`."""
    where = source.file or "config"
    top = Fields(source.document, where)
    application = top.fields("application")
    if application is None:
        top.missing("application")
    remarks += [f"{name} is no part of a policy and is left out" for name in source.document if name != "application"]
    validators: dict[str, Fields] = {}
    for each in application.objects("validators"):
        name = each.required_text("name")
        if name in validators:
            raise PolicyInvalidError(f"{each.where}: two validators are called {name!r}")
        validators[name] = each
    common = _features(application, remarks)
    remarks += [
        f"application.{name} is no part of a policy and is left out" for name in _ASIDE if application.has(name)
    ]
    rules = application.objects("policy")
    globs = [pattern(each.required_text("pattern"), each.at("pattern"), "other")[0] for each in rules]
    application.end()
    found = []
    for at, (rule, glob) in enumerate(zip(rules, globs, strict=True)):
        if globs.count(glob) > 1:
            raise PolicyInvalidError(f"{rule.where}: {glob} stands there twice")
        spec: dict[str, Any] = dict(common) | {"images": [glob]}
        skip = narrower(glob, globs)
        if skip:
            spec["skip"] = skip
        name = rule.text("validator") or "default"
        validator = validators.get(name)
        if validator is None:
            raise PolicyInvalidError(f"{rule.at('validator')}: there is no validator {name!r}")
        spec |= _rule(rule, validator, remarks)
        found.append(document(f"connaisseur-{at}", "", spec))
    remarks.append("log entries are asked for where a trust root with logs is believed in (--tlog require: always)")
    return found


def _features(application: Fields, remarks: list[str]) -> dict[str, Any]:
    features = application.fields("features")
    common: dict[str, Any] = {}
    if features is None:
        return common
    if features.flag("detectionMode", default=False):
        common["action"] = "warn"
    match: dict[str, Any] = {}
    namespaced = features.fields("namespacedValidation")
    if namespaced is not None:
        mode = namespaced.choice("mode", "ignore", "validate", default="ignore")
        operator = "NotIn" if mode == "ignore" else "In"
        match["namespaceSelector"] = {"matchExpressions": [{"key": _LABEL, "operator": operator, "values": [mode]}]}
        namespaced.ignored("enabled")
        namespaced.end()
    if features.choice("resourceValidationMode", "all", "podsOnly", default="all") == "podsOnly":
        match["kinds"] = ["Pod"]
    if match:
        common["match"] = match
    aside = ("automaticUnchangedApproval", "automaticChildApproval", "cache")
    remarks += [f"features.{name} is no part of a policy and is left out" for name in aside if features.has(name)]
    features.end()
    return common


def _rule(rule: Fields, validator: Fields, remarks: list[str]) -> dict[str, Any]:
    options = rule.fields("with")
    kind = validator.required_text("type")
    if kind == "static":
        passes = validator.flag("approve", default=False)
        rule.end()
        return {"require": {"static": {"action": "pass" if passes else "fail"}}}
    if kind != "cosign":
        lost(validator.where, f"what a validator of type {kind} asks for (Notary, Notation)")
    for name in ("host", "cert"):
        if validator.has(name):
            lost(validator.at(name), "whom it believes in", "a TrustRoot beside the policies, and --trusted-root")
    if validator.has("auth"):
        remarks.append("credentials of validators (auth) come from the operator")
    roots = {each.required_text("name"): each for each in validator.objects("trustRoots")}
    validator.end()
    chosen, threshold = "default", None
    required: tuple[str, ...] = ()
    terms: dict[str, Any] = {}
    spec: dict[str, Any] = {}
    if options is not None:
        chosen = options.text("trustRoot") or "default"
        threshold, required = options.number("threshold", least=1, most=1000), options.texts("required")
        if not options.flag("verifyInTransparencyLog", default=True):
            terms["log"] = "ignore"
        if not options.flag("verifySCT", default=True):
            terms["ignoreSCT"] = True
        if options.choice("mode", "mutate", "insecureValidateOnly", default="mutate") == "insecureValidateOnly":
            spec["digests"] = {"mutate": False}
        options.end()
    rule.end()
    return spec | {"require": _demand(roots, chosen, threshold, required, terms, rule, remarks)}


def _demand(
    roots: dict[str, Fields], chosen: str, threshold: int | None, required: tuple[str, ...], terms: dict[str, Any],
    rule: Fields, remarks: list[str],
) -> dict[str, Any]:  # fmt: skip
    if chosen != "*":
        if threshold is not None or required:
            lost(rule.where, "a threshold over a single trust root")
        return _signature(_named(roots, chosen, rule), terms, remarks)
    if not roots:
        raise PolicyInvalidError(f"{rule.where}: the validator has no trust roots")
    parts = [_signature(each, terms, remarks) for each in roots.values()]
    count = threshold if threshold is not None else (len(required) or 1)
    if count > len(parts):
        raise PolicyInvalidError(f"{rule.where}: {count} are asked for, and there are {len(parts)} trust roots")
    counted = {"atLeast": {"count": count, "of": parts}} if len(parts) > 1 else parts[0]
    if not required:
        return counted
    return {"all": [counted, *(_signature(_named(roots, each, rule), terms, remarks) for each in required)]}


def _named(roots: dict[str, Fields], name: str, rule: Fields) -> Fields:
    if name not in roots:
        raise PolicyInvalidError(f"{rule.where}: there is no trust root {name!r}", hint=", ".join(roots) or None)
    return roots[name]


def _signature(root: Fields, terms: dict[str, Any], remarks: list[str]) -> dict[str, Any]:
    key, keyless = root.text("key"), root.fields("keyless")
    if (key is None) == (keyless is None):
        raise PolicyInvalidError(f"{root.where}: key or keyless, one of them")
    root.end()
    if key is not None:
        if "-----BEGIN" not in key:
            lost(root.at("key"), "a key that is kept elsewhere", "put the public key there (PEM)")
        return {"signature": {"key": key} | {name: each for name, each in terms.items() if name == "log"}}
    if keyless is None:
        root.missing("keyless")
    names = {"issuer": "issuer", "issuerRegex": "issuerRegExp", "subject": "subject", "subjectRegex": "subjectRegExp"}
    identity = {ours: value for theirs, ours in names.items() if (value := keyless.text(theirs)) is not None}
    keyless.end()
    if any(name.endswith("RegExp") for name in identity):
        remarks.append("regular expressions must match the whole text here")
    return {"signature": {"identity": identity} | terms}
