"""Variables in Kyverno's policies: `{{ JMESPath }}` in texts, and where their values come from. Pure.

A text is taken apart once, when the policy is loaded. Values never become a part of an expression's text, nor are they
searched for variables again: whoever may write a label cannot write a policy. A variable that stands in another one must
stand in quotes there.

Source: Kyverno, pkg/engine/variables, pkg/engine/context; the policy reference, "Variables" and "External data".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sealgate import limits
from sealgate.errors import PolicyInvalidError, PolicyUndecidedError, PolicyUnsupportedError
from sealgate.policy.fields import Fields, located
from sealgate.policy.kyverno.expression import EvaluationError, Expression, NoAnswerError, Unknown, as_text

if TYPE_CHECKING:
    from sealgate.policy.reading import Context

_OBJECT = ("request", "images", "serviceAccountName", "serviceAccountNamespace", "element", "elementIndex", "target")
"""What is known only of an object under review."""


class Variable(NamedTuple):
    """One `{{ … }}`, with the variables that stand in it."""

    expression: Expression
    inner: tuple[Variable, ...]

    def value(self, data: Mapping[str, Any], now: float | None) -> Any:
        """Its value; None where there is none. Raises `EvaluationError`, `PolicyUndecidedError`."""
        holes = tuple(each.value(data, now) for each in self.inner)
        for each, found in zip(self.inner, holes, strict=True):
            if found is None:
                raise EvaluationError(f"the variable {each.expression.text[:100]!r} has no value")
        return self.expression.evaluate(data, now=now, holes=holes)

    def roots(self) -> frozenset[str]:
        """The outermost names that it looks at."""
        return self.expression.roots.union(*(each.roots() for each in self.inner))

    def timed(self) -> bool:
        """Whether the time decides."""
        return self.expression.timed or any(each.timed() for each in self.inner)


class Template(NamedTuple):
    """A JSON value with variables in its texts."""

    value: Any
    """Texts with variables are tuples of texts and `Variable`s."""

    def fill(self, data: Mapping[str, Any], now: float | None, *, missing: str | None = None) -> Any:
        """The value. A variable without one is `missing`. Raises `EvaluationError`, `PolicyUndecidedError`."""
        return _fill(self.value, data, now, missing)

    def variables(self) -> list[Variable]:
        """Every variable, not those within."""
        return _variables(self.value)


def template(value: Any, where: str) -> Template:
    """Take a JSON value apart. Raises `PolicyInvalidError`."""
    return Template(_taken_apart(value, where, 0))


def _taken_apart(value: Any, where: str, depth: int) -> Any:
    if depth > limits.JSON_DEPTH:
        raise PolicyInvalidError(f"{where}: nested too deep")
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, list):
        return [_taken_apart(each, where, depth + 1) for each in value]
    if isinstance(value, Mapping):
        return {key: _taken_apart(each, where, depth + 1) for key, each in value.items()}
    return value


def _text(text: str, where: str) -> Any:
    if "{{" not in text:
        return text
    if "\ue000" in text or "\ue001" in text:
        raise PolicyInvalidError(f"{where} has a character of the private use area")
    if "$(" in text:
        raise PolicyUnsupportedError(f"{where}: references $(…) are not evaluated here")
    parts: list[str | Variable] = []
    position = 0
    while (start := text.find("{{", position)) >= 0:
        if start and text[start - 1] == "\\":
            parts.append(text[position : start - 1] + "{{")
            position = start + 2
            continue
        parts.append(text[position:start])
        variable, position = _variable(text, start + 2, where, 0)
        parts.append(variable)
    parts.append(text[position:])
    found = [part for part in parts if part != ""]
    if all(isinstance(part, str) for part in found):
        return "".join(part for part in found if isinstance(part, str))
    return tuple(found)


def _variable(text: str, position: int, where: str, level: int) -> tuple[Variable, int]:
    """The variable that begins behind `{{`, and where it ends."""
    if level > limits.POLICY_DEPTH:
        raise PolicyInvalidError(f"{where}: variables in variables, deeper than {limits.POLICY_DEPTH}")
    source = ""
    inner: list[Variable] = []
    braces = 0
    while position < len(text):
        if text.startswith("{{", position):
            quoted = source.count("'") - source.count("\\'"), source.count("`"), source.count('"')
            if not any(count % 2 for count in quoted):
                raise PolicyUnsupportedError(
                    f"{where}: a variable in a variable that stands in no quotes", hint="write '{{ inner }}'"
                )
            found, position = _variable(text, position + 2, where, level + 1)
            hole = f"\ue000{len(inner)}\ue001"
            bare = quoted[1] % 2 and not quoted[0] % 2 and not quoted[2] % 2
            source += f'"{hole}"' if bare else hole
            inner.append(found)
        elif not braces and text.startswith("}}", position):
            return Variable(Expression(source.strip(), where), tuple(inner)), position + 2
        else:
            braces += (text[position] == "{") - (text[position] == "}")
            source += text[position]
            position += 1
    raise PolicyInvalidError(f"{where}: a variable does not end", hint="}}")


def _fill(value: Any, data: Mapping[str, Any], now: float | None, missing: str | None) -> Any:
    if isinstance(value, tuple):
        found = [part if isinstance(part, str) else _value(part, data, now, missing) for part in value]
        if len(found) == 1:
            return found[0]
        text = "".join(as_text(part) for part in found)
        if len(text) > limits.POLICY_TEXT_CHARS:
            raise NoAnswerError(f"a text becomes longer than {limits.POLICY_TEXT_CHARS} characters")
        return text
    if isinstance(value, list):
        return [_fill(each, data, now, missing) for each in value]
    if isinstance(value, dict):
        return {key: _fill(each, data, now, missing) for key, each in value.items()}
    return value


def _value(variable: Variable, data: Mapping[str, Any], now: float | None, missing: str | None) -> Any:
    try:
        found = variable.value(data, now)
    except NoAnswerError:
        raise
    except EvaluationError:
        if missing is None:
            raise
        found = None
    if found is None:
        if missing is None:
            raise EvaluationError(f"the variable {variable.expression.text[:100]!r} has no value")
        return missing
    return found


def _variables(value: Any) -> list[Variable]:
    if isinstance(value, tuple):
        return [part for part in value if isinstance(part, Variable)]
    parts = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    return [found for part in parts for found in _variables(part)]


class _Entry(NamedTuple):
    """One entry of a rule's `context`."""

    name: str
    value: Template | None
    expression: Variable | None
    default: Template | None

    def make(self, data: Mapping[str, Any], now: float | None) -> Any:
        """Its value among `data`. Raises `EvaluationError`, `PolicyUndecidedError`."""
        try:
            found = self.value.fill(data, now) if self.value is not None else None
            if self.expression is not None:
                found = self.expression.value(data if self.value is None else cast("Mapping[str, Any]", found), now)
        except NoAnswerError:
            raise
        except EvaluationError:
            if self.default is None:
                raise
            found = None
        if found is None and self.default is not None:
            return self.default.fill(data, now)
        return found


