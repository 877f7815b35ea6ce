"""`sealgate sign-blob`: sign files, as a Sigstore bundle or in cosign's legacy forms."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NamedTuple

from sealgate.cli.keyless import (
    add_keyless_arguments,
    asks_services,
    check_keyless_arguments,
    has_certificate,
    load_authors,
)
from sealgate.cli.options import add_flag
from sealgate.cli.sign import certificate_of, write_file
from sealgate.errors import UsageError

if TYPE_CHECKING:
    from sealgate.cli.context import Context
    from sealgate.signing.author import Author

HELP = """Sign a file, with a key (then no service is contacted) or a certificate that names who signs (keyless). --bundle FILE writes a Sigstore bundle, which cosign 3 and 2 verify.
--new-bundle-format=false prints the base64 signature on stdout instead, one line for each file, and --bundle then writes
cosign's older bundle. The file is hashed as it is read, whatever its size; only an Ed25519 key needs it in memory (256 MiB at
most). What an image signature is made over is not signed unless --image-payload says that this is meant."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="the file to sign; - is stdin")
    parser.add_argument("--key", action="append", default=[], metavar="KEY", help="private key file or env://VAR")
    parser.add_argument("--bundle", metavar="FILE", help="write the signature to FILE as a bundle")
    add_flag(parser, "--new-bundle-format", default=True, help="=false prints the signature, and writes older bundles")
    parser.add_argument(
        "--output-signature", "--output", metavar="FILE", help="write the base64 signature to FILE, not to stdout"
    )
    add_flag(parser, "--b64", default=True, help="=false writes the signature's bytes as they are")
    parser.add_argument(
        "--signature-digest-algorithm", choices=("sha256", "sha384", "sha512"), metavar="HASH",
        help="sign this hash (sha256, which every version of cosign verifies)",
    )  # fmt: skip
    parser.add_argument(
        "--signing-algorithm", metavar="NAME",
        help="cosign's name of key kind and hash; without --key it says which key is made (ecdsa-sha2-256-nistp256)",
    )  # fmt: skip
    add_flag(parser, "--image-payload", help="FILE is meant to be what an image signature is made over")
    parser.add_argument(
        "--output-certificate",
        metavar="FILE",
        help="write the certificate to FILE: base64 of PEM, with --b64=false PEM",
    )
    parser.add_argument("--rfc3161-timestamp", metavar="FILE", help="write the timestamp to FILE, as cosign's JSON")
    add_keyless_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Sign every file."""
    from sealgate.keys.secrecy import no_core_dump
    from sealgate.signing.keyless import ALGORITHMS, Formats

    check_keyless_arguments(arguments)
    _check(arguments, context)
    if arguments.signing_algorithm is not None:
        if arguments.signing_algorithm not in ALGORITHMS:
            raise UsageError(
                f"no keys by the name {arguments.signing_algorithm[:60]!r}", hint=f"one of {', '.join(ALGORITHMS)}"
            )
        if arguments.key and arguments.signature_digest_algorithm is None:
            arguments.signature_digest_algorithm = ALGORITHMS[arguments.signing_algorithm][1]
    formats = Formats(arguments.new_bundle_format, not arguments.new_bundle_format)
    with no_core_dump():
        authors = context.run(load_authors(arguments, context, formats, algorithm=arguments.signing_algorithm))
        if len(authors) > 1:
            raise UsageError(
                f"{len(authors)} keys are given; the signature of a file is by one", hint="sign once for each key"
            )
        _check_algorithm(arguments, authors[0])
        for path in arguments.files:
            _sign(path, authors[0], arguments, context)
    return 0


def _check(arguments: argparse.Namespace, context: Context) -> None:
    """What cannot be meant, before a password is asked for."""
    if arguments.output_certificate is not None and not has_certificate(arguments):
        raise UsageError("--output-certificate: a signature by a key has no certificate", hint="leave it out")
    if arguments.rfc3161_timestamp is not None and arguments.key and not asks_services(arguments):
        raise UsageError("--rfc3161-timestamp: no timestamp authority is asked", hint="--timestamp-server-url URL")
    if arguments.new_bundle_format and not arguments.bundle:
        raise UsageError(
            "no place for the bundle", hint="--bundle FILE; or --new-bundle-format=false prints the bare signature"
        )
    outputs = [
        path for path in (arguments.bundle, arguments.output_signature, arguments.rfc3161_timestamp) if path is not None
    ]
    if len(arguments.files) > 1 and outputs:
        raise UsageError(
            f"{len(arguments.files)} files, and one place for their signatures: {outputs[0]}",
            hint="sign one file at a time (cosign would keep the last signature only)",
        )
    if not arguments.b64 and not arguments.output_signature:
        raise UsageError("--b64=false writes bytes, and there is no file for them", hint="--output-signature FILE")
    if arguments.files.count("-") > 1:
        raise UsageError("stdin can be read once only")
    if (
        "-" in arguments.files
        and arguments.key
        and "COSIGN_PASSWORD" not in context.environ
        and not context.interactive
    ):
        raise UsageError("stdin cannot be both the file and the password of the key", hint="set COSIGN_PASSWORD")


def _check_algorithm(arguments: argparse.Namespace, author: Author) -> None:
    from sealgate.signing.keyless import ALGORITHMS

    if arguments.signing_algorithm is None:
        return
    signer = author.signer
    kind, hash_name = ALGORITHMS[arguments.signing_algorithm]
    if (signer.public_key.algorithm, signer.hash_name) != (kind, hash_name):
        raise UsageError(
            f"--signing-algorithm {arguments.signing_algorithm} does not fit the key, "
            f"{signer.public_key.algorithm} with {signer.hash_name}",
            hint="leave it out: the key decides",
        )


class _Form(NamedTuple):
    path: str
    content: bytes
    said: str


def _sign(path: str, author: Author, arguments: argparse.Namespace, context: Context) -> None:
    from sealgate.signing import blob as signing
    from sealgate.verification import blob as blobs

    context.err(f"Using payload from: {path}")
    payload = signing.ImagePayload()
    hashes, whole = signing.hashes_of(author), signing.needs_message(author)
    if path == "-":
        blob = blobs.read(context.stdin.buffer, "-", hashes=hashes, whole=whole, hear=payload.hear)
    else:
        blob = blobs.read_file(path, hashes=hashes, whole=whole, hear=payload.hear)
    if payload.found is not None and not arguments.image_payload:
        raise UsageError(
            f"{path} is {payload.found}: its signature would sign that image",
            hint="--image-payload, if that is what you want",
        )
    if blob.size == 0:
        context.err(f"note: {path} is empty")
    made = context.run(signing.sign_blob(blob, author, legacy=not arguments.new_bundle_format))
    import base64

    text = base64.b64encode(made.signature)
    forms = []
    if arguments.bundle:
        content = made.bundle if arguments.new_bundle_format else made.legacy_bundle
        forms.append(_Form(arguments.bundle, content, "bundle"))
    if arguments.output_signature:
        forms.append(_Form(arguments.output_signature, text if arguments.b64 else made.signature, "signature"))
    if arguments.output_certificate:
        certificate = certificate_of([author])
        certificate = base64.b64encode(certificate) if arguments.b64 else certificate
        forms.append(_Form(arguments.output_certificate, certificate, "certificate"))
    if arguments.rfc3161_timestamp:
        if not made.timestamp:
            raise UsageError("--rfc3161-timestamp: no timestamp authority was asked", hint="--timestamp-server-url URL")
        forms.append(_Form(arguments.rfc3161_timestamp, made.timestamp, "timestamp"))
    for form in forms:
        write_file(form.path, form.content)
        context.err(f"Wrote {form.said} to file {form.path}")
    if not arguments.new_bundle_format and not arguments.output_signature:
        context.out(text.decode("ascii"))
