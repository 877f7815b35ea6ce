"""From a predicate, as people have it in a file, to the in-toto Statement that is signed.

The predicate is signed as it was given: the bytes of its JSON stand in the Statement verbatim, so that nothing is dropped,
reordered or renumbered. What could be read in two ways (a key twice, invalid UTF-8) is refused instead.

Source: in-toto attestation framework, statement.md v1, and how cosign 3.1.1 treats each `--type`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.errors import ContentError, JsonInvalidError, StatementInvalidError, UsageError
from sealgate.evidence import predicates, statement
from sealgate.evidence.gojson import protojson
from sealgate.evidence.statement import Statement, Subject

_SPACE = b" \t\r\n"


class Claim(NamedTuple):
    """What is to be said of an artifact."""

    predicate_type: str
    predicate: bytes
    """A JSON value, as it will be signed."""


def claim_of(kind: str, content: bytes, *, moment: str, what: str, limit: int = limits.EVIDENCE_BYTES) -> Claim:
    """The claim that a file holds. `kind` is a short name of cosign's or a URI, `what` names the file in errors.

    `custom` wraps any text as cosign does, with the time `moment` (RFC 3339); `spdx` takes SPDX tag-value text and signs it as a JSON
    string; everything else is a JSON object, which is signed verbatim. Raises `UsageError` for a type that is none or that
    is not for attestations, `JsonInvalidError`, `JsonAmbiguousError`, `LimitError`.
    """
    predicate_type = predicates.type_of(kind)
    require_attestable(predicate_type)
    if kind == "custom":
        return Claim(predicate_type, _encode({"Data": _text(content, what), "Timestamp": moment}))
    if kind == "spdx":
        text = _text(content, what)
        if text.lstrip().startswith("{"):
            raise UsageError(f"{what} is JSON, and spdx is SPDX's tag-value text", hint="--type spdxjson")
        return Claim(predicate_type, _encode(text))
    value = strictjson.parse(content, limit=limit, what=what)
    if not isinstance(value, dict):
        raise JsonInvalidError(
            f"{what} is not a JSON object",
            hint="a predicate is an object (in-toto Statement v1); custom takes any text",
        )
    return Claim(predicate_type, content.strip(_SPACE))


def require_attestable(predicate_type: str) -> None:
    """Raise `UsageError` for the type of an image signature: what attests must never sign an image by the way (W06)."""
    if predicate_type == predicates.IMAGE_SIGNATURE:
        raise UsageError(
            f"{predicate_type} is the signature of an image, not an attestation", hint="`sealgate sign` signs images"
        )


def encode(claim: Claim, subjects: Sequence[Subject], *, limit: int = limits.EVIDENCE_BYTES) -> bytes:
    """The Statement v1 of a claim about these subjects. Names and annotations that are empty are left out.

    Raises `StatementInvalidError`, `LimitError` when nobody could read it.
    """
    entries = []
    for subject in subjects:
        entry: dict[str, Any] = {} if not subject.name else {"name": subject.name}
        entry["digest"] = dict(subject.digests)
        if subject.annotations:
            entry["annotations"] = subject.annotations
        entries.append(entry)
    head = {"_type": statement.STATEMENT_V1, "subject": entries, "predicateType": claim.predicate_type}
    payload = protojson(head).encode("utf-8")[:-1] + b',"predicate":' + claim.predicate + b"}"
    statement.parse(payload, limit=limit)
    return payload


def given(payload: bytes, *, what: str, limit: int = limits.EVIDENCE_BYTES) -> Statement:
    """A Statement that somebody else wrote and that is to be signed as it is; `what` names the file in errors.

    Raises `StatementInvalidError`, `JsonAmbiguousError`, `LimitError`, and `UsageError` for an image signature.
    """
    try:
        found = statement.parse(payload, limit=limit)
    except StatementInvalidError as error:
        raise StatementInvalidError(f"{what}: {error.message}") from error
    require_attestable(found.predicate_type)
    return found


def _encode(value: Any) -> bytes:
    return protojson(value).encode("utf-8")


def _text(content: bytes, what: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        # cosign replaces what it cannot read, and signs something else than it was given.
        raise ContentError(f"{what} is not UTF-8 text") from error
