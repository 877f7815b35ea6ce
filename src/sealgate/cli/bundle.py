"""`sealgate bundle create|upgrade|show`: Sigstore bundles as files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sealgate import limits
from sealgate.cli.options import add_flag
from sealgate.errors import SigningError, UsageError

if TYPE_CHECKING:
    from sealgate.artifacts.conversion import Parts
    from sealgate.cli.context import Context
    from sealgate.keys.algorithms import PublicKey

HELP = "Make, upgrade and explain Sigstore bundles. None of it verifies anything: that is `verify-blob` and its like."

_BUNDLE_ID = "cosign's bundle of old (sign-blob --new-bundle-format=false --bundle)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`create`, `upgrade BUNDLE`, `show BUNDLE` and their options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="create|upgrade|show")
    create = commands.add_parser(
        "create",
        description="Make a bundle v0.3 of a signature and what belongs to it. The signature must fit the key or certificate and "
        "the file; log entries and timestamps are taken over as they are.",
        help="make a bundle of loose parts",
    )
    create.add_argument("--artifact", metavar="FILE", help="what was signed")
    create.add_argument("--bundle", metavar="FILE", help=_BUNDLE_ID)
    create.add_argument("--signature", metavar="FILE", help="the signature, base64")
    create.add_argument("--attestation", metavar="FILE", help="a DSSE envelope, which has its signature inside")
    create.add_argument("--certificate", metavar="FILE", help="the signer's certificate (PEM, or base64 of it)")
    create.add_argument("--key", metavar="KEY", help="the public key: file, env://VAR or https://…")
    create.add_argument("--rfc3161-timestamp", metavar="FILE", help="a timestamp: DER, or cosign's JSON")
    add_flag(create, "--ignore-tlog", help="the signature is in no transparency log")
    add_flag(create, "--sk", help=argparse.SUPPRESS)
    create.add_argument("--slot", metavar="X", help=argparse.SUPPRESS)
    _add_common(create)
    upgrade = commands.add_parser(
        "upgrade",
        description="Write a bundle v0.1 or v0.2, or cosign's bundle of old, as v0.3. Nothing is lost but certificates behind "
        "the leaf, which v0.3 forbids; that is said.",
        help="write an older bundle as v0.3",
    )
    upgrade.add_argument("file", metavar="BUNDLE", help="the bundle; - is stdin")
    upgrade.add_argument(
        "--artifact", metavar="FILE", help="what was signed, where an older bundle does not have its digest"
    )
    upgrade.add_argument("--key", metavar="KEY", help="the public key, where an older bundle does not have it")
    _add_common(upgrade)
    show = commands.add_parser(
        "show",
        description="Explain a bundle of any version, cosign's bundle of old, or a DSSE envelope. Nothing is verified.",
        help="explain a bundle",
    )
    show.add_argument("file", metavar="BUNDLE", help="the bundle; - is stdin")
    show.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", metavar="FORMAT",
        help="text (the default) or json, which has the predicate too",
    )  # fmt: skip


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FILE", help="write the bundle to FILE, not to stdout")
    parser.add_argument(
        "--rekor-url", metavar="URL",
        help="ask this log for the proof of inclusion of an entry that has none; nobody is asked without it",
    )  # fmt: skip


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Make, upgrade or explain a bundle."""
    if arguments.action == "show":
        return _show(arguments, context)
    made = _create(arguments, context) if arguments.action == "create" else _upgrade(arguments, context)
    if arguments.out is None:
        context.out(made.decode("utf-8"))
        return 0
    try:
        with open(arguments.out, "wb") as file:
            file.write(made)
    except OSError as error:
        raise UsageError(f"{arguments.out} cannot be written: {error.strerror}") from error
    context.err(f"Wrote {arguments.out}")
    return 0


# -- create


def _create(arguments: argparse.Namespace, context: Context) -> bytes:
    from sealgate.artifacts import conversion

    if arguments.sk or arguments.slot:
        raise UsageError("--sk and --slot: this version reads no hardware tokens", hint="--key FILE, the public key")
    if (arguments.bundle, arguments.signature, arguments.attestation) == (None, None, None):
        raise UsageError("there is no signature", hint="--bundle FILE, --signature FILE or --attestation FILE")
    if arguments.bundle is not None and (arguments.signature is not None or arguments.attestation is not None):
        raise UsageError("--bundle has the signature already", hint="leave out --signature and --attestation")
    if arguments.key is not None and arguments.certificate is not None:
        raise UsageError("a key and a certificate: one of them signed")
    parts = _parts(arguments, context, _key(arguments, context))
    if arguments.certificate is not None:
        parts = parts._replace(certificate=_certificate(arguments.certificate, context), key=None)
    if arguments.rfc3161_timestamp is not None:
        raw = _read(arguments.rfc3161_timestamp, context, limit=limits.SMALL_BODY_BYTES)
        parts = parts._replace(timestamps=(conversion.timestamp_of(raw),))
    if arguments.ignore_tlog and parts.entries:
        raise UsageError("--ignore-tlog, and the bundle has an entry of a log")
    if not arguments.ignore_tlog and not parts.entries:
        raise UsageError("no entry of a transparency log came along", hint="--ignore-tlog, if the signature is in none")
    if arguments.artifact is None and parts.envelope is None:
        raise UsageError("what was signed belongs to it", hint="--artifact FILE")
    parts = conversion.fitting(parts, arguments.artifact)
    return conversion.assemble(parts._replace(entries=_proved(parts.entries, arguments, context)))


