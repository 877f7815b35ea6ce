"""`admission serve` behind a proxy: registries are asked through it as the command line asks them, the API server is not."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import ssl

import pytest

from admission.place import Place, pod
from admission.test_admission_command import seed
from bypasses.scene import Scene, Signer
from evil_registry import scripts
from sealgate.admission import server
from sealgate.cli import __main__ as command_line
from sealgate.cli import admission
from sealgate.cli.context import Context
from sealgate.errors import UsageError

HOST = "registry.example.com"
SECRET = "hunter2-canary"


@pytest.fixture
def behind(evil_registry, tmp_path):
    """A registry that is there only through a proxy; `behind.proxy` is that."""
    found = Scene(evil_registry(tls=True, names=(HOST,)), Signer(tmp_path), tmp_path)
    found.attach()
    found.proxy = evil_registry()
    found.proxy.on("CONNECT", "*", scripts.tunnel(found.registry.host))
    found.proxy.on("GET", "/*", scripts.reply(404, b'{"kind": "Status", "code": 404}'))
    found.inside = found.name.replace(found.registry.host, HOST)
    return found


@pytest.fixture
def serve(behind, authority, tmp_path, evil_registry):
    """Starts the webhook as the command would: `serve("--pull-secrets", env={…})`."""
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "check.yaml").write_text(seed(behind.signer.path.read_text(), "*"))
    issued = authority.issue("127.0.0.1", "localhost")
    with contextlib.ExitStack() as running:

        def begin(*arguments: str, env: dict[str, str]) -> Place:
            argv = [
                "serve", "--policies", str(policies), "--listen", "127.0.0.1:0", "--tls-cert", str(issued.certificate),
                "--tls-key", str(issued.key), "--registry-cacert", evil_registry.ca_file, *arguments,
            ]  # fmt: skip
            streams = [io.StringIO() for _ in range(3)]
            context = Context(
                environ={"HOME": str(tmp_path)} | env, stdin=streams[0], stdout=streams[1], stderr=streams[2]
            )
            settings, parts = admission.prepared(command_line.parser("admission").parse_args(argv), context)
            found = running.enter_context(server.serve_in_thread(settings, parts))
            running.callback(parts.journal.close)
            return Place(found, parts, streams[1], ssl.create_default_context(cafile=str(authority.certificate)))

        yield begin


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_registries_are_asked_through_the_proxy(serve, behind, name):
    place = serve(env={name: behind.proxy.host})
    place.validate(pod(behind.inside)).is_allowed()
    assert {seen.target for seen in behind.proxy.requests} == {f"{HOST}:443"}
    evil = behind.inside.replace(str(behind.image.digest), str(behind.evil.digest))
    place.validate(pod(evil)).is_denied("no-signature")


def test_without_a_proxy_and_with_an_exception_nothing_goes_through_it(serve, behind):
    for env in ({}, {"HTTPS_PROXY": behind.proxy.host, "NO_PROXY": "example.com"}):
        serve(env=env).validate(pod(behind.inside)).is_denied("registry-unreachable")
    assert not behind.proxy.requests


def test_W34_credentials_of_a_proxy_go_to_it_and_are_never_shown(serve, behind):
    place = serve(env={"HTTPS_PROXY": f"http://me:{SECRET}@{behind.proxy.host}"})
    place.validate(pod(behind.inside)).is_allowed()
    wanted = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert {seen.headers["proxy-authorization"] for seen in behind.proxy.requests} == {wanted}
    assert all("proxy-authorization" not in seen.headers for seen in behind.registry.requests)
    behind.proxy.on("CONNECT", "*", scripts.reply(407))
    refused = serve(env={"HTTPS_PROXY": f"http://me:{SECRET}@{behind.proxy.host}"}).validate(pod(behind.inside))
    refused.is_denied("registry-unreachable")
    assert behind.proxy.host in refused.message
    said = [
        json.dumps(place.log()),
        refused.message,
        place.get("/metrics").body.decode(),
        place.get("/readyz").body.decode(),
    ]
    said += [place.parts.proxies.describe(), repr(place.parts.proxies)]
    for text in said:
        assert SECRET not in text
        assert wanted.split()[1] not in text
    assert place.parts.proxies.describe() == f"proxies: https goes through {behind.proxy.host}"


@pytest.mark.parametrize("text", [f"socks5://me:{SECRET}@127.0.0.1:1", "http://a b"])
def test_a_proxy_that_cannot_be_used_ends_it_at_the_start(serve, text):
    with pytest.raises(UsageError) as caught:
        serve(env={"HTTPS_PROXY": text})
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    "image", ["169.254.169.254/team/app:v1", "[fd00:ec2::254]:443/team/app:v1", "10.0.0.1.localhost/a:v1"]
)
def test_W33_a_proxy_leads_to_no_address_of_a_machine(serve, behind, image):
    place = serve(env={"HTTPS_PROXY": behind.proxy.host, "HTTP_PROXY": behind.proxy.host})
    refused = place.validate(pod(image))
    assert refused.response["allowed"] is False
    assert "[address-refused]" in refused.message or "[reference-invalid]" in refused.message, refused.message
    assert not behind.proxy.requests
    place.validate(pod(behind.inside)).is_allowed()


def test_the_api_server_is_asked_through_the_proxy_only_when_that_is_said(serve, behind, tmp_path):
    """Its name leads nowhere but through the proxy."""
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {"token": "t"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://cluster.invalid:6443"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    (tmp_path / "config").write_text(json.dumps(config))
    cluster = ("--pull-secrets", "--kubeconfig", str(tmp_path / "config"))
    env = {"HTTPS_PROXY": behind.proxy.host}
    serve(*cluster, env=env).validate(pod(behind.inside)).is_denied("cluster-unavailable")
    assert not behind.proxy.requests
    serve(*cluster, "--cluster-proxy", env=env).validate(pod(behind.inside)).is_denied("cluster-unavailable")
    # The tunnel ends at a registry, which is no API server for the client: it was asked for all the same.
    assert {seen.target for seen in behind.proxy.requests} == {"cluster.invalid:6443"}