class _Data(dict[str, Any]):
    """Names and their values; the entries of the rule's context are made when they are asked for."""

    def __init__(self, known: Mapping[str, Any], entries: Mapping[str, _Entry], now: float | None) -> None:
        super().__init__(known)
        self._entries = entries
        self._now = now
        self._making: set[str] = set()
        self._left = limits.POLICY_MAKINGS

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a name."""
        entry = self._entries.get(name)
        if entry is None or name in self._making:
            return super().get(name, default)
        self._left -= 1
        if self._left < 0:  # entries that name others twice, which name others twice
            raise NoAnswerError(f"entries of context are asked for more than {limits.POLICY_MAKINGS} times")
        self._making.add(name)
        try:
            return entry.make(self, self._now)
        finally:
            self._making.discard(name)


class Scope:
    """What the variables of a rule may stand for."""

    def __init__(self, entries: Mapping[str, _Entry]) -> None:
        self._entries = dict(entries)

    def entries(self) -> dict[str, _Entry]:
        """The rule's own names."""
        return dict(self._entries)

    def __repr__(self) -> str:
        return repr(sorted(self._entries.items()))

    def data(self, known: Mapping[str, Any], now: float | None) -> Mapping[str, Any]:
        """The names for one evaluation. What the rule's context names comes before what `known` has: no signed document
        and no object can say what the policy says.
        """
        return _Data(known, self._entries, now)

    def static(self, text: str, where: str) -> str:
        """A text in which nothing depends on the object under review. Raises `PolicyInvalidError`."""
        if "{{" not in text:
            return text
        known = {name: Unknown(f"{name}, an object's,") for name in _OBJECT}
        try:
            found = template(text, where).fill(self.data(known, None), None)
        except PolicyUndecidedError as error:
            raise PolicyUnsupportedError(
                f"{where} depends on the object under review",
                hint="write a rule for each value, with a match of its own",
            ) from error
        except EvaluationError as error:
            raise PolicyInvalidError(f"{where}: {error}") from error
        if not isinstance(found, str):
            raise PolicyInvalidError(f"{where}: the variable is no text")
        return found

    def depends_on_object(self, variables: list[Variable]) -> str | None:
        """The first name among the variables that only an object under review has."""
        waiting = [root for variable in variables for root in sorted(variable.roots())]
        seen: set[str] = set()
        while waiting:
            root = waiting.pop()
            if root in seen:
                continue
            seen.add(root)
            entry = self._entries.get(root)
            if entry is not None:
                parts = [part for part in (entry.value, entry.default) if part is not None]
                inner = [each for part in parts for each in part.variables()]
                inner += [entry.expression] if entry.expression is not None and entry.value is None else []
                waiting += [name for each in inner for name in each.roots() if name != root]
            elif root in _OBJECT:
                return root
        return None


