"""`attestors` of Kyverno's image policies: who may have signed, by name. Pure.

Expressions among them are evaluated once, when the policy is read: what the object under review says never decides who may
sign it. Of a TUF repository, what `sealgate initialize` left counts; a key service (`kms`) is an error.

Source: Kyverno, api/policies.kyverno.io/v1: image_validating_policy_types.go, Cosign, Key, Keyless, Certificate, CTLog, Source.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.errors import InvalidReferenceError, PolicyInvalidError, PolicyUnsupportedError, SealgateError, UsageError
from sealgate.oci.reference import parse_repository
from sealgate.policy import attestors
from sealgate.policy.attestors import NO_ROOT, Log
from sealgate.policy.fields import located
from sealgate.policy.kyverno import trust
from sealgate.policy.kyverno.attestors import KEY_SERVICES, NOTARY, SHORT_HASHES, anchored, certified
from sealgate.policy.model import Note
from sealgate.trust.root import TrustRoot
from sealgate.truststore.environment import PUBLIC_MIRROR
from sealgate.verification.requirement import IdentifiedAs

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.policy.attestors import Settings
    from sealgate.policy.fields import Fields
    from sealgate.policy.model import Attestor
    from sealgate.verification.attestation import Attested

    Make = Callable[[Attested | None, str], Attestor]


class Signer(NamedTuple):
    """One of `attestors`: makes the question for signatures (None) or for attestations of a type."""

    name: str
    make: Make
    secrets: tuple[str, ...]


class Constants(NamedTuple):
    """What expressions that stand for constants came to, by their place."""

    values: dict[str, str]

    def text(self, fields: Fields, name: str) -> str | None:
        """`value` or `expression` of a member."""
        inner = fields.fields(name)
        if inner is None:
            return None
        return inner.done(self.either(inner, "value"))

    def either(self, fields: Fields, name: str) -> str:
        """One of a text and an expression, which must be there."""
        text, expression = fields.text(name), fields.text("expression")
        if (text is None) == (expression is None):
            raise PolicyInvalidError(f"{fields.where}: {name} or expression, and one of them")
        return text if text is not None else self.values[f"{fields.where}.expression"]


def expressions(items: list[Fields]) -> list[tuple[str, str]]:
    """(place, expression) of everything that must be known before attestors can be made; nothing is checked yet."""
    found: list[tuple[str, str]] = []

    def walk(value: Any, where: str) -> None:
        if isinstance(value, dict):
            for name, member in value.items():
                if name in {"expression", "subjectExpression"} and isinstance(member, str):
                    found.append((f"{where}.{name}", member))
                else:
                    walk(member, f"{where}.{name}")
        elif isinstance(value, list):
            for index, member in enumerate(value):
                walk(member, f"{where}[{index}]")

    for each in items:
        walk(each.take("cosign"), each.at("cosign"))
    return found


def read(fields: Fields, constants: Constants, settings: Settings, notes: list[Note]) -> Signer:
    """One attestor. Raises `PolicyInvalidError`."""
    name = fields.required_text("name")
    fields.unsupported("notary", "signatures of Notary are not verified yet", hint=NOTARY)
    cosign = fields.fields("cosign", elsewhere=_MISPLACED)
    if cosign is None:
        raise PolicyInvalidError(f"{fields.where}: cosign is missing")
    fields.end()
    kinds = [kind for kind in ("key", "keyless", "certificate") if cosign.has(kind)]
    if len(kinds) != 1:
        raise PolicyInvalidError(
            f"{cosign.where}: one of key, keyless or certificate is required, and {' and '.join(kinds) or 'none'} is there"
        )
    repository, prefix, secrets = _source(cosign)
    annotations = cosign.text_map("annotations")
    [kind] = kinds
    signer = cosign.fields(kind, elsewhere=_IN_SIGNER)
    if signer is None:
        cosign.missing(kind)
    roots = signer.text("roots") if kind == "keyless" else None
    chain = constants.text(signer, "certChain") if kind == "certificate" else None
    cert = constants.text(signer, "cert") if kind == "certificate" else None
    if kind == "certificate" and cert is None:
        if chain is None:
            raise PolicyInvalidError(f"{signer.where}: cert or certChain is required")
        roots = chain
    log = _log(cosign, constants, settings, roots, signer.at("roots" if kind == "keyless" else "certChain"))
    common: dict[str, Any] = {
        "log": log, "settings": settings, "annotations": annotations, "repository": repository, "tag_prefix": prefix,
        "where": f"attestors.{name}",
    }  # fmt: skip
    make: Make
    if kind == "key":
        make = _key(signer, constants, common)
    elif kind == "keyless":
        make = _identities(signer, constants, common, roots, notes)
    elif cert is not None:
        key = certified(cert, chain, signer)
        title = f"certificate with key {key.fingerprint}"
        make = functools.partial(_of_key, functools.partial(attestors.of_key, key, name=title), common, signer.where)
        notes.append(
            Note("difference", "signatures by the certificate's key count, also when it has expired", signer.at("cert"))
        )
    else:
        pattern = _pattern(None, ".*", None, ".*", (), signer.where)
        notes.append(Note("identity-any", "every certificate of these authorities is good", signer.at("certChain")))
        make = functools.partial(
            _of_identities, (IdentifiedAs(pattern, "any certificate of the chain"),), common, signer.where
        )
    signer.end()
    cosign.end()
    made = make(None, "")  # whatever is wrong with it is said now
    wanted = made.wanted.trust
    if wanted is None or not wanted.demand.log:
        why = "the policy ignores logs" if log.ignore_log else "no log is believed in, or the operator ignores them"
        notes.append(Note("tlog-not-asked", f"no log entry is asked for: {why}", fields.where))
    if wanted is not None and wanted.identities and not wanted.demand.sct:
        notes.append(Note("sct-not-asked", "SCTs of certificates are not asked for", fields.where))
    return Signer(name, make, secrets)


_MISPLACED = {
    "identities": "keyless", "roots": "keyless", "data": "key", "kms": "key", "rekor": "ctlog", "url": "ctlog",
    "insecureIgnoreTlog": "ctlog", "insecureIgnoreSCT": "ctlog", "cert": "certificate", "certChain": "certificate",
    "repository": "source", "tagPrefix": "source", "PullSecrets": "source", "mirror": "tuf", "root": "tuf",
    "rekorPubKey": "ctlog", "ctLogPubKey": "ctlog", "tsaCertChain": "ctlog", "hashAlgorithm": "key",
    "additionalExtensions": "keyless",
}  # fmt: skip
_IN_SIGNER = {
    "rekor": "ctlog", "roots": "keyless", "ctlog": "cosign, beside key or keyless", "source": "cosign, beside key or keyless",
    "annotations": "cosign, beside key or keyless",
} | dict.fromkeys(("insecureIgnoreTlog", "insecureIgnoreSCT", "url", "rekorPubKey", "ctLogPubKey"), "ctlog") | dict.fromkeys(
    ("subject", "subjectRegExp", "subjectExpression", "issuer", "issuerRegExp"), "keyless.identities[]"
)  # fmt: skip


def _source(cosign: Fields) -> tuple[str | None, str, tuple[str, ...]]:
    source = cosign.fields("source")
    if source is None:
        return None, "", ()
    text, prefix = source.text("repository"), source.text("tagPrefix") or ""
    secrets = tuple(each.done(each.required_text("name")) for each in source.objects("PullSecrets"))
    repository = None
    if text is not None:
        try:
            repository = parse_repository(text).name
        except InvalidReferenceError as error:
            raise PolicyInvalidError(f"{source.at('repository')}: {error.message}", hint=error.hint) from error
    return source.done((repository, prefix, secrets))


def _log(cosign: Fields, constants: Constants, settings: Settings, roots: str | None, where: str) -> Log:
    """`ctlog`, `trustedRoot`, `tuf` and `roots`: each replaces that part of the operator's trust root, the second and third all."""
    base = settings.root or NO_ROOT
    own = False
    raw = constants.text(cosign, "trustedRoot")
    if raw is not None:
        from sealgate.trust import root as trust_roots

        if len(raw) > limits.CONFIG_FILE_BYTES:
            raise PolicyInvalidError(f"{cosign.at('trustedRoot')} has more than {limits.CONFIG_FILE_BYTES} bytes")
        try:
            base, own = trust_roots.parse(raw.encode()), True
        except SealgateError as error:
            raise PolicyInvalidError(f"{cosign.at('trustedRoot')}: {error.message}", hint=error.hint) from error
    tuf = cosign.fields("tuf")
    if tuf is not None:
        if raw is not None:
            raise PolicyInvalidError(f"{tuf.where} and trustedRoot: one of them")
        base, own = tuf.done(_repository(tuf, settings)), True
    issuers = base.certificate_authorities
    if roots is not None:
        issuers, own = trust.authorities(roots, where, last=False), True
    logs, ct_logs, stamps = base.logs, base.ct_logs, base.timestamp_authorities
    ignore_log = ignore_sct = timestamps = False
    ctlog = cosign.fields("ctlog")
    if ctlog is not None:
        url = ctlog.text("url") or trust.REKOR
        rekor, ct, chain = ctlog.text("rekorPubKey"), ctlog.text("ctLogPubKey"), ctlog.text("tsaCertChain")
        if rekor is not None:
            logs, own = (trust.trusted_log(rekor, url, ctlog.at("rekorPubKey")),), True
        if ct is not None:
            ct_logs, own = (trust.trusted_log(ct, "", ctlog.at("ctLogPubKey")),), True
        if chain is not None:
            stamps, own = trust.authorities(chain, ctlog.at("tsaCertChain"), last=True), True
            timestamps = True
        ignore_log = ctlog.flag("insecureIgnoreTlog", default=False)
        ignore_sct = ctlog.flag("insecureIgnoreSCT", default=False)
        ctlog.end()
    root = TrustRoot(issuers, ct_logs, logs, stamps) if own else None
    return Log(root, ignore_log=ignore_log, ignore_sct=ignore_sct, timestamps=timestamps)


