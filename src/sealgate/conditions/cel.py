"""CEL: one expression over `input` (the Statement) and `predicate`, which must be exactly true.

The engine is Google's cel-cpp (`cel-expr-python`). It types expressions, matches regular expressions in linear time (RE2)
and bounds the iterations of one evaluation. Its errors are values, and truthy ones: nothing but BOOL and `True` passes.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

from sealgate.conditions.result import EngineMissingError, PolicyError, UnsupportedError

_OUTSIDE = re.compile(r"undeclared reference to '(http|resource|authorizer|globalContext)'")
"""What Kubernetes and Kyverno have in CEL to reach other places."""


class Expression:
    """An expression that was parsed and typed."""

    def __init__(self, source: str) -> None:
        """Raises `PolicyError`."""
        try:
            from cel_expr_python import cel
            from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings
        except ImportError as error:
            raise EngineMissingError("CEL needs the package cel-expr-python: install sealgate[policy]") from error
        kind = cel.Type
        environment = cel.NewEnv(
            variables={"input": kind.DYN, "predicate": kind.DYN, "now": kind.TIMESTAMP},
            extensions=[
                ext_bindings.ExtBindings(),
                ext_encoders.ExtEncoders(),
                ext_math.ExtMath(),
                ext_optional.ExtOptional(),
                ext_strings.ExtStrings(),
            ],
        )
        try:
            self._compiled = environment.compile(source)
        except (RuntimeError, ValueError) as error:
            outside = _OUTSIDE.search(str(error))
            if outside is not None:
                raise UnsupportedError(f"{outside[1]} asks somebody, and expressions ask nobody") from error
            raise PolicyError(f"is not CEL: {str(error)[:200]}") from error
        self._bool, self._error = kind.BOOL, kind.ERROR
        returns = self._compiled.return_type()
        if returns not in (kind.BOOL, kind.DYN):
            raise PolicyError(f"gives {returns.name()}, not true or false")

    def evaluate(self, document: Any, now: int) -> str | None:
        """None if the expression is true, else why not. Raises `PolicyError`."""
        data = {"input": document, "now": datetime.datetime.fromtimestamp(now, datetime.UTC)}
        # Without a predicate the variable is missing, and what asks for it is an error.
        if isinstance(document, dict) and "predicate" in document:
            data["predicate"] = document["predicate"]
        try:
            value = self._compiled.eval(data=data)
        except (RuntimeError, ValueError, TypeError) as error:
            raise PolicyError(f"the evaluation failed: {str(error)[:200]}") from error
        if value.type() == self._error:
            raise PolicyError(f"the evaluation failed: {str(value.value())[:200]}")
        if value.type() != self._bool:
            return f"gives {value.type().name()}, not true or false"
        answer = value.value()
        if answer is True:
            return None
        return "is false"
