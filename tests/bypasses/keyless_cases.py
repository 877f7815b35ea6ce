"""The alteration table of keyless evidence: what a case is, and how it is tried in every form and every way.

A case alters one thing. What was altered is refused with the case's code, beside its twin, which is the same but for that thing
and is accepted: made by the same options, believed by the same roots, asked for in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bypasses.keyless_forms import FORMS, Evidence, Form, names
from bypasses.keyless_ways import WAYS, Asked, Asker, Roots, can

_NOTHING: Mapping[str, Any] = {}
CERTIFIED = names(managed=False)
"""Every form with a certificate."""


class Case(NamedTuple):
    """One row of the table."""

    name: str
    """The ids of docs/bypasses.md that it belongs to, and what is altered."""
    code: str
    """The finding that refuses it."""
    forms: tuple[str, ...] = tuple(FORMS)
    ways: tuple[str, ...] = WAYS
    given: Mapping[str, Any] | Callable[[Any], Mapping[str, Any]] = _NOTHING
    """Options of `Form.make`, of the twin too; a function has them of the service."""
    roots: Roots = Roots()
    """Who is believed in, by the twin too."""
    asked: Asked = Asked()
    """Who is asked for, of the twin too."""
    # What is altered:
    alter: Mapping[str, Any] = _NOTHING
    """Hooks of the service."""
    options: Mapping[str, Any] = _NOTHING
    """Further options of `Form.make`."""
    change: Callable[[Any, Evidence], Evidence] | None = None
    """What is done to evidence that is good; it is given the service."""
    wrong_roots: Roots | None = None
    wrong_asked: Asked | None = None


def rows(table: list[Case]) -> list[Any]:
    """The table as parameters: each case in each way that it knows."""
    import pytest

    return [
        pytest.param(case, way, id=f"{case.name.replace(' ', '-')}-{way}")
        for case in table
        for way in case.ways
        if any(can(way, FORMS[form]) for form in case.forms)
    ]


def try_case(service: Any, asker: Asker, case: Case, way: str) -> None:
    """Assert what a case says, in every form."""
    tried = 0
    for form in (FORMS[name] for name in case.forms):
        if not can(way, form):
            continue
        tried += 1
        twin, altered = _made(service, form, case)
        good = asker.ask(twin, way, case.roots, case.asked)
        assert good.accepted, (form.name, good)
        bad = asker.ask(altered, way, case.wrong_roots or case.roots, case.wrong_asked or case.asked)
        assert not bad.accepted, (form.name, bad)
        assert (bad.exit_code, case.code in bad.codes) == (12, True), (form.name, bad)
    assert tried


def _made(service: Any, form: Form, case: Case) -> tuple[Evidence, Evidence]:
    given = case.given(service) if callable(case.given) else case.given
    twin = form.make(service, **given)
    altered = twin
    if case.alter or case.options:
        altered = form.make(service, case.alter, **(given | case.options))
    if case.change is not None:
        altered = case.change(service, altered)
    return twin, altered
