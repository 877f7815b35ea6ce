"""The options of the verify commands about certificates, logs and timestamps, and what they ask for.

cosign's names and meanings. A flag that adds a check is honoured or the command ends in 2; a flag that takes a check away
takes only that one, and the verdict says so.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.errors import EnvelopeInvalidError, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sealgate.cli.context import Context
    from sealgate.trust.proof import Demand
    from sealgate.trust.root import Authority, TrustRoot
    from sealgate.verification.requirement import IdentifiedAs
    from sealgate.verification.signer import Came, Trust

_WORKFLOW = {
    "trigger": ("githubWorkflowTrigger", "the event that started it: push, workflow_dispatch, …"),
    "sha": ("githubWorkflowSha", "the commit"),
    "name": ("githubWorkflowName", "the workflow's name"),
    "repository": ("githubWorkflowRepository", "owner/name"),
    "ref": ("githubWorkflowRef", "the ref: refs/heads/main, refs/tags/v1.0"),
}
_IDENTITY = ("certificate_identity", "certificate_identity_regexp")
_ISSUER = ("certificate_oidc_issuer", "certificate_oidc_issuer_regexp")


def add_trust_arguments(parser: ArgumentParser, *, detached: bool = False) -> None:
    """Every option of this page; with `detached` also those of evidence that comes as files of its own."""
    who = parser.add_argument_group("who signed, where a certificate says it (keyless)")
    who.add_argument(
        "--certificate-identity", metavar="NAME", help="the e-mail address or URI in the certificate, exactly"
    )
    who.add_argument(
        "--certificate-identity-regexp", metavar="RE2", help="as cosign's: it matches anywhere unless anchored (^…$)"
    )
    who.add_argument("--certificate-oidc-issuer", metavar="URL", help="who vouched for that name, exactly")
    who.add_argument("--certificate-oidc-issuer-regexp", metavar="RE2", help="as above, a regular expression")
    for name, (_, meaning) in _WORKFLOW.items():
        who.add_argument(f"--certificate-github-workflow-{name}", metavar="X", help=f"{meaning}, exactly")
    trust = parser.add_argument_group("what is believed in")
    trust.add_argument(
        "--trusted-root", metavar="FILE",
        help="certificate authorities, logs and timestamp authorities (`sealgate trusted-root show FILE` explains it)",
    )  # fmt: skip
    trust.add_argument(
        "--certificate", metavar="FILE", help="the signer's certificate, of signatures that carry none (PEM)"
    )
    trust.add_argument(
        "--certificate-chain", metavar="FILE", help="your own authority: intermediates, then the root (PEM)"
    )
    trust.add_argument("--ca-roots", metavar="FILE", help="your own authorities' roots (PEM)")
    trust.add_argument("--ca-intermediates", metavar="FILE", help="intermediates below --ca-roots (PEM)")
    trust.add_argument(
        "--timestamp-certificate-chain", metavar="FILE", help="a timestamp authority: its certificates (PEM)"
    )
    trust.add_argument("--sct", metavar="FILE", help="the certificate's SCT, where it is not inside")
    add_flag(trust, "--use-signed-timestamps", help="ask for a timestamp by an authority, with or without a log entry")
    add_flag(trust, "--require-tlog", help="ask for a log entry with a key too")
    add_flag(trust, "--insecure-ignore-tlog", help="ask for no log entry; with a key none is asked for anyway")
    add_flag(trust, "--private-infrastructure", help="as --insecure-ignore-tlog")
    add_flag(trust, "--insecure-ignore-sct", help="ask for no SCT")
    add_flag(trust, "--offline", help="accepted: no log is ever asked")
    if detached:
        trust.add_argument(
            "--rfc3161-timestamp", "--rfc3161-timestamp-bundle", metavar="FILE",
            help="the timestamp of --signature: cosign's JSON, DER or base64",
        )  # fmt: skip
    for name in ("--rekor-url", "--slot"):
        parser.add_argument(name, metavar="X", help=argparse.SUPPRESS)
    add_flag(parser, "--sk", help=argparse.SUPPRESS)


def refuse_unsupported(arguments: Namespace) -> None:
    """Raise `UsageError` for a flag that asks for what is not here."""
    if arguments.rekor_url is not None:
        raise UsageError(
            "--rekor-url asks a log while verifying, which is never done: entries come with the signature",
            hint="leave the flag out; --require-tlog asks for an entry",
        )
    if arguments.sk or arguments.slot is not None:
        raise UsageError(
            "hardware tokens are not supported by this version", hint="give the token's public key by --key"
        )


def identities_of(arguments: Namespace, context: Context) -> list[IdentifiedAs]:
    """The identity that is asked for: none or one. Raises `UsageError` for half of one."""
    identity = [getattr(arguments, name) for name in _IDENTITY]
    issuer = [getattr(arguments, name) for name in _ISSUER]
    workflow = {
        extension: value
        for name, (extension, _) in _WORKFLOW.items()
        if (value := getattr(arguments, f"certificate_github_workflow_{name}"))
    }
    if not any(identity):
        if any(issuer) or workflow:
            raise UsageError(
                "an issuer is given, and not whom it vouched for",
                hint="--certificate-identity NAME, or --certificate-identity-regexp",
            )
        return []
    for names, values in ((_IDENTITY, identity), (_ISSUER, issuer)):
        if all(values):
            raise UsageError(
                f"--{names[0].replace('_', '-')} is given exactly and as a regular expression: one of them",
                hint="the exact one cannot match too much",
            )
    if not any(issuer) and not _own_authority(arguments):
        raise UsageError(
            "an identity is given, and not who vouches for it",
            hint="--certificate-oidc-issuer URL: anybody may run an issuer that calls anybody so",
        )
    from sealgate.trust.identity import IdentityPattern
    from sealgate.verification.requirement import IdentifiedAs

    pattern = IdentityPattern.parse(
        subject=identity[0],
        subject_regexp=identity[1],
        issuer=issuer[0],
        issuer_regexp=issuer[1],
        extensions=tuple(workflow.items()),
        anchored=False,
        missing=True,
    )
    for name, loose in pattern.unanchored().items():
        context.err(
            f"warning: the regular expression {loose!r} for the {name} is not anchored: it also matches names that merely "
            "contain it; write ^…$"
        )
    return [IdentifiedAs(pattern, pattern.describe())]


def _own_authority(arguments: Namespace) -> bool:
    return bool(arguments.certificate_chain or arguments.ca_roots)


async def trust_of(arguments: Namespace, context: Context, identities: list[IdentifiedAs]) -> Trust | None:
    """What is asked for beside the signature; None: nothing, keys alone."""
    import time

    added = (
        arguments.trusted_root or arguments.require_tlog or arguments.use_signed_timestamps
        or arguments.timestamp_certificate_chain
    )  # fmt: skip
    if not identities and not added:
        if arguments.certificate or _own_authority(arguments) or arguments.sct or arguments.ca_intermediates:
            raise UsageError(
                "a certificate is given, and not whom it must name",
                hint="--certificate-identity and --certificate-oidc-issuer",
            )
        return None
    root = await _root(arguments, context, keyless=bool(identities))
    from sealgate.verification.signer import Trust

    demand = _demand(arguments, root, time.time())
    certificate = None
    if arguments.certificate:
        from sealgate.verification.signer import der_of

        certificate = der_of(_read(arguments.certificate))
    return Trust(demand, tuple(identities), certificate, _scts(arguments))


def _demand(arguments: Namespace, root: TrustRoot, now: float) -> Demand:
    from sealgate.trust import proof

    if arguments.require_tlog and not root.logs:
        raise UsageError(
            "--require-tlog asks for a log entry, and the trust root has no log", hint="--trusted-root FILE"
        )
    if arguments.use_signed_timestamps and not root.timestamp_authorities:
        raise UsageError(
            "--use-signed-timestamps asks for a timestamp, and the trust root has no timestamp authority",
            hint="--trusted-root FILE, or --timestamp-certificate-chain FILE",
        )
    ignore_log = _ignores_log(arguments)
    if ignore_log and arguments.require_tlog:
        raise UsageError("--require-tlog and --insecure-ignore-tlog contradict each other")
    return proof.demand(
        root,
        now=now,
        insecure_ignore_log=ignore_log,
        insecure_ignore_sct=arguments.insecure_ignore_sct,
        use_signed_timestamps=bool(arguments.use_signed_timestamps or arguments.timestamp_certificate_chain),
    )


def _ignores_log(arguments: Namespace) -> bool:
    return bool(arguments.insecure_ignore_tlog or arguments.private_infrastructure)


async def _root(arguments: Namespace, context: Context, *, keyless: bool) -> TrustRoot:
    """What is believed in: the file, else what the environment or `sealgate initialize` left; own authorities replace those."""
    own = _own_authorities(arguments)
    if arguments.trusted_root:
        from sealgate import limits
        from sealgate.trust import root as roots

        root = roots.parse(_read(arguments.trusted_root, limits.TRUST_ROOT_BYTES))
    elif own:
        from sealgate import truststore

        root = await truststore.beside_own(
            context.environ, logs=not _ignores_log(arguments), ct_logs=not arguments.insecure_ignore_sct
        )
    else:
        from sealgate import truststore

        unasked = _unasked(arguments, keyless=keyless)
        root = await truststore.default(context.environ, without=unasked, public=keyless)
    if own:
        root = root._replace(certificate_authorities=own)
    if arguments.timestamp_certificate_chain:
        from sealgate.trust import certificates

        chain = _read(arguments.timestamp_certificate_chain)
        root = root._replace(
            timestamp_authorities=certificates.authorities_from_pem(
                chain, anchors="last", what="--timestamp-certificate-chain"
            )
        )
    return root


async def root_of(path: str | None, context: Context, *, optional: bool) -> TrustRoot | None:
    """The trust root in a file, else what the environment or `sealgate initialize` left; None, with `optional`: there is none."""
    from sealgate import truststore
    from sealgate.errors import TrustRootMissingError
    from sealgate.trust import root as roots

    if path:
        from sealgate import limits

        return roots.parse(_read(path, limits.TRUST_ROOT_BYTES))
    try:
        return await truststore.default(context.environ)
    except TrustRootMissingError:
        if optional:
            return None
        raise


def _unasked(arguments: Namespace, *, keyless: bool) -> frozenset[str]:
    """Parts of the trust root that are not looked at, whoever is in them."""
    parts = set() if keyless else {"certificate_authorities", "ct_logs"}
    if arguments.insecure_ignore_sct:
        parts.add("ct_logs")
    if _ignores_log(arguments):
        parts.add("logs")
    return frozenset(parts)


def _own_authorities(arguments: Namespace) -> tuple[Authority, ...]:
    if arguments.certificate_chain and (arguments.ca_roots or arguments.ca_intermediates):
        raise UsageError("--certificate-chain and --ca-roots are two ways to name your authority: one of them")
    if arguments.ca_intermediates and not arguments.ca_roots:
        raise UsageError("--ca-intermediates goes with --ca-roots")
    if not _own_authority(arguments):
        return ()
    from sealgate.trust import certificates

    if arguments.certificate_chain:
        chain = _read(arguments.certificate_chain)
        return certificates.authorities_from_pem(chain, anchors="last", what="--certificate-chain")
    intermediates = _read(arguments.ca_intermediates) if arguments.ca_intermediates else b""
    roots = _read(arguments.ca_roots)
    return certificates.authorities_from_pem(roots, intermediates, anchors="all", what="--ca-roots")


def came_of(arguments: Namespace) -> Came | None:
    """`--rfc3161-timestamp`: what came along with a signature in a file of its own."""
    if arguments.rfc3161_timestamp is None:
        return None
    if not arguments.signature:
        raise UsageError("--rfc3161-timestamp goes with --signature", hint="a bundle carries its timestamps itself")
    from sealgate.evidence import base64, legacy
    from sealgate.verification.signer import Came

    data = _read(arguments.rfc3161_timestamp)
    if data[:1] == b"{":
        stamp = legacy.timestamp_of(data.decode("utf-8", "replace"))
    elif data[:1] == b"\x30":
        stamp = data
    else:
        text = data.decode("ascii", "replace").strip()
        stamp = base64.decode(text, what="--rfc3161-timestamp", error=EnvelopeInvalidError)
    return Came(None, timestamps=(stamp,))


def _scts(arguments: Namespace) -> tuple[bytes, ...]:
    return (_read(arguments.sct),) if arguments.sct else ()


def _read(path: str, limit: int | None = None) -> bytes:
    from sealgate import limits
    from sealgate.errors import KeyMaterialError

    most = limits.CONFIG_FILE_BYTES if limit is None else limit
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise KeyMaterialError(f"{path[:200]} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > most:
        raise KeyMaterialError(f"{path} is larger than {most} bytes, which no trust material is")
    return data