def _repository(fields: Fields, settings: Settings) -> TrustRoot:
    """`tuf`: the repository at `mirror`, reached from `root`; without a mirror the public Sigstore's."""
    mirror, root = fields.text("mirror"), fields.fields("root")
    data = None
    if root is not None:
        root.unsupported("path", "files of the product's own are not read", hint="root.json in base64, in data")
        data = root.done(root.required_text("data"))
    if mirror is None and data is not None:
        raise PolicyInvalidError(f"{fields.at('mirror')} is missing: of which repository is the root?")
    return settings.kept(mirror or PUBLIC_MIRROR, data, fields.where)


def _key(fields: Fields, constants: Constants, common: dict[str, Any]) -> Make:
    fields.unsupported(
        "kms", "keys in key services are not verified yet: that comes with key services", hint=f"data: {KEY_SERVICES}"
    )
    name = fields.choice("hashAlgorithm", "sha224", "sha256", "sha384", "sha512")
    if name == "sha224":
        raise PolicyUnsupportedError(f"{fields.at('hashAlgorithm')}: signatures over sha224 are not verified here")
    hash_name = SHORT_HASHES[name] if name is not None else None
    key = trust.public_key(constants.either(fields, "data"), fields.at("data"))
    ask = functools.partial(attestors.of_key, key, name=key.fingerprint, hash_name=hash_name)
    return functools.partial(_of_key, ask, common, fields.where)


