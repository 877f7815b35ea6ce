"""`sealgate verify-blob-attestation`: verify what was signed about a file, and say why or why not."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.cli.options import add_flag
from sealgate.cli.predicate import add_policy_argument, add_type_argument, policies, read
from sealgate.cli.provenance import add_provenance_arguments, provenance_of
from sealgate.cli.registries import blob_limit
from sealgate.cli.trust import add_trust_arguments, came_of
from sealgate.cli.verify import add_key_arguments, asked_of, deny_list, show
from sealgate.errors import UsageError

if TYPE_CHECKING:
    from sealgate.cli.context import Context
    from sealgate.digest import Digest
    from sealgate.verification.blob_attestation import BlobAttestation
    from sealgate.verification.signer import Came

HELP = """Verify what was signed about a file, by a key or keyless; no service is contacted. The attestation is a Sigstore bundle, a DSSE
envelope, or cosign's older bundle around one. "Verified OK" and the verdict go to stderr. Exit codes: 0 verified, 10
what was given is no attestation, 12 none that satisfies, 15 no usable key, 16 denied, 1 no such file, 2 wrong usage."""

OUTPUTS = ("text", "json", "verdict", "human", "sarif", "junit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("file", nargs="?", metavar="FILE", help="the file that it is about; - is stdin")
    parser.add_argument("--digest", metavar="HEX", help="the file's digest, in place of FILE")
    parser.add_argument("--digestAlg", dest="digest_alg", metavar="NAME", help="sha256 (the default) or sha512")
    parser.add_argument("--bundle", action="append", default=[], metavar="FILE", help="a bundle (repeatable)")
    parser.add_argument("--signature", action="append", default=[], metavar="FILE", help="a DSSE envelope (repeatable)")
    add_type_argument(parser)
    add_policy_argument(parser)
    add_provenance_arguments(parser)
    add_key_arguments(parser)
    add_flag(parser, "--check-claims", default=True, help="=false: whom the attestation is about is not looked at")
    parser.add_argument(
        "-o", "--output", choices=OUTPUTS, default="text", metavar="FORMAT",
        help="text (cosign's: nothing on stdout, the default), json (the envelope), verdict, human, sarif or junit",
    )  # fmt: skip
    add_flag(parser, "--new-bundle-format", default=True, help="accepted; what it is can be seen in it")
    parser.add_argument("--max-workers", type=int, default=10, metavar="N", help=argparse.SUPPRESS)
    add_trust_arguments(parser, detached=True)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Verify what was signed about the file."""
    from sealgate.evidence import predicates
    from sealgate.verification import blob_attestation as blobs
    from sealgate.verification.attestation import Attested

    _check(arguments)
    predicate_type = predicates.type_of(arguments.type)
    provenance = provenance_of(arguments, predicate_type)
    requirement, trust = context.run(asked_of(arguments, context))
    limit = blob_limit(context)
    came = came_of(arguments)
    evidence = [
        _with(came, blobs.parse(read(path, context, limit=limit), f"{kind} {path}", limit=limit))
        for kind, paths in (("bundle", arguments.bundle), ("envelope", arguments.signature))
        for path in paths
    ]
    name, digest = _subject(arguments, context)
    with policies(arguments.policy, context) as conditions:
        attested = Attested(
            predicate_type, conditions, unsafe_any_subject=not arguments.check_claims, provenance=provenance
        )
        verdict = blobs.verify(
            name, digest, evidence,
            requirement=requirement, attested=attested, deny=deny_list(arguments.deny),
            hash_name=arguments.signature_digest_algorithm, trust=trust,
        )  # fmt: skip
    if arguments.output == "text":
        from sealgate.cli import render

        context.err(render.people([verdict], context.style(), verbose=context.verbose))
    else:
        from sealgate.cli import render

        show([verdict], arguments.output, context, data=render.envelopes)
    if not arguments.check_claims:
        context.err("warning: whom the attestation is about was not looked at (--check-claims=false)")
    if verdict.accepted:
        context.err("Verified OK")
    return verdict.exit_code


def _with(came: Came | None, evidence: BlobAttestation) -> BlobAttestation:
    """An envelope with the timestamp that was given beside it."""
    return evidence if evidence.bundle is not None or came is None else evidence._replace(came=came)


def _check(arguments: argparse.Namespace) -> None:
    if not arguments.bundle and not arguments.signature:
        raise UsageError("no attestation to verify", hint="--bundle FILE, or --signature FILE")
    if len(arguments.bundle) + len(arguments.signature) > limits.ATTACHMENTS:
        raise UsageError(f"more than {limits.ATTACHMENTS} attestations")
    if (arguments.file is None) == (arguments.digest is None):
        raise UsageError("the file, or its digest: one of them", hint="FILE, or --digest HEX")
    if arguments.digest_alg is not None and arguments.digest_alg not in {"sha256", "sha512"}:
        raise UsageError("--digestAlg is sha256 or sha512")
    if [arguments.file, *arguments.bundle, *arguments.signature].count("-") > 1:
        raise UsageError("stdin can be read once only")


def _subject(arguments: argparse.Namespace, context: Context) -> tuple[str, Digest]:
    from sealgate.digest import Digest
    from sealgate.errors import ContentError
    from sealgate.verification import blob as blobs

    algorithm = arguments.digest_alg or "sha256"
    if arguments.digest is not None:
        try:
            digest = Digest.parse(f"{algorithm}:{arguments.digest.removeprefix(algorithm + ':')}")
        except ContentError as error:
            raise UsageError(
                f"--digest: {error.message}", hint="lower-case hex digits, as sha256sum prints them"
            ) from error
        return str(digest), digest
    if arguments.file == "-":
        blob = blobs.read(context.stdin.buffer, "-", hashes=(algorithm,), whole=False)
    else:
        blob = blobs.read_file(arguments.file, hashes=(algorithm,), whole=False)
    return blob.name, Digest(algorithm, blob.digests[algorithm].hex())
