"""Options that several commands share, and what they mean as values."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from sealgate import limits
from sealgate.errors import UsageError


class CommandParser(argparse.ArgumentParser):
    """argparse with cosign's habits: no abbreviations, `--flag=false` for booleans, wrong usage is a `UsageError`."""

    def __init__(self, *, leave: type[SystemExit] = SystemExit, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **settings)
        self._leave = leave
        self.commands: argparse._SubParsersAction[argparse.ArgumentParser] | None = None
        self.default_command: str | None = None
        """Of a group: the command that is meant where none is named."""

    def add_subparsers(self, **settings: Any) -> Any:
        """Commands of a group: parsers of this class that leave as this one does."""
        settings["parser_class"] = lambda **more: CommandParser(leave=self._leave, **more)
        self.commands = super().add_subparsers(**settings)
        return self.commands

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Take boolean options out first: argparse has no `--flag=false`. The last one given counts."""
        flags = {
            name: action.dest for action in self._actions if isinstance(action, _Flag) for name in action.option_strings
        }
        values: dict[str, bool] = {}
        rest: list[str] = []
        words = list(args if args is not None else [])
        known = {"-h", "--help", *(self.commands.choices if self.commands is not None else ())}
        if self.default_command is not None and words and words[0] not in known:
            words.insert(0, self.default_command)
        for position, word in enumerate(words):
            if word == "--":
                rest += words[position:]
                break
            name, equals, text = word.partition("=")
            if name not in flags or not name.startswith("--"):
                rest.append(word)
            elif not equals:
                values[flags[name]] = True
            elif text.lower() in _BOOLEANS:
                values[flags[name]] = _BOOLEANS[text.lower()]
            else:
                self.error(f"{name} is true or false, not {text[:40]!a}")
        found, unknown = super().parse_known_args(rest, namespace)
        for dest, value in values.items():
            setattr(found, dest, value)
        return found, unknown

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, but unknown options are named without their values: a misspelt one may carry a password (W34)."""
        found, unknown = self.parse_known_args(args, namespace)
        options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        if options:
            self.error(f"unknown option {', '.join(options)}")
        if unknown:
            self.error(f"{len(unknown)} argument{'s' if len(unknown) > 1 else ''} too many")
        return found

    def error(self, message: str) -> NoReturn:
        """Wrong usage."""
        raise UsageError(message, hint=f"`{self.prog} --help` lists the options")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """After --help."""
        if message:
            self._print_message(message, None)
        raise self._leave(status)


_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
"""What Go takes for a boolean."""


class _Flag(argparse._StoreConstAction):  # noqa: SLF001 - the only way to know our own actions again
    """A boolean option."""


class _Formatter(argparse.HelpFormatter):
    """Help of a fixed width: asking the terminal imports 2 ms worth of modules, for every option that is added."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)


def add_flag(parser: argparse._ActionsContainer, *names: str, default: bool | None = False, help: str) -> None:  # noqa: A002 - argparse's word
    """A boolean option as Go has it: `--name`, `--name=true`, `--name=false`; never a separate word."""
    parser.add_argument(*names, action=_Flag, const=True, default=default, help=help)


def duration(text: str) -> float:
    """A Go duration (`1m30s`, `500ms`) or a number of seconds, as seconds."""
    import re

    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII):
        value = float(text)
    else:
        parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|h|m|s)", text)
        if "".join(number + unit for number, unit in parts) != text or not parts:
            raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 30s or 3m0s")
        units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
        value = sum(float(number) * units[unit] for number, unit in parts)
    if value <= 0 or value > 86_400:
        raise argparse.ArgumentTypeError("a time-out is more than 0 and at most a day")
    return value


def add_global_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that every command has; of a group of commands, each of them."""
    if isinstance(parser, CommandParser) and parser.commands is not None:
        for command in parser.commands.choices.values():
            add_global_arguments(command)
        return
    group = parser.add_argument_group("global options")
    group.add_argument(
        "-t",
        "--timeout",
        type=duration,
        default=limits.TOTAL_SECONDS,
        metavar="DURATION",
        help="time-out of the whole command (3m0s)",
    )
    add_flag(group, "-d", "--verbose", help="say more on stderr")
    add_flag(group, "--quiet", help="say nothing but errors on stderr")
    group.add_argument("--output-file", metavar="FILE", help="write what goes to stdout to FILE")
