"""From an image argument, as people write it, to the store that has it and the store of its signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import UsageError
from sealgate.oci.location import parse_location
from sealgate.oci.reference import Reference, parse_repository

if TYPE_CHECKING:
    from contextlib import ExitStack

    from sealgate.digest import Digest
    from sealgate.oci.registry import Session
    from sealgate.oci.store import Store


class Image(NamedTuple):
    """One image: where it is, and where its signatures are."""

    name: str
    """The canonical reference, or `oci:…`: for people."""
    store: Store
    which: str | Digest
    """Tag or digest to ask `store` for."""
    signatures: Store
    """Where signatures are: the same store, or that of `COSIGN_REPOSITORY`."""
    location: Reference | None = None
    """None for layouts."""
    is_leaf: bool = False
    """An index lists it as something that is no index."""


class Images:
    """Opens images; stores of one `Images` share connections, tokens and open archives."""

    def __init__(self, session: Session, *, closing: ExitStack, signature_repository: str | None = None) -> None:
        """`closing` writes archives back when it ends; `signature_repository` is cosign's COSIGN_REPOSITORY."""
        self._session = session
        self._closing = closing
        self._archives: dict[str, Store] = {}
        self._elsewhere = parse_repository(signature_repository) if signature_repository else None

    async def open(self, text: str, *, writable: bool = False) -> Image:
        """The image that `text` names, `writable` if something will be attached to it.

        A layout that has one image needs no tag. Raises `InvalidReferenceError`.
        """
        location = parse_location(text)
        if isinstance(location, Reference):
            store: Store = self._session.repository(location, writing=writable and self._elsewhere is None)
            signatures = store
            if self._elsewhere is not None:
                signatures = self._session.repository(self._elsewhere, writing=writable)
            return Image(str(location), store, location.which, signatures, location)
        if self._elsewhere is not None:
            raise UsageError("COSIGN_REPOSITORY does not go with a layout", hint="unset COSIGN_REPOSITORY")
        from sealgate.oci.layout import LayoutStore

        if location.kind == "oci":
            layout = LayoutStore(location.path)
        else:
            layout = self._open_archive(location.path, writable=writable)
        which = location.digest or location.tag or (await layout.only_image()).digest
        return Image(str(location), layout, which, layout)

    async def open_target(self, text: str) -> Image:
        """The place that `text` names, to be written to; in a layout without tag and digest, `which` is `""`."""
        location = parse_location(text)
        if isinstance(location, Reference):
            return await self.open(text, writable=True)
        from sealgate.oci.layout import LayoutStore

        if location.kind == "oci":
            layout = LayoutStore(location.path)
        else:
            layout = self._open_archive(location.path, writable=True)
        return Image(str(location), layout, location.digest or location.tag or "", layout)

    def _open_archive(self, path: str, *, writable: bool):  # type: ignore[no-untyped-def]  # noqa: ANN202 - LayoutStore, imported late
        from sealgate.oci.archive import open_archive

        store = self._archives.get(path)
        if store is None:
            store = self._archives[path] = self._closing.enter_context(open_archive(path, writable=writable))
        return store
