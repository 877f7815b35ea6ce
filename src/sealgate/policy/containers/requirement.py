"""The requirements of `policy.json`: who must have signed, and as what. Pure.

Keys in a list are alternatives; requirements are not: each must be met. What a requirement does not bring (a log's key, an
authority) is not asked for, whatever the operator believes in: the file says it all.

Source: containers-policy.json(5), "Policy Requirements".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_args

from sealgate.errors import InvalidReferenceError, PolicyInvalidError, UsageError
from sealgate.evidence import base64
from sealgate.oci.reference import HUB, parse, parse_repository
from sealgate.policy import attestors, material
from sealgate.policy.fields import Fields
from sealgate.policy.model import Attestor, Count, Note, Static
from sealgate.trust.failure import TrustFailure
from sealgate.trust.identity import IdentityPattern
from sealgate.trust.root import Authority, TrustRoot
from sealgate.verification import naming as namings
from sealgate.verification.naming import Naming
from sealgate.verification.requirement import IdentifiedAs

if TYPE_CHECKING:
    from sealgate.policy.model import Expression
    from sealgate.policy.reading import Context
    from sealgate.trust.identity import Identity
    from sealgate.trust.root import Log

_KINDS = ("insecureAcceptAnything", "reject", "signedBy", "sigstoreSigned")
_SIGNERS = ("keyPath", "keyPaths", "keyData", "keyDatas", "fulcio", "pki")
_LOGS = ("rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas")
_ELSEWHERE = {
    "caPath": "fulcio", "caData": "fulcio", "oidcIssuer": "fulcio", "subjectEmail": "fulcio or pki",
    "caRootsPath": "pki", "caRootsData": "pki", "dockerReference": "signedIdentity", "dockerRepository": "signedIdentity",
    "prefix": "signedIdentity", "signedPrefix": "signedIdentity",
}  # fmt: skip


class MailIdentity(NamedTuple):
    """An `IdentityPattern` that only an e-mail address in a certificate can fit; it is used in place of one."""

    pattern: IdentityPattern

    def mismatch(self, identity: Identity) -> TrustFailure | None:
        """What is not as it is asked for, or None."""
        if identity.kind != "email":
            return TrustFailure("identity-mismatch", f"is by {identity.subject}, which is no e-mail address")
        return self.pattern.mismatch(identity)

    def describe(self) -> str:
        """For people."""
        return self.pattern.describe()


class Requirements:
    """Reads the requirements of one file."""

    def __init__(self, context: Context, notes: list[Note]) -> None:
        self._context = context
        self.notes = notes

    def read(self, value: Any, where: str) -> Expression:
        """A list of requirements. Raises `PolicyInvalidError`."""
        if not isinstance(value, list) or not value:
            raise PolicyInvalidError(f"{where} must be a list of requirements, and not empty")
        found = [self._one(Fields(each, f"{where}[{at}]", elsewhere=_ELSEWHERE)) for at, each in enumerate(value)]
        return Count(len(found), tuple(Count(1, (part,)) for part in found))

    def _one(self, fields: Fields) -> Expression:
        kind = fields.choice("type", *_KINDS)
        place = fields.where.rpartition(": ")[2]
        if kind is None:
            fields.missing("type")
        if kind == "insecureAcceptAnything":
            self.notes.append(Note("static-pass", "images are admitted without any check", fields.where))
            return fields.done(Static(passes=True, message="insecureAcceptAnything", where=place))
        if kind == "reject":
            return fields.done(Static(passes=False, message="the policy rejects this image", where=place))
        if kind == "signedBy":
            fields.unsupported(
                "type", "GPG signatures (signedBy) are not evaluated", hint="sigstoreSigned, with keyPath or fulcio"
            )
        return fields.done(self._signed(fields, place))

    def _signed(self, fields: Fields, place: str) -> Expression:
        given = [name for name in _SIGNERS if fields.has(name)]
        if len(given) != 1:
            said = " and ".join(given) or "none of them"
            raise PolicyInvalidError(
                f"{fields.where}: exactly one of {', '.join(_SIGNERS)} must be there, and {said} is"
            )
        [kind] = given
        logs = self._logs(fields)
        naming = _naming(fields)
        if kind in {"fulcio", "pki"}:
            found = [self._certified(fields, kind, logs, place)]
        else:
            log = attestors.Log(TrustRoot((), (), logs, ()), ignore_log=not logs)
            keys = [key for pem, where in self._pems(fields, "key") for key in material.public_keys(pem, where)]
            found = [
                attestors.of_key(
                    key, name=key.fingerprint, where=place, log=log, settings=self._context.settings
                )
                for key in {key.spki: key for key in keys}.values()
            ]  # fmt: skip
        return Count(1, tuple(attestors.under_name(each, naming) for each in found), place)

    def _logs(self, fields: Fields) -> tuple[Log, ...]:
        given = [name for name in _LOGS if fields.has(name)]
        if len(given) > 1:
            raise PolicyInvalidError(f"{fields.where}: at most one of {', '.join(given)} may be there")
        pems = self._pems(fields, "rekorPublicKey") if given else []
        found = tuple(material.log(pem, where) for pem, where in pems)
        if len({each.log_id for each in found}) != len(found):
            raise PolicyInvalidError(f"{fields.where}: one log stands there twice")
        if not found:
            self.notes.append(
                Note("tlog-not-asked", "without a rekorPublicKey no log entry is asked for", fields.where)
            )
        return found

    def _certified(self, fields: Fields, kind: str, logs: tuple[Log, ...], place: str) -> Attestor:
        inner = fields.fields(kind)
        if inner is None:
            fields.missing(kind)
        issuer = None
        if kind == "fulcio":
            if not logs:
                raise PolicyInvalidError(
                    f"{inner.where}: fulcio needs a rekorPublicKey: nothing else says when it was signed"
                )
            issuer, email = inner.required_text("oidcIssuer"), inner.required_text("subjectEmail")
            believed = self._authorities(inner, "ca", "")
        else:
            inner.unsupported(
                "subjectHostname", "names of hosts in certificates are not evaluated", hint="subjectEmail"
            )
            email = inner.required_text("subjectEmail")
            believed = self._authorities(inner, "caRoots", "caIntermediates")
        inner.end()
        try:
            pattern = IdentityPattern.parse(
                subject=email, subject_regexp=None, issuer=issuer, issuer_regexp=None, extensions=(), anchored=True
            )
        except UsageError as error:
            raise PolicyInvalidError(f"{inner.where}: {error.message}", hint=error.hint) from error
        log = attestors.Log(TrustRoot(believed, (), logs, ()), ignore_log=not logs, ignore_sct=True)
        who = IdentifiedAs(cast("IdentityPattern", MailIdentity(pattern)), pattern.describe())
        return attestors.of_identities(
            (who,), name=pattern.describe(), where=place, log=log, settings=self._context.settings
        )

    def _authorities(self, inner: Fields, roots: str, intermediates: str) -> tuple[Authority, ...]:
        [(pem, where)] = self._pems(inner, roots, one=True)
        if intermediates:
            below = self._pems(inner, intermediates, one=True, optional=True)
            pem += b"".join(b"\n" + each for each, _ in below)
        return material.authorities(pem, where)

    def _pems(self, fields: Fields, name: str, *, one: bool = False, optional: bool = False) -> list[tuple[bytes, str]]:
        """What `…Path`, `…Paths`, `…Data` and `…Datas` come to, with their places."""
        texts: list[tuple[str, str, bool]] = []
        for ending, is_path in (("Path", True), ("Data", False)):
            value = fields.text(name + ending)
            if value is not None:
                texts.append((value, fields.at(name + ending), is_path))
            if not one:
                listed = fields.take(f"{name}{ending}s")
                if listed is not None and not listed:
                    raise PolicyInvalidError(f"{fields.at(f'{name}{ending}s')} is empty")
                texts += [(each, fields.at(f"{name}{ending}s"), is_path) for each in fields.texts(f"{name}{ending}s")]
        if one and len(texts) > 1:
            raise PolicyInvalidError(f"{fields.where}: {name}Path or {name}Data, one of them")
        if not texts and not optional:
            raise PolicyInvalidError(f"{fields.where}: {name}Path or {name}Data is missing")
        return [(self._content(text, where, is_path=is_path), where) for text, where, is_path in texts]

    def _content(self, text: str, where: str, *, is_path: bool) -> bytes:
        if not is_path:
            return base64.decode(text, what=where, error=PolicyInvalidError)
        if self._context.file is None:
            raise PolicyInvalidError(f"{where}: files are not read here", hint="put the content into …Data, base64")
        return self._context.file(text)


# -- names


def _naming(fields: Fields) -> Naming:
    inner = fields.fields("signedIdentity")
    if inner is None:
        return Naming("matchRepoDigestOrExact")
    kind = inner.choice("type", *get_args(namings.Kind))
    if kind is None:
        inner.missing("type")
    try:
        if kind == "exactReference":
            text = inner.required_text("dockerReference")
            if "@" not in text and ":" not in text.rpartition("/")[2]:
                raise PolicyInvalidError(f"{inner.at('dockerReference')}: it has neither tag nor digest")
            found = Naming("exactReference", str(parse(text)))
        elif kind == "exactRepository":
            found = Naming("exactRepository", parse_repository(inner.required_text("dockerRepository")).name)
        elif kind == "remapIdentity":
            found = Naming(
                "remapIdentity", prefix=_prefix(inner, "prefix"), signed_prefix=_prefix(inner, "signedPrefix")
            )
        else:
            found = Naming(cast("namings.Kind", kind))
    except InvalidReferenceError as error:
        raise PolicyInvalidError(f"{inner.where}: {error.message}", hint=error.hint) from error
    return inner.done(found)


def _prefix(inner: Fields, name: str) -> str:
    """A host, a namespace, a repository or a whole reference."""
    text = inner.required_text(name)
    host, slash, rest = text.partition("/")
    if slash:
        parse(text)
    if text.endswith("/") or "*" in text:
        raise PolicyInvalidError(f"{inner.at(name)}: no prefix", hint="a host, a namespace or a repository")
    return (HUB if host == "docker.io" else host) + slash + rest
