"""The trust root of a TUF repository that somebody names, from what `sealgate initialize` left of it: nobody is asked.

It counts only if it was reached from the root that is named beside it, if one is, and has not expired (bypass U10).
"""

from __future__ import annotations

from sealgate import limits
from sealgate.errors import TrustRootMissingError, TrustUpdateError
from sealgate.evidence import base64
from sealgate.trust import root as roots
from sealgate.trust.root import TrustRoot
from sealgate.truststore import cache
from sealgate.truststore.cache import Cache
from sealgate.truststore.environment import check_mirror


def root_json(text: str, *, what: str) -> bytes:
    """A root as policies have it: in base64, or as it is. Raises `TrustUpdateError`."""
    if text.lstrip().startswith("{"):
        raw = text.encode("utf-8", "replace")
    else:
        raw = base64.decode("".join(text.split()), what=what, error=TrustUpdateError)
    if len(raw) > limits.TUF_ROOT_BYTES:
        raise TrustUpdateError(f"{what} is larger than {limits.TUF_ROOT_BYTES} bytes")
    return raw


def trusted_root(folder: str, mirror: str, *, root: bytes | None, now: float) -> TrustRoot:
    """What the repository at `mirror` says, as it is kept below `folder`; `root`: what it must have been reached from.

    Raises `TrustRootMissingError` where nothing is kept of it, `TrustUpdateError`s for what does not count, `UsageError`.
    """
    store = Cache(folder)
    kept = store.read(check_mirror(mirror))
    if cache.TRUSTED_ROOT not in kept.targets:
        raise TrustRootMissingError(
            f"nothing is kept of the TUF repository {mirror[:200]}, and it is not asked while policies are read",
            hint=f"`sealgate initialize --mirror {mirror[:200]} --root FILE` asks it, and keeps what it says",
        )
    if root is not None and not store.began_with(mirror, root):
        raise TrustUpdateError(
            f"what is kept of {mirror[:200]} was not reached from this root",
            hint="`sealgate initialize` with this root",
        )
    cache.check_fresh(kept.metadata, now=now)
    return roots.parse(kept.targets[cache.TRUSTED_ROOT])
