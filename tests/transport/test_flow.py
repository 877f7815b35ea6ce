"""What flows may rely on, whichever driver runs them."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from sealgate.errors import DeadlineError, NotFoundError, SealgateError, UnavailableError, UnreachableError
from sealgate.transport import flow
from sealgate.transport.message import Request, Response, Url

REQUEST = Request("GET", Url("http", "registry.test", 80, "/"))


class Endless:
    """A sender that answers only when the test is over."""

    def __init__(self) -> None:
        self.asked = 0
        self.over = threading.Event()

    def __call__(self, request: Request) -> Response:
        self.asked += 1
        self.over.wait(20)
        return Response(200, (), b"")


@pytest.fixture
def endless():
    sender = Endless()
    yield sender
    sender.over.set()


def say(word: str):
    return lambda request: Response(200, (), word.encode())


async def body() -> bytes:
    return (await flow.send(REQUEST)).body


async def later(value, seconds: float = 0.0):
    await flow.sleep(seconds)
    return value


async def failing(error: BaseException, seconds: float = 0.0):
    await flow.sleep(seconds)
    raise error


def test_a_flow_gets_its_answers_and_gives_its_result(adapter):
    async def whole():
        began = await flow.now()
        first = await body()
        called = await flow.call(lambda: threading.current_thread().name)
        await flow.sleep(0.01)
        return first, called != threading.main_thread().name, await flow.now() - began >= 0.009

    assert adapter.run(whole(), send=say("hello")) == (b"hello", True, True)


def test_an_error_of_a_request_is_raised_where_it_was_awaited(adapter):
    def send(request):
        raise UnreachableError("nobody there")

    async def careful():
        try:
            await flow.send(REQUEST)
        except UnreachableError as error:
            return str(error)

    assert adapter.run(careful(), send=send) == "nobody there"
    with pytest.raises(UnreachableError):
        adapter.run(body(), send=send)


def test_an_exception_of_a_called_function_is_raised_where_it_was_awaited(adapter):
    async def careful():
        with pytest.raises(ZeroDivisionError):
            await flow.call(lambda: 1 // 0)
        return "went on"

    assert adapter.run(careful()) == "went on"


def test_gather_keeps_the_order_and_runs_at_once(adapter):
    flying, most = 0, 0

    async def one(number: int):
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await flow.sleep(0.02 - number / 1000)
        flying -= 1
        return number

    assert adapter.run(flow.gather(one(number) for number in range(20))) == list(range(20))
    assert most == 20


@pytest.mark.parametrize("limit", [1, 3, 0, -5])
def test_gather_runs_no_more_than_its_limit_at_once(adapter, limit):
    flying, most = 0, 0

    async def one(number: int):
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await flow.sleep(0)
        flying -= 1
        return number

    assert adapter.run(flow.gather((one(number) for number in range(10)), limit=limit)) == list(range(10))
    assert most == max(limit, 1)


def test_gather_of_nothing_and_of_one(adapter):
    assert adapter.run(flow.gather([])) == []
    assert adapter.run(flow.gather([later(7)])) == [7]
    assert adapter.run(flow.settle([])) == []


@pytest.mark.parametrize("count", [1, 2, 5])
def test_gather_raises_the_first_error_and_gives_the_others_up(adapter, endless, count):
    given_up = []

    async def stuck(number: int):
        try:
            await flow.send(REQUEST)
        except flow.Cancelled:
            given_up.append(number)
            raise

    flows = [failing(NotFoundError("first"), 0.05), *(stuck(number) for number in range(count - 1))]
    began = time.monotonic()
    with pytest.raises(NotFoundError, match="first"):
        adapter.run(flow.gather(flows), send=endless)
    assert given_up == list(range(count - 1))
    assert time.monotonic() - began < 10


def test_what_was_given_up_takes_along_what_it_gathered_itself(adapter, endless):
    ended = []

    async def leaf(number: int):
        try:
            await flow.send(REQUEST)
        finally:
            ended.append(number)

    async def branch(first: int):
        await flow.gather([leaf(first), leaf(first + 1), flow.gather([leaf(first + 2), leaf(first + 3)])])

    with pytest.raises(NotFoundError):
        adapter.run(flow.gather([branch(0), failing(NotFoundError("no"), 0.05), branch(10)]), send=endless)
    assert sorted(ended) == [0, 1, 2, 3, 10, 11, 12, 13]


def test_flows_that_were_never_begun_are_closed_without_a_warning(adapter, recwarn):
    async def never():
        raise AssertionError("must not run")

    with pytest.raises(NotFoundError):
        adapter.run(flow.gather([failing(NotFoundError("no")), *(never() for _ in range(5))], limit=1))
    gc.collect()
    assert not recwarn.list


def test_settle_gives_results_and_errors_in_order(adapter):
    error = NotFoundError("no")
    outcomes = adapter.run(flow.settle([later(1), failing(error), later(3, 0.02), failing(SealgateError("x"), 0.03)]))
    assert outcomes[:3] == [1, error, 3]
    assert isinstance(outcomes[3], SealgateError)


@pytest.mark.parametrize("count", [1, 3])
def test_settle_raises_what_is_no_sealgate_error(adapter, endless, count):
    """A mistake of the program must not pass for an outcome, nor wait for what hangs."""
    flows = [failing(KeyError("bug"), 0.02), *(body() for _ in range(count - 1))]
    with pytest.raises(KeyError, match="bug"):
        adapter.run(flow.settle(flows), send=endless)


def test_a_spawned_flow_runs_beside_and_is_waited_for(adapter):
    async def whole():
        task = await flow.spawn(later("beside", 0.02))
        here = await later("here")
        return here, await task.wait(), await task.wait()

    assert adapter.run(whole()) == ("here", "beside", "beside")


def test_a_spawned_flow_that_nobody_waits_for_ends_with_the_run(adapter, endless, recwarn):
    ended = []

    async def stuck():
        try:
            await flow.send(REQUEST)
        finally:
            ended.append("yes")

    async def whole():
        await flow.spawn(stuck())
        await flow.spawn(stuck())
        await flow.sleep(0.02)
        await flow.spawn(stuck())  # never begun
        return "done"

    assert adapter.run(whole(), send=endless) == "done"
    assert ended == ["yes", "yes"]
    gc.collect()
    assert not recwarn.list


def test_a_bug_in_a_flow_that_nobody_waits_for_is_raised_at_the_end(adapter):
    async def whole():
        await flow.spawn(failing(KeyError("bug")))
        await flow.sleep(0.02)
        return "done"

    with pytest.raises(KeyError, match="bug"):
        adapter.run(whole())


def test_an_error_in_a_flow_that_nobody_waits_for_is_nobodys(adapter):
    async def whole():
        await flow.spawn(failing(NotFoundError("speculation")))
        await flow.sleep(0.02)
        return "done"

    assert adapter.run(whole()) == "done"


def test_a_task_that_was_given_up_says_so_and_is_never_taken_for_an_empty_result(adapter, endless):
    async def whole():
        task = await flow.spawn(body())
        await flow.sleep(0.01)
        await task.cancel()
        await task.cancel()
        with pytest.raises(UnavailableError) as caught:
            await task.wait()
        assert caught.value.code == "unavailable"
        return "seen"

    assert adapter.run(whole(), send=endless) == "seen"


def test_cancelling_what_has_ended_or_oneself_does_nothing(adapter):
    async def whole():
        task = await flow.spawn(later("result"))
        assert await task.wait() == "result"
        await task.cancel()
        assert await task.wait() == "result"

        mine: list[flow.Task] = []

        async def suicidal():
            await flow.sleep(0)
            await mine[0].cancel()
            await flow.sleep(0)
            return "alive"

        mine.append(await flow.spawn(suicidal()))
        return await mine[0].wait()

    assert adapter.run(whole()) == "alive"


def test_a_flow_may_tidy_up_when_it_is_given_up(adapter, endless):
    steps = []

    async def tidy():
        try:
            await flow.send(REQUEST)
        finally:
            await flow.sleep(0)
            steps.append(await flow.call(lambda: "tidied"))

    async def whole():
        task = await flow.spawn(tidy())
        await flow.sleep(0.01)
        await task.cancel()
        with pytest.raises(UnavailableError):
            await task.wait()

    adapter.run(whole(), send=endless)
    assert steps == ["tidied"]


def test_a_flow_that_had_only_begun_tidies_up_when_another_fails(adapter):
    said = []

    async def patient():
        try:
            await flow.sleep(60)
        except flow.Cancelled:
            await flow.sleep(0)
            said.append("tidied up")
            raise

    async def failing():
        raise UnreachableError("gone")

    async def whole():
        with pytest.raises(UnreachableError):
            await flow.gather([patient(), failing(), patient()])
        return await flow.gather([flow.now(), flow.now()])

    assert len(adapter.run(whole())) == 2
    assert said == ["tidied up"]


def test_flows_that_need_not_wait_end_in_their_order(adapter):
    said = []

    async def one(number):
        said.append(number)
        if number == 3:
            await flow.sleep(0)
        return number

    assert adapter.run(flow.gather([one(number) for number in range(6)], limit=2)) == [0, 1, 2, 3, 4, 5]
    assert said == [0, 1, 2, 3, 4, 5]


def test_once_runs_once_for_everybody(adapter):
    runs = []

    async def start():
        runs.append(1)
        await flow.sleep(0.01)
        return "token"

    async def whole():
        once = flow.Once()
        return await flow.gather([once.get(start) for _ in range(20)]), await once.get(start)

    assert adapter.run(whole()) == (["token"] * 20, "token")
    assert len(runs) == 1


def test_once_does_not_keep_an_error(adapter):
    runs = []

    async def start():
        runs.append(1)
        await flow.sleep(0.01)
        if len(runs) == 1:
            raise UnreachableError("not yet")
        return "token"

    async def whole():
        once = flow.Once()
        first = await flow.settle([once.get(start) for _ in range(5)])
        return [type(outcome) for outcome in first], await once.get(start)

    assert adapter.run(whole()) == ([UnreachableError] * 5, "token")
    assert len(runs) == 2


def test_once_goes_on_when_the_one_who_started_it_is_given_up(adapter):
    async def start():
        await flow.sleep(0.05)
        return "token"

    async def whole():
        once = flow.Once()
        starter = await flow.spawn(once.get(start))
        await flow.sleep(0.01)
        other = await flow.spawn(once.get(start))
        await flow.sleep(0.01)
        await starter.cancel()
        return await other.wait()

    assert adapter.run(whole()) == "token"


def test_one_error_for_many_does_not_grow_with_their_number(adapter):
    def length(error: BaseException) -> int:
        count, trace = 0, error.__traceback__
        while trace is not None:
            count, trace = count + 1, trace.tb_next
        return count

    async def whole():
        once = flow.Once()
        return await flow.settle([once.get(lambda: failing(NotFoundError("no"), 0.01)) for _ in range(50)])

    outcomes = adapter.run(whole())
    assert length(outcomes[-1]) < 20


def test_the_deadline_is_told_to_everything_that_waits_and_to_all_that_comes_later(adapter, endless):
    async def stuck(number: int):
        await flow.send(REQUEST)

    async def sleeping():
        await flow.sleep(60)

    async def calling():
        await flow.call(lambda: endless.over.wait(20))

    async def whole():
        outcomes = await flow.settle([*(stuck(number) for number in range(40)), sleeping(), calling()])
        asked = endless.asked
        late = await flow.settle([body(), later(1), flow.call(lambda: 1)])
        return outcomes, late, asked == endless.asked

    began = time.monotonic()
    outcomes, late, unasked = adapter.run(whole(), seconds=0.2, send=endless)
    assert time.monotonic() - began < 10
    assert {type(outcome) for outcome in (*outcomes, *late)} == {DeadlineError}
    assert {outcome.code for outcome in late} == {"timed-out"}
    assert "0.2 s" in str(outcomes[0])
    assert unasked


def test_each_of_several_gets_its_own_answer_when_time_runs_out(adapter, endless):
    def send(request):
        return endless(request) if request.url.host == "slow.test" else Response(200, (), b"fast")

    async def image(host: str):
        response = await flow.send(REQUEST._replace(url=REQUEST.url._replace(host=host)))
        return response.body

    outcomes = adapter.run(flow.settle([image("slow.test"), image("fast.test")]), seconds=0.3, send=send)
    assert isinstance(outcomes[0], DeadlineError)
    assert outcomes[1] == b"fast"


@pytest.mark.parametrize("seconds", [0, -1])
def test_without_any_time_nothing_is_sent(adapter, endless, seconds):
    with pytest.raises(DeadlineError):
        adapter.run(body(), seconds=seconds, send=endless)
    assert endless.asked == 0


def test_a_flow_that_will_not_hear_of_the_deadline_is_ended(adapter, monkeypatch):
    monkeypatch.setattr("sealgate.transport.scheduler._STUBBORN", 50)

    async def stubborn():
        while True:
            try:
                await flow.sleep(60)
            except SealgateError:
                continue

    with pytest.raises(DeadlineError):
        adapter.run(stubborn(), seconds=0.05)


def test_flows_that_wait_for_each_other_are_a_mistake_that_is_told(adapter):
    async def whole():
        tasks: list[flow.Task] = []

        async def waits():
            await flow.sleep(0)
            await tasks[0].wait()

        tasks.append(await flow.spawn(waits()))
        await tasks[0].wait()

    with pytest.raises(RuntimeError, match="wait for each other"):
        adapter.run(whole())


def test_awaiting_something_foreign_is_a_mistake_that_is_told(adapter):
    class Foreign:
        def __await__(self):
            yield "something else"

    async def whole():
        await Foreign()

    with pytest.raises(TypeError, match="no effect"):
        adapter.run(whole())


def test_a_thousand_requests(adapter):
    count = 0

    def send(request):
        nonlocal count
        count += 1
        return Response(200, (), b"%d" % count)

    assert len(set(adapter.run(flow.gather([body() for _ in range(1000)]), send=send))) > 900
    assert count == 1000


def test_sleeps_end_in_their_order(adapter):
    ended = []

    async def one(seconds: float):
        await flow.sleep(seconds)
        ended.append(seconds)

    adapter.run(flow.gather([one(0.06), one(0.0), one(-1), one(0.03)]))
    assert ended == [0.0, -1, 0.03, 0.06]
