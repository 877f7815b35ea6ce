"""`require` of our own policies: what must be proven, as an expression of signatures, attestations and lists. Pure.

`all` asks each of its parts, and one signer may meet several; `any` and `atLeast` count, and `atLeast` counts signers: each
of its parts needs one of its own, so that every part must be a question to one signer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import ContentError, PolicyInvalidError, UsageError
from sealgate.evidence import predicates
from sealgate.policy import patterns, times
from sealgate.policy.caged import Caged, condition
from sealgate.policy.fields import located
from sealgate.policy.model import Attestor, Count, Listed, Note, Static
from sealgate.policy.own import signer
from sealgate.policy.scanned import Scanned
from sealgate.scan.severity import Severity
from sealgate.verification import provenance
from sealgate.verification.attestation import Attested

if TYPE_CHECKING:
    from sealgate.conditions.policy import Language
    from sealgate.policy.attestors import Settings
    from sealgate.policy.fields import Fields
    from sealgate.policy.model import Expression
    from sealgate.policy.own.signer import Signer
    from sealgate.policy.reading import Context
    from sealgate.verification.attestation import Condition

FORMS = (
    "all", "any", "atLeast", "signature", "attestation", "provenance", "sbom", "scan", "registries", "digests", "static",
)  # fmt: skip
LANGUAGES = ("cel", "rego", "schema", "cue", "regoCompliant")
FORMATS = {"spdx": predicates.SPDX, "cyclonedx": predicates.CYCLONEDX}
_SCANS = (
    predicates.VULNERABILITIES, "https://in-toto.io/attestation/vulns/v0.1", "https://in-toto.io/attestation/vulns/v0.2",
)  # fmt: skip
_SEVERITIES = {"low": Severity.LOW, "medium": Severity.MEDIUM, "high": Severity.HIGH, "critical": Severity.CRITICAL}


class Reader:
    """Reads the demands of one policy."""

    def __init__(self, context: Context, notes: list[Note], settings: Settings, namespace: str | None) -> None:
        self._context = context
        self._notes = notes
        self._settings = settings
        self._namespace = namespace

    def read(self, fields: Fields, place: str = "require", depth: int = 0) -> Expression:
        """One expression. Raises `PolicyInvalidError`."""
        if depth > limits.POLICY_DEPTH:
            raise PolicyInvalidError(f"{fields.where}: expressions in expressions, deeper than {limits.POLICY_DEPTH}")
        given = [name for name in FORMS if fields.has(name)]
        if len(given) != 1:
            said = " and ".join(given) or "none of them"
            raise PolicyInvalidError(
                f"{fields.where}: exactly one of {', '.join(FORMS)} is asked for, and {said} is there",
                hint="several demands stand in all: [...]" if given else None,
            )
        [form] = given
        place = f"{place}.{form}"
        if form in {"all", "any"}:
            parts = [self.read(each, f"{place}[{at}]", depth + 1) for at, each in enumerate(fields.objects(form))]
            if not parts:
                raise PolicyInvalidError(f"{fields.at(form)} is empty: it demands nothing")
            fields.end()
            if form == "any":
                return Count(1, tuple(parts), place)
            return Count(len(parts), tuple(Count(1, (part,)) for part in parts), place)
        if form in {"registries", "digests"}:
            return fields.done(_listed(fields, form, place))
        inner = fields.fields(form)
        if inner is None:
            fields.missing(form)
        found = {
            "atLeast": self._at_least, "signature": self._signature, "attestation": self._attestation,
            "provenance": self._provenance, "sbom": self._sbom, "scan": self._scan, "static": self._static,
        }[form](inner, place, depth)  # fmt: skip
        inner.end()
        return fields.done(found)

    def _at_least(self, fields: Fields, place: str, depth: int) -> Expression:
        parts = [self.read(each, f"{place}.of[{at}]", depth + 1) for at, each in enumerate(fields.objects("of"))]
        count = fields.number("count", least=1, most=limits.POLICY_PARTS)
        if count is None:
            fields.missing("count")
        if not parts or count > len(parts):
            raise PolicyInvalidError(f"{fields.at('count')} is {count}, and there are {len(parts)} parts")
        for part in parts:
            if not isinstance(part, Attestor):
                raise PolicyInvalidError(
                    f"{fields.at('of')}: each part is one signer's, so that signers can be counted",
                    hint="signature, attestation, provenance, scan, or an sbom of one format",
                )
        return Count(count, tuple(parts), place)

    def _signature(self, fields: Fields, place: str, depth: int) -> Expression:
        annotations = fields.text_map("annotations")
        return self._signer(fields).attestor(place, self._settings, annotations=annotations)

    def _attestation(self, fields: Fields, place: str, depth: int) -> Expression:
        predicate_type = _type(fields)
        conditions: list[Condition] = []
        texts = tuple(self._condition(each) for each in fields.objects("conditions"))
        if texts:
            conditions.append(Caged(texts))
        age = times.span(fields, "maxAge")
        if age is not None:
            if not times.has_moment(predicate_type):
                raise PolicyInvalidError(f"{fields.at('maxAge')}: predicates of type {predicate_type} do not say when")
            conditions.append(times.Fresh(*age))
        return self._attested(fields, place, Attested(predicate_type, tuple(conditions)))

    def _condition(self, fields: Fields):  # type: ignore[no-untyped-def]  # noqa: ANN202
        given = [name for name in LANGUAGES if fields.has(name)]
        if len(given) != 1:
            raise PolicyInvalidError(f"{fields.where}: exactly one of {', '.join(LANGUAGES)} is a condition")
        language = "rego-compliant" if given[0] == "regoCompliant" else given[0]
        return fields.done(condition(fields.required_text(given[0]), cast("Language", language), fields.at(given[0])))

    def _provenance(self, fields: Fields, place: str, depth: int) -> Expression:
        predicate_type = _type(fields, default=predicates.SLSA_PROVENANCE_V1)
        try:
            expected = provenance.expected(
                predicate_type,
                source_uri=fields.text("sourceUri"), source_tag=fields.text("sourceTag"),
                source_versioned_tag=fields.text("sourceVersionedTag"), source_branch=fields.text("sourceBranch"),
                builder_id=fields.text("builderId"), build_type=fields.text("buildType"),
            )  # fmt: skip
        except UsageError as error:
            message, hint = (_OPTION.sub(_field, text) for text in (error.message, error.hint or ""))
            raise PolicyInvalidError(f"{fields.where}: {message}", hint=hint or None) from error
        if expected is None:
            raise PolicyInvalidError(f"{fields.where}: nothing is expected of it", hint="sourceUri, builderId, …")
        age = times.span(fields, "maxAge")
        conditions = (times.Fresh(*age),) if age is not None else ()
        return self._attested(fields, place, Attested(predicate_type, conditions, provenance=expected))

    def _sbom(self, fields: Fields, place: str, depth: int) -> Expression:
        formats = fields.texts("formats") or tuple(FORMATS)
        for each in formats:
            if each not in FORMATS:
                raise PolicyInvalidError(f"{fields.at('formats')} has {each!r}", hint=f"of: {', '.join(FORMATS)}")
        by = self._by(fields)
        found = [by.attestor(place, self._settings, attested=Attested(FORMATS[each], ())) for each in formats]
        return found[0] if len(found) == 1 else Count(1, tuple(found), place)

    def _scan(self, fields: Fields, place: str, depth: int) -> Expression:
        predicate_type = _type(fields, default=predicates.VULNERABILITIES)
        if predicate_type not in _SCANS:
            raise PolicyInvalidError(
                f"{fields.at('type')}: {predicate_type} is no scan", hint=f"of: {', '.join(_SCANS)}"
            )
        age = times.span(fields, "maxAge")
        if age is None:
            fields.missing("maxAge")
        severity = fields.choice("failOn", *_SEVERITIES, default="high") or "high"
        unfixed = fields.flag("ignoreUnfixed", default=False)
        wanted = Scanned(_SEVERITIES[severity], age[0], unfixed)
        return self._attested(fields, place, Attested(predicate_type, (wanted,)))

    def _static(self, fields: Fields, place: str, depth: int) -> Expression:
        action, message = fields.choice("action", "pass", "fail"), fields.text("message") or ""
        if action is None:
            fields.missing("action")
        if action == "pass":
            self._notes.append(Note("static-pass", "images are admitted without any check", fields.where))
        return Static(action == "pass", message, place)

    # -- signers

    def _signer(self, fields: Fields) -> Signer:
        return signer.read(fields, self._context, self._notes, self._namespace)

    def _by(self, fields: Fields) -> Signer:
        inner = fields.fields("by")
        if inner is None:
            raise PolicyInvalidError(f"{fields.at('by')} is missing", hint="whose word it is: by: {identity: …}")
        return inner.done(self._signer(inner))

    def _attested(self, fields: Fields, place: str, attested: Attested) -> Attestor:
        salt = repr(attested.conditions)
        return self._by(fields).attestor(place, self._settings, attested=attested, salt=salt)


_OPTION = re.compile(r"--([a-z]+)((?:-[a-z]+)*)")


def _field(option: re.Match[str]) -> str:
    """`--source-uri` is `sourceUri` here."""
    return option[1] + option[2].title().replace("-", "")


def _type(fields: Fields, *, default: str | None = None) -> str:
    text = fields.text("type")
    if text is None:
        if default is None:
            fields.missing("type")
        return default
    try:
        return predicates.type_of(text)
    except UsageError as error:
        raise PolicyInvalidError(f"{fields.at('type')}: {error.message}", hint=error.hint) from error


def digests(fields: Fields, name: str) -> tuple[str, ...]:
    """A list of digests. Raises `PolicyInvalidError`."""
    found = []
    for each in fields.texts(name):
        try:
            digest = Digest.parse(each)
        except ContentError as error:
            raise PolicyInvalidError(f"{fields.at(name)}: {error.message}", hint=error.hint) from error
        if digest.algorithm != "sha256":  # it would match nothing, in silence
            raise PolicyInvalidError(f"{fields.at(name)}: images are known by their sha256 digests")
        found.append(str(digest))
    return tuple(found)


def _listed(fields: Fields, form: str, place: str) -> Listed:
    if form == "digests":
        found = digests(fields, "digests")
        if not found:
            raise PolicyInvalidError(f"{fields.at('digests')} is empty: no image could be on it")
        return Listed(wanted=True, patterns=(), digests=found, message="its digest is not on the list", where=place)
    registries = fields.texts("registries")
    if not registries:
        raise PolicyInvalidError(f"{fields.at('registries')} is empty: no image could be on it")
    for each in registries:
        located(lambda each=each: patterns.expression(registry_pattern(each), "sealgate"), fields.at("registries"))  # type: ignore[misc]
    message = f"it comes from none of {', '.join(registries)}"
    return Listed(True, tuple(registry_pattern(each) for each in registries), (), message, place)


def registry_pattern(registry: str) -> str:
    """The pattern of everything in a registry, or below a path in it. Raises `PolicyInvalidError`."""
    text = registry.removesuffix("/")
    host, _, path = text.partition("/")
    if (
        "@" in text
        or ":" in path
        or "*" in path
        or not host
        or ("." not in host and ":" not in host and host != "localhost")
    ):
        raise PolicyInvalidError(f"{registry!r} is no registry", hint="ghcr.io, ghcr.io/team, *.example.com")
    return f"{text}/**"
