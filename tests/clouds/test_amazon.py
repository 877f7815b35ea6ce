"""Amazon's registries, asked of fakes of ECR, STS and the places where a key comes from."""

from __future__ import annotations

import base64

import pytest

from clouds.fake_clouds import ACCOUNT, ECR, ECR_PUBLIC, ECS, METADATA, NOW, POD_IDENTITY, STS, Answer, said
from sealgate.errors import SealgateError

VARIABLES = {"AWS_ACCESS_KEY_ID": "AKIDENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "the-secret-of-variables"}


@pytest.fixture(autouse=True)
def known(clouds):
    clouds.keys["AKIDENVIRONMENT"] = ("the-secret-of-variables", "")


@pytest.fixture
def service_account(token_file):
    return {"AWS_WEB_IDENTITY_TOKEN_FILE": token_file, "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r"}


@pytest.fixture
def pod(tmp_path):
    path = tmp_path / "pod-token"
    path.write_text("a-pod-token")
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{POD_IDENTITY}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(path),
    }


def refuses(exchange, code: str, clouds, **environ: str) -> SealgateError:
    with pytest.raises(SealgateError) as raised:
        exchange("amazon", ACCOUNT, **environ)
    assert raised.value.code == code, raised.value
    assert raised.value.exit_code == 14
    said = f"{raised.value.message} {raised.value.hint}"
    assert not any(secret in said for secret in clouds.secrets()), said
    return raised.value


def test_variables(clouds, exchange):
    found = exchange("amazon", ACCOUNT, **VARIABLES)
    assert (found.credentials.username, found.credentials.password) == ("AWS", "ecr-password-1")
    assert found.expires == NOW + 12 * 3600
    assert clouds.hosts == [ECR]
    assert "ecr-password" not in repr(found)


@pytest.mark.parametrize(
    ("registry", "host"),
    [
        ("public.ecr.aws", ECR_PUBLIC),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "ecr-fips.us-gov-west-1.amazonaws.com"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "api.ecr.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_each_kind_of_registry_is_asked_for_at_its_own_service(clouds, exchange, registry, host):
    assert exchange("amazon", registry, **VARIABLES).credentials.password == "ecr-password-1"
    assert clouds.hosts == [host]


def test_a_session_token_goes_along_and_counts(clouds, exchange):
    identifier, secret, session = clouds.new_key("session")
    around = {"AWS_ACCESS_KEY_ID": identifier, "AWS_SECRET_ACCESS_KEY": secret}
    assert exchange("amazon", ACCOUNT, **around, AWS_SESSION_TOKEN=session).credentials.password == "ecr-password-1"
    refuses(exchange, "credentials-refused", clouds, **around)
    refuses(exchange, "credentials-refused", clouds, **around, AWS_SESSION_TOKEN="another")


def test_a_key_that_amazon_does_not_know_is_refused_and_its_words_are_not_repeated(clouds, exchange):
    error = refuses(exchange, "credentials-refused", clouds, **VARIABLES | {"AWS_SECRET_ACCESS_KEY": "another"})
    assert "UnrecognizedClientException" in error.message
    assert "ecr:GetAuthorizationToken" in (error.hint or "")


def test_half_a_key_is_no_key_and_nothing_else_is_tried(clouds, exchange):
    refuses(exchange, "credentials-missing", clouds, AWS_ACCESS_KEY_ID="AKIDENVIRONMENT")
    refuses(exchange, "credentials-missing", clouds, AWS_SECRET_ACCESS_KEY="the-secret-of-variables")
    assert clouds.asked == []


def test_a_service_account(clouds, exchange, service_account):
    assert exchange("amazon", ACCOUNT, **service_account).credentials.password == "ecr-password-1"
    assert clouds.hosts == [STS, ECR]
    assert clouds.asked[0].form["RoleSessionName"] == "sealgate"


def test_the_region_of_the_variables_is_where_sts_is_asked(clouds, exchange, service_account):
    exchange("amazon", "public.ecr.aws", **service_account, AWS_REGION="eu-central-1", AWS_DEFAULT_REGION="us-east-1")
    assert clouds.hosts == [STS, ECR_PUBLIC]
    for wrong in ("eu-central-1.evil.test/", "evil.test#", "eu"):
        refuses(exchange, "credentials-missing", clouds, **service_account, AWS_REGION=wrong)
    assert len(clouds.asked) == 2


def test_a_service_account_that_the_role_does_not_trust_ends_there(clouds, exchange, service_account):
    error = refuses(
        exchange, "credentials-refused", clouds, **service_account | {"AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}
    )
    assert "AccessDenied" in error.message
    assert clouds.hosts == [STS]  # no other identity is tried
    refuses(
        exchange,
        "credentials-missing",
        clouds,
        AWS_WEB_IDENTITY_TOKEN_FILE=service_account["AWS_WEB_IDENTITY_TOKEN_FILE"],
    )


@pytest.mark.parametrize("content", [None, b"", b"\n", b"two words", b"a\x00b", b"\xff\xfe", b"x" * 70_000])
def test_a_token_file_that_is_not_one(clouds, exchange, tmp_path, content):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    environ = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(path), "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r"}
    refuses(exchange, "credentials-missing", clouds, **environ)
    assert clouds.asked == []
    path.write_bytes(b"a-service-account-token")
    assert exchange("amazon", ACCOUNT, **environ)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<AccessKeyId>A</AccessKeyId>", b'{"Credentials": {}}',
        (b"<AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>"
        b"<Expiration>soon</Expiration>"),
        (b"<AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>"
        b"<Expiration>2001-01-01T00:00:00Z</Expiration>"),
        (b"<AccessKeyId>A</AccessKeyId><AccessKeyId>B</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"
        b"<SessionToken>T</SessionToken><Expiration>2027-01-01T00:00:00Z</Expiration>"),
        (b"<AccessKeyId>&lol;</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>"
        b"<Expiration>2027-01-01T00:00:00Z</Expiration>"),
        b"x" * 100_000,
    ],
)  # fmt: skip
def test_an_answer_of_sts_that_is_not_one(clouds, exchange, service_account, body):
    clouds.instead[STS] = Answer(200, body)
    refuses(exchange, "credentials-unavailable", clouds, **service_account)
    assert clouds.hosts == [STS]
    clouds.instead.clear()
    assert exchange("amazon", ACCOUNT, **service_account)