EMPTY = Scope({})


def read_context(rule: Fields, context: Context, namespace: str | None, outer: Scope = EMPTY) -> Scope:
    """`context` of a rule. Raises `PolicyInvalidError`; entries that ask somebody are errors."""
    entries = outer.entries()
    for each in rule.objects("context"):
        name = each.required_text("name")
        if name in _OBJECT:
            raise PolicyInvalidError(f"{each.at('name')}: {name!r} is a name of Kyverno's own")
        for asks in ("apiCall", "imageRegistry", "globalReference"):
            each.unsupported(asks, "policies ask nobody here", hint="a variable, or a ConfigMap among the files")
        variable, config = each.fields("variable"), each.fields("configMap")
        if (variable is None) == (config is None):
            raise PolicyInvalidError(f"{each.where}: a variable or a configMap is required")
        if config is not None:
            entries[name] = _config_map(name, config, context, namespace, Scope(entries))
        elif variable is not None:
            entries[name] = _entry(name, variable)
        each.end()
    return Scope(entries)


def _entry(name: str, fields: Fields) -> _Entry:
    value, default = fields.take("value"), fields.take("default")
    path = fields.text("jmesPath")
    if value is None and path is None:
        raise PolicyInvalidError(f"{fields.where}: a value or a jmesPath is required")
    expression = None
    if path is not None:
        if "{{" in path:
            raise PolicyUnsupportedError(f"{fields.at('jmesPath')}: variables in it are not evaluated here")
        expression = Variable(Expression(path.strip(), fields.at("jmesPath")), ())
    return fields.done(
        _Entry(
            name,
            template(value, fields.at("value")) if value is not None else None,
            expression,
            template(default, fields.at("default")) if default is not None else None,
        )
    )


def _config_map(name: str, fields: Fields, context: Context, owner: str | None, scope: Scope) -> _Entry:
    map_name = scope.static(fields.required_text("name"), fields.at("name"))
    text = fields.text("namespace")
    namespace = scope.static(text, fields.at("namespace")) if text is not None else owner or "default"
    if owner is not None and namespace != owner:
        raise PolicyInvalidError(
            f"{fields.where}: a Policy of the namespace {owner} may not read the ConfigMap {namespace}/{map_name}"
        )
    data = located(lambda: context.references.config_map(namespace, map_name), fields.where)
    value = {"data": dict(data), "metadata": {"name": map_name, "namespace": namespace}}
    return fields.done(_Entry(name, Template(value), None, None))
