"""Regular expressions that somebody else wrote: RE2, so Go's syntax and linear in the text. Pure."""

from __future__ import annotations

import functools
from typing import Any

from sealgate import limits


@functools.lru_cache(maxsize=1024)
def compiled(expression: str) -> Any:
    """The RE2 object of an expression. Raises `ValueError`, which says why, for one that is none or too long."""
    import re2

    if len(expression.encode("utf-8", "replace")) > limits.REGEXP_BYTES:
        raise ValueError(f"it is longer than {limits.REGEXP_BYTES} bytes")
    options = re2.Options()
    options.max_mem = limits.REGEXP_MEMORY
    options.log_errors = False
    try:
        return re2.compile(expression, options)
    except (re2.error, UnicodeEncodeError) as error:
        said = error.args[0] if error.args else ""
        raise ValueError((said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said))[:200]) from None
