"""Kyverno's `ImageValidatingPolicy` and `NamespacedImageValidatingPolicy`: each becomes one `Rule` over whole workloads.

Expressions are compiled once, when the policy is read, in the cage (`conditions.programs`). Functions that reach the network or
other objects of the cluster are an error with their place.

Source: Kyverno, api/policies.kyverno.io/v1, v1beta1, v1alpha1: image_validating_policy_types.go.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from sealgate import limits
from sealgate.conditions import programs
from sealgate.conditions.programs import ProgramError
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.policy import patterns, pullsecrets
from sealgate.policy.fields import Fields, located
from sealgate.policy.kyverno import constraints, signers
from sealgate.policy.kyverno.validation import Asked, Validation
from sealgate.policy.model import Credentials, Digests, Note, Rule, idle
from sealgate.policy.reading import Loaded
from sealgate.verification.attestation import Attested

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sealgate.policy.model import Action
    from sealgate.policy.reading import Context, Source

VERSIONS = ("v1", "v1beta1", "v1alpha1")
_PROVIDERS = ("default", "google", "azure", "amazon", "github")
_NOT_EXTRACTORS = frozenset({"containers", "initContainers", "ephemeralContainers", "volumes"})
_IN_SPEC = {
    "glob": "matchImageReferences[]", "cosign": "attestors[]", "notary": "attestors[]", "intoto": "attestations[]",
    "referrer": "attestations[]", "timeoutSeconds": "webhookConfiguration", "mode": "evaluation", "podControllers": "autogen",
} | {
    name: place for place, names in {
        "matchConstraints": ("resourceRules", "excludeResourceRules", "matchPolicy", "namespaceSelector", "objectSelector"),
        "validations[]": ("expression", "message", "messageExpression"),
        "validationConfigurations": ("mutateDigest", "verifyDigest", "required"),
        "credentials": ("secrets", "providers", "allowInsecureRegistry"),
    }.items() for name in names
}  # fmt: skip
_IN_ATTESTOR = dict.fromkeys(
    ("key", "keyless", "certificate", "ctlog", "source", "tuf", "trustedRoot", "annotations"), "cosign"
) | {"certs": "notary", "tsaCerts": "notary"}


def read(source: Source, context: Context) -> Loaded:
    """The rule of a policy. Raises `PolicyInvalidError`."""
    if source.version not in VERSIONS:
        raise PolicyUnsupportedError(
            f"{source.where}: {source.kind} {source.version} is not read", hint=", ".join(VERSIONS)
        )
    whole = Fields(source.document, source.where)
    whole.ignored("apiVersion", "kind", "status")
    namespace = _metadata(whole, source)
    spec = Fields(whole.take("spec"), f"{source.where}: spec", elsewhere=_IN_SPEC)
    whole.end()
    notes: list[Note] = []
    selector = constraints.read(spec)
    images, refs = _references(spec, notes)
    items = spec.objects("attestors", elsewhere=_IN_ATTESTOR)
    attestations = _attestations(spec)
    parts = _parts(spec, notes)
    parts["references"] = refs
    parts["constants"] = [
        _entry(place, text, *place.rpartition(".")[::2]) for place, text in signers.expressions(items)
    ]
    program, constants = compiled(parts)
    made = [signers.read(each, signers.Constants(constants), context.settings, notes) for each in items]
    names = [each.name for each in made]
    if not made or len(set(names)) != len(names):
        raise PolicyInvalidError(f"{spec.at('attestors')} must be there, each with a name of its own")
    asked = [Asked(each.name, "", each.make(None, "")) for each in made]
    for name, kind in attestations.items():
        asked += [Asked(each.name, name, each.make(Attested(kind, ()), f" for attestations.{name}")) for each in made]
    action = action_of(spec, notes)
    digests = digests_of(spec, action)
    if not digests.required:
        notes.append(
            Note("static-pass", "images that no validation verifies are admitted", spec.at("validationConfigurations"))
        )
    _webhook(spec)
    texts = [each["expression"] for part in parts.values() for each in part]
    demand = Validation(
        tuple(asked), tuple(attestations), program, selector, "", bool(refs or parts["conditions"]),
        tuple(patterns.expression(each, "kyverno") for each in images) if refs else (), bool(parts["extractors"]),
        digests.required, any("getImageData" in text for text in texts),
    )  # fmt: skip
    secrets = tuple(name for each in made for name in each.secrets)
    credentials = _credentials(spec, namespace or context.home, secrets, notes)
    keyring = pullsecrets.named(
        credentials.secrets, context, spec.at("credentials"), notes, providers=credentials.providers,
        tenant=namespace is not None,
    )  # fmt: skip
    spec.end()
    if action != "enforce":
        notes.append(Note("action-audit", "refusals of this policy are only reported", spec.at("validationActions")))
    title = f"{namespace}/{source.name}" if namespace else source.name
    rule = Rule(
        title, "", source.kind, "kyverno", f"{source.where}: spec", namespace, action, selector,
        ("*",) if refs else images, demand, digests=digests, credentials=credentials,
        keyring=keyring,
    )  # fmt: skip
    return Loaded((rule,), (), tuple(notes))


def compiled(parts: Mapping[str, list[dict[str, Any]]]) -> tuple[programs.Program, dict[str, str]]:
    """The program of these expressions, and what its constants came to. Raises `PolicyInvalidError`."""
    if sum(len(each) for each in parts.values()) > limits.PROGRAM_EXPRESSIONS:
        raise PolicyInvalidError(f"a policy has more than {limits.PROGRAM_EXPRESSIONS} expressions")
    for each in (entry for part in parts.values() for entry in part):
        for text in (each["expression"], each.get("message") or ""):
            if len(text) > limits.PROGRAM_CHARS:
                raise PolicyInvalidError(
                    f"{each['where']}: an expression is longer than {limits.PROGRAM_CHARS} characters"
                )
    found = programs.program(parts)
    try:
        answer = programs.shared().ask(found, {"kind": "compile"})
    except ProgramError as error:
        if error.unsupported:
            raise PolicyUnsupportedError(
                f"{error.where}: {error}", hint="expressions see the object, its images and what was verified of them"
            ) from error
        hint = (
            "it may not depend on the object"
            if any(error.where == each["name"] for each in parts.get("constants", []))
            else None
        )
        raise PolicyInvalidError(f"{error.where}: {error}" if error.where else str(error), hint=hint) from error
    return found, {str(name): str(value) for name, value in answer["constants"].items()}


def _entry(name: str, expression: str, where: str, field: str = "expression", **more: str | None) -> dict[str, Any]:
    given = {key: value for key, value in more.items() if value is not None}
    return {"name": name, "expression": expression, "where": where, "field": field} | given


def named(fields: Fields, name: str) -> list[dict[str, Any]]:
    """A list of `{name, expression}`, each name once."""
    found = [
        each.done(_entry(each.required_text("name"), each.required_text("expression"), each.where))
        for each in fields.objects(name)
    ]
    if len({each["name"] for each in found}) != len(found):
        raise PolicyInvalidError(f"{fields.at(name)}: a name stands there twice")
    if fields.has(name) and not found:
        raise PolicyInvalidError(f"{fields.at(name)} is empty", hint="leave it out")
    return found


def _metadata(whole: Fields, source: Source) -> str | None:
    if whole.fields("metadata") is None or not source.name:
        raise PolicyInvalidError(f"{source.where}: metadata.name is missing")
    if source.kind == "NamespacedImageValidatingPolicy":
        if not source.namespace:
            raise PolicyInvalidError(
                f"{source.where}: metadata.namespace is missing", hint="or an ImageValidatingPolicy"
            )
        return source.namespace
    if source.namespace:
        raise PolicyInvalidError(
            f"{source.where}: an ImageValidatingPolicy has no namespace", hint="kind: NamespacedImageValidatingPolicy"
        )
    return None


def _references(spec: Fields, notes: list[Note]) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Globs, and expressions over `ref`; neither: every image."""
    globs: list[str] = []
    expressions: list[dict[str, Any]] = []
    for each in spec.objects("matchImageReferences"):
        glob, expression = each.text("glob"), each.text("expression")
        if (glob is None) == (expression is None):
            raise PolicyInvalidError(f"{each.where}: glob or expression, and one of them")
        each.end()
        if expression is not None:
            expressions.append(_entry("ref", expression, each.where))
            continue
        for pattern in located(functools.partial(patterns.alternatives, glob or ""), each.at("glob")):
            located(functools.partial(patterns.expression, pattern, "kyverno"), each.at("glob"))
            globs.append(pattern)
            notes += [Note(code, text, each.at("glob")) for code, text in patterns.weaknesses(pattern, "kyverno")]
    if not globs and not expressions:
        globs.append("*")
    return tuple(dict.fromkeys(globs)), expressions


