"""`sealgate verify-blob`: verify the signature of a file, and say why or why not."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.cli.options import add_flag
from sealgate.cli.trust import add_trust_arguments, came_of
from sealgate.cli.verify import add_key_arguments, asked_of, deny_list, show
from sealgate.errors import NotFoundError, UsageError
from sealgate.verification import blob as blobs

if TYPE_CHECKING:
    from sealgate.cli.context import Context
    from sealgate.verification.blob import Blob, BlobEvidence

HELP = """Verify the signature of a file, by a key or keyless; no service is contacted. The signature is a Sigstore bundle, cosign's older
bundle, or the bare signature as `sign-blob` prints it. "Verified OK" and the verdict go to stderr. Exit codes: 0 verified, 12
no signature that satisfies, 15 no usable key, 16 denied, 1 no such file, 2 wrong usage."""

OUTPUTS = ("text", "json", "verdict", "human", "sarif", "junit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("file", metavar="FILE", help="the file that was signed; - is stdin")
    parser.add_argument(
        "--bundle", action="append", default=[], metavar="FILE", help="bundle of any version (repeatable)"
    )
    parser.add_argument(
        "--signature", action="append", default=[], metavar="SIGNATURE",
        help="bare signature: a file with it, or its base64 (repeatable)",
    )  # fmt: skip
    add_key_arguments(parser)
    parser.add_argument(
        "-o", "--output", choices=OUTPUTS, default="text", metavar="FORMAT",
        help="text (cosign's: nothing on stdout, the default), json or verdict (the full verdict), human, sarif or junit",
    )  # fmt: skip
    add_flag(parser, "--new-bundle-format", default=True, help="accepted; what the bundle is can be seen in it")
    parser.add_argument("--max-workers", type=int, default=10, metavar="N", help=argparse.SUPPRESS)
    add_trust_arguments(parser, detached=True)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Verify the file."""
    if not arguments.bundle and not arguments.signature:
        raise UsageError("no signature to verify", hint="--bundle FILE, or --signature FILE")
    if arguments.bundle and arguments.signature:
        raise UsageError("both --bundle and --signature are given", hint="one of them has the signature")
    if len(arguments.bundle) + len(arguments.signature) > limits.ATTACHMENTS:
        raise UsageError(f"more than {limits.ATTACHMENTS} signatures")
    if [arguments.file, *arguments.bundle, *arguments.signature].count("-") > 1:
        raise UsageError("stdin can be read once only")
    requirement, trust = context.run(asked_of(arguments, context))
    came = came_of(arguments)
    evidence = [_read_bundle(path, context) for path in arguments.bundle]
    evidence += [_read_signature(text, context)._replace(came=came) for text in arguments.signature]

    def read_blob(hashes: Collection[str], whole: bool) -> Blob:  # noqa: FBT001 - called by position
        if arguments.file == "-":
            return blobs.read(context.stdin.buffer, "-", hashes=hashes, whole=whole)
        return blobs.read_file(arguments.file, hashes=hashes, whole=whole)

    verdict = blobs.verify(
        read_blob, evidence,
        requirement=requirement, deny=deny_list(arguments.deny), hash_name=arguments.signature_digest_algorithm,
        trust=trust,
    )  # fmt: skip
    if arguments.output == "text":
        from sealgate.cli import render

        context.err(render.people([verdict], context.style(), verbose=context.verbose))
    else:
        show([verdict], "verdict" if arguments.output == "json" else arguments.output, context)
    if verdict.accepted:
        context.err("Verified OK")
    return verdict.exit_code


def _read_bundle(path: str, context: Context) -> BlobEvidence:
    return blobs.parse_bundle(_read(path, context), f"bundle {path}")


def _read_signature(text: str, context: Context) -> BlobEvidence:
    """As cosign: a file of that name, else the signature itself in base64."""
    if text == "-" or os.path.exists(text):
        return blobs.parse_signature(_read(text, context), f"signature {text}")
    if "://" in text:
        raise UsageError(f"signatures are not fetched from {text.partition('://')[0]}:// addresses", hint="download it")
    found = blobs.parse_signature(text.encode("utf-8", "surrogateescape"), "signature")
    if found.signature == text.encode("utf-8", "surrogateescape"):  # not base64: it was meant to be a file
        raise NotFoundError(f"there is no file {text}, and it is not a signature in base64 either")
    return found


def _read(path: str, context: Context) -> bytes:
    most = limits.EVIDENCE_BYTES + 1  # one more: it is refused with its reason, not cut
    if path == "-":
        return context.stdin.buffer.read(most)
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the name is not a path"
        raise UsageError(f"{path} cannot be read: {reason}") from error
