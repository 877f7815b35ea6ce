"""Options that say what is attested or which attestations are meant, and the values they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sealgate.errors import LimitError, NotFoundError, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sealgate.cli.context import Context
    from sealgate.evidence.attestation import Claim
    from sealgate.evidence.statement import Subject
    from sealgate.verification.conditions import Demands

TYPES = (
    "custom, slsaprovenance, slsaprovenance02, slsaprovenance1, link, spdx, spdxjson, cyclonedx, vuln, openvex or a URI"
)


def add_predicate_arguments(parser: ArgumentParser) -> None:
    """What is said: `--predicate` with `--type`, or `--statement`."""
    parser.add_argument("--predicate", metavar="FILE", help="the predicate, signed as it is; - is stdin")
    parser.add_argument("--type", metavar="TYPE", help=f"predicate type: {TYPES} (custom, which wraps any text)")
    parser.add_argument(
        "--statement", metavar="FILE", help="a whole in-toto Statement instead, signed byte for byte; - is stdin"
    )


def check_predicate_arguments(arguments: Namespace, context: Context) -> None:
    """What cannot be meant, before a password is asked for. Raises `UsageError`."""
    from sealgate.evidence import attestation, predicates

    if (arguments.predicate is None) == (arguments.statement is None):
        raise UsageError("either --predicate or --statement says what is attested", hint="--predicate FILE --type TYPE")
    if arguments.type is not None:
        attestation.require_attestable(predicates.type_of(arguments.type))
    read_from_stdin = "-" in {arguments.predicate, arguments.statement}
    if read_from_stdin and "COSIGN_PASSWORD" not in context.environ and not context.interactive:
        raise UsageError("stdin cannot be both the predicate and the password of the key", hint="set COSIGN_PASSWORD")


def claim_of(arguments: Namespace, context: Context, *, limit: int) -> Claim:
    """`--predicate` and `--type`. The time that a custom predicate carries is `SOURCE_DATE_EPOCH` where that is set."""
    import time

    from sealgate.cli.sign import rfc3339
    from sealgate.evidence import attestation

    content = read(arguments.predicate, context, limit=limit)
    return attestation.claim_of(
        arguments.type or "custom",
        content,
        moment=rfc3339(context.environ.get("SOURCE_DATE_EPOCH"), time.time()),
        what=_named(arguments.predicate, "the predicate"),
        limit=limit,
    )


def statement_of(arguments: Namespace, context: Context, *, limit: int) -> bytes:
    """`--statement`, as it is. Raises `UsageError` when `--type` says something else than the Statement."""
    from sealgate.evidence import attestation, predicates

    content = read(arguments.statement, context, limit=limit)
    found = attestation.given(content, what=_named(arguments.statement, "the Statement"), limit=limit)
    if arguments.type is not None and predicates.type_of(arguments.type) != found.predicate_type:
        raise UsageError(
            f"--type is {predicates.type_of(arguments.type)}, the Statement is of type {found.predicate_type}",
            hint="leave out --type: the Statement says it",
        )
    return content


def subjects_of(values: list[str]) -> tuple[Subject, ...]:
    """`--subject NAME@sha256:…` or `sha256:…`: further subjects of the Statement."""
    from sealgate.digest import Digest
    from sealgate.errors import ContentError
    from sealgate.evidence.statement import Subject

    found = []
    for value in values:
        name, at, text = value.rpartition("@")
        try:
            digest = Digest.parse(text)
        except ContentError as error:
            raise UsageError(
                f"--subject {value[:200]!a}: {error.message}", hint="NAME@sha256:…, or sha256:…"
            ) from error
        if at and not name:
            raise UsageError("--subject: the name before @ is missing", hint="NAME@sha256:…, or sha256:…")
        found.append(Subject(name or None, ((digest.algorithm, digest.hex),), {}))
    return tuple(found)


def read(path: str, context: Context, *, limit: int) -> bytes:
    """A file, or stdin for `-`, of at most `limit` bytes. Raises `NotFoundError`, `UsageError`, `LimitError`."""
    if path == "-":
        data = context.stdin.buffer.read(limit + 1)
    else:
        try:
            with open(path, "rb") as file:
                data = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"there is no file {path}") from None
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or "the name is not a path"
            raise UsageError(f"{path} cannot be read: {reason}") from error
    if len(data) > limit:
        raise LimitError(
            f"{'stdin' if path == '-' else path} is larger than {limit} bytes, the most that verifiers read",
            hint="COSIGN_MAX_ATTACHMENT_SIZE raises it, here and wherever it is verified",
        )
    return data


def _named(path: str, what: str) -> str:
    return f"{what} {path}" if path != "-" else f"{what} on stdin"


# -- which attestations are meant


def add_type_argument(parser: ArgumentParser) -> None:
    """`--type` of the commands that verify."""
    parser.add_argument("--type", default="custom", metavar="TYPE", help=f"predicate type: {TYPES} (custom)")


def add_policy_argument(parser: ArgumentParser) -> None:
    """`--policy` of the commands that verify."""
    parser.add_argument(
        "--policy", action="append", default=[], metavar="FILE",
        help="a condition on the Statement: .rego, .cel, .json (JSON Schema) or .cue; every one must be met (repeatable)",
    )  # fmt: skip


@contextmanager
def policies(paths: list[str], context: Context) -> Iterator[tuple[Demands, ...]]:
    """`--policy` as conditions; the process in which they are evaluated ends with the block. Raises `UsageError`."""
    if not paths:
        yield ()
        return
    import time

    from sealgate.conditions import evaluation, policy
    from sealgate.verification.conditions import Demands

    with evaluation.Conditions(
        policy.read_all(paths), now=time.time, monotonic=time.monotonic, path=context.environ.get("PATH", "")
    ) as conditions:
        yield (Demands(conditions),)
