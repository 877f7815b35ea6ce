"""Options that several commands share, and what they mean as values."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from sealgate import limits
from sealgate.errors import UsageError


class CommandParser(argparse.ArgumentParser):
    """argparse with cosign's habits: no abbreviations, `--flag=false` for booleans, wrong usage is a `UsageError`."""

    def __init__(self, *, leave: type[SystemExit] = SystemExit, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.HelpFormatter, **settings)
        self._leave = leave

    def error(self, message: str) -> NoReturn:
        """Wrong usage."""
        raise UsageError(message, hint=f"`{self.prog} --help` lists the options")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """After --help."""
        if message:
            self._print_message(message, None)
        raise self._leave(status)


def add_flag(parser: argparse._ActionsContainer, *names: str, default: bool = False, help: str) -> None:  # noqa: A002 - argparse's word
    """A boolean option as Go has it: `--name`, `--name=true`, `--name=false`; never a separate word."""
    flag = parser.add_argument(*names, action="store_const", const=True, default=default, help=help)
    for name in names:
        if name.startswith("--"):
            for text, value in (("true", True), ("false", False), ("1", True), ("0", False)):
                parser.add_argument(
                    f"{name}={text}", dest=flag.dest, action="store_const", const=value, default=default,
                    help=argparse.SUPPRESS,
                )  # fmt: skip


def duration(text: str) -> float:
    """A Go duration (`1m30s`, `500ms`) or a number of seconds, as seconds."""
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
    """The options that every command has."""
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
