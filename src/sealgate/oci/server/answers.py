"""What the registry refuses, as the distribution specification writes it (section "Error Codes")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from sealgate.errors import ContentError, LimitError, NotFoundError, SealgateError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = {"docker-distribution-api-version": "registry/2.0"}


class RefusalError(Exception):
    """A request that is refused: status, the specification's code, a sentence."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        detail: Any = None,
        headers: Mapping[str, str] | None = None,
        more: tuple[dict[str, Any], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = [{"code": code, "message": message, "detail": detail}, *more]
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer."""
        return JSONResponse({"errors": self.errors}, self.status, self.headers | VERSION)


def from_error(error: SealgateError) -> RefusalError:
    """A fault of the layout on the disk. Its message names files of this machine, so it is not sent."""
    if isinstance(error, UnavailableError):
        return RefusalError(503, "UNAVAILABLE", "the registry cannot use its directory at the moment")
    if isinstance(error, NotFoundError):
        return RefusalError(404, "BLOB_UNKNOWN", "it is not here (any more)")
    if isinstance(error, LimitError):
        return RefusalError(413, "SIZE_INVALID", "a bound of the registry is reached")
    if isinstance(error, ContentError):
        return RefusalError(500, "UNKNOWN", f"what is stored cannot be believed ({error.code})")
    return RefusalError(500, "UNKNOWN", f"the registry failed ({error.code})")


def empty(status: int, headers: Mapping[str, str]) -> Response:
    """An answer without a body."""
    return Response(
        status_code=status,
        headers={"content-length": "0", **headers, **VERSION} if status != 204 else {**headers, **VERSION},
    )
