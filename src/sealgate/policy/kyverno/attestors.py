"""Attestors of Kyverno: sets with counts, keys, certificates, keyless identities, sets in sets. Pure.

Image signatures and attestations are read by the same code: several keys in one field are several entries, and a set in a set
counts, in both. An entry that names nobody is an error, never anybody.

Source: Kyverno, api/kyverno/v1/image_verification_types.go: AttestorSet, Attestor and what is below them.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sealgate import limits
from sealgate.errors import (
    InvalidReferenceError,
    PolicyInvalidError,
    PolicyUnsupportedError,
    UsageError,
)
from sealgate.oci.reference import parse_repository
from sealgate.policy import attestors
from sealgate.policy.fields import Fields, located
from sealgate.policy.kyverno import globs, trust
from sealgate.policy.model import Attestor, Count, Note
from sealgate.trust.failure import TrustFailure
from sealgate.verification.requirement import IdentifiedAs

if TYPE_CHECKING:
    from sealgate.keys.algorithms import HashName, PublicKey
    from sealgate.policy.attestors import Log
    from sealgate.policy.kyverno.variables import Scope
    from sealgate.policy.model import Expression
    from sealgate.policy.reading import Context
    from sealgate.trust.identity import Identity, IdentityPattern
    from sealgate.verification.attestation import Attested

_BLOCK = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)
_KMS = ("awskms://", "gcpkms://", "azurekms://", "hashivault://")
KEY_SERVICES = "put the public key itself there, as PEM: its service need not be asked"
NOTARY = "sign with cosign or Sealgate as well; Notary's signatures are left to its own products"
_MISPLACED = {
    "rekor": "keys, certificates or keyless", "ctlog": "keys, certificates or keyless", "publicKeys": "keys",
    "kms": "keys", "secret": "keys", "cert": "certificates", "certChain": "certificates", "issuer": "keyless",
    "subject": "keyless", "issuerRegExp": "keyless", "subjectRegExp": "keyless", "roots": "keyless",
    "additionalExtensions": "keyless", "count": "the attestor set, beside entries", "ignoreTlog": "rekor of keys or keyless",
    "url": "rekor of keys or keyless", "ignoreSCT": "ctlog of keyless", "tsaCertChain": "ctlog of keys or keyless",
}  # fmt: skip
_IN_SIGNER = {
    "ignoreTlog": "rekor", "url": "rekor", "pubkey": "rekor or ctlog", "ignoreSCT": "ctlog", "tsaCertChain": "ctlog",
    "annotations": "the entry, beside keys or keyless", "repository": "the entry, beside keys or keyless",
    "signatureAlgorithm": "the entry, beside keys or keyless", "issuer": "keyless", "subject": "keyless", "roots": "keyless",
    "cert": "certificates", "certChain": "certificates", "publicKeys": "keys", "kms": "keys", "secret": "keys",
}  # fmt: skip
_IN_SIGNER = {
    "ignoreTlog": "rekor", "insecureIgnoreTlog": "rekor; here it is ignoreTlog", "url": "rekor", "ignoreSCT": "ctlog",
    "insecureIgnoreSCT": "ctlog; here it is ignoreSCT", "tsaCertChain": "ctlog", "annotations": "the entry", "repository": "the entry",
}  # fmt: skip
SHORT_HASHES: dict[str, HashName] = {"sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}


class WildIdentity(NamedTuple):
    """An `IdentityPattern` with wildcards in the extensions of certificates; it is used in place of one."""

    pattern: IdentityPattern
    extensions: tuple[tuple[str, str], ...]

    def mismatch(self, identity: Identity) -> TrustFailure | None:
        """What is not as it is asked for, or None."""
        failure = self.pattern.mismatch(identity)
        if failure is not None:
            return failure
        known = dict(identity.extensions)
        for name, pattern in self.extensions:
            if name not in known or not globs.matches(pattern, known[name]):
                said = f"{name} {known[name]}" if name in known else f"no {name}"
                return TrustFailure("extension-mismatch", f"has {said} in its certificate, not {pattern}")
        return None

    def describe(self) -> str:
        """For people."""
        more = ", ".join(f"{name}: {value}" for name, value in self.extensions)
        return f"{self.pattern.describe()} ({more})"


class Asking(NamedTuple):
    """What the attestors of one place have in common."""

    context: Context
    scope: Scope
    notes: list[Note]
    namespace: str | None
    """Of a policy that belongs to one: it may take Secrets from nowhere else (P23)."""
    repository: str | None = None
    attested: Attested | None = None
    salt: str = ""


def sets(fields: Fields, asking: Asking, place: str) -> tuple[Expression, ...]:
    """`attestors` of an object: every set must be met. `place`: as Kyverno prints it, `.attestations[0]` or nothing."""
    found = []
    for index, each in enumerate(fields.objects("attestors", elsewhere=_IN_SET)):
        found.append(_set(each, asking, f"{place}.attestors[{index}]", 0))
    return tuple(found)


_IN_SET = dict.fromkeys(("keys", "certificates", "keyless", "attestor", "annotations"), "entries")


def _set(fields: Fields, asking: Asking, place: str, depth: int) -> Expression:
    if depth > limits.POLICY_DEPTH:
        raise PolicyInvalidError(f"{fields.where}: attestors in attestors, deeper than {limits.POLICY_DEPTH}")
    entries: list[Expression] = []
    for index, each in enumerate(fields.objects("entries", elsewhere=_MISPLACED)):
        entries += _entry(each, asking, f"{place}.entries[{index}]", depth)
    if not entries:
        raise PolicyInvalidError(f"{fields.where}: an entry is required", hint="a set without entries asks for nothing")
    count = fields.number("count", least=0, most=limits.POLICY_PARTS)
    if count is not None and count > len(entries):
        raise PolicyInvalidError(
            f"{fields.at('count')} is {count}, and there are {len(entries)} entries", hint="nothing could meet that"
        )
    return fields.done(Count(count or len(entries), tuple(entries), place))


def _entry(fields: Fields, asking: Asking, place: str, depth: int) -> list[Expression]:
    kinds = [name for name in ("keys", "certificates", "keyless", "attestor") if fields.has(name)]
    if len(kinds) != 1:
        said = " and ".join(kinds) or "none of them"
        raise PolicyInvalidError(
            f"{fields.where}: one of keys, certificates, keyless or attestor is required, and {said} is there",
            hint="several signers are several entries",
        )
    [kind] = kinds
    asking = asking._replace(repository=repository(fields, asking) or asking.repository)
    annotations = fields.text_map("annotations")
    hash_name = _hash(fields)
    if kind == "attestor":
        if annotations or hash_name is not None:
            raise PolicyInvalidError(
                f"{fields.where}: annotations and signatureAlgorithm belong into the inner entries"
            )
        inner = fields.fields("attestor", elsewhere=_IN_SET)
        if inner is None:
            fields.missing("attestor")
        return fields.done([_set(inner, asking, f"{place}.attestor", depth + 1)])
    signer = fields.fields(kind, elsewhere=_IN_SIGNER)
    if signer is None:
        fields.missing(kind)
    common = _Common(
        asking, f"{place}.{kind}",
        tuple((name, value) for name, value in annotations if not globs.is_wild(value)),
        tuple((name, globs.regexp(value)) for name, value in annotations if globs.is_wild(value)),
        hash_name,
    )  # fmt: skip
    read = {"keys": _keys, "certificates": _certificates, "keyless": _keyless}[kind]
    return fields.done(signer.done(read(signer, common)))


class _Common(NamedTuple):
    asking: Asking
    place: str
    annotations: tuple[tuple[str, str], ...]
    patterns: tuple[tuple[str, str], ...]
    hash_name: HashName | None

    def text(self, text: str, where: str) -> str:
        return self.asking.scope.static(text, where)

    def rest(self) -> dict[str, Any]:
        asking = self.asking
        return {
            "settings": asking.context.settings, "annotations": self.annotations, "patterns": self.patterns,
            "repository": asking.repository, "attested": asking.attested, "salt": asking.salt,
        }  # fmt: skip

    def note(self, code: str, message: str, where: str) -> None:
        self.asking.notes.append(Note(code, message, where))


def _hash(fields: Fields) -> HashName | None:
    name = fields.choice("signatureAlgorithm", "sha224", "sha256", "sha384", "sha512")
    if name is None:
        return None
    if name not in SHORT_HASHES:
        raise PolicyUnsupportedError(f"{fields.at('signatureAlgorithm')}: signatures over {name} are not verified here")
    return SHORT_HASHES[name]


def repository(fields: Fields, asking: Asking) -> str | None:
    """Where the signatures are, canonical; None when the field is absent."""
    text = fields.text("repository")
    if text is None:
        return None
    text = asking.scope.static(text, fields.at("repository"))
    try:
        return parse_repository(text).name
    except InvalidReferenceError as error:
        raise PolicyInvalidError(f"{fields.at('repository')}: {error.message}", hint=error.hint) from error


# -- keys


def _keys(fields: Fields, common: _Common) -> list[Expression]:
    fields.unsupported(
        "kms", "keys in key services are not verified yet: that comes with key services", hint=KEY_SERVICES
    )
    text = fields.text("publicKeys")
    secret = fields.fields("secret")
    hash_name = common.hash_name or _hash(fields)
    if (text is None) == (secret is None):
        raise PolicyInvalidError(f"{fields.where}: a public key or a secret is required, and one of them")
    if secret is not None:
        name, namespace = secret.required_text("name"), secret.text("namespace")
        found = _of_secret(
            namespace or common.asking.namespace or common.asking.context.home, name, secret.where, common
        )
        secret.end()
    else:
        found = _of_text(common.text(text or "", fields.at("publicKeys")), fields.at("publicKeys"), common)
    log = trust.read(fields, common.asking.context.settings, common.text)
    made: list[Expression] = []
    for index, key in enumerate(found):
        place = common.place if len(found) == 1 else f"{common.place}[{index}]"
        ask = functools.partial(attestors.of_key, key, name=key.fingerprint, where=place, log=log, hash_name=hash_name)
        made.append(located(functools.partial(ask, **common.rest()), fields.where))
    _tell_log(made, log, common, fields.where)
    return made


def _of_text(text: str, where: str, common: _Common) -> list[PublicKey]:
    text = text.strip()
    if text.startswith("k8s://"):
        namespace, slash, name = text.removeprefix("k8s://").partition("/")
        if not slash or not namespace or not name or "/" in name:
            raise PolicyInvalidError(f"{where}: {text!r} names no Secret", hint="k8s://NAMESPACE/NAME")
        return _of_secret(namespace, name, where, common)
    if text.startswith(_KMS):
        raise PolicyUnsupportedError(
            f"{where}: keys in key services are not verified yet: that comes with key services", hint=KEY_SERVICES
        )
    blocks = _BLOCK.findall(text)
    if not blocks or _BLOCK.sub("", text).strip():
        raise PolicyInvalidError(
            f"{where}: that is not PEM alone", hint="-----BEGIN PUBLIC KEY-----, or k8s://NAMESPACE/NAME"
        )
    if len(blocks) > limits.POLICY_PARTS:
        raise PolicyInvalidError(f"{where} has more than {limits.POLICY_PARTS} keys")
    return [trust.public_key(block, where) for block in blocks]


def _of_secret(namespace: str, name: str, where: str, common: _Common) -> list[PublicKey]:
    owner = common.asking.namespace
    if owner is not None and namespace != owner:
        raise PolicyInvalidError(
            f"{where}: a Policy of the namespace {owner} may not read the Secret {namespace}/{name}",
            hint="a Secret of its own namespace, or a ClusterPolicy",
        )
    data = located(lambda: common.asking.context.references.secret(namespace, name), where)
    raw = data.get("cosign.pub")
    if raw is None:
        raise PolicyInvalidError(f"{where}: the Secret {namespace}/{name} has no cosign.pub")
    try:
        return _of_text(raw.decode("ascii"), f"{where}: cosign.pub of {namespace}/{name}", _never_again(common))
    except UnicodeDecodeError as error:
        raise PolicyInvalidError(f"{where}: cosign.pub of the Secret {namespace}/{name} is not PEM") from error


def _never_again(common: _Common) -> _Common:
    """A Secret that names a Secret is followed nowhere: nothing belongs to that namespace."""
    return common._replace(asking=common.asking._replace(namespace="\0"))


# -- certificates


def _certificates(fields: Fields, common: _Common) -> list[Expression]:
    cert, chain = fields.text("cert"), fields.text("certChain")
    if cert is None and chain is None:
        raise PolicyInvalidError(f"{fields.where}: cert or certChain is required")
    chain = common.text(chain, fields.at("certChain")) if chain is not None else None
    if cert is not None:
        key = certified(common.text(cert, fields.at("cert")), chain, fields)
        log = trust.read(fields, common.asking.context.settings, common.text)
        message = "signatures by the certificate's key count, also when the certificate has expired"
        common.note("difference", message, fields.at("cert"))
        ask = functools.partial(
            attestors.of_key, key, name=f"certificate with key {key.fingerprint}", where=common.place
        )
        ask = functools.partial(ask, log=log, hash_name=common.hash_name, **common.rest())
        made: Expression = located(ask, fields.where)
        _tell_log([made], log, common, fields.where)
        return [made]
    log = trust.read(fields, common.asking.context.settings, common.text, roots=chain)
    common.note("identity-any", "every certificate that these authorities issue is good", fields.at("certChain"))
    pattern = _pattern("*", None, None, None, (), fields.where, common)
    return [_of_identity(pattern, log, common, fields.where)]


def certified(pem: str, chain: str | None, fields: Fields) -> PublicKey:
    """The key of a certificate, which the chain must have issued, if there is one."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    place = fields.at("cert")
    try:
        [certificate] = x509.load_pem_x509_certificates(pem.encode())
        place = fields.at("certChain")
        issuers = x509.load_pem_x509_certificates(chain.encode()) if chain is not None else []
        below = certificate
        for issuer in issuers:
            below.verify_directly_issued_by(issuer)
            below = issuer
        spki = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    except InvalidSignature as error:
        raise PolicyInvalidError(f"{fields.at('certChain')}: it did not issue the certificate in cert") from error
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise PolicyInvalidError(f"{place}: a certificate cannot be read: {str(error)[:200]}") from error
    return trust.public_key(spki.decode("ascii"), fields.at("cert"))


