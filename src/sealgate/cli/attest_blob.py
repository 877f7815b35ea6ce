"""`sealgate attest-blob`: sign what is known about files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sealgate.cli.keyless import add_keyless_arguments, check_keyless_arguments, has_certificate, load_authors
from sealgate.cli.options import add_flag
from sealgate.cli.predicate import (
    add_predicate_arguments,
    check_predicate_arguments,
    claim_of,
    statement_of,
    subjects_of,
)
from sealgate.cli.registries import blob_limit
from sealgate.cli.sign import write_file
from sealgate.errors import UsageError

if TYPE_CHECKING:
    from sealgate.cli.context import Context
    from sealgate.evidence.statement import Subject

HELP = """Sign what is known about files as one in-toto Statement, whose subjects they are, with a key (then no
service is contacted) or a certificate that names who signs (keyless). --bundle FILE
writes a Sigstore bundle. --new-bundle-format=false writes cosign's older forms: --output-signature the DSSE envelope,
--output-attestation the Statement; without either the envelope goes to stdout."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="the files that it is about; - is stdin")
    add_predicate_arguments(parser)
    parser.add_argument("--key", action="append", default=[], metavar="KEY", help="private key file or env://VAR")
    parser.add_argument("--hash", metavar="HEX", help="the sha256 of FILE, which is not read then")
    parser.add_argument(
        "--subject", action="append", default=[], metavar="[NAME@]DIGEST",
        help="a further subject of the Statement (repeatable)",
    )  # fmt: skip
    parser.add_argument("--bundle", metavar="FILE", help="write the bundle to FILE")
    add_flag(parser, "--new-bundle-format", default=True, help="=false writes cosign's older forms")
    parser.add_argument("--output-signature", metavar="FILE", help="write the DSSE envelope to FILE")
    parser.add_argument("--output-attestation", metavar="FILE", help="write the Statement to FILE")
    parser.add_argument(
        "--signature-digest-algorithm", choices=("sha256", "sha384", "sha512"), metavar="HASH", help="sign this hash"
    )
    parser.add_argument("--output-certificate", metavar="FILE", help="write the certificate to FILE (PEM)")
    parser.add_argument(
        "--rfc3161-timestamp-bundle", metavar="FILE", help="write the timestamp to FILE, as cosign's JSON"
    )
    add_keyless_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Sign one Statement about all the files."""
    from sealgate.keys.secrecy import no_core_dump
    from sealgate.signing.attest_blob import attest_blob
    from sealgate.signing.keyless import Formats

    check_keyless_arguments(arguments)
    _check(arguments, context)
    payload = _statement(arguments, context)
    legacy = not arguments.new_bundle_format
    with no_core_dump():
        authors = context.run(load_authors(arguments, context, Formats(not legacy, legacy)))
        if len(authors) > 1:
            raise UsageError(f"{len(authors)} keys are given; a bundle is by one", hint="attest once for each key")
        made = context.run(attest_blob(payload, authors[0], legacy=legacy, limit=blob_limit(context)))
    if arguments.rfc3161_timestamp_bundle and not made.timestamp:
        raise UsageError(
            "--rfc3161-timestamp-bundle: no timestamp authority was asked", hint="--timestamp-server-url URL"
        )
    forms = (
        (arguments.bundle, made.bundle if arguments.new_bundle_format else made.legacy_bundle, "Wrote bundle to file"),
        (arguments.output_signature, made.envelope, "Signature written in"),
        (arguments.output_attestation, made.statement, "Attestation written in"),
        (arguments.output_certificate, made.certificate, "Certificate written in"),
        (arguments.rfc3161_timestamp_bundle, made.timestamp, "Timestamp written in"),
    )
    for path, content, said in forms:
        if path is not None:
            write_file(path, content)
            context.err(f"{said} {path}")
    if not arguments.new_bundle_format and arguments.output_signature is None:
        context.out(made.envelope.decode("utf-8"))
    return 0


def _check(arguments: argparse.Namespace, context: Context) -> None:
    """What cannot be meant, before a password is asked for."""
    if arguments.output_certificate is not None and not has_certificate(arguments):
        raise UsageError("--output-certificate: a signature by a key has no certificate", hint="leave it out")
    check_predicate_arguments(arguments, context)
    if arguments.new_bundle_format and not (arguments.bundle or arguments.output_signature):
        raise UsageError(
            "no place for the bundle", hint="--bundle FILE; or --new-bundle-format=false prints the envelope"
        )
    if arguments.statement is not None and (arguments.files or arguments.hash or arguments.subject):
        raise UsageError("a Statement has its own subjects", hint="leave out FILE, --hash and --subject")
    if arguments.statement is None and not (arguments.files or arguments.hash or arguments.subject):
        raise UsageError(
            "no file to attest", hint="sealgate attest-blob --key cosign.key --predicate P --bundle B FILE"
        )
    if arguments.hash is not None and len(arguments.files) > 1:
        raise UsageError("--hash is of one file")
    if [arguments.predicate, arguments.statement, *arguments.files].count("-") > 1:
        raise UsageError("stdin can be read once only")


def _statement(arguments: argparse.Namespace, context: Context) -> bytes:
    from sealgate.evidence import attestation

    limit = blob_limit(context)
    if arguments.statement is not None:
        context.err(f"Using statement from: {arguments.statement}")
        return statement_of(arguments, context, limit=limit)
    subjects = [*_files(arguments, context), *subjects_of(arguments.subject)]
    context.err(f"Using payload from: {arguments.predicate}")
    return attestation.encode(claim_of(arguments, context, limit=limit), subjects, limit=limit)


def _files(arguments: argparse.Namespace, context: Context) -> list[Subject]:
    """Each file by its base name and sha256, as cosign writes them."""
    import os

    from sealgate.digest import Digest
    from sealgate.errors import ContentError
    from sealgate.evidence.statement import Subject
    from sealgate.verification import blob as blobs

    if arguments.hash is not None:
        try:
            digest = Digest.parse(f"sha256:{arguments.hash.removeprefix('sha256:')}")
        except ContentError as error:
            raise UsageError(f"--hash: {error.message}", hint="64 lower-case hex digits") from error
        name = os.path.basename(arguments.files[0]) if arguments.files else None
        return [Subject(name, ((digest.algorithm, digest.hex),), {})]
    found = []
    for path in arguments.files:
        context.err(f"Using payload from: {path}")
        if path == "-":
            blob = blobs.read(context.stdin.buffer, "-", hashes=(), whole=False)
        else:
            blob = blobs.read_file(path, hashes=(), whole=False)
        name = None if path == "-" else os.path.basename(path)
        found.append(Subject(name, ((blob.digest.algorithm, blob.digest.hex),), {}))
    return found
