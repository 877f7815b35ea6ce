"""`sealgate import-key-pair`: take a PEM private key made elsewhere, and write it as cosign's encrypted key file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag

if TYPE_CHECKING:
    from sealgate.cli.context import Context

HELP = (
    "Import an unencrypted PEM private key (PKCS#8, SEC 1 or PKCS#1; RSA 2048, 3072 or 4096, ECDSA P-256, P-384 or P-521, "
    "Ed25519) and write it, encrypted with a password, to PREFIX.key and PREFIX.pub. "
    "The password comes from COSIGN_PASSWORD if it is set, else from a prompt, else from stdin."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """cosign's options."""
    parser.add_argument("-k", "--key", required=True, metavar="FILE", help="the private key to import")
    parser.add_argument(
        "-o", "--output-key-prefix", default="import-cosign", metavar="PREFIX",
        help="the files are PREFIX.key and PREFIX.pub (import-cosign)",
    )  # fmt: skip
    add_flag(parser, "-y", "--yes", help="replace existing files without asking")


def run(args: argparse.Namespace, context: Context) -> int:
    """Read, encrypt and write."""
    from sealgate.cli.generate_key_pair import write_pair
    from sealgate.keys import private
    from sealgate.keys.providers import file
    from sealgate.keys.secrecy import no_core_dump

    with no_core_dump():
        key = private.import_pem(file.read(args.key), what=args.key)
        write_pair(key, args.output_key_prefix, context, yes=args.yes)
    return 0
