"""Conditions: what policies say of Statements. They are evaluated in a child process (`cage`) that is always ended.

Whatever is not a well-formed answer in time (a crash, silence, noise, too much memory) is an `error`, and no yes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sealgate import limits, strictjson
from sealgate.conditions.child import Child, Lost, frame
from sealgate.conditions.policy import Policy
from sealgate.conditions.result import Result
from sealgate.errors import SealgateError


class Conditions(Child):
    """The policies of one command or call, with one child process for all Statements; a context manager.

    `now` gives the time in seconds since 1970, `monotonic` any clock that does not jump; `path` is where `cue` is looked for,
    `seconds` what one Statement may take. Not for use by two threads at once.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        path: str,
        seconds: float = limits.CONDITION_SECONDS,
        memory: int = limits.CONDITION_MEMORY,
    ) -> None:
        super().__init__("cage.py", monotonic=monotonic, seconds=seconds, memory=memory)
        self._policies = tuple(policies)
        self._now = now
        self._path = path
        self._failures = 0

    def judge(self, statement: bytes) -> tuple[Result, ...]:
        """What every policy says of a Statement, as it was signed: one result a policy, in their order."""
        try:
            document = strictjson.parse(statement, limit=limits.CONDITION_DOCUMENT_BYTES, what="the Statement")
        except SealgateError as error:
            return self._errors(error.message)
        if self._failures >= limits.CONDITION_FAILURES:
            return self._errors("not evaluated: too many evaluations before it came to no end")
        try:
            return self._ask(document)
        except Lost as lost:
            self._failures += 1
            self.close()
            return self._errors(str(lost))
        except BaseException:
            self.close()  # its answer would be taken for that to the next question
            raise

    def _errors(self, message: str) -> tuple[Result, ...]:
        return tuple(Result(policy.name, "error", message) for policy in self._policies)

    def _ask(self, document: Any) -> tuple[Result, ...]:
        deadline = self._monotonic() + self._seconds
        data = b""
        if self._child is None:
            self._child = self._start()
            data = frame(self._setup())
        data += frame({"document": document, "now": int(self._now())})
        answer = self._talk(self._child, data, deadline)
        try:
            said = strictjson.parse(answer, limit=limits.CONDITION_ANSWER_BYTES, what="the answer")
            if not isinstance(said, list) or len(said) != len(self._policies):
                raise TypeError
            return tuple(_result(policy, entry) for policy, entry in zip(self._policies, said, strict=True))
        except (SealgateError, TypeError, ValueError) as error:
            raise Lost("the engine's answer cannot be read") from error

    def _setup(self) -> dict[str, Any]:
        # rego-cpp reserves 256 GiB of addresses at its start, so that a bound on them says nothing: `_watch` holds there.
        bounded = all(policy.language in {"cel", "schema"} for policy in self._policies)
        return {
            "policies": [[policy.language, policy.source] for policy in self._policies],
            "programs": any(policy.language == "cue" for policy in self._policies),
            "cpu": max(1, int(limits.CONDITION_CPU_SECONDS)),
            "memory": 2 * self._memory if bounded else None,
            "files": limits.CONDITION_FILES,
            "path": self._path,
        }


def _result(policy: Policy, entry: Any) -> Result:
    outcome, message = entry
    if outcome not in {"passed", "failed", "error"} or not isinstance(message, str):
        raise TypeError
    return Result(policy.name, outcome, message)
