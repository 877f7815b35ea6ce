"""`sealgate public-key`: print the public half of a key."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag

if TYPE_CHECKING:
    from sealgate.cli.context import Context

HELP = "Print the public key, as PEM, of a private key (its password is asked for) or of a public key reference."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """cosign's options."""
    parser.add_argument(
        "--key", required=True, metavar="REFERENCE", help="a file, env://VARIABLE, or https://… of a public key"
    )
    add_flag(parser, "--fingerprint", help="print its fingerprint instead, as verdicts and deny-lists name it")
    parser.add_argument("--outfile", metavar="FILE", help="write it to FILE instead of stdout")


def run(args: argparse.Namespace, context: Context) -> int:
    """Resolve, then print or write."""
    from sealgate.keys.password import PasswordSource
    from sealgate.keys.resolve import public_key_of
    from sealgate.keys.secrecy import no_core_dump

    source = PasswordSource(environ=context.environ, stdin=context.stdin)
    with no_core_dump():  # it may be a private key
        key = context.run(public_key_of(args.key, password=source.read, environ=context.environ))
    if args.fingerprint:
        context.out(key.fingerprint)
        return 0
    if args.outfile is None:
        context.out(key.pem().decode("ascii"), end="")
        return 0
    from sealgate.keys.pair import is_special, write_file

    if is_special(args.outfile) and not os.path.isdir(args.outfile):  # /dev/stdout, a named pipe
        with open(args.outfile, "wb") as file:
            file.write(key.pem())
        return 0
    write_file(args.outfile, key.pem(), mode=0o644, replace=True)
    context.err(f"Public key written to {args.outfile}")
    return 0