def _attestations(spec: Fields) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in spec.objects("attestations", elsewhere={"type": "intoto"}):
        name = each.required_text("name")
        each.unsupported("referrer", "artifacts with signatures of Notary are not verified yet", hint="intoto")
        intoto = each.fields("intoto")
        if intoto is None:
            raise PolicyInvalidError(f"{each.where}: intoto is missing", hint="intoto: {type: …}")
        if name in found:
            raise PolicyInvalidError(f"{each.at('name')}: there are two attestations {name!r}")
        found[name] = intoto.done(intoto.required_text("type"))
        each.end()
    return found


def _parts(spec: Fields, notes: list[Note]) -> dict[str, list[dict[str, Any]]]:
    validations: list[dict[str, Any]] = []
    for each in spec.objects("validations"):
        index = str(len(validations))
        entry = _entry(
            index,
            each.required_text("expression"),
            each.where,
            text=each.text("message"),
            message=each.text("messageExpression"),
        )
        notes += idle(each.ignored("reason"))
        validations.append(each.done(entry))
    if not validations:
        raise PolicyInvalidError(f"{spec.at('validations')} is empty: it would demand nothing")
    annotations = [
        each.done(
            _entry(each.required_text("key"), each.required_text("valueExpression"), each.where, "valueExpression")
        )
        for each in spec.objects("auditAnnotations")
    ]
    extractors = named(spec, "images")
    for entry in extractors:
        if entry["name"] in _NOT_EXTRACTORS:
            raise PolicyInvalidError(f"{entry['where']}.name: {entry['name']!r} is taken")
    return {
        "validations": validations, "variables": named(spec, "variables"), "annotations": annotations,
        "conditions": named(spec, "matchConditions"), "extractors": extractors,
    }  # fmt: skip


