"""Kyverno's `ClusterPolicy` and `Policy`: every block of `verifyImages` becomes a `Rule`. Pure.

Each block has its own action (P06), and all that hold for an image must be met. Where a product has a field that is not
evaluated here, the policy does not load. Rules of other types: `validate` reads those that restrict registries.

Source: Kyverno, api/kyverno/v1: spec_types.go, rule_types.go, image_verification_types.go; the same in v2beta1.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.policy import patterns, pullsecrets
from sealgate.policy.fields import Fields, located
from sealgate.policy.kyverno import attestors, conditions, deny, extractors, match, validate, variables
from sealgate.policy.kyverno.attestors import Asking
from sealgate.policy.kyverno.request import Applies
from sealgate.policy.model import STRICTNESS, Count, Credentials, Digests, Note, Override, Rule, Static, idle
from sealgate.policy.reading import Loaded
from sealgate.verification.attestation import Attested

if TYPE_CHECKING:
    from sealgate.policy.model import Action, Expression
    from sealgate.policy.reading import Context, Source

VERSIONS = ("v1", "v2beta1")
_ACTIONS: dict[str, Action] = {"enforce": "enforce", "audit": "audit"}
_LEGACY = ("image", "key", "issuer", "subject", "roots", "additionalExtensions", "annotations")
_TYPES = ("verifyImages", "validate", "mutate", "generate")
_PROVIDERS = ("default", "google", "azure", "amazon", "github")
_OF_BLOCK = (
    "attestors", "attestations", "imageReferences", "skipImageReferences", "image", "key", "failureAction", "mutateDigest",
    "verifyDigest", "required", "repository", "imageRegistryCredentials", "useCache", "type",
)  # fmt: skip
_OF_SPEC = (
    "validationFailureAction", "validationFailureActionOverrides", "background", "emitWarning", "webhookConfiguration",
    "webhookTimeoutSeconds", "failurePolicy", "applyRules",
)  # fmt: skip
_OF_RULE = ("match", "exclude", "preconditions", "context", "imageExtractors", "celPreconditions")
_IN_RULE = (
    dict.fromkeys(_OF_BLOCK, "verifyImages[]")
    | dict.fromkeys(_OF_SPEC, "spec")
    | (dict.fromkeys(("kinds", "namespaces", "resources"), "match"))
)
_IN_ATTESTATION = {
    "entries": "attestors[]", "count": "attestors[]", "keys": "attestors[].entries[]", "keyless": "attestors[].entries[]",
    "certificates": "attestors[].entries[]", "all": "conditions[]", "any": "conditions[]", "deny": "validate, of the block",
}  # fmt: skip
_IN_BLOCK = {
    "entries": "attestors[]", "keys": "attestors[].entries[]", "keyless": "attestors[].entries[]",
    "certificates": "attestors[].entries[]", "rekor": "attestors[].entries[].keys or .keyless",
    "ctlog": "attestors[].entries[].keys or .keyless", "conditions": "attestations[]", "predicateType": "attestations[]",
    "count": "attestors[]", "publicKeys": "attestors[].entries[].keys", "kms": "attestors[].entries[].keys",
    "secret": "attestors[].entries[].keys", "cert": "attestors[].entries[].certificates",
    "certChain": "attestors[].entries[].certificates", "issuerRegExp": "attestors[].entries[].keyless",
    "subjectRegExp": "attestors[].entries[].keyless", "signatureAlgorithm": "attestors[].entries[]",
    "secrets": "imageRegistryCredentials", "providers": "imageRegistryCredentials",
    "allowInsecureRegistry": "imageRegistryCredentials", "deny": "validate", "message": "validate",
} | dict.fromkeys(_OF_RULE, "the rule") | dict.fromkeys(_OF_SPEC, "spec") | {
    "validationFailureAction": "spec; here it is failureAction",
}  # fmt: skip


class _Policy(NamedTuple):
    """What holds for every rule of a policy."""

    source: Source
    context: Context
    name: str
    namespace: str | None
    action: Action
    warns: bool
    overrides: tuple[Override, ...]
    autogen: str | None
    notes: list[Note]

    def act(self, fields: Fields) -> tuple[Action, tuple[Override, ...]]:
        """The action of a block and its overrides: what the block says itself, only something stricter changes."""
        own = action_of(fields, "failureAction")
        if own is None:
            return self.action, self.overrides
        action = warned(own, warns=self.warns)
        return action, tuple(each for each in self.overrides if STRICTNESS[each.action] > STRICTNESS[action])

    def note(self, code: str, message: str, where: str) -> None:
        """Something that the author should know."""
        self.notes.append(Note(code, message, where))

    def rule(
        self, name: str, where: str, acts: tuple[Action, tuple[Override, ...]], applies: Applies,
        images: tuple[str, ...], demand: Expression,
    ) -> Rule:  # fmt: skip
        """A rule of this policy."""
        title = f"{self.namespace}/{self.name}" if self.namespace else self.name
        if acts[0] != "enforce":
            self.note("action-audit", "refusals of this rule are only reported", where)
        return Rule(
            title, name, self.source.kind, "kyverno", where, self.namespace, acts[0], applies, images, demand, overrides=acts[1],
        )  # fmt: skip


def read(source: Source, context: Context) -> Loaded:
    """The rules of a policy. Raises `PolicyInvalidError`."""
    whole = Fields(source.document, source.where, elsewhere=dict.fromkeys(("rules", "validationFailureAction"), "spec"))
    if source.version not in VERSIONS:
        raise PolicyUnsupportedError(
            f"{source.where}: {source.kind} {source.version} is not read", hint=", ".join(VERSIONS)
        )
    whole.ignored("apiVersion", "kind", "status")
    autogen = metadata(whole, source)
    spec = Fields(whole.take("spec"), f"{source.where}: spec", elsewhere=_IN_SPEC)
    whole.end()
    notes: list[Note] = []
    policy = _policy(spec, source, context, autogen, notes)
    rules: list[Rule] = []
    names: set[str] = set()
    found = spec.objects("rules", elsewhere=_IN_RULE)
    if not found:
        raise PolicyInvalidError(f"{spec.at('rules')} is empty", hint="a policy without rules is about nothing")
    if spec.choice("applyRules", "All", "One") == "One" and len(found) > 1:
        raise PolicyUnsupportedError(
            f"{spec.at('applyRules')}: that only the first rule counts is not evaluated here",
            hint="a policy for each rule",
        )
    for each in found:
        name = each.required_text("name")
        if name in names:
            raise PolicyInvalidError(f"{each.at('name')}: there are two rules {name!r}")
        names.add(name)
        rules += _rule(each, name, policy, version=source.version)
    spec.end()
    return Loaded(tuple(rules), (), tuple(notes))


_IN_SPEC = (
    dict.fromkeys(_OF_BLOCK, "rules[].verifyImages[]")
    | dict.fromkeys(_OF_RULE, "rules[]")
    | {"verifyImages": "rules[]", "validate": "rules[]"}
)


def metadata(whole: Fields, source: Source) -> str | None:
    """Check `metadata`; the annotation about autogen. Raises `PolicyInvalidError`."""
    fields = whole.fields("metadata")
    if fields is None or not source.name:
        raise PolicyInvalidError(f"{source.where}: metadata.name is missing")
    annotations = dict(fields.text_map("annotations"))
    return annotations.get(match.AUTOGEN)


def _policy(spec: Fields, source: Source, context: Context, autogen: str | None, notes: list[Note]) -> _Policy:
    namespace = None
    if source.kind == "Policy":
        namespace = source.namespace
        if not namespace:
            raise PolicyInvalidError(f"{source.where}: metadata.namespace is missing", hint="or a ClusterPolicy")
    elif source.namespace:
        raise PolicyInvalidError(f"{source.where}: a ClusterPolicy has no namespace", hint="kind: Policy")
    warns = spec.flag("emitWarning", default=False)
    action = warned(action_of(spec, "validationFailureAction") or "audit", warns=warns)
    if not spec.flag("admission", default=True):
        action = "audit"
    overrides = []
    for each in spec.objects("validationFailureActionOverrides"):
        if namespace is not None:
            raise PolicyInvalidError(f"{each.where}: only a ClusterPolicy has overrides for namespaces")
        other = action_of(each, "action")
        if other is None:
            each.missing("action")
        selector = match.Namespaces(each.texts("namespaces"), match.label_selector(each, "namespaceSelector"))
        if selector == match.Namespaces((), None):
            raise PolicyInvalidError(f"{each.where} names no namespaces", hint="namespaces or namespaceSelector")
        overrides.append(each.done(Override(warned(other, warns=warns), selector)))
    _webhook(spec, notes)
    notes += idle(spec.ignored(
        "background", "useServerSideApply", "generateExisting", "generateExistingOnPolicyUpdate",
        "mutateExistingOnPolicyUpdate", "schemaValidation",
    ))  # fmt: skip
    return _Policy(source, context, source.name, namespace, action, warns, tuple(overrides), autogen, notes)


def action_of(fields: Fields, name: str) -> Action | None:
    """`Enforce` or `Audit`, in the older spelling too."""
    word = fields.choice(name, "Audit", "Enforce", "audit", "enforce")
    return None if word is None else _ACTIONS[word.lower()]


def warned(action: Action, *, warns: bool) -> Action:
    """With `emitWarning`, what is only reported warns."""
    return "warn" if warns and action == "audit" else action


def _webhook(spec: Fields, notes: list[Note]) -> None:
    """What a webhook of Kyverno's would be told: here it changes nothing, but it must be right."""
    old = [name for name in ("failurePolicy", "webhookTimeoutSeconds") if spec.has(name)]
    policy = spec.choice("failurePolicy", "Ignore", "Fail")
    spec.number("webhookTimeoutSeconds", least=1, most=30)
    fields = spec.fields("webhookConfiguration")
    if fields is not None:
        for name in old:
            raise PolicyInvalidError(
                f"{spec.at(name)} and webhookConfiguration: one of them", hint=f"remove the deprecated {name}"
            )
        policy = fields.choice("failurePolicy", "Ignore", "Fail")
        fields.number("timeoutSeconds", least=1, most=30)
        if fields.objects("matchConditions"):
            notes.append(
                Note("difference", "matchConditions take nothing away from checking here", fields.at("matchConditions"))
            )
        fields.end()
    notes += [Note("deprecated-field", f"webhookConfiguration has {name} by now", spec.at(name)) for name in old]
    if policy == "Ignore":
        notes.append(
            Note("difference", "what could not be asked is refused here, not admitted", spec.at("failurePolicy"))
        )


