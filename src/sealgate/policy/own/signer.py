"""The signers of our own policies: keys, identities, a certificate, and what else is asked of their signatures. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate.errors import InvalidReferenceError, PolicyInvalidError, UsageError
from sealgate.oci.reference import parse_repository
from sealgate.policy import attestors, material
from sealgate.policy.fields import Fields
from sealgate.policy.model import Attestor, Note
from sealgate.policy.sigstore import trust
from sealgate.trust.failure import TrustFailure
from sealgate.trust.identity import IdentityPattern
from sealgate.verification.requirement import IdentifiedAs

if TYPE_CHECKING:
    from sealgate.keys.algorithms import PublicKey
    from sealgate.policy.attestors import Settings
    from sealgate.policy.reading import Context
    from sealgate.trust.root import Authority
    from sealgate.verification.attestation import Attested

WHO = ("key", "keys", "identity", "identities", "certificate")
_ANYBODY = frozenset({".*", ".+", "^.*$", "^.+$"})


class Signer(NamedTuple):
    """Who, and on which terms."""

    keys: tuple[PublicKey, ...]
    identities: tuple[IdentifiedAs, ...]
    certificate: bytes | None
    log: attestors.Log
    repository: str | None
    tag_prefix: str
    where: str

    def attestor(
        self, place: str, settings: Settings, *, annotations: tuple[tuple[str, str], ...] = (),
        attested: Attested | None = None, salt: str = "",
    ) -> Attestor:  # fmt: skip
        """The question to `verification`. Raises `PolicyInvalidError`."""
        asked: dict[str, Any] = {
            "where": place, "log": self.log, "settings": settings, "annotations": annotations, "attested": attested,
            "repository": self.repository, "tag_prefix": self.tag_prefix, "salt": salt,
        }  # fmt: skip
        try:
            if self.keys:
                return attestors.of_keys(self.keys, **asked)
            name = " or ".join(each.name for each in self.identities)
            return attestors.of_identities(self.identities, name=name, certificate=self.certificate, **asked)
        except PolicyInvalidError as error:
            if error.message.startswith(self.where):
                raise
            raise type(error)(f"{self.where}: {error.message}", hint=error.hint) from error


def read(fields: Fields, context: Context, notes: list[Note], namespace: str | None) -> Signer:
    """The fields of a signer; the caller ends the object. `namespace`: of a policy that has one (P23)."""
    given = [name for name in WHO if fields.has(name)]
    if len(given) != 1:
        said = " and ".join(given) or "none of them"
        raise PolicyInvalidError(f"{fields.where}: exactly one of {', '.join(WHO)} says who, and {said} is there")
    [who] = given
    keys: tuple[PublicKey, ...] = ()
    identities: tuple[IdentifiedAs, ...] = ()
    certificate, anchors = None, None
    if who in {"key", "keys"}:
        values = [(fields.take("key"), fields.at("key"))] if who == "key" else fields.items("keys")
        found = [key for value, where in values for key in _keys(value, where, context, namespace, one=who == "key")]
        keys = tuple({key.spki: key for key in found}.values())
        if not keys:
            raise PolicyInvalidError(f"{fields.at('keys')} is empty: nobody is named")
    elif who == "certificate":
        inner = fields.fields("certificate")
        if inner is None:
            fields.missing("certificate")
        certificate, identities, anchors = _certificate(inner)
    else:
        single = fields.fields("identity")
        identities = tuple(_identity(each, notes) for each in ([single] if single else fields.objects("identities")))
        if not identities:
            raise PolicyInvalidError(f"{fields.at('identities')} is empty: a certificate of anybody would do")
    authorities = fields.text("authorities")
    if authorities is not None:
        if not identities or anchors is not None:
            raise PolicyInvalidError(f"{fields.at('authorities')}: only beside identities", hint="leave it out")
        anchors = material.authorities(authorities.encode("utf-8", "replace"), fields.at("authorities"))
    log = _log(fields, context, notes, anchors)
    repository, prefix = fields.text("repository"), fields.text("tagPrefix") or ""
    if repository is not None:
        try:
            repository = parse_repository(repository).name
        except InvalidReferenceError as error:
            raise PolicyInvalidError(f"{fields.at('repository')}: {error.message}", hint=error.hint) from error
    return Signer(keys, identities, certificate, log, repository, prefix, fields.where)


def _keys(value: Any, where: str, context: Context, namespace: str | None, *, one: bool) -> tuple[PublicKey, ...]:
    """PEM, or `{secret, entry}`."""
    if isinstance(value, str):
        raw = value.encode("utf-8", "replace")
    else:
        fields = Fields(value, where)
        name, entry = fields.required_text("secret"), fields.text("entry")
        fields.end()
        data = context.references.secret(namespace if namespace is not None else context.home, name)
        if entry is None and len(data) == 1:
            entry = next(iter(data))
        if entry is None or entry not in data:
            raise PolicyInvalidError(
                f"{where}: the Secret has {', '.join(sorted(data)) or 'nothing'}", hint="entry: NAME"
            )
        raw = data[entry]
    found = material.public_keys(raw, where)
    if one and len(found) > 1:
        raise PolicyInvalidError(f"{where}: there are {len(found)} keys", hint="keys: [...], any of which will do")
    return found


def _identity(fields: Fields, notes: list[Note]) -> IdentifiedAs:
    extensions = fields.text_map("extensions")
    issuer, issuer_regexp = fields.text("issuer"), fields.text("issuerRegExp")
    subject, subject_regexp = fields.text("subject"), fields.text("subjectRegExp")
    if issuer is None and issuer_regexp is None:
        raise PolicyInvalidError(f"{fields.where}: nobody vouches for the subject", hint="issuer, or issuerRegExp")
    try:
        pattern = IdentityPattern.parse(
            subject=subject, subject_regexp=subject_regexp, issuer=issuer, issuer_regexp=issuer_regexp,
            extensions=extensions, anchored=True,
        )  # fmt: skip
    except UsageError as error:
        raise PolicyInvalidError(f"{fields.where}: {error.message}", hint=error.hint) from error
    for name, regexp in (("subject", subject_regexp), ("issuer", issuer_regexp)):
        if regexp in _ANYBODY:
            notes.append(Note("identity-any", f"the {name} may be anything", fields.where))
    return fields.done(IdentifiedAs(pattern, pattern.describe()))


def _certificate(fields: Fields) -> tuple[bytes, tuple[IdentifiedAs, ...], tuple[Authority, ...]]:
    """A certificate (DER) and the authorities above it: its identity must have signed, below these very authorities.

    The certificate itself stands in for that of a signature which comes without one.
    """
    from sealgate.trust import certificates

    pem, chain = fields.required_text("pem"), fields.required_text("chain")
    try:
        [der, *more] = certificates.certificates_from_pem(pem.encode("utf-8", "replace"), what=fields.at("pem"))
        if more:
            raise PolicyInvalidError(f"{fields.at('pem')}: one certificate; those above it belong into chain")
        identity = certificates.read_leaf(der).identity
        pattern = IdentityPattern.parse(
            subject=identity.subject, subject_regexp=None, issuer=identity.issuer or None, issuer_regexp=None,
            extensions=(), anchored=True,
        )  # fmt: skip
    except PolicyInvalidError:
        raise
    except (TrustFailure, UsageError) as error:
        raise PolicyInvalidError(f"{fields.at('pem')}: {error.message}") from error
    anchors = material.authorities(chain.encode("utf-8", "replace"), fields.at("chain"))
    return fields.done((der, (IdentifiedAs(pattern, pattern.describe()),), anchors))


def _log(fields: Fields, context: Context, notes: list[Note], anchors: tuple[Authority, ...] | None) -> attestors.Log:
    name = fields.text("trustRoot")
    own = trust.named(name, context, fields.at("trustRoot")) if name is not None else None
    base = own if own is not None else context.settings.root
    root = own if anchors is None else trust.composed(base, issuers=own, anchors=anchors)
    log = fields.choice("log", "auto", "require", "ignore", default="auto")
    if log == "require" and not (root if root is not None else base or attestors.NO_ROOT).logs:
        raise PolicyInvalidError(
            f"{fields.at('log')}: a log entry is asked for, and no log is believed in", hint="trustRoot"
        )
    ignore_sct = fields.flag("ignoreSCT", default=False)
    if log == "ignore":
        notes.append(Note("tlog-not-asked", "the policy asks for no log entry", fields.at("log")))
    if ignore_sct:
        notes.append(Note("sct-not-asked", "the policy asks for no SCT", fields.at("ignoreSCT")))
    return attestors.Log(
        root, ignore_log=log == "ignore", ignore_sct=ignore_sct, timestamps=fields.flag("timestamp", default=False)
    )