def action_of(spec: Fields, notes: list[Note]) -> Action:
    """`validationActions`, `evaluation` and `failurePolicy`. Raises `PolicyInvalidError`."""
    actions = spec.texts("validationActions")
    for each in actions:
        if each not in {"Deny", "Audit", "Warn"}:
            raise PolicyInvalidError(f"{spec.at('validationActions')} has {each!r}", hint="of: Deny, Audit, Warn")
    if "Deny" in actions and "Warn" in actions:
        raise PolicyInvalidError(f"{spec.at('validationActions')} has Deny and Warn: one of them")
    action: Action = "enforce" if not actions or "Deny" in actions else "warn" if "Warn" in actions else "audit"
    evaluation = spec.fields("evaluation")
    if evaluation is not None:
        mode = evaluation.choice("mode", "Kubernetes", "HTTP", "Envoy", "JSON", default="Kubernetes")
        if mode != "Kubernetes":
            raise PolicyUnsupportedError(
                f"{evaluation.at('mode')}: only objects of Kubernetes are judged", hint="Kubernetes"
            )
        for name in ("admission", "background"):
            fields = evaluation.fields(name)
            if fields is not None and not fields.done(fields.flag("enabled", default=True)) and name == "admission":
                action = "audit"
        evaluation.end()
    if spec.choice("failurePolicy", "Ignore", "Fail") == "Ignore":
        message = "what could not be asked is refused here, not admitted"
        notes.append(Note("difference", message, spec.at("failurePolicy")))
    return action


def digests_of(spec: Fields, action: Action) -> Digests:
    """`validationConfigurations`. Raises `PolicyInvalidError`."""
    fields = spec.fields("validationConfigurations")
    if fields is None:
        return Digests(mutate=action == "enforce")
    mutate, verify = fields.flag("mutateDigest", default=True), fields.flag("verifyDigest", default=True)
    required = fields.flag("required", default=True)
    return fields.done(Digests(mutate and action == "enforce", verify, required))


def _webhook(spec: Fields) -> None:
    fields = spec.fields("webhookConfiguration")
    if fields is not None:
        fields.number("timeoutSeconds", least=1, most=30)
        fields.end()


def _credentials(spec: Fields, namespace: str, pull: tuple[str, ...], notes: list[Note]) -> Credentials:
    fields = spec.fields("credentials")
    if fields is None:
        return Credentials(tuple((namespace, name) for name in pull))
    providers = fields.texts("providers")
    for each in providers:
        if each not in _PROVIDERS:
            raise PolicyInvalidError(f"{fields.at('providers')} has {each!r}", hint=f"of: {', '.join(_PROVIDERS)}")
    secrets = (*fields.texts("secrets"), *pull)
    for each in secrets:
        if "/" in each:
            raise PolicyInvalidError(
                f"{fields.at('secrets')} has {each!r}", hint=f"a Secret of the namespace {namespace}"
            )
    insecure = fields.flag("allowInsecureRegistry", default=False)
    if insecure:
        message = "whether a registry may be asked without TLS is the operator's to say: --allow-insecure-registry"
        notes.append(Note("difference", message, fields.at("allowInsecureRegistry")))
    return fields.done(Credentials(tuple((namespace, name) for name in secrets), providers, insecure))
