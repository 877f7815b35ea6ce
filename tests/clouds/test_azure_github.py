"""Azure's registries, asked of fakes of Entra, the metadata service and the registry's exchange; GitHub's."""

from __future__ import annotations

import pytest

from clouds.fake_clouds import METADATA, NOW, Answer, said
from sealgate.errors import SealgateError

REGISTRY = "team.azurecr.io"
ENTRA = "login.microsoftonline.com"
TENANT = "00000000-aaaa-bbbb-cccc-000000000000"


@pytest.fixture
def workload(token_file):
    return {
        "AZURE_FEDERATED_TOKEN_FILE": token_file, "AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": TENANT,
        "AZURE_AUTHORITY_HOST": f"https://{ENTRA}/",
    }  # fmt: skip


def refuses(exchange, code: str, clouds, provider="azure", registry=REGISTRY, **environ: str) -> SealgateError:
    with pytest.raises(SealgateError) as raised:
        exchange(provider, registry, **environ)
    assert raised.value.code == code, raised.value
    said = f"{raised.value.message} {raised.value.hint}"
    assert not any(secret in said for secret in clouds.secrets()), said
    return raised.value


def test_a_workload(clouds, exchange, workload):
    found = exchange("azure", REGISTRY, **workload)
    assert found.credentials.identity_token.endswith("acr-payload")
    assert (found.credentials.username, found.credentials.password) == ("", "")
    assert found.expires == NOW + 3 * 3600  # as the token says of itself
    assert clouds.hosts == [ENTRA, REGISTRY]
    assert clouds.asked[1].form["tenant"] == TENANT
    assert "acr-payload" not in repr(found)


def test_another_cloud_signs_in_at_its_own_place(clouds, exchange, workload):
    del workload["AZURE_AUTHORITY_HOST"]
    assert exchange("azure", "gov.azurecr.us", **workload)
    assert clouds.hosts == ["login.microsoftonline.us", "gov.azurecr.us"]


@pytest.mark.parametrize(
    "host",
    ["https://evil.test/", f"https://{ENTRA}.evil.test/", f"http://{ENTRA}/", f"https://{ENTRA}:8443/", "https://evil.test#", "x",
     f"https://{ENTRA}@evil.test/"],
)  # fmt: skip
def test_a_workloads_token_goes_to_microsoft_alone(clouds, exchange, workload, host):
    refuses(exchange, "credentials-missing", clouds, **workload | {"AZURE_AUTHORITY_HOST": host})
    assert clouds.asked == []
    assert exchange("azure", REGISTRY, **workload)


@pytest.mark.parametrize("change", [{"AZURE_TENANT_ID": ""}, {"AZURE_TENANT_ID": "../x"}, {"AZURE_CLIENT_ID": ""}])
def test_a_workload_without_a_name_is_not_taken_for_the_machine(clouds, exchange, workload, change):
    refuses(exchange, "credentials-missing", clouds, **workload | change)
    assert clouds.asked == []


def test_a_workload_that_is_not_believed(clouds, exchange, workload, tmp_path):
    path = tmp_path / "other"
    path.write_text("another")
    error = refuses(exchange, "credentials-refused", clouds, **workload | {"AZURE_FEDERATED_TOKEN_FILE": str(path)})
    assert "invalid_client" in error.message
    assert clouds.hosts == [ENTRA]


def test_the_identity_of_the_machine(clouds, exchange):
    assert exchange("azure", REGISTRY).credentials.identity_token
    assert clouds.hosts == [METADATA, REGISTRY]
    assert "client_id" not in clouds.asked[0].path
    exchange("azure", REGISTRY, AZURE_CLIENT_ID="c")
    assert clouds.asked[2].path.endswith("&client_id=c")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(401), "credentials-refused"), (Answer(500), "credentials-unavailable"), (said({}), "credentials-unavailable"),
        (said({"refresh_token": "acr payload"}), "credentials-unavailable"), (said({"refresh_token": 5}), "credentials-unavailable"),
        (Answer(307, b"", (("Location", "https://evil.test/oauth2/exchange"),)), "credentials-unavailable"),
    ],
)  # fmt: skip
def test_a_registry_that_gives_nothing(clouds, exchange, workload, answer, code):
    clouds.instead[REGISTRY] = answer
    refuses(exchange, code, clouds, **workload)
    assert set(clouds.hosts) == {ENTRA, REGISTRY}
    clouds.instead.clear()
    assert exchange("azure", REGISTRY, **workload)


@pytest.mark.parametrize(
    "token", ["opaque", "e30.e30.x", "a.!.c", "e30.eyJleHAiOiAibmV2ZXIifQ.x", "e30.eyJleHAiOiAtMX0.x"]
)
def test_a_token_that_does_not_say_how_long_it_lives_is_kept_briefly(clouds, exchange, token):
    clouds.instead[REGISTRY] = said({"refresh_token": token})
    assert exchange("azure", REGISTRY).expires == NOW + 900


def test_a_token_that_has_ended_is_none(clouds, exchange):
    clouds.instead[REGISTRY] = said({"refresh_token": "e30.eyJleHAiOiAxMjM0NX0.x"})
    refuses(exchange, "credentials-unavailable", clouds)


@pytest.mark.parametrize(
    ("environ", "user", "password"),
    [
        ({"GITHUB_TOKEN": "gh-secret-token"}, "sealgate", "gh-secret-token"),
        ({"GH_TOKEN": "gh-secret-token", "GITHUB_ACTOR": "someone"}, "someone", "gh-secret-token"),
        ({"GITHUB_TOKEN": "first", "GH_TOKEN": "second"}, "sealgate", "first"),
    ],
)
def test_github(clouds, exchange, environ, user, password):
    found = exchange("github", "ghcr.io", **environ)
    assert (found.credentials.username, found.credentials.password) == (user, password)
    assert clouds.asked == []
    assert password not in repr(found)


@pytest.mark.parametrize(
    "environ",
    [{}, {"GITHUB_TOKEN": " "}, {"GITHUB_TOKEN": "gh-secret-token\r\nx: y"}, {"GITHUB_TOKEN": "gh-secret-token", "GITHUB_ACTOR": "a:b"},
     {"GITHUB_TOKEN": "gh-secret-token é"}],
)  # fmt: skip
def test_github_without_a_token_is_not_anonymous(clouds, exchange, environ):
    refuses(exchange, "credentials-missing", clouds, "github", "ghcr.io", **environ)
