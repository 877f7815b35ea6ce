"""Kyverno's `imageExtractors`: where the images stand in objects of kinds that nobody else knows. Pure.

In Kyverno an extractor replaces what is known of its kind; here it only adds places: nothing that runs is left out.

Source: Kyverno, api/kyverno/v1: ImageExtractorConfigs; pkg/utils/api/image.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sealgate import limits
from sealgate.errors import LimitError, PolicyInvalidError, PolicyUndecidedError, WorkloadInvalidError
from sealgate.policy.evaluate import Placed
from sealgate.policy.kyverno import globs
from sealgate.policy.kyverno.expression import EvaluationError, Expression
from sealgate.policy.kyverno.validation import Validation
from sealgate.policy.model import Extractor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sealgate.policy.fields import Fields
    from sealgate.policy.model import Policies, Rule
    from sealgate.workloads.workload import Workload

_MOST = 1000
"""Images of one object."""


def read(rule: Fields) -> tuple[Extractor, ...]:
    """`imageExtractors` of a rule. Raises `PolicyInvalidError`."""
    kinds = rule.fields("imageExtractors")
    if kinds is None:
        return ()
    found = []
    for kind in sorted(kinds.present()):
        for each in kinds.objects(kind):
            path = each.required_text("path")
            steps = tuple(path.split("/")[1:])
            if not path.startswith("/") or not all(steps):
                raise PolicyInvalidError(f"{each.at('path')} is {path!r}", hint="/spec/template/*/image")
            transform = each.text("jmesPath")
            if transform is not None:
                Expression(transform, each.at("jmesPath"))
            each.text("key")
            value, name = each.text("value"), each.text("name") or "custom"
            found.append(each.done(Extractor(kind, steps, value, name, transform, each.where)))
        if not kinds.items(kind):
            raise PolicyInvalidError(f"{kinds.at(kind)} is empty", hint="path: /spec/image")
    return kinds.done(tuple(found))


def images(policies: Policies, workload: Workload) -> list[Placed]:
    """The images at the places that rules name for objects of this kind, each place once.

    Raises `WorkloadInvalidError` for what stands there and is no image's name, `LimitError`.
    """
    found: dict[tuple[str, str], Placed] = {}
    asked: set[tuple[object, ...]] = set()
    for rule in policies.rules:
        for extractor in rule.extractors:
            if extractor[:5] in asked or not globs.matches(extractor.kind.rpartition("/")[2], workload.kind):
                continue
            asked.add(extractor[:5])
            for placed in extract(extractor, workload.document):
                found.setdefault((placed.where, placed.image), placed)
                if len(found) > _MOST:
                    raise LimitError(f"{workload.title} has more than {_MOST} images")
        if isinstance(rule.demand, Validation) and rule.demand.extracts and _selected(rule, workload):
            for placed in rule.demand.extract(workload):
                found.setdefault((placed.where, placed.image), placed)
                if len(found) > _MOST:
                    raise LimitError(f"{workload.title} has more than {_MOST} images")
    return list(found.values())


def _selected(rule: Rule, workload: Workload) -> bool:
    """Whether a rule is about a workload, or may be: another namespace's says nothing of it."""
    try:
        return rule.namespace in {None, workload.namespace} and rule.selector.selects(workload)
    except PolicyUndecidedError:
        return True


def extract(extractor: Extractor, document: Mapping[str, Any]) -> Iterator[Placed]:
    """The images that one extractor finds; none where the path leads nowhere."""
    for value, steps in _at(document, extractor.path, ()):
        found, place = value, steps
        if extractor.value is not None:
            if not isinstance(found, Mapping):
                raise WorkloadInvalidError(f"{_dotted(steps)} is no object with {extractor.value}")
            found, place = found.get(extractor.value), (*steps, extractor.value)
        if found is None or found == "":
            continue
        if not isinstance(found, str):
            raise WorkloadInvalidError(f"{_dotted(place)} is not a string with an image's name in it", hint="quote it")
        if extractor.transform is None:
            yield Placed(found, _dotted(place), _pointer(place))
            continue
        try:
            image = Expression(extractor.transform, extractor.where).evaluate(found, now=None)
        except EvaluationError as error:
            raise WorkloadInvalidError(f"{_dotted(place)}: jmesPath gives no image's name: {error}") from error
        if not isinstance(image, str) or not image:
            raise WorkloadInvalidError(f"{_dotted(place)}: jmesPath gives no image's name")
        yield Placed(image, _dotted(place), "")


def _at(value: Any, path: tuple[str, ...], steps: tuple[str | int, ...]) -> Iterator[tuple[Any, tuple[str | int, ...]]]:
    if not path:
        yield value, steps
        return
    first, rest = path[0], path[1:]
    below: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, list) and first == "*":
        below = enumerate(value)
    elif isinstance(value, list) and first.isdigit() and int(first) < len(value):
        below = [(int(first), value[int(first)])]
    elif isinstance(value, Mapping):
        below = value.items() if first == "*" else [(first, value[first])] if first in value else []
    for count, (step, each) in enumerate(below):
        if count > limits.WORKLOAD_NODES:
            raise LimitError(f"{_dotted(steps)} has more than {limits.WORKLOAD_NODES} parts")
        yield from _at(each, rest, (*steps, step))


def _dotted(steps: tuple[str | int, ...]) -> str:
    found = ""
    for step in steps:
        found += f"[{step}]" if isinstance(step, int) else f".{step}" if found else step
    return found


def _pointer(steps: tuple[str | int, ...]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
