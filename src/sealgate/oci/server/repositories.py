"""Which repository is which directory."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import DigestInvalidError
from sealgate.oci.layout import Layout
from sealgate.oci.layout_files import Files
from sealgate.oci.server.answers import RefusalError

_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_NAME_CHARS = 255
_TAKEN = frozenset({"blobs", "index.json", "oci-layout"})
"""Files of a layout: no part of a repository's name, since `a/blobs` would stand inside the layout `a`."""
_KEPT_LAYOUTS = 128


def valid_name(name: str) -> bool:
    """Whether the distribution specification's grammar has `name`, and no part of it is a file of a layout."""
    return len(name) <= _NAME_CHARS and _NAME.fullmatch(name) is not None and _TAKEN.isdisjoint(name.split("/"))


def check_tag(tag: str, refusal: RefusalError) -> str:
    """`tag`, or `refusal` raised."""
    if _TAG.fullmatch(tag) is None:
        raise refusal
    return tag


def parse_digest(text: str) -> Digest:
    """A digest of a request. Raises `RefusalError`."""
    try:
        return Digest.parse(text)
    except DigestInvalidError:
        raise RefusalError(400, "DIGEST_INVALID", "not a digest of sha256 or sha512", detail=text[:200]) from None


def is_tag(text: str) -> bool:
    """Whether a client could ask for this name."""
    return _TAG.fullmatch(text) is not None


class Repository(NamedTuple):
    """A repository that a request names. Its layout may not exist yet."""

    name: str
    layout: Layout


class Repositories:
    """The layouts under a directory; with `single`, the directory is the layout of that one repository."""

    def __init__(self, directory: str, *, single: str | None = None) -> None:
        self._directory = directory
        self._single = single
        self._layouts: dict[str, Layout] = {}

    def get(self, name: str) -> Repository:
        """The repository of a name. Raises `RefusalError` for what is no name."""
        if not valid_name(name):
            raise RefusalError(
                400, "NAME_INVALID", "not a repository name that this registry can hold", detail=name[:300]
            )
        if self._single is not None and name != self._single:
            raise RefusalError(404, "NAME_UNKNOWN", f"this registry serves one layout, as {self._single}")
        layout = self._layouts.pop(name, None)
        if layout is None:
            parts = () if self._single is not None else tuple(name.split("/"))
            layout = Layout(Files(self._directory, parts), nested=self._single is None)
        self._layouts[name] = layout
        while len(self._layouts) > _KEPT_LAYOUTS:
            self._layouts.pop(next(iter(self._layouts)), None)
        return Repository(name, layout)

    def known(self, name: str) -> Repository:
        """As `get`, and it must exist."""
        found = self.get(name)
        if not found.layout.exists():
            raise RefusalError(404, "NAME_UNKNOWN", "there is no such repository", detail=name)
        return found

    def names(self) -> list[str]:
        """Every repository, sorted. Links are not followed."""
        if self._single is not None:
            return [self._single]
        found: list[str] = []
        waiting = [""]
        visited = 0
        while waiting:
            prefix = waiting.pop()
            try:
                with os.scandir(os.path.join(self._directory, prefix)) as items:
                    entries = [
                        item for item in items if item.name == "oci-layout" or item.is_dir(follow_symlinks=False)
                    ]
            except OSError:
                continue
            for item in entries:
                name = f"{prefix}/{item.name}".lstrip("/")
                if item.name == "oci-layout":
                    if prefix and item.is_file(follow_symlinks=False):
                        found.append(prefix)
                elif valid_name(name):
                    visited += 1
                    if visited > limits.LAYOUT_ENTRIES:
                        return sorted(found)
                    waiting.append(name)
        return sorted(found)
