"""Credentials, and who gets to see them: realms, redirects, look-alike hosts, plain http (T09 to T14, T23, W32, W33)."""

from __future__ import annotations

import base64
import json

import pytest

from bypasses.scene import REPOSITORY, Scene, run
from evil_registry.scripts import altered, challenge, redirect, reply

CANARY = "canary-7c1d-password"
TOKEN = "canary-91ab-token"
BASIC = "Basic " + base64.b64encode(f"alice:{CANARY}".encode()).decode()


def _config(folder, **auths: str) -> dict[str, str]:
    """The environment of somebody whose docker config has these credentials."""
    folder.mkdir(exist_ok=True)
    entries = {host: {"auth": BASIC.removeprefix("Basic ")} for host in auths.values()}
    (folder / "config.json").write_text(json.dumps({"auths": entries}))
    return {"DOCKER_CONFIG": str(folder), "HOME": str(folder)}


def _demand(scene: Scene, realm: str, *, service: str = "registry") -> None:
    """From now on the registry wants a bearer token of that realm, and takes one."""

    def script(exchange):
        if exchange.seen.headers.get("authorization") == f"Bearer {TOKEN}":
            return exchange.reply(exchange.honest())
        return challenge(realm, service=service)(exchange)

    scene.registry.on("*", f"/v2/{REPOSITORY}/*", script)


def _seen(server) -> str:
    """Everything that a server was ever told."""
    return repr(server.requests)


@pytest.fixture
def signed(scene) -> Scene:
    """A scene with a good signature."""
    scene.attach()
    return scene


# -- T09: realms that fish


def test_T09_a_realm_elsewhere_never_sees_the_credentials_and_the_error_names_the_setting(
    signed, evil_registry, tmp_path
):
    trap = evil_registry.trap()
    environ = _config(tmp_path / "docker", host=signed.registry.host)
    _demand(signed, f"{trap.origin}/token")
    outcome = signed.verify(environ=environ)
    outcome.is_refused("realm-refused", 14)
    assert trap.requests == []
    assert trap.connections == 0
    assert f"--registry-realm {trap.host}" in outcome.verdict["hint"]
    assert "SEALGATE_REGISTRY_REALMS" in outcome.verdict["hint"]
    assert CANARY not in outcome.stdout + outcome.stderr
    # The twin: the registry's own token service gets them.
    _demand(signed, f"{signed.registry.origin}/token")
    signed.registry.on("GET", "/token", reply(json={"token": TOKEN}))
    signed.verify(environ=environ).is_accepted()
    assert {seen.headers.get("authorization") for seen in signed.registry.asked("GET", "/token")} == {BASIC}


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_T09_a_realm_that_the_user_named_gets_the_credentials(signed, evil_registry, tmp_path, how):
    service = evil_registry()
    service.on("GET", "/token", reply(json={"access_token": TOKEN}))
    _demand(signed, f"{service.origin}/token")
    environ = _config(tmp_path / "docker", host=signed.registry.host)
    signed.verify(environ=environ).is_refused("realm-refused", 14)
    assert service.requests == []
    flags = ["--registry-realm", service.host] if how == "flag" else []
    named = environ if flags else {**environ, "SEALGATE_REGISTRY_REALMS": f"other.test, {service.host}"}
    signed.verify(*flags, environ=named).is_accepted()
    assert service.requests[0].headers["authorization"] == BASIC


@pytest.mark.parametrize(
    "realm",
    [
        "http://169.254.169.254/latest/meta-data/iam", "https://169.254.169.254/", "https://[fe80::1]/", "http://metadata/",
        "https://[::ffff:169.254.169.254]/", "https://100.100.100.200/", "http://10.0.0.1/token", "ftp://127.0.0.1/token",
        "file:///etc/passwd", "//127.0.0.1", "https://alice@127.0.0.1/token", "https://127.0.0.1\\@evil.test/", "https://0x7f.1/",
        "",
    ],
)  # fmt: skip
def test_T09_realms_that_nobody_asks_even_without_credentials(signed, resolve, realm):
    resolve("metadata", ["169.254.169.254"])
    signed.verify().is_accepted()
    _demand(signed, realm)
    signed.verify().is_refused("realm-refused", 14)


