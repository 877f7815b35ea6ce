"""Writes the generated pages of docs/: the reference of the commands, the codes, the environment variables (`make docs`).

Everything comes from the product itself, beside `reference.toml`, which has the examples and what findings mean. A test
(tests/docs) fails when a page is not what this file would write. With `--check` nothing is written, and the exit code says
whether every page is current.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import tomllib
from pathlib import Path
from typing import Any

from sealgate import errors
from sealgate.cli.__main__ import COMMANDS, parser
from sealgate.verification import findings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
NOTE = "<!-- Written by tools/reference.py: `make docs`. Changes here are lost. -->\n"

EXIT_CODES = {
    0: "done; every image accepted",
    1: "a failure not listed here, or a test of a policy that did not come as expected",
    2: "the command was used wrongly",
    10: "no signature is attached, or no attestation",
    11: "the image does not exist",
    12: "signatures or attestations exist, none satisfies what was asked",
    14: "could not ask: unreachable, timed out, throttled, not allowed; nothing is known about the image",
    15: "a key or a trust root is missing, malformed, expired or cannot be used",
    16: "refused by a deny-list, the scan gate or a policy",
    130: "interrupted (Ctrl-C)",
}


def tables() -> dict[str, Any]:
    """The hand-written part: `examples` a command, `findings` a code."""
    with (Path(__file__).with_suffix(".toml")).open("rb") as file:
        return tomllib.load(file)


def commands() -> list[str]:
    """The commands whose module is there."""
    return [name for name, (module, _) in COMMANDS.items() if importlib.util.find_spec(f"sealgate.cli.{module}")]


def pages() -> dict[str, str]:
    """Every generated page: its path under docs/, and its text."""
    table = tables()
    found = {f"reference/{name}.md": command_page(name, table["examples"].get(name, [])) for name in commands()}
    found["reference/README.md"] = overview_page()
    found["codes.md"] = codes_page(table["findings"])
    if importlib.util.find_spec("sealgate.cli.environment"):
        found["environment.md"] = environment_page()
    return found


# -- commands


def overview_page() -> str:
    """All commands, and the options that each of them has."""
    lines = [NOTE, "# Commands\n", "| command | what it does |", "|---|---|"]
    lines += [f"| [`sealgate {name}`]({name}.md) | {COMMANDS[name][1]} |" for name in commands()]
    lines += ["\n## Options of every command\n"]
    lines += _options(_group(parser("version"), "global options"))
    lines += [
        "",
        "A boolean option is `--quiet`, `--quiet=true` or `--quiet=false`. Options are not abbreviated. What goes to stdout is data,",
        "what goes to stderr is for people. [Exit codes](../codes.md), [environment variables](../environment.md).",
    ]
    return "\n".join(lines) + "\n"


def command_page(name: str, examples: list[dict[str, str]]) -> str:
    """One command: usage, examples, options. A group of commands has a section for each."""
    found = parser(name)
    lines = [NOTE, f"# sealgate {name}\n", _text(found.description or ""), ""]
    subcommands = getattr(found, "commands", None)
    if subcommands is None:
        lines += _usage(found)
    if examples:
        lines += ["| to | run |", "|---|---|"]
        lines += [f"| {_cell(each['does'])} | `{_code(each['run'])}` |" for each in examples]
        lines.append("")
    if subcommands is None:
        lines += _sections(found, "##")
    else:
        for sub, inner in subcommands.choices.items():
            lines += [f"## sealgate {name} {sub}\n", _text(inner.description or ""), "", *_usage(inner)]
            lines += _sections(inner, "###")
    lines += [
        "[Every command](README.md) · [options of every command](README.md#options-of-every-command) · [exit codes](../codes.md)"
    ]
    return "\n".join(lines) + "\n"


def _usage(found: argparse.ArgumentParser) -> list[str]:
    words = [found.prog]
    if any(action.option_strings and not action.required for action in found._actions):  # noqa: SLF001 - argparse has no other way
        words.append("[options]")
    for action in found._actions:  # noqa: SLF001
        name = str(action.metavar or action.dest)
        if action.option_strings:
            if action.required:
                words += [action.option_strings[-1], name]
        else:
            words.append({"*": f"[{name}…]", "+": f"{name}…", "?": f"[{name}]"}.get(str(action.nargs), name))
    return ["```", " ".join(words), "```", ""]


def _sections(found: argparse.ArgumentParser, head: str) -> list[str]:
    lines: list[str] = []
    places = [action for action in found._actions if not action.option_strings and action.help]  # noqa: SLF001
    if places:
        lines += ["| argument | |", "|---|---|"]
        lines += [f"| `{_code(str(action.metavar or action.dest))}` | {_meaning(action)} |" for action in places]
        lines.append("")
    hidden: list[str] = []
    for group in found._action_groups:  # noqa: SLF001
        actions = [action for action in group._group_actions if action.option_strings]  # noqa: SLF001
        hidden += [action.option_strings[-1] for action in actions if action.help == argparse.SUPPRESS]
        rows = _options(group)
        if rows and group.title != "global options":
            title = "Options" if group.title == "options" else str(group.title).capitalize()
            lines += [f"{head} {title}\n", *rows, ""]
    if hidden:
        names = ", ".join(f"`{name}`" for name in sorted(hidden))
        lines += [
            f"{head} Options of cosign that are known\n",
            "A command line that needs one of these ends in exit code 2 and says why, if it would add a check or a service that",
            f"this version does not have; the others change nothing: {names}.\n",
        ]
    return lines


def _group(found: argparse.ArgumentParser, title: str) -> argparse._ArgumentGroup:
    return next(group for group in found._action_groups if group.title == title)  # noqa: SLF001


def _options(group: argparse._ArgumentGroup) -> list[str]:
    rows = []
    for action in group._group_actions:  # noqa: SLF001
        if not action.option_strings or action.help == argparse.SUPPRESS or "--help" in action.option_strings:
            continue
        names = ", ".join(f"`{_code(name)}`" for name in action.option_strings)
        if action.nargs != 0:
            value = action.metavar or "|".join(map(str, action.choices or [action.dest.upper()]))
            names = names[:-1] + f" {_code(str(value))}`"
        rows.append(f"| {names} | {_meaning(action)} |")
    return ["| option | |", "|---|---|", *rows] if rows else []


def _meaning(action: argparse.Action) -> str:
    text = action.help or ""
    if action.metavar and action.choices and not all(str(choice) in text for choice in action.choices):
        text += f"; one of {', '.join(map(str, action.choices))}"
    if action.nargs == 0 and action.default is True:
        text += " (true)"
    return _cell(text)


# -- codes


def codes_page(meanings: dict[str, str]) -> str:
    """Exit codes, codes of errors, codes of findings."""
    tree = list(_walk(errors.SealgateError, ""))
    lines = [
        NOTE,
        "# Codes\n",
        "Codes are stable: none is renamed. A message may change, its code does not.\n",
        "## Exit codes\n",
        "| exit code | means | errors |",
        "|---|---|---|",
    ]
    for code, means in EXIT_CODES.items():
        of = ", ".join(f"`{error.code}`" for error, _ in tree if error.exit_code == code)
        lines.append(f"| {code} | {_cell(means)} | {of} |")
    lines += [
        "",
        "With several images every one is judged and reported; the exit code is that of the first, in the order given, that was",
        "not accepted. cosign's 13 (no certificate on a signature) is that of a verification that asks for an identity.\n",
        "## Errors\n",
        "What ends a command, or the judging of one image. In the library each is a class of `sealgate.errors`; an error is also of",
        "the kind that stands in its last column.\n",
        "| code | exit code | means | class | kind |",
        "|---|---|---|---|---|",
    ]
    for error, parent in tree:
        lines.append(
            f"| `{error.code}` | {error.exit_code} | {_cell(_summary(error))} | `{error.__name__}` | {f'`{parent}`' if parent else ''} |"
        )
    lines += [
        "| `internal-error` | 1 | A fault of sealgate itself; `SEALGATE_TRACEBACK=1` shows where. | | |",
        "",
        "## Findings\n",
        "What one check on one signature said. They stand in `-o verdict` ([schema](verdict.schema.json)), in SARIF, in JUnit and in",
        "the view for a person. The code of a verdict is `accepted`, the code of the finding that decided, or that of an error.\n",
        "| code | means | what to do |",
        "|---|---|---|",
    ]
    for finding, remedy in findings.CODES.items():
        lines.append(f"| `{finding}` | {_cell(meanings.get(finding, ''))} | {_cell(remedy or '')} |")
    return "\n".join(lines) + "\n"


def _walk(error: type[errors.SealgateError], parent: str) -> list[tuple[type[errors.SealgateError], str]]:
    """The tree below `error`, in the order of the file, each with the code of its parent."""
    found = [(error, parent)]
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            found += _walk(child, error.code)
    return found


def _summary(error: type[errors.SealgateError]) -> str:
    if error is errors.SealgateError:
        return "A failure without a code of its own."
    return " ".join((error.__doc__ or "").split())


# -- environment


def environment_page() -> str:
    """Every variable that is read."""
    variables = importlib.import_module("sealgate.cli.environment").VARIABLES
    lines = [
        NOTE,
        "# Environment variables\n",
        "No other variable is read by the command line. `sealgate env` prints this list with the values that are set, secrets as",
        "`******`. Options win over variables. The library reads none of them unless it is told to ([library](library.md)).\n",
        "| variable | | expects |",
        "|---|---|---|",
    ]
    for variable in sorted(variables):
        secret = " (secret)" if variable.secret else ""
        lines.append(f"| `{variable.name}` | {_cell(variable.description)}{secret} | {_cell(variable.expects)} |")
    return "\n".join(lines) + "\n"


# -- Markdown


def _text(text: str) -> str:
    """Plain text as Markdown; what stands between backticks stays."""
    parts = " ".join(text.split()).split("`")
    for index in range(0, len(parts), 2):
        for char in "<*":
            parts[index] = parts[index].replace(char, f"\\{char}")
    return "`".join(parts)


def _cell(text: str) -> str:
    return _code(_text(text))


def _code(text: str) -> str:
    """In a table a bar ends the cell, even in code."""
    return text.replace("|", "\\|")


def main() -> int:
    """Write the pages, or check them."""
    check = "--check" in sys.argv[1:]
    stale = 0
    wanted = pages()
    for name, text in wanted.items():
        path = DOCS / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        print(f"docs/{name} {'is not current' if check else 'written'}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in sorted((DOCS / "reference").glob("*.md")):
        if f"reference/{path.name}" not in wanted:
            stale += 1
            print(f"docs/reference/{path.name} {'is of no command' if check else 'removed'}")
            if not check:
                path.unlink()
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
