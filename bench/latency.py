"""A proxy on loopback that makes each HTTP request take a round-trip time longer, and counts the requests.

It stands in for a registry that is far away: `with proxy("127.0.0.1:5000", seconds=0.05) as slow:` gives `slow.host`. A
request waits before it goes on; answers and connecting cost nothing extra. A TLS hello is answered at once, in plain
HTTP, as a plain HTTP server answers it: clients that try https first (cosign does on loopback, so does sealgate) would
otherwise measure their own time-out.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import httptools

_HANDSHAKE = 0x16  # the first byte of a TLS record that opens a connection (RFC 8446, section 5.1)
_NOT_TLS = b"HTTP/1.0 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Slow:
    """A running proxy; `requests` counts what went through since `reset()`."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self.seconds = seconds
        self.requests = 0
        self._upstream = (host, port)
        self._open: set[asyncio.StreamWriter] = set()
        self.host = ""

    def reset(self) -> None:
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, and the one upstream that belongs to it."""
        self._open.add(writer)
        with contextlib.suppress(OSError):
            first = await reader.read(65536)
            if first and first[0] == _HANDSHAKE:
                writer.write(_NOT_TLS)
                await writer.drain()
            elif first:
                await self._forward(first, reader, writer)
        self._open.discard(writer)
        writer.close()

    def close(self) -> None:
        """End every connection; whoever reads from one sees its end."""
        for writer in self._open:
            writer.close()

    async def _forward(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        answers = asyncio.create_task(_pump(up_reader, writer))
        try:
            parser = httptools.HttpRequestParser(counter := _Counter())
            data = first
            while data:
                parser.feed_data(data)
                if counter.begun:
                    self.requests += counter.begun
                    counter.begun = 0
                    await asyncio.sleep(self.seconds)
                up_writer.write(data)
                await up_writer.drain()
                data = await reader.read(65536)
        except httptools.HttpParserError:
            pass  # not HTTP: the connection ends
        finally:
            answers.cancel()
            up_writer.close()


class _Counter:
    begun = 0

    def on_message_begin(self) -> None:
        self.begun += 1


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


@contextlib.contextmanager
def proxy(upstream: str, *, seconds: float) -> Iterator[Slow]:
    """Run the proxy beside the caller while the block lasts."""
    host, _, port = upstream.rpartition(":")
    slow = Slow(host, int(port), seconds)
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(slow.serve, "127.0.0.1", 0)
        slow.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        server.close()
        slow.close()
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(left, timeout=5)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), name="latency proxy", daemon=True)
    thread.start()
    try:
        if not ready.wait(10):
            raise RuntimeError("the latency proxy did not start")
        yield slow
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
