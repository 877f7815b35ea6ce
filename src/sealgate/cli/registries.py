"""Options that say how registries are talked to, and the images they open."""

from __future__ import annotations

from argparse import SUPPRESS
from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.errors import UsageError
from sealgate.oci.host import RegistrySettings
from sealgate.oci.images import Images
from sealgate.oci.registry import Session
from sealgate.transport.message import Tls

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from sealgate.cli.context import Context
    from sealgate.oci.credentials import Credentials, Keychain
    from sealgate.oci.host import Exchange


def add_registry_arguments(parser: ArgumentParser) -> None:
    """cosign's `--registry-*` and `--allow-*`, and `--registry-realm`."""
    group = parser.add_argument_group("registry options")
    group.add_argument("--registry-username", metavar="NAME", help="user name for basic authentication")
    group.add_argument("--registry-password", metavar="WORD", help="password for basic authentication")
    group.add_argument("--registry-token", metavar="TOKEN", help="bearer token")
    group.add_argument("--registry-cacert", metavar="FILE", help="trust only these certificate authorities (PEM)")
    group.add_argument("--registry-client-cert", metavar="FILE", help="client certificate (PEM)")
    group.add_argument("--registry-client-key", metavar="FILE", help="key of the client certificate (PEM)")
    group.add_argument("--registry-server-name", metavar="NAME", help="name expected in the server's certificate")
    group.add_argument(
        "--registry-realm", metavar="HOST", action="append", default=[],
        help="host of a token service that may see the credentials (repeatable)",
    )  # fmt: skip
    group.add_argument(
        "--registry-credentials", metavar="PROVIDERS", action="append", default=[],
        help="ask clouds for credentials of their own registries, as whoever this machine or pod is there: amazon, azure, github, "
        "google (separated by commas, repeatable); registries that configuration files name keep theirs",
    )  # fmt: skip
    add_flag(group, "--k8s-keychain", help=SUPPRESS)
    add_flag(group, "--allow-http-registry", help="use plain http where the registry does not speak https")
    add_flag(group, "--allow-insecure-registry", help="do not check the registry's certificate, and allow plain http")


def session(arguments: Namespace, context: Context) -> Session:
    """The session of one command."""
    environ = context.environ
    if (arguments.registry_client_cert is None) != (arguments.registry_client_key is None):
        raise UsageError("--registry-client-cert and --registry-client-key belong together")
    if arguments.k8s_keychain:
        raise UsageError(
            "--k8s-keychain asks all clouds and the cluster for credentials, which is not done here",
            hint="--registry-credentials amazon,azure,github,google asks those that you name; or credHelpers in docker's "
            "config.json: docker-credential-ecr-login, -gcr, -acr-env",
        )
    realms = environ.get("SEALGATE_REGISTRY_REALMS", "").split(",") + arguments.registry_realm
    from sealgate._version import __version__

    return Session(
        RegistrySettings(
            credentials=_credentials(arguments, context),
            exchange=_exchange(arguments, context),
            clouds=lambda names: _exchanger(_named(arguments) | names, context),
            tls=Tls(
                arguments.registry_cacert,
                arguments.registry_client_cert,
                arguments.registry_client_key,
                arguments.registry_server_name,
                arguments.allow_insecure_registry,
            ),
            allow_http=arguments.allow_http_registry or arguments.allow_insecure_registry,
            trusted_realms=frozenset(realm.strip().lower() for realm in realms if realm.strip()),
            user_agent=f"sealgate/{__version__}",
        )
    )


def images(arguments: Namespace, context: Context, closing: ExitStack) -> Images:
    """Opens the images of one command; `closing` writes archives back. Says so when the environment moves signatures (X04)."""
    elsewhere = context.environ.get("COSIGN_REPOSITORY") or None
    opened = Images(session(arguments, context), closing=closing, signature_repository=elsewhere)
    if elsewhere is not None:
        context.err(f"note: what is attached is kept in {elsewhere} (COSIGN_REPOSITORY)")
    return opened


def _credentials(arguments: Namespace, context: Context) -> Callable[[str, str], Credentials | None]:
    """A look-up that reads files and asks helpers only when a registry wants credentials."""
    keychain: Keychain | None = None

    def lookup(host: str, repository: str) -> Credentials | None:
        nonlocal keychain
        if keychain is None:
            from sealgate.oci.credentials import Credentials, Keychain

            explicit = None
            if arguments.registry_username or arguments.registry_password or arguments.registry_token:
                explicit = Credentials(
                    username=arguments.registry_username or "",
                    password=arguments.registry_password or "",
                    registry_token=arguments.registry_token or "",
                )
            keychain = Keychain(environ=context.environ, explicit=explicit)
        return keychain.lookup(host, repository)

    return lookup


def _exchange(arguments: Namespace, context: Context) -> Exchange | None:
    """What asks the clouds that are named. Raises `UsageError`."""
    names = _named(arguments)
    return _exchanger(names, context) if names else None


def _named(arguments: Namespace) -> frozenset[str]:
    if not arguments.registry_credentials:
        return frozenset()
    from sealgate.oci.exchange import providers

    return frozenset().union(*(providers.parse(each) for each in arguments.registry_credentials))


def _exchanger(names: frozenset[str], context: Context) -> Exchange:
    from sealgate.oci.exchange import ambient
    from sealgate.oci.exchange.cache import Exchanger

    return Exchanger(names, ambient.of_process(context.environ))


def blob_limit(context: Context) -> int:
    """`COSIGN_MAX_ATTACHMENT_SIZE`: bytes, or with a unit such as 128MiB or 5MB."""
    from sealgate import limits

    text = context.environ.get("COSIGN_MAX_ATTACHMENT_SIZE", "").strip()
    if not text:
        return limits.EVIDENCE_BYTES
    digits = text.rstrip("iKMGTBkmgtb ")
    units = {"": 1, "B": 1}
    for power, letter in enumerate("KMG", 1):
        units |= {letter: 1000**power, f"{letter}B": 1000**power, f"{letter}IB": 1024**power}
    unit = units.get(text[len(digits) :].strip().upper())
    if not digits.isascii() or not digits.isdigit() or unit is None:
        raise UsageError("COSIGN_MAX_ATTACHMENT_SIZE is no size", hint="bytes, or a number with a unit: 128MiB")
    return min(int(digits[:15]) * unit, 1024**3)


def parse_annotations(values: list[str]) -> tuple[tuple[str, str], ...]:
    """`-a key=value`, repeatable and comma-separated as cosign has it; the value may contain `=`."""
    found: dict[str, str] = {}
    for value in values:
        pairs = _split_csv(value)
        if not pairs:  # a variable of a script that is empty must not take the check away
            raise UsageError("an annotation is empty", hint="-a key=value; leave -a out to ask for none")
        for pair in pairs:
            name, equals, text = pair.partition("=")
            if not equals or not name:
                raise UsageError(f"unable to parse annotation: {pair}", hint="-a key=value")
            if found.setdefault(name, text) != text:
                raise UsageError(f"the annotation {name!r} is given twice with different values")
    return tuple(sorted(found.items()))


def _split_csv(value: str) -> list[str]:
    if '"' not in value:
        return [pair for pair in value.split(",") if pair]
    import csv

    try:
        return [pair for pair in next(csv.reader([value], strict=True)) if pair]
    except (csv.Error, StopIteration) as error:
        raise UsageError(
            f"unable to parse annotation: {value}", hint="quote it as CSV, or leave out the quotes"
        ) from error
