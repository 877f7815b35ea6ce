"""Informers over a fake API server, with either driver."""

from __future__ import annotations

import asyncio

import pytest

from sealgate import limits
from sealgate.errors import ClusterNameError, ClusterUnavailableError
from sealgate.kubernetes.resource import CONFIG_MAP, NAMESPACE, SECRET, Key
from sealgate.kubernetes.watch import Informer
from sealgate.transport import asynchronous, driver, flow
from sealgate.transport.http import HttpClient

PATH = "/api/v1/namespaces"


def _threads(wanted):
    http = HttpClient()
    try:
        return driver.run(wanted, sender=http.send, seconds=60)
    finally:
        http.close()


def _loop(wanted):
    async def go():
        async with asynchronous.AsyncHttpClient() as http:
            return await asynchronous.run(wanted, client=http, seconds=60)

    return asyncio.run(go())


@pytest.fixture(params=[_threads, _loop], ids=["threads", "asyncio"])
def run(request):
    return request.param


def namespace(name: str, **labels: str) -> dict:
    return {"metadata": {"name": name, "labels": labels}}


async def until(condition) -> None:
    for _ in range(400):
        if condition():
            return
        await flow.sleep(0.05)
    raise AssertionError


def test_changes_arrive_and_a_watch_goes_on_where_it_was(run, fake, client):
    fake.put(PATH, namespace("one"))
    informer = Informer(client, NAMESPACE, seconds=1)

    async def go():
        task = await flow.spawn(informer.run())
        await until(lambda: informer.synced)
        assert list(informer.objects()) == [Key("", "one")]
        await until(lambda: fake.versions)
        fake.put(PATH, namespace("two"))
        await until(lambda: Key("", "two") in informer.objects())
        fake.drop(PATH, "one")
        await until(lambda: Key("", "one") not in informer.objects())
        seen = len(fake.versions)
        await until(lambda: len(fake.versions) > seen)
        lists = [query for _, path, query in fake.requests if path == PATH and "watch" not in query]
        assert len(lists) == 1
        assert fake.versions[-1] == "4"  # of the last change
        await task.cancel()

    run(go())


def test_a_version_that_is_gone_lists_anew_and_finds_what_was_deleted(run, fake, client):
    fake.put(PATH, namespace("one"))
    fake.put(PATH, namespace("two"))
    informer = Informer(client, NAMESPACE, seconds=1)

    async def go():
        task = await flow.spawn(informer.run())
        await until(lambda: fake.versions)
        del fake.served[PATH]["", "one"]  # nobody is told
        fake.forget()
        await until(lambda: list(informer.objects()) == [Key("", "two")])
        await until(lambda: informer.error is None)
        await task.cancel()

    run(go())


def test_what_is_known_stays_while_the_server_cannot_be_asked(run, fake, client):
    fake.put(PATH, namespace("one"))
    informer = Informer(client, NAMESPACE, seconds=1)

    async def go():
        task = await flow.spawn(informer.run())
        await until(lambda: informer.synced)
        fake.refuse[PATH] = 403
        await until(lambda: informer.error is not None)
        assert informer.error.code == "cluster-denied"
        assert "canary-token" not in str(informer.error)
        assert list(informer.objects()) == [Key("", "one")]
        del fake.refuse[PATH]
        await until(lambda: informer.error is None)
        await task.cancel()

    run(go())


def test_a_resource_that_is_not_there_is_empty_only_when_it_may_be(run, fake, client):
    may = Informer(client, NAMESPACE, optional=True)
    must = Informer(client, NAMESPACE)

    async def go():
        tasks = [await flow.spawn(each.run()) for each in (may, must)]
        await until(lambda: may.synced and must.error is not None)
        assert may.absent
        assert not must.synced
        assert must.error.code == "cluster-missing"
        for task in tasks:
            await task.cancel()

    run(go())


def test_nobody_there_is_could_not_ask(run, fake, client):
    fake.close()
    with pytest.raises(ClusterUnavailableError) as caught:
        run(client.get(NAMESPACE, None, "one"))
    assert caught.value.code == "cluster-unavailable"


@pytest.mark.parametrize("name", ["../secrets/x", "a/b", "a?watch=true", "", "A", "a" * 254, "a\nb", "."])
def test_X12_names_cannot_leave_their_place(name):
    with pytest.raises(ClusterNameError) as caught:
        SECRET.path("default", name)
    assert caught.value.code == "cluster-name"
    assert SECRET.path("default", "a.b-c") == "/api/v1/namespaces/default/secrets/a.b-c"
    if name and len(name) < 100:
        with pytest.raises(ClusterNameError):
            CONFIG_MAP.path(name, "x")


def test_nothing_that_is_asked_for_now_waits_behind_watches(run, fake, client):
    """As many watches as a host has connections, all open; each of them would go on for half a minute."""
    fake.serve(PATH)
    fake.put("/api/v1/secrets", {"metadata": {"name": "pull", "namespace": "team"}, "data": {}})
    many = [Informer(client, NAMESPACE, seconds=30) for _ in range(limits.CONNECTIONS_PER_HOST)]

    async def go():
        tasks = [await flow.spawn(each.run()) for each in many]
        await until(lambda: len(fake.versions) == len(many))
        found = await client.get(SECRET, "team", "pull")
        for task in tasks:
            await task.cancel()
        return found

    assert run(go())["metadata"]["name"] == "pull"
    assert len(fake.versions) == limits.CONNECTIONS_PER_HOST  # none of them had ended and begun again
