"""`PolicyException` of policies.kyverno.io: which image policies do not hold for which objects, and for which of their images.

`images` narrows it to images that fit. A condition that has no answer makes no exception (P08).

Source: Kyverno, api/policies.kyverno.io/v1: policy_exception_types.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.policy import patterns
from sealgate.policy.fields import Fields
from sealgate.policy.kyverno import quantities, validating
from sealgate.policy.kyverno.constraints import Constraints
from sealgate.policy.kyverno.exception import EXPIRES, reach
from sealgate.policy.kyverno.validation import Validation
from sealgate.policy.model import Exemption, Note
from sealgate.policy.reading import Loaded

if TYPE_CHECKING:
    from sealgate.conditions.programs import Program
    from sealgate.policy.reading import Context, Source
    from sealgate.workloads.workload import Workload

_IN_SPEC = {
    "name": "policyRefs[]", "kind": "policyRefs[]", "policyName": "policyRefs[], as name", "exceptions": "policyRefs[]",
    "conditions": "matchConditions, in CEL", "match": "matchConditions, in CEL",
}  # fmt: skip
_KINDS = ("ImageValidatingPolicy", "NamespacedImageValidatingPolicy")


class Conditions(NamedTuple):
    """`matchConditions` of an exception: a `Selector` that runs a program of a user."""

    program: Program

    def selects(self, workload: Workload) -> bool:
        """Never raises: no answer is no exception."""
        nobody = Validation((), (), self.program, Constraints((), (), None, None, ()), "", True, (), False, True, False)
        try:
            return nobody.concerns(workload, "", ())
        except Exception:  # noqa: BLE001 - whatever went wrong, it is no exception
            return False


class Everything(NamedTuple):
    """No conditions: every object."""

    def selects(self, workload: Workload) -> bool:
        """True."""
        return True


def read(source: Source, context: Context) -> Loaded:
    """One exception. Raises `PolicyInvalidError`."""
    if source.version not in validating.VERSIONS:
        raise PolicyUnsupportedError(f"{source.where}: {source.kind} {source.version} is not read")
    whole = Fields(source.document, source.where)
    whole.ignored("apiVersion", "kind", "status")
    metadata = whole.fields("metadata")
    if metadata is None or not source.name:
        raise PolicyInvalidError(f"{source.where}: metadata.name is missing")
    annotations = dict(metadata.text_map("annotations"))
    spec = Fields(whole.take("spec"), f"{source.where}: spec", elsewhere=_IN_SPEC)
    whole.end()
    rules = [rule for each in spec.objects("policyRefs") if (rule := _rule(each, source)) is not None]
    if not rules:
        raise PolicyUnsupportedError(f"{spec.at('policyRefs')} names no image policy", hint=f"kind: {_KINDS[0]}")
    named = validating.named(spec, "matchConditions")
    selector = Conditions(validating.compiled({"conditions": named})[0]) if named else Everything()
    notes: list[Note] = []
    images = tuple(pattern for each in spec.texts("images") for pattern in patterns.alternatives(each))
    if spec.has("images") and not images:
        raise PolicyInvalidError(f"{spec.at('images')} is empty", hint="leave it out, or name images")
    for pattern in images:
        patterns.expression(pattern, "kyverno", excuse=True)
        notes += [
            Note(code, text, spec.at("images")) for code, text in patterns.weaknesses(pattern, "kyverno", excuse=True)
        ]
    spec.unsupported(
        "allowedValues", "values that expressions allow are not evaluated here", hint="images, matchConditions"
    )
    spec.choice("reportResult", "skip", "pass")
    expires = annotations.get(EXPIRES)
    until = quantities.moment(expires) if expires is not None else None
    if expires is not None and until is None:
        raise PolicyInvalidError(
            f"{source.where}: the annotation {EXPIRES} is {expires!r}", hint="2027-01-31T00:00:00Z"
        )
    if until is None:
        notes.append(Note("exception-endless", f"give it an end: the annotation {EXPIRES}", source.where))
    spec.end()
    name = f"{source.namespace}/{source.name}" if source.namespace else source.name
    expiry = float(until) if until is not None else None
    found = Exemption(name, tuple(rules), selector, images, expiry, namespace=reach(source, context))
    return Loaded((), (found,), tuple(notes))


def _rule(fields: Fields, source: Source) -> tuple[str, str] | None:
    name, kind = fields.required_text("name"), fields.required_text("kind")
    fields.end()
    if "*" in name or "?" in name:
        raise PolicyInvalidError(f"{fields.at('name')} has a wildcard: each policy has a name")
    if kind not in _KINDS:
        return None
    return (f"{source.namespace}/{name}" if kind == _KINDS[1] else name, "")
