"""Google's registries, asked of fakes of the metadata server, the token service, the STS and IAM."""

from __future__ import annotations

import json

import pytest

from clouds.fake_clouds import METADATA, NOW, Answer, said
from sealgate.errors import SealgateError

REGISTRY = "europe-west1-docker.pkg.dev"
TOKENS, STS, IAM = "oauth2.googleapis.com", "sts.googleapis.com", "iamcredentials.googleapis.com"


@pytest.fixture
def given(tmp_path):
    """A file that GOOGLE_APPLICATION_CREDENTIALS names."""

    def write(document: object) -> dict[str, str]:
        path = tmp_path / "a folder é" / "google.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}

    return write


@pytest.fixture
def key(clouds):
    return {
        "type": "service_account", "client_email": "robot@project.iam.gserviceaccount.com", "private_key_id": "k1",
        "private_key": clouds.google_pem(), "token_uri": "https://oauth2.googleapis.com/token",
    }  # fmt: skip


@pytest.fixture
def elsewhere(token_file):
    return {
        "type": "external_account", "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": token_file},
    }  # fmt: skip


ACCOUNT = f"https://{IAM}/v1/projects/-/serviceAccounts/reader@p.iam.gserviceaccount.com:generateAccessToken"


def refuses(exchange, code: str, clouds, **environ: str) -> SealgateError:
    with pytest.raises(SealgateError) as raised:
        exchange("google", REGISTRY, **environ)
    assert raised.value.code == code, raised.value
    said = f"{raised.value.message} {raised.value.hint}"
    assert not any(secret in said for secret in clouds.secrets()), said
    assert "PRIVATE KEY" not in said
    return raised.value


@pytest.mark.parametrize("registry", [REGISTRY, "gcr.io", "eu.gcr.io"])
def test_the_account_of_the_machine(clouds, exchange, registry):
    found = exchange("google", registry)
    assert (found.credentials.username, found.credentials.password) == ("oauth2accesstoken", "google-access-token-1")
    assert found.expires == NOW + 3599
    assert clouds.hosts == [METADATA]


@pytest.mark.parametrize(
    "answer",
    [
        said({"access_token": "google-access-token-1", "expires_in": 3599}),  # somebody else's, at that address
        said({"access_token": "google-access-token-1"}, Metadata_Flavor="Google"),
        said({"expires_in": 3599}, Metadata_Flavor="Google"),
        said({"access_token": "two words", "expires_in": 3599}, Metadata_Flavor="Google"),
        said({"access_token": "google-access-token-1", "expires_in": 0}, Metadata_Flavor="Google"),
        said({"access_token": "google-access-token-1", "expires_in": -5}, Metadata_Flavor="Google"),
        Answer(500), Answer(200, b"{", (("Metadata-Flavor", "Google"),)),
    ],
)  # fmt: skip
def test_an_answer_of_the_metadata_server_that_is_not_one(clouds, exchange, answer):
    clouds.instead[METADATA] = answer
    refuses(exchange, "credentials-unavailable", clouds)
    clouds.instead.clear()
    assert exchange("google", REGISTRY)


def test_the_key_of_a_service_account(clouds, exchange, given, key):
    assert exchange("google", REGISTRY, **given(key)).credentials.password == "google-access-token-2"
    assert clouds.hosts == [TOKENS]
    assert exchange("google", REGISTRY, **given(key | {"token_uri": "https://accounts.google.com/o/oauth2/token"}))
    assert clouds.hosts == [TOKENS, TOKENS]


@pytest.mark.parametrize(
    "change",
    [
        {"token_uri": "https://evil.test/token"}, {"token_uri": "http://oauth2.googleapis.com/token"},
        {"token_uri": "https://oauth2.googleapis.com.evil.test/token"}, {"token_uri": None}, {"client_email": ""},
        {"private_key": "nonsense"}, {"private_key": 5}, {"type": "authorized_user"}, {"type": None},
    ],
)  # fmt: skip
def test_a_key_file_that_cannot_be_used(clouds, exchange, given, key, change):
    refuses(exchange, "credentials-missing", clouds, **given(key | change))
    assert clouds.asked == []
    assert exchange("google", REGISTRY, **given(key))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"type": "service_account", "type": "external_account"}'])
