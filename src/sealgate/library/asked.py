"""What callers ask for, as keyword arguments, and the values that the engine takes.

The arguments of `verify` and `sign` are written once, as `TypedDict`s (PEP 692): type checkers see them on every function
that takes them, and calls are checked again when they run.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from sealgate import limits
from sealgate.errors import UsageError
from sealgate.keys.algorithms import PublicKey
from sealgate.library import trust as trusting
from sealgate.library.trust import TrustArguments
from sealgate.verification import deny as deny_lists
from sealgate.verification import requirement as requirements
from sealgate.verification.verify import Wanted

if TYPE_CHECKING:
    from sealgate.artifacts.copy import CopyOptions
    from sealgate.keys.algorithms import HashName
    from sealgate.keys.private import PrivateKey
    from sealgate.keys.signer import Signer
    from sealgate.signing.author import Author
    from sealgate.signing.sign import Format, SignOptions
    from sealgate.trust.identity import IdentityPattern
    from sealgate.trust.root import TrustRoot
    from sealgate.verification.deny import DenyList
    from sealgate.verification.requirement import IdentifiedAs, Requirement
    from sealgate.verification.signer import Trust

Keys = Iterable[PublicKey] | Mapping[str, PublicKey]
"""Public keys; a mapping gives them the names that verdicts call them by (else their fingerprints)."""
Require = Literal["any", "all"] | int
"""How many of the keys must have signed."""


class VerifyArguments(TrustArguments):
    """What `verify` and `verify_all` ask of every image. Of `keys` and `identities` there must be one at least."""

    keys: NotRequired[Keys]
    """Who may have signed: `PublicKey`s, or a mapping of names to them."""
    require: Require
    """How many of keys and identities must have signed: `"any"`, `"all"`, or a number from 1 to how many there are."""
    annotations: NotRequired[Mapping[str, str]]
    """Must all be signed with the image, in one signature."""
    deny: NotRequired[DenyList | None]
    """Refused whatever else holds; `parse_deny_list` reads one."""
    recursive: NotRequired[bool]
    """Every image of an index must be signed as well."""
    platform: NotRequired[str | None]
    """Verify this platform's image of an index (`os/architecture[/variant]`), not the index."""
    digest_algorithm: NotRequired[HashName | None]
    """Only signatures over this hash count."""
    tag_prefix: NotRequired[str]
    """Prefix of the `.sig` tag."""
    evidence_bytes: NotRequired[int]
    """The largest attached blob that is read, in bytes (16 MiB)."""


class SignArguments(TypedDict):
    """How `sign` signs."""

    keys: Iterable[Signer | PrivateKey | Author]
    """Every one of them signs. At least one."""
    formats: NotRequired[Iterable[Format]]
    """`"bundle"` (a referrer, the default), `"legacy"` (the `.sig` tag, for cosign 2.x), or both."""
    annotations: NotRequired[Mapping[str, str]]
    """Signed with the image."""
    recursive: NotRequired[bool]
    """Sign an index and every image in it."""
    upload: NotRequired[bool]
    """False makes the signatures and stores nothing."""
    container_identity: NotRequired[str | None]
    """Signed as the docker-reference of the legacy format, in place of `registry/repository`."""
    creation_timestamp: NotRequired[float | None]
    """Seconds of the epoch: recorded in the legacy signature's config. None: no time is recorded there."""
    docker_media_types: NotRequired[bool]
    """Docker's media types in the legacy format, for registries that know no others."""
    tag_prefix: NotRequired[str]
    """Prefix of the `.sig` tag."""
    settle: NotRequired[float | None]
    """Seconds that a shared tag must stand unchanged; None: 0.15 alone, 1 when others sign at the same time."""


class CopyArguments(TypedDict):
    """How `copy` copies."""

    force: NotRequired[bool]
    """Move a tag of the target that points to something else."""
    only: NotRequired[Iterable[str] | None]
    """Only what is attached, of these kinds: `"sig"`, `"att"`, `"sbom"`, `"referrer"`; the image's tag is not set then."""
    platform: NotRequired[str | None]
    """Only this platform's image of an index (`os/architecture[/variant]`)."""
    settle: NotRequired[float | None]
    """Seconds that a shared tag must stand unchanged; as in `SignArguments`."""


def wanted(
    *,
    keys: Keys | None = None,
    require: Require,
    identities: Iterable[IdentityPattern] = (),
    trust_root: TrustRoot | None = None,
    use_signed_timestamps: bool = False,
    unsafe_ignore_log: bool = False,
    unsafe_ignore_sct: bool = False,
    annotations: Mapping[str, str] | None = None,
    deny: DenyList | None = None,
    recursive: bool = False,
    platform: str | None = None,
    digest_algorithm: HashName | None = None,
    tag_prefix: str = "",
    evidence_bytes: int = limits.EVIDENCE_BYTES,
) -> Wanted:
    """`VerifyArguments` as the engine takes them. Raises `UsageError` for what cannot be meant, `TypeError` for wrong types."""
    if recursive and platform is not None:
        raise UsageError("recursive and platform do not go together")
    required, trust = required_of(
        keys,
        require,
        identities=identities,
        trust_root=trust_root,
        use_signed_timestamps=use_signed_timestamps,
        unsafe_ignore_log=unsafe_ignore_log,
        unsafe_ignore_sct=unsafe_ignore_sct,
    )
    return Wanted(
        requirement=required,
        trust=trust,
        deny=deny_list(deny),
        annotations=_annotations(annotations),
        tag_prefix=tag_prefix,
        blob_limit=evidence_bytes,
        recursive=recursive,
        platform=platform,
        hash_name=digest_algorithm,
    )