def _rule(fields: Fields, name: str, policy: _Policy, *, version: str) -> list[Rule]:
    types = [each for each in _TYPES if fields.has(each)]
    if len(types) != 1:
        raise PolicyInvalidError(
            f"{fields.where}: a rule is of one type, and {' and '.join(types) or 'none'} is there",
            hint=", ".join(_TYPES),
        )
    [kind] = types
    said = [fields.take(name) for name in (kind, "context", "preconditions", "celPreconditions", "imageExtractors")]
    if kind != "verifyImages" and not _mentions_images(said):
        policy.note(
            "rule-ignored", f"the rule {name!r} demands nothing of images and is not evaluated here", fields.where
        )
        return []
    if kind in {"mutate", "generate"}:
        raise PolicyUnsupportedError(
            f"{fields.at(kind)} has to do with images, and is not evaluated here",
            hint="leave it to Kyverno, in a file of its own",
        )
    fields.unsupported(
        "celPreconditions", "preconditions in CEL are not evaluated here", hint="preconditions, or match"
    )
    policy.notes.extend(idle(fields.ignored("skipBackgroundRequests", "reportProperties")))
    scope = variables.read_context(fields, policy.context, policy.namespace)
    matched = match.read(fields, autogen=policy.autogen)
    applies = Applies(matched, _preconditions(fields), scope)
    places = extractors.read(fields)
    if kind == "validate":
        return [each._replace(extractors=places) for each in fields.done(validate.read(fields, name, policy, applies))]
    blocks = fields.objects("verifyImages", elsewhere=_IN_BLOCK)
    if not blocks:
        raise PolicyInvalidError(f"{fields.at('verifyImages')} is empty", hint="it would demand nothing")
    found = [_block(each, name, policy, applies, version=version) for each in blocks]
    return fields.done([each._replace(extractors=places) for each in found])


