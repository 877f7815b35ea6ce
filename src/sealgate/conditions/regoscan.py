"""Looking through a Rego module before an engine sees it: which functions it calls, and its strings in one spelling.

Only what is on the list of builtins may be called: they are pure, and the engine has them. Everything else, whether it
reaches outside (`http.send`, `opa.runtime`) or is merely missing, would make a rule undefined in silence.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from sealgate.conditions.result import PolicyError, UnsupportedError

BUILTINS = frozenset(
    """abs array.concat array.reverse array.slice base64.encode base64.is_valid base64url.encode base64url.encode_no_pad
    bits.and bits.lsh bits.negate bits.or bits.rsh bits.xor ceil concat contains count crypto.hmac.equal crypto.md5
    crypto.sha1 crypto.sha256 endswith floor format_int glob.match glob.quote_meta graph.reachable graph.reachable_paths
    hex.encode indexof indexof_n intersection is_array is_boolean is_null is_number is_object is_set is_string json.filter
    json.is_valid json.marshal json.patch json.remove json.unmarshal lower max min numbers.range numbers.range_step
    object.filter object.get object.keys object.remove object.subset object.union object.union_n print product
    regex.find_all_string_submatch_n regex.find_n regex.is_valid regex.match regex.replace regex.split
    regex.template_match round semver.compare semver.is_valid sort split sprintf startswith strings.any_prefix_match
    strings.any_suffix_match strings.count strings.replace_n strings.reverse substring sum time.parse_duration_ns
    to_number replace trim trim_left trim_prefix trim_right trim_space trim_suffix type_name union units.parse
    units.parse_bytes upper urlquery.encode walk""".split()
)

LOOKS_INTO = frozenset(
    """base64.encode base64.is_valid base64url.encode base64url.encode_no_pad contains crypto.hmac.equal crypto.md5
    crypto.sha1 crypto.sha256 endswith glob.match glob.quote_meta hex.encode indexof indexof_n json.is_valid lower
    regex.find_all_string_submatch_n regex.find_n regex.is_valid regex.match regex.replace regex.split
    regex.template_match replace split startswith strings.any_prefix_match strings.any_suffix_match strings.count
    strings.replace_n strings.reverse substring trim trim_left trim_prefix trim_right trim_space trim_suffix upper
    urlquery.encode""".split()
)
"""Builtins whose answer depends on how a character is written."""

COUNTS_LETTERS = frozenset(
    name
    for name in LOOKS_INTO
    if name.startswith(("regex.", "glob.", "indexof")) or name in {"lower", "strings.reverse", "substring", "upper"}
)
"""Builtins that are not exact beyond ASCII."""

# Whatever these roots lead to reaches outside, is random, or is missing in the engine: no use of theirs is let through.
_REFUSED_ROOTS = frozenset({"http", "net", "opa", "io", "graphql", "providers", "rego", "rand", "uuid", "internal"})
_NAMESPACES = frozenset(name.partition(".")[0] for name in BUILTINS if "." in name) | {"time"}
_KEYWORDS = frozenset("as default else every false if import in not null package some true with".split())

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|\#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<raw>`[^`]*`)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>[0-9][0-9A-Za-z_.]*)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


class Scan(NamedTuple):
    """What was found in a module."""

    source: str
    """The module, its strings in canonical spelling."""
    calls: frozenset[str]
    """The builtins that it calls."""


class _Token(NamedTuple):
    kind: str
    text: str


def scan(source: str, package: str = "signature") -> Scan:
    """Look through a module. Raises `PolicyError` for another package, or for a function that must not be called."""
    pieces: list[str] = []
    tokens: list[_Token] = []
    for match in _TOKEN.finditer(source):
        kind, text = str(match.lastgroup), match.group()
        if kind == "string":
            text = _canonical(text)
        elif kind == "raw":
            text = json.dumps(text[1:-1].replace("\r\n", "\n"), ensure_ascii=False)
            kind = "string"
        elif kind == "other" and text in '"`$':
            raise PolicyError(
                "is not Rego: a string is not closed" if text != "$" else "is not Rego: $ stands for nothing"
            )
        pieces.append(text)
        if kind != "space":
            tokens.append(_Token(kind, text))
    _package(tokens, package)
    return Scan("".join(pieces), frozenset(_calls(tokens)))


def _canonical(literal: str) -> str:
    try:
        value = json.loads(literal)
        value.encode("utf-8")
    except (ValueError, UnicodeEncodeError) as error:
        raise PolicyError(f"is not Rego: {literal[:40]} is not a string") from error
    if "\0" in value:
        raise PolicyError("has a string with a NUL character")
    return json.dumps(value, ensure_ascii=False)


def _package(tokens: list[_Token], package: str) -> None:
    if len(tokens) < 2 or tokens[0].text != "package":
        raise PolicyError(f"is not Rego: it does not begin with `package {package}`")
    name = tokens[1].text
    if name != package or (len(tokens) > 2 and tokens[2].text in {".", "["}):
        who = "cosign demands of policies on attestations" if package == "signature" else "policy-controller demands"
        raise PolicyError(f"its package is not `{package}`, as {who}")


def _calls(tokens: list[_Token]) -> set[str]:
    """The builtins that are called; `opa["runtime"]` and `opa . runtime` are read as `opa.runtime`."""
    calls: set[str] = set()
    at = 2
    while at < len(tokens):
        kind, root = tokens[at]
        before = tokens[at - 1].text
        at += 1
        if kind != "name" or before == "." or root in _KEYWORDS:
            continue
        path, at = _path(tokens, root, at)
        if before == "import" and path == "rego.v1":
            continue
        called = at < len(tokens) and tokens[at].text == "("
        extended = at < len(tokens) and tokens[at].text in {"[", "."}
        if (root in _REFUSED_ROOTS and (called or extended or path != root)) or path == "time.now_ns":
            raise UnsupportedError(
                f"uses {path}, which is not available: it reaches outside of the document, or is missing"
            )
        if root in _NAMESPACES and extended and path == root:
            raise PolicyError(f"looks up a function of {root} by a name that is computed")
        if not called:
            # `with json.unmarshal as f`: a builtin that is replaced is not what it seems.
            if path in BUILTINS and "." in path:
                raise PolicyError(f"uses {path} without calling it")
            continue
        if path in BUILTINS:
            calls.add(path)
        elif "." in path and root != "data":
            raise UnsupportedError(f"calls {path}, which this engine does not have")
        elif "." not in path and not _defined(tokens, root):
            raise UnsupportedError(f"calls {path}, which is neither a function of the policy nor of this engine")
    return calls


def _path(tokens: list[_Token], root: str, at: int) -> tuple[str, int]:
    path = root
    while at + 1 < len(tokens):
        if tokens[at].text == "." and tokens[at + 1].kind == "name":
            path += "." + tokens[at + 1].text
            at += 2
        elif (
            tokens[at].text == "["
            and tokens[at + 1].kind == "string"
            and at + 2 < len(tokens)
            and tokens[at + 2].text == "]"
        ):
            path += "." + json.loads(tokens[at + 1].text)
            at += 3
        else:
            break
    return path, at


def _defined(tokens: list[_Token], name: str) -> bool:
    """Whether a function of this name is defined: `name(…) {`, `name(…) = `, `name(…) := `, `name(…) if`."""
    for at, token in enumerate(tokens[:-1]):
        if token != ("name", name) or tokens[at + 1].text != "(" or (at and tokens[at - 1].text in {".", "import"}):
            continue
        depth = 0
        for end in range(at + 1, len(tokens)):
            depth += (tokens[end].text == "(") - (tokens[end].text == ")")
            if depth == 0:
                if end + 1 < len(tokens) and tokens[end + 1].text in {"{", "=", ":", "if"}:
                    return True
                break
    return False
