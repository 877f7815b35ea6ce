"""Look at policies without judging anything: every object that cannot be read, and everything that weakens those that can.

Loading stops at the first error; this goes on with the next object, so that one run shows all there is to mend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import PolicyInvalidError, SealgateError
from sealgate.gate import policies
from sealgate.policy import compiling, counting, patterns, reading
from sealgate.policy.model import Count, Policies, Static
from sealgate.policy.notes import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sealgate.policy.attestors import Settings
    from sealgate.policy.model import Expression, Note, Rule
    from sealgate.policy.reading import Loaded, Source


class Remark(NamedTuple):
    """One thing that is wrong, or that the author should know."""

    level: str
    """`error`: the policies cannot be loaded; `note`: they can, and are weaker or other than they look."""
    code: str
    """Of an error, its own; of a note, a key of `notes.CODES`."""
    message: str
    file: str
    where: str
    """The place in the file: `ClusterPolicy/check: spec.rules[0]`; empty when it is the whole file."""
    hint: str | None = None


class Looked(NamedTuple):
    """What there was, and what is to be said of it."""

    files: int
    rules: tuple[Rule, ...]
    remarks: tuple[Remark, ...]


def lint(paths: Iterable[str], settings: Settings, *, home: str = policies.HOMES) -> Looked:
    """Every error and note. Raises `NotFoundError`, `UsageError` for paths that are none."""
    remarks: list[Remark] = []
    sources: list[Source] = []
    names = [name for path in paths for name in policies.files(path)]
    for name in names:
        raw = policies.read_file(name)
        try:
            sources += policies.parse(raw, name)
        except SealgateError as error:
            remarks.append(_error(error, name, ""))
    context = reading.Context(settings, policies.Beside(sources), home, file=policies.local_file, personal=True)
    found: list[tuple[Source, Loaded]] = []
    seen: set[tuple[str, str, str, str]] = set()
    for source in sources:
        place = source.where.removeprefix(f"{source.file}: ")
        try:
            loaded = reading.read(source, context)
            if loaded is None:
                continue
            _check_patterns(loaded)
        except SealgateError as error:
            remarks.append(_error(error, source.file, place))
            continue
        key = (source.group, source.kind, source.namespace, source.name)
        if key in seen:
            twice = PolicyInvalidError(f"{source.where} stands there twice", hint="one of them would hide the other")
            remarks.append(_error(twice, source.file, place))
            continue
        seen.add(key)
        found.append((source, loaded))
        remarks += [_note(note, source.file) for note in (*loaded.notes, *_static(loaded))]
    for (source, _), looked in zip(found, compiling.look([each.rules for _, each in found]), strict=True):
        place = source.where.removeprefix(f"{source.file}: ")
        remarks += [_error(error, source.file, place) for error in looked.errors]
        remarks += [_note(note, source.file) for note in looked.notes]
    everything = Policies(
        tuple(rule for _, loaded in found for rule in loaded.rules),
        tuple(each for _, loaded in found for each in loaded.exemptions),
    )
    remarks += _unused(found, everything)
    if not everything.rules and not any(each.level == "error" for each in remarks):
        none = PolicyInvalidError(
            "there is no policy in what was given", hint="an empty set of policies admits nothing"
        )
        remarks.append(_error(none, names[0] if names else "", ""))
    return Looked(len(names), everything.rules, tuple(dict.fromkeys(remarks)))


def _check_patterns(loaded: Loaded) -> None:
    for rule in loaded.rules:
        for excuse, texts in ((False, rule.images), (True, rule.skip)):
            patterns.PatternSet([[patterns.expression(each, rule.dialect, excuse=excuse) for each in texts]])


def _error(error: SealgateError, file: str, place: str) -> Remark:
    message = error.message
    for prefix in (f"{file}: ", f"{place}: "):
        message = message.removeprefix(prefix)
    return Remark("error", error.code, message, file, place, error.hint)


def _note(note: Note, file: str) -> Remark:
    return Remark("note", note.code, note.message, file, note.where.removeprefix(f"{file}: "), CODES.get(note.code))


def _static(loaded: Loaded) -> Iterator[Note]:
    """Rules that a static answer can meet, where their reader has not said so."""
    from sealgate.policy.model import Note

    told = [note.where for note in loaded.notes if note.code == "static-pass"]
    for rule in loaded.rules:
        if _passes(rule.demand) and not any(
            where.startswith(rule.where) or rule.where.startswith(where) for where in told
        ):
            yield Note("static-pass", f"{rule.title} admits images without any check", rule.where)


def _passes(demand: Expression) -> bool:
    if isinstance(demand, Static):
        return demand.passes
    return isinstance(demand, Count) and sum(map(_passes, demand.parts)) >= demand.needed >= 1


def _unused(found: Sequence[tuple[Source, Loaded]], everything: Policies) -> Iterator[Remark]:
    """Exceptions from rules that do not exist: a policy was renamed, or the name is misspelt."""
    for source, loaded in found:
        for exemption in loaded.exemptions:
            for policy, name in exemption.rules:
                one = exemption._replace(rules=((policy, name),))
                if any(counting.exempts(one, rule) for rule in everything.rules):
                    continue
                yield Remark(
                    "note", "exception-unused", f"no rule is called {policy}/{name}", source.file,
                    source.where.removeprefix(f"{source.file}: "), CODES["exception-unused"],
                )  # fmt: skip
