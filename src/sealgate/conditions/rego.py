"""Rego, as `cosign verify-attestation --policy` takes it: `package signature`, and `allow` must be exactly true.

The engine is rego-cpp (`regopy`), which takes both syntaxes, v0 and v1. What it does differently from OPA, measured with
regopy 1.5.2, and what is done about it:

- a builtin that it lacks is undefined, so a deny rule that needs it never fires: `regoscan` refuses it before;
- an error in a builtin is undefined: `strict_built_in_errors` makes it an error;
- `false` is reported as undefined unless it is bound to a variable: the query is `x = data.signature.allow`;
- strings are held as the text between their quotes, so that an escaped letter is not the letter: the document and the literals of the
  policy are written in one canonical way, and where a document has escapes, policies that look into strings are refused;
- Python numbers and strings with NUL are cut to C's: the document is given as text, never as Python values;
- `opa.runtime()` is the process's environment: refused, and the environment is empty.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sealgate.conditions import regoscan
from sealgate.conditions.result import EngineMissingError, PolicyError

QUERY = "x = data.signature.allow"
COMPLIANT = "x = data.sigstore.isCompliant"


class Module:
    """A module that was looked through."""

    query = QUERY
    package = "signature"
    rule = "allow"

    def __init__(self, source: str) -> None:
        """Raises `PolicyError`."""
        try:
            import regopy
        except ImportError as error:
            raise EngineMissingError("Rego needs the package regopy: install sealgate[policy]") from error
        self._engine = regopy
        self._scan = regoscan.scan(source, self.package)
        try:
            self._new()
        except regopy.RegoError as error:
            raise PolicyError(f"is not Rego: {_message(str(error), self._scan.source)}") from error

    def _new(self) -> Any:
        # One interpreter a document: nothing of one evaluation reaches the next.
        interpreter = self._engine.Interpreter()
        interpreter.strict_built_in_errors = True
        interpreter.add_module("policy.rego", self._scan.source)
        return interpreter

    def evaluate(self, document: Any, now: int) -> str | None:
        """None if `allow` is true, else why it is not. Raises `PolicyError`."""
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        self._refuse_inexact(text)
        interpreter = self._new()
        try:
            interpreter.add_data_json(json.dumps({"sealgate": {"now_ns": now * 1_000_000_000}}))
            interpreter.set_input_term(text)
            output = interpreter.query(self.query)
        except (self._engine.RegoError, ValueError) as error:
            raise PolicyError(
                "the evaluation failed (an unknown function, a recursion, or an unreadable value)"
            ) from error
        if str(output) == "<error>":
            raise PolicyError("the evaluation failed (a builtin failed, or rules contradict each other)")
        if len(output.results) != 1:
            raise PolicyError("the answer is not one value")
        bindings = output.results[0].bindings
        if not bindings:
            return f"{self.rule} is undefined"
        return self._answer(bindings.get("x"))

    def _answer(self, said: Any) -> str | None:
        if said is True:
            return None
        rule = self.rule
        return f"{rule} is false" if said is False else f"{rule} is not true or false, but {json.dumps(said)[:80]}"

    def _refuse_inexact(self, text: str) -> None:
        """Strings are looked into as they are written: where that makes a difference, nothing is decided."""
        calls = self._scan.calls
        inexact = sorted(calls & regoscan.LOOKS_INTO) if "\\" in text else []
        if not inexact and not text.isascii():
            inexact = sorted(calls & regoscan.COUNTS_LETTERS)
        if inexact:
            raise PolicyError(
                f"{inexact[0]} is not exact in this engine when the document has quotes, backslashes, line ends or"
                " (for some functions) letters beyond ASCII, as this one has; write the condition in CEL"
            )


class Compliance(Module):
    """Rego as policy-controller takes it: `package sigstore`; `isCompliant` is true, or an object whose `result` is.

    cosign, pkg/cosign/rego: ValidateJSONWithModuleInput.
    """

    query = COMPLIANT
    package = "sigstore"
    rule = "isCompliant"

    def _answer(self, said: Any) -> str | None:
        if not isinstance(said, dict):
            return super()._answer(said)
        why = said.get("error")
        if why is None or why == "":
            return super()._answer(said.get("result"))
        return why if isinstance(why, str) else f"{self.rule} has an error that is no text"


def _message(error: str, source: str) -> str:
    """The sentence in rego-cpp's error tree: `(error 11:policy.rego|24|1 (errormsg 16:this is unclosed)`, and its line."""
    place = re.search(r"policy\.rego\|([0-9]{1,9})\|", error)
    if place is None:
        return _sentence(error)
    line = source.encode()[: int(place[1])].count(b"\n") + 1
    return f"{_sentence(error)} (line {line})"


def _sentence(error: str) -> str:
    _, found, rest = error.partition("(errormsg ")
    if not found:
        return "it cannot be parsed"
    size, _, text = rest.partition(":")
    return text[: int(size)] if size.isdecimal() else "it cannot be parsed"
