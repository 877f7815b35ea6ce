"""How credentials of clouds are used at registries: fakes of ECR, ACR and Artifact Registry, and of the clouds behind them."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import parse_qs

import pytest

from clouds.fake_clouds import ACCOUNT, ECR, METADATA, ambient, said
from sealgate.errors import SealgateError
from sealgate.oci.credentials import Credentials
from sealgate.oci.exchange.cache import Exchanger
from sealgate.oci.host import RegistrySettings
from sealgate.oci.reference import parse
from sealgate.oci.registry import Session
from sealgate.transport import driver, flow
from sealgate.transport.message import Response

VARIABLES = {"AWS_ACCESS_KEY_ID": "AKIDENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "the-secret-of-variables"}
PEER = "93.184.216.34"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class FakeRegistry:
    """A registry that wants credentials, by Basic (ECR) or by tokens of its own (the others). No image is there."""

    def __init__(self, host: str, *, bearer: bool = False) -> None:
        self.host = host
        self.bearer = bearer
        self.seen: list[tuple[str, str]] = []
        """Path and Authorization of every request."""
        self.passwords: set[str] = set()
        self.users = ("AWS", "oauth2accesstoken", "sealgate")
        self.realm = f"https://{host}/oauth2/token"

    def __call__(self, request):
        path = request.url.target.partition("?")[0]
        authorization = dict(request.headers).get("Authorization", "")
        self.seen.append((path, authorization))
        if path == "/oauth2/token":
            return self._token(request, authorization)
        if authorization.startswith("Bearer ") if self.bearer else self._is_good(authorization):
            return Response(404, (), b"{}", PEER)
        words = json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": f"not {authorization}"}]}).encode()
        challenge = f'Bearer realm="{self.realm}",service="{self.host}"' if self.bearer else 'Basic realm="x"'
        return Response(401, (("www-authenticate", challenge),), words, PEER)

    def _is_good(self, authorization: str) -> bool:
        return authorization in {basic(user, each) for user in self.users for each in self.passwords}

    def _token(self, request, authorization: str):
        if request.method == "POST":
            form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
            assert form["grant_type"] == "refresh_token"
            good = form["refresh_token"] in self.passwords
        else:
            good = self._is_good(authorization)
        return Response(200, (), b'{"access_token":"t"}', PEER) if good else Response(401, (), b"{}", PEER)


class Scene:
    """Registries, clouds, and what asks them."""

    def __init__(self, clouds, network, clock) -> None:
        self.clouds, self._network, self.clock = clouds, network, clock
        clouds.keys["AKIDENVIRONMENT"] = ("the-secret-of-variables", "")
        self.registries: dict[str, FakeRegistry] = {}
        self.monotonic = 1000.0
        self.session = self.new_session()

    def new_session(self, names=("amazon", "azure", "github", "google"), environ=VARIABLES, **settings) -> Session:
        exchanger = Exchanger(names, ambient(self.clock, **environ))
        return Session(RegistrySettings(exchange=exchanger, first_pause=0.01, **settings))

    def registry(self, host: str, *passwords: str, bearer: bool = False) -> FakeRegistry:
        found = self.registries[host] = FakeRegistry(host, bearer=bearer)
        found.passwords.update(passwords)
        return found

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.monotonic += seconds

    def send(self, request, deadline):
        registry = self.registries.get(request.url.host)
        if registry is not None and not request.url.target.startswith("/oauth2/exchange"):
            return registry(request)
        return self._network(request, time.monotonic() + 20)

    def ask(self, *names: str) -> None:
        """Ask for images that are not there, all at once, in a run of its own."""

        async def look():
            await flow.gather([self.session.repository(parse(name)).head_manifest("v1") for name in names])

        driver.run(look(), sender=self.send, seconds=20, clock=lambda: self.monotonic)
        self.session = self.session.renewed()

    def refuses(self, code: str, *names: str) -> SealgateError:
        with pytest.raises(SealgateError) as raised:
            self.ask(*names)
        error = raised.value
        assert error.code == code, error
        assert error.exit_code == 14
        said = f"{error.message} {error.hint}"
        encoded = [base64.b64encode(f"AWS:ecr-password-{n}".encode()).decode() for n in range(1, 9)]
        assert not any(secret in said for secret in [*self.clouds.secrets(), *encoded]), said
        return error


@pytest.fixture
def scene(clouds, network, clock):
    return Scene(clouds, network, clock)


def test_ecr_gets_the_password_and_amazon_is_asked_once(scene):
    registry = scene.registry(ACCOUNT, "ecr-password-1")
    scene.ask(*(f"{ACCOUNT}/team/{name}" for name in "abcdef"))
    scene.ask(f"{ACCOUNT}/team/g")
    assert scene.clouds.hosts == [ECR]
    assert registry.seen[-1] == ("/v2/team/g/manifests/v1", basic("AWS", "ecr-password-1"))


def test_what_expires_is_asked_for_anew_before_the_registry_refuses_it(scene):
    registry = scene.registry(ACCOUNT, "ecr-password-1", "ecr-password-2")
    scene.ask(f"{ACCOUNT}/team/a")
    scene.pass_time(12 * 3600 - 121)
    scene.ask(f"{ACCOUNT}/team/a")
    assert registry.seen[-1][1] == basic("AWS", "ecr-password-1")
    scene.pass_time(1)
    scene.ask(f"{ACCOUNT}/team/a")
    assert registry.seen[-1][1] == basic("AWS", "ecr-password-2")
    assert len(scene.clouds.asked) == 2
    # The old one went out no more, not even to be refused.
    assert [authorization for _, authorization in registry.seen] == [
        "", basic("AWS", "ecr-password-1"), basic("AWS", "ecr-password-1"), basic("AWS", "ecr-password-2"),
    ]  # fmt: skip


def test_a_password_that_the_registry_takes_no_more_is_replaced_once(scene):
    registry = scene.registry(ACCOUNT, "ecr-password-1")
    scene.ask(f"{ACCOUNT}/team/a")
    registry.passwords = {"ecr-password-2"}
    scene.ask(f"{ACCOUNT}/team/a")
    assert len(scene.clouds.asked) == 2
    registry.passwords = set()
    scene.refuses("registry-unauthorized", f"{ACCOUNT}/team/a")
    assert len(scene.clouds.asked) == 3  # and no more of them


def test_where_the_cloud_gives_nothing_the_registry_is_not_asked_without(scene):
    registry = scene.registry(ACCOUNT, "ecr-password-1")
    scene.clouds.instead[ECR] = said({"__type": "AccessDeniedException", "message": "ecr-password"}, 400)
    error = scene.refuses("credentials-refused", f"{ACCOUNT}/team/a")
    assert "AccessDeniedException" in error.message
    assert [authorization for _, authorization in registry.seen] == [""]  # the question whether it wants any
    # Where that is known already, nothing goes out at all.
    scene.refuses("credentials-refused", f"{ACCOUNT}/team/b")
    assert len(registry.seen) == 1
    scene.clouds.instead.clear()
    scene.ask(f"{ACCOUNT}/team/b")
    assert registry.seen[-1][1] == basic("AWS", "ecr-password-1")


def test_where_nothing_says_who_asks_the_registry_is_not_asked_without(scene):
    registry = scene.registry("ghcr.io", bearer=True)
    scene.refuses("credentials-missing", "ghcr.io/team/a")
    assert [path for path, _ in registry.seen] == ["/v2/team/a/manifests/v1"]  # no token of nobody's
    registry.passwords = {"gh-secret-token"}
    scene.session = scene.new_session(environ={"GITHUB_TOKEN": "gh-secret-token"})
    scene.ask("ghcr.io/team/a")


def test_a_registry_of_no_cloud_is_asked_as_ever(scene):
    registry = scene.registry("registry.example.com")
    scene.refuses("registry-unauthorized", "registry.example.com/team/a")
    assert registry.seen == [("/v2/team/a/manifests/v1", "")]
    assert scene.clouds.asked == []


@pytest.mark.parametrize(
    "host", [f"{ACCOUNT}.evil.test", "evilghcr.io", "team.azurecr.io.evil.test", "us-docker.pkg.dev.evil.test"]
)
def test_T12_a_registry_that_looks_like_a_clouds_gets_nothing(scene, host):
    scene.session = scene.new_session(environ=VARIABLES | {"GITHUB_TOKEN": "gh-secret-token"})
    registry = scene.registry(host)
    scene.refuses("registry-unauthorized", f"{host}/team/a")
    assert registry.seen == [("/v2/team/a/manifests/v1", "")]
    assert scene.clouds.asked == []


def test_what_a_file_says_of_a_registry_comes_first(scene):
    registry = scene.registry(ACCOUNT, "of-the-file", "ecr-password-1")
    other = ACCOUNT.replace("123456789012", "210987654321")
    scene.registry(other, "ecr-password-1")
    given = Credentials("AWS", "of-the-file")
    scene.session = scene.new_session(credentials=lambda host, _: given if host == ACCOUNT else None)
    scene.ask(f"{ACCOUNT}/team/a")
    assert registry.seen[-1][1] == basic("AWS", "of-the-file")
    assert scene.clouds.asked == []
    scene.ask(f"{other}/team/a")
    assert scene.clouds.hosts == [ECR]
    registry.passwords = {"ecr-password-1"}
    scene.refuses("registry-unauthorized", f"{ACCOUNT}/team/a")  # never replaced by a cloud's


def test_acr_gets_its_refresh_token_and_one_that_it_refuses_is_not_kept(scene):
    registry = scene.registry("team.azurecr.io", bearer=True)
    error = scene.refuses("registry-unauthorized", "team.azurecr.io/app")
    assert "--registry-credentials" in (error.hint or "")
    assert registry.seen[-1][0] == "/oauth2/token"
    assert scene.clouds.hosts == [METADATA, "team.azurecr.io"]
    answer = scene.clouds.fake_acr(scene.clouds.asked[-1])
    registry.passwords = {json.loads(answer.body)["refresh_token"]}
    scene.ask("team.azurecr.io/app", "team.azurecr.io/other")
    assert scene.clouds.hosts == [METADATA, "team.azurecr.io"] * 2
    assert registry.seen[-1][1] == "Bearer t"


def test_artifact_registry_gets_the_access_token(scene):
    registry = scene.registry("europe-docker.pkg.dev", "google-access-token-1", bearer=True)
    scene.ask("europe-docker.pkg.dev/project/repository/app")
    assert ("/oauth2/token", basic("oauth2accesstoken", "google-access-token-1")) in registry.seen
    scene.pass_time(3600)
    scene.ask("europe-docker.pkg.dev/project/repository/app")
    assert scene.clouds.hosts == [METADATA, METADATA]


@pytest.mark.parametrize(
    "realm",
    ["http://169.254.169.254/oauth2/token", "https://169.254.169.254/oauth2/token", "https://evil.test/oauth2/token"],
)
def test_T09_a_clouds_credentials_go_to_no_token_service_elsewhere(scene, realm):
    registry = scene.registry("europe-docker.pkg.dev", "google-access-token-1", bearer=True)
    registry.realm = realm
    scene.refuses("realm-refused", "europe-docker.pkg.dev/project/repository/app")
    assert [path for path, _ in registry.seen] == ["/v2/project/repository/app/manifests/v1"]
    assert scene.clouds.hosts == [METADATA]  # by us, for its one purpose
    registry.realm = "https://europe-docker.pkg.dev/oauth2/token"
    scene.ask("europe-docker.pkg.dev/project/repository/app")


def test_T09_no_registry_is_at_a_metadata_service(scene):
    from sealgate.errors import AddressError
    from sealgate.transport.http import HttpClient

    scene.session = scene.new_session(addresses="not-local")
    http = HttpClient()
    store = scene.session.repository(parse("169.254.169.254/latest/app"))
    with pytest.raises(AddressError):
        driver.run(store.head_manifest("v1"), sender=http.send, seconds=5)
    assert scene.clouds.asked == []