def test_a_pod_identity(clouds, exchange, pod):
    assert exchange("amazon", ACCOUNT, **pod).credentials.password == "ecr-password-1"
    assert clouds.hosts == [POD_IDENTITY, ECR]
    refuses(exchange, "credentials-refused", clouds, **pod | {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": ""})


def test_the_header_for_containers_may_be_two_words_and_never_two_lines(clouds, exchange):
    environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{ECS}/v2/credentials/task"}
    assert exchange("amazon", ACCOUNT, **environ, AWS_CONTAINER_AUTHORIZATION_TOKEN="Basic abcd")
    assert clouds.asked[0].headers["authorization"] == "Basic abcd"
    refuses(exchange, "credentials-missing", clouds, **environ, AWS_CONTAINER_AUTHORIZATION_TOKEN="Basic a\r\nX: y")
    assert clouds.hosts == [ECS, ECR]


def test_a_task_of_ecs(clouds, exchange):
    assert exchange("amazon", ACCOUNT, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/v2/credentials/task")
    assert clouds.hosts == [ECS, ECR]
    refuses(exchange, "credentials-missing", clouds, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="@evil.test/")


@pytest.mark.parametrize(
    "address",
    ["http://evil.test/v1/credentials", "http://169.254.169.254/x", "http://10.0.0.1/x", "http://169.254.170.23.evil.test/",
     "http://127.0.0.1.evil.test/", "http://localhost/", "ftp://169.254.170.23/", "http://user@169.254.170.23/", "nonsense"],
)  # fmt: skip
def test_a_pods_token_goes_by_plain_http_to_amazons_own_addresses_alone(clouds, exchange, pod, address):
    refuses(exchange, "credentials-missing", clouds, **pod | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": address})
    assert clouds.asked == []
    assert exchange("amazon", ACCOUNT, **pod)


def test_the_role_of_the_machine(clouds, exchange, network):
    assert exchange("amazon", ACCOUNT).credentials.password == "ecr-password-1"
    assert [each.method for each in clouds.asked] == ["PUT", "GET", "GET", "POST"]
    assert clouds.hosts == [METADATA] * 3 + [ECR]
    assert all(each.seconds <= 2 for each in network.requests[:3])


def test_the_machine_is_not_asked_when_that_is_switched_off(clouds, exchange):
    refuses(exchange, "credentials-missing", clouds, AWS_EC2_METADATA_DISABLED="true")
    assert clouds.asked == []
    assert exchange("amazon", ACCOUNT, AWS_EC2_METADATA_DISABLED="false")


@pytest.mark.parametrize("role", [b"", b"../../secret", b"a role", b"<html>", b"x" * 65, b"\xff"])
def test_a_role_that_is_none_is_not_asked_for(clouds, exchange, role):
    clouds.instead[METADATA] = [Answer(200, b"imds-session-token"), Answer(200, role)]
    refuses(exchange, "credentials-unavailable", clouds)
    assert len(clouds.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        said({}), said([]), Answer(200, b"ecr-password"), said({"authorizationData": []}), said({"authorizationData": [1]}),
        said({"authorizationData": [{"authorizationToken": "!", "expiresAt": NOW + 60}]}),
        said({"authorizationData": [{"authorizationToken": base64.b64encode(b"AWS:").decode(), "expiresAt": NOW + 60}]}),
        said({"authorizationData": [{"authorizationToken": base64.b64encode(b"ecr-password").decode(), "expiresAt": NOW}]}),
        said({"authorizationData": [{"authorizationToken": base64.b64encode(b"AWS:p").decode()}]}),
        said({"authorizationData": [{"authorizationToken": base64.b64encode(b"AWS:p").decode(), "expiresAt": "never"}]}),
        said({"authorizationData": [{"authorizationToken": base64.b64encode(b"AWS:p").decode(), "expiresAt": NOW - 1}]}),
        said({"authorizationData": [{"authorizationToken": base64.b64encode(b"AWS:p").decode(), "expiresAt": True}]}),
        said({"authorizationData": [{"authorizationToken": base64.b64encode(b"AWS:p").decode(), "expiresAt": NOW + 1}] * 2}),
        Answer(200, b" " * 70_000), Answer(302, b"", (("Location", "https://evil.test/"),)), Answer(500), Answer(503),
        said({"__type": "ThrottlingException"}, 400),
    ],
)  # fmt: skip
def test_an_answer_of_ecr_that_is_not_one(clouds, exchange, answer):
    clouds.instead[ECR] = answer
    refuses(exchange, "credentials-unavailable", clouds, **VARIABLES)
    assert set(clouds.hosts) == {ECR}
    clouds.instead.clear()
    assert exchange("amazon", ACCOUNT, **VARIABLES)


def test_a_service_that_is_busy_is_asked_again(clouds, exchange):
    clouds.instead[ECR] = [Answer(503), said({"__type": "ThrottlingException"}, 400), Answer(429)]
    assert exchange("amazon", ACCOUNT, **VARIABLES).credentials.password == "ecr-password-1"
    assert clouds.hosts == [ECR] * 4
