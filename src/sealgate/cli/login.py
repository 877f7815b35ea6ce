"""`sealgate login`: check credentials against a registry, and keep them where docker, cosign and sealgate find them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.cli.options import add_flag
from sealgate.cli.registries import add_registry_arguments, session
from sealgate.errors import UnauthorizedError, UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.oci.credentials import Credentials

HELP = """Log in to a registry (Docker Hub, when none is named). The credentials are tried first, and kept only if the registry takes
them: by the credential helper that docker's config.json names, else in that file, which is not encrypted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """cosign's options."""
    parser.add_argument("registry", nargs="?", metavar="REGISTRY", help="host[:port] (Docker Hub)")
    parser.add_argument("-u", "--username", metavar="NAME", help="user name (else asked for)")
    parser.add_argument(
        "-p", "--password", metavar="WORD", help="password or access token; others on this machine can see it"
    )
    add_flag(parser, "--password-stdin", help="read the password from stdin")
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Ask for what is missing, try, keep."""
    from sealgate.oci import credentials as stored
    from sealgate.oci.reference import HUB, parse_registry
    from sealgate.oci.registry import Session

    registry = parse_registry(arguments.registry) if arguments.registry is not None else HUB
    given = _credentials(arguments, context)
    settings = session(arguments, context).settings._replace(credentials=lambda *_: given)
    try:
        asked = context.run(Session(settings).check_credentials(registry))
    except UnauthorizedError as error:
        raise UnauthorizedError(
            f"{registry} refuses this user name or password; nothing was stored",
            hint="some registries want an access token as the password",
        ) from error
    path = stored.config_path(context.environ)
    place = stored.store_login(path, registry, given, environ=context.environ)
    if not asked:
        context.err(f"note: {registry} asks for no credentials, so these could not be tried")
    if place == path:
        context.err(
            f"WARNING! Your credentials are stored unencrypted in '{path}'.\n"
            "Configure a credential helper (`credsStore` in that file) to remove this warning."
        )
    context.err(f"logged in via {place}")
    return 0


def _credentials(arguments: argparse.Namespace, context: Context) -> Credentials:
    from sealgate.oci.credentials import Credentials

    username = arguments.username or arguments.registry_username
    password = arguments.password or arguments.registry_password
    if arguments.registry_token:
        raise UsageError("a registry token cannot be kept", hint="-u NAME and the token as the password")
    if arguments.password_stdin:
        if password:
            raise UsageError("--password and --password-stdin are given", hint="one of them")
        if not username:
            raise UsageError("--password-stdin needs a user name", hint="-u NAME")
        password = _from_stdin(context)
    elif password:
        context.err("WARNING! A password on the command line can be seen by others. Use --password-stdin.")
    if (not username or not password) and not context.interactive:
        raise UsageError(
            f"no {'password' if username else 'user name'}", hint="-u NAME --password-stdin, as nobody sits at stdin"
        )
    if not username:
        context.stderr.write("Username: ")
        context.stderr.flush()
        username = context.stdin.readline(1024).strip()
    if not password:
        password = _ask(context)
    if not username or not password:
        raise UsageError("a user name and a password are needed")
    if ":" in username or not username.isprintable():
        raise UsageError("a user name with a colon or a control character cannot be sent")
    return Credentials(username=username, password=password)


def _from_stdin(context: Context) -> str:
    """All of stdin but the end of its last line, as docker does."""
    data = context.stdin.read(limits.PASSWORD_BYTES + 1)
    if len(data) > limits.PASSWORD_BYTES:
        raise UsageError(f"the password on stdin is longer than {limits.PASSWORD_BYTES} bytes")
    return data.removesuffix("\n").removesuffix("\r")


def _ask(context: Context) -> str:
    from getpass import getpass

    try:
        return getpass("Password: ", stream=context.stderr)
    except EOFError:
        raise UsageError("no password was typed") from None
