"""Patterns of image names, each dialect's own, over names that were parsed once. Pure; RE2, so linear in the name.

A pattern is never tried on the text that somebody wrote, only on what it means (R02, R03): Docker Hub's names are one name,
tag and digest are parts of their own. Where a product misses an image that its pattern means, a *demand* covers it here, and
an *excuse* (a pattern that takes images away) does not: each errs to the side of more checking.

| dialect | `*` | `**` | `?` | without a tag in the pattern |
|---|---|---|---|---|
| `kyverno` | any run, `/` and `:` too | as `*` | one character | any tag where it is a demand |
| `sigstore` | a run without `/` | any run | itself | any tag or digest |
| `containers` | only `*.` at the front of a host | – | – | the scope and everything below it |
| `sealgate` | a run within one part of the path | any number of parts; alone: every image | itself | any tag or digest |

A name with a digest has no tag that could be relied on (R01): whoever writes `app:other@sha256:…` runs what the digest says.
So a demand for `app:prod-*` covers every digest of `app` in Kyverno's dialect, where nobody else would.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.errors import PolicyInvalidError
from sealgate.oci.reference import HUB

if TYPE_CHECKING:
    from sealgate.oci.reference import Reference
    from sealgate.policy.model import Dialect

_HUB_NAMES = ("docker.io", HUB, "registry-1.docker.io")
_ANY_TAG, _ANY_DIGEST = r"(?::[^@/]*)?", r"(?:@.*)?"
_ANYTHING = "(?s:.*)"
_SIGSTORE = re.compile(r"[a-zA-Z0-9\-_:/*.@]+")
_OURS = re.compile(r"[a-zA-Z0-9\-_:/*.@\[\]]+")


class Parts(NamedTuple):
    """A pattern taken apart: what is compared with the name, with the tag, with the digest."""

    name: str
    tag: str | None
    digest: str | None


def split(pattern: str) -> Parts:
    """The tag begins at the first colon behind the last slash, the digest at the first `@`."""
    rest, at, digest = pattern.partition("@")
    slash = rest.rfind("/")
    name, colon, tag = rest[slash + 1 :].partition(":")
    return Parts(rest[: slash + 1] + name, tag if colon else None, digest if at else None)


def expression(pattern: str, dialect: Dialect, *, excuse: bool = False) -> str:
    """The regular expression of a pattern, for whole candidates (`candidates`). `excuse`: it takes images away from checking.

    Raises `PolicyInvalidError` for what is no pattern of the dialect.
    """
    if not pattern or len(pattern) > limits.PATTERN_CHARS or not pattern.isascii() or not pattern.isprintable():
        raise PolicyInvalidError(f"not a pattern of image names: {ascii(pattern)[:120]}")
    if " " in pattern:
        raise PolicyInvalidError(f"a pattern of image names has no spaces: {pattern!r}")
    if dialect == "kyverno":
        return _kyverno(pattern, excuse=excuse)
    if dialect == "sigstore":
        return _sigstore(pattern)
    if dialect == "containers":
        return _scope(pattern)
    if pattern == "**":
        if excuse:
            raise PolicyInvalidError("the pattern '**' takes every image away from checking", hint="name a registry")
        return ".*"
    return _ours(pattern)


def _kyverno(pattern: str, *, excuse: bool) -> str:
    if excuse:
        return _glob(pattern, ".*", ".*")
    name, tag, digest = split(pattern)
    found = _glob(name, ".*", ".*", classes=True)
    if digest is not None:
        literal = _glob(
            pattern, ".*", ".*", classes=True
        )  # never less than what it says: a star may stand for a port and a path
        return f"(?:{found}{_ANY_TAG}@{_glob(digest, '.*', '.*', classes=True)}|{literal})"
    if tag is None:
        return found + _ANY_TAG + _ANY_DIGEST
    return f"{found}(?::{_glob(tag, '.*', '.*', classes=True)}|{_ANY_TAG}@.*)"


def _sigstore(pattern: str) -> str:
    if _SIGSTORE.fullmatch(pattern) is None:
        raise PolicyInvalidError(f"not a glob: {pattern!r}", hint="letters, digits and - _ : / * . @")
    if pattern == "*":
        pattern = f"{HUB}/library/*"
    elif pattern == "*/*":
        pattern = f"{HUB}/*/*"
    name, tag, digest = split(pattern)
    found = _glob(name, "[^/]*", ".*", question=False)
    if digest is not None:
        tagged = f":{_glob(tag, '[^/]*', '.*', question=False)}" if tag is not None else _ANY_TAG
        return f"{found}{tagged}@{_glob(digest, '[^/]*', '.*', question=False)}"
    if tag is None:
        return found + (_ANY_TAG + _ANY_DIGEST if name.endswith("*") else "(?::latest)?")
    if not tag.strip("*"):
        return found + _ANY_TAG + _ANY_DIGEST
    return f"{found}:{_glob(tag, '[^/]*', '.*', question=False)}"


def _scope(pattern: str) -> str:
    """containers-policy.json(5): a reference, a repository, a namespace, a host, `*.` and a domain; `*`: its defaults."""
    if pattern == "*":
        return ".*"
    if pattern.startswith("*."):
        return rf"[^/]+{re.escape(pattern[1:])}/.*"
    if "*" in pattern or "?" in pattern:
        raise PolicyInvalidError(f"a scope has no wildcards but *. at its front: {pattern!r}")
    _, tag, digest = split(pattern)
    whole = re.escape(pattern)
    if digest is not None:
        return whole
    if tag is not None and "/" in pattern:
        return whole
    return rf"{whole}(?:/[^:@]*)?{_ANY_TAG}{_ANY_DIGEST}"


def _ours(pattern: str) -> str:
    """The host is literal, or `*.` and a domain: no look-alike passes. `**` is any number of parts of a path."""
    if _OURS.fullmatch(pattern) is None:
        raise PolicyInvalidError(f"not a pattern of image names: {pattern!r}", hint="letters, digits and - _ : / * . @")
    name, tag, digest = split(pattern)
    host, slash, path = name.partition("/")
    if not slash or not path:
        raise PolicyInvalidError(
            f"the pattern {pattern!r} does not say which registry", hint="HOST/PATH: registry.example.com/team/**"
        )
    if host.startswith("*."):
        if host.count("*") != 1 or host.count(".") < 2:
            raise PolicyInvalidError(f"the host of {pattern!r} is too wide", hint="*.example.com covers its subdomains")
        found = rf"[a-z0-9-]+(?:\.[a-z0-9-]+)*{re.escape(host[1:])}"
    elif "*" in host:
        raise PolicyInvalidError(
            f"the host of {pattern!r} has a wildcard that a foreign host could fit", hint="a host, or *.example.com"
        )
    else:
        found = re.escape(HUB if host in _HUB_NAMES else host)
    for part in path.split("/"):
        found += r"(?:/[^:@/]+)*" if part == "**" else "/" + _glob(part, "[^:@/]*", "[^:@/]*", question=False)
    tagged = _ANY_TAG if tag is None or not tag.strip("*") else f":{_glob(tag, '[^@]*', '[^@]*', question=False)}"
    if digest is not None:
        return f"{found}{_ANY_TAG}@{_glob(digest, '.*', '.*', question=False)}"
    return found + tagged + (_ANY_DIGEST if tagged == _ANY_TAG else "")


def _glob(text: str, star: str, stars: str, *, question: bool = True, classes: bool = False) -> str:
    """`classes`: `[a-z]` is one of these characters. No name has brackets, so that it only ever covers more."""
    found = ""
    for piece in re.split(r"(\*+|\?|\[!?[A-Za-z0-9._-]+\])", text):
        if piece.startswith("*"):
            found += star if len(piece) == 1 else stars
        elif piece == "?" and question:
            found += "."
        elif classes and piece.startswith("[") and piece.endswith("]"):
            found += _class(piece)
        else:
            found += re.escape(piece)
    return found


def _class(piece: str) -> str:
    negated = piece.startswith("[!")
    inner = piece[2 if negated else 1 : -1]
    ranges = re.findall(r"[A-Za-z0-9]-[A-Za-z0-9]|.", inner)
    if any(len(each) == 3 and each[0] > each[2] for each in ranges):
        raise PolicyInvalidError(f"a range of characters is empty: {piece}")
    body = "".join(each if len(each) == 3 else re.escape(each) for each in ranges)
    return f"[{'^' if negated else ''}{body}]"


def alternatives(pattern: str) -> tuple[str, ...]:
    """The patterns that one with `{a,b}` stands for. Raises `PolicyInvalidError`."""
    done: list[str] = []
    waiting = [pattern]
    while waiting:
        each = waiting.pop()
        found = re.search(r"\{([^{}]*)\}", each)
        if found is None:
            if "{" in each or "}" in each:
                raise PolicyInvalidError(f"a brace is not closed: {pattern!r}")
            done.append(each)
        else:
            waiting += [f"{each[: found.start()]}{part}{each[found.end() :]}" for part in found[1].split(",")]
        if len(done) + len(waiting) > limits.POLICY_PARTS:
            raise PolicyInvalidError(f"{pattern!r} stands for more than {limits.POLICY_PARTS} patterns")
    return tuple(dict.fromkeys(reversed(done)))


def candidates(reference: Reference, dialect: Dialect) -> tuple[str, ...]:
    """Every text that the image goes by in a dialect; what it was written as does not matter (R04)."""
    ends = ""
    if reference.tag is not None:
        ends = f":{reference.tag}"
    if reference.digest is not None:
        ends = f"{ends}@{reference.digest}"
    names = [reference.name]
    if reference.hub and dialect == "containers":
        names = [f"docker.io/{reference.repository}"]
    elif reference.hub and dialect in {"kyverno", "sigstore"}:
        path = reference.repository
        short = path.removeprefix("library/")
        names = [f"{host}/{path}" for host in _HUB_NAMES]
        if short != path:
            names += [f"docker.io/{short}", f"{HUB}/{short}"]
        names.append(short)
    return tuple(dict.fromkeys(f"{name}{ends}" for name in names))


class PatternSet:
    """Many patterns, tried at once (1,000 in some ten microseconds)."""

    def __init__(self, expressions: Sequence[Iterable[str]]) -> None:
        """`expressions[i]` are those of number `i`. Raises `PolicyInvalidError` for more than RE2 can hold."""
        import re2

        self._owners: list[int] = []
        self._known: dict[tuple[str, ...], frozenset[int]] = {}
        self._texts: list[str] = []
        options = re2.Options()
        options.max_mem = limits.PATTERN_SET_BYTES
        options.log_errors = False
        self._set = re2.Set.FullMatchSet(options)
        try:
            for owner, texts in enumerate(expressions):
                for text in texts:
                    self._set.Add(text)
                    self._owners.append(owner)
                    self._texts.append(text)
            if self._owners:
                self._sentinel = self._set.Add(_ANYTHING)
                self._set.Compile()
        except re2.error as error:
            raise PolicyInvalidError(f"a pattern of image names cannot be read: {error}") from error

    def matching(self, texts: Iterable[str]) -> frozenset[int]:
        """The numbers of which any pattern matches any of `texts` whole."""
        if not self._owners:
            return frozenset()
        asked = tuple(texts)
        found = self._known.get(asked)
        if found is None:
            found = frozenset(self._owners[index] for text in asked for index in self._hits(text))
            if len(self._known) >= limits.NAMES:
                self._known.clear()
            self._known[asked] = found
        return found

    def _hits(self, text: str) -> Iterable[int]:
        """RE2 says "nothing matches" also when it ran out of memory; what always matches tells one from the other."""
        found = self._set.Match(text)
        if found is not None and self._sentinel in found:
            return [index for index in found if index != self._sentinel]
        import re2

        return [index for index, each in enumerate(self._texts) if re2.fullmatch(each, text) is not None]


def weaknesses(pattern: str, dialect: Dialect, *, excuse: bool = False) -> list[tuple[str, str]]:
    """What the author of a pattern should know: (code of a note, sentence)."""
    found: list[tuple[str, str]] = []
    name, tag, digest = split(pattern)
    host = name.partition("/")[0]
    if dialect == "kyverno" and "*" in host and name.strip("*/"):
        found.append(("pattern-foreign-host", _foreign(pattern, host, name.partition("/")[2])))
    if tag is not None and digest is None:
        if dialect in {"kyverno", "sigstore"}:
            verb = "does not see" if dialect == "sigstore" and tag.strip("*") else "is read here as covering"
            found.append(
                (
                    "pattern-digest",
                    f"{pattern!r} names a tag and {verb} images that are given by digest: leave the tag out",
                )
            )
        elif tag.strip("*"):
            found.append(
                ("pattern-digest", f"{pattern!r} names a tag and does not see images that are given by digest")
            )
    if excuse and name.startswith("*"):
        found.append(("pattern-excuse", f"{pattern!r} takes images of every registry away from checking"))
    return found


def _foreign(pattern: str, host: str, path: str) -> str:
    """Which other registry a host with a star fits, and what to write."""
    better = host.replace("*", "")
    if host.startswith("*."):
        example, advice = (
            f"evil.example/x{better}/…",
            f"name each registry; {host}/** of an ImagePolicy covers no foreign one",
        )
    else:
        fitting = (
            f"{better}.evil.example"
            if host.endswith("*") and "." in better
            else host.replace("*", "evil", 1).replace("*", "")
        )
        example = f"{fitting}/…" if better else "evilx/…"
        advice = (
            f"write {better}/{path or '*'} for that registry alone"
            if "." in better
            else "begin it with the registry's host"
        )
    return f"{pattern!r} also matches other registries, {example} among them: {advice}"
