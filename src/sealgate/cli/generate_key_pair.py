"""`sealgate generate-key-pair`: make a key pair, the private half encrypted as cosign encrypts it."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag

if TYPE_CHECKING:
    from sealgate.cli.context import Context
    from sealgate.keys.private import PrivateKey

HELP = (
    "Make a key pair: PREFIX.key, encrypted with a password, and PREFIX.pub. "
    "The password comes from COSIGN_PASSWORD if it is set, else from a prompt, else from stdin."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """cosign's options, and --algorithm."""
    from sealgate.keys.private import ALGORITHMS

    parser.add_argument(
        "reference",
        nargs="?",
        metavar="REFERENCE",
        help="where to keep the key instead of files (none is supported yet)",
    )
    parser.add_argument(
        "--output-key-prefix",
        default="cosign",
        metavar="PREFIX",
        help="the files are PREFIX.key and PREFIX.pub (cosign)",
    )
    parser.add_argument(
        "--algorithm", default="ecdsa-p256", choices=ALGORITHMS, metavar="NAME",
        help=f"the kind of key: {', '.join(ALGORITHMS)} (ecdsa-p256)",
    )  # fmt: skip
    parser.add_argument("--kms", metavar="REFERENCE", help="make the key in a key service (none is supported yet)")
    add_flag(parser, "-y", "--yes", help="replace existing files without asking")


def run(args: argparse.Namespace, context: Context) -> int:
    """Make and write the pair."""
    from sealgate.errors import KeyUnsupportedError
    from sealgate.keys import private
    from sealgate.keys.secrecy import no_core_dump

    if args.kms or args.reference:
        raise KeyUnsupportedError(
            f"keys cannot be made at {ascii(args.kms or args.reference)[:100]}", hint="leave it out to write key files"
        )
    with no_core_dump():
        write_pair(private.generate(args.algorithm), args.output_key_prefix, context, yes=args.yes)
    return 0


def write_pair(key: PrivateKey, prefix: str, context: Context, *, yes: bool) -> None:
    """Encrypt and write `key`, asking for the password, and before an existing private key is replaced."""
    from sealgate.keys import keyfile, pair
    from sealgate.keys.password import PasswordSource
    from sealgate.transport import flow

    names = pair.Pair.named(prefix)
    password = PasswordSource(environ=context.environ, stdin=context.stdin).read_new()
    exists = os.path.lexists(names.private)
    if exists:
        if not yes:
            context.stderr.write(f"WARNING: File {names.private} already exists. Overwrite?\n")
        context.confirm("Are you sure you would like to continue?", yes=yes)

    async def encrypt() -> bytes:
        return await flow.call(lambda: keyfile.encrypt(key, password))

    pair.write(names, private=context.run(encrypt()), public=key.public_key.pem(), replace=exists)
    context.err(f"Private key written to {names.private}")
    context.err(f"Public key written to {names.public}")