def test_a_file_that_is_no_object(clouds, exchange, given, text):
    refuses(exchange, "credentials-missing", clouds, **given(text))
    assert clouds.asked == []


def test_a_file_that_is_not_there_is_no_reason_to_ask_the_machine(clouds, exchange, tmp_path):
    refuses(exchange, "credentials-missing", clouds, GOOGLE_APPLICATION_CREDENTIALS=str(tmp_path / "none"))
    assert clouds.asked == []


def test_a_clock_that_is_wrong_is_told_by_google(clouds, exchange, given, key, clock):
    clouds.clock = lambda: NOW + 7200
    error = refuses(exchange, "credentials-refused", clouds, **given(key))
    assert "invalid_grant" in error.message
    clouds.clock = clock
    assert exchange("google", REGISTRY, **given(key))


def test_a_workload_of_another_place(clouds, exchange, given, elsewhere):
    found = exchange("google", REGISTRY, **given(elsewhere))
    assert found.credentials.password == "google-elsewhere-token"
    assert clouds.hosts == [STS]
    assert clouds.asked[0].form["scope"].endswith("/auth/cloud-platform")


def test_a_workload_of_another_place_as_a_service_account(clouds, exchange, given, elsewhere):
    found = exchange("google", REGISTRY, **given(elsewhere | {"service_account_impersonation_url": ACCOUNT}))
    assert found.credentials.password == "google-access-token-3"
    assert clouds.hosts == [STS, IAM]
    assert clouds.asked[0].form["scope"].endswith("/auth/iam")


def test_the_token_of_another_place_in_json(clouds, exchange, given, elsewhere, tmp_path):
    path = tmp_path / "subject.json"
    path.write_text('{"id_token": "a-service-account-token"}')
    form = {"type": "json", "subject_token_field_name": "id_token"}
    source = {"credential_source": {"file": str(path), "format": form}}
    assert exchange("google", REGISTRY, **given(elsewhere | source)).credentials.password == "google-elsewhere-token"
    path.write_text('{"other": "a-service-account-token"}')
    refuses(exchange, "credentials-missing", clouds, **given(elsewhere | source))


@pytest.mark.parametrize(
    "change",
    [
        {"token_url": "https://evil.test/v1/token"}, {"token_url": "https://sts.googleapis.com.evil.test/v1/token"},
        {"service_account_impersonation_url": "https://evil.test/v1/x:generateAccessToken"},
        {"service_account_impersonation_url": ACCOUNT.replace(".com/", ".com.evil.test/")},
        {"service_account_impersonation_url": f"{ACCOUNT}?x"}, {"service_account_impersonation_url": 5}, {"audience": ""},
        {"credential_source": {"url": "http://169.254.169.254/latest/x"}},
        {"credential_source": {"executable": {"command": "touch /tmp/x"}}},
        {"credential_source": {"environment_id": "aws1"}}, {"credential_source": None},
    ],
)  # fmt: skip
def test_a_description_of_another_place_that_leads_away_from_google(clouds, exchange, given, elsewhere, change):
    refuses(exchange, "credentials-missing", clouds, **given(elsewhere | change))
    assert clouds.asked == []
    assert exchange("google", REGISTRY, **given(elsewhere))


def test_a_token_that_the_pool_does_not_believe(clouds, exchange, given, elsewhere, tmp_path):
    path = tmp_path / "other"
    path.write_text("another-token")
    error = refuses(
        exchange, "credentials-refused", clouds, **given(elsewhere | {"credential_source": {"file": str(path)}})
    )
    assert "invalid_grant" in error.message


def test_an_account_that_may_not_be_impersonated(clouds, exchange, given, elsewhere):
    clouds.instead[IAM] = said(
        {"error": {"code": 403, "message": "google-elsewhere-token", "status": "PERMISSION_DENIED"}}, 403
    )
    environ = given(elsewhere | {"service_account_impersonation_url": ACCOUNT})
    assert "PERMISSION_DENIED" in refuses(exchange, "credentials-refused", clouds, **environ).message
    clouds.instead[IAM] = said({"accessToken": "google-access-token-3", "expireTime": "2027-01-01T00:00:00"})
    refuses(exchange, "credentials-unavailable", clouds, **environ)
