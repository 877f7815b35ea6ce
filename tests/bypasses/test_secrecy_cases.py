"""No secret is ever in what a command says (W34): canaries in every credential, through every way to fail."""

from __future__ import annotations

import base64
import contextlib
import json
import stat
from typing import NamedTuple

import pytest

from bypasses.scene import REPOSITORY, Outcome, run
from evil_registry.messages import Answer
from evil_registry.scripts import altered, challenge, drip, fail, gzipped, raw, redirect, reply, stall

PASSWORD, IDENTITY, BEARER, ISSUED = "canary-pw-5f3a", "canary-id-8c21", "canary-rt-09de", "canary-tk-77ab"
KEY, PROXY, URL = "canary-key-4d4d", "canary-px-1b1b", "canary-url-c0c0"
CANARIES = (PASSWORD, IDENTITY, BEARER, ISSUED, KEY, PROXY, URL)
_ENCODED = [
    base64.b64encode(text.encode()).decode().rstrip("=") for text in (f"alice:{PASSWORD}", f"alice:{PROXY}", *CANARIES)
]


def _is_discreet(outcome: Outcome) -> None:
    said = outcome.stdout + outcome.stderr
    for secret in (*CANARIES, *_ENCODED):
        assert secret not in said, said
    assert "Traceback" not in said
    assert "internal-error" not in said


def _echo(status: int):
    """An error that repeats what it was told, as debugging registries do, in every place of an answer."""

    def script(exchange):
        told = exchange.seen.headers.get("authorization", "nothing")
        body = exchange.seen.body.decode("latin-1")
        with contextlib.suppress(ValueError):
            told += " " + base64.b64decode(told.partition(" ")[2]).decode()
        message = f"{told} {body}"
        headers = (
            ("Content-Type", "application/json"),
            ("WWW-Authenticate", 'Basic realm="x"'),
            ("X-Debug", message.replace("\n", " ")),
        )
        return exchange.reply(
            Answer(status, headers, json.dumps({"errors": [{"code": told, "message": message}]}).encode())
        )

    return script


class Way(NamedTuple):
    """How the credentials are given."""

    flags: tuple[str, ...]
    entry: dict[str, str] | None


_AUTH = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
WAYS = {
    "config": Way((), {"auth": _AUTH}),
    "plain": Way((), {"username": "alice", "password": PASSWORD}),
    "identity": Way((), {"auth": base64.b64encode(b"alice:").decode(), "identitytoken": IDENTITY}),
    "flags": Way(("--registry-username", "alice", "--registry-password", PASSWORD), None),
    "token": Way(("--registry-token", BEARER), None),
}

FAILURES = {
    "401": reply(401, headers={"WWW-Authenticate": 'Basic realm="x"'}),
    "echo 400": _echo(400),
    "echo 401": _echo(401),
    "echo 403": _echo(403),
    "echo 404": _echo(404),
    "echo 429": _echo(429),
    "echo 500": _echo(500),
    "echo 200": _echo(200),
    "redirect": redirect(f"http://127.0.0.1:1/x?token={URL}"),
    "redirect inward": redirect(f"http://169.254.169.254/x?token={URL}"),
    "redirect with password": redirect(f"http://alice:{URL}@127.0.0.1/x"),
    "redirect loop": redirect(f"/v2/x?token={URL}&n={{n}}"),
    "realm": challenge(f"https://127.0.0.1:1/token?secret={URL}"),
    "realm with password": challenge(f"https://alice:{URL}@127.0.0.1/token"),
    "garbage": raw(b"garbage\r\n\r\n"),
    "cut": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx"),
    "gzip": gzipped(),
    "wrong": reply(200, b"{}"),
    "slow": stall(),
    "drip": drip(pause=0.2),
}


