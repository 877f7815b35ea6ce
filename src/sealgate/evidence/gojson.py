"""JSON text byte for byte as Go's two encoders write it, since it is signed or compared with what cosign wrote.

`encoding/json` escapes `<`, `>`, `&`, U+2028 and U+2029 inside strings; `protojson` does not. Both are compact, keep other
characters raw, sort the keys of maps by their bytes, and escape control characters alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sealgate.errors import UsageError

_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def protojson(value: Any) -> str:
    """`value` as `protojson` writes it, in the order in which its members stand. Raises `UsageError`: not UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("text that is not UTF-8 cannot be signed") from error
    return text


def encoding_json(value: Any) -> str:
    """`value` as `encoding/json` writes it. Raises `UsageError` for text that is not UTF-8."""
    return protojson(value).translate(_HTML)


def sorted_map(members: Mapping[str, str]) -> dict[str, str]:
    """`members` in the order of Go's maps; code points sort as their UTF-8 bytes do."""
    return {key: members[key] for key in sorted(members)}
