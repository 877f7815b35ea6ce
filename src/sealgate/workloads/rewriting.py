"""Write digests in place of tags into the text of a manifest; everything else of the text stays as it is. Pure.

The places are those that the parser itself found for the scalars (YAML marks), so that no two readings of a file can differ;
what was written is read again, and must mean what it meant, with the new names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from sealgate.errors import WorkloadInvalidError
from sealgate.workloads import yamldocs

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")


def rewrite(text: str, changes: Mapping[tuple[int, str], tuple[str, str]], *, what: str) -> str:
    """The text with the scalars at these places replaced.

    `changes`: by (document, RFC 6901 pointer), what stands there and what shall. Documents are counted as
    `kubernetes.read` does, empty ones left out. Raises `WorkloadInvalidError` for a place that does not hold what it should.
    """
    if text.lstrip()[:1] == "{" and len(parts := yamldocs.json_spans(text.encode())) > 1:
        return _stream(text.encode(), parts, changes, what)
    spans: dict[tuple[int, int], tuple[str, str]] = {}
    number = -1
    for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
            continue
        number += 1
        for (document, pointer), (old, new) in changes.items():
            if document != number:
                continue
            found = _at(node, pointer)
            if not isinstance(found, yaml.ScalarNode) or found.value != old:
                raise WorkloadInvalidError(f"{what}: {pointer} does not hold {old[:120]!a} any more")
            if found.style in {"|", ">"} or found.start_mark.line != found.end_mark.line:
                raise WorkloadInvalidError(f"{what}: {pointer} stands on several lines; write it on one")
            spans[found.start_mark.index, found.end_mark.index] = (new, found.style or "")
    for (start, end), (new, style) in sorted(spans.items(), reverse=True):
        quote = style if style in {"'", '"'} else ""
        if not _PLAIN.fullmatch(new):
            raise WorkloadInvalidError(f"{what}: {new[:120]!a} cannot be written there")
        text = f"{text[:start]}{quote}{new}{quote}{text[end:]}"
    return text


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
            node = next((value for key, value in node.value if getattr(key, "value", None) == name), None)
        else:
            return None
    return node
