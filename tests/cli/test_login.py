"""login and logout: the registry is asked first, and no secret is ever shown."""

import base64
import json
import stat
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from peers.images import push_image

CANARY = "canary-8d2f60aa"
WRONG = "wrong-5b1e9c33"


@pytest.fixture(scope="module")
def guarded(start_registry):
    """A registry that lets in alice."""
    return start_registry(htpasswd={"alice": CANARY}).host


@pytest.fixture
def docker(tmp_path):
    """A configuration folder, and its file."""
    return tmp_path / "docker"


def auths(docker):
    return json.loads((docker / "config.json").read_text())["auths"]


def env(docker):
    return {"DOCKER_CONFIG": str(docker)}


def silent(done):
    assert CANARY not in done.stdout + done.stderr
    assert WRONG not in done.stdout + done.stderr
    assert base64.b64encode(f"alice:{CANARY}".encode()).decode() not in done.stdout + done.stderr


def test_login_stores_what_the_registry_takes_for_every_tool(sealgate, crane, guarded, docker, tmp_path):
    done = sealgate("login", guarded, "-u", "alice", "--password-stdin", input=f"{CANARY}\n", env=env(docker))
    assert done.returncode == 0, done.stderr
    silent(done)
    path = docker / "config.json"
    assert f"logged in via {path}" in done.stderr
    assert "unencrypted" in done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert auths(docker) == {guarded: {"auth": base64.b64encode(f"alice:{CANARY}".encode()).decode()}}
    image = push_image(guarded, "login/image", auth=("alice", CANARY))
    assert crane("digest", "--insecure", image.tagged, env=env(docker), check=True).stdout.strip() == image.digest
    sealgate("generate-key-pair", cwd=tmp_path, check=True)
    verify = ["verify", "--key", tmp_path / "cosign.pub", image.reference]
    assert sealgate(*verify, env=env(docker)).returncode == 10
    assert sealgate(*verify).returncode == 14


def test_a_wrong_password_is_refused_and_nothing_is_stored(sealgate, guarded, docker):
    done = sealgate("login", guarded, "-u", "alice", "--password-stdin", input=WRONG, env=env(docker))
    assert done.returncode == 14
    assert "[registry-unauthorized]" in done.stderr
    assert "nothing was stored" in done.stderr
    silent(done)
    assert not docker.exists()
    done = sealgate("login", guarded, "-u", "bob", "--password-stdin", input=CANARY, env=env(docker))
    assert (done.returncode, docker.exists()) == (14, False)
    silent(done)


def test_a_wrong_password_leaves_a_good_one_alone(sealgate, guarded, docker):
    sealgate("login", guarded, "-u", "alice", "--password-stdin", input=CANARY, env=env(docker), check=True)
    before = (docker / "config.json").read_bytes()
    assert sealgate("login", guarded, "-u", "alice", "-p", WRONG, env=env(docker)).returncode == 14
    assert (docker / "config.json").read_bytes() == before


def test_a_password_on_the_command_line_is_warned_about(sealgate, guarded, docker):
    done = sealgate("login", "-u", "alice", "-p", CANARY, guarded, env=env(docker))
    assert done.returncode == 0
    assert "--password-stdin" in done.stderr
    silent(done)


def test_other_fields_of_the_file_stay(sealgate, guarded, docker):
    docker.mkdir()
    (docker / "config.json").write_text('{"auths":{"other.example":{"auth":"eDp5"}},"detachKeys":"ctrl-e"}')
    sealgate("login", guarded, "-u", "alice", "--password-stdin", input=CANARY, env=env(docker), check=True)
    document = json.loads((docker / "config.json").read_text())
    assert document["detachKeys"] == "ctrl-e"
    assert set(document["auths"]) == {"other.example", guarded}


def test_logout_forgets_one_registry_only(sealgate, guarded, docker):
    docker.mkdir()
    (docker / "config.json").write_text('{"auths":{"other.example":{"auth":"eDp5"}}}')
    sealgate("login", guarded, "-u", "alice", "--password-stdin", input=CANARY, env=env(docker), check=True)
    done = sealgate("logout", guarded, env=env(docker), check=True)
    assert f"Removed the credentials of {guarded}" in done.stderr
    assert set(auths(docker)) == {"other.example"}
    again = sealgate("logout", guarded, env=env(docker), check=True)
    assert f"Not logged in to {guarded}" in again.stderr
    assert set(auths(docker)) == {"other.example"}