# -- keyless


def _keyless(fields: Fields, common: _Common) -> list[Expression]:
    roots = fields.text("roots")
    if roots is not None:
        roots = common.text(roots, fields.at("roots"))
    named: dict[str, str | None] = {}
    for name in ("subject", "subjectRegExp", "issuer", "issuerRegExp"):
        value = fields.text(name)
        named[name] = common.text(value, fields.at(name)) if value is not None else None
    extensions = tuple(
        (name, common.text(value, fields.at("additionalExtensions")))
        for name, value in fields.text_map("additionalExtensions")
    )
    log = trust.read(fields, common.asking.context.settings, common.text, roots=roots)
    if named["subject"] is None and named["subjectRegExp"] is None:
        raise PolicyInvalidError(
            f"{fields.where}: nobody is named: everybody with a certificate would do",
            hint='subject or subjectRegExp; whoever means everybody writes subject: "*"',
        )
    if named["issuer"] is None and named["issuerRegExp"] is None and roots is None:
        raise PolicyInvalidError(
            f"{fields.where}: no issuer is named: anybody may vouch for the subject",
            hint='issuer or issuerRegExp; whoever means any writes issuer: "*"',
        )
    pattern = _pattern(
        named["subject"],
        named["subjectRegExp"],
        named["issuer"],
        named["issuerRegExp"],
        extensions,
        fields.where,
        common,
    )
    return [_of_identity(pattern, log, common, fields.where)]