def _mentions_images(value: object) -> bool:
    """How images are pulled is another matter (`imagePullPolicy`, `imagePullSecrets`)."""
    return "image" in json.dumps(value, default=str).lower().replace("imagepull", "")


def _preconditions(fields: Fields) -> conditions.Block | None:
    value = fields.take("preconditions")
    if not value:
        return None
    block = conditions.block(value, fields.at("preconditions"))
    if any(each.timed() for each in conditions.variables([block])):
        raise PolicyUnsupportedError(f"{fields.at('preconditions')}: the time decides no precondition here")
    return block


# -- one block of verifyImages


def _block(fields: Fields, name: str, policy: _Policy, applies: Applies, *, version: str) -> Rule:
    kind = fields.choice("type", "Cosign", "SigstoreBundle", "Notary")
    if kind == "Notary":
        raise PolicyUnsupportedError(
            f"{fields.at('type')}: signatures of Notary are not verified yet", hint=attestors.NOTARY
        )
    if version != "v1":
        older = sorted(fields.present().intersection(_LEGACY))
        if older:
            raise PolicyInvalidError(
                f"{fields.where}: there is no field {older[0]} here", hint="apiVersion: kyverno.io/v1 has it"
            )
    scope = applies.scope
    asking = Asking(policy.context, scope, policy.notes, policy.namespace)
    asking = asking._replace(repository=attestors.repository(fields, asking))
    images = tuple(scope.static(each, fields.at("imageReferences")) for each in fields.texts("imageReferences"))
    legacy_image = fields.text("image")
    images += (scope.static(legacy_image, fields.at("image")),) if legacy_image is not None else ()
    if not images:
        raise PolicyInvalidError(
            f"{fields.where}: an image reference is required", hint='imageReferences: ["registry/path*"]'
        )
    skip = tuple(scope.static(each, fields.at("skipImageReferences")) for each in fields.texts("skipImageReferences"))
    told = [(each, "imageReferences", False) for each in images] + [
        (each, "skipImageReferences", True) for each in skip
    ]
    for pattern, place, excuse in told:
        where = fields.at("image") if pattern == legacy_image and not excuse else fields.at(place)
        located(functools.partial(patterns.expression, pattern, "kyverno", excuse=excuse), where)
        for code, message in patterns.weaknesses(pattern, "kyverno", excuse=excuse):
            policy.note(code, message, where)
    legacy = _legacy(fields, policy)
    acts = policy.act(fields)
    digests = _digests(fields, acts[0])
    demand = _demand(fields, asking, legacy, digests, policy)
    policy.notes.extend(idle(fields.ignored("useCache", "cosignOCI11")))
    rule = policy.rule(name, fields.where, acts, applies, images, demand)
    credentials = _credentials(fields, policy)
    keyring = pullsecrets.named(
        credentials.secrets, policy.context, fields.at("imageRegistryCredentials"), policy.notes,
        providers=credentials.providers, tenant=policy.namespace is not None,
    )  # fmt: skip
    return fields.done(rule._replace(skip=skip, digests=digests, credentials=credentials, keyring=keyring))


