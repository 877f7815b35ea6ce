"""`sealgate scan --attest`: the reports that passed, signed and attached as `vuln` attestations, with the OpenVEX documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.gating import read_file
from sealgate.cli.registries import blob_limit
from sealgate.errors import ReportUnboundError, SealgateError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.oci.images import Image
    from sealgate.scan.binding import Target
    from sealgate.scan.report import Report
    from sealgate.signing.attest import Attestation, Wording
    from sealgate.signing.sign import SignOptions

_URIS = {"trivy": "https://github.com/aquasecurity/trivy", "grype": "https://github.com/anchore/grype"}


def attest_reports(
    arguments: argparse.Namespace,
    context: Context,
    found: list[tuple[Image, Target]],
    reports: list[tuple[Report, bytes]],
) -> None:
    """Attest every report on the image of each platform that it is about. Everything is worded before anything is signed."""
    import time

    from sealgate.cli.sign import docker_media_types
    from sealgate.keys.secrecy import no_core_dump
    from sealgate.signing.sign import SignOptions

    formats = {"bundle": ("bundle",), "legacy": ("legacy",), "both": ("bundle", "legacy")}
    options = SignOptions(
        formats=formats[arguments.format or "bundle"],  # type: ignore[arg-type]  # the keys are the choices
        created=time.time(),
        docker_media_types=docker_media_types(context),
    )
    work = [*_reports(context, found, reports), *_vex(arguments, context, found)]
    with no_core_dump():
        outcomes = context.run(_attest(arguments, context, work, options))
    for outcome in outcomes:
        if isinstance(outcome, SealgateError):
            raise outcome
    for made in (each for outcome in outcomes if not isinstance(outcome, SealgateError) for each in outcome):
        what = "Attested" if made.added else "Already attested"
        context.err(f"{what}: {made.image} ({made.predicate_type}, {made.format}, key {made.key})")


def _reports(
    context: Context, found: list[tuple[Image, Target]], reports: list[tuple[Report, bytes]]
) -> list[tuple[Image, Wording]]:
    from sealgate.digest import Digest
    from sealgate.evidence import attestation
    from sealgate.scan import binding, predicate
    from sealgate.signing.attest import Wording

    work = []
    limit = blob_limit(context)
    for report, raw in reports:
        content = predicate.encode(raw, report, uri=_URIS.get(report.scanner, report.scanner))
        claim = attestation.claim_of("vuln", content, moment="", what=report.name, limit=limit)
        for image, target in found:
            try:
                parts = binding.bind(report, target)
            except ReportUnboundError as error:
                raise ReportUnboundError(f"{error.message}: it is not attested", hint=error.hint) from None
            work += [(image._replace(which=Digest.parse(digest)), Wording(claim=claim)) for digest in parts]
    return work


def _vex(
    arguments: argparse.Namespace, context: Context, found: list[tuple[Image, Target]]
) -> list[tuple[Image, Wording]]:
    """The OpenVEX documents, on every image."""
    from sealgate import strictjson
    from sealgate.evidence import attestation
    from sealgate.scan import openvex
    from sealgate.signing.attest import Wording

    work = []
    limit = blob_limit(context)
    for path in arguments.vex:
        raw = read_file(path, context, limit=limit)
        if not openvex.detect(strictjson.parse_object(raw, limit=limit, what=path)):
            context.err(f"note: {path} is not OpenVEX; it was judged with, and is not attested")
            continue
        claim = attestation.claim_of("openvex", raw, moment="", what=path, limit=limit)
        work += [(image, Wording(claim=claim)) for image, _ in found]
    return work


async def _attest(
    arguments: argparse.Namespace, context: Context, work: list[tuple[Image, Wording]], options: SignOptions
) -> list[list[Attestation] | SealgateError]:
    """One after another: attestations of one image share a tag."""
    from sealgate.cli.keyless import load_authors
    from sealgate.signing.attest import attest
    from sealgate.signing.keyless import Formats
    from sealgate.transport import flow

    arguments.signature_digest_algorithm = None
    formats = Formats("bundle" in options.formats, "legacy" in options.formats)
    authors = await load_authors(arguments, context, formats)
    limit = blob_limit(context)
    replaced: set[tuple[str, str]] = set()
    flows = []
    for image, wording in work:
        kind = "" if wording.claim is None else wording.claim.predicate_type
        first = (str(image.which), kind) not in replaced  # what this command attests does not replace itself
        replaced.add((str(image.which), kind))
        flows.append(
            attest(
                image, authors, wording, options,
                replace=arguments.replace and first, limit=limit, told=context.err,
            )
        )  # fmt: skip
    return await flow.settle(flows, limit=1)
