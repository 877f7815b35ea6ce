"""The command line's driver: clock, threads, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from sealgate import limits
from sealgate.errors import DeadlineError
from sealgate.transport import driver, flow
from sealgate.transport.message import Request, Response, Url


class Clock:
    """Time that goes on when a test says so, or when everybody sleeps."""

    def __init__(self) -> None:
        self.moment = 1000.0

    def __call__(self) -> float:
        return self.moment

    def pass_(self, seconds: float) -> None:
        self.moment += seconds


@pytest.fixture
def clock():
    return Clock()


def request(host: str = "registry.test") -> Request:
    return Request("GET", Url("http", host, 80, "/"))


def nothing(asked: Request, deadline: float) -> Response:
    return Response(200, (), b"")


def test_time_is_the_injected_clocks(clock):
    async def whole():
        began = await flow.now()
        await flow.gather([flow.sleep(30), flow.sleep(20)])
        return began, await flow.now()

    began = time.monotonic()
    result = driver.run(whole(), sender=nothing, seconds=100, clock=clock, pause=clock.pass_)
    assert result == (1000.0, 1030.0)
    assert time.monotonic() - began < 10


def test_the_deadline_is_the_injected_clocks(clock):
    deadlines = []

    def slow(asked: Request, deadline: float) -> Response:
        deadlines.append(deadline)
        clock.pass_(70)
        return nothing(asked, deadline)

    async def whole():
        first = await flow.settle([flow.send(request())])
        second = await flow.settle([flow.send(request())])
        third = await flow.settle([flow.send(request())])
        return [type(outcome) for outcome in (*first, *second, *third)]

    # The second answer comes after the deadline, in one go with it: it counts. What begins later does not begin.
    outcomes = driver.run(whole(), sender=slow, seconds=100, clock=clock, pause=clock.pass_)
    assert outcomes == [Response, Response, DeadlineError]
    assert deadlines == [1100.0, 1100.0]


def test_a_sleep_beyond_the_deadline_ends_with_it(clock):
    with pytest.raises(DeadlineError):
        driver.run(flow.sleep(1000), sender=nothing, seconds=5, clock=clock, pause=clock.pass_)
    assert clock.moment == 1005.0


def test_no_more_than_so_many_requests_at_once_for_one_host_and_others_do_not_wait():
    lock = threading.Lock()
    flying, most = {}, {}
    gate = threading.Event()

    def send(asked: Request, deadline: float) -> Response:
        host = asked.url.host
        with lock:
            flying[host] = flying.get(host, 0) + 1
            most[host] = max(most.get(host, 0), flying[host])
        if host == "slow.test":
            gate.wait(10)
        with lock:
            flying[host] -= 1
        return nothing(asked, deadline)

    async def fast():
        await flow.gather([flow.send(request("fast.test")) for _ in range(100)])
        gate.set()

    async def whole():
        await flow.gather([*(flow.send(request("slow.test")) for _ in range(100)), fast()])

    driver.run(whole(), sender=send, seconds=30)
    assert most["slow.test"] == limits.CONNECTIONS_PER_HOST
    assert most["fast.test"] <= limits.CONNECTIONS_PER_HOST


def test_threads_are_as_many_as_the_work_and_end_with_it():
    before = threading.active_count()
    seen = set()

    def send(asked: Request, deadline: float) -> Response:
        seen.add(threading.get_ident())
        return nothing(asked, deadline)

    async def one_after_the_other():
        for _ in range(50):
            await flow.send(request())

    driver.run(one_after_the_other(), sender=send)
    assert len(seen) <= 2
    seen.clear()

    async def many_hosts():
        await flow.gather([flow.send(request(f"{number}.test")) for number in range(2000)])

    driver.run(many_hosts(), sender=send)
    assert len(seen) <= 64
    ends = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < ends:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_what_was_given_up_while_it_queued_is_never_sent():
    gate = threading.Event()
    sent = []

    def send(asked: Request, deadline: float) -> Response:
        sent.append(asked)
        gate.wait(10)
        return nothing(asked, deadline)

    async def whole():
        first = [await flow.spawn(flow.send(request())) for _ in range(limits.CONNECTIONS_PER_HOST)]
        queued = [await flow.spawn(flow.send(request())) for _ in range(10)]
        while len(sent) < len(first):
            await flow.sleep(0.01)
        for task in queued:
            await task.cancel()
        gate.set()
        for task in first:
            await task.wait()
        await flow.send(request())

    driver.run(whole(), sender=send)
    assert len(sent) == limits.CONNECTIONS_PER_HOST + 1


def test_an_answer_that_comes_after_its_wait_was_given_up_is_dropped():
    gate = threading.Event()

    def send(asked: Request, deadline: float) -> Response:
        gate.wait(10)
        return Response(200, (), b"late")

    def second() -> str:
        gate.set()
        time.sleep(0.1)  # the late answer comes now
        return "second"

    tidied = []

    async def tidy():
        try:
            await flow.send(request())
        finally:
            tidied.append(await flow.call(second))

    async def whole():
        task = await flow.spawn(tidy())
        await flow.sleep(0.02)
        await task.cancel()
        await flow.sleep(0.3)

    driver.run(whole(), sender=send)
    assert tidied == ["second"]


def test_a_machine_that_gives_no_more_threads_is_served_by_fewer(monkeypatch):
    started = []
    start = threading.Thread.start

    def scarce(thread: threading.Thread) -> None:
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)

    async def whole():
        return len(await flow.gather([flow.send(request(f"{number}.test")) for number in range(40)]))

    assert driver.run(whole(), sender=nothing) == 40


@pytest.fixture
def _interruptible():
    """A job in the background of a shell ignores SIGINT, and Python then leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_is_heard_while_requests_hang():
    over = threading.Event()
    tidied = []

    def send(asked: Request, deadline: float) -> Response:
        over.wait(20)
        return nothing(asked, deadline)

    async def whole():
        try:
            await flow.gather([flow.send(request()) for _ in range(30)])
        finally:
            tidied.append("yes")

    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    began = time.monotonic()
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            driver.run(whole(), sender=send, seconds=60)
    finally:
        over.set()
        timer.join()
    assert time.monotonic() - began < 10
    assert tidied == ["yes"]


def test_ctrl_c_inside_a_flow_ends_the_run(recwarn):
    async def pressing():
        await flow.sleep(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        driver.run(flow.gather([pressing(), flow.sleep(30)]), sender=nothing)
    assert not recwarn.list


def test_a_flow_is_driven_without_what_costs_start_up_time():
    """The path of `verify`: each of these costs several milliseconds."""
    heavy = "asyncio dataclasses email http.client ipaddress logging pathlib tempfile urllib.parse concurrent.futures"
    program = (
        "import sys\n"
        "import sealgate.transport.driver, sealgate.transport.http, sealgate.transport.flow\n"
        f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    )
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{program}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
