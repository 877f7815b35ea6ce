"""What a service answers when it does not do as asked."""

from __future__ import annotations


class RefusedError(Exception):
    """An HTTP status and a sentence."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
