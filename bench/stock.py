"""A registry of as many signed images as a measurement wants, in a process of its own: `with stock(folder, images=200) as stock:`.

Images are made in memory, each with a manifest of its own and one bundle by the key of `folder`, which the referrers API
lists. A real registry would take minutes to fill with ten thousand of them, and its processor time would be measured along.
Image N is `team-N%teams/app-N:1`. The latency proxy stands before it, in the same process; `GET /count` says how many
requests came since the last time, and how many of them were for the manifest of each image that was asked for more than once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httptools

if TYPE_CHECKING:
    from bypasses.scene import Signer

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_EMPTY = b"{}"
_HANDSHAKE = 0x16
_NOT_TLS = b"HTTP/1.0 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Stock(NamedTuple):
    """A registry that runs."""

    near: str
    """`host:port`"""
    far: str
    """The same through the latency proxy."""
    key: Path
    """Whose key signed."""
    digests: list[str]
    teams: int

    def repository(self, number: int, *, host: str | None = None) -> str:
        return f"{host or self.far}/{path_of(number, self.teams)}"

    def tag(self, number: int, *, host: str | None = None) -> str:
        return f"{self.repository(number, host=host)}:1"

    def pinned(self, number: int, *, host: str | None = None) -> str:
        return f"{self.tag(number, host=host)}@{self.digests[number]}"

    def counts(self) -> dict[str, int]:
        """Requests by path since the last time, of those that are about images."""
        import http.client

        host, _, port = self.near.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        connection.request("GET", "/count")
        found: dict[str, int] = json.loads(connection.getresponse().read())
        connection.close()
        return found


def path_of(number: int, teams: int) -> str:
    return f"team-{number % teams}/app-{number}"


@contextlib.contextmanager
def stock(folder: Path, *, images: int, teams: int, seconds: float) -> Iterator[Stock]:
    """Run it while the block lasts. `seconds`: a request's time through the proxy."""
    folder.mkdir(parents=True)
    command = [sys.executable, __file__, str(folder), str(images), str(teams), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            yield Stock(said["near"], said["far"], folder / "signer.pub", said["digests"], teams)
        finally:
            process.terminate()
            process.wait(10)


# ------------------------------------------------------------------------------------------------- the process


class _Content:
    """What is served: bytes and their media type by path."""

    def __init__(self, images: int, teams: int, signer: Signer) -> None:
        self.digests: list[str] = []
        self.answers: dict[str, tuple[bytes, str, str]] = {"/v2/": (b"{}", "application/json", "")}
        for number in range(images):
            self._image(f"/v2/{path_of(number, teams)}", number, signer)

    def _image(self, base: str, number: int, signer: Signer) -> None:
        config = _digest(b"config %d" % number)
        layer = _digest(b"layer %d" % number)
        manifest = _compact(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 8},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer, "size": 8}],
            }
        )
        digest = self._manifest(base, manifest)
        self.digests.append(digest)
        self.answers[f"{base}/manifests/1"] = (manifest, _MANIFEST, digest)
        bundle = _compact(signer.bundle(signer.statement(digest)))
        self.answers[f"{base}/blobs/{_digest(bundle)}"] = (bundle, "application/octet-stream", _digest(bundle))
        self.answers[f"{base}/blobs/{_digest(_EMPTY)}"] = (_EMPTY, "application/octet-stream", _digest(_EMPTY))
        attached = _compact(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "artifactType": _BUNDLE,
                "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": _digest(_EMPTY), "size": 2},
                "layers": [{"mediaType": _BUNDLE, "digest": _digest(bundle), "size": len(bundle)}],
                "subject": {"mediaType": _MANIFEST, "digest": digest, "size": len(manifest)},
            }
        )
        entry = {
            "mediaType": _MANIFEST,
            "digest": self._manifest(base, attached),
            "size": len(attached),
            "artifactType": _BUNDLE,
        }
        index = _compact({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]})
        self.answers[f"{base}/referrers/{digest}"] = (index, _INDEX, _digest(index))

    def _manifest(self, base: str, raw: bytes) -> str:
        digest = _digest(raw)
        self.answers[f"{base}/manifests/{digest}"] = (raw, _MANIFEST, digest)
        return digest


def _compact(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


class _Protocol(asyncio.Protocol):
    def __init__(self, content: _Content, asked: Counter[str]) -> None:
        self._content = content
        self._asked = asked
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._new = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._new and data[0] == _HANDSHAKE:
            self._transport.write(_NOT_TLS)
            self._transport.close()
            return
        self._new = False
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_message_complete(self) -> None:
        path = self._url.decode("ascii").partition("?")[0]
        if path == "/count":
            self._send(200, _compact(self._asked), "application/json", "", head=False)
            self._asked.clear()
            return
        self._asked[path] += 1
        body, kind, digest = self._content.answers.get(path, (b'{"errors":[]}', "application/json", ""))
        status = 200 if path in self._content.answers else 404
        self._send(status, body, kind, digest, head=self._parser.get_method() == b"HEAD")

    def _send(self, status: int, body: bytes, kind: str, digest: str, *, head: bool) -> None:
        more = f"Docker-Content-Digest: {digest}\r\n" if digest else ""
        lines = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        self._transport.write(lines.encode() + (b"" if head else body))


def main() -> None:
    import uvloop
    from latency import proxy

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from bypasses.scene import Signer

    folder, images, teams, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    content = _Content(images, teams, Signer(folder, "signer"))
    asked: Counter[str] = Counter()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Protocol(content, asked), "127.0.0.1", 0, backlog=1024)
        near = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with proxy(near, seconds=seconds) as slow:
            print(json.dumps({"near": near, "far": slow.host, "digests": content.digests}), flush=True)
            await asyncio.Event().wait()

    uvloop.run(run())


if __name__ == "__main__":
    main()
