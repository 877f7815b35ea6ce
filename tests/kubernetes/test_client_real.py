"""The client against a real API server."""

from __future__ import annotations

import time

import pytest

from sealgate.errors import ClusterConflictError, ClusterDeniedError, ClusterMissingError
from sealgate.kubernetes import kubeconfig
from sealgate.kubernetes.client import Client
from sealgate.kubernetes.resource import CONFIG_MAP, NAMESPACE, Key
from sealgate.kubernetes.watch import Informer, labels
from sealgate.transport import driver, flow
from sealgate.transport.http import HttpClient


@pytest.fixture
def client(api_server) -> Client:
    return Client(kubeconfig.cluster(str(api_server.kubeconfig), environ={}, context=None, insecure=False))


def run(wanted, seconds: float = 60):
    http = HttpClient()
    try:
        return driver.run(wanted, sender=http.send, seconds=seconds)
    finally:
        http.close()


def config_map(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_objects_are_made_changed_and_deleted(client):
    async def go():
        made = await client.create(CONFIG_MAP, "default", config_map("one", a="1"))
        with pytest.raises(ClusterConflictError):
            await client.create(CONFIG_MAP, "default", config_map("one"))
        await client.apply(CONFIG_MAP, "default", "two", config_map("two", b="2"), force=True)
        await client.merge(CONFIG_MAP, "default", "one", {"data": {"c": "3"}})
        with pytest.raises(ClusterConflictError):
            await client.replace(CONFIG_MAP, "default", "one", made)
        found = await client.get(CONFIG_MAP, "default", "one")
        assert found["data"] == {"a": "1", "c": "3"}
        names = {item["metadata"]["name"] for item in (await client.list(CONFIG_MAP, "default")).items}
        assert {"one", "two"} <= names
        assert await client.delete(CONFIG_MAP, "default", "one")
        assert await client.delete(CONFIG_MAP, "default", "two")
        assert not await client.delete(CONFIG_MAP, "default", "one")
        with pytest.raises(ClusterMissingError) as caught:
            await client.get(CONFIG_MAP, "default", "one")
        assert caught.value.code == "cluster-missing"

    run(go())


def test_a_watch_tells_what_changes(client, api_server):
    informer = Informer(client, NAMESPACE, metadata_only=True, keep=labels, seconds=5)

    async def until(condition) -> None:
        for _ in range(200):
            if condition():
                return
            await flow.sleep(0.1)
        raise AssertionError

    async def go():
        task = await flow.spawn(informer.run())
        await until(lambda: informer.synced)
        assert Key("", "default") in informer.objects()
        await flow.call(lambda: api_server.kubectl("create", "namespace", "watched"))
        await until(lambda: informer.get(Key("", "watched")) is not None)
        begun = time.monotonic()
        await flow.call(lambda: api_server.kubectl("label", "namespace", "watched", "team=a", "Team=b"))
        await until(lambda: (informer.get(Key("", "watched")) or {}).get("team") == "a")
        assert informer.get(Key("", "watched"))["Team"] == "b"  # keys that differ in case only
        await until(lambda: time.monotonic() - begun > 6)  # over the end of a watch
        await flow.call(lambda: api_server.kubectl("label", "namespace", "watched", "team=c", "--overwrite"))
        await until(lambda: (informer.get(Key("", "watched")) or {}).get("team") == "c")
        assert informer.error is None
        await task.cancel()

    run(go())


def test_who_may_not_is_told(client):
    stranger = Client(client.cluster._replace(token=lambda: "nobody"))

    async def go():
        with pytest.raises(ClusterDeniedError) as caught:
            await stranger.get(CONFIG_MAP, "default", "one")
        assert caught.value.code == "cluster-denied"
        assert "nobody" not in str(caught.value)

    run(go())
