"""Ask a Rekor v1 log for the proofs of inclusion that older bundles lack. What it answers is compared, and verified by nobody."""

from __future__ import annotations

from typing import Any

from sealgate import limits
from sealgate.artifacts import conversion
from sealgate.errors import NotFoundError, ProtocolError, UnavailableError, UsageError
from sealgate.transport import flow
from sealgate.transport.message import Request, Url
from sealgate.transport.url import parse_url


async def complete(entries: tuple[dict[str, Any], ...], rekor: str) -> tuple[dict[str, Any], ...]:
    """The entries, each with a proof. Raises `UsageError`, `NotFoundError`, `UnavailableError`, `BundleInvalidError`."""
    try:
        base = parse_url(rekor)
    except ProtocolError as error:
        raise UsageError("--rekor-url is no address of a log", hint="https://rekor.example.com") from error
    if base.target.partition("?")[1]:
        raise UsageError("--rekor-url has a query")
    found = []
    for entry in entries:
        if conversion.has_proof(entry):
            found.append(entry)
            continue
        index = str(entry.get("logIndex"))
        if not (index.isascii() and index.isdigit()):
            raise UsageError("the log entry has no index to ask for")
        found.append(conversion.with_proof(entry, await _ask(base, index)))
    return tuple(found)


async def _ask(base: Url, index: str) -> bytes:
    url = base._replace(target=f"{base.target.rstrip('/')}/api/v1/log/entries?logIndex={index}")
    headers = (("Accept", "application/json"),)
    try:
        response = await flow.send(Request("GET", url, headers=headers, limit=limits.EVIDENCE_BYTES))
    except UnavailableError as error:
        raise UnavailableError(f"the log could not be asked: {error.message}", hint="is --rekor-url right?") from error
    if response.status == 404:
        raise NotFoundError(f"{url} has no entry {index}")
    if response.status != 200:
        raise UnavailableError(f"{url} answered {response.status}")
    return response.body
