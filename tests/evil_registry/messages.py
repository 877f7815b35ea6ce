"""What a test server sees and says: a request as it came, an answer as it goes out."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

REASONS = {200: "OK", 201: "Created", 202: "Accepted", 301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect",
           401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}  # fmt: skip


class Seen(NamedTuple):
    """One request. `headers` have lower-case names; `path` is without the query."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Which connection of the server it came over, counted from 1."""
    target: str
    """As it stood in the request line (an absolute URL when the server is asked as a proxy)."""

    def argument(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return parse_qs(self.query).get(name, [None])[0]


class Answer(NamedTuple):
    """One answer. `Content-Length` is added unless it, or `Transfer-Encoding`, is among the headers."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def head(self, *, sized: bool = True) -> bytes:
        """The status line and the headers, with the empty line."""
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Whatever')}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        names = {name.lower() for name, _ in self.headers}
        if sized and not names & {"content-length", "transfer-encoding"} and self.status not in {204, 304}:
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def changed(
        self,
        *,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        without: tuple[str, ...] = (),
    ) -> Answer:
        """This answer with another status, other headers, another body, or `without` some headers.

        A `Content-Length` that it has stays as it is (a HEAD's says how long the body of the GET is) unless a body is given.
        """
        new = headers or {}
        gone = {name.lower() for name in (*without, *new)} | ({"content-length"} if body is not None else set())
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in gone)
        return Answer(
            self.status if status is None else status,
            (*kept, *new.items()),
            self.body if body is None else body,
        )


def json_answer(status: int, document: Any, media_type: str = "application/json") -> Answer:
    """An answer with a JSON body."""
    return Answer(status, (("Content-Type", media_type),), json.dumps(document).encode())


def error_answer(status: int, code: str, message: str = "") -> Answer:
    """An error as the OCI distribution specification writes it."""
    return json_answer(status, {"errors": [{"code": code, "message": message}]})


def split_target(target: str) -> tuple[str, str]:
    """Path (decoded) and query of a request target."""
    if "://" in target:
        target = "/" + target.split("/", 3)[3] if target.count("/") > 2 else "/"
    path, _, query = target.partition("?")
    return unquote(path), query
