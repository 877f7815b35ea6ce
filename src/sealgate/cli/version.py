"""`sealgate version`: what this is made of, for reports of faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context

HELP = "Print the version of sealgate, and of what it stands on."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """cosign's option."""
    add_flag(parser, "--json", help="print JSON")


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print."""
    found = versions()
    if arguments.json:
        import json

        context.out(json.dumps(found))
    else:
        for name, value in found.items():
            context.out(f"{name:<13} {value}")
    return 0


def versions() -> dict[str, str]:
    """Each part and its version."""
    import platform

    import cryptography
    import nacl
    from cryptography.hazmat.backends.openssl import backend

    from sealgate._version import __version__

    return {
        "sealgate": __version__,
        "python": platform.python_version(),
        "cryptography": cryptography.__version__,
        "openssl": backend.openssl_version_text().removeprefix("OpenSSL "),
        "pynacl": nacl.__version__,
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }
