"""Kyverno's `validate` rules that restrict registries, in the forms of its policy library. Pure.

Such a rule says where images may come from, or may not: it asks for no signature. What it allows becomes patterns that
excuse an image from a refusal (`Rule.skip`), what it forbids becomes patterns that are refused. It holds here for every
image of a workload, whichever list of containers it names. What else a rule says of images is an error at load.

Sources: Kyverno, policy reference, "Validate rules"; kyverno/policies: restrict-image-registries and its variants.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, NoReturn

from sealgate.errors import PolicyInvalidError, PolicyUndecidedError, PolicyUnsupportedError
from sealgate.policy import patterns
from sealgate.policy.fields import Fields, located
from sealgate.policy.kyverno.conditions import Condition, block, listed
from sealgate.policy.kyverno.expression import EvaluationError, Unknown
from sealgate.policy.model import Digests, Static

if TYPE_CHECKING:
    from sealgate.policy.kyverno.policy import _Policy
    from sealgate.policy.kyverno.request import Applies
    from sealgate.policy.model import Rule

_LISTS = ("containers", "initContainers", "ephemeralContainers")
_HINT = "only what restricts registries is read: patterns of image, or deny with AnyIn and AnyNotIn"
_REGISTRY = re.compile(
    r"""images\.(?:[A-Za-z*]+|\[[A-Za-z, ]+\]\[\])\.(?:\*|"\s*\ue0000\ue001\s*")\.registry(?:\[\])?(?:\s*\|\|\s*(?:''|`?\[\]`?))?"""
)
_IMAGE = re.compile(r"element\.image|request\.object\.spec\.[A-Za-z.\[\], *]+\.image(?:\s*\|\|\s*`?\[\]`?)?")
_CEL_NAME = "(?:containers|initContainers|ephemeralContainers)"
_CEL_ONE = (
    rf"(?:object\.spec\.\??{_CEL_NAME}(?:\.orValue\(\[\]\))?"
    rf"|\(has\(object\.spec\.{_CEL_NAME}\) *\? *object\.spec\.{_CEL_NAME} *: *\[\]\))"
)
_CEL_LIST = re.compile(rf"\(?{_CEL_ONE}(?:\s*\+\s*{_CEL_ONE})*\)?")
"""A sum of lists of containers."""
_CEL_ALL = re.compile(r"(?P<over>[\w.?+():\[\]\s]+?)\.all\(\s*(?P<one>[a-z]\w*)\s*,(?P<body>.+)\)", re.DOTALL)
_NOT_IN = frozenset({"notin", "anynotin", "notequals", "notequal"})
_IN = frozenset({"anyin", "in", "equals", "equal"})


class _Limits:
    """What one rule allows or forbids."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.allowed: tuple[str, ...] | None = None
        self.forbidden: tuple[str, ...] = ()

    def allow(self, found: tuple[str, ...]) -> None:
        """Everything else is forbidden. Two different lists would each hold for images that are not told apart here."""
        if self.allowed is not None and set(self.allowed) != set(found):
            raise PolicyUnsupportedError(
                f"{self.where}: different lists of containers may come from different registries",
                hint="one list for all",
            )
        self.allowed = found

    def forbid(self, found: tuple[str, ...]) -> None:
        """These are forbidden."""
        self.forbidden = tuple(dict.fromkeys((*self.forbidden, *found)))


