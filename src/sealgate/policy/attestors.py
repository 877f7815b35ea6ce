"""From what the dialects say of a signer to the one question that `verification` is asked. Pure.

Every dialect names keys, identities and certificates, logs and timestamps in its own way; here they become one value, so
that none of them can leave a check out by itself. Whether a log entry is asked for follows from `Settings.tlog`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError, SealgateError
from sealgate.policy.model import Attestor
from sealgate.trust import proof
from sealgate.trust.root import TrustRoot
from sealgate.verification import deny as deny_lists
from sealgate.verification import requirement as requirements
from sealgate.verification.signer import Trust
from sealgate.verification.verify import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sealgate.keys.algorithms import HashName, PublicKey
    from sealgate.policy.pullsecrets import PullSecrets
    from sealgate.verification.attestation import Attested
    from sealgate.verification.deny import DenyList
    from sealgate.verification.naming import Naming
    from sealgate.verification.requirement import IdentifiedAs

NO_ROOT = TrustRoot((), (), (), ())
Tlog = Literal["auto", "require", "ignore"]


class Settings(NamedTuple):
    """What the operator says beside the policies."""

    root: TrustRoot | None = None
    """What is believed in, where a policy does not bring its own; None: nothing, keys alone can be judged."""
    tlog: Tlog = "auto"
    """`auto`: a log entry is asked for where the trust root that counts has logs. `require`, `ignore`: whatever a policy says."""
    deny: DenyList = deny_lists.NOTHING
    repositories: str | None = None
    """The directory in which `sealgate initialize` keeps what TUF repositories said; None: policies may name none."""

    def kept(self, mirror: str, root: str | None, where: str) -> TrustRoot:
        """The trust root of a TUF repository that a policy names, with the root that it trusts. Raises `PolicyInvalidError`."""
        import time

        from sealgate.truststore import kept

        if self.repositories is None:
            raise PolicyUnsupportedError(
                f"{where}: no repository is asked while policies are read, and none is kept here",
                hint="`sealgate initialize --mirror URL --root FILE` asks one, and keeps what it says",
            )
        try:
            raw = kept.root_json(root, what="the root") if root is not None else None
            return kept.trusted_root(self.repositories, mirror, root=raw, now=time.time())
        except SealgateError as error:
            raise PolicyInvalidError(f"{where}: {error.message} [{error.code}]", hint=error.hint) from error


class Log(NamedTuple):
    """What a policy says of transparency logs, SCTs and timestamps."""

    root: TrustRoot | None = None
    """The policy's own; None: the operator's."""
    ignore_log: bool = False
    ignore_sct: bool = False
    timestamps: bool = False
    """A timestamp by an authority is asked for."""


def of_key(
    key: PublicKey, *, name: str, where: str, log: Log, settings: Settings, hash_name: HashName | None = None,
    annotations: tuple[tuple[str, str], ...] = (), patterns: tuple[tuple[str, str], ...] = (),
    repository: str | None = None, tag_prefix: str = "", attested: Attested | None = None, salt: str = "",
) -> Attestor:  # fmt: skip
    """Signed by this key. Raises `PolicyInvalidError` when a log entry is asked for and no log is believed in."""
    root = log.root if log.root is not None else settings.root
    trust = None
    wants_log = _wants_log(root, log, settings, where)
    if wants_log or log.timestamps:
        trust = Trust(_demand(root or NO_ROOT, log, wants_log=wants_log), (), None)
    requirement = requirements.SignedBy(key, name)
    return _attestor(
        requirement, trust, name=name, where=where, settings=settings, hash_name=hash_name, annotations=annotations,
        patterns=patterns, repository=repository, tag_prefix=tag_prefix, attested=attested, salt=salt,
    )  # fmt: skip


def of_identities(
    identities: Sequence[IdentifiedAs], *, name: str, where: str, log: Log, settings: Settings,
    certificate: bytes | None = None, annotations: tuple[tuple[str, str], ...] = (),
    patterns: tuple[tuple[str, str], ...] = (), repository: str | None = None, tag_prefix: str = "", attested: Attested | None = None, salt: str = "",
) -> Attestor:  # fmt: skip
    """Signed by somebody whose certificate fits one of these identities. Raises `PolicyInvalidError` without an identity
    (C18) or without an authority to believe.
    """
    root = log.root if log.root is not None else settings.root
    if not identities:
        raise PolicyInvalidError(f"{where}: nobody is named: any certificate would do", hint="issuer and subject")
    if root is None or not root.certificate_authorities:
        raise PolicyInvalidError(
            f"{where}: asks for certificates, and no certificate authority is believed in",
            hint="--trusted-root FILE, or `sealgate initialize`",
        )
    wants_log = _wants_log(root, log, settings, where)
    trust = Trust(_demand(root, log, wants_log=wants_log), tuple(identities), certificate)
    requirement = requirements.any_of(list(identities))
    return _attestor(
        requirement, trust, name=name, where=where, settings=settings, hash_name=None, annotations=annotations,
        patterns=patterns, repository=repository, tag_prefix=tag_prefix, attested=attested, salt=salt,
    )  # fmt: skip


def of_keys(keys: Sequence[PublicKey], *, where: str, salt: str = "", **asked: Any) -> Attestor:
    """Signed by any of these keys, as one signer: whoever counts signers counts the key that signed. As `of_key`."""
    name = " or ".join(key.fingerprint for key in keys)
    attestor = of_key(keys[0], name=name, where=where, salt=salt, **asked)
    if len(keys) == 1:
        return attestor
    requirement = requirements.any_of([requirements.SignedBy(key, key.fingerprint) for key in keys])
    wanted = attestor.wanted._replace(requirement=requirement)
    return attestor._replace(wanted=wanted, identity=_identity(wanted, attestor.repository, salt))


def under_name(attestor: Attestor, naming: Naming) -> Attestor:
    """The same signer, who must have called the image so."""
    identity = hashlib.sha256(f"{attestor.identity} {naming!r}".encode()).hexdigest()
    return attestor._replace(wanted=attestor.wanted._replace(naming=naming), identity=identity)


def under_keyring(attestor: Attestor, keyring: PullSecrets) -> Attestor:
    """The same signer, whose signatures are asked for with these credentials."""
    identity = hashlib.sha256(f"{attestor.identity} {keyring.scope}".encode()).hexdigest()
    return attestor._replace(keyring=keyring, identity=identity)


def _wants_log(root: TrustRoot | None, log: Log, settings: Settings, where: str) -> bool:
    if settings.tlog == "ignore" or (settings.tlog == "auto" and log.ignore_log):
        return False
    has_logs = root is not None and bool(root.logs)
    if settings.tlog == "require" and not has_logs:
        raise PolicyInvalidError(
            f"{where}: a log entry is asked for, and no log is believed in", hint="--trusted-root FILE, or --tlog auto"
        )
    return has_logs


def _demand(root: TrustRoot, log: Log, *, wants_log: bool) -> proof.Demand:
    if log.timestamps and not root.timestamp_authorities:
        raise PolicyInvalidError("a timestamp is asked for, and no timestamp authority is believed in")
    return proof.demand(
        root,
        now=0.0,
        insecure_ignore_log=not wants_log,
        insecure_ignore_sct=log.ignore_sct,
        use_signed_timestamps=log.timestamps,
    )


def _attestor(
    requirement: requirements.Requirement, trust: Trust | None, *, name: str, where: str, settings: Settings,
    hash_name: HashName | None, annotations: tuple[tuple[str, str], ...], patterns: tuple[tuple[str, str], ...], repository: str | None, tag_prefix: str,
    attested: Attested | None, salt: str,
) -> Attestor:  # fmt: skip
    wanted = Wanted(
        requirement=requirement,
        deny=settings.deny,
        annotations=annotations,
        annotation_patterns=patterns,
        tag_prefix=tag_prefix,
        hash_name=hash_name,
        attested=attested,
        trust=trust,
    )
    return Attestor(name, where, wanted, _identity(wanted, repository, salt), repository)


def _identity(wanted: Wanted, repository: str | None, salt: str) -> str:
    """A hash of everything that decides. `salt` stands for what has no value of its own: the text of conditions."""
    leaves = [
        ("key", each.key.spki.hex()) if isinstance(each, requirements.SignedBy) else ("identity", repr(each.pattern))
        for each in requirements.leaves(wanted.requirement)
    ]
    trust = wanted.trust
    parts = (
        leaves, wanted.deny, wanted.annotations, wanted.annotation_patterns, wanted.tag_prefix, wanted.hash_name,
        wanted.attested.predicate_type if wanted.attested is not None else None,
        wanted.attested.provenance if wanted.attested is not None else None,
        trust.certificate if trust is not None else None,
        _root_identity(trust.demand.root) if trust is not None else None,
        trust.demand[1:4] if trust is not None else None,
        repository, salt,
    )  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _root_identity(root: TrustRoot) -> str:
    logs = [(log.log_id, log.key.spki, log.valid, log.base_url) for log in (*root.logs, *root.ct_logs)]
    authorities = [(each.chain, each.valid) for each in (*root.certificate_authorities, *root.timestamp_authorities)]
    parts = (len(root.logs), len(root.certificate_authorities), logs, authorities)
    return hashlib.sha256(repr(parts).encode()).hexdigest()
