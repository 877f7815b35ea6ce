"""`sealgate trusted-root create|show`: whom to believe, as a file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.cli.options import add_flag
from sealgate.errors import UsageError

if TYPE_CHECKING:
    from sealgate.cli.context import Context

HELP = "Make and explain trust roots: the certificate authorities, logs and timestamp authorities that are believed in."

_OLD = (
    # cosign's options of old: the service, its main option, and (option, word of a description) beside it
    ("fulcio", "certificate-chain", "certificate-chain", (("fulcio-uri", "url"),)),
    ("ctfe", "ctfe-key", "public-key",
     (("ctfe-url", "url"), ("ctfe-start-time", "start-time"), ("ctfe-end-time", "end-time"))),
    ("rekor", "rekor-key", "public-key",
     (("rekor-url", "url"), ("rekor-start-time", "start-time"), ("rekor-end-time", "end-time"))),
    ("tsa", "timestamp-certificate-chain", "certificate-chain", (("timestamp-uri", "url"),)),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`create`, `show FILE` and their options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="create|show")
    create = commands.add_parser(
        "create",
        description="Write a trust root of keys and certificates in PEM files. A part that nobody is named for stays empty, and "
        "nothing is asked of a signature for its sake.",
        help="make a trust root",
    )
    create.add_argument(
        "--fulcio", metavar="SPEC", action="append", default=[],
        help="a certificate authority: url=…,certificate-chain=FILE[,start-time=…][,end-time=…]; the root is last in the file",
    )  # fmt: skip
    create.add_argument(
        "--ctfe", metavar="SPEC", action="append", default=[],
        help="a CT log: url=…,public-key=FILE,start-time=…[,end-time=…]",
    )  # fmt: skip
    create.add_argument(
        "--rekor", metavar="SPEC", action="append", default=[],
        help="a transparency log: url=…,public-key=FILE,start-time=…[,end-time=…][,origin=HOST]; Rekor v2 needs origin",
    )  # fmt: skip
    create.add_argument(
        "--tsa", metavar="SPEC", action="append", default=[],
        help="a timestamp authority: url=…,certificate-chain=FILE[,start-time=…][,end-time=…]; who signs is first in the file",
    )  # fmt: skip
    create.add_argument("--out", metavar="FILE", help="write it to FILE, not to stdout")
    add_flag(create, "--with-default-services", help="begin with what `sealgate initialize` left")
    for name, what in (
        ("fulcio", "certificate authorities"), ("ctfe", "CT logs"), ("rekor", "logs"), ("tsa", "timestamp authorities")
    ):  # fmt: skip
        add_flag(create, f"--no-default-{name}", help=f"without its {what}")
    for _, main, _, others in _OLD:
        for option in (main, *(other for other, _ in others)):
            create.add_argument(f"--{option}", metavar="X", action="append", default=[], help=argparse.SUPPRESS)
    show = commands.add_parser(
        "show",
        description="Explain a trust root, or a client's configuration with one: who is believed for what, and until when; and "
        "what a verification asks for with it. Without FILE: what the environment or `sealgate initialize` says.",
        help="explain a trust root",
    )
    show.add_argument("file", metavar="FILE", nargs="?", help="trusted_root.json; - is stdin")
    show.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", metavar="FORMAT", help="text (the default) or json"
    )


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Make or explain a trust root."""
    return _show(arguments, context) if arguments.action == "show" else _create(arguments, context)


def _create(arguments: argparse.Namespace, context: Context) -> int:
    from sealgate.trust.root import TrustRoot, encode
    from sealgate.truststore import composition

    base = TrustRoot((), (), (), ())
    if arguments.with_default_services:
        from sealgate import truststore

        base = context.run(truststore.default(context.environ))
        base = base._replace(
            certificate_authorities=() if arguments.no_default_fulcio else base.certificate_authorities,
            ct_logs=() if arguments.no_default_ctfe else base.ct_logs,
            logs=() if arguments.no_default_rekor else base.logs,
            timestamp_authorities=() if arguments.no_default_tsa else base.timestamp_authorities,
        )
    specs = {service: getattr(arguments, service) or _of_old(arguments, service, context) for service, *_ in _OLD}
    made = composition.trust_root(
        base,
        authorities=specs["fulcio"],
        ct_logs=specs["ctfe"],
        logs=specs["rekor"],
        timestamp_authorities=specs["tsa"],
    )
    for log in composition.without_origin(made):
        context.err(
            f"warning: the log {log.base_url} has an Ed25519 key and no origin: if it is a Rekor v2 log, add origin=HOST, or "
            "its entries are not known by this root"
        )
    write(encode(made), arguments.out, context)
    return 0


def _of_old(arguments: argparse.Namespace, service: str, context: Context) -> list[dict[str, str]]:
    """The descriptions that cosign's options of old amount to."""
    _, main, word, others = next(entry for entry in _OLD if entry[0] == service)
    files = getattr(arguments, main.replace("-", "_"))
    given = {name: getattr(arguments, option.replace("-", "_")) for option, name in others}
    if not files:
        return []
    context.err(f"note: --{main} is cosign's option of old; --{service} names more")
    specs = []
    for at, file in enumerate(files):
        words = {word: file, "url": ""} | {name: values[at] for name, values in given.items() if at < len(values)}
        if service == "rekor" and "," in file:
            words[word], words["origin"] = file.split(",", 1)
        if word == "public-key":
            words.setdefault("start-time", "1970-01-01T00:00:00Z")
        specs.append(words)
    return specs


def _show(arguments: argparse.Namespace, context: Context) -> int:
    import time

    from sealgate.trust import root
    from sealgate.truststore import explanation

    if arguments.file is None:
        from sealgate import truststore

        found = context.run(truststore.default(context.environ))
    else:
        found = root.parse(read(arguments.file, context))
    show(explanation.trust_root(found, now=time.time()), arguments.output, context)
    return 0


def show(told: dict[str, object], output: str, context: Context) -> None:
    """`told` as lines, or as JSON."""
    if output == "json":
        import json

        from sealgate.cli.text import printable_json

        context.out(printable_json(json.dumps(told, indent=2, ensure_ascii=False)))
    else:
        from sealgate.cli.told import lines

        context.out("\n".join(lines(told)))


def read(path: str, context: Context) -> bytes:
    """A document; `-` is stdin."""
    if path == "-":
        return context.stdin.buffer.read(limits.TRUST_ROOT_BYTES + 1)
    from sealgate.truststore.environment import read_file

    return read_file(path, limits.TRUST_ROOT_BYTES)


def write(document: bytes, path: str | None, context: Context) -> None:
    """`document` to `path`, or on a line of its own to stdout, as cosign does."""
    if path is None:
        context.out(document.decode("utf-8"))
        return
    try:
        with open(path, "wb") as file:
            file.write(document)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error
    context.err(f"Wrote {path}")
