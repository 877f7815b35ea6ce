"""Texts of conditions, compiled when policies are loaded and before anything is judged: all of one load in one child (`cage`).

A text that the child does not survive is at fault itself; another child has the rest. What cannot be looked at (no engine, no
process, no time left) is `unchecked`: it fails when an image is judged, if it is broken. What is known of a text is kept, so
that it is compiled once however often policies are loaded.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits, strictjson
from sealgate.conditions.child import Child, Lost, frame
from sealgate.errors import SealgateError

if TYPE_CHECKING:
    from sealgate.conditions.policy import Language
    from sealgate.conditions.result import Fault


class Text(NamedTuple):
    """One text. Where it stands does not matter."""

    language: Language
    source: str


class Flaw(NamedTuple):
    """What is wrong with a text."""

    fault: Fault
    message: str
    """A sentence for people, without control characters, bounded."""


class _Away(Lost):
    """There is no child that could compile anything: nothing is known of the text."""


class Compiler(Child):
    """The child for the texts of one load; a context manager. It is replaced when a text has ended it."""

    def __init__(
        self,
        *,
        path: str,
        programs: bool,
        bounded: bool,
        monotonic: Callable[[], float],
        seconds: float,
        memory: int = limits.CONDITION_MEMORY,
    ) -> None:
        """`path`: where `cue` is looked for; `programs`: whether the child may run it; `bounded`: its addresses, too."""
        super().__init__("cage.py", monotonic=monotonic, seconds=seconds, memory=memory)
        self._setup = {
            "policies": [], "programs": programs, "cpu": max(1, int(limits.CONDITION_CPU_SECONDS)),
            "memory": 2 * memory if bounded else None, "files": limits.CONDITION_FILES, "path": path,
        }  # fmt: skip

    def compile(self, text: Text) -> Flaw | None:
        """What is wrong with a text; None: nothing. Raises `Lost`, after which the next one has another child."""
        try:
            if self._child is None:
                self._begin()
            return self._ask(text.language, text.source)
        except BaseException:
            self.close()  # its answer would be taken for that to the next question
            raise

    def _begin(self) -> None:
        """Start a child that answers: what it does not survive from now on is the text."""
        try:
            self._child = self._start()
            self._ask("", "", frame(self._setup))
        except Lost as lost:
            raise _Away(str(lost)) from lost

    def _ask(self, language: str, source: str, before: bytes = b"") -> Flaw | None:
        if self._child is None:
            raise Lost("there is no process for it")
        asked = before + frame({"compile": [language, source]})
        answer = self._talk(self._child, asked, self._monotonic() + self._seconds)
        try:
            (fault, message), spent = strictjson.parse(answer, limit=limits.CONDITION_ANSWER_BYTES, what="the answer")
            if fault not in _FAULTS or not isinstance(message, str) or not isinstance(spent, int | float):
                raise TypeError
        except (SealgateError, TypeError, ValueError) as error:
            raise Lost("the engine's answer cannot be read") from error
        if spent > limits.CONDITION_CPU_SECONDS / 2:
            self.close()
        return Flaw(fault, plain(message)) if fault else None


_FAULTS = frozenset({"", "invalid", "unsupported", "unchecked"})


def plain(message: str) -> str:
    """One line: what an engine says has line ends, and whatever stands in the text."""
    line = " ".join(message[: 2 * limits.TEXT_CHARS].split())
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)
    return shown if len(shown) <= limits.TEXT_CHARS else f"{shown[: limits.TEXT_CHARS - 1]}…"


class _Known(NamedTuple):
    flaw: Flaw | None
    until: float


class Compiled:
    """What is known of texts; for use by several threads."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    def compile_all(
        self,
        texts: Iterable[Text],
        *,
        path: str,
        seconds: float = limits.CONDITION_LOAD_SECONDS,
        each: float = limits.CONDITION_COMPILE_SECONDS,
    ) -> dict[Text, Flaw]:
        """Those of these texts that have something wrong with them, or that could not be looked at.

        `seconds`: what all of them may take, `each`: what one may.
        """
        found: dict[Text, Flaw] = {}
        new: list[Text] = []
        with self._lock:
            for text in dict.fromkeys(texts):
                known = self._known.get(_key(text))
                if known is None or self._monotonic() >= known.until:
                    new.append(text)
                elif known.flaw is not None:
                    found[text] = known.flaw
        deadline = self._monotonic() + seconds
        for programs in (False, True):  # `cue` needs a child that may run it; nothing else does
            group = [text for text in new if (text.language == "cue") == programs]
            if group:
                # rego-cpp reserves 256 GiB of addresses at its start; its memory is watched.
                bounded = all(text.language in {"cel", "schema"} for text in group)
                compiler = Compiler(
                    path=path, programs=programs, bounded=bounded, monotonic=self._monotonic, seconds=each
                )
                with compiler:
                    found |= self._look(compiler, group, deadline, limits.CONDITION_LOAD_PROGRAMS if programs else None)
        return found

    def _look(self, compiler: Compiler, texts: Sequence[Text], deadline: float, most: int | None) -> dict[Text, Flaw]:
        found: dict[Text, Flaw] = {}
        failures = 0
        why = ""
        for number, text in enumerate(texts):
            if failures >= limits.CONDITION_FAILURES:
                why = "too many texts before it came to no end"
            elif self._monotonic() >= deadline:
                why = "the texts before it took too long"
            elif most is not None and number >= most:
                why = f"only {most} texts in its language are at one load"
            if why:
                found[text] = Flaw("unchecked", why)
                continue
            until = math.inf
            try:
                flaw = compiler.compile(text)
            except _Away as away:
                flaw, why = Flaw("unchecked", plain(str(away))), plain(str(away))
            except Lost as lost:  # it may have been the machine: not for ever
                flaw, until = Flaw("invalid", plain(str(lost))), self._monotonic() + limits.PROGRAM_PAUSE_SECONDS
                failures += 1
            if flaw is not None:
                found[text] = flaw
            if flaw is None or flaw.fault != "unchecked":
                self._keep(text, _Known(flaw, until))
        return found

    def _keep(self, text: Text, known: _Known) -> None:
        with self._lock:
            self._known[_key(text)] = known
            self._known.move_to_end(_key(text))
            if len(self._known) > limits.CONDITION_TEXTS:
                self._known.popitem(last=False)


def _key(text: Text) -> tuple[str, str]:
    return text.language, hashlib.sha256(text.source.encode("utf-8", "surrogatepass")).hexdigest()


_shared = Compiled()


def compile_all(texts: Iterable[Text]) -> dict[Text, Flaw]:
    """As `Compiled.compile_all`, by what this process knows already."""
    return _shared.compile_all(texts, path=os.environ.get("PATH", os.defpath))
