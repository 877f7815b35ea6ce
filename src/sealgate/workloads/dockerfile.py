"""Every image that a Dockerfile builds from: `FROM`, `COPY --from`, `RUN --mount=from`. Pure.

The grammar is BuildKit's (parser, instructions and dockerfile2llb of frontend/dockerfile): directives, continuation lines,
comments inside of them, heredocs, flags, stages, `ARG`s before the first `FROM`. Whatever is not understood for sure is
refused: an image that the builder sees and this program does not would go unverified (X08).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from sealgate import limits
from sealgate.errors import LimitError, WorkloadInvalidError
from sealgate.workloads import dockerwords as words

if TYPE_CHECKING:
    from collections.abc import Mapping

_INSTRUCTIONS = frozenset(
    "add arg cmd copy entrypoint env expose from healthcheck label maintainer onbuild run shell stopsignal user volume "
    "workdir".split()
)
_HEREDOC = frozenset({"add", "copy", "run"})
_DIRECTIVE = re.compile(r"#[ \t]*([a-zA-Z][a-zA-Z0-9]*)[ \t]*=[ \t]*(.+?)[ \t]*$")
_DIRECTIVES = frozenset({"escape", "syntax", "check"})
_FRONTENDS = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@].*)?")
_STAGE = re.compile(r"[a-z][a-z0-9\-_.]*")
_ARG = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEREDOC_WORD = re.compile(r"[0-9]*<<(-?)([^<]+)")
_SPACE = re.compile(r"[\t\v\f\r ]+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
"""Some of them are white space for Python and not for Go."""
_HEREDOC_IN_VARIABLE = re.compile(r"\$\{[^}]*<<")
_NO_HEREDOCS = re.compile(r".*:(?:1\.[0-3]|1\.[0-3][.-].*|0\..*|experimental)")
"""Frontends that are older than heredocs (1.4)."""
_PLATFORM = frozenset(
    "BUILDPLATFORM BUILDOS BUILDARCH BUILDVARIANT TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT".split()
)
"""Known in FROM without an ARG."""
SCRATCH = "scratch"


class FoundImage(NamedTuple):
    """One image and where it stands."""

    image: str
    line: int
    instruction: str
    """`FROM`, `COPY --from` or `RUN --mount`."""


class Dockerfile(NamedTuple):
    """What a Dockerfile builds from."""

    images: tuple[FoundImage, ...]
    base: FoundImage | None
    """The image below the last stage; None when that is `scratch`."""
    frontend: str | None
    """The image of `# syntax=`, which the builder runs."""

    def names(self) -> list[str]:
        """Each image once, in order."""
        return list(dict.fromkeys(found.image for found in self.images))


class _Instruction(NamedTuple):
    name: str
    rest: str
    line: int


class _Stage(NamedTuple):
    name: str | None
    base: FoundImage | None


def find(
    raw: bytes, build_args: Mapping[str, str], *, limit: int = limits.WORKLOAD_BYTES, what: str = "the Dockerfile"
) -> Dockerfile:
    """Find the images in a Dockerfile; `build_args` as given to the build (`--build-arg`).

    Raises `WorkloadInvalidError` (anything that is not understood, a variable without a value), `LimitError`.
    """
    if len(raw) > limit:
        raise LimitError(f"{what} is larger than {limit} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WorkloadInvalidError(f"{what} is not UTF-8") from error
    if (control := _CONTROL.search(text)) is not None:
        raise WorkloadInvalidError(f"{what} has the control character {ascii(control[0])} in it")
    lines = text.split("\n")
    escape, frontend = _directives(lines, what)
    reader = _Reader(what, escape, build_args)
    for instruction, has_heredoc in _instructions(lines, escape, what):
        if has_heredoc and frontend is not None and _NO_HEREDOCS.fullmatch(frontend):
            _refuse(what, instruction.line, f"a heredoc, which {ascii(frontend)[:100]} does not know")
        reader.read(instruction)
    if not reader.stages:
        raise WorkloadInvalidError(f"{what} has no FROM")
    reader.check_forward()
    return Dockerfile(tuple(reader.images), reader.stages[-1].base, frontend)


def _refuse(what: str, line: int, text: str, hint: str | None = None) -> NoReturn:
    raise WorkloadInvalidError(f"{what}, line {line}: {text}", hint=hint)


# -- lines


def _directives(lines: list[str], what: str) -> tuple[str, str | None]:
    """The escape character and the frontend: comments of the form `# name=value` before anything else.

    Builders disagree on what ends this part (a `#!` line, an unknown name). A directive that only some would obey is
    refused where it would change something.
    """
    found: dict[str, str] = {}
    certain = True
    for number, raw in enumerate(lines, 1):
        line = raw.strip(" \t\r\v\f")
        if line and not line.startswith("#"):
            break
        match = _DIRECTIVE.fullmatch(line)
        name = match[1].lower() if match is not None else ""
        if match is None or name not in _DIRECTIVES:
            certain = False
            continue
        value = match[2]
        if not certain:
            if (name == "escape" and value != "\\") or (name == "syntax" and not _is_known_frontend(value)):
                _refuse(what, number, f"some builders obey this {name}, others do not", "put it on the first line")
            continue
        if name in found:
            _refuse(what, number, f"the directive {name} stands twice")
        found[name] = value
    escape = found.get("escape", "\\")
    if escape not in {"\\", "`"}:
        raise WorkloadInvalidError(f"{what}: escape is {ascii(escape)[:40]}, not \\ or `")
    frontend = found.get("syntax")
    if frontend is not None and not _is_known_frontend(frontend):
        raise WorkloadInvalidError(
            f"{what} is written in the language of {ascii(frontend)[:200]}, which is not read here",
            hint="only the frontends docker/dockerfile and docker/dockerfile-upstream are",
        )
    return escape, frontend


def _is_known_frontend(value: str) -> bool:
    return _FRONTENDS.fullmatch(value.split(maxsplit=1)[0]) is not None


def _instructions(lines: list[str], escape: str, what: str) -> list[tuple[_Instruction, bool]]:
    """Logical lines: comments gone, continuations joined, heredocs skipped; and whether there was one."""
    continued = re.compile(rf"([^{re.escape(escape)}]){re.escape(escape)}[ \t]*$|^{re.escape(escape)}[ \t]*$")
    found: list[tuple[_Instruction, bool]] = []
    position = 0
    while position < len(lines):
        number = position + 1
        line = lines[position].rstrip("\r").lstrip()
        position += 1
        if number == 1 and line.startswith("#!"):
            continue
        if not line or line.startswith("#"):
            continue
        whole, ended = _continuation(line, continued)
        while not ended and position < len(lines):
            following = lines[position].rstrip("\r")
            position += 1
            if not following.strip() or following.lstrip().startswith("#"):
                continue
            part, ended = _continuation(following, continued)
            whole += part
        if not whole.strip():
            continue
        name, _, rest = _first(whole)
        instruction = _Instruction(name.lower(), rest, number)
        if instruction.name not in _INSTRUCTIONS:
            _refuse(what, number, f"{ascii(name)[:60]} is no instruction of a Dockerfile")
        heredocs = _heredocs(instruction, what)
        found.append((instruction, bool(heredocs)))
        for chomp, word in heredocs:
            while position < len(lines):
                candidate = lines[position].rstrip("\r")
                position += 1
                if (candidate.lstrip("\t") if chomp else candidate) == word:
                    break
            else:
                _refuse(what, number, f"the heredoc {ascii(word)[:60]} does not end")
        if len(found) > limits.DOCUMENTS:
            raise LimitError(f"{what} has more than {limits.DOCUMENTS} instructions")
    return found


def _continuation(line: str, continued: re.Pattern[str]) -> tuple[str, bool]:
    """A line without its continuation character, and whether it ends the instruction."""
    if continued.search(line) is None:
        return line, True
    return continued.sub(r"\1", line), False


def _first(text: str) -> tuple[str, str, str]:
    """The first word, and the rest."""
    stripped = text.strip()
    match = _SPACE.search(stripped)
    if match is None:
        return stripped, "", ""
    return stripped[: match.start()], match[0], stripped[match.end() :].strip()


def _heredocs(instruction: _Instruction, what: str) -> list[tuple[bool, str]]:
    """The heredocs that begin in a line: whether tabs are chomped, and the word that ends each."""
    name, rest = instruction.name, instruction.rest
    while name == "onbuild":
        name, _, rest = _first(rest)
        name = name.lower()
    if name not in _HEREDOC or "<<" not in rest:
        return []
    try:
        arguments = words.flags(rest)[1]
    except words.NotUnderstoodError as error:
        _refuse(what, instruction.line, str(error))
    if arguments.startswith("["):
        _refuse(
            what, instruction.line, "<< in what may be a list or a shell command", "write the command in shell form"
        )
    if _HEREDOC_IN_VARIABLE.search(rest):
        _refuse(what, instruction.line, "<< in a variable")
    split = words.split(rest)
    if split is None:
        _refuse(what, instruction.line, "<< beside a quote that does not end")
    found = []
    for word in split:
        match = _HEREDOC_WORD.fullmatch(word)
        if match is not None:
            end = words.unquote(match[2])
            if end is None or not end or " " in end:
                _refuse(what, instruction.line, f"the heredoc {ascii(word)[:60]} is not understood")
            found.append((bool(match[1]), end))
    return found


# -- instructions


class _Reader:
    def __init__(self, what: str, escape: str, build_args: Mapping[str, str]) -> None:
        self._what = what
        self._escape = escape
        self._build_args = build_args
        self._args: dict[str, str | None] = {}
        """Values of the ARGs before the first FROM; None: declared without one."""
        self._args.update({name: build_args[name] for name in _PLATFORM & build_args.keys()})
        self.stages: list[_Stage] = []
        self.images: list[FoundImage] = []
        self._taken: list[tuple[str, int]] = []
        """Images that bear the name that a later stage may have."""

    def read(self, instruction: _Instruction) -> None:
        """One instruction."""
        name = instruction.name
        if name == "onbuild":
            inner, _, rest = _first(instruction.rest)
            inner = inner.lower()
            if inner not in _INSTRUCTIONS or inner in {"onbuild", "from", "maintainer"}:
                self._refuse(instruction, f"ONBUILD {ascii(inner)[:60]} is not allowed")
            self.read(_Instruction(inner, rest, instruction.line))
        elif name == "from":
            self._from(instruction)
        elif name == "arg":
            if not self.stages:
                self._arg(instruction)
        elif not self.stages:
            self._refuse(instruction, f"{name.upper()} before the first FROM")
        elif name in {"copy", "add"}:
            self._copy(instruction)
        elif name == "run":
            self._run(instruction)

    def check_forward(self) -> None:
        """Refuse names that one builder takes for an image and another for a stage that comes later."""
        later = {stage.name for stage in self.stages if stage.name is not None}
        for name, line in self._taken:
            if name.lower() in later:
                _refuse(
                    self._what, line, f"{ascii(name)[:100]} may be an image, or the stage of that name that comes later"
                )

    def _refuse(self, instruction: _Instruction, text: str, hint: str | None = None) -> NoReturn:
        _refuse(self._what, instruction.line, text, hint)

    def _arg(self, instruction: _Instruction) -> None:
        if "\\" in instruction.rest or "`" in instruction.rest:
            self._refuse(instruction, "ARG with an escape before the first FROM")
        parts = words.split(instruction.rest)
        if not parts:
            self._refuse(instruction, "ARG without a name, or with a quote that does not end")
        for part in parts:
            name, equals, default = part.partition("=")
            if not _ARG.fullmatch(name):
                self._refuse(instruction, f"{ascii(name)[:60]} is no name of an ARG")
            if name in self._build_args:
                self._args[name] = self._build_args[name]
            elif equals:
                self._args[name] = self._expand(default, instruction)
            else:
                self._args.setdefault(name, None)

    def _expand(self, word: str, instruction: _Instruction) -> str:
        try:
            return words.expand(word, self._args, escape=self._escape)
        except words.UnsetError as error:
            self._refuse(
                instruction, f"{error.name} has no value",
                f"--build-arg {error.name}=…, as for the build itself; where it differs by platform, verify each",
            )  # fmt: skip
        except words.NotUnderstoodError as error:
            self._refuse(instruction, f"{ascii(word)[:100]}: {error}")

    def _from(self, instruction: _Instruction) -> None:
        flags, rest = self._flags(instruction, frozenset({"platform"}))
        del flags  # which platform's image of an index is used does not change which index is verified
        parts = _SPACE.split(rest) if rest else []
        name = None
        if len(parts) == 3 and parts[1].lower() == "as":
            name = parts[2].lower()
            if not _STAGE.fullmatch(name):
                self._refuse(instruction, f"{ascii(parts[2])[:60]} is no name of a stage")
        elif len(parts) != 1:
            self._refuse(instruction, "FROM has one word, or three: FROM image AS stage")
        image = self._expand(parts[0], instruction)
        if not image:
            self._refuse(instruction, "FROM has no image")
        base = self._resolve(image, instruction, "FROM", forward=False)
        self.stages.append(_Stage(name, base))

    def _resolve(self, image: str, instruction: _Instruction, how: str, *, forward: bool) -> FoundImage | None:
        """The image that a name means: a stage's own base, None for `scratch`, or the image of that name, which is noted."""
        for stage in reversed(self.stages[:-1] if forward else self.stages):
            if stage.name == image.lower():
                return stage.base
        if image == SCRATCH:
            return None
        found = FoundImage(image, instruction.line, how)
        self.images.append(found)
        if forward:
            self._taken.append((image, instruction.line))
        return found

    def _copy(self, instruction: _Instruction) -> None:
        flags, _ = self._flags(instruction, None)
        sources = [value for name, value in flags if name == "from"]
        if not sources:
            return
        if len(sources) > 1 or instruction.name == "add":
            self._refuse(instruction, "--from twice, or where it does not belong")
        source = self._literal(sources[0], instruction, "--from")
        if re.fullmatch(r"[+-]?[0-9]+", source):
            if not 0 <= int(source[:9]) < len(self.stages) - 1 or len(source) > 9:
                self._refuse(instruction, f"there is no stage {source[:20]} before this one")
            return
        self._resolve(source, instruction, "COPY --from", forward=True)

    def _run(self, instruction: _Instruction) -> None:
        flags, _ = self._flags(instruction, None)
        for name, value in flags:
            if name != "mount":
                continue
            fields = words.csv_fields(value or "")
            if fields is None:
                self._refuse(instruction, "--mount is not understood")
            sources = [
                text for key, equals, text in (f.partition("=") for f in fields) if equals and key.lower() == "from"
            ]
            if len(sources) > 1:
                self._refuse(instruction, "--mount has from twice")
            if sources and sources[0]:
                source = self._literal(sources[0], instruction, "from")
                self._resolve(source, instruction, "RUN --mount", forward=True)

    def _literal(self, value: str | None, instruction: _Instruction, option: str) -> str:
        """A value in which the builder takes no variables, or newer ones do."""
        if not value:
            self._refuse(instruction, f"{option} has no value")
        if any(char in value for char in "$\"'\\`"):
            self._refuse(
                instruction, f"{option} with a variable or a quote", "name a stage: FROM $IMAGE AS name, --from=name"
            )
        return value

    def _flags(
        self, instruction: _Instruction, known: frozenset[str] | None
    ) -> tuple[list[tuple[str, str | None]], str]:
        """The options in front, name and value; None for `known`: any, since none of the others names an image."""
        try:
            found, rest = words.flags(instruction.rest)
        except words.NotUnderstoodError as error:
            self._refuse(instruction, str(error))
        options: list[tuple[str, str | None]] = []
        for word in found:
            name, equals, value = word.removeprefix("--").partition("=")
            if not re.fullmatch(r"[a-z][a-z-]*", name) or (known is not None and name not in known):
                self._refuse(instruction, f"{ascii(word)[:60]} is no option of {instruction.name.upper()}")
            options.append((name, value if equals else None))
        return options, rest