def _legacy(fields: Fields, policy: _Policy) -> Fields | None:
    """`key`, `issuer`, … as the one attestor set that they mean; its place is that of the fields."""
    key, issuer, subject, roots = (fields.text(name) for name in ("key", "issuer", "subject", "roots"))
    extensions, annotations = dict(fields.text_map("additionalExtensions")), dict(fields.text_map("annotations"))
    for name in _LEGACY:
        if fields.has(name):
            policy.note(
                "deprecated-field", f"{name} has a place under imageReferences or attestors by now", fields.at(name)
            )
    entry: dict[str, object] = {}
    if key is not None:
        if issuer is not None or subject is not None or roots is not None:
            raise PolicyInvalidError(f"{fields.where}: key and issuer: one of them", hint="attestors can ask for both")
        entry["keys"] = {"publicKeys": key}
    elif issuer is not None or subject is not None or roots is not None:
        given = {"issuer": issuer, "subject": subject, "roots": roots, "additionalExtensions": extensions or None}
        entry["keyless"] = {name: value for name, value in given.items() if value is not None}
    elif annotations or extensions:
        raise PolicyInvalidError(
            f"{fields.where}: annotations without a signer ask for nothing", hint="key, or attestors"
        )
    if not entry:
        return None
    if extensions and "keyless" not in entry:
        raise PolicyInvalidError(f"{fields.at('additionalExtensions')}: keys have no certificate")
    if annotations:
        entry["annotations"] = annotations
    return Fields({"attestors": [{"entries": [entry]}]}, fields.where)


def _older(legacy: Fields, asking: Asking, place: str) -> tuple[Expression, ...]:
    """The set that older fields mean. Errors name the fields that are there."""
    try:
        return attestors.sets(legacy, asking, place)
    except PolicyInvalidError as error:
        entry = f"{legacy.where}.attestors[0].entries[0]"
        message = error.message.replace(f"{entry}.keys.publicKeys", f"{legacy.where}.key")
        for kind in ("keyless", "keys"):
            message = message.replace(f"{entry}.{kind}", legacy.where)
        raise type(error)(message, hint=error.hint) from error


