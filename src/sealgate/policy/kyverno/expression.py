"""Expressions in Kyverno's policies: JMESPath, parsed when the policy is loaded, of functions that are known. Pure.

The library and its interpreter (`functions`) are imported where there is an expression; most policies have none.

Source: JMESPath specification.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sealgate import limits
from sealgate.errors import PolicyInvalidError, PolicyUndecidedError, PolicyUnsupportedError

HOLE = re.compile("\ue000(\\d+)\ue001")
"""Where the value of a variable in a variable goes. It is put into the parsed expression, never into its text."""


_KYVERNOS = frozenset(
    "random x509_decode time_to_cron path_canonicalize parse_yaml image_normalize is_external_url md5".split()
)
"""What Kyverno has and is not here."""


class EvaluationError(Exception):
    """An expression has no answer on this input; the text says why."""


class NoAnswerError(EvaluationError):
    """It ran into a bound, or the time is not known: that is no missing value, which has a default."""


class Unknown:
    """What is not known here; whoever looks at it has no answer."""

    def __init__(self, what: str) -> None:
        self.what = what

    def refuse(self) -> PolicyUndecidedError:
        """The error for who looks."""
        return PolicyUndecidedError(f"{self.what} is not known here")


class Expression:
    """A parsed expression, of functions that are known."""

    def __init__(self, text: str, where: str) -> None:
        """Raises `PolicyInvalidError`."""
        from jmespath import exceptions, parser

        if len(text) > limits.POLICY_EXPRESSION_CHARS:
            raise PolicyInvalidError(
                f"{where}: an expression has more than {limits.POLICY_EXPRESSION_CHARS} characters"
            )
        try:
            self.tree: Any = parser.Parser().parse(text).parsed
        except (exceptions.JMESPathError, ValueError, RecursionError) as error:
            raise PolicyInvalidError(f"{where}: {text[:100]!r} is not JMESPath: {str(error)[:200]}") from error
        self.text = text
        try:
            self._check(self.tree, where)
        except RecursionError as error:
            raise PolicyInvalidError(f"{where}: {text[:100]!r} is nested too deep") from error
        self.roots = frozenset(_roots(self.tree))
        self.timed = any(name in text for name in ("time_now", "time_since"))

    def __repr__(self) -> str:
        return self.text

    def _check(self, node: Any, where: str) -> None:
        from sealgate.policy.kyverno.functions import Functions

        if node["type"] == "function_expression" and node["value"] not in Functions.FUNCTION_TABLE:
            name = node["value"]
            if name in _KYVERNOS:
                raise PolicyUnsupportedError(f"{where}: the function {name} is not evaluated here")
            raise PolicyInvalidError(f"{where}: there is no function {name!r}")
        for child in node["children"]:
            if isinstance(child, dict):
                self._check(child, where)

    def evaluate(self, data: Any, *, now: float | None, holes: tuple[Any, ...] = ()) -> Any:
        """The value; None where there is none. Raises `EvaluationError`, `PolicyUndecidedError`."""
        from jmespath import exceptions

        from sealgate.policy.kyverno.functions import Interpreter

        try:
            return Interpreter(now, holes).visit(self.tree, data)
        except RecursionError as error:
            raise NoAnswerError(f"{self.text[:100]!r}: it is nested too deep") from error
        except (exceptions.JMESPathError, ValueError, TypeError, OverflowError) as error:
            raise EvaluationError(f"{self.text[:100]!r}: {str(error)[:200]}") from error
        except PolicyInvalidError as error:  # a pattern that is none until it has its values
            raise NoAnswerError(f"{self.text[:100]!r}: {error.message}") from error


def _roots(node: Any) -> list[str]:
    """The fields of the outermost object that an expression looks at."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        return [node["value"]]
    if kind in {
        "subexpression",
        "pipe",
        "index_expression",
        "projection",
        "value_projection",
        "flatten",
        "filter_projection",
    }:
        return _roots(children[0]) if children else []
    return [name for child in children if isinstance(child, dict) for name in _roots(child)]


def as_text(value: Any) -> str:
    """A value inside of a text: strings as they are, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
