"""One signature under a trust root: log entries, times, certificate and SCTs, put together. Pure; the clock is in `Demand`.

The steps are those of the client specification (sigstore/architecture-docs, client-spec, section 4) and of docs/keyless.md:

(A) every log entry that comes along is verified and bound to the signature;
(B) the times at which it is proven to have existed: promises of logs, and timestamps;
(C) the certificate's path to an authority of the root, at each of these times;
(D) the certificate's SCTs;
(E) the signature itself, with the certificate's key, over the bytes that were fetched;
(F) who signed: the name and who vouched for it, as asked for.

The last two are judged by who calls this (`verification.signer`): they need what was signed and what is asked for.

Whatever comes along must be good: an entry or a timestamp that does not verify refuses the signature even where another
would do (client-spec 4.3). One by a log or an authority that the root does not know proves nothing, and is said so.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sealgate import limits
from sealgate.trust.failure import Check, TrustFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.trust.certificates import Leaf, Path
    from sealgate.trust.entries import LogProof
    from sealgate.trust.root import TrustRoot
    from sealgate.trust.signed import Signed


class Demand(NamedTuple):
    """What is asked of a signature beside itself. Every field is required: nothing is left out by forgetting it."""

    root: TrustRoot
    log: bool
    """An entry in a log of the root."""
    sct: bool
    """An SCT by a CT log of the root, where there is a certificate."""
    timestamp: bool
    """A timestamp by an authority of the root."""
    now: float
    """The clock, in seconds since 1970."""


def demand(
    root: TrustRoot,
    *,
    now: float,
    insecure_ignore_log: bool,
    insecure_ignore_sct: bool,
    use_signed_timestamps: bool,
) -> Demand:
    """What a root asks for follows from what is in it: logs ask for entries, CT logs for SCTs.

    Timestamp authorities ask for timestamps where nothing else tells the time, or with `use_signed_timestamps`.
    """
    return Demand(
        root,
        log=bool(root.logs) and not insecure_ignore_log,
        sct=bool(root.ct_logs) and not insecure_ignore_sct,
        timestamp=use_signed_timestamps or (bool(root.timestamp_authorities) and not root.logs),
        now=now,
    )


class Material(NamedTuple):
    """What came along with a signature. Nothing of it is believed."""

    entries: tuple[dict[str, Any], ...] = ()
    """`TransparencyLogEntry` objects of a bundle."""
    promises: tuple[dict[str, Any], ...] = ()
    """`SignedEntryTimestamp` and `Payload` of the legacy format."""
    timestamps: tuple[bytes, ...] = ()
    """RFC 3161 responses, DER."""
    stamped: bytes | None = None
    """What else than the signature itself the timestamps may be over, which holds it: of an attestation in the legacy format
    cosign 2 stamps the whole layer, and cosign 3.1.1 the signature in it."""
    scts: tuple[bytes, ...] = ()
    """SCTs that are not in the certificate (RFC 6962, section 3.2)."""


class Moment(NamedTuple):
    """A time at which the signature is proven to have existed."""

    at: float
    source: str
    """For people: who says so."""
    code: str
    """The finding when the certificate was not valid then."""


class Proof(NamedTuple):
    """What was found out."""

    checks: tuple[Check, ...]
    logs: tuple[LogProof, ...]
    moments: tuple[Moment, ...]


def prove(signed: Signed, leaf: Leaf | None, material: Material, demand: Demand) -> Proof:
    """Judge what came along with one signature. `leaf` is its certificate; None: it is by a managed key.

    A caller accepts when no check failed and those of `needed` passed.
    """
    checks: list[Check] = []
    logs = _logs(signed, material, demand, checks)  # (A)
    moments = _moments(signed, leaf, material, demand, logs, checks)  # (B)
    _log_keys_in_use(logs, moments, demand, checks)
    if leaf is not None:
        _claims(leaf, logs, demand, checks)
        paths = _paths(leaf, moments, demand, checks)  # (C)
        _scts(leaf, paths, material, demand, checks)  # (D)
    return Proof(tuple(checks), logs, moments)


def needed(demand: Demand, *, certificate: bool) -> frozenset[str]:
    """The codes that must have passed (invariant 3: a step that was skipped has not passed)."""
    codes = set()
    if demand.log:
        codes.add("log-entry-verified")
    if demand.timestamp:
        codes.add("timestamp-verified")
    if certificate:
        codes.add("certificate-verified")
        if demand.sct:
            codes.add("sct-verified")
    return frozenset(codes)


# -- (A) the transparency log


def _logs(signed: Signed, material: Material, demand: Demand, checks: list[Check]) -> tuple[LogProof, ...]:
    if not demand.log:
        checks.append(Check("log-entry-not-asked", "skipped", "transparency log: not asked for"))
        if not demand.root.logs or (not material.entries and not material.promises):
            return ()
        # The flag takes away that there must be an entry; a promise of a time is still good for a time.
    from sealgate.trust import entries

    if len(material.entries) + len(material.promises) > limits.LOG_ENTRIES:
        message = f"carries {len(material.entries)} log entries; at most {limits.LOG_ENTRIES} are looked at"
        checks.append(Check("log-entry-malformed", "failed", message))
        return ()
    found: list[LogProof] = []
    seen: set[tuple[bytes, int]] = set()
    trees: dict[tuple[bytes, int], bytes] = {}
    unknown: list[str] = []
    verified: list[Callable[[], LogProof]] = [
        functools.partial(entries.verify_entry, entry, signed, demand.root) for entry in material.entries
    ]
    verified += [functools.partial(entries.verify_promise, each, signed, demand.root) for each in material.promises]
    for verify in verified:
        try:
            proof = verify()
        except TrustFailure as failure:
            if failure.code == "log-entry-untrusted":
                unknown.append(failure.message)
            elif demand.log:
                checks.append(Check(failure.code, "failed", failure.message))
            else:
                checks.append(Check(failure.code, "skipped", f"{failure.message} (--insecure-ignore-tlog)"))
            continue
        if (proof.log.log_id, proof.index) in seen:
            checks.append(Check("log-entry-duplicate", "failed", f"carries the log entry {proof.index} twice"))
            continue
        seen.add((proof.log.log_id, proof.index))
        if proof.place is not None and proof.place.root != trees.setdefault(
            (proof.log.log_id, proof.place.size), proof.place.root
        ):
            message = f"carries two trees of {proof.place.size} entries that {proof.log.base_url} signed: it shows a split view"
            checks.append(Check("log-checkpoint-invalid", "failed", message))
            continue
        found.append(proof)
        checks.append(Check("log-entry-verified", "passed", _logged(proof)))
    missing = demand.log and not found and not any(check.outcome == "failed" for check in checks)
    outcome: Literal["failed", "skipped"] = "failed" if missing else "skipped"
    checks += [Check("log-entry-untrusted", outcome, message) for message in unknown]
    if missing and not unknown:
        checks.append(Check("log-entry-missing", "failed", "carries no log entry"))
    return tuple(found)


def _logged(proof: LogProof) -> str:
    when = f" at {utc(proof.promised)}" if proof.promised is not None else ""
    return f"was logged{when}: entry {proof.index} of {proof.log.base_url}"


# -- (B) time


def _moments(
    signed: Signed,
    leaf: Leaf | None,
    material: Material,
    demand: Demand,
    logs: tuple[LogProof, ...],
    checks: list[Check],
) -> tuple[Moment, ...]:
    moments = [
        Moment(proof.promised, f"the log {proof.log.base_url}", "log-time-outside")
        for proof in logs
        if proof.promised is not None
    ]
    if len(material.timestamps) > limits.TIMESTAMPS:
        message = f"carries {len(material.timestamps)} timestamps; at most {limits.TIMESTAMPS} are looked at"
        checks.append(Check("timestamp-malformed", "failed", message))
    elif material.timestamps:
        alone = leaf is not None and demand.log and not moments  # nothing else tells the time
        moments += _timestamps(signed, material, demand, checks, needed=demand.timestamp or alone)
    elif demand.timestamp:
        checks.append(Check("timestamp-missing", "failed", "carries no timestamp"))
    return tuple(moments)


def _timestamps(
    signed: Signed, material: Material, demand: Demand, checks: list[Check], *, needed: bool
) -> list[Moment]:
    from sealgate.trust import timestamps

    moments: list[Moment] = []
    unknown: list[str] = []
    stamped = (signed.signature,) if material.stamped is None else (signed.signature, material.stamped)
    for response in material.timestamps:
        try:
            stamp = timestamps.verify_timestamp(response, stamped, demand.root)
        except TrustFailure as failure:
            if failure.code == "timestamp-untrusted":
                unknown.append(failure.message)
            else:
                checks.append(Check(failure.code, "failed", failure.message))
            continue
        who = stamp.authority.uri or stamp.authority.common_name or "a timestamp authority"
        moments.append(Moment(stamp.time, who, "timestamp-outside"))
        checks.append(Check("timestamp-verified", "passed", f"existed at {utc(stamp.time)}: {who}"))
    outcome: Literal["failed", "skipped"] = "failed" if needed and not moments else "skipped"
    checks += [Check("timestamp-untrusted", outcome, message) for message in unknown]
    return moments


def _log_keys_in_use(
    logs: tuple[LogProof, ...], moments: tuple[Moment, ...], demand: Demand, checks: list[Check]
) -> None:
    """A log that promises no time must have been in use at every time that is proven; else now."""
    for proof in logs:
        if proof.promised is not None:
            continue  # its own time was compared where the promise was verified
        times = [(moment.at, moment.source) for moment in moments] or [(demand.now, "the clock of this machine")]
        for at, source in times:
            if not proof.log.valid.contains(at):
                message = f"is in the log {proof.log.base_url}, whose key was not in use at {utc(at)} ({source})"
                checks.append(Check("log-entry-untrusted", "failed", message))


# -- (C) and (D) the certificate


def _claims(leaf: Leaf, logs: tuple[LogProof, ...], demand: Demand, checks: list[Check]) -> None:
    """A time beside an entry that nothing signs proves nothing; but one outside the certificate's is wrong (client-spec A.6)."""
    for proof in logs:
        if proof.claimed is not None and not leaf.not_before <= proof.claimed <= leaf.not_after:
            message = f"is said to be logged at {utc(proof.claimed)}, when its certificate was not valid"
            checks.append(Check("log-time-outside", "failed" if demand.log else "skipped", message))


