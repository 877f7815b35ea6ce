"""Kubernetes' label selectors, exactly as the API server reads them. Pure.

Source: Kubernetes, `metav1.LabelSelector`: an empty selector selects everything, everything that it says must hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sealgate.errors import PolicyInvalidError

if TYPE_CHECKING:
    from sealgate.policy.fields import Fields

S = TypeVar("S", bound="LabelSelector")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


class LabelSelector(NamedTuple):
    """`matchLabels` and `matchExpressions`."""

    labels: tuple[tuple[str, str], ...] = ()
    expressions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def fits(self, found: Mapping[str, str]) -> bool:
        """Whether these labels are selected."""
        return all(found.get(key) == value for key, value in self.labels) and self.expressed(found)

    def expressed(self, found: Mapping[str, str]) -> bool:
        """Whether `matchExpressions` hold for these labels."""
        return all(_holds(found, key, operator, values) for key, operator, values in self.expressions)


def _holds(labels: Mapping[str, str], key: str, operator: str, values: tuple[str, ...]) -> bool:
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    found = labels.get(key) in values  # a label that is not there is in no list
    return found if operator == "In" else not found


def read(fields: Fields, name: str, made: type[S]) -> S | None:
    """The selector in a field, of this type; None when absent. Raises `PolicyInvalidError`."""
    selector = fields.fields(name)
    if selector is None:
        return None
    expressions = []
    for each in selector.objects("matchExpressions"):
        key, operator, values = each.required_text("key"), each.choice("operator", *_OPERATORS), each.texts("values")
        if operator is None:
            each.missing("operator")
        if (operator in {"In", "NotIn"}) != bool(values):
            raise PolicyInvalidError(f"{each.where}: {operator} {'has no' if values else 'wants'} values")
        expressions.append(each.done((key, operator, values)))
    return selector.done(made(selector.text_map("matchLabels"), tuple(expressions)))