def _pattern(
    subject: str | None, subject_regexp: str | None, issuer: str | None, issuer_regexp: str | None,
    extensions: tuple[tuple[str, str], ...], where: str, common: _Common,
) -> IdentifiedAs:  # fmt: skip
    from sealgate.trust.identity import IdentityPattern

    for what, exact, regexp in (("subject", subject, subject_regexp), ("issuer", issuer, issuer_regexp)):
        if exact is not None and regexp is not None:
            raise PolicyInvalidError(f"{where}: {what} and {what}RegExp: one of them")
        if (exact is not None and not exact.strip("*?")) or regexp in {".*", ".+", "^.*$", "^.+$"}:
            common.note("identity-any", f"any {what} is good", where)
        if regexp is not None and not anchored(regexp):
            message = f"{what}RegExp must match the whole {what} here; write ^…$"
            common.note("regexp-unanchored", message, where)
    wild = tuple((name, value) for name, value in extensions if globs.is_wild(value))
    issuers = [value for name, value in extensions if name == "oidcIssuer"]
    if issuers:  # Fulcio's first extension is the issuer itself
        if issuer is not None or issuer_regexp is not None:
            raise PolicyInvalidError(f"{where}: the issuer stands there twice, in additionalExtensions too")
        issuer = issuers[0]
    try:
        pattern = IdentityPattern.parse(
            subject=None if subject is not None and globs.is_wild(subject) else subject,
            subject_regexp=globs.regexp(subject) if subject is not None and globs.is_wild(subject) else subject_regexp,
            issuer=None if issuer is not None and globs.is_wild(issuer) else issuer,
            issuer_regexp=globs.regexp(issuer) if issuer is not None and globs.is_wild(issuer) else issuer_regexp,
            extensions=[each for each in extensions if each not in wild and each[0] != "oidcIssuer"],
            anchored=True,
        )
        checked = [(name, value) for name, value in wild if name != "oidcIssuer"]
        IdentityPattern.parse(  # their names are checked by the same list
            subject="x@x", subject_regexp=None, issuer=None, issuer_regexp=None, extensions=checked, anchored=True
        )
    except UsageError as error:
        raise PolicyInvalidError(f"{where}: {error.message}", hint=error.hint) from error
    found: Any = WildIdentity(pattern, tuple(checked)) if checked else pattern
    described = " ".join(
        [subject or f"/{subject_regexp}/", f"(issuer: {issuer or (f'/{issuer_regexp}/' if issuer_regexp else 'any')})"]
    )
    return IdentifiedAs(cast("IdentityPattern", found), described)


