"""The generated pages are what tools/reference.py would write, and what is hand-written in them holds."""

import importlib.util
import shlex
from itertools import groupby

import pytest

from peers.programs import ROOT
from sealgate.cli.__main__ import parser
from sealgate.verification.findings import CODES


def _load():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _load()
EXAMPLES = [
    (name, example["run"])
    for name, examples in reference.tables()["examples"].items()
    for example in examples
    if name in reference.commands()
]


@pytest.mark.parametrize("name", sorted(reference.pages()))
def test_a_generated_page_is_current(name):
    path = reference.DOCS / name
    assert path.is_file(), "`make docs` writes it"
    assert path.read_text(encoding="utf-8") == reference.pages()[name], "`make docs` writes it anew"


def test_there_is_no_page_of_a_command_that_does_not_exist():
    pages = {f"reference/{path.name}" for path in (reference.DOCS / "reference").glob("*.md")}
    assert pages == {name for name in reference.pages() if name.startswith("reference/")}


@pytest.mark.parametrize(("name", "run"), EXAMPLES)
def test_an_example_is_understood_by_the_command(name, run):
    pipeline = [list(words) for bar, words in groupby(shlex.split(run), "|".__eq__) if not bar]
    (words,) = [words[index:] for words in pipeline for index, word in enumerate(words) if word == "sealgate"]
    assert words[1] == name
    parser(name).parse_args(words[2:])


def test_every_finding_has_a_meaning_and_no_other():
    assert reference.tables()["findings"].keys() == CODES.keys()


def test_every_exit_code_of_an_error_is_explained():
    codes = {error.exit_code for error, _ in reference._walk(reference.errors.SealgateError, "")}
    assert codes <= reference.EXIT_CODES.keys()
