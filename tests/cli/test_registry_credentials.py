"""`--registry-credentials` on the command line: a docker-registry with a password stands in for ghcr.io, by a fake of the network."""

from __future__ import annotations

import pytest

from bypasses.scene import Signer, compact
from peers.handmade import attach_legacy
from peers.images import push_image

TOKEN = "gh-secret-token"
USER = ("sealgate", TOKEN)


@pytest.fixture
def signer(tmp_path) -> Signer:
    return Signer(tmp_path)


@pytest.fixture(scope="module")
def host(start_registry) -> str:
    return start_registry(htpasswd=dict([USER])).host


@pytest.fixture
def image(host, signer) -> str:
    """A signed image at what passes for ghcr.io."""
    found = push_image(host, "team/app", auth=USER)
    payload = compact(signer.payload(found.digest))
    attach_legacy(found, payload, signer.sign(payload), auth=USER)
    return f"ghcr.io/team/app@{found.digest}"


@pytest.fixture
def fake_network(monkeypatch, host):
    """Leads ghcr.io, and nothing else, to the docker-registry."""
    from sealgate.transport.http import HttpClient

    real = HttpClient.send
    where, _, port = host.partition(":")

    def send(self, request, deadline):
        assert request.url.host == "ghcr.io"
        url = request.url._replace(scheme="http", host=where, port=int(port))
        return real(self, request._replace(url=url, addresses="any"), deadline)

    monkeypatch.setattr(HttpClient, "send", send)


def test_the_token_around_is_used_when_it_is_asked_for(cli, image, signer, fake_network):
    verify = ("verify", "--key", signer.path, image)
    said = cli(*verify, "--registry-credentials", "github", env={"GITHUB_TOKEN": TOKEN})
    assert said.code == 0, said.err
    said = cli(*verify, env={"GITHUB_TOKEN": TOKEN})
    assert said.code == 14  # never unasked
    assert "registry-unauthorized" in said.out + said.err
    assert TOKEN not in said.out + said.err


@pytest.mark.parametrize(
    ("environ", "code"), [({}, "credentials-missing"), ({"GITHUB_TOKEN": f"{TOKEN} x"}, "credentials-missing"),
    ({"GITHUB_TOKEN": f"another-{TOKEN}"}, "registry-unauthorized")],
)  # fmt: skip
def test_what_is_asked_for_and_is_not_there_is_no_verdict(cli, image, signer, fake_network, environ, code):
    said = cli("verify", "--key", signer.path, image, "--registry-credentials", "github", env=environ)
    assert said.code == 14
    assert code in said.out + said.err
    assert TOKEN not in said.out + said.err


def test_a_password_of_the_command_comes_first(cli, image, signer, fake_network):
    verify = ("verify", "--key", signer.path, image, "--registry-credentials", "github", "--registry-username", USER[0])
    assert cli(*verify, "--registry-password", TOKEN, env={"GITHUB_TOKEN": "another"}).code == 0
    assert cli(*verify, "--registry-password", "another", env={"GITHUB_TOKEN": TOKEN}).code == 14


def test_a_provider_that_is_none_is_a_usage_error(cli, image, signer, fake_network):
    verify = ("verify", "--key", signer.path, image, "--registry-credentials")
    said = cli(*verify, "github,aws")
    assert said.code == 2
    assert "amazon" in said.err
    assert cli(*verify, "default,amazon", "--registry-credentials", "github", env={"GH_TOKEN": TOKEN}).code == 0
    assert cli(*verify, "default", env={"GH_TOKEN": TOKEN}).code == 14


def test_the_gate_and_explain_use_it_too(cli, image, signer, fake_network, tmp_path):
    policy = tmp_path / "policy.yaml"
    pem = signer.path.read_text().replace("\n", "\n" + " " * 8).rstrip()
    policy.write_text(f"""apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: check
spec:
  validationFailureAction: Enforce
  rules:
  - name: signed
    match:
      any:
      - resources:
          kinds: [Pod]
    verifyImages:
    - image: "ghcr.io/team/*"
      key: |-
        {pem}
""")
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: n}, "
        f'spec: {{containers: [{{name: c, image: "{image}"}}]}}}}\n'
    )
    for command in (("gate", "-p", policy, manifest), ("policy", "explain", policy, image)):
        said = cli(*command, "--registry-credentials", "github", env={"GITHUB_TOKEN": TOKEN})
        assert said.code == 0, said.out + said.err
        said = cli(*command, env={"GITHUB_TOKEN": TOKEN})
        assert said.code == 14, said.out + said.err
        assert TOKEN not in said.out + said.err