def deny_list(given: DenyList | None) -> DenyList:
    """The list, or an empty one. Raises `TypeError` for anything else."""
    if given is None:
        return deny_lists.NOTHING
    if not isinstance(given, deny_lists.DenyList):
        raise TypeError("deny is a DenyList; parse_deny_list makes one")
    return given


def required_of(
    keys: Keys | None,
    require: Require,
    *,
    identities: Iterable[IdentityPattern] = (),
    trust_root: TrustRoot | None = None,
    use_signed_timestamps: bool = False,
    unsafe_ignore_log: bool = False,
    unsafe_ignore_sct: bool = False,
) -> tuple[Requirement, Trust | None]:
    """Who must have signed as one expression, and what is asked for beside the signatures. Raises as `wanted`."""
    found = trusting.identified(identities)
    if keys is None and not found:
        raise TypeError("keys or identities: nothing says who must have signed")
    trust = trusting.trust(
        found,
        trust_root=trust_root,
        use_signed_timestamps=use_signed_timestamps,
        unsafe_ignore_log=unsafe_ignore_log,
        unsafe_ignore_sct=unsafe_ignore_sct,
    )
    return _requirement(() if keys is None else keys, found, require), trust


def _requirement(keys: Keys, identities: Iterable[IdentifiedAs], require: Require) -> Requirement:
    if isinstance(keys, Mapping):
        named = [(str(name), key) for name, key in keys.items()]
    elif isinstance(keys, (str, bytes)):
        raise TypeError("keys is a list of PublicKeys; load_public_key reads one from a file")
    else:
        named = [(key.fingerprint if isinstance(key, PublicKey) else "", key) for key in keys]
    for _, key in named:
        if not isinstance(key, PublicKey):
            raise TypeError(f"a PublicKey is needed to verify, not {type(key).__name__}")
    parts: list[Requirement] = [requirements.SignedBy(key, name) for name, key in named]
    parts += identities
    if require == "any":
        return requirements.any_of(parts)
    if require == "all":
        return requirements.all_of(parts)
    if isinstance(require, bool) or not isinstance(require, int):
        raise UsageError('require is "any", "all" or a number')
    return requirements.at_least(require, parts)


def signers(keys: Iterable[Signer | PrivateKey | Author]) -> list[Signer | Author]:
    """The signers, each key once. Raises `UsageError` for none, `TypeError` for what cannot sign."""
    from sealgate.keys.private import PrivateKey
    from sealgate.keys.signer import PrivateKeySigner
    from sealgate.signing.author import Author

    found: dict[bytes, Signer | Author] = {}
    for key in keys:
        if isinstance(key, Author):
            found.setdefault(key.signer.public_key.spki, key)
            continue
        if isinstance(key, (str, bytes, PublicKey)) or not hasattr(key, "sign"):
            raise TypeError("keys are Signers, PrivateKeys or Authors; load_signer reads one from a file")
        signer: Signer = PrivateKeySigner(key) if isinstance(key, PrivateKey) else key
        found.setdefault(signer.public_key.spki, signer)
    if not found:
        raise UsageError("no key to sign with")
    return list(found.values())


def signing(
    *,
    keys: Iterable[Signer | PrivateKey | Author],
    formats: Iterable[Format] = ("bundle",),
    annotations: Mapping[str, str] | None = None,
    recursive: bool = False,
    upload: bool = True,
    container_identity: str | None = None,
    creation_timestamp: float | None = None,
    docker_media_types: bool = False,
    tag_prefix: str = "",
    settle: float | None = None,
) -> tuple[list[Signer | Author], SignOptions]:
    """`SignArguments` as the engine takes them. Raises `UsageError` for what cannot be meant, `TypeError` for wrong types."""
    from sealgate.signing.publish import Settling
    from sealgate.signing.sign import SignOptions

    if isinstance(formats, str):
        raise TypeError('formats is a list: ["bundle"], ["legacy"] or both')
    chosen = tuple(dict.fromkeys(formats))
    if not chosen or not set(chosen) <= {"bundle", "legacy"}:
        raise UsageError("formats are bundle and legacy")
    moment = None
    if creation_timestamp is not None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(creation_timestamp))
    options = SignOptions(
        formats=chosen,
        created=time.time(),
        annotations=_annotations(annotations),
        recursive=recursive,
        upload=upload,
        container_identity=container_identity,
        creation_timestamp=moment,
        docker_media_types=docker_media_types,
        tag_prefix=tag_prefix,
        settling=Settling() if settle is None else Settling(alone=settle, contended=settle),
    )
    return signers(keys), options


def copying(
    *,
    force: bool = False,
    only: Iterable[str] | None = None,
    platform: str | None = None,
    settle: float | None = None,
) -> CopyOptions:
    """`CopyArguments` as the engine takes them. Raises `UsageError` for what cannot be meant, `TypeError` for wrong types."""
    from sealgate.artifacts.copy import KINDS, CopyOptions
    from sealgate.signing.publish import Settling

    if isinstance(only, str):
        raise TypeError('only is a list: ["sig", "att"]')
    kinds = None if only is None else frozenset(only)
    if kinds is not None and not (kinds and kinds <= set(KINDS)):
        raise UsageError(f"only takes {', '.join(KINDS)}")
    settling = Settling() if settle is None else Settling(alone=settle, contended=settle)
    return CopyOptions(force=force, only=kinds, platform=platform, settling=settling)


def _annotations(annotations: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    found = tuple(sorted((annotations or {}).items()))
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in found):
        raise TypeError("annotations are text")
    return found