def test_a_helper_keeps_the_credentials_and_nothing_is_in_the_file(sealgate, guarded, docker, tmp_path):
    helper = tmp_path / "bin" / "docker-credential-canary"
    helper.parent.mkdir()
    helper.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/asked\ncat >> {tmp_path}/told\n')
    helper.chmod(0o755)
    docker.mkdir()
    (docker / "config.json").write_text('{"credsStore":"canary"}')
    environ = env(docker) | {"PATH": f"{helper.parent}:/usr/bin:/bin"}
    done = sealgate("login", guarded, "-u", "alice", "--password-stdin", input=CANARY, env=environ)
    assert done.returncode == 0, done.stderr
    silent(done)
    assert "logged in via docker-credential-canary" in done.stderr
    assert "unencrypted" not in done.stderr
    assert (tmp_path / "asked").read_text() == "store\n"
    assert json.loads((tmp_path / "told").read_text()) == {"ServerURL": guarded, "Username": "alice", "Secret": CANARY}
    assert auths(docker) == {guarded: {}}
    assert CANARY not in (docker / "config.json").read_text()


def test_a_registry_that_asks_for_nothing_is_said_to_have_tried_nothing(sealgate, docker_registry, docker):
    done = sealgate("login", docker_registry, "-u", "alice", "--password-stdin", input=CANARY, env=env(docker))
    assert done.returncode == 0
    assert "could not be tried" in done.stderr
    assert set(auths(docker)) == {docker_registry}


@pytest.mark.parametrize(
    "arguments",
    [
        ["-u", "alice"],
        ["--password-stdin"],
        ["-u", "alice", "-p", "x", "--password-stdin"],
        ["-u", "a:b", "-p", "x"],
        ["-u", "alice", "--registry-token", "x"],
        ["-p", "x"],
    ],
)
def test_wrong_usage_stores_nothing(sealgate, guarded, docker, arguments):
    done = sealgate("login", guarded, *arguments, input="x", env=env(docker))
    assert (done.returncode, docker.exists()) == (2, False)


def test_an_empty_password_is_wrong_usage(sealgate, guarded, docker):
    done = sealgate("login", guarded, "-u", "alice", "--password-stdin", input="\n", env=env(docker))
    assert (done.returncode, docker.exists()) == (2, False)


def test_a_registry_that_is_not_there_is_not_asked(sealgate, docker):
    done = sealgate("login", "127.0.0.1:1", "-u", "alice", "-p", CANARY, env=env(docker))
    assert (done.returncode, docker.exists()) == (14, False)
    silent(done)


# -- a registry with a token service


class Tokens(BaseHTTPRequestHandler):
    """Both of them; a good password gets a token."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        given = self.headers.get("Authorization", "")
        if self.path.startswith("/token"):
            good = "Basic " + base64.b64encode(f"alice:{CANARY}".encode()).decode()
            self.answer(200, {"token": "good-token"}) if given == good else self.answer(401, {})
        elif given == "Bearer good-token":
            self.answer(200, {})
        else:
            realm = f'Bearer realm="http://{self.headers["Host"]}/token",service="tests"'
            self.answer(401, {}, ("WWW-Authenticate", realm))

    def answer(self, status, document, *headers):
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def token_registry():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
    server.daemon_threads = True
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_login_asks_the_token_service_without_a_scope(sealgate, token_registry, docker):
    host = f"127.0.0.1:{token_registry.server_port}"
    done = sealgate("login", host, "-u", "alice", "--password-stdin", input=CANARY, env=env(docker))
    assert done.returncode == 0, done.stderr
    assert "/token?service=tests" in token_registry.asked
    assert "could not be tried" not in done.stderr
    assert set(auths(docker)) == {host}
    silent(done)


def test_a_wrong_password_is_refused_by_the_token_service(sealgate, token_registry, docker):
    host = f"127.0.0.1:{token_registry.server_port}"
    done = sealgate("login", host, "-u", "alice", "--password-stdin", input=WRONG, env=env(docker))
    assert (done.returncode, docker.exists()) == (14, False)
    silent(done)
