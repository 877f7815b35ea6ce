"""Reading single members of an SBOM: the type that each must have, or `SbomInvalidError`. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from sealgate import limits
from sealgate.errors import LimitError, SbomInvalidError


class Fields(NamedTuple):
    """`what` names the document in errors."""

    what: str

    def error(self, message: str, *, hint: str | None = None) -> SbomInvalidError:
        """The error of this document."""
        return SbomInvalidError(f"{self.what}: {message}", hint=hint)

    def mapping(self, value: object, name: str) -> dict[str, Any]:
        """An object; nothing is an empty one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(f"{name} is not an object")
        return value

    def rows(self, value: object, name: str) -> list[dict[str, Any]]:
        """A list of objects; nothing is an empty one."""
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise self.error(f"{name} is not a list of objects")
        return value

    def words(self, value: object, name: str) -> list[str]:
        """A list of strings; nothing is an empty one."""
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.error(f"{name} is not a list of strings")
        return value

    def text(self, value: object, name: str) -> str:
        """A string without the space around it; nothing is the empty one."""
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(f"{name} is not a string")
        return value.strip()

    def required(self, value: object, name: str) -> str:
        """A string that is not empty."""
        found = self.text(value, name)
        if not found:
            raise self.error(f"{name} is missing")
        return found

    def bounded(self, count: int) -> None:
        """Raise `LimitError` past the packages that are read."""
        if count > limits.SBOM_PACKAGES:
            raise LimitError(f"{self.what} has more than {limits.SBOM_PACKAGES} packages")
