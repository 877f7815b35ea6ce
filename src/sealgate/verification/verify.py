"""Verify images: find the evidence, judge it, decide. One flow for the command line, the library and servers.

The digest that is resolved first is the one that is checked and reported; nothing is asked by tag afterwards. When the
digest is known beforehand, the manifest, the referrers, the fallback tag and the signature tag are asked for at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import ImageNotFoundError, LimitError, ManifestInvalidError, NotFoundError, SealgateError
from sealgate.evidence import simple
from sealgate.oci import attachments
from sealgate.oci import manifest as manifests
from sealgate.transport import flow
from sealgate.verification import evidence as evidences
from sealgate.verification import requirement as requirements
from sealgate.verification import verdict as verdicts
from sealgate.verification.checks import Asked, judge
from sealgate.verification.findings import CODES

if TYPE_CHECKING:
    from sealgate.oci.images import Image
    from sealgate.oci.store import Manifest
    from sealgate.verification.attestation import Attested
    from sealgate.verification.deny import DenyList
    from sealgate.verification.requirement import Requirement
    from sealgate.verification.signer import Trust
    from sealgate.verification.verdict import Verdict

IMAGES_AT_ONCE = 16


class Wanted(NamedTuple):
    """What is asked of every image of a run."""

    requirement: Requirement
    deny: DenyList
    annotations: tuple[tuple[str, str], ...] = ()
    check_annotations: bool = True
    annotation_patterns: tuple[tuple[str, str], ...] = ()
    """As `annotations`, with a regular expression (RE2) that the whole value must match."""
    tag_prefix: str = ""
    blob_limit: int = limits.EVIDENCE_BYTES
    recursive: bool = False
    platform: str | None = None
    bundles: bool = True
    """False: only the legacy format counts, and referrers are not asked for."""
    hash_name: str | None = None
    """Only signatures over this hash count."""
    attested: Attested | None = None
    """An attestation is asked for, not a signature."""
    trust: Trust | None = None
    """Whose certificates count, and what else is asked for; None: keys alone, and nothing beside them."""
    detached: attachments.Attachment | None = None
    """The one signature to judge; nothing is looked for in the registry but the image."""

    def describe(self) -> str:
        """What is asked for, for people."""
        if self.attested is None:
            return requirements.describe(self.requirement)
        from sealgate.verification import attestation

        return attestation.describe(self.requirement, self.attested.predicate_type)


async def verify_all(subjects: list[Image], wanted: Wanted) -> list[list[Verdict]]:
    """Verify several images at once. One list an image, in the order given: with `recursive` the children follow it."""
    return await flow.gather([verify(subject, wanted) for subject in subjects], limit=IMAGES_AT_ONCE)


async def verify(subject: Image, wanted: Wanted) -> list[Verdict]:
    """Verify one image, with `recursive` all that is in it too. Never raises a `SealgateError`: it is in the verdict."""
    if not wanted.recursive and wanted.platform is None:
        return [await _judged(subject, wanted)]
    try:
        image = await _resolve(subject)
        if wanted.platform is not None:
            subject = subject._replace(which=platform_child(image, wanted.platform, subject.name))
            return [await _judged(subject, wanted)]
        below = await _below(subject, image)
    except SealgateError as error:
        return [_failed(subject, wanted, error)]
    subjects = [subject._replace(which=image.digest), *below]
    return await flow.gather([_judged(each, wanted) for each in subjects], limit=IMAGES_AT_ONCE)


async def _judged(subject: Image, wanted: Wanted) -> Verdict:
    try:
        found = await _verify_one(subject, wanted)
        if found.accepted and found.digest is not None and wanted.deny.digests:
            return await _unless_denied_inside(subject._replace(which=found.digest), found, wanted)
    except SealgateError as error:
        return _failed(subject, wanted, error)
    return found


async def _unless_denied_inside(subject: Image, found: Verdict, wanted: Wanted) -> Verdict:
    """The verdict, or a refusal when the deny-list names an image of this index: whoever runs the index may run that one."""
    image = await _resolve(subject)
    for inner in await _below(subject, image) if image.is_index else ():
        reason = wanted.deny.digest(inner.which) if isinstance(inner.which, Digest) else None
        if reason is not None:
            return found._replace(
                outcome="refused", code="denied-digest", exit_code=16, hint=CODES["denied-digest"],
                summary=f"the deny-list names an image in it, {inner.which}: {reason}",
            )  # fmt: skip
    return found


def _failed(subject: Image, wanted: Wanted, error: SealgateError) -> Verdict:
    found = verdicts.from_error(subject.name, subject.store.name, error, wanted.describe())
    return found if wanted.attested is None else found._replace(predicate_type=wanted.attested.predicate_type)


async def _resolve(subject: Image) -> Manifest:
    image = await subject.store.get_manifest(subject.which)
    if image is None:
        raise ImageNotFoundError(f"{subject.name} does not exist", hint="check the name, the tag and the registry")
    if subject.is_leaf and image.is_index:
        raise ManifestInvalidError(
            f"{subject.name} is an index, and is listed as none: what is in it was not looked at"
        )
    return image


async def _below(subject: Image, root: Manifest) -> list[Image]:
    """Every image and index in an index, at whatever depth, each once. Raises `LimitError` and what the store raises."""
    found: dict[Digest, Image] = {}
    level = [root]
    for _ in range(limits.INDEX_DEPTH):
        inner = []
        for entry in (entry for index in level for entry in manifests.children(index)):
            if entry.digest not in found:
                image = subject._replace(
                    name=f"{subject.store.name}@{entry.digest}",
                    which=entry.digest,
                    is_leaf=not manifests.says_index(entry),
                )
                found[entry.digest] = image
                inner += [] if image.is_leaf else [image]
        if len(found) > limits.INDEX_CHILDREN:
            raise LimitError(f"more than {limits.INDEX_CHILDREN} images are in {subject.name}")
        if not inner:
            return list(found.values())
        level = await flow.gather([_resolve(image) for image in inner], limit=IMAGES_AT_ONCE)
    raise LimitError(f"indexes are nested deeper than {limits.INDEX_DEPTH} in {subject.name}")


def platform_child(index: Manifest, platform: str, name: str) -> Digest:
    """The digest of the one image for `platform` (`os/architecture[/variant]`) in an index. Raises `NotFoundError`."""
    if not index.is_index:
        raise NotFoundError(f"{name} is no index: it has no platforms", hint="leave out --platform")
    found = [child for child in manifests.children(index) if child.platform is not None]
    same = [child for child in found if child.platform == platform] or [
        child for child in found if (child.platform or "").startswith(f"{platform}/")
    ]
    if len(same) != 1:
        there = ", ".join(child.platform or "" for child in found)
        raise NotFoundError(f"{name} has {len(same)} images for {platform}; there are: {there}")
    return same[0].digest


async def _verify_one(subject: Image, wanted: Wanted) -> Verdict:
    if isinstance(subject.which, str):
        digest = (await _resolve(subject)).digest
        found = await _find(subject, digest, wanted)
    else:
        digest = subject.which
        found = await _beside(_find(subject, digest, wanted), _resolve(subject))
    return judge_found(subject.name, subject.store.name, digest, found, wanted)


def judge_found(name: str, repository: str, digest: Digest, found: attachments.Found, wanted: Wanted) -> Verdict:
    """The verdict on an image from what was found on it. Pure; `name` is for people. What was found may be judged again, by
    another `wanted`, but must have been looked for as that one asks (`find`).
    """
    asked = Asked(
        digest,
        requirements.keys(wanted.requirement),
        wanted.annotations,
        wanted.check_annotations,
        wanted.deny,
        wanted.hash_name,
        wanted.trust,
        wanted.annotation_patterns,
    )
    if wanted.attested is not None:
        return _attested(name, repository, digest, found, asked, wanted, wanted.attested)
    reports = []
    others = 0
    for attachment in found.attachments:  # one at a time: what is parsed is larger than what was fetched
        evidence = evidences.read(attachment) if attachment.origin != attachments.ATTESTATIONS else None
        if evidence is not None:
            reports.append(judge(evidence, asked))
        else:
            others += 1
    return verdicts.decide(
        image=name,
        repository=repository,
        digest=digest,
        requirement=wanted.requirement,
        reports=tuple(reports),
        problems=found.problems,
        denied=wanted.deny.digest(digest),
        others=others,
    )


def _attested(
    name: str,
    repository: str,
    digest: Digest,
    found: attachments.Found,
    asked: Asked,
    wanted: Wanted,
    attested: Attested,
) -> Verdict:
    from sealgate.verification import attestation

    reports = []
    for attachment in found.attachments:  # one at a time, as above
        evidence = evidences.read_attestation(attachment) if attachment.origin != attachments.SIGNATURES else None
        if evidence is not None:
            reports.append(attestation.judge(evidence, asked, attested))
    return attestation.decide(
        image=name,
        repository=repository,
        digest=digest,
        requirement=wanted.requirement,
        attested=attested,
        reports=tuple(reports),
        problems=found.problems,
        denied=wanted.deny.digest(digest),
        others=len(found.attachments) - len(reports),
    )


async def _beside(finding: flow.Flow[attachments.Found], resolving: flow.Flow[Manifest]) -> attachments.Found:
    """Ask for the evidence and for the image at once; that the image does not exist comes first."""
    task = await flow.spawn(finding)
    try:
        await resolving
    except SealgateError:
        await task.cancel()
        raise
    return await task.wait()


async def _find(subject: Image, digest: Digest, wanted: Wanted) -> attachments.Found:
    if wanted.detached is not None:
        return attachments.Found((wanted.detached,), (), referrers_api=False)
    suffix = attachments.SIGNATURES if wanted.attested is None else attachments.ATTESTATIONS
    return await attachments.find(
        subject.signatures,
        digest,
        suffixes=(suffix,),
        prefix=wanted.tag_prefix,
        blob_limit=wanted.blob_limit,
        referrers=wanted.bundles,
        envelopes=wanted.attested is not None,
        at_hand=_payloads(subject, digest, wanted),
    )


def _payloads(subject: Image, digest: Digest, wanted: Wanted) -> dict[Digest, bytes]:
    """What a legacy signature of this very image says, word for word, with the annotations asked for or with none.

    A layer that has the digest of one of these has its bytes: one request less an image, the registry's most expensive.
    """
    if wanted.attested is not None or subject.location is None:
        return {}
    found = {}
    for signed in ({}, dict(wanted.annotations)):
        try:
            payload = simple.encode(subject.store.name, digest, signed)
        except SealgateError:  # annotations that nothing can carry: fetch what is there and say so
            continue
        found[Digest.of(payload)] = payload
    return found
