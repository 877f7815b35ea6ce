"""Where the API server is: kubeconfigs, and a pod's own."""

from __future__ import annotations

import base64
import json
import sys

import pytest

from sealgate.errors import ClusterConfigError, NotFoundError
from sealgate.kubernetes import inside, kubeconfig


@pytest.fixture
def read(tmp_path):
    """`read(user={…}, cluster={…})`: the cluster of a kubeconfig."""

    def make(*, user=None, cluster=None, insecure=False, context=None, clock=lambda: 0.0, **more):
        place = {"server": "https://127.0.0.1:6443", "certificate-authority": "ca.pem"} | (cluster or {})
        document = {
            "current-context": "c",
            "clusters": [{"name": "k", "cluster": place}],
            "users": [{"name": "u", "user": {"token": "canary"} if user is None else user}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "team"}}],
        } | more
        file = tmp_path / "config"
        file.write_text(json.dumps(document), encoding="utf-8")
        return kubeconfig.cluster(
            str(file), environ={"PATH": "/usr/bin:/bin"}, context=context, insecure=insecure, clock=clock
        )

    return make


def test_a_token_and_an_authority(read, tmp_path):
    found = read()
    assert (found.server.host, found.server.port, found.namespace) == ("127.0.0.1", 6443, "team")
    assert found.tls.ca_file == str(tmp_path / "ca.pem")
    assert found.token() == "canary"
    assert "canary" not in repr(found)


def test_certificates_that_stand_in_the_file(read):
    data = {f"client-{name}-data": base64.b64encode(name.encode()).decode() for name in ("certificate", "key")}
    found = read(user=data)
    assert found.token is None
    with open(found.tls.client_key, "rb") as file:
        assert file.read() == b"key"


def test_a_token_file_is_read_anew(read, tmp_path):
    (tmp_path / "token").write_text("one\n", encoding="utf-8")
    found = read(user={"tokenFile": "token"})
    assert found.token() == "one"
    (tmp_path / "token").write_text("two\n", encoding="utf-8")
    assert found.token() == "two"


def test_the_check_of_the_server_is_switched_off_only_when_both_say_so(read):
    with pytest.raises(ClusterConfigError) as caught:
        read(cluster={"insecure-skip-tls-verify": True})
    assert caught.value.code == "cluster-config"
    assert read(cluster={"insecure-skip-tls-verify": True}, insecure=True).tls.insecure_skip_verify
    assert not read(insecure=True).tls.insecure_skip_verify


@pytest.mark.parametrize(
    "change",
    [
        {"cluster": {"server": "http://127.0.0.1"}},
        {"cluster": {"server": "https://u:canary@127.0.0.1"}},
        {"cluster": {"proxy-url": "http://x"}},
        {"cluster": {"insecure-skip-tls-verify": "yes"}},
        {"user": {"username": "u", "password": "canary"}},
        {"user": {"auth-provider": {"name": "gcp"}}},
        {"user": {"token": "canary\nX: y"}},
        {"user": {"client-certificate-data": "canary!", "client-key-data": "canary!"}},
        {"user": {"client-certificate": "c.pem"}},
        {"user": {"as": "admin", "token": "canary"}},
        {"users": []},
        {"context": "other"},
    ],
)
def test_what_is_not_used_or_weakens_is_refused(read, change):
    with pytest.raises(ClusterConfigError) as caught:
        read(**change)
    assert caught.value.code == "cluster-config"
    assert "canary" not in str(caught.value)


def plugin(tmp_path, script: str) -> dict:
    file = tmp_path / "plugin.py"
    file.write_text(script, encoding="utf-8")
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(file)],
            "interactiveMode": "Never",
        }
    }


def test_a_plugin_is_asked_again_when_its_token_has_ended(read, tmp_path):
    log = tmp_path / "log"
    script = (
        "import json, os\n"
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        f"with open({str(log)!r}, 'a') as f: f.write('x')\n"
        f"with open({str(log)!r}) as f: count = len(f.read())\n"
        "print(json.dumps({'apiVersion': info['apiVersion'], 'kind': 'ExecCredential',\n"
        "  'status': {'token': f't{count}', 'expirationTimestamp': f'1970-01-01T00:{count}0:00Z'}}))\n"
    )
    now = [0.0]
    found = read(user=plugin(tmp_path, script), clock=lambda: now[0])
    assert [found.token(), found.token()] == ["t1", "t1"]
    now[0] = 600.0
    assert found.token() == "t2"


@pytest.mark.parametrize(
    "script", ["print('canary')", "raise SystemExit(1)", 'print(\'{"kind": "ExecCredential"}\')', "print('x' * 10**6)"]
)
def test_a_plugin_that_gives_no_token_is_told(read, tmp_path, script):
    found = read(user=plugin(tmp_path, script))
    with pytest.raises(ClusterConfigError) as caught:
        found.token()
    assert caught.value.code == "cluster-config"
    assert "canary" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError):
        kubeconfig.cluster(str(tmp_path / "none"), environ={}, context=None, insecure=False)


def test_inside_of_a_pod(tmp_path):
    for name, text in (("ca.crt", "x"), ("token", "one"), ("namespace", "team\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = inside.cluster(environ, folder=str(tmp_path))
    assert (found.server.host, found.namespace, found.token()) == ("fd00::1", "team", "one")
    assert found.tls.ca_file == str(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("two", encoding="utf-8")
    assert found.token() == "two"
    (tmp_path / "token").write_text("", encoding="utf-8")
    with pytest.raises(ClusterConfigError):
        inside.cluster(environ, folder=str(tmp_path))
    with pytest.raises(ClusterConfigError):
        inside.cluster({}, folder=str(tmp_path))