def test_T09_a_realm_that_redirects_is_not_followed(signed, evil_registry, tmp_path):
    trap = evil_registry.trap()
    _demand(signed, f"{signed.registry.origin}/token")
    signed.registry.on("GET", "/token", redirect(f"{trap.origin}/token"))
    environ = _config(tmp_path / "docker", host=signed.registry.host)
    signed.verify(environ=environ).is_refused("registry-failed", 14)
    assert trap.connections == 0
    signed.registry.on("GET", "/token", reply(json={"token": TOKEN}))
    signed.verify(environ=environ).is_accepted()


def test_T09_an_identity_token_stays_at_home_too(signed, evil_registry, tmp_path):
    trap = evil_registry.trap()
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {signed.registry.host: {"identitytoken": CANARY, "auth": "YWxpY2U6"}}})
    )
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    _demand(signed, f"{trap.origin}/token")
    outcome = signed.verify(environ=environ)
    outcome.is_refused("realm-refused", 14)
    assert trap.connections == 0
    _demand(signed, f"{signed.registry.origin}/token")
    signed.registry.on("POST", "/token", reply(json={"token": TOKEN}))
    signed.verify(environ=environ).is_accepted()
    assert CANARY in signed.registry.asked("POST", "/token")[0].body.decode()


def test_T09_the_known_realm_of_docker_hub_gets_the_credentials_of_docker_hub_only(
    evil_registry, signer, resolve, tmp_path
):
    """auth.docker.io belongs to docker.io; to another registry it is a stranger."""
    hub = evil_registry(tls=True, names=("index.docker.io", "registry.test"))
    service = evil_registry(tls=True, names=("auth.docker.io",))
    service.on("GET", "/token", reply(json={"token": TOKEN}))
    for name in ("index.docker.io", "registry.test"):
        resolve(name, hub)
    resolve("auth.docker.io", service)
    scene = Scene(hub, signer, tmp_path)
    scene.attach()
    _demand(scene, "https://auth.docker.io/token")
    environ = _config(tmp_path / "docker", hub="https://index.docker.io/v1/", other="registry.test")
    flags = ["--registry-cacert", evil_registry.ca_file]
    refused = scene.verify(*flags, image=f"registry.test/{REPOSITORY}:v1", environ=environ)
    refused.is_refused("realm-refused", 14)
    assert service.connections == 0
    scene.verify(*flags, image=f"docker.io/{REPOSITORY}:v1", environ=environ).is_accepted()
    assert service.requests[0].headers["authorization"] == BASIC


# -- T10: redirects


def test_T10_a_redirect_takes_no_credentials_along(signed, evil_registry, tmp_path):
    environ = _config(tmp_path / "docker", host=signed.registry.host)
    _demand(signed, f"{signed.registry.origin}/token")
    signed.registry.on("GET", "/token", reply(json={"token": TOKEN}, headers={"Set-Cookie": f"session={TOKEN}"}))
    trap, storage = evil_registry.trap(), evil_registry()
    storage.honest.blobs.update({("x", digest): data for (_, digest), data in signed.honest.blobs.items()})
    blobs = f"/v2/{REPOSITORY}/blobs/*"

    signed.registry.on("GET", blobs, redirect(f"{trap.origin}/blob?signature=abc"))
    signed.verify(environ=environ).is_refused("evidence-unavailable", 14)

    def to_storage(exchange):
        return redirect(f"{storage.origin}/v2/x/blobs/{exchange.seen.path.rpartition('/')[2]}")(exchange)

    signed.registry.on("GET", blobs, to_storage)
    signed.verify(environ=environ).is_accepted()
    assert trap.requests
    assert storage.requests
    for server in (trap, storage):
        for secret in (CANARY, TOKEN, BASIC.removeprefix("Basic ")):
            assert secret not in _seen(server)
        assert not any({"authorization", "cookie"} & seen.headers.keys() for seen in server.requests)