def _parts(arguments: argparse.Namespace, context: Context, key: PublicKey | None) -> Parts:
    """Raises `EnvelopeInvalidError`, `BundleInvalidError`, `SigningError` (the signature is not that of the envelope)."""
    from sealgate.artifacts import conversion
    from sealgate.evidence import dsse
    from sealgate.evidence.legacy import decode_signature, parse_blob_bundle

    if arguments.bundle is not None:
        return conversion.of_blob_bundle(parse_blob_bundle(_read(arguments.bundle, context)), key=key)
    signature = None
    if arguments.signature is not None:
        text = _read(arguments.signature, context).decode("utf-8", "replace")
        signature = decode_signature(text)
    if arguments.attestation is None:
        return conversion.Parts(signature, None, None, key)
    raw = _read(arguments.attestation, context)
    envelope = dsse.parse(raw)
    # cosign wants a signature beside an envelope, and looks at none of it: neither has to be another one.
    if signature is not None and signature not in {raw, raw.rstrip(), *(entry.sig for entry in envelope.signatures)}:
        raise SigningError("--signature is not the signature in --attestation", hint="leave out --signature")
    return conversion.Parts(None, envelope, None, key)


# -- upgrade


def _upgrade(arguments: argparse.Namespace, context: Context) -> bytes:
    from sealgate import strictjson
    from sealgate.artifacts import conversion
    from sealgate.evidence import bundle as bundles
    from sealgate.evidence.legacy import parse_blob_bundle

    raw = _read(arguments.file, context)
    if "base64Signature" in strictjson.parse_object(raw, limit=limits.EVIDENCE_BYTES, what="the bundle"):
        parts = conversion.of_blob_bundle(parse_blob_bundle(raw), key=_key(arguments, context))
        parts = conversion.fitting(parts, arguments.artifact)
        return conversion.assemble(parts._replace(entries=_proved(parts.entries, arguments, context)))
    found = bundles.parse(raw)
    if found.version == "0.3":
        context.err("The bundle is of version 0.3 already")
        return raw
    made, left_out = conversion.upgrade(raw, found, _proved(found.log_entries, arguments, context))
    for what in left_out:
        context.err(f"warning: left out: {what}")
    context.err(f"Upgraded from v{found.version} to v0.3")
    return made


def _proved(
    entries: tuple[dict[str, Any], ...], arguments: argparse.Namespace, context: Context
) -> tuple[dict[str, Any], ...]:
    from sealgate.artifacts import conversion

    if arguments.rekor_url is None or all(conversion.has_proof(entry) for entry in entries):
        return entries
    from sealgate.artifacts import log_proofs

    return context.run(log_proofs.complete(entries, arguments.rekor_url))


# -- show


def _show(arguments: argparse.Namespace, context: Context) -> int:
    from sealgate.artifacts.explanation import explain

    told = explain(_read(arguments.file, context))
    if arguments.output == "json":
        import json

        from sealgate.cli.text import printable_json

        context.out(printable_json(json.dumps(told, indent=2, ensure_ascii=False)))
    else:
        content = told.get("content", {}).get("statement")
        if isinstance(content, dict) and "predicate" in content:
            content["predicate"] = _size(content["predicate"])
        from sealgate.cli.told import lines

        context.out("\n".join(lines(told)))
    context.err("note: nothing of this has been verified")
    return 0


def _size(predicate: Any) -> str:
    import json

    what = f"{len(json.dumps(predicate))} characters of JSON"
    names = list(predicate) if isinstance(predicate, dict) else []
    return f"{what}: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}" if names else what


# -- files


def _read(path: str, context: Context, *, limit: int = limits.EVIDENCE_BYTES) -> bytes:
    from sealgate.cli.predicate import read

    return read(path, context, limit=limit)


def _key(arguments: argparse.Namespace, context: Context) -> PublicKey | None:
    if arguments.key is None:
        return None
    from sealgate.keys.resolve import load_public_key

    return context.run(load_public_key(arguments.key, environ=context.environ))


def _certificate(path: str, context: Context) -> bytes:
    """PEM, or base64 of PEM as cosign's `--output-certificate` writes it."""
    from sealgate.artifacts import conversion
    from sealgate.errors import BundleInvalidError
    from sealgate.evidence import base64

    raw = _read(path, context, limit=limits.SMALL_BODY_BYTES)
    if b"-----BEGIN" not in raw:
        raw = base64.decode(raw.decode("utf-8", "replace").strip(), what="the certificate", error=BundleInvalidError)
    return conversion.certificate_of(raw, what="the certificate")
