"""From the bytes of an SBOM to a `Sbom`: the format is told by the content, never by a name or media type. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate import limits, strictjson
from sealgate.errors import ContentError, JsonAmbiguousError, JsonInvalidError, LimitError, SbomInvalidError
from sealgate.sbom import cyclonedx, spdx, spdx_text, syft
from sealgate.sbom.fields import Fields

if TYPE_CHECKING:
    from sealgate.sbom.document import Sbom

FORMATS = "SPDX 2.2 and 2.3 (JSON and text), CycloneDX 1.2 to 1.7 (JSON) and Syft's own JSON"
_READERS = {
    "SPDX": (spdx.detect, spdx.read),
    "CycloneDX": (cyclonedx.detect, cyclonedx.read),
    "Syft": (syft.detect, syft.read),
}


def read(raw: bytes, *, what: str, limit: int = limits.SBOM_BYTES) -> Sbom:
    """Read an SBOM of at most `limit` bytes; `what` names it in errors.

    Raises `SbomInvalidError` (empty, cut off, contradictory, another format), `LimitError`.
    """
    if len(raw) > limit:
        raise LimitError(f"{what} is larger than {limit} bytes")
    head = raw[:64].lstrip(b" \t\r\n")
    if not head and not raw.strip():
        raise SbomInvalidError(f"{what} is empty", hint="did the program that should have made it fail?")
    if head.startswith(b"<"):
        raise SbomInvalidError(
            f"{what} is XML, which is not read here", hint="make it as JSON: syft -o cyclonedx-json; cyclonedx convert"
        )
    if not head.startswith((b"{", b"[", b'"')) and spdx_text.detect(raw):
        return _read_text(raw, what)
    try:
        document = strictjson.parse(raw, limit=limit, what=what, values=limits.SBOM_VALUES)
    except JsonInvalidError as error:
        raise SbomInvalidError(error.message, hint=f"was it cut off? Read are {FORMATS}") from error
    except JsonAmbiguousError as error:
        raise SbomInvalidError(error.message, hint="two programs may read two SBOMs in it") from error
    return read_value(document, what=what)


def members(raw: bytes) -> frozenset[str]:
    """The names in an object of JSON, to tell an SBOM from what may be around one; none for anything else."""
    if not raw[:64].lstrip().startswith(b"{"):
        return frozenset()
    try:
        document = strictjson.parse(raw, limit=len(raw), what="the document", values=limits.SBOM_VALUES)
    except ContentError:
        return frozenset()  # reading it says what is wrong with it
    return frozenset(document) if isinstance(document, dict) else frozenset()


def read_value(document: object, *, what: str) -> Sbom:
    """Read an SBOM that stands in parsed JSON: a predicate. SPDX text stands there as a string. Raises as `read`."""
    if isinstance(document, str):
        return read(document.encode("utf-8"), what=what, limit=len(document) * 4)
    if not isinstance(document, dict):
        raise SbomInvalidError(f"{what} is no SBOM", hint=f"read are {FORMATS}")
    if "@graph" in document and "@context" in document:
        raise SbomInvalidError(f"{what} is SPDX 3, which is not read here", hint=f"read are {FORMATS}")
    found = [name for name, (detect, _) in _READERS.items() if detect(document)]
    if not found:
        raise SbomInvalidError(f"{what} is no SBOM of a known format", hint=f"read are {FORMATS}")
    if len(found) > 1:
        raise SbomInvalidError(f"{what} is {' and '.join(found)} at once", hint="nothing of it is believed")
    return _READERS[found[0]][1](document, Fields(what))


def _read_text(raw: bytes, what: str) -> Sbom:
    fields = Fields(what)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SbomInvalidError(f"{what} is not UTF-8") from error
    document: dict[str, Any] = spdx_text.parse(text, fields)
    return spdx.read(document, fields)
