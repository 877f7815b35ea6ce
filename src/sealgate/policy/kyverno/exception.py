"""Kyverno's `PolicyException`, and that for image policies: which rules do not hold for which objects. Pure.

In both, `images` narrows an exception to some images of a workload, and the annotation or field `expires` ends it. An
exception whose conditions have no answer is none, and one of a namespace is for that namespace alone.

Source: Kyverno, api/kyverno/v2/policy_exception_types.go (and v2beta1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import PolicyInvalidError, PolicyUndecidedError, PolicyUnsupportedError
from sealgate.policy import patterns
from sealgate.policy.fields import Fields
from sealgate.policy.kyverno import conditions, match, quantities, variables
from sealgate.policy.kyverno.request import Applies
from sealgate.policy.model import Exemption, Note, idle
from sealgate.policy.reading import Loaded

if TYPE_CHECKING:
    from sealgate.policy.model import Selector
    from sealgate.policy.reading import Context, Source
    from sealgate.workloads.workload import Workload

EXPIRES = "sealgate.dev/expires"
IMAGES = "sealgate.dev/images"
_VERSIONS = ("v2", "v2beta1")
_IN_SPEC = {
    "policyName": "exceptions[]", "ruleNames": "exceptions[]", "policyRefs": "exceptions[], as policyName and ruleNames",
    "resources": "match.any[]", "kinds": "match.any[].resources", "any": "match", "all": "match",
    "matchConditions": "conditions, in JMESPath",
}  # fmt: skip


class Surely(NamedTuple):
    """A selector of an exception: what cannot be decided is no exception (P08)."""

    inner: Selector

    def selects(self, workload: Workload) -> bool:
        """Never raises `PolicyUndecidedError`."""
        try:
            return self.inner.selects(workload)
        except PolicyUndecidedError:
            return False


def reach(source: Source, context: Context) -> str | None:
    """The one namespace that an exception holds in (P08, CVE-2024-48921): its own; None, every one, if it stands where the policies
    of the whole cluster have theirs, or a file names none.
    """
    return None if source.namespace in {"", context.home} else source.namespace


def read(source: Source, context: Context) -> Loaded:
    """One exception. Raises `PolicyInvalidError`."""
    if source.group != "kyverno.io":
        raise PolicyUnsupportedError(
            f"{source.where} ({source.group}) is not read yet", hint="kyverno.io/v2 PolicyException"
        )
    if source.version not in _VERSIONS:
        raise PolicyUnsupportedError(
            f"{source.where}: {source.kind} {source.version} is not read", hint=", ".join(_VERSIONS)
        )
    whole = Fields(source.document, source.where)
    whole.ignored("apiVersion", "kind", "status")
    metadata = whole.fields("metadata")
    if metadata is None or not source.name:
        raise PolicyInvalidError(f"{source.where}: metadata.name is missing")
    annotations = dict(metadata.text_map("annotations"))
    spec = Fields(whole.take("spec"), f"{source.where}: spec", elsewhere=_IN_SPEC)
    whole.end()
    notes: list[Note] = []
    rules = [rule for each in spec.objects("exceptions") for rule in _rules(each)]
    if not rules:
        raise PolicyInvalidError(f"{spec.at('exceptions')} names no rule", hint="policyName and ruleNames")
    matched = match.read(spec, autogen=annotations.get(match.AUTOGEN))
    said = spec.take("conditions")
    block = conditions.block(said, spec.at("conditions")) if said else None
    if block is not None and any(each.timed() for each in conditions.variables([block])):
        raise PolicyUnsupportedError(f"{spec.at('conditions')}: the time decides no condition here", hint="expires")
    images = spec.texts("images") or tuple(
        each for each in annotations.get(IMAGES, "").replace(",", " ").split() if each
    )
    if not images and (spec.has("images") or IMAGES in annotations):
        raise PolicyInvalidError(
            f"{spec.at('images')} is empty, and would excuse every image", hint="leave it out, or name images"
        )
    for pattern in images:
        patterns.expression(pattern, "kyverno", excuse=True)
        for code, message in patterns.weaknesses(pattern, "kyverno", excuse=True):
            notes.append(Note(code, message, spec.at("images")))
    expires = spec.text("expires") or annotations.get(EXPIRES)
    until = _until(expires, spec.at("expires"))
    if until is None:
        notes.append(Note("exception-endless", f"give it an end: expires, or the annotation {EXPIRES}", source.where))
    notes += idle(spec.ignored("background"))
    spec.unsupported("podSecurity", "it has nothing to do with images", hint="an exception of its own for Kyverno")
    reason = spec.text("reason") or ""
    spec.end()
    name = f"{source.namespace}/{source.name}" if source.namespace else source.name
    selector = Surely(Applies(matched, block, variables.EMPTY))
    found = Exemption(name, tuple(rules), selector, images, until, reason, namespace=reach(source, context))
    return Loaded((), (found,), tuple(notes))


def _rules(fields: Fields) -> list[tuple[str, str]]:
    policy, names = fields.required_text("policyName"), fields.texts("ruleNames")
    if not names:
        raise PolicyInvalidError(f"{fields.at('ruleNames')} is missing")
    found = [(policy, _original(name)) for name in names]
    return fields.done(found)


def _original(name: str) -> str:
    """Kyverno's generated rules have names of their own; here they are the rule itself."""
    return name.removeprefix("autogen-cronjob-").removeprefix("autogen-")


def _until(text: str | None, where: str) -> float | None:
    if text is None:
        return None
    found = quantities.moment(text)
    if found is None:
        raise PolicyInvalidError(f"{where} is {text!r}", hint="2027-01-31T00:00:00Z")
    return float(found)
