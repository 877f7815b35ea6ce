"""Which rights a registry's token is asked for, seen from the requests that go out."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from sealgate.oci.host import RegistrySettings
from sealgate.oci.reference import parse
from sealgate.oci.registry import Session
from sealgate.transport import driver
from sealgate.transport.message import Response

_CHALLENGE = 'Bearer realm="https://registry.example.com/token",service="registry.example.com"'


class _Registry:
    """A registry behind a token service that gives the right to pull alone for nothing that does not exist."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    def __call__(self, request, deadline):
        if request.url.target.startswith("/token"):
            self.scopes.append(unquote(request.url.target).partition("scope=")[2].partition("&")[0])
            if not self.scopes[-1].endswith("push,pull"):
                return Response(401, (), b"{}", "93.184.216.34")
            return Response(200, (), b'{"token":"t"}', "93.184.216.34")
        if not any(name == "Authorization" for name, _ in request.headers):
            return Response(401, (("www-authenticate", _CHALLENGE),), b"{}", "93.184.216.34")
        return Response(404, (), b"{}", "93.184.216.34")


@pytest.mark.parametrize("writing", [True, False])
def test_a_repository_to_be_written_to_is_read_with_the_right_to_push(writing):
    registry = _Registry()
    store = Session(RegistrySettings()).repository(parse("registry.example.com/team/app"), writing=writing)
    if writing:
        assert driver.run(store.get_manifest("v1"), sender=registry, seconds=5) is None
        assert driver.run(store.list_referrers(_DIGEST), sender=registry, seconds=5) is None
        assert registry.scopes == ["repository:team/app:push,pull"]  # one token for reading and writing
    else:
        from sealgate.errors import UnauthorizedError

        with pytest.raises(UnauthorizedError):
            driver.run(store.get_manifest("v1"), sender=registry, seconds=5)
        assert registry.scopes == ["repository:team/app:pull"]


_DIGEST = parse("registry.example.com/a@sha256:" + "a" * 64).digest