def test_T10_an_upload_elsewhere_takes_no_credentials_along(scene, evil_registry, tmp_path):
    run(["generate-key-pair", "--output-key-prefix", str(tmp_path / "own")], environ={"COSIGN_PASSWORD": "x"})
    environ = {**_config(tmp_path / "docker", host=scene.registry.host), "COSIGN_PASSWORD": "x"}
    _demand(scene, f"{scene.registry.origin}/token")
    scene.registry.on("GET", "/token", reply(json={"token": TOKEN}))
    storage = evil_registry()
    storage.on("PUT", "/upload", reply(201))
    scene.registry.on("POST", "*/blobs/uploads/", reply(202, headers={"Location": f"{storage.origin}/upload?id=1"}))
    signing = ["sign", "--key", str(tmp_path / "own.key"), "-y", scene.name]
    signed = run(signing, environ=environ)
    assert signed.exit_code != 0  # that registry keeps nothing of what was uploaded elsewhere
    assert storage.requests
    assert not any({"authorization", "cookie"} & seen.headers.keys() for seen in storage.requests)
    trap = evil_registry.trap()
    scene.registry.on("POST", "*/blobs/uploads/", reply(202, headers={"Location": f"{trap.origin}/upload"}))
    refused = run(signing, environ=environ)
    assert (refused.code, refused.exit_code) == ("registry-unauthorized", 14)
    assert not any("authorization" in seen.headers for seen in trap.requests)
    scene.registry.on("POST", "*/blobs/uploads/", lambda exchange: exchange.reply(exchange.honest()))
    _demand(scene, f"{scene.registry.origin}/token")
    assert run(signing, environ=environ).exit_code == 0


def test_T10_no_redirect_leads_from_https_to_http(evil_registry, signer, tmp_path):
    scene = Scene(evil_registry(tls=True), signer, tmp_path)
    scene.attach()
    storage = evil_registry()
    flags = ["--registry-cacert", evil_registry.ca_file]
    scene.verify(*flags).is_accepted()
    scene.registry.on("GET", f"/v2/{REPOSITORY}/manifests/v1", redirect(f"{storage.origin}/x"))
    scene.verify(*flags, image=scene.tag).is_refused("redirect-refused", 14)
    assert storage.connections == 0


def test_T10_W33_no_redirect_leads_to_a_machines_own_services_whatever_its_name(signed, resolve, evil_registry):
    """One of two addresses of a name is enough to refuse it: nobody knows which would be connected to."""
    storage = evil_registry()
    storage.on("GET", "/x", altered(status=200, body=signed.image.raw, headers={"Content-Type": "application/json"}))
    resolve("storage.test", storage)
    path = signed.path("manifests", "v1")
    signed.registry.on("GET", path, redirect("http://storage.test/x"))
    signed.verify(image=signed.tag).is_accepted()
    before = storage.connections
    resolve("storage.test", ["127.0.0.1", "169.254.169.254"])
    signed.verify(image=signed.tag).is_refused("address-refused", 14)
    signed.registry.on("GET", path, redirect("http://169.254.169.254/latest"))
    signed.verify(image=signed.tag).is_refused("address-refused", 14)
    assert storage.connections == before


# -- T12: look-alike hosts


def test_T12_credentials_are_for_the_exact_host(evil_registry, signer, resolve, tmp_path):
    names = ("ghcr.io", "cr.io", "ghcr.io.evil.test", "xghcr.io")
    registry = evil_registry(tls=True, names=names)
    scene = Scene(registry, signer, tmp_path)
    scene.attach()

    def demand(exchange):
        if exchange.seen.headers.get("authorization") == BASIC:
            return exchange.reply(exchange.honest())
        return challenge("x", scheme="Basic")(exchange)

    registry.on("*", f"/v2/{REPOSITORY}/*", demand)
    for name in names:
        resolve(name, registry)
    environ = _config(tmp_path / "docker", host="ghcr.io")
    flags = ["--registry-cacert", evil_registry.ca_file]
    for name in (*names[1:], "ghcr.io:444"):
        scene.verify(*flags, image=f"{name}/{REPOSITORY}:v1", environ=environ).is_refused("registry-unauthorized", 14)
    assert not any("authorization" in seen.headers for seen in registry.requests)
    scene.verify(*flags, image=f"ghcr.io/{REPOSITORY}:v1", environ=environ).is_accepted()


