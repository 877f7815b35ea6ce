"""`sealgate completion`: completion scripts for bash, zsh and fish, made from the parsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sealgate.cli.context import Context

HELP = """Print a completion script. In bash: `source <(sealgate completion bash)`; in zsh: `source <(sealgate completion zsh)`; in
fish: `sealgate completion fish | source`. To have it in every session, write it to where the shell looks for such scripts."""

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shell."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print the script."""
    script = {"bash": bash, "zsh": zsh, "fish": fish}[arguments.shell]
    context.out(script(list(commands())), end="")
    return 0


class Option(NamedTuple):
    """An option that people see."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    choices: tuple[str, ...]


class Command(NamedTuple):
    """A command or a command's command (`registry serve`)."""

    words: str
    help: str
    options: tuple[Option, ...]
    commands: tuple[str, ...]
    """Words that come next."""
    choices: tuple[str, ...]
    """What its first argument may be, when that is a choice."""


def commands() -> Iterator[Command]:
    """Every command, from its parser."""
    from importlib.util import find_spec

    from sealgate.cli.__main__ import COMMANDS, parser

    for name, (module, text) in COMMANDS.items():
        if find_spec(f"sealgate.cli.{module}") is not None:
            yield from _walk(name, text, parser(name), ())
    yield Command("help", "Explain a command", (), (), tuple(COMMANDS))


def _walk(words: str, text: str, parser: argparse.ArgumentParser, inherited: tuple[Option, ...]) -> Iterator[Command]:
    import argparse

    options: list[Option] = []
    nested: dict[str, tuple[str, argparse.ArgumentParser]] = {}
    choices: tuple[str, ...] = ()
    for action in parser._actions:  # noqa: SLF001 - argparse shows its actions in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            helps = {each.dest: each.help or "" for each in action._choices_actions}  # noqa: SLF001 - as above
            nested = {name: (helps.get(name, ""), found) for name, found in action.choices.items()}
        elif action.help is argparse.SUPPRESS:
            continue
        elif action.option_strings:
            options.append(
                Option(
                    tuple(action.option_strings),
                    _one_line(action.help or ""),
                    action.nargs != 0,
                    tuple(map(str, action.choices or ())),
                )
            )
        elif not choices:
            choices = tuple(map(str, action.choices or ()))
    known = {name for option in options for name in option.names}
    options += [option for option in inherited if not known.intersection(option.names)]
    yield Command(words, _one_line(text), tuple(options), tuple(nested), choices)
    for name, (help_text, found) in nested.items():
        yield from _walk(f"{words} {name}", help_text, found, tuple(options))


def _one_line(text: str) -> str:
    return " ".join(text.replace("%%", "%").split())


