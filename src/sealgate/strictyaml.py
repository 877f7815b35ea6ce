"""YAML that means one thing only, as `strictjson` has it for JSON.

Keys given twice, keys that are no scalars, tags that make objects, endless nesting and aliases are refused: two readers
must not find two things in one file (M03).
"""

from __future__ import annotations

from typing import Any

import yaml

from sealgate import limits
from sealgate.errors import ContentError, LimitError

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_MERGED = 16
_KEYS = 20_000
"""Merging multiplies: mappings of mappings of mappings."""


class _Ambiguous(Exception):
    """Two programs may read two different things; becomes the caller's error."""


class _Loader(_BASE):  # type: ignore[misc]  # the base is chosen when this runs
    """A safe loader that refuses what two readers may read differently."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Called before merge keys (`<<`) are resolved: a merged key may be overridden, a written one must stand once."""
        flat: dict[int, yaml.MappingNode] = self.__dict__.setdefault("_flat", {})
        if flat.get(id(node)) is node:
            return  # a merged mapping that has been here: now it has what it merged itself
        flat[id(node)] = node
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error(key, "a key is not a scalar")
            if key.tag == _MERGE:
                name = "<<"
                if isinstance(value, yaml.SequenceNode) and len(value.value) > _MERGED:
                    raise LimitError(f"line {key.start_mark.line + 1}: more than {_MERGED} mappings are merged")
            elif key.tag == "tag:yaml.org,2002:str":
                name = key.value
            else:  # `on: x`, `1: x`: other readers take the text, this one the value
                name = f"\0{key.value}"
            if name in seen or name.removeprefix("\0") in seen or f"\0{name}" in seen:
                raise _error(key, f"the key {ascii(key.value)[:80]} stands twice")
            seen.add(name)
        super().flatten_mapping(node)
        if len(node.value) > _KEYS:
            raise LimitError(f"line {node.start_mark.line + 1}: a mapping has more than {_KEYS} keys")


def _error(node: yaml.Node, text: str) -> _Ambiguous:
    return _Ambiguous(f"line {node.start_mark.line + 1}: {text}")


def parse(raw: bytes, *, limit: int, what: str, error: type[ContentError]) -> list[Any]:
    """The documents of a YAML stream of at most `limit` bytes, empty ones too; `what` names it in errors.

    Raises `error` (not YAML, or not of one meaning) or `LimitError`.
    """
    if len(raw) > limit:
        raise LimitError(f"{what} is larger than {limit} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as wrong:
        raise error(f"{what} is not UTF-8") from wrong
    documents: list[Any] = []
    loader = None
    try:
        _measure(text, what)
        loader = _Loader(text)
        while loader.check_data():
            documents.append(loader.get_data())
            if len(documents) > limits.DOCUMENTS:
                raise LimitError(f"{what} has more than {limits.DOCUMENTS} documents")
    except _Ambiguous as wrong:
        raise error(f"{what}: {wrong}", hint="two programs may read two different things in it") from None
    except yaml.YAMLError as wrong:
        raise error(f"{what} is not YAML: {' '.join(str(wrong).split())[:300]}") from wrong
    except (ValueError, RecursionError, TypeError, OverflowError) as wrong:
        raise error(f"{what} is not YAML that can be read: {str(wrong)[:200]}") from wrong
    finally:
        if loader is not None:
            loader.dispose()
    return documents


def _measure(text: str, what: str) -> None:
    """Depth and number of nodes, before anything that recurses sees the text."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader), 1):
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
            if depth > limits.JSON_DEPTH:
                raise LimitError(f"{what} is nested deeper than {limits.JSON_DEPTH}")
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1
        if count > limits.WORKLOAD_NODES:
            raise LimitError(f"{what} has more than {limits.WORKLOAD_NODES} parts")
