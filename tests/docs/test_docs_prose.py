"""What the prose names exists: steps, commands, options, variables, exit codes."""

import importlib
import importlib.util
import re

import pytest

from peers.programs import ROOT
from sealgate.cli.__main__ import COMMANDS, parser
from sealgate.cli.options import CommandParser

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FOREIGN = set(
    "--all --artifact-type --docker-password --docker-server --docker-username --for --from --group --input --list-all-pkgs "
    "--metadata-file --mount --mtime --numeric-owner --overrides --owner --provenance --push --sort".split()
)
"""Options of other programs."""


def _ids(path):
    return str(path.relative_to(ROOT))


def _options(found):
    if isinstance(found, CommandParser) and found.commands is not None:
        return {name for inner in found.commands.choices.values() for name in _options(inner)}
    return {name for action in found._actions for name in action.option_strings}


@pytest.fixture(scope="module")
def options():
    there = [name for name, (module, _) in COMMANDS.items() if importlib.util.find_spec(f"sealgate.cli.{module}")]
    return {option for name in there for option in _options(parser(name))}


@pytest.mark.parametrize(
    ("module", "page"),
    [
        ("sealgate.verification.checks", "verify.md"),
        ("sealgate.verification.blob", "blobs.md"),
        ("sealgate.verification.attestation", "attest.md"),
        ("sealgate.trust.proof", "keyless.md"),
    ],
)
def test_the_checks_stand_in_the_docs_as_in_the_code(module, page):
    text = importlib.import_module(module).__doc__
    steps = re.findall(r"^\((\d|[A-Z])\) (.*?[;.])$", text, re.MULTILINE | re.DOTALL)
    assert len(steps) > 3
    numbers = "ABCDEFGHI" if steps[0][0].isalpha() else "123456789"
    assert [number for number, _ in steps] == list(numbers[: len(steps)])
    prose = " ".join((ROOT / "docs" / page).read_text(encoding="utf-8").split())
    for number, step in steps:
        plain = re.sub(r" \([A-Z]\d\d\)", "", " ".join(step.split()))
        assert f"({number}) {plain}" in prose
    named = set(re.findall(r"\(([A-Z])\)", prose)) if steps[0][0].isalpha() else set()
    assert named <= {number for number, _ in steps}


def test_every_step_of_keyless_verification_is_marked_where_it_is_made():
    """Of `trust/proof.py`, and of `verification/signer.py`, which judges the rest."""
    made = {}
    for name in ("trust/proof.py", "verification/signer.py"):
        code = (ROOT / "src" / "sealgate" / name).read_text(encoding="utf-8").partition("from __future__")[2]
        made[name] = set(re.findall(r"# \(([A-Z])\)$", code, re.MULTILINE))
    assert made == {"trust/proof.py": set("ABCD"), "verification/signer.py": set("EF")}


@pytest.mark.parametrize("path", PAGES, ids=_ids)
def test_commands_that_are_named_exist(path):
    named = re.findall(r"(?:`|^)sealgate ([a-z][a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= COMMANDS.keys()


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=_ids)
def test_commands_that_messages_name_exist(path):
    named = re.findall(r"`sealgate ([a-z][a-z-]+)", path.read_text(encoding="utf-8"))
    assert set(named) <= COMMANDS.keys() | {"help"}


@pytest.mark.parametrize("path", PAGES, ids=_ids)
def test_options_that_are_named_exist(path, options):
    text = path.read_text(encoding="utf-8")
    if path.name == "bypasses.md":
        pytest.skip("names options of everybody")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9](?![\w-])", re.sub(r"<!--.*?-->", "", text)))
    assert named <= options | FOREIGN


@pytest.mark.parametrize("path", PAGES, ids=_ids)
def test_variables_that_are_named_exist(path):
    if path.name == "bypasses.md":
        pytest.skip("names variables of everybody")
    from sealgate.cli.environment import VARIABLES

    named = set(re.findall(r"(?<![\w/$.])(?:COSIGN|SEALGATE|SIGSTORE)_[A-Z_]+", path.read_text(encoding="utf-8")))
    assert named - {"COSIGN_PRIVATE_KEY", "SEALGATE_TEST_ROUNDS"} <= {variable.name for variable in VARIABLES}


def test_exit_codes_of_verify_are_those_of_the_list():
    def table(page):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        return {int(code): text for code, text in re.findall(r"^\| (\d+) \| ([^|]+) \|", text, re.MULTILINE)}

    assert table("verify.md").keys() | {130} == table("codes.md").keys()


def test_the_design_names_every_module_and_no_other():
    source = ROOT / "src" / "sealgate"
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    rooms = {room: cell for names, cell in rows for room in re.findall(r"`([a-z/]+)/`", names)}
    assert {room for room in rooms if "/" not in room} == {
        path.name for path in source.iterdir() if (path / "__init__.py").is_file()
    }
    for room, cell in rooms.items():
        if room == "cli":
            continue  # a file a command
        folder = source / room
        modules = {path.stem for path in folder.glob("*.py")} | {
            path.parent.name for path in folder.glob("*/__init__.py")
        }
        named = {name.rstrip("/") for name in re.findall(r"`([a-z0-9_]+/?)`", cell)}
        assert named - {"aiohttp", "blocking"} == modules - {"__init__"}, f"docs/design.md names the modules of {room}/"