def _quoted(text: str) -> str:
    """For bash and zsh, in single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"


# -- bash


def bash(found: list[Command]) -> str:
    """The script for bash 4 and newer."""
    lines = [
        "# bash completion of sealgate",
        "_sealgate() {",
        '    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" command="" words="" value="" i',
        "    COMPREPLY=()",
        '    if [[ $current == "=" ]]; then',  # bash takes --flag=value for three words
        '        current=""',
        '    elif [[ $previous == "=" ]]; then',
        '        previous="${COMP_WORDS[COMP_CWORD-2]}"',
        "    fi",
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        '        case "${COMP_WORDS[i]}" in',
        "            -t|--timeout|--output-file) i=$((i + 1));;",
        "            -*) ;;",
        "            *)",
        '                case "${command:+$command }${COMP_WORDS[i]}" in',
        f"                    {_cases(found)})",
        '                        command="${command:+$command }${COMP_WORDS[i]}";;',
        '                    *) command="${command:-?}";;',
        "                esac;;",
        "        esac",
        "    done",
        '    case "$command" in',
        f'        "") words={_quoted(" ".join(command.words for command in found if " " not in command.words))};;',
    ]
    for command in found:
        names = [name for option in command.options for name in option.names]
        first = [*command.commands, *command.choices]
        lines.append(f"        {_quoted(command.words)})")
        lines.append(f"            words={_quoted(' '.join([*first, *names]))}")
        with_choices = [option for option in command.options if option.choices]
        with_value = [option for option in command.options if option.takes_value and not option.choices]
        if with_choices or with_value:
            lines.append('            case "$previous" in')
            lines += [
                f"                {'|'.join(option.names)}) value={_quoted(' '.join(option.choices))};;"
                for option in with_choices
            ]
            if with_value:
                names = [name for option in with_value for name in option.names]
                lines.append(f"                {'|'.join(names)}) return;;")
            lines.append("            esac")
        lines.append("            ;;")
    lines += [
        "    esac",
        "    if [[ -n $value ]]; then",
        '        COMPREPLY=($(compgen -W "$value" -- "$current"))',
        "    elif [[ $current == -* ]]; then",
        '        COMPREPLY=($(compgen -W "$words" -- "$current"))',
        "    else",
        "        local plain",
        '        for plain in $words; do [[ $plain == -* ]] || value+=" $plain"; done',
        '        COMPREPLY=($(compgen -W "$value" -- "$current"))',
        "    fi",
        "}",
        "complete -o default -F _sealgate sealgate",
    ]
    return "\n".join(lines) + "\n"


def _cases(found: list[Command]) -> str:
    return "|".join(_quoted(command.words) for command in found)


# -- zsh


def zsh(found: list[Command]) -> str:
    """The script for zsh."""
    top = [command for command in found if " " not in command.words]
    lines = [
        "#compdef sealgate",
        "_sealgate() {",
        "    local -a next options",
        '    local command="" previous="${words[CURRENT-1]}" i',
        "    for ((i = 2; i < CURRENT; i++)); do",
        '        case "${words[i]}" in',
        "            -t|--timeout|--output-file) i=$((i + 1));;",
        "            -*) ;;",
        "            *)",
        '                case "${command:+$command }${words[i]}" in',
        f"                    {_cases(found)})",
        '                        command="${command:+$command }${words[i]}";;',
        '                    *) command="${command:-?}";;',
        "                esac;;",
        "        esac",
        "    done",
        '    case "$command" in',
        f'        "") next=({_described((command.words, command.help) for command in top)});;',
    ]
    for command in found:
        lines.append(f"        {_quoted(command.words)})")
        with_value = [option for option in command.options if option.takes_value]
        if with_value:
            lines.append('            case "$previous" in')
            for option in with_value:
                what = f"compadd -- {' '.join(map(_quoted, option.choices))}" if option.choices else "_files"
                lines.append(f"                {'|'.join(option.names)}) {what}; return;;")
            lines.append("            esac")
        helps = {
            each.words.rpartition(" ")[2]: each.help for each in found if each.words.startswith(f"{command.words} ")
        }
        first = [(name, helps.get(name, "")) for name in (*command.commands, *command.choices)]
        if first:
            lines.append(f"            next=({_described(iter(first))})")
        options = ((name, option.help) for option in command.options for name in option.names)
        lines += [f"            options=({_described(options)})", "            ;;"]
    lines += [
        "    esac",
        '    if [[ "${words[CURRENT]}" == -* ]]; then',
        "        _describe -o option options",
        "    elif (( ${#next} )); then",
        "        _describe command next",
        "    else",
        "        _files",
        "    fi",
        "}",
        'if [[ "${funcstack[1]}" == _sealgate ]]; then',  # loaded by compinit from a file of the function's name
        '    _sealgate "$@"',
        "else",
        "    compdef _sealgate sealgate",
        "fi",
    ]
    return "\n".join(lines) + "\n"


def _described(pairs: Iterator[tuple[str, str]]) -> str:
    return " ".join(_quoted(name.replace(":", r"\:") + (f":{text}" if text else "")) for name, text in pairs)


# -- fish


def fish(found: list[Command]) -> str:
    """The script for fish."""
    top = [command.words for command in found if " " not in command.words]
    lines = ["# fish completion of sealgate", "complete -c sealgate -f -n __fish_use_subcommand"]
    for command in found:
        first, _, second = command.words.partition(" ")
        where = f"__fish_seen_subcommand_from {first}"
        if second:
            lines.append(f"complete -c sealgate -f -n {_fish(where)} -a {second} -d {_fish(command.help)}")
            where = f"{where}; and __fish_seen_subcommand_from {second}"
        else:
            condition = f"not __fish_seen_subcommand_from {' '.join(top)}"
            lines.append(f"complete -c sealgate -f -n {_fish(condition)} -a {first} -d {_fish(command.help)}")
        if command.choices:
            lines.append(f"complete -c sealgate -f -n {_fish(where)} -a {_fish(' '.join(command.choices))}")
        for option in command.options:
            names = " ".join(
                f"-l {name.removeprefix('--')}" if name.startswith("--") else f"-s {name.removeprefix('-')}"
                for name in option.names
            )
            value = " -r" if option.takes_value else ""
            if option.choices:
                value = f" -x -a {_fish(' '.join(option.choices))}"
            lines.append(f"complete -c sealgate -n {_fish(where)} {names}{value} -d {_fish(option.help)}")
    return "\n".join(lines) + "\n"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
