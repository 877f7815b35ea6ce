"""What sends the webhook's requests, and counts each: by host, and by its status or why there was none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sealgate.errors import SealgateError

if TYPE_CHECKING:
    from sealgate.admission.metrics import Metrics
    from sealgate.transport import asynchronous
    from sealgate.transport.message import Request, Response


class Measured:
    """An `asynchronous.Client` that sends by another one. The hosts that metrics name are bounded there."""

    def __init__(self, client: asynchronous.Client, metrics: Metrics) -> None:
        self._client = client
        self._metrics = metrics

    async def send(self, request: Request, deadline: float, /) -> Response:
        """Send one request, and measure it."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        status = "cancelled"
        try:
            response = await self._client.send(request, deadline)
            status = str(response.status)
        except SealgateError as error:
            status = error.code
            raise
        finally:
            self._metrics.registry(request.url.host, status, loop.time() - begun)
        return response