def _paths(leaf: Leaf, moments: tuple[Moment, ...], demand: Demand, checks: list[Check]) -> list[Path]:
    from sealgate.trust import certificates

    at_times = moments
    if not moments:
        if demand.log or demand.timestamp:
            # Rekor v2 promises no time. Without one, nothing says that the certificate was valid.
            if not any(check.outcome == "failed" for check in checks):
                checks.append(
                    Check("timestamp-missing", "failed", "nothing that comes along proves when it was signed")
                )
            return []
        at_times = (Moment(demand.now, "the clock of this machine", "certificate-expired"),)
    paths: list[Path] = []
    for moment in at_times:
        if not leaf.not_before <= moment.at <= leaf.not_after:
            message = (
                f"its certificate was valid from {utc(leaf.not_before)} to {utc(leaf.not_after)}, "
                f"not at {utc(moment.at)} ({moment.source})"
            )
            checks.append(Check(moment.code, "failed", message))
            continue
        try:
            paths.append(certificates.path_at(leaf, demand.root, moment.at))
        except TrustFailure as failure:
            checks.append(Check(failure.code, "failed", failure.message))
    if len(paths) == len(at_times):
        authority = paths[0].authority
        who = authority.common_name or authority.uri or "an authority of the trust root"
        if moments:
            message = f"its certificate was issued by {who} and valid when it was signed"
        else:
            message = f"its certificate was issued by {who} and is valid now"
        checks.append(Check("certificate-verified", "passed", message))
    return paths


def _scts(leaf: Leaf, paths: list[Path], material: Material, demand: Demand, checks: list[Check]) -> None:
    if not demand.sct:
        checks.append(Check("sct-not-asked", "skipped", "SCT of the certificate: not asked for"))
        return
    from sealgate.trust import sct

    issuers = {path.issuer_spki: path for path in paths}
    for path in issuers.values():  # one, unless an authority's key changed while the certificate lived
        try:
            found = sct.verify_scts(leaf, path, demand.root, detached=material.scts)
        except TrustFailure as failure:
            checks.append(Check(failure.code, "failed", failure.message))
            return
        names = ", ".join(dict.fromkeys(each.log.base_url for each in found))
        checks.append(Check("sct-verified", "passed", f"its certificate was logged by {names}"))


def utc(at: float) -> str:
    """A time for people: `2026-11-24 06:20:11 UTC`."""
    import time

    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
    except (ValueError, OverflowError, OSError):
        return f"{at:.0f} s after 1970"
