"""`sealgate registry serve`: an OCI registry over a directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context

HELP = "Serve a directory as an OCI registry, with the referrers API: for laptops, tests and air-gapped sites."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`serve DIR` and its options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="serve")
    serve = commands.add_parser(
        "serve",
        description="Serve DIR until Ctrl-C. Each repository is an OCI layout at DIR/<repository>/; a DIR that is itself "
        "a layout is served as one repository. It listens on loopback only, unless it has both TLS and users.",
        help="serve a directory",
    )
    serve.add_argument("directory", metavar="DIR", help="the directory; made when it does not exist")
    serve.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default="127.0.0.1:5000",
        help="where (127.0.0.1:5000); port 0 takes a free one",
    )
    serve.add_argument(
        "--repository", metavar="NAME", help="the repository's name, when DIR is itself a layout (DIR's own name)"
    )
    serve.add_argument("--tls-cert", metavar="FILE", help="the server's certificate, with its chain (PEM)")
    serve.add_argument("--tls-key", metavar="FILE", help="the certificate's private key (PEM)")
    serve.add_argument("--htpasswd", metavar="FILE", help="users and bcrypt hashes, as `htpasswd -B` writes them")
    add_flag(serve, "--read-only", help="take nothing: no pushes, no deletions")
    add_flag(serve, "--no-referrers-api", help="answer 404 for referrers, as old registries do")
    serve.add_argument("--port-file", metavar="FILE", help="write the port to FILE when requests are taken")


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Serve until a signal comes. Says on stderr where, and what it is for."""
    from sealgate.oci.server import Settings
    from sealgate.oci.server import serve as serve_registry

    settings = Settings(
        arguments.directory,
        arguments.listen,
        arguments.repository,
        arguments.tls_cert,
        arguments.tls_key,
        arguments.htpasswd,
        arguments.read_only,
        not arguments.no_referrers_api,
    )

    def started(address: str) -> None:
        if arguments.port_file is not None:
            write_port(arguments.port_file, address.rpartition(":")[2])
        scheme = "https" if settings.tls_cert else "http"
        context.err(f"registry: {arguments.directory} is served at {scheme}://{address} (Ctrl-C stops it)")
        context.err("registry: it is meant for laptops, tests and air-gapped sites")
        context.stderr.flush()

    def say(text: str) -> None:
        context.stderr.write(f"registry: {text}\n")
        context.stderr.flush()

    serve_registry(settings, started=started, log=say if context.verbose else None, fault=say)
    context.err("registry: stopped")
    return 0


def write_port(path: str, port: str) -> None:
    """Write a port to a file: readers see no file or the whole of it. Raises `UsageError`."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="ascii") as file:
            file.write(f"{port}\n")
        os.replace(temporary, path)
    except OSError as error:
        raise UsageError(f"--port-file {path} cannot be written: {error.strerror}") from error