def read(rule: Fields, name: str, policy: _Policy, applies: Applies) -> list[Rule]:
    """The rules of one `validate`. Raises `PolicyInvalidError`."""
    fields = rule.fields("validate")
    if fields is None:
        rule.missing("validate")
    message = fields.text("message") or "images of this registry are not allowed"
    acts = policy.act(fields)
    for each in fields.objects("failureActionOverrides"):
        _unread(each.where)
    fields.ignored("allowExistingViolations")
    limits = _Limits(fields.where)
    if fields.has("pattern"):
        _pattern(fields.take("pattern"), fields.at("pattern"), limits)
    if fields.has("foreach"):
        for each in fields.objects("foreach"):
            _each(each, limits, applies)
    if fields.has("deny"):
        _deny(fields, limits, applies)
    if fields.has("cel"):
        _cel(fields, limits)
    for other in ("anyPattern", "podSecurity", "manifests", "assert"):
        fields.unsupported(other, "it has to do with images, and is not evaluated here", hint=_HINT)
    fields.end()
    if limits.allowed is None and not limits.forbidden:
        _unread(fields.where)
    found = []
    static = Static(passes=False, message=message, where="")
    digests = Digests(mutate=False, verify=False, required=False)
    if limits.allowed is not None:
        _tell(limits.allowed, policy, fields.where, excuse=True)
        found.append(
            policy.rule(name, fields.where, acts, applies, ("*",), static)._replace(
                skip=limits.allowed, digests=digests
            )
        )
    if limits.forbidden:
        _tell(limits.forbidden, policy, fields.where, excuse=False)
        found.append(policy.rule(name, fields.where, acts, applies, limits.forbidden, static)._replace(digests=digests))
    policy.note("difference", "it holds for every image of a workload, in whichever list of containers", fields.where)
    return found


def _tell(found: tuple[str, ...], policy: _Policy, where: str, *, excuse: bool) -> None:
    for pattern in found:
        located(functools.partial(patterns.expression, pattern, "kyverno", excuse=excuse), where)
        _, tag, digest = patterns.split(pattern)
        if (tag is not None and tag.strip("*")) or digest is not None:
            raise PolicyUnsupportedError(f"{where}: {pattern!r} is about tags, which is not evaluated here", hint=_HINT)
        for code, message in patterns.weaknesses(pattern, "kyverno", excuse=excuse):
            policy.note(code, message, where)


def _unread(where: str) -> NoReturn:
    raise PolicyUnsupportedError(f"{where} has to do with images, and is not evaluated here", hint=_HINT)


def _pattern(value: Any, where: str, limits: _Limits) -> None:
    """`{spec: {containers: [{image: …}]}}`, with anchors; or that of a template, below `spec` and `template`."""
    if not isinstance(value, dict) or set(value) != {"spec"} or not isinstance(value["spec"], dict):
        _unread(where)
    for step in ("jobTemplate", "template"):
        if set(value["spec"]) == {step}:
            _pattern(value["spec"][step], f"{where}.spec.{step}", limits)
            return
    for key, items in value["spec"].items():
        if key.removeprefix("=(").removesuffix(")") not in _LISTS or not isinstance(items, list) or len(items) != 1:
            _unread(f"{where}.spec.{key}")
        _element(items[0], f"{where}.spec.{key}[0]", limits)


def _element(value: Any, where: str, limits: _Limits) -> None:
    """`{image: "a/* | b/*"}` or `{image: "!a/*"}`."""
    value = (
        {"image" if key == "=(image)" else key: each for key, each in value.items()} if isinstance(value, dict) else {}
    )
    if not {"image"} <= set(value) <= {"image", "name"} or value.get("name", "*") != "*":
        _unread(where)
    text = value["image"]
    if not isinstance(text, str) or "{{" in text:
        _unread(where)
    some = [part.strip() for part in text.split("|")]
    if all(part and not part.startswith("!") and "&" not in part for part in some):
        limits.allow(tuple(some))
        return
    every = [part.strip() for part in text.split("&")]
    if all(len(part) > 1 and part.startswith("!") and "|" not in part for part in every):
        limits.forbid(tuple(part[1:] for part in every))
        return
    _unread(where)


def _each(fields: Fields, limits: _Limits, applies: Applies) -> None:
    """One `foreach`: over containers."""
    text = fields.required_text("list")
    if not re.fullmatch(r"request\.object\.spec\.[A-Za-z.\[\], ]+", text) or not any(name in text for name in _LISTS):
        _unread(fields.at("list"))
    fields.ignored("elementScope")
    for other in ("preconditions", "context", "anyPattern", "foreach"):
        fields.unsupported(other, "it is not evaluated in rules about registries", hint=_HINT)
    if fields.has("pattern"):
        _element(fields.take("pattern"), fields.at("pattern"), limits)
    elif fields.has("deny"):
        _deny(fields, limits, applies)
    else:
        _unread(fields.where)
    fields.end()


def _deny(fields: Fields, limits: _Limits, applies: Applies) -> None:
    """`deny.conditions`: every one of `any`, or the only one of `all`, denies by itself; several of `all` that name what is allowed
    allow all that they name.
    """
    deny = fields.fields("deny")
    if deny is None:
        fields.missing("deny")
    found = block(deny.take("conditions"), deny.at("conditions"))
    deny.end()
    if found.every and found.some is not None:
        _unread(deny.at("conditions"))
    if len(found.every) > 1:
        if any(each.operator not in _NOT_IN or not _is_element(each) for each in found.every):
            _unread(deny.at("conditions"))  # of a list of images, each condition might hold for another one
        limits.allow(tuple(dict.fromkeys(text for each in found.every for text in _values(each, applies))))
        return
    for condition in found.conditions():
        texts = _values(condition, applies)
        if condition.operator in _NOT_IN:
            limits.allow(texts)
        elif condition.operator in _IN:
            limits.forbid(texts)
        else:
            _unread(condition.where)


def _is_element(condition: Condition) -> bool:
    """Whether it looks at one image, that of the container that `foreach` is at."""
    return [each.expression.text.strip() for each in condition.key.variables()] == ["element.image"]


def _values(condition: Condition, applies: Applies) -> tuple[str, ...]:
    """The patterns that a condition compares images, or their registries, with."""
    variables = condition.key.variables()
    if len(variables) != 1 or condition.key.value != (variables[0],):
        _unread(condition.where)
    text = variables[0].expression.text
    if _REGISTRY.fullmatch(text):
        end = "/*"
    elif _IMAGE.fullmatch(text):
        end = ""
    else:
        _unread(condition.where)
    known = {root: Unknown(root) for root in ("request", "images", "element", "elementIndex")}
    try:
        value = condition.value.fill(applies.scope.data(known, None), None)
    except (EvaluationError, PolicyUndecidedError) as error:
        raise PolicyInvalidError(f"{condition.where}: {error}") from error
    values = listed(value)
    if not values or not all(isinstance(each, str) and each for each in values):
        _unread(condition.where)
    wrong = next((each for each in values if end and "/" in each), None)
    if wrong is not None:  # as a host it would fit nothing, as a pattern it would allow what the product does not
        raise PolicyInvalidError(
            f"{condition.where}: {wrong!r} is no registry", hint="a host; paths: {{ element.image }}"
        )
    return tuple(f"{each}{end}" for each in values)


def _cel(fields: Fields, limits: _Limits) -> None:
    """`LIST.all(c, c.image.startsWith('a/') || c.image.startsWith('b/'))`, as the library of policies in CEL has it."""
    cel = fields.fields("cel")
    if cel is None:
        return
    known = {}
    for each in cel.objects("variables"):
        name, text = each.required_text("name"), each.required_text("expression")
        known[f"variables.{name}"] = each.done(text)
    for each in cel.objects("expressions"):
        text = each.required_text("expression")
        each.text("message")
        each.end()
        found = _CEL_ALL.fullmatch(text.strip())
        if found is None or _CEL_LIST.fullmatch(known.get(found["over"].strip(), found["over"]).strip()) is None:
            _unread(each.at("expression"))
        starts = re.compile(rf"\s*{found['one']}\.image\.startsWith\(\s*(?:'([^'\\]+)'|\"([^\"\\]+)\")\s*\)\s*")
        parts = [starts.fullmatch(part) for part in found["body"].split("||")]
        texts = [part[1] or part[2] for part in parts if part is not None]
        if len(texts) < len(parts) or any("/" not in each or set(each) & set("*?") for each in texts):
            _unread(each.at("expression"))
        limits.allow(tuple(f"{each}*" for each in texts))
    cel.end()