def _digests(fields: Fields, action: Action) -> Digests:
    mutate, verify = fields.flag("mutateDigest", default=True), fields.flag("verifyDigest", default=True)
    if mutate and action != "enforce":
        if fields.has("mutateDigest"):
            raise PolicyInvalidError(
                f"{fields.at('mutateDigest')}: nothing is written where refusals are only reported",
                hint="mutateDigest: false",
            )
        mutate = False
    return Digests(mutate, verify, fields.flag("required", default=True))


def _credentials(fields: Fields, policy: _Policy) -> Credentials:
    found = fields.fields("imageRegistryCredentials")
    if found is None:
        return Credentials()
    secrets = []
    for text in found.texts("secrets"):
        namespace, slash, name = text.rpartition("/")
        namespace = namespace if slash else policy.namespace or policy.context.home
        if policy.namespace is not None and namespace != policy.namespace:
            raise PolicyInvalidError(
                f"{found.at('secrets')}: a Policy may not use the Secret {text}", hint="one of its namespace"
            )
        secrets.append((namespace, name))
    providers = found.texts("providers")
    for provider in providers:
        if provider not in _PROVIDERS:
            raise PolicyInvalidError(f"{found.at('providers')} has {provider!r}", hint=f"of: {', '.join(_PROVIDERS)}")
    insecure = found.flag("allowInsecureRegistry", default=False)
    if insecure:
        message = "whether a registry may be asked without TLS is the operator's to say: --allow-insecure-registry"
        policy.notes.append(Note("difference", message, found.at("allowInsecureRegistry")))
    return found.done(Credentials(tuple(secrets), providers, insecure))


def _demand(fields: Fields, asking: Asking, legacy: Fields | None, digests: Digests, policy: _Policy) -> Expression:
    attestations = fields.objects("attestations", elsewhere=_IN_ATTESTATION)
    parts: list[Expression] = []
    if fields.has("attestors"):
        parts += attestors.sets(fields, asking, "")
    if legacy is not None and (fields.has("attestors") or not attestations):
        parts += _older(legacy, asking, "")
    named: list[tuple[str | None, tuple[Expression, ...]]] = []
    for index, each in enumerate(attestations):
        name = each.text("name")
        named.append((name, _attestation(each, fields, asking, legacy, f".attestations[{index}]")))
        parts += named[-1][1]
    denied = deny.read(fields, named, asking.scope)
    parts += [denied] if denied is not None else []
    if parts:
        return Count(len(parts), tuple(parts))
    if digests.required:
        raise PolicyInvalidError(
            f"{fields.where}: attestors or attestations are required: nothing is asked of the images",
            hint="required: false, where only their digests are wanted",
        )
    policy.note("static-pass", "images are admitted without any check", fields.where)
    return Static(passes=True, message="the policy wants a digest, and no signature", where="")


def _attestation(
    fields: Fields, block: Fields, asking: Asking, legacy: Fields | None, place: str
) -> tuple[Expression, ...]:
    kind, old = fields.text("type"), fields.text("predicateType")
    if kind is not None and old is not None and kind != old:
        raise PolicyInvalidError(
            f"{fields.where}: type and predicateType differ", hint="predicateType is the older name"
        )
    wanted = kind or old
    if wanted is None:
        raise PolicyInvalidError(f"{fields.where}: missing type")
    if old is not None:
        asking.notes.append(Note("deprecated-field", "predicateType is called type by now", fields.at("predicateType")))
    wanted = asking.scope.static(wanted, fields.at("type"))
    demand = conditions.on_predicate(fields, asking.scope)
    attested = Attested(wanted, (demand,) if demand is not None else ())
    asked = asking._replace(attested=attested, salt=repr(demand) if demand is not None else "")
    own = attestors.sets(fields, asked, place)
    if legacy is not None:
        own += _older(legacy, asked, place)
    if not own and block.has("attestors"):
        own = attestors.sets(block, asked, place)
        asking.notes.append(Note("difference", "it must be by those who must sign the image", fields.where))
    if not own:
        raise PolicyInvalidError(
            f"{fields.where}: nobody is named who must have attested it: anybody would do",
            hint="attestors, with entries",
        )
    return fields.done(own)
