"""Until when a verdict can be believed without judging again: the earliest moment at which any check could turn out otherwise. Pure.

What is signed does not change with time; what changes is who is believed, and how old what was said is. So a verdict under a
trust root ends at the next beginning or end of a period in it (logs, authorities, and the certificates of their chains), of the
signer's certificate, and at any time that evidence claims and that is still to come; and where a condition looks at the time,
when its finding says that it ends (`Finding.until`). Too many moments are taken rather than too few: the verdict is then made
anew, earlier than needed. Periods are closed: what ends at a moment still holds at it, so the verdict of that very moment is not kept.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from sealgate import limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sealgate.policy.model import Attestor
    from sealgate.trust.root import Authority, TrustRoot
    from sealgate.verification.verdict import Verdict

_ROOTS = 32


class Lifetimes:
    """Knows the moments of trust roots, each worked out once."""

    def __init__(self) -> None:
        self._moments: OrderedDict[int, tuple[TrustRoot, tuple[float, ...] | None]] = OrderedDict()

    def end(self, attestor: Attestor, verdict: Verdict, now: float, *, most: float) -> float:
        """Until when (seconds since 1970) the verdict of this attestor holds, at most `most` seconds from `now`."""
        wanted = attestor.wanted
        if wanted.attested is not None and not all(
            getattr(each, "dated", False) for each in wanted.attested.conditions
        ):
            most = min(most, limits.CONDITION_VERDICT_SECONDS)
        found = now + most
        for moment in _of_evidence(verdict):
            if now <= moment < found:
                found = moment
        if wanted.trust is not None:
            moments = self._of_root(wanted.trust.demand.root)
            if moments is None:
                return min(found, now + limits.CONDITION_VERDICT_SECONDS)
            for moment in moments:
                if now <= moment < found:
                    found = moment
        return found

    def _of_root(self, root: TrustRoot) -> tuple[float, ...] | None:
        """None: a certificate in it cannot be read here, so nobody knows."""
        known = self._moments.get(id(root))
        if known is not None and known[0] is root:
            return known[1]
        moments: tuple[float, ...] | None
        try:
            moments = tuple(sorted(set(_of_periods(root))))
        except ValueError:
            moments = None
        self._moments[id(root)] = (root, moments)
        if len(self._moments) > _ROOTS:
            self._moments.popitem(last=False)
        return moments


def _of_evidence(verdict: Verdict) -> Iterator[float]:
    for report in verdict.signatures:
        yield from (finding.until for finding in report.findings)
        made = report.made
        if made is None:
            continue
        if made.leaf is not None:
            yield from (made.leaf.not_before, made.leaf.not_after)
        if made.proof is not None:
            yield from (moment.at for moment in made.proof.moments)


def _of_periods(root: TrustRoot) -> Iterator[float]:
    authorities: tuple[Authority, ...] = (*root.certificate_authorities, *root.timestamp_authorities)
    periods = [log.valid for log in (*root.logs, *root.ct_logs)] + [each.valid for each in authorities]
    for period in periods:
        yield from (at for at in (period.start, period.end) if at is not None)
    yield from _of_certificates(der for each in authorities for der in each.chain)


def _of_certificates(chain: Iterable[bytes]) -> Iterator[float]:
    from cryptography import x509

    for der in dict.fromkeys(chain):
        certificate = x509.load_der_x509_certificate(der)
        yield from (certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp())