def _of_key(
    ask: Callable[..., Attestor], common: dict[str, Any], place: str, attested: Attested | None, where: str
) -> Attestor:
    said = common | {"where": common["where"] + where}
    return located(lambda: ask(attested=attested, **said), place)


def _identities(
    fields: Fields, constants: Constants, common: dict[str, Any], roots: str | None, notes: list[Note]
) -> Make:
    extensions = fields.text_map("additionalExtensions")
    found = [_identity(each, constants, extensions, roots, notes) for each in fields.objects("identities")]
    if not found:
        raise PolicyInvalidError(
            f"{fields.at('identities')} is empty: everybody with a certificate would do",
            hint="[{issuer: …, subject: …}]",
        )
    return functools.partial(_of_identities, tuple(found), common, fields.where)


def _of_identities(
    identities: tuple[IdentifiedAs, ...], common: dict[str, Any], place: str, attested: Attested | None, where: str
) -> Attestor:
    said = common | {"where": common["where"] + where}
    name = " or ".join(each.name for each in identities)
    return located(lambda: attestors.of_identities(identities, name=name, attested=attested, **said), place)


def _identity(
    fields: Fields, constants: Constants, extensions: tuple[tuple[str, str], ...], roots: str | None, notes: list[Note]
) -> IdentifiedAs:
    named = {name: fields.text(name) for name in ("subject", "subjectRegExp", "issuer", "issuerRegExp")}
    if fields.text("subjectExpression") is not None:
        if named["subject"] is not None or named["subjectRegExp"] is not None:
            raise PolicyInvalidError(f"{fields.where}: subjectExpression beside another subject: one of them")
        subject = named["subject"] = constants.values[fields.at("subjectExpression")]
        if not subject.strip():
            raise PolicyInvalidError(f"{fields.at('subjectExpression')} gives a blank text")
    if named["subject"] is None and named["subjectRegExp"] is None:
        raise PolicyInvalidError(
            f"{fields.where}: nobody is named: everybody with a certificate would do", hint="subject or subjectRegExp"
        )
    if named["issuer"] is None and named["issuerRegExp"] is None and roots is None:
        raise PolicyInvalidError(
            f"{fields.where}: no issuer is named: anybody may vouch for the subject", hint="issuer or issuerRegExp"
        )
    for what in ("subject", "issuer"):
        exact, regexp = named[what], named[f"{what}RegExp"]
        if exact is not None and regexp is not None:
            raise PolicyInvalidError(f"{fields.where}: {what} and {what}RegExp: one of them")
        if exact is not None and "*" in exact:
            raise PolicyInvalidError(
                f"{fields.at(what)} has a wildcard, and is compared letter by letter", hint=f"{what}RegExp: ^…$"
            )
        if regexp in {".*", ".+", "^.*$", "^.+$"}:
            notes.append(Note("identity-any", f"any {what} is good", fields.where))
        if regexp is not None and not anchored(regexp):
            message = f"{what}RegExp must match the whole {what} here; write ^…$"
            notes.append(Note("regexp-unanchored", message, fields.where))
    pattern = _pattern(
        named["subject"], named["subjectRegExp"], named["issuer"], named["issuerRegExp"], extensions, fields.where
    )
    issuer = named["issuer"] or (f"/{named['issuerRegExp']}/" if named["issuerRegExp"] else "any")
    return fields.done(
        IdentifiedAs(pattern, f"{named['subject'] or '/' + str(named['subjectRegExp']) + '/'} (issuer: {issuer})")
    )


def _pattern(
    subject: str | None, subject_regexp: str | None, issuer: str | None, issuer_regexp: str | None,
    extensions: tuple[tuple[str, str], ...], where: str,
) -> Any:  # fmt: skip
    from sealgate.trust.identity import IdentityPattern

    try:
        return IdentityPattern.parse(
            subject=subject, subject_regexp=subject_regexp, issuer=issuer, issuer_regexp=issuer_regexp,
            extensions=list(extensions), anchored=True,
        )  # fmt: skip
    except UsageError as error:
        raise PolicyInvalidError(f"{where}: {error.message}", hint=error.hint) from error
