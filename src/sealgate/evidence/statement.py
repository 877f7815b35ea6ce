"""The in-toto Statement (attestation framework, statement.md v0.1 and v1): which artifacts, and what is said of them.

Its members are `_type`, `subject` (a list of names and digests), `predicateType` and `predicate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import LimitError, StatementInvalidError
from sealgate.evidence import document, predicates
from sealgate.evidence.gojson import protojson, sorted_map

STATEMENT_V1 = "https://in-toto.io/Statement/v1"
STATEMENT_V0_1 = "https://in-toto.io/Statement/v0.1"
TYPES = frozenset({STATEMENT_V1, STATEMENT_V0_1})

_HEX = frozenset("0123456789abcdef")
_HEX_CHARS = {
    "md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128,
    "sha512_224": 56, "sha512_256": 64, "sha3_224": 56, "sha3_256": 64, "sha3_384": 96, "sha3_512": 128,
}  # fmt: skip
"""Algorithms of digest_set.md whose values have one length. A value under the wrong label is refused (E11c)."""


class Subject(NamedTuple):
    """One artifact. `name` is the signer's word for it; artifacts are told apart by `digests` alone."""

    name: str | None
    digests: tuple[tuple[str, str], ...]
    """Algorithm and value, in the order in which they stand."""
    annotations: dict[str, Any]


class Statement(NamedTuple):
    """What a Statement says. `raw` are the bytes that were signed."""

    type: str
    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Any
    """Parsed JSON of any type, `None` if there is none."""
    raw: bytes


def parse(payload: bytes, *, limit: int = limits.EVIDENCE_BYTES) -> Statement:
    """Read a Statement, at most `limit` bytes. Unknown fields are ignored (cosign refuses them).

    Every subject needs a digest, and every digest of a known algorithm must be one: nothing here is vacuous (E11).
    Raises `StatementInvalidError`, `JsonAmbiguousError`, `LimitError`.
    """
    error = StatementInvalidError
    whole = document.parse(payload, limit=limit, what="the Statement", error=error)
    kind = document.as_text(whole.get("_type"), what="the Statement's _type", error=error)
    if kind not in TYPES:
        raise error(f"the document is of type {ascii(kind)[:100]}, not an in-toto Statement v0.1 or v1")
    entries = document.as_list(whole.get("subject"), what="the Statement's subject", error=error)
    if not entries:
        raise error("the Statement has no subject")
    if len(entries) > limits.STATEMENT_SUBJECTS:
        raise LimitError(f"the Statement has more than {limits.STATEMENT_SUBJECTS} subjects")
    subjects = tuple(_subject(entry) for entry in entries)
    predicate_type = document.as_text(whole.get("predicateType"), what="the Statement's predicateType", error=error)
    return Statement(kind, subjects, predicate_type, whole.get("predicate"), payload)


def matches(statement: Statement, digest: Digest) -> bool:
    """Whether a subject has this digest: the same algorithm and the same value, never one without the other."""
    wanted = (digest.algorithm, digest.hex)
    return any(wanted in subject.digests for subject in statement.subjects)


def subjects_of(statement: Statement, digest: Digest) -> tuple[Subject, ...]:
    """The subjects that have this digest. Annotations of other subjects say nothing of the image."""
    wanted = (digest.algorithm, digest.hex)
    return tuple(subject for subject in statement.subjects if wanted in subject.digests)


def encode_image_signature(digest: Digest, annotations: Mapping[str, str], *, name: str | None = None) -> bytes:
    """The Statement of an image signature, byte for byte as cosign 3.1.1 signs it in the bundle format.

    `name` adds a subject name, which cosign accepts and never writes (it ignores `--sign-container-identity` in this
    format). Raises `UsageError` for text that is not UTF-8, `StatementInvalidError` for a digest that is not sha256.
    """
    if digest.algorithm != "sha256":
        raise StatementInvalidError(f"an image is signed by its sha256 digest, not {digest.algorithm}")
    subject: dict[str, Any] = {} if name is None else {"name": name}
    subject |= {"digest": {digest.algorithm: digest.hex}, "annotations": sorted_map(annotations)}
    statement = {
        "_type": STATEMENT_V1,
        "subject": [subject],
        "predicateType": predicates.IMAGE_SIGNATURE,
        "predicate": {},
    }
    return protojson(statement).encode("utf-8")


def _subject(value: object) -> Subject:
    error = StatementInvalidError
    entry = document.as_object(value, what="a subject of the Statement", error=error)
    name = entry.get("name")
    if name is not None and not isinstance(name, str):
        raise error("a subject's name is not a string")
    digests = document.as_object(entry.get("digest"), what="a subject's digest", error=error)
    if not digests:
        raise error("a subject has no digest")
    if len(digests) > limits.SUBJECT_DIGESTS:
        raise LimitError(f"a subject has more than {limits.SUBJECT_DIGESTS} digests")
    annotations = entry.get("annotations")
    if annotations is None:
        annotations = {}
    annotations = document.as_object(annotations, what="a subject's annotations", error=error)
    return Subject(name, tuple(_digest(algorithm, text) for algorithm, text in digests.items()), annotations)


def _digest(algorithm: str, value: object) -> tuple[str, str]:
    text = document.as_text(value, what="a subject's digest value", error=StatementInvalidError)
    chars = _HEX_CHARS.get(algorithm)
    if chars is not None and (len(text) != chars or not _HEX.issuperset(text)):
        raise StatementInvalidError(f"a subject's {algorithm} value is not {chars} lower-case hex digits")
    return algorithm, text