def anchored(regexp: str) -> bool:
    """Whether a regular expression says itself that it is about the whole text."""
    return regexp.startswith(("^", r"\A")) and regexp.endswith(("$", r"\z")) and "|" not in regexp


def _of_identity(identity: IdentifiedAs, log: Log, common: _Common, where: str) -> Attestor:
    ask = functools.partial(attestors.of_identities, [identity], name=identity.name, where=common.place, log=log)
    made = located(functools.partial(ask, **common.rest()), where)
    _tell_log([made], log, common, where)
    wanted = made.wanted.trust
    if wanted is not None and not wanted.demand.sct:
        common.note("sct-not-asked", "SCTs of certificates are not asked for", where)
    if common.hash_name is not None:
        made = made._replace(
            wanted=made.wanted._replace(hash_name=common.hash_name), identity=f"{made.identity}-{common.hash_name}"
        )
    return made


def _tell_log(made: list[Expression], log: Log, common: _Common, where: str) -> None:
    """Say where no log entry is asked for."""
    for each in made:
        if isinstance(each, Attestor):
            wanted = each.wanted.trust
            if wanted is None or not wanted.demand.log:
                why = (
                    "the policy ignores logs"
                    if log.ignore_log
                    else "no log is believed in, or the operator ignores them"
                )
                common.note("tlog-not-asked", f"no log entry is asked for: {why}", where)
            return
