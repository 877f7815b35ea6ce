"""Images in layouts under the names they have in registries: judge without a network what policies name by registry.

A directory holds `HOST/REPOSITORY/` for each repository, an OCI layout each; single repositories may be named one by one. What
is not there was not asked for: that is "could not ask", never "not signed".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sealgate.errors import UnavailableError
from sealgate.oci.layout import Layout, LayoutStore
from sealgate.oci.layout_files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sealgate.oci.host import RegistrySettings
    from sealgate.oci.reference import Reference
    from sealgate.oci.store import Store
    from sealgate.policy.judging import Stores


class Layouts:
    """`Stores` over layouts; `otherwise` has the rest, and without it nothing else is asked."""

    def __init__(
        self, *, directory: str | None = None, named: Mapping[str, str] | None = None, otherwise: Stores | None = None
    ) -> None:
        """`directory` has layouts at `HOST/REPOSITORY/`; `named`: a directory by `registry/repository`, canonical."""
        self._directory = directory
        self._named = dict(named or {})
        self._otherwise = otherwise
        self._stores: dict[str, Store] = {}

    def repository(self, reference: Reference) -> Store:
        """The store of a repository. Raises `UnavailableError` for one that is in no layout."""
        store = self._stores.get(reference.name)
        if store is None:
            store = self._stores[reference.name] = self._open(reference)
        return store

    def under(self, change: Callable[[RegistrySettings], RegistrySettings]) -> Layouts:
        """The same layouts; what is in none of them is asked for with other settings, as `Session.under`."""
        otherwise = self._otherwise
        if otherwise is None or not hasattr(otherwise, "under"):
            return self
        return Layouts(directory=self._directory, named=self._named, otherwise=otherwise.under(change))

    def _open(self, reference: Reference) -> Store:
        path = self._named.get(reference.name)
        if path is not None:
            layout = Layout(Files(path))
        elif self._directory is not None:
            parts = (reference.registry, *reference.repository.split("/"))
            layout = Layout(Files(self._directory, parts), nested=True)
            path = os.path.join(self._directory, *parts)
        elif self._otherwise is not None:
            return self._otherwise.repository(reference)
        else:
            path = ""
            layout = None
        if layout is None or not layout.exists():
            place = f"there is no layout at {path}" if path else "no layout has it"
            raise UnavailableError(
                f"{reference.name} cannot be asked for offline: {place}",
                hint="`sealgate save` writes an image with its signatures to a layout",
            )
        return LayoutStore(layout, name=reference.name)
