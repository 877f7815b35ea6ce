"""The options of the sign commands about certificates, logs and timestamps, and who signs by them.

cosign's names and meanings, but one: with a key, and without one of these options, no service is asked. A flag that asks for
something is honoured, or the command ends in 2.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.errors import TrustRootMissingError, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from sealgate.cli.context import Context
    from sealgate.keys.signer import Signer
    from sealgate.signing.author import Author, Witnesses
    from sealgate.signing.keyless import Formats, Services
    from sealgate.signing.tokens.token import IdentityToken
    from sealgate.transport.message import Tls
    from sealgate.trust.root import TrustRoot

_ADDRESSES = ("fulcio_url", "rekor_url", "oidc_issuer", "timestamp_server_url")
_TIMESTAMP_TLS = ("timestamp_client_cacert", "timestamp_client_cert", "timestamp_client_key", "timestamp_server_name")


def add_keyless_arguments(parser: ArgumentParser) -> None:
    """Every option of this page."""
    who = parser.add_argument_group("who signs, without --key: somebody whom an identity token names (keyless)")
    who.add_argument("--identity-token", metavar="TOKEN", help="the token, or the path of a file that has it")
    who.add_argument(
        "--oidc-provider", metavar="NAME",
        help="ask only this for a token: envvar, filesystem, github-actions, gitlab, circleci, buildkite-agent, google, "
        "spiffe or kubernetes",
    )  # fmt: skip
    add_flag(who, "--oidc-disable-ambient-providers", help="take no token that lies around, and ask no CI for one")
    who.add_argument(
        "--fulcio-auth-flow", choices=("normal", "device", "token", "client_credentials"), metavar="FLOW",
        help="how to sign in: normal (browser), device (a code), token, client_credentials",
    )  # fmt: skip
    who.add_argument("--oidc-issuer", metavar="URL", help="where to sign in")
    who.add_argument(
        "--oidc-client-id", metavar="NAME", help="who asks there, and the audience of the token (sigstore)"
    )
    who.add_argument("--oidc-client-secret-file", metavar="FILE", help="the secret of who asks")
    who.add_argument(
        "--oidc-redirect-url", metavar="URL", help="where the browser comes back to (http://localhost:0/auth/callback)"
    )
    add_flag(who, "--issue-certificate", help="get a certificate for the key of --key too")
    where = parser.add_argument_group("services: certificate authority, log, timestamp authority")
    where.add_argument(
        "--signing-config", metavar="FILE", help="which to ask (`sealgate signing-config create` makes one)"
    )
    add_flag(
        where, "--use-signing-config", default=None,
        help="with a key too ask those that `sealgate initialize` got; =false: cosign's public ones, without a key",
    )  # fmt: skip
    where.add_argument("--fulcio-url", metavar="URL", help="the certificate authority")
    where.add_argument("--rekor-url", metavar="URL", help="the log (Rekor v1)")
    where.add_argument("--timestamp-server-url", metavar="URL", help="the timestamp authority")
    for name, meaning in (
        ("cacert", "its certificate authority (PEM)"),
        ("cert", "our certificate for it (PEM)"),
        ("key", "the key of that certificate (PEM)"),
    ):
        where.add_argument(f"--timestamp-client-{name}", metavar="FILE", help=meaning)
    where.add_argument("--timestamp-server-name", metavar="NAME", help="the name in its certificate")
    add_flag(where, "--tlog-upload", default=None, help="=false: write to no log; with a key: write to one")
    where.add_argument(
        "--rekor-entry-type", choices=("dsse", "intoto"), metavar="TYPE", help="of attestations in Rekor v1: only dsse"
    )
    where.add_argument("--trusted-root", metavar="FILE", help="what is made is judged under it before it is published")
    add_flag(where, "--insecure-skip-verify", help="take a certificate without an SCT")
    add_flag(where, "-y", "--yes", help="answer every question with yes")
    own = parser.add_argument_group("a certificate of your own authority, beside --key")
    own.add_argument("--certificate", metavar="FILE", help="the key's certificate (PEM or DER)")
    own.add_argument(
        "--certificate-chain", metavar="FILE", help="who issued it (PEM): intermediates first, the root last"
    )
    parser.add_argument("--slot", metavar="X", help=argparse.SUPPRESS)
    add_flag(parser, "--sk", help=argparse.SUPPRESS)


def check_keyless_arguments(arguments: Namespace) -> None:
    """What cannot be meant, before anything is asked or opened. Raises `UsageError`."""
    for name in ("sk", "slot"):
        if getattr(arguments, name):
            raise UsageError(f"--{name} is not supported by this version", hint="leave it out")
    _check_own_certificate(arguments)
    if arguments.rekor_entry_type == "intoto":
        raise UsageError("entries of type intoto are not written any more", hint="leave out --rekor-entry-type")
    given = [f"--{name.replace('_', '-')}" for name in _ADDRESSES if getattr(arguments, name)]
    if given and (arguments.signing_config is not None or arguments.use_signing_config):
        raise UsageError(f"{given[0]} and a signing configuration: which of them says whom to ask?", hint="one of them")
    if arguments.signing_config is not None and arguments.use_signing_config is False:
        raise UsageError("--signing-config and --use-signing-config=false contradict each other")
    if arguments.key and not arguments.issue_certificate:
        for name in ("identity_token", "oidc_provider", "fulcio_auth_flow", "fulcio_url"):
            if getattr(arguments, name):
                raise UsageError(
                    f"--{name.replace('_', '-')} and --key: a certificate, or a key that verifiers know?",
                    hint="--issue-certificate gets a certificate for the key",
                )
    if any(getattr(arguments, name) for name in _TIMESTAMP_TLS) and not asks_services(arguments):
        raise UsageError("no timestamp authority is asked", hint="--timestamp-server-url URL")
    if len(arguments.key) > 1 and arguments.issue_certificate:
        raise UsageError("--issue-certificate is for one key", hint="sign once for each key")


def _check_own_certificate(arguments: Namespace) -> None:
    if arguments.certificate_chain and not arguments.certificate:
        raise UsageError("--certificate-chain is above a certificate, and none is given", hint="--certificate FILE")
    if not arguments.certificate:
        return
    if len(arguments.key) != 1:
        raise UsageError("--certificate is the certificate of one key", hint="--key FILE, once")
    if arguments.issue_certificate:
        raise UsageError("--certificate and --issue-certificate contradict each other: which certificate?")


def has_certificate(arguments: Namespace) -> bool:
    """Whether what is signed carries a certificate."""
    return is_keyless(arguments) or bool(arguments.certificate)


def is_keyless(arguments: Namespace) -> bool:
    """Whether a certificate is needed."""
    return not arguments.key or bool(arguments.issue_certificate)


def asks_services(arguments: Namespace) -> bool:
    """Whether anybody is to be asked. With a key nobody is, unless it is asked for."""
    return bool(
        is_keyless(arguments) or arguments.signing_config is not None or arguments.use_signing_config
        or (arguments.rekor_url and arguments.tlog_upload is not False)
        or arguments.timestamp_server_url or arguments.tlog_upload
    )  # fmt: skip


async def require_services(arguments: Namespace, context: Context) -> None:
    """Before long work, whose end is signed: raise `UsageError` where nobody says where to sign."""
    if asks_services(arguments):
        await _is_public(arguments, context)


async def load_authors(
    arguments: Namespace, context: Context, formats: Formats, *, algorithm: str | None = None
) -> list[Author]:
    """Who signs: every `--key`, or somebody with a certificate; and who bears witness."""
    import time

    from sealgate.cli.sign import load_signers
    from sealgate.signing.author import Author, Witnesses

    now = time.time()
    if not asks_services(arguments):
        if arguments.certificate:
            return [await _own(arguments, context, Witnesses(), await _root(arguments, context, public=False), now)]
        if arguments.trusted_root is not None:
            raise UsageError(
                "--trusted-root says nothing about a signature by a key alone",
                hint="--signing-config, --rekor-url or --timestamp-server-url; or leave it out",
            )
        return [Author(signer) for signer in await load_signers(arguments, context)]
    public = await _is_public(arguments, context)
    services = await _services(arguments, context, formats, now, public=public)
    witnesses = services.witnesses
    logs = witnesses.all_logs
    if arguments.tlog_upload and not logs:
        raise UsageError("--tlog-upload: the signing configuration names no log", hint="--rekor-url URL")
    if is_keyless(arguments):
        witnesses.check_time(bundle=formats.bundle, legacy=formats.legacy)
    root = await _root(arguments, context, public=public)
    own = [await _own(arguments, context, witnesses, root, now)] if arguments.certificate else []
    if logs and (arguments.rekor_url or arguments.use_signing_config is False):  # where cosign asks too
        _consent(arguments, context, [str(log.service.url) for log in logs])
    if own:
        return own
    signers = await load_signers(arguments, context)
    if not is_keyless(arguments) and not logs and not witnesses.timestamp_authorities:
        return [Author(signer) for signer in signers]
    if root is None:
        context.err(f"{_UNJUDGED} (--trusted-root), so what the services answered {_COMPARED}")
    if not is_keyless(arguments):
        return [Author(signer, None, witnesses, root, now=now) for signer in signers]
    return [await _certified(arguments, context, services, signers, root, algorithm, now)]


_UNJUDGED = "note: no trust root is known"
_COMPARED = "is compared with what was signed, and nothing more"


async def _own(
    arguments: Namespace, context: Context, witnesses: Witnesses, root: TrustRoot | None, now: float
) -> Author:
    """The owner of a key, with a certificate of an authority of their own."""
    from sealgate.cli.sign import load_signers
    from sealgate.signing import certified

    if root is not None and root.logs and not witnesses.all_logs and arguments.tlog_upload is not False:
        raise UsageError(
            "the trust root has logs, and no log is written to: who believes in it asks for an entry",
            hint="--signing-config FILE or --rekor-url URL; or --tlog-upload=false, and they must not ask",
        )
    if root is None and arguments.certificate_chain and (witnesses.all_logs or witnesses.timestamp_authorities):
        raise UsageError(
            "logs or timestamp authorities are to be asked, and nothing says which of them are believed",
            hint="--trusted-root FILE",
        )
    [signer] = await load_signers(arguments, context)
    chain = _read(arguments.certificate_chain) if arguments.certificate_chain else None
    author = certified.author(
        signer, _read(arguments.certificate), chain, witnesses=witnesses, root=root,
        sct=not arguments.insecure_skip_verify, now=now,
    )  # fmt: skip
    if author.root is None:
        context.err(f"{_UNJUDGED} (--certificate-chain or --trusted-root), so the certificate {_COMPARED}")
    return author


async def _certified(
    arguments: Namespace, context: Context, services: Services, signers: list[Signer], root: TrustRoot | None,
    algorithm: str | None, now: float,
) -> Author:  # fmt: skip
    from sealgate.signing import keyless

    if services.authority is None:
        raise UsageError("no certificate authority to ask", hint="--fulcio-url URL, or --signing-config FILE")
    token = await _token(arguments, context, services, now)
    if services.authority.url.scheme == "http" and not _is_loopback(services.authority.url.host):
        context.err(f"warning: the identity token goes to {services.authority.url} without TLS")
    return await keyless.author(
        services.authority, token, signer=signers[0] if signers else None, algorithm=algorithm or keyless.ALGORITHM,
        witnesses=services.witnesses, root=root, sct=not arguments.insecure_skip_verify, now=now, told=context.err,
    )  # fmt: skip


def _is_loopback(host: str) -> bool:
    from sealgate.transport import address

    return address.is_loopback(host)


# -- services


def _addresses(arguments: Namespace) -> bool:
    """Whether services are given by their addresses; where to sign in is another matter."""
    return any(getattr(arguments, name) for name in _ADDRESSES if name != "oidc_issuer")


async def _is_public(arguments: Namespace, context: Context) -> bool:
    """Whether the public Sigstore is meant, as by cosign: nobody said where to sign, and somebody agrees to that."""
    if arguments.signing_config is not None or _addresses(arguments):
        return False
    if arguments.use_signing_config is False:
        return True
    from sealgate.truststore import environment

    try:
        await environment.signing_config(context.environ)
    except TrustRootMissingError as error:
        if arguments.yes:
            return True
        if context.interactive:
            context.confirm(f"{error.message}. Sign with the public Sigstore?")
            return True
        if arguments.key:
            raise UsageError(error.message, hint=error.hint) from error
        raise UsageError(
            f"no key to sign with, and {error.message}",
            hint="--key cosign.key signs with a key; --signing-config FILE or `sealgate initialize` says where to sign without; "
            "--yes signs with the public Sigstore",
        ) from error
    return False


async def _services(arguments: Namespace, context: Context, formats: Formats, now: float, *, public: bool) -> Services:
    from sealgate.signing import keyless

    certified, log = is_keyless(arguments), arguments.tlog_upload is not False
    tls = _timestamp_tls(arguments)
    if arguments.signing_config is not None:
        from sealgate.truststore import signing_config

        config = signing_config.parse(_read(arguments.signing_config))
        return _with_issuer(
            arguments, keyless.from_config(config, formats, certified=certified, log=log, now=now, tls=tls)
        )
    if _addresses(arguments):
        return _addressed(arguments, formats, tls)
    if arguments.use_signing_config is False:  # and no address: cosign's
        log_url = keyless.PUBLIC_LOG if log else None
        return keyless.from_addresses(
            authority=keyless.PUBLIC_AUTHORITY if certified else None, log=log_url, timestamp_authority=None,
            issuer=arguments.oidc_issuer, formats=formats, tls=tls,
        )  # fmt: skip
    from sealgate.truststore import environment

    config = await environment.signing_config(context.environ, now=now, public=public)
    return _with_issuer(arguments, keyless.from_config(config, formats, certified=certified, log=log, now=now, tls=tls))


def _with_issuer(arguments: Namespace, services: Services) -> Services:
    return services._replace(issuer=arguments.oidc_issuer or services.issuer)


def _addressed(arguments: Namespace, formats: Formats, tls: Tls) -> Services:
    """The services that are given by their addresses, and no other: nothing is told to a log that nobody named."""
    from sealgate.signing import keyless

    if is_keyless(arguments) and not arguments.fulcio_url:
        raise UsageError("no certificate authority to ask", hint="--fulcio-url URL, or --signing-config FILE")
    if (
        arguments.rekor_url is None
        and arguments.tlog_upload is not False
        and (arguments.tlog_upload or is_keyless(arguments))
    ):
        raise UsageError(
            "no log to write to",
            hint="--rekor-url URL; or --tlog-upload=false, and a timestamp says when it was signed",
        )
    return keyless.from_addresses(
        authority=arguments.fulcio_url, log=arguments.rekor_url if arguments.tlog_upload is not False else None,
        timestamp_authority=arguments.timestamp_server_url,
        issuer=arguments.oidc_issuer, formats=formats, tls=tls,
    )  # fmt: skip


def _timestamp_tls(arguments: Namespace) -> Tls:
    from sealgate.transport.message import Tls

    if bool(arguments.timestamp_client_cert) != bool(arguments.timestamp_client_key):
        raise UsageError("--timestamp-client-cert and --timestamp-client-key go together")
    for name in _TIMESTAMP_TLS[:3]:
        path = getattr(arguments, name)
        if path is not None:
            _read(path)  # whether it can be
    return Tls(
        arguments.timestamp_client_cacert, arguments.timestamp_client_cert, arguments.timestamp_client_key,
        arguments.timestamp_server_name,
    )  # fmt: skip


async def _root(arguments: Namespace, context: Context, *, public: bool) -> TrustRoot | None:
    """What is made is judged under this; None: nobody said."""
    if arguments.trusted_root is not None:
        from sealgate.trust import root

        return root.parse(_read(arguments.trusted_root))
    from sealgate.truststore import environment

    elsewhere = arguments.signing_config is not None or _addresses(arguments) or arguments.certificate
    if elsewhere and not context.environ.get("SIGSTORE_ROOT_FILE"):
        return None  # what `initialize` left is about other services
    try:
        return await environment.default(context.environ, public=public)
    except TrustRootMissingError:
        return None


# -- who


async def _token(arguments: Namespace, context: Context, services: Services, now: float) -> IdentityToken:
    from sealgate.signing.tokens import sources

    provider = arguments.oidc_provider
    if provider is not None and provider not in sources.PROVIDERS:
        raise UsageError(f"no provider is called {provider[:60]!r}", hint=f"one of {', '.join(sources.PROVIDERS)}")
    if provider is not None and arguments.oidc_disable_ambient_providers:
        raise UsageError("--oidc-provider and --oidc-disable-ambient-providers contradict each other")
    wanted = sources.Wanted(
        given=arguments.identity_token,
        provider=provider,
        ambient=not arguments.oidc_disable_ambient_providers,
        flow=arguments.fulcio_auth_flow,
        issuer=services.issuer or sources.ISSUER,
        client_id=arguments.oidc_client_id or sources.AUDIENCE,
        client_secret=_secret(arguments.oidc_client_secret_file),
        redirect_url=arguments.oidc_redirect_url,
    )
    return await sources.find(wanted, context.environ, interactive=context.interactive, say=_shown(context), now=now)


def _shown(context: Context) -> Callable[[str], None]:
    """Where to sign in is said even with --quiet."""

    def say(text: str) -> None:
        context.stderr.write(text + "\n")
        context.stderr.flush()

    return say


def _secret(path: str | None) -> str:
    return _read(path).decode("utf-8", "replace").strip() if path is not None else ""


def _consent(arguments: Namespace, context: Context, logs: list[str]) -> None:
    """cosign's question, in short: nothing can be taken back from a log."""
    if arguments.yes:
        return
    names = ", ".join(dict.fromkeys(logs))
    whom = (
        "whom your identity token names (an e-mail address, perhaps), "
        if is_keyless(arguments)
        else "your public key, "
    )
    context.stderr.write(
        f"What is signed is written into a transparency log, {names}: {whom}the digest of what is signed, and the time. "
        "Whoever may read the log sees it, and nothing can be removed from it later. "
        "Do not submit the personal data of anybody else.\n"
    )
    context.confirm("Are you sure you would like to continue?", yes=False)


def _read(path: str) -> bytes:
    from sealgate import limits
    from sealgate.truststore import environment

    return environment.read_file(path, limits.TRUST_ROOT_BYTES)
