"""`sealgate signing-config create|show`: where to sign, as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context

HELP = "Make and explain signing configurations: the authorities, issuers, logs and timestamp authorities to sign with."

_SPEC = "url=…,api-version=N,start-time=…,operator=NAME[,end-time=…]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`create`, `show FILE` and their options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="create|show")
    create = commands.add_parser(
        "create",
        description="Write a signing configuration. Of each kind the services that are valid, of the highest version and of "
        "different operators are used; with none of a kind, none is used.",
        help="make a signing configuration",
    )
    for name, what in (
        ("fulcio", "a certificate authority"),
        ("oidc-provider", "an issuer of identities"),
        ("rekor", "a transparency log"),
        ("tsa", "a timestamp authority"),
    ):
        create.add_argument(f"--{name}", metavar="SPEC", action="append", default=[], help=f"{what}: {_SPEC}")
    create.add_argument("--rekor-config", metavar="HOW", help="how many of the logs to use: ANY, ALL or EXACT:N")
    create.add_argument("--tsa-config", metavar="HOW", help="how many of the timestamp authorities, likewise")
    create.add_argument("--out", metavar="FILE", help="write it to FILE, not to stdout")
    add_flag(create, "--with-default-services", help="begin with what `sealgate initialize` left")
    add_flag(create, "--with-default-rekor-v2", help="the same: its logs of all versions are in one document")
    for name, what in (
        ("fulcio", "certificate authorities"), ("oidc", "issuers"), ("rekor", "logs"), ("tsa", "timestamp authorities")
    ):  # fmt: skip
        add_flag(create, f"--no-default-{name}", help=f"without its {what}")
    show = commands.add_parser(
        "show",
        description="Explain a signing configuration, or a client's configuration with one: what would be used now, and all that "
        "there is. Without FILE: what `sealgate initialize` left.",
        help="explain a signing configuration",
    )
    show.add_argument("file", metavar="FILE", nargs="?", help="signing_config.json; - is stdin")
    show.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", metavar="FORMAT", help="text (the default) or json"
    )


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Make or explain a signing configuration."""
    from sealgate.cli import trusted_root

    if arguments.action == "create":
        return _create(arguments, context)
    import time

    from sealgate.truststore import environment, explanation, signing_config

    if arguments.file is None:
        found = context.run(environment.signing_config(context.environ))
    else:
        found = signing_config.parse(trusted_root.read(arguments.file, context))
    trusted_root.show(explanation.signing_config(found, now=time.time()), arguments.output, context)
    return 0


def _create(arguments: argparse.Namespace, context: Context) -> int:
    from sealgate.cli import trusted_root
    from sealgate.truststore import composition, environment
    from sealgate.truststore.signing_config import SigningConfig, encode

    base = SigningConfig()
    if arguments.with_default_services or arguments.with_default_rekor_v2:
        base = context.run(environment.signing_config(context.environ))
        if arguments.no_default_fulcio:
            base = base._replace(authorities=())
        if arguments.no_default_oidc:
            base = base._replace(issuers=())
        if arguments.no_default_rekor:
            base = base._replace(logs=(), log_selection=None)
        if arguments.no_default_tsa:
            base = base._replace(timestamp_authorities=(), timestamp_selection=None)
    made = composition.signing_config(
        base,
        authorities=arguments.fulcio,
        issuers=arguments.oidc_provider,
        logs=arguments.rekor,
        timestamp_authorities=arguments.tsa,
        log_selection=arguments.rekor_config,
        timestamp_selection=arguments.tsa_config,
    )
    trusted_root.write(encode(made), arguments.out, context)
    return 0
