"""The CEL expressions of one policy for admission, compiled; runs in the child alone (`programcage`).

What functions about images answer is a table that comes along with the question: who verified was the parent, and which rows
the expressions looked at goes back with the answer. Nothing but BOOL and `True` is a yes.

A program is a JSON object of lists of `{name, expression, where, …}`: `variables` (in order, each sees those before it),
`conditions`, `references` (over `ref`), `extractors`, `validations` (with `message`), `annotations`, and `constants`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sealgate import limits
from sealgate.conditions.celfunctions import Table, functions

_NAMES = (
    "object",
    "oldObject",
    "request",
    "namespaceObject",
    "images",
    "attestors",
    "attestations",
    "variables",
    "ref",
)
_LIBRARIES = ("json", "yaml", "x509", "time")
_ELSEWHERE = (
    "authorizer",
    "http",
    "resource",
    "globalContext",
    "generator",
    "random",
    "params",
    "exceptions",
)
_MISSING = ("sortBy", "format", "jmespath", "proto")
"""What asks nobody, and is not here all the same."""


class ExpressionError(Exception):
    """An expression that cannot be compiled or has no answer."""

    def __init__(self, message: str, where: str = "", *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.where = where
        self.unsupported = unsupported


class _Expression(NamedTuple):
    name: str
    where: str
    compiled: Any
    more: dict[str, Any]


class Compiled:
    """A program that was parsed and typed once."""

    def __init__(self, document: dict[str, Any]) -> None:
        """Raises `ExpressionError`."""
        from cel_expr_python import cel
        from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings

        self._table = Table()
        kind = cel.Type
        self._types = kind
        self._environment = cel.NewEnv(
            variables=dict.fromkeys(_LIBRARIES, kind.STRING)
            | {name: kind.STRING if name == "ref" else kind.DYN for name in _NAMES},
            extensions=[
                ext_bindings.ExtBindings(), ext_encoders.ExtEncoders(), ext_math.ExtMath(), ext_optional.ExtOptional(),
                ext_strings.ExtStrings(), functions(cel, self._table),
            ],
        )  # fmt: skip
        self._parts = {
            part: [self._read(each, part) for each in document.get(part, [])]
            for part in (
                "variables",
                "conditions",
                "references",
                "extractors",
                "validations",
                "annotations",
                "constants",
            )
        }

    def _read(self, entry: dict[str, Any], part: str) -> _Expression:
        where = entry["where"]
        wants = (self._types.BOOL, self._types.DYN) if part in {"conditions", "references", "validations"} else ()
        more = dict(entry)
        if entry.get("message"):
            more["message"] = self._compile(entry["message"], f"{where}.messageExpression", ())
        place = f"{where}.{entry.get('field', 'expression')}"
        return _Expression(entry["name"], where, self._compile(entry["expression"], place, wants), more)

    def _compile(self, source: str, where: str, wants: tuple[Any, ...]) -> Any:
        try:
            found = self._environment.compile(source)
        except (RuntimeError, ValueError) as error:
            text = str(error)
            for name in (*_ELSEWHERE, *_MISSING):
                if f"undeclared reference to '{name}'" in text:
                    why = "asks somebody, and expressions ask nobody" if name in _ELSEWHERE else "is not evaluated here"
                    raise ExpressionError(f"{name} {why}", where, unsupported=True) from error
            first = next((line.strip() for line in text.splitlines() if "ERROR:" in line), text)
            raise ExpressionError(f"is not CEL: {first.partition('ERROR: ')[2] or first}"[:400], where) from error
        if wants and found.return_type() not in wants:
            raise ExpressionError(f"gives {found.return_type().name()}, not true or false", where)
        return found

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """`compile`: constants; `select`: conditions and references; `extract`: images; `validate`: everything else.

        Raises `ExpressionError`.
        """
        kind = question["kind"]
        data = self._data(question)
        if kind == "compile":
            return {"constants": self._constants(data)}
        if kind == "select":
            return self._select(data, question)
        if kind == "extract":
            return {"images": self._extract(data)}
        if kind == "validate":
            return self._validate(data, question)
        raise ExpressionError("no such question")

    def _data(self, question: dict[str, Any]) -> dict[str, Any]:
        data: dict[str, Any] = {name: name for name in _LIBRARIES}
        data |= question.get("names", {})
        self._table.begin(question.get("table", {}), question.get("now", 0.0))
        return data

    def _value(self, compiled: Any, data: dict[str, Any], where: str) -> Any:
        """The value, as a plain one. Raises `ExpressionError`."""
        try:
            value = compiled.eval(data=data)
            if value.type() == self._types.ERROR:
                raise ExpressionError(f"has no answer: {str(value.value())[:300]}", where)
            return value.plain_value()
        except (RuntimeError, ValueError, TypeError, OverflowError) as error:
            raise ExpressionError(f"has no answer: {str(error)[:300]}", where) from error

    def _variables(self, data: dict[str, Any]) -> None:
        """One that has no answer is not there: who asks for it has none either."""
        known: dict[str, Any] = {}
        data["variables"] = known
        for each in self._parts["variables"]:
            try:
                known[each.name] = self._value(each.compiled, data, each.where)
            except ExpressionError:
                continue

    def _constants(self, data: dict[str, Any]) -> dict[str, str]:
        """What is known before any object is."""
        self._variables(data)
        found = {}
        for each in self._parts["constants"]:
            value = self._value(each.compiled, data, each.name)
            if not isinstance(value, str):
                raise ExpressionError(f"gives {type(value).__name__}, not a string", each.name)
            found[each.name] = value
        return found

    def _select(self, data: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
        self._variables(data)
        for each in self._parts["conditions"]:
            if not self._truth(each, data):
                return {"selected": False, "because": each.name}
        references = self._parts["references"]
        if not references:
            return {"selected": True}
        found = [self._truth(each, {**data, "ref": text}) for each in references for text in question["refs"]]
        return {"selected": any(found), "because": "matchImageReferences"}

    def _truth(self, each: _Expression, data: dict[str, Any]) -> bool:
        value = self._value(each.compiled, data, each.where)
        if not isinstance(value, bool):
            raise ExpressionError(f"gives {type(value).__name__}, not true or false", each.where)
        return value

    def _extract(self, data: dict[str, Any]) -> dict[str, list[str]]:
        self._variables(data)
        found: dict[str, list[str]] = {}
        for each in self._parts["extractors"]:
            value = self._value(each.compiled, data, each.where)
            texts = [value] if isinstance(value, str) else value
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise ExpressionError("gives no list of strings", each.where)
            found[each.name] = texts
        return found

    def _validate(self, data: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
        images: dict[str, list[str]] = {**question["images"]}
        matched = frozenset(question["matched"])
        for name, texts in self._extract({**data, "images": images}).items() if self._parts["extractors"] else ():
            images[name] = [text for text in texts if text in matched]
        data["images"] = images
        for turn in range(self._table.rounds()):
            self._table.turn = turn
            self._variables(data)
            for each in self._parts["validations"]:
                said = self._judge(each, data)
                if said is not None:
                    return {"failed": said, "calls": self._table.calls(), "annotations": {}}
        return {"failed": None, "calls": self._table.calls(), "annotations": self._annotations(data)}

    def _judge(self, each: _Expression, data: dict[str, Any]) -> list[str] | None:
        """None, or `failed` or `error`, the place, and the sentence."""
        try:
            if self._truth(each, data):
                return None
        except ExpressionError as error:
            return ["error", each.where, str(error)]
        if each.more.get("message"):
            try:
                text = self._value(each.more["message"], data, each.where)
            except ExpressionError:
                text = None
            if isinstance(text, str) and text.strip():
                return ["failed", each.where, text[: limits.TEXT_CHARS]]
        return ["failed", each.where, each.more.get("text") or "the expression is false"]

    def _annotations(self, data: dict[str, Any]) -> dict[str, str]:
        """Of `auditAnnotations`: those that are text; null leaves one out, as in Kubernetes."""
        found = {}
        for each in self._parts["annotations"]:
            try:
                value = self._value(each.compiled, data, each.where)
            except ExpressionError as error:
                value = f"error: {error}"
            if isinstance(value, str):
                found[each.name] = value[: limits.TEXT_CHARS]
        return found
