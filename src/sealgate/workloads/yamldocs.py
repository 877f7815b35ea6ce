"""Kubernetes manifests as parsed documents that mean one thing: YAML streams and JSON.

What `strictyaml` refuses is refused, and text behind a `---`: kubectl and this program must not read two things (M03).
kubectl splits a stream at lines that begin with `---` before it parses.
"""

from __future__ import annotations

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
            pass  # YAML may begin so too
    if (found := _SEPARATOR.search(raw)) is not None:
        line = raw.count(b"\n", 0, found.start()) + 1
        raise WorkloadInvalidError(
            f"{what}: line {line}: something follows ---",
            hint="kubectl ignores what stands behind ---; put it on the next line",
        )
    documents = strictyaml.parse(raw, limit=limit, what=what, error=WorkloadInvalidError)
    return [document for document in documents if document is not None]
