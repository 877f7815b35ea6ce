"""One authority of a `ClusterImagePolicy`: a key, identities of certificates, or a static answer. Pure.

Each switch takes away what it names and nothing else: a timestamp authority does not make a log entry needless (L17). A key
without `ctlog` asks for no log entry, as the dialect has it; certificates ask for one wherever a trust root has logs.

Source: sigstore/policy-controller, pkg/apis/policy/v1beta1: Authority and what is below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from sealgate.errors import InvalidReferenceError, PolicyInvalidError, UsageError
from sealgate.evidence import predicates
from sealgate.oci.reference import parse_repository
from sealgate.policy import attestors, material, pullsecrets
from sealgate.policy.model import Attestor, Count, Note, Static
from sealgate.policy.sigstore import conditions, trust
from sealgate.trust.identity import IdentityPattern
from sealgate.verification.attestation import Attested
from sealgate.verification.requirement import IdentifiedAs

if TYPE_CHECKING:
    from sealgate.keys.algorithms import HashName, PublicKey
    from sealgate.policy.attestors import Log
    from sealgate.policy.caged import Caged
    from sealgate.policy.fields import Fields
    from sealgate.policy.model import Expression
    from sealgate.policy.pullsecrets import PullSecrets
    from sealgate.policy.reading import Context
    from sealgate.trust.root import TrustRoot

ELSEWHERE = {
    "identities": "keyless", "url": "keyless or ctlog", "ca-cert": "keyless", "insecureIgnoreSCT": "keyless",
    "trustRootRef": "keyless, ctlog or rfc3161timestamp", "data": "key", "secretRef": "key", "kms": "key",
    "hashAlgorithm": "key", "oci": "source[]", "tagPrefix": "source[]", "predicateType": "attestations[]",
    "policy": "attestations[], or spec", "action": "static", "mode": "spec", "images": "spec", "match": "spec",
}  # fmt: skip
_IN_SIGNER = dict.fromkeys(
    ("ctlog", "source", "rfc3161timestamp", "attestations", "signatureFormat", "static"), "the authority, beside key or keyless"
) | dict.fromkeys(("subject", "subjectRegExp", "issuer", "issuerRegExp"), "keyless.identities[]") | {
    "identities": "keyless", "secretRef": "key, or keyless.ca-cert",
}  # fmt: skip
_ANYBODY = frozenset({".*", ".+", "^.*$", "^.+$"})
_URI_FORMS = frozenset({"custom", "slsaprovenance", "spdx", "spdxjson", "cyclonedx", "link", "vuln"})


class Authority(NamedTuple):
    """An authority, read."""

    name: str
    expression: Expression
    signature: Attestor | None = None
    attestations: tuple[tuple[str, Attestor], ...] = ()

    @property
    def is_static(self) -> bool:
        """Whether it asks nothing of the image."""
        return self.signature is None and not self.attestations


class _Signer(NamedTuple):
    """Who must have signed, and what else is asked for."""

    key: PublicKey | None
    hash_name: HashName | None
    identities: tuple[IdentifiedAs, ...]
    log: Log
    place: str


class _Place(NamedTuple):
    """Where the signatures are."""

    repository: str | None = None
    tag_prefix: str = ""
    keyring: PullSecrets | None = None


class Reader:
    """Reads the authorities of one policy."""

    def __init__(self, context: Context, notes: list[Note]) -> None:
        self._context = context
        self._notes = notes

    def read(self, fields: Fields, number: int) -> Authority:
        """An authority. Raises `PolicyInvalidError`."""
        name = fields.text("name") or f"authority-{number}"
        given = [each for each in ("key", "keyless", "static") if fields.has(each)]
        if len(given) != 1:
            said = f"got both: {', '.join(given)}" if given else "got neither: key, keyless, static"
            raise PolicyInvalidError(f"{fields.where}: expected exactly one, {said}")
        if given == ["static"]:
            return self._static(fields, name)
        form = fields.choice("signatureFormat", "legacy", "bundle", default="legacy")
        if form == "bundle" and given != ["keyless"]:
            raise PolicyInvalidError(f"{fields.at('signatureFormat')}: bundle is for keyless authorities alone")
        place = self._source(fields)
        signer = self._signer(fields, given[0])
        described = f"authority {name}"
        wanted = fields.objects("attestations")
        if not wanted:
            attestor = self._attestor(signer, place, described, None, "")
            return fields.done(Authority(name, attestor, attestor))
        asked = tuple(self._attestation(each, signer, place, described) for each in wanted)
        names = [each for each, _ in asked]
        if len(set(names)) != len(names):
            raise PolicyInvalidError(f"{fields.at('attestations')}: two of them have one name")
        every = Count(len(asked), tuple(Count(1, (attestor,)) for _, attestor in asked), described)
        return fields.done(Authority(name, every, None, asked))

    def _static(self, fields: Fields, name: str) -> Authority:
        for other in ("attestations", "source", "ctlog", "rfc3161timestamp", "signatureFormat"):
            if fields.has(other):
                raise PolicyInvalidError(f"{fields.where}: must not set the field(s): {other}, beside static")
        static = fields.fields("static")
        if static is None:
            fields.missing("static")
        action, message = static.choice("action", "pass", "fail"), static.text("message", blank=True) or ""
        if action is None:
            raise PolicyInvalidError(f"{static.where}: missing field(s): action")
        static.end()
        passes = action == "pass"
        if passes:
            self._note("static-pass", f"authority {name} admits every image that the policy matches", static.where)
        said = message if passes or not message else f"disallowed by static policy: {message}"
        return fields.done(Authority(name, Static(passes, said, f"authority {name}")))

    # -- who

    def _signer(self, fields: Fields, kind: str) -> _Signer:
        inner = fields.fields(kind, elsewhere=_IN_SIGNER)
        if inner is None:
            fields.missing(kind)
        ctlog, log_root = self._rooted(fields, "ctlog", "url")
        stamps, stamp_root = self._rooted(fields, "rfc3161timestamp")
        if kind == "key":
            key, hash_name = self._key(inner)
            root = trust.composed(self._context.settings.root, logs=log_root, stamps=stamp_root)
            log = attestors.Log(root, ignore_log=not ctlog, timestamps=stamps)
            if not ctlog and self._context.settings.tlog != "require":
                self._note("tlog-not-asked", "a key without ctlog asks for no log entry", fields.where)
            return _Signer(key, hash_name, (), log, inner.where)
        identities = self._identities(inner)
        authorities_root = self._root(inner)
        url = inner.has("url") and _url(inner, "url")
        own = inner.fields("ca-cert")
        if own is not None and url:
            raise PolicyInvalidError(f"{inner.where}: expected exactly one, got both: ca-cert, url")
        ignore_sct = inner.flag("insecureIgnoreSCT", default=False)
        if ignore_sct:
            self._note("sct-not-asked", "insecureIgnoreSCT: certificates need no SCT", inner.at("insecureIgnoreSCT"))
        anchors = None
        if own is not None:
            anchors = material.authorities(self._pem(own), own.where)
            own.end()
        inner.end()
        believed = trust.composed(
            self._context.settings.root, issuers=authorities_root, anchors=anchors, logs=log_root, stamps=stamp_root
        )
        return _Signer(
            None, None, identities, attestors.Log(believed, ignore_sct=ignore_sct, timestamps=stamps), inner.where
        )

    def _key(self, inner: Fields) -> tuple[PublicKey, HashName | None]:
        pem = self._pem(inner)
        hash_name = inner.choice("hashAlgorithm", "sha224", "sha256", "sha384", "sha512")
        if hash_name == "sha224":
            inner.unsupported("hashAlgorithm", "sha224 is not accepted", hint="sha256")
        return inner.done((material.public_key(pem, inner.where), cast("HashName | None", hash_name)))

    def _pem(self, inner: Fields) -> bytes:
        """`data`, or what `secretRef` names."""
        given = [name for name in ("data", "secretRef", "kms") if inner.has(name)]
        if len(given) != 1:
            said = f"got both: {', '.join(given)}" if given else "got neither: data, kms, secretref"
            raise PolicyInvalidError(f"{inner.where}: expected exactly one, {said}")
        inner.unsupported("kms", "keys in a KMS are not read for policies", hint="put the public key into data")
        text = inner.text("data")
        reference = inner.fields("secretRef")
        if reference is None:
            return (text or "").encode("utf-8", "replace")
        home = conditions.home(self._context)
        name, namespace = reference.required_text("name"), reference.text("namespace") or home
        reference.end()
        if namespace != home:
            raise PolicyInvalidError(
                f"{reference.where}: Secrets are taken from {home} alone", hint="--policy-namespace says which it is"
            )
        data = self._context.references.secret(namespace, name)
        if len(data) != 1:
            raise PolicyInvalidError(f"{reference.where}: the Secret has {len(data)} entries; one is needed")
        return next(iter(data.values()))

    def _identities(self, inner: Fields) -> tuple[IdentifiedAs, ...]:
        found = []
        for each in inner.objects("identities"):
            issuer, issuer_regexp = each.text("issuer"), each.text("issuerRegExp")
            subject, subject_regexp = each.text("subject"), each.text("subjectRegExp")
            for name, exact, regexp in (("issuer", issuer, issuer_regexp), ("subject", subject, subject_regexp)):
                if (exact is None) == (regexp is None):
                    said = "missing field(s)" if exact is None else "expected exactly one, got both"
                    raise PolicyInvalidError(f"{each.where}: {said}: {name}, {name}RegExp")
            try:
                pattern = IdentityPattern.parse(
                    subject=subject, subject_regexp=subject_regexp, issuer=issuer, issuer_regexp=issuer_regexp,
                    extensions=(), anchored=True,
                )  # fmt: skip
            except UsageError as error:
                raise PolicyInvalidError(f"{each.where}: regex is invalid: {error.message}", hint=error.hint) from error
            self._weak(pattern, each.where)
            found.append(each.done(IdentifiedAs(pattern, pattern.describe())))
        if not found:
            raise PolicyInvalidError(
                f"{inner.where}: missing field(s): identities",
                hint="without them a certificate of anybody would do: issuer and subject",
            )
        return tuple(found)

    def _weak(self, pattern: IdentityPattern, where: str) -> None:
        for name, regexp in pattern._replace(anchored=False).unanchored().items():
            message = f"the {name} {regexp!r} is not anchored; it must match the whole text here"
            self._note("regexp-unanchored", message, where)
        for name, asked in (("subject", pattern.subject_regexp), ("issuer", pattern.issuer_regexp)):
            if asked in _ANYBODY:
                self._note("identity-any", f"the {name} may be anything", where)

    # -- what else

    def _rooted(self, fields: Fields, name: str, *more: str) -> tuple[bool, TrustRoot | None]:
        """Whether a part is there, and the trust root that it names."""
        inner = fields.fields(name, elsewhere={"insecureIgnoreSCT": "keyless"})
        if inner is None:
            return False, None
        root = self._root(inner)
        for each in more:
            if inner.has(each):
                _url(inner, each)
        inner.end()
        return True, root

    def _root(self, fields: Fields) -> TrustRoot | None:
        name = fields.text("trustRootRef")
        return None if name is None else trust.named(name, self._context, fields.at("trustRootRef"))

    def _source(self, fields: Fields) -> _Place:
        sources = fields.objects("source")
        if not sources:
            return _Place()
        if len(sources) > 1:
            raise PolicyInvalidError(f"{fields.at('source')}: only single source is supported")
        [one] = sources
        oci, prefix = one.text("oci"), one.text("tagPrefix") or ""
        # As policy-controller's README says, of its own namespace: what a tenant keeps in theirs decides nothing (K16).
        home = conditions.home(self._context)
        secrets = [(home, each.done(each.required_text("name"))) for each in one.objects("signaturePullSecrets")]
        keyring = pullsecrets.named(secrets, self._context, one.at("signaturePullSecrets"), self._notes)
        one.end()
        if oci is None:
            return _Place(None, prefix, keyring)
        try:
            return _Place(parse_repository(oci).name, prefix, keyring)
        except InvalidReferenceError as error:
            raise PolicyInvalidError(f"{one.at('oci')}: {error.message}", hint=error.hint) from error

    # -- what is asked

    def _attestation(self, fields: Fields, signer: _Signer, place: _Place, described: str) -> tuple[str, Attestor]:
        name = fields.text("name")
        kind = fields.text("predicateType")
        if name is None or kind is None:
            said = ", ".join(each for each, value in (("name", name), ("predicateType", kind)) if value is None)
            raise PolicyInvalidError(f"{fields.where}: missing field(s): {said}")
        if kind in _URI_FORMS:
            message = f"{kind}: deprecated value, please use RFC 3986 conformant values"
            self._note("deprecated-field", message, fields.at("predicateType"))
        try:
            predicate_type = predicates.type_of(kind)
        except UsageError as error:
            raise PolicyInvalidError(f"{fields.at('predicateType')}: {error.message}", hint=error.hint) from error
        caged: tuple[Caged, ...] = ()
        policy = fields.fields("policy")
        if policy is not None:
            for flag in ("includeSpec", "includeObjectMeta", "includeTypeMeta", "fetchConfigFile"):
                if policy.has(flag):
                    raise PolicyInvalidError(f"{policy.where}: must not set the field(s): {flag}, inside attestations")
            caged = (conditions.read(policy, self._context),)
        attested = Attested(predicate_type, caged)
        where = f"{described}: attestation {name}"
        return fields.done((name, self._attestor(signer, place, where, attested, repr(caged))))

    def _attestor(self, signer: _Signer, place: _Place, where: str, attested: Attested | None, salt: str) -> Attestor:
        found = self._asked(signer, place, where, attested, salt)
        return attestors.under_keyring(found, place.keyring) if place.keyring is not None else found

    def _asked(self, signer: _Signer, place: _Place, where: str, attested: Attested | None, salt: str) -> Attestor:
        settings = self._context.settings
        names = " or ".join(each.name for each in signer.identities)
        try:
            if signer.key is not None:
                return attestors.of_key(
                    signer.key, name=signer.key.fingerprint, where=where, log=signer.log, settings=settings,
                    hash_name=signer.hash_name, repository=place.repository, tag_prefix=place.tag_prefix,
                    attested=attested, salt=salt,
                )  # fmt: skip
            return attestors.of_identities(
                signer.identities, name=names, where=where, log=signer.log, settings=settings,
                repository=place.repository, tag_prefix=place.tag_prefix, attested=attested, salt=salt,
            )  # fmt: skip
        except PolicyInvalidError as error:
            raise type(error)(f"{signer.place}: {error.message}", hint=error.hint) from error

    def _note(self, code: str, message: str, where: str) -> None:
        self._notes.append(Note(code, message, where))


def _url(fields: Fields, name: str) -> bool:
    """An address that nothing is fetched from; it must be one all the same."""
    found = fields.text(name) or ""
    scheme, separator, rest = found.partition("://")
    if not separator or scheme not in {"https", "http"} or not rest.partition("/")[0]:
        raise PolicyInvalidError(f"{fields.at(name)}: {found!r} is no URL", hint="https://HOST")
    return True
