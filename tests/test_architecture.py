"""The house stands as docs/design.md draws it: who may import whom, and who does no I/O."""

import os
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
PURE = (
    "sealgate.evidence", "sealgate.workloads", "sealgate.verification.checks", "sealgate.verification.requirement",
    "sealgate.admission.review", "sealgate.admission.answer", "sealgate.admission.lifetime",
    *(f"sealgate.scan.{path.stem}" for path in (ROOT / "src" / "sealgate" / "scan").glob("[a-z]*.py") if path.stem != "scanner"),
)  # fmt: skip
"""No sockets, no files, no clock: the time is a parameter."""
IO = {
    "asyncio", "ctypes", "fcntl", "http", "io", "mmap", "multiprocessing", "os", "pathlib", "random", "secrets",
    "select", "selectors", "shutil", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "urllib",
    "aiohttp", "starlette", "uvicorn",
}  # fmt: skip
BUILTINS = {"open", "input", "print", "exec", "eval", "compile", "__import__"}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("sealgate", include_external_packages=True, cache_dir=None)


def test_the_contract_of_the_floors_is_kept():
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " broken." in done.stdout
    assert "0 kept" not in done.stdout


def test_nothing_imports_the_command_line(graph):
    inside = {"sealgate.cli"} | graph.find_descendants("sealgate.cli") if "sealgate.cli" in graph.modules else set()
    importers = {name for module in inside for name in graph.find_modules_that_directly_import(module)}
    assert importers <= inside


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_do_no_io(graph, room):
    if room not in graph.modules:
        pytest.skip(f"{room} is not written yet")
    for module in {room} | graph.find_descendants(room):
        imported = graph.find_modules_directly_imported_by(module)
        assert not imported & IO, f"{module} imports {imported & IO}"
        below = {name.partition(".")[0] + "." + name.split(".")[1] for name in imported if name.startswith("sealgate.")}
        assert "sealgate.transport" not in below, f"{module} imports the transport"


def test_pure_rooms_call_no_builtin_that_does_io():
    import ast

    for room in PURE:
        stem = ROOT / "src" / Path(*room.split("."))
        for path in [*stem.rglob("*.py"), *([file] if (file := stem.with_suffix(".py")).is_file() else [])]:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    assert node.func.id not in BUILTINS, f"{path.relative_to(ROOT)}:{node.lineno} {node.func.id}()"


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for_and_checks_without_assert(path):
    import ast

    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "the first lines say what the file is for"
    asserts = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert not asserts, f"assert is gone under -O: lines {asserts}"
