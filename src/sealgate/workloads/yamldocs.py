"""Kubernetes manifests as parsed documents that mean one thing: YAML streams and JSON.

Keys given twice, keys that are no scalars, tags that make objects and text behind a `---` are refused: kubectl and this
program must not read two things (M03). kubectl splits a stream at lines that begin with `---` before it parses.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from sealgate import limits, strictjson
from sealgate.errors import JsonInvalidError, LimitError, WorkloadInvalidError

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_SEPARATOR = re.compile(r"^---(?![ \t\r]*(?:#[^\n]*)?$)", re.MULTILINE)
_MERGED = 16
_KEYS = 20_000
"""Merging multiplies: mappings of mappings of mappings."""


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


def _error(node: yaml.Node, text: str) -> WorkloadInvalidError:
    mark = node.start_mark
    return WorkloadInvalidError(
        f"line {mark.line + 1}: {text}", hint="two programs may read two different things in it"
    )


def parse(raw: bytes, *, limit: int, what: str) -> list[Any]:
    """The documents of a YAML stream, or the one JSON document, without empty ones.

    Raises `WorkloadInvalidError`, `JsonAmbiguousError`, `LimitError`.
    """
    if len(raw) > limit:
        raise LimitError(f"{what} is larger than {limit} bytes")
    if raw.lstrip()[:1] in {b"{", b"["}:
        try:
            return [strictjson.parse(raw, limit=limit, what=what)]
        except JsonInvalidError:
            pass  # YAML may begin so too
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WorkloadInvalidError(f"{what} is not UTF-8") from error
    documents: list[Any] = []
    loader = None
    try:
        _measure(text, what)
        loader = _Loader(text)
        while loader.check_data():
            documents.append(loader.get_data())
            if len(documents) > limits.DOCUMENTS:
                raise LimitError(f"{what} has more than {limits.DOCUMENTS} documents")
    except WorkloadInvalidError as error:
        raise WorkloadInvalidError(f"{what}: {error.message}", hint=error.hint) from None
    except yaml.YAMLError as error:
        raise WorkloadInvalidError(f"{what} is not YAML: {' '.join(str(error).split())[:300]}") from error
    except (ValueError, RecursionError, TypeError, OverflowError) as error:
        raise WorkloadInvalidError(f"{what} is not YAML that can be read: {str(error)[:200]}") from error
    finally:
        if loader is not None:
            loader.dispose()
    return [document for document in documents if document is not None]


def _measure(text: str, what: str) -> None:
    """Depth and number of nodes, before anything that recurses sees the text."""
    if (found := _SEPARATOR.search(text)) is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise WorkloadInvalidError(
            f"line {line}: something follows ---",
            hint="kubectl ignores what stands behind ---; put it on the next line",
        )
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
