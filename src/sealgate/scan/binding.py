"""Whether a report is about the image at hand.

A platform's image is named by its manifest digest, or by its config digest (the image id: it commits to the content of
all layers), which a scan made before the push has too. The digest of an index names a platform only where the image id does
so as well, or where the index has just one.
"""

from __future__ import annotations

from typing import NamedTuple

from sealgate.errors import ReportInvalidError, ReportMismatchError, ReportUnboundError
from sealgate.scan.report import Report


class Part(NamedTuple):
    """The image of one platform."""

    digest: str
    image_id: str
    """Empty: its config is none of an image, and names nothing."""
    platform: str = ""


class Target(NamedTuple):
    """What is to be signed or judged."""

    name: str
    """`registry/repository@digest`: for people."""
    digest: str
    parts: tuple[Part, ...]
    """The image itself, or those of the index."""
    repository: str | None = None
    """`registry/path`; None for a layout."""

    @property
    def is_index(self) -> bool:
        """Whether it has platforms."""
        return self.digest not in {part.digest for part in self.parts}


def bind(report: Report, target: Target) -> dict[str, str]:
    """The parts of `target` that the report is about, by digest, and what says so; empty when about another image.

    Raises `ReportUnboundError` when the report does not say what it is about, `ReportInvalidError` when it says two things.
    """
    claims = [(report.digests, report.image_ids), (report.subjects, frozenset[str]())]
    told = [claim for claim in claims if claim[0] or claim[1]]
    if not told:
        raise ReportUnboundError(
            f"{report.name} does not say which image it is about ({report.format})",
            hint="use a format that does (Trivy or Grype JSON), or --unsafe-unbound-report",
        )
    found = [_bound(digests, image_ids, target, alone=len(told) == 1) for digests, image_ids in told]
    if len(found) == 2 and bool(found[0]) != bool(found[1]):
        raise ReportInvalidError(f"{report.name}: the Statement is about another image than the scan in it")
    common = set(found[0]).intersection(*found)
    if found[0] and not common:
        raise ReportInvalidError(f"{report.name}: the Statement is about another platform than the scan in it")
    return {digest: found[0][digest] for digest in found[0] if digest in common}


def _bound(digests: frozenset[str], image_ids: frozenset[str], target: Target, *, alone: bool) -> dict[str, str]:
    """`alone`: nothing else says which platform of an index is meant."""
    found = {}
    for part in target.parts:
        if image_ids:
            if part.image_id in image_ids:
                by = "manifest" if part.digest in digests else "index" if target.digest in digests else "image id"
                found[part.digest] = by
        elif part.digest in digests:
            found[part.digest] = "manifest"
        elif target.digest in digests and (len(target.parts) == 1 or not alone):
            found[part.digest] = "index"
    return found


def mismatch(report: Report, target: Target) -> ReportMismatchError:
    """What to say of a report about something else."""
    said = sorted(report.subjects | report.digests | report.image_ids)
    return ReportMismatchError(
        f"{report.name} is not about {target.name}: it names {', '.join(said[:3])}",
        hint="scan the digest that you sign; the scan of a tag may be of an older image, of an index of one platform only",
    )