def _guard(scene, script) -> None:
    """The registry asks for credentials, gives a token for them, and then does what it likes."""

    def guarded(exchange):
        told = exchange.seen.headers.get("authorization", "")
        if not told.startswith("Bearer "):
            return challenge(f"{scene.registry.origin}/token")(exchange)
        return script(exchange)

    scene.registry.on("*", f"/v2/{REPOSITORY}/*", guarded)
    scene.registry.on("*", "/token", reply(json={"token": ISSUED}))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A key pair whose password is a canary."""
    prefix = tmp_path_factory.mktemp("pair") / "own"
    made = run(["generate-key-pair", "--output-key-prefix", str(prefix)], environ={"COSIGN_PASSWORD": KEY, "HOME": "/"})
    assert made.exit_code == 0
    _is_discreet(made)
    return prefix.with_suffix(".key")


def _environ(scene, way: Way) -> dict[str, str]:
    folder = scene.folder / "docker"
    folder.mkdir(exist_ok=True)
    auths = {scene.registry.host: way.entry} if way.entry is not None else {}
    (folder / "config.json").write_text(json.dumps({"auths": auths}))
    return {"DOCKER_CONFIG": str(folder), "HOME": str(folder), "COSIGN_PASSWORD": KEY}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("failure", FAILURES)
def test_W34_no_failure_of_a_registry_shows_a_secret(scene, pair, way, failure):
    scene.attach()
    flags, environ = WAYS[way].flags, _environ(scene, WAYS[way])
    wait = "0.3s" if failure in {"slow", "drip"} else "10s"
    public = str(scene.signer.path)
    commands = [["verify", "--key", public, "--verbose", "-o", "verdict", scene.tag]]
    if way == "config" and failure in {"echo 401", "echo 403", "echo 500", "redirect", "realm", "wrong"}:
        commands.append(["sign", "--key", str(pair), "-y", "--verbose", scene.name])  # slow: passwords are
    if way in {"config", "flags"}:
        commands += [["tree", scene.name], ["download", "signature", scene.name], ["verify", "--key", public, "-o", "human", scene.name]]  # fmt: skip
    _guard(scene, FAILURES[failure])
    for command in commands:
        outcome = run([command[0], *command[1:], *flags, "-t", wait], environ=environ)
        _is_discreet(outcome)
        assert outcome.exit_code != 0, command
    _guard(scene, altered())  # the twin: with the same credentials an honest registry is content
    outcome = run([*commands[0], *flags], environ=environ)
    outcome.is_accepted()
    _is_discreet(outcome)


@pytest.mark.parametrize("script", ["echo 400", "echo 401", "echo 403", "echo 500", "echo 200", "redirect", "garbage"])
@pytest.mark.parametrize("way", ["config", "identity"])
def test_W34_no_failure_of_a_token_service_shows_a_secret(scene, way, script):
    scene.attach()
    _guard(scene, altered())
    scene.registry.on("*", "/token", FAILURES[script])
    outcome = scene.verify("--verbose", environ=_environ(scene, WAYS[way]))
    _is_discreet(outcome)
    assert outcome.exit_code == 14
    scene.registry.on("*", "/token", reply(json={"token": ISSUED}))
    scene.verify(environ=_environ(scene, WAYS[way])).is_accepted()


@pytest.mark.parametrize("token", ["a b", "", 7, ISSUED + "\r\nX: y", ISSUED + "\u00e9", None, [ISSUED]])
def test_W34_a_token_that_is_none_is_not_shown(scene, token):
    scene.attach()
    _guard(scene, altered())
    scene.registry.on("*", "/token", reply(json={"token": token}))
    outcome = scene.verify("--verbose")
    outcome.is_refused("protocol-violation", 14)
    _is_discreet(outcome)


@pytest.mark.parametrize("refusal", [fail(407), fail(502), reply(403, PROXY.encode()), raw(b"SOCKS"), raw(b"")])
def test_W34_no_failure_of_a_proxy_shows_its_password(scene, evil_registry, refusal):
    proxy = evil_registry()
    proxy.on("*", "*", refusal)
    environ = dict.fromkeys(("HTTPS_PROXY", "http_proxy"), f"http://alice:{PROXY}@{proxy.host}")
    scene.attach()
    outcome = scene.verify("--verbose", image="registry.test/team/app:v1", environ=environ)
    _is_discreet(outcome)
    assert outcome.exit_code == 14
    assert proxy.requests
    scene.verify(environ=environ).is_accepted()  # loopback is never proxied


@pytest.mark.parametrize(
    "url", [f"socks5://alice:{PROXY}@localhost:1", f"http://alice:{PROXY}@localhost:0x", f"http://alice:{PROXY}@", f"alice:{PROXY}@local host"]
)  # fmt: skip
def test_W34_a_proxy_setting_that_is_wrong_is_not_shown(scene, url):
    scene.attach()
    outcome = scene.verify(image="registry.test/team/app:v1", environ={"HTTPS_PROXY": url})
    _is_discreet(outcome)
    assert outcome.exit_code in {2, 14}


def test_W34_no_wrong_use_shows_a_secret(scene, pair, monkeypatch):
    scene.attach()
    key, public = str(pair), str(scene.signer.path)
    pem = f"-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----"
    (scene.folder / "broken.key").write_text(pem)
    commands = [
        ["sign", "--key", key, "-y", f"https://alice:{URL}@{scene.registry.host}/team/app:v1"],
        ["verify", "--key", public, f"alice:{URL}@{scene.registry.host}/team/app:v1"],
        ["verify", "--key", f"https://alice:{URL}@127.0.0.1:1/key.pub", scene.name],
        ["verify", "--key", f"https://127.0.0.1:1/key.pub?token={URL}", scene.name],
        ["verify", "--key", "env://CANARY", scene.name],
        ["sign", "--key", "env://CANARY", "-y", scene.name],
        ["sign", "--key", str(scene.folder / "broken.key"), "-y", scene.name],
        ["verify", "--key", str(scene.folder / "broken.key"), scene.name],
        ["public-key", "--key", str(scene.folder / "broken.key")],
        ["verify", "--key", pem, scene.name],
        ["sign", "--key", pem, "-y", scene.name],
        ["verify", "--key", public, f"--registry-pasword={PASSWORD}", scene.name],
        ["verify", "--key", public, f"--registry-tokens={BEARER}", scene.name],
        ["verify", "--key", public, "--registry-client-key", f"/nowhere/{'x' * 9}", "--registry-password", PASSWORD, scene.name],
        ["sign", "--key", key, "-y", "--registry-password", PASSWORD, "--bundle", "/nowhere/at/all", "--upload=false", scene.name],
    ]  # fmt: skip
    for command in commands:
        outcome = run(command, environ={"COSIGN_PASSWORD": KEY, "CANARY": pem, "HOME": str(scene.folder)})
        _is_discreet(outcome)
        assert outcome.exit_code != 0
    wrong = run(["sign", "--key", key, "-y", scene.name], environ={"COSIGN_PASSWORD": PASSWORD})
    _is_discreet(wrong)
    assert (wrong.code, wrong.exit_code) == ("key-password", 15)
    assert run(["sign", "--key", key, "-y", scene.name], environ={"COSIGN_PASSWORD": KEY}).exit_code == 0


def test_W34_a_password_from_stdin_is_not_shown(scene, pair):
    outcome = run(["sign", "--key", str(pair), "-y", scene.name], environ={}, stdin=PASSWORD + "\n")
    _is_discreet(outcome)
    assert (outcome.code, outcome.exit_code) == ("key-password", 15)
    outcome = run(["sign", "--key", str(pair), "-y", scene.name], environ={}, stdin=KEY + "\n")
    assert outcome.exit_code == 0, outcome
    _is_discreet(outcome)


@pytest.mark.parametrize("text", ["{}", "[]", '{"auths":7}', '{"auths":{"%s":{"auth":"%s"}}', '{"auths":{"%s":{"auth":7,"password":"%s"}}}', '{"auths":{"%s":{"auth":"!%s"}}}'])  # fmt: skip
def test_W34_a_broken_docker_config_is_not_shown(scene, text):
    scene.attach()
    folder = scene.folder / "docker"
    folder.mkdir()
    (folder / "config.json").write_text(text % (scene.registry.host, PASSWORD) if "%s" in text else text)
    _guard(scene, altered())
    outcome = scene.verify("--verbose", environ={"DOCKER_CONFIG": str(folder)})
    _is_discreet(outcome)
    assert outcome.exit_code in {0, 2, 14, 15}


@pytest.mark.parametrize(
    "does", [f"echo {PASSWORD}; exit 1", f"echo {PASSWORD}", f"echo {PASSWORD} >&2; exit 3", f'echo \'{{"Username":7,"Secret":"{PASSWORD}"}}\'']
)  # fmt: skip
def test_W34_a_helpers_words_are_not_shown(scene, monkeypatch, does):
    scene.attach()
    folder = scene.folder / "docker"
    folder.mkdir()
    helper = folder / "docker-credential-canary"
    helper.write_text(f"#!/bin/sh\ncat >/dev/null\n{does}\n")
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    (folder / "config.json").write_text(json.dumps({"credsStore": "canary"}))
    _guard(scene, altered())
    environ = {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:/usr/bin:/bin"}
    monkeypatch.setenv("PATH", environ["PATH"])
    outcome = scene.verify("--verbose", environ=environ)
    _is_discreet(outcome)
    assert outcome.exit_code in {0, 2, 14, 15}
