"""cosign's flags for certificates, logs and timestamps: taken where they change nothing for a key, refused where they would.

A flag that would add a check is honoured or the command ends in 2; a flag that takes a check away which is not made
anyway is accepted.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

_ADDING = (
    "--certificate", "--certificate-chain", "--certificate-identity", "--certificate-identity-regexp",
    "--certificate-oidc-issuer", "--certificate-oidc-issuer-regexp", "--certificate-github-workflow-name",
    "--certificate-github-workflow-ref", "--certificate-github-workflow-repository", "--certificate-github-workflow-sha",
    "--certificate-github-workflow-trigger", "--ca-roots", "--ca-intermediates", "--sct", "--trusted-root",
    "--timestamp-certificate-chain", "--rekor-url", "--slot",
)  # fmt: skip
_ADDING_FLAGS = ("--use-signed-timestamps", "--require-tlog", "--sk")
_TAKING_FLAGS = ("--insecure-ignore-tlog", "--insecure-ignore-sct", "--private-infrastructure", "--offline")


def add_verification_arguments(parser: ArgumentParser) -> None:
    """The flags of cosign's verify commands that keyless verification will honour."""
    for name in _ADDING:
        parser.add_argument(name, metavar="X", help=argparse.SUPPRESS)
    for name in _ADDING_FLAGS:
        add_flag(parser, name, help=argparse.SUPPRESS)
    group = parser.add_argument_group("accepted from cosign; with a key no service is asked anyway")
    for name in _TAKING_FLAGS:
        add_flag(group, name, help="changes nothing with a key")


def refuse_added_checks(arguments: Namespace) -> None:
    """Raise `UsageError` for a flag that asks for a check that is not made here."""
    for name in (*_ADDING, *_ADDING_FLAGS):
        if getattr(arguments, name.removeprefix("--").replace("-", "_")) not in {None, False}:
            raise UsageError(
                f"{name} asks for a check that this version cannot make: it verifies with keys only",
                hint="leave the flag out, or verify with cosign until keyless verification is here",
            )


def add_signing_arguments(parser: ArgumentParser) -> None:
    """The flags of cosign's sign commands about services."""
    group = parser.add_argument_group("accepted from cosign; with a key no service is asked anyway")
    add_flag(group, "--tlog-upload", default=None, help="only --tlog-upload=false, which is what happens anyway")
    add_flag(group, "--use-signing-config", default=None, help="only --use-signing-config=false")
    group.add_argument("--signing-config", metavar="FILE", help="only one that names no service")
    add_flag(group, "-y", "--yes", help="answer every question with yes")
    for name in ("--rekor-url", "--fulcio-url", "--oidc-issuer", "--oidc-client-id", "--identity-token",
                 "--timestamp-server-url", "--certificate", "--certificate-chain", "--slot"):  # fmt: skip
        parser.add_argument(name, metavar="X", help=argparse.SUPPRESS)
    for name in _KEYLESS_ONLY:
        parser.add_argument(name, metavar="X", help=argparse.SUPPRESS)
    for name in ("--issue-certificate", "--sk", "--oidc-disable-ambient-providers", "--insecure-skip-verify"):
        add_flag(parser, name, help=argparse.SUPPRESS)


_KEYLESS_ONLY = (
    "--fulcio-auth-flow", "--oidc-client-secret-file", "--oidc-provider", "--oidc-redirect-url",
    "--timestamp-client-cacert", "--timestamp-client-cert", "--timestamp-client-key", "--timestamp-server-name",
)  # fmt: skip
"""How services are asked that are not asked when a key signs."""


def refuse_services(arguments: Namespace) -> None:
    """Raise `UsageError` where a log, a timestamp or a certificate is asked for."""
    if arguments.tlog_upload or arguments.use_signing_config:
        raise UsageError(
            "this version writes to no transparency log", hint="leave the flag out; a signature by a key needs none"
        )
    for name in (
        "certificate",
        "certificate_chain",
        "timestamp_server_url",
        "identity_token",
        "sk",
        "issue_certificate",
    ):
        if getattr(arguments, name):
            raise UsageError(f"--{name.replace('_', '-')} is not supported by this version: it signs with keys only")
    if arguments.rekor_url and arguments.tlog_upload is None:
        raise UsageError("this version writes to no transparency log", hint="leave out --rekor-url")
    if arguments.signing_config is not None:
        _refuse_configured_services(arguments.signing_config)


def _refuse_configured_services(path: str) -> None:
    from sealgate import limits, strictjson

    try:
        with open(path, "rb") as file:
            data = file.read(limits.CONFIG_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the signing config {path} cannot be read: {error.strerror}") from error
    document = strictjson.parse_object(data, limit=limits.CONFIG_FILE_BYTES, what="the signing config")
    for name in ("caUrls", "oidcUrls", "rekorTlogUrls", "tsaUrls"):
        if document.get(name):
            raise UsageError(
                f"the signing config names services ({name}); this version signs with keys and asks none",
                hint="a config without services, or no --signing-config",
            )
