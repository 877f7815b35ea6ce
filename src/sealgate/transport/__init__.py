"""HTTP as a small protocol with its adapters, and the flows that are written once and driven in two ways.

`message` is what goes over the wire, `flow` how code asks for it; `driver` (threads) and `http` (`http.client`) serve the
command line, `asynchronous` (asyncio, `aiohttp`) serves servers. Nothing here knows what a registry is.
"""