# -- T13, T14, W32: TLS


def test_T13_a_registry_that_is_not_local_is_never_spoken_to_by_http(signed, resolve):
    resolve("registry.test", signed.registry)
    image = f"registry.test/{REPOSITORY}:v1"
    signed.verify(image=image).is_refused("tls-failed", 14)
    assert signed.registry.requests == []
    signed.verify("--allow-http-registry", image=image).is_accepted()


@pytest.mark.parametrize("host", ["127.0.0.1", "registry.test"])
@pytest.mark.parametrize("wrong", ["authority", "expired", "name"])
def test_T13_W32_a_bad_certificate_is_no_reason_for_http(evil_registry, signer, resolve, tmp_path, wrong, host):
    names = ("other.test",) if wrong == "name" else ("127.0.0.1", "registry.test")
    registry = evil_registry(tls=True, names=names, expired=wrong == "expired")
    scene = Scene(registry, signer, tmp_path)
    scene.attach()
    resolve("registry.test", registry)
    image = f"{host}:{registry.port}/{REPOSITORY}:v1"
    flags = [] if wrong == "authority" else ["--registry-cacert", evil_registry.ca_file]
    scene.verify(*flags, "--allow-http-registry", image=image).is_refused("tls-failed", 14)
    assert registry.requests == []
    if wrong == "authority":
        scene.verify("--registry-cacert", evil_registry.ca_file, image=image).is_accepted()


def test_T14_a_lax_connection_is_never_used_for_a_strict_request(evil_registry):
    from sealgate.errors import TlsError
    from sealgate.transport.http import HttpClient
    from sealgate.transport.message import Request, Tls, Url

    registry = evil_registry(tls=True)
    client = HttpClient(proxies=None)
    url = Url("https", "127.0.0.1", registry.port, "/v2/")
    import time

    try:
        ends = time.monotonic() + 10
        assert client.send(Request("GET", url, tls=Tls(insecure_skip_verify=True)), ends).status == 200
        with pytest.raises(TlsError):
            client.send(Request("GET", url, tls=Tls()), ends)
        assert client.send(Request("GET", url, tls=Tls(ca_file=evil_registry.ca_file)), ends).status == 200
    finally:
        client.close()


def test_T23_netrc_files_are_not_read(signed, tmp_path):
    """CVE-2024-47081. Proxies and SSL_CERT_FILE of the environment are honoured: this is a command line, as cosign is."""
    for name in (".netrc", "_netrc"):
        (tmp_path / name).write_text(f"machine 127.0.0.1 login alice password {CANARY}\n")
    signed.registry.on("*", f"/v2/{REPOSITORY}/*", challenge("x", scheme="Basic"))
    environ = {"HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc")}
    signed.verify(environ=environ).is_refused("registry-unauthorized", 14)
    assert not any("authorization" in seen.headers for seen in signed.registry.requests)
    environ = _config(tmp_path / "docker", host=signed.registry.host)
    signed.registry.on("*", f"/v2/{REPOSITORY}/*", altered())
    signed.verify(environ=environ).is_accepted()


def test_T12_one_refused_repository_does_not_spoil_another(scene, tmp_path):
    """A 401 for one repository says nothing of the next: that one is asked without credentials if there are none."""
    scene.attach()
    private = scene.honest.put_image("private/app")
    scene.registry.on("*", "/v2/private/*", challenge("x", scheme="Basic"))
    secret = f"{scene.registry.host}/private/app@{private.digest}"
    outcome = run(["verify", "--key", str(scene.signer.path), "-o", "verdict", secret, scene.name])
    assert [verdict["code"] for verdict in outcome.verdict] == ["registry-unauthorized", "accepted"]
    again = run(["verify", "--key", str(scene.signer.path), "-o", "verdict", scene.name, secret])
    assert [verdict["code"] for verdict in again.verdict] == ["accepted", "registry-unauthorized"]
