"""Whether a signature names the image that is asked for, beside its digest. Pure.

The digest says which bytes were signed; the name says as what. Legacy payloads carry one (`docker-reference`), and
containers/image checks it: an image that was signed as `app-test` must not run as `app`. Bundles carry no name, so that a
signature in a bundle never meets a demand for one: what nobody said cannot be checked.

Source: containers-policy.json(5), "signedIdentity".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from sealgate.errors import InvalidReferenceError
from sealgate.oci.reference import parse, parse_repository
from sealgate.verification.findings import Finding

if TYPE_CHECKING:
    from sealgate.oci.reference import Reference

Kind = Literal[
    "matchRepoDigestOrExact", "matchExact", "matchRepository", "exactReference", "exactRepository", "remapIdentity"
]


class Naming(NamedTuple):
    """What a signature must be called."""

    kind: Kind
    reference: str = ""
    """Canonical; of `exactReference` and `exactRepository`."""
    prefix: str = ""
    signed_prefix: str = ""
    """Both canonical; of `remapIdentity`: what begins with one was signed as if it began with the other."""
    image: Reference | None = None
    """What is asked about; None: nobody has said yet, and nothing is met."""

    def of(self, image: Reference) -> Naming:
        """The same, about an image as it was written."""
        return self._replace(image=image)

    def finding(self, said: str | None) -> Finding:
        """What the name in a signature (None: it has none) comes to."""
        if not said:
            return Finding("signed-name-missing", "failed", "does not say what image it was made for by name")
        try:
            name, exact = _read(said)
        except InvalidReferenceError as error:
            return Finding("signed-name-mismatch", "failed", f"the name in it cannot be read: {error.message}")
        if self._fits(name, exact):
            return Finding("signed-name-verified", "passed", f"was made for {said}")
        return Finding("signed-name-mismatch", "failed", f"was made for {said[:300]}, not for {self._wanted()}")

    def _fits(self, name: str, exact: str | None) -> bool:
        """`name`: the repository that the signature names; `exact`: with tag or digest, None where it has neither."""
        if self.kind == "exactReference":
            return exact == self.reference
        if self.kind == "exactRepository":
            return name == self.reference
        if self.image is None:
            return False
        repository, whole = self.image.name, str(self.image)
        if self.kind == "matchRepository":
            return name == repository
        if self.kind == "matchExact":
            return exact == whole
        if self.kind == "remapIdentity":
            renamed = self._remapped(repository)
            repository, whole = renamed, renamed + whole.removeprefix(repository)
        if self.image.tag is None:
            return name == repository
        return exact == whole

    def _remapped(self, name: str) -> str:
        rest = name.removeprefix(self.prefix)
        if not name.startswith(self.prefix) or (rest and rest[0] != "/"):  # another port is another registry
            return name
        return self.signed_prefix + rest

    def _wanted(self) -> str:
        if self.kind in {"exactReference", "exactRepository"}:
            return self.reference
        if self.image is None:
            return "the image"
        name, image = self.image.name, str(self.image)
        if self.kind == "matchRepository":
            return name
        return self._remapped(name) + image.removeprefix(name) if self.kind == "remapIdentity" else image


def _read(text: str) -> tuple[str, str | None]:
    try:
        return parse_repository(text).name, None
    except InvalidReferenceError:
        found = parse(text)
        return found.name, str(found)
