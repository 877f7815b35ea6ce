"""Write digests in place of tags into the text of a manifest; everything else of the text stays as it is. Pure.

The places are those that the parser itself found for the scalars (YAML marks), so that no two readings of a file can differ;
what was written is read again, and must mean what it meant, with the new names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import yaml

from sealgate.errors import WorkloadInvalidError
from sealgate.workloads import yamldocs

_PROPERTIES = re.compile(r"(?:[&!][^\s\[\]{},]*[ \t]+)*")
"""What may stand before a scalar on its line: an anchor, a tag (YAML 1.2, 6.9)."""
_MERGE = "tag:yaml.org,2002:merge"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")


def rewrite(text: str, changes: Mapping[tuple[int, str], tuple[str, str]], *, what: str) -> str:
    """The text with the scalars at these places replaced.

    `changes`: by (document, RFC 6901 pointer), what stands there and what shall. Documents are counted as
    `kubernetes.read` does, empty ones left out. Raises `WorkloadInvalidError` for a place that does not hold what it should.
    """
    if text.lstrip()[:1] == "{" and len(parts := yamldocs.json_spans(text.encode())) > 1:
        return _stream(text.encode(), parts, changes, what)
    spans: dict[tuple[int, int], tuple[str, str]] = {}
    documents = (each for each in yaml.compose_all(text, Loader=yaml.SafeLoader) if not _is_empty(each))
    for number, node in enumerate(documents):
        for (document, pointer), (old, new) in changes.items():
            if document != number:
                continue
            found = _at(node, pointer)
            if not isinstance(found, yaml.ScalarNode) or found.value != old:
                raise WorkloadInvalidError(f"{what}: {pointer} does not hold {old[:120]!a} any more")
            if found.style in {"|", ">"} or found.start_mark.line != found.end_mark.line:
                raise WorkloadInvalidError(f"{what}: {pointer} stands on several lines; write it on one")
            start = found.start_mark.index
            start += _PROPERTIES.match(text[start : found.end_mark.index]).end()  # type: ignore[union-attr]  # it may be empty
            spans[start, found.end_mark.index] = (new, found.style or "")
    for (start, end), (new, style) in sorted(spans.items(), reverse=True):
        quote = style if style in {"'", '"'} else ""
        if not _PLAIN.fullmatch(new):
            raise WorkloadInvalidError(f"{what}: {new[:120]!a} cannot be written there")
        text = f"{text[:start]}{quote}{new}{quote}{text[end:]}"
    return text


def lines(text: str, places: Collection[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """The line, from 1 on, of each of these places (as in `rewrite`) that is there."""
    if text.lstrip()[:1] == "{" and len(parts := yamldocs.json_spans(text.encode())) > 1:
        raw, found = text.encode(), dict[tuple[int, str], int]()
        for number, (start, stop) in enumerate(parts):
            own = [(0, pointer) for document, pointer in places if document == number]
            above = raw.count(b"\n", 0, start)
            found |= {(number, at): line + above for (_, at), line in lines(raw[start:stop].decode(), own).items()}
        return found
    made = {}
    documents = (each for each in yaml.compose_all(text, Loader=yaml.SafeLoader) if not _is_empty(each))
    for number, node in enumerate(documents):
        for place in places:
            found_node = _at(node, place[1]) if place[0] == number else None
            if found_node is not None:
                made[place] = found_node.start_mark.line + 1
    return made


def _is_empty(node: Any) -> bool:
    return node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null")


def _stream(
    raw: bytes, parts: list[tuple[int, int]], changes: Mapping[tuple[int, str], tuple[str, str]], what: str
) -> str:
    """A stream of JSON objects: each by itself."""
    made, end = [], 0
    for number, (start, stop) in enumerate(parts):
        own = {(0, pointer): change for (document, pointer), change in changes.items() if document == number}
        made += [raw[end:start].decode(), rewrite(raw[start:stop].decode(), own, what=what)]
        end = stop
    return "".join([*made, raw[end:].decode()])


def _at(node: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, yaml.SequenceNode):
            index = int(name) if name.isascii() and name.isdigit() else -1
            node = node.value[index] if 0 <= index < len(node.value) else None
        elif isinstance(node, yaml.MappingNode):
            node = _member(node, name)
        else:
            return None
    return node


def _member(node: yaml.MappingNode, name: str, seen: set[int] | None = None) -> Any:
    """The value of a key; where it has none, that of the first mapping merged into it that has one."""
    seen = {id(node)} if seen is None else seen
    merged: list[Any] = []
    for key, value in node.value:
        if key.tag == _MERGE:
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
        elif getattr(key, "value", None) == name:
            return value
    for each in merged:
        # merging multiplies, and what has no such key stays so
        if isinstance(each, yaml.MappingNode) and id(each) not in seen:
            seen.add(id(each))
            found = _member(each, name, seen)
            if found is not None:
                return found
    return None
