"""Where an image argument points: a registry, or an OCI layout on this machine.

    registry/repository[:tag][@digest]      a registry
    oci:DIR[:tag][@digest]                  a layout directory
    oci-archive:FILE[:tag][@digest]         a layout in a tar file

The prefix alone decides, never what happens to exist in the working directory (bypass X06). In a path the last `:` begins
a tag when what follows is a tag, without `/`, and an `@` begins a digest when `sha256:` or `sha512:` follows. A directory
whose own name reads so is given with a slash at its end: `oci:build:v1/`.
"""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

from sealgate.digest import Digest
from sealgate.errors import DigestInvalidError, InvalidReferenceError
from sealgate.oci.reference import Reference, parse, parse_tag

_PATH_CHARS = 4096


class LayoutLocation(NamedTuple):
    """An image in a layout. Without tag and digest it is the only one there."""

    kind: Literal["oci", "oci-archive"]
    path: str
    tag: str | None = None
    digest: Digest | None = None
    """Decides alone when there is a tag too."""

    def __str__(self) -> str:
        """As it is written on the command line."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.kind}:{self.path}{tag}{digest}"


def parse_location(text: str) -> Reference | LayoutLocation:
    """Read an image argument. Raises `InvalidReferenceError`, with a hint when `text` is the path of something."""
    if text.startswith(("oci://", "oci-archive://")):
        raise InvalidReferenceError(
            f"not an image reference: {ascii(text[:200])}",
            hint="an image in a registry is written without oci://, a layout directory as oci:DIR",
        )
    if text.startswith("oci:"):
        return _parse_layout("oci", text.removeprefix("oci:"))
    if text.startswith("oci-archive:"):
        return _parse_layout("oci-archive", text.removeprefix("oci-archive:"))
    try:
        return parse(text)
    except InvalidReferenceError as error:
        written = _as_layout(text)
        if written is None:
            raise
        raise InvalidReferenceError(error.message, hint=f"something of that name is here; {written}") from error


def _as_layout(text: str) -> str | None:
    """How to write the path of something that exists; None when nothing does."""
    if not text.isprintable() or len(text) > _PATH_CHARS:
        return None
    kind: Literal["oci", "oci-archive"]
    if os.path.isdir(text):
        kind, written = "oci", f"{text.rstrip('/')}/"
    elif os.path.isfile(text):
        kind, written = "oci-archive", text
    else:
        return None
    try:
        for path in (text, written):
            if _parse_layout(kind, path) == LayoutLocation(kind, path):
                return f"if it is meant, write {kind}:{path}"
    except InvalidReferenceError:
        pass
    return "its own name reads as a tag or digest: give it another one"


def _parse_layout(kind: Literal["oci", "oci-archive"], rest: str) -> LayoutLocation:
    if not rest.isprintable() or len(rest) > _PATH_CHARS:
        raise InvalidReferenceError(f"the path after {kind}: is too long, or has characters that cannot be shown")
    path, at, after = rest.rpartition("@")
    digest = None
    if not at or not after.startswith(("sha256:", "sha512:")):
        path = rest
    else:
        try:
            digest = Digest.parse(after)
        except DigestInvalidError as error:
            raise InvalidReferenceError(f"{kind}:{path}: {error.message}", hint=error.hint) from error
        if digest.algorithm != "sha256":
            raise InvalidReferenceError(f"{kind}:{path}: images are not addressed by {digest.algorithm} here")
    tag = None
    before, colon, last = path.rpartition(":")
    if colon:
        try:
            path, tag = before, parse_tag(last)
        except InvalidReferenceError:
            path = f"{before}:{last}"
    if not path:
        what = "directory" if kind == "oci" else "file"
        raise InvalidReferenceError(f"{kind}: without a {what}", hint=f"{kind}:{what.upper()}[:tag][@digest]")
    return LayoutLocation(kind, path, tag, digest)
