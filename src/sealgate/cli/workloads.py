"""What `manifest verify` and `dockerfile verify` share: from found names to verified images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.text import printable
from sealgate.errors import InvalidReferenceError, LimitError, NotFoundError, UsageError, WorkloadInvalidError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context


def read(path: str, context: Context) -> bytes:
    """A file, or stdin for `-`. Raises `UsageError`, `LimitError`."""
    from sealgate import limits

    try:
        if path == "-":
            data = context.stdin.buffer.read(limits.WORKLOAD_BYTES + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(limits.WORKLOAD_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > limits.WORKLOAD_BYTES:
        raise LimitError(f"{path} is larger than {limits.WORKLOAD_BYTES} bytes")
    return data


def verify(found: list[tuple[str, str]], arguments: argparse.Namespace, context: Context, *, what: str) -> int:
    """Verify images given by name and place, all as references to registries: nothing in a file leads to a layout here.

    Raises `NotFoundError` when there is none: nothing to check is a refusal.
    """
    from sealgate.cli.verify import verify_names
    from sealgate.oci.reference import parse

    names = list(dict.fromkeys(name for name, _ in found))
    if not names:
        raise NotFoundError(f"no image in {what}", hint="nothing was verified")
    context.err(f"Extracted image(s): {', '.join(printable(name) for name in names)}")
    references: dict[str, None] = {}
    for name, where in found:
        try:
            references[str(parse(name))] = None
        except InvalidReferenceError as error:
            raise WorkloadInvalidError(f"{where}: {error.message}", hint=error.hint) from error
    return verify_names(list(references), arguments, context)
