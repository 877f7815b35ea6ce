"""Kubernetes manifests as parsed documents that mean one thing: YAML streams and JSON.

What `strictyaml` refuses is refused, and text behind a `---`: kubectl and this program must not read two things (M03).
kubectl splits a stream at lines that begin with `---` before it parses.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sealgate import strictjson, strictyaml
from sealgate.errors import JsonInvalidError, LimitError, WorkloadInvalidError

_SEPARATOR = re.compile(rb"^---(?![ \t\r]*(?:#[^\n]*)?$)", re.MULTILINE)


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
            spans = json_spans(raw)  # else YAML, which may begin so too
        if spans:
            return [strictjson.parse(raw[start:end], limit=limit, what=what) for start, end in spans]
    if (found := _SEPARATOR.search(raw)) is not None:
        line = raw.count(b"\n", 0, found.start()) + 1
        raise WorkloadInvalidError(
            f"{what}: line {line}: something follows ---",
            hint="kubectl ignores what stands behind ---; put it on the next line",
        )
    documents = strictyaml.parse(raw, limit=limit, what=what, error=WorkloadInvalidError)
    return [document for document in documents if document is not None]


def json_spans(raw: bytes) -> list[tuple[int, int]]:
    """Where the objects of a stream of JSON objects begin and end, in bytes; none when it is something else.

    kubectl reads such streams (`kubectl get -o json`, jq): objects one after the other, with white space between them.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return []
    decoder = json.JSONDecoder()
    spans = []
    position = 0
    try:
        while (start := _skip(text, position)) < len(text):
            if text[start] != "{":
                return []
            _, position = decoder.raw_decode(text, start)
            spans.append((start, position))
    except (ValueError, RecursionError):
        return []
    if text.isascii():
        return spans
    return [(len(text[:start].encode()), len(text[:end].encode())) for start, end in spans]


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position
