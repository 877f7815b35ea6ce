"""The servers' driver: many runs at once, cancellation, and what is left behind (nothing)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from evil_registry import scripts
from sealgate import limits
from sealgate.errors import DeadlineError, UnreachableError
from sealgate.transport import flow
from sealgate.transport.message import Request, Response, Url

asynchronous = pytest.importorskip("sealgate.transport.asynchronous")


def on_loop(coroutine):
    """Run it; nothing may be left running on the loop."""

    async def whole():
        result = await coroutine
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(whole())


class Hanging:
    """A client that never answers and notices when it is given up."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0

    async def send(self, request: Request, deadline: float, /) -> Response:
        self.begun += 1
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)  # closing takes a moment
            self.ended += 1
        raise AssertionError


REQUEST = Request("GET", Url("http", "registry.test", 80, "/"))


def test_a_cancelled_run_gives_up_everything_and_waits_for_it():
    client = Hanging()
    ended = []

    async def leaf():
        try:
            await flow.send(REQUEST)
        finally:
            ended.append("leaf")

    async def whole():
        await flow.gather([leaf(), leaf(), flow.gather([leaf(), flow.sleep(60)])])

    async def outer():
        running = asyncio.create_task(asynchronous.run(whole(), client=client))
        while client.begun < 3:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert client.ended == 3

    on_loop(outer())
    assert ended == ["leaf"] * 3


def test_a_run_within_a_timeout_of_its_caller():
    client = Hanging()

    async def outer():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asynchronous.run(flow.send(REQUEST), client=client)
        assert client.ended == client.begun == 1

    on_loop(outer())


def test_the_deadline_ends_requests_that_are_on_their_way():
    client = Hanging()

    async def outer():
        with pytest.raises(DeadlineError):
            await asynchronous.run(flow.gather([flow.send(REQUEST), flow.send(REQUEST)]), client=client, seconds=0.05)
        assert client.ended == client.begun == 2

    on_loop(outer())


def test_what_is_given_up_ends_its_request_at_once():
    client = Hanging()

    async def whole():
        task = await flow.spawn(flow.send(REQUEST))
        await flow.sleep(0.02)
        await task.cancel()
        await flow.sleep(0.02)
        return client.ended

    async def outer():
        return await asynchronous.run(whole(), client=client)

    assert on_loop(outer()) == 1


def test_a_client_that_is_cancelled_by_others_is_an_error_of_the_flow():
    class Cancelled:
        async def send(self, request: Request, deadline: float, /) -> Response:
            raise asyncio.CancelledError

    async def outer():
        with pytest.raises(UnreachableError):
            await asynchronous.run(flow.send(REQUEST), client=Cancelled())

    on_loop(outer())


def test_runs_share_a_client_and_the_loop_goes_on_meanwhile(evil_registry, get):
    registry = evil_registry()
    registry.on("*", "*", scripts.delay(0.01))
    beats = 0

    async def beat():
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.005)

    async def outer():
        heart = asyncio.create_task(beat())
        async with asynchronous.AsyncHttpClient() as client:
            runs = [
                asynchronous.run(flow.gather([flow.send(get(registry)) for _ in range(5)]), client=client)
                for _ in range(20)
            ]
            results = await asyncio.gather(*runs)
        heart.cancel()
        return [response.status for responses in results for response in responses]

    assert set(asyncio.run(outer())) == {200}
    assert registry.connections <= limits.CONNECTIONS_PER_HOST
    assert beats > 3


def test_a_cancelled_request_does_not_poison_its_connection(evil_registry, get):
    registry = evil_registry()
    registry.on("GET", "/slow", scripts.delay(0.3, scripts.reply(200, b"slow")))
    registry.on("GET", "/fast", scripts.reply(200, b"fast"))

    async def outer():
        async with asynchronous.AsyncHttpClient() as client:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await asynchronous.run(flow.send(get(registry, "/slow")), client=client)
                response = await asynchronous.run(flow.send(get(registry, "/fast")), client=client)
                assert response.body == b"fast"

    asyncio.run(outer())


def test_a_flow_sees_the_context_of_its_caller():
    import contextvars

    request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id")

    async def whole():
        before = request_id.get()
        await flow.sleep(0.01)
        await flow.gather([flow.sleep(0.01), flow.call(lambda: None)])
        return before, request_id.get()

    async def one(name: str):
        request_id.set(name)
        return await asynchronous.run(whole(), client=Hanging())

    async def outer():
        return await asyncio.gather(*(one(f"r{number}") for number in range(5)))

    assert asyncio.run(outer()) == [(f"r{number}", f"r{number}") for number in range(5)]


def test_a_slow_function_does_not_hold_up_the_loop():
    release = threading.Event()

    async def outer():
        running = asyncio.create_task(asynchronous.run(flow.call(lambda: release.wait(10)), client=Hanging()))
        began = time.monotonic()
        await asyncio.sleep(0.05)
        release.set()
        assert await running
        return time.monotonic() - began

    assert asyncio.run(outer()) < 5


def test_an_interrupt_inside_a_flow_reaches_the_caller():
    async def pressing():
        await flow.sleep(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(asynchronous.run(pressing(), client=Hanging()))


def test_without_aiohttp_there_is_a_clear_error():
    program = (
        "import sys\n"
        "sys.modules['aiohttp'] = None\n"
        "from sealgate.errors import UsageError\n"
        "try:\n"
        "    import sealgate.transport.asynchronous\n"
        "except UsageError as error:\n"
        "    print(error.code, error, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage ")
    assert "aiohttp" in done.stdout
    assert "sealgate[async]" in done.stdout
