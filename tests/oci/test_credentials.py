"""Credentials: which registry gets which, from where, and that nothing of them is ever shown."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import stat
import sys
import time

import pytest

from sealgate import limits
from sealgate.errors import DeadlineError, InvalidReferenceError, SealgateError, UnavailableError, UsageError
from sealgate.oci.credentials import Credentials, Keychain, config_path, erase_login, store_login

CANARY = "c4nary-s3cret"


def auth(username: str = "me", password: str = CANARY) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


class Home:
    """A home directory with files of credentials and helpers."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.bin = path / "bin"
        self.bin.mkdir()
        self.environ = {"HOME": str(path), "PATH": str(self.bin), "XDG_RUNTIME_DIR": str(path / "run")}
        self.docker_file = path / ".docker" / "config.json"
        self.podman_file = path / "run" / "containers" / "auth.json"

    def docker(self, document: object) -> None:
        self._write(self.docker_file, document)

    def podman(self, document: object) -> None:
        self._write(self.podman_file, document)

    def _write(self, path: pathlib.Path, document: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())

    def helper(self, name: str, body: str) -> None:
        """A helper whose Python `body` sees `action`, `text`; every call is written to `calls`."""
        path = self.bin / f"docker-credential-{name}"
        path.write_text(
            f"#!{sys.executable} -IS\nimport json, sys\naction, text = sys.argv[1], sys.stdin.read()\n"
            f"print(json.dumps([{name!r}, action, text]), file=open({str(self.path / 'calls')!r}, 'a'))\n{body}\n",
            "utf-8",
        )
        path.chmod(0o755)

    def store(self, name: str, entries: dict[str, tuple[str, str]]) -> None:
        """A helper that has `entries`."""
        self.helper(
            name,
            f"entries = {entries!r}\n"
            "if action == 'get' and text not in entries:\n"
            "    print('credentials not found in native keychain'); sys.exit(1)\n"
            "if action == 'get':\n"
            "    print(json.dumps({'ServerURL': text, 'Username': entries[text][0], 'Secret': entries[text][1]}))",
        )

    @property
    def calls(self) -> list[list[str]]:
        path = self.path / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def lookup(self, host: str, repository: str = "o/a", explicit: Credentials | None = None) -> Credentials | None:
        return Keychain(environ=self.environ, explicit=explicit).lookup(host, repository)

    def refused(self, error: type[SealgateError], host: str = "ghcr.io") -> str:
        with pytest.raises(error) as caught:
            self.lookup(host)
        assert type(caught.value) is error
        shown = f"{caught.value.message} {caught.value.hint} {caught.value!r}"
        assert CANARY not in shown
        assert auth()["auth"] not in shown
        return shown


# -- the value


def test_credentials_never_show_themselves() -> None:
    found = Credentials("me", CANARY, CANARY, CANARY)
    assert CANARY not in f"{found} {found!r} {[found]} {found!s}{ ({1: found}) }"
    assert "me" not in repr(found)
    assert found.basic() == "Basic " + auth()["auth"]
    assert Credentials("ü", "é").basic() == "Basic " + base64.b64encode("ü:é".encode()).decode()


# -- docker's file


@pytest.mark.parametrize(
    "key",
    ["ghcr.io", "GHCR.io", "https://ghcr.io", "https://ghcr.io/", "https://ghcr.io/v1/", "https://ghcr.io/v2/", "https://ghcr.io/v2",
     "http://ghcr.io", "ghcr.io:443", "ghcr.io/v1/", "ghcr.io/o/a"],
)  # fmt: skip
def test_spellings_of_a_registry(home, key) -> None:
    home.docker({"auths": {"other.test": auth("other"), key: auth()}})
    assert home.lookup("ghcr.io") == Credentials("me", CANARY)


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("ghcr.io", "cr.io"), ("ghcr.io", "ghcr.io.evil.test"), ("ghcr.io", "xghcr.io"), ("ghcr.io", "ghcr.io:444"), ("ghcr.io", "evil.test"),
        ("ghcr.io", "io"), ("ghcr.io:444", "ghcr.io"), ("https://ghcr.io.evil.test", "ghcr.io"), ("https://evil.test/ghcr.io", "ghcr.io"),
        ("https://ghcr.io@evil.test", "ghcr.io"), ("https://ghcr.io/other", "ghcr.io"), ("ghcr.io/o", "ghcr.io"), ("ghcr.io/o/ab", "ghcr.io"),
        ("*.io", "ghcr.io"), ("", "ghcr.io"), ("https://", "ghcr.io"), ("azurecr.io", "evilazurecr.io"), ("ghcr.io.", "ghcr.io"),
        ("127.0.0.1:5000", "127.0.0.1:5001"), ("https://index.docker.io/v1/", "ghcr.io"), ("ftp://ghcr.io", "ghcr.io"),
    ],
)  # fmt: skip
def test_T12_only_the_exact_host_gets_them(home, key, host) -> None:
    home.docker({"auths": {key: auth()}})
    home.podman({"auths": {"unrelated.test": auth()}})
    assert home.lookup(host) is None
    home.docker({"auths": {key: auth(), host: auth("twin")}})
    assert home.lookup(host) == Credentials("twin", CANARY)


@pytest.mark.parametrize(
    "key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "https://registry-1.docker.io/v2/"]
)
def test_docker_hub(home, key) -> None:
    home.docker({"auths": {key: auth()}})
    assert home.lookup("index.docker.io", "library/nginx") == Credentials("me", CANARY)


def test_the_usual_spelling_comes_first(home) -> None:
    home.docker({"auths": {"docker.io": auth("second"), "https://index.docker.io/v1/": auth("first")}})
    assert home.lookup("index.docker.io") == Credentials("first", CANARY)
    home.docker({"auths": {"ghcr.io": auth("host"), "ghcr.io/o/a": auth("repository")}})
    assert home.lookup("ghcr.io", "o/a") == Credentials("repository", CANARY)
    assert home.lookup("ghcr.io", "o/b") == Credentials("host", CANARY)


def test_entries(home) -> None:
    for entry, expected in (
        ({"username": "me", "password": CANARY}, Credentials("me", CANARY)),
        ({"auth": base64.b64encode(b"me:a:b").decode()}, Credentials("me", "a:b")),
        ({"auth": base64.b64encode(b"me:x\0\0").decode()}, Credentials("me", "x")),
        ({**auth("u", ""), "identitytoken": CANARY}, Credentials("u", "", CANARY)),
        ({"identitytoken": CANARY}, Credentials(identity_token=CANARY)),
        ({"registrytoken": CANARY}, Credentials(registry_token=CANARY)),
        ({}, None),
        ({"auth": "", "email": "me@x"}, None),
    ):
        home.docker({"auths": {"ghcr.io": entry}})
        assert home.lookup("ghcr.io") == expected


@pytest.mark.parametrize(
    "document",
    [
        b"not json " + CANARY.encode(), b'{"auths":{"ghcr.io":{"auth":"' + CANARY.encode() + b'"}}}', b"[]", {"auths": []}, {"auths": {"ghcr.io": CANARY}},
        {"auths": {"ghcr.io": {"auth": 7}}}, {"auths": {"ghcr.io": {"auth": base64.b64encode(CANARY.encode()).decode()}}},
        b'{"auths":{},"auths":{}}', {"credHelpers": []}, {"credHelpers": {"ghcr.io": "../" + CANARY}}, {"credHelpers": {"ghcr.io": 1}},
        {"credsStore": "a/b"}, {"credsStore": "-x"}, {"credsStore": "A"}, {"credsStore": "a b"}, {"credsStore": ["a"]},
        {"auths": {"ghcr.io": {"registrytoken": CANARY + "\r\nX: y"}}}, {"auths": {"ghcr.io": {"username": "a\n", "password": CANARY}}},
        b" " * (limits.CONFIG_FILE_BYTES + 1) + b"{}",
    ],
)  # fmt: skip
def test_malformed_files_are_named_and_not_shown(home, document) -> None:
    home.docker(document)
    assert str(home.docker_file) in home.refused(UsageError)


def test_files_that_cannot_be_read(home) -> None:
    home.docker_file.mkdir(parents=True)
    assert str(home.docker_file) in home.refused(UsageError)


def test_no_files_at_all_is_anonymous(home) -> None:
    assert home.lookup("ghcr.io") is None
    home.docker(b"")
    assert home.lookup("ghcr.io") is None
    home.docker({})
    assert home.lookup("ghcr.io") is None


def test_docker_config_says_where(home, tmp_path) -> None:
    home.docker({"auths": {"ghcr.io": auth("home")}})
    home.environ["DOCKER_CONFIG"] = str(tmp_path / "elsewhere")
    assert home.lookup("ghcr.io") is None
    home._write(tmp_path / "elsewhere" / "config.json", {"auths": {"ghcr.io": auth("elsewhere")}})
    assert home.lookup("ghcr.io") == Credentials("elsewhere", CANARY)
    assert config_path(home.environ) == str(tmp_path / "elsewhere" / "config.json")


# -- podman's file


def test_podman_namespaces_longest_first(home) -> None:
    home.podman(
        {"auths": {"ghcr.io": auth("host"), "ghcr.io/o": auth("namespace"), "ghcr.io/o/team/app": auth("repository")}}
    )
    assert home.lookup("ghcr.io", "o/team/app") == Credentials("repository", CANARY)
    assert home.lookup("ghcr.io", "o/team") == Credentials("namespace", CANARY)
    assert home.lookup("ghcr.io", "o") == Credentials("namespace", CANARY)
    assert home.lookup("ghcr.io", "other/app") == Credentials("host", CANARY)
    assert home.lookup("ghcr.io", "other") == Credentials("host", CANARY)


def test_T12_a_namespace_ends_at_a_slash(home) -> None:
    home.podman({"auths": {"ghcr.io/o": auth()}})
    assert home.lookup("ghcr.io", "o/a") == Credentials("me", CANARY)
    assert home.lookup("ghcr.io", "other/a") is None
    assert home.lookup("ghcr.io", "x/o/a") is None
    home.docker({"auths": {"quay.io/o": auth()}})
    assert home.lookup("quay.io", "o/a") is None


def test_docker_first_then_podman(home, tmp_path) -> None:
    home.podman({"auths": {"ghcr.io": auth("podman"), "quay.io": auth("podman")}})
    home.docker({"auths": {"ghcr.io": auth("docker"), "quay.io": {}}})
    assert home.lookup("ghcr.io") == Credentials("docker", CANARY)
    assert home.lookup("quay.io") == Credentials("podman", CANARY)
    home._write(tmp_path / "auth.json", {"auths": {"quay.io": auth("named")}})
    home.environ["REGISTRY_AUTH_FILE"] = str(tmp_path / "auth.json")
    assert home.lookup("quay.io") == Credentials("named", CANARY)


# -- precedence


def test_explicit_credentials_come_first_and_no_file_is_read(home) -> None:
    home.docker(b"broken")
    explicit = Credentials("flag", "x")
    assert home.lookup("ghcr.io", explicit=explicit) is explicit
    home.refused(UsageError)


def test_files_are_read_when_needed_and_once(home) -> None:
    keychain = Keychain(environ=home.environ, explicit=None)
    home.docker({"auths": {"ghcr.io": auth()}})
    assert keychain.lookup("ghcr.io", "o/a") == Credentials("me", CANARY)
    home.docker(b"broken")
    assert keychain.lookup("ghcr.io", "o/b") == Credentials("me", CANARY)


# -- helpers


def test_a_helper_of_one_registry(home) -> None:
    home.docker({"credHelpers": {"GHCR.io": "mine"}, "credsStore": "general", "auths": {"ghcr.io": {}}})
    home.store("mine", {"ghcr.io": ("me", CANARY)})
    home.store("general", {})
    assert home.lookup("ghcr.io") == Credentials("me", CANARY)
    assert home.calls == [["mine", "get", "ghcr.io"]]
    assert home.lookup("xghcr.io") is None
    assert [call[0] for call in home.calls[1:]] == ["general", "general"]


def test_T12_a_helper_is_asked_for_its_own_registry_only(home) -> None:
    home.docker({"credHelpers": {"ghcr.io": "mine"}})
    home.store("mine", {"ghcr.io": ("me", CANARY)})
    for host in ("cr.io", "ghcr.io.evil.test", "xghcr.io", "ghcr.io:444"):
        assert home.lookup(host) is None
    assert home.calls == []
    assert home.lookup("ghcr.io") == Credentials("me", CANARY)


def test_creds_store_is_asked_for_the_repository_first(home) -> None:
    home.docker({"credsStore": "general"})
    home.store(
        "general",
        {"ghcr.io": ("host", "h"), "ghcr.io/o/a": ("repository", "r"), "https://index.docker.io/v1/": ("hub", "d")},
    )
    assert home.lookup("ghcr.io", "o/a") == Credentials("repository", "r")
    assert home.lookup("ghcr.io", "o/b") == Credentials("host", "h")
    assert home.lookup("index.docker.io", "library/nginx") == Credentials("hub", "d")
    assert [call[2] for call in home.calls] == [
        "ghcr.io/o/a", "ghcr.io/o/b", "ghcr.io", "index.docker.io/library/nginx", "https://index.docker.io/v1/",
    ]  # fmt: skip


def test_a_helper_is_asked_once(home) -> None:
    home.docker({"credsStore": "general"})
    home.store("general", {"ghcr.io": ("host", "h")})
    keychain = Keychain(environ=home.environ, explicit=None)
    for repository in ("a", "b", "a", "b"):
        assert keychain.lookup("ghcr.io", repository) == Credentials("host", "h")
    assert sorted(call[2] for call in home.calls) == ["ghcr.io", "ghcr.io/a", "ghcr.io/b"]


def test_an_identity_token_of_a_helper(home) -> None:
    home.docker({"credsStore": "general"})
    home.store("general", {"ghcr.io": ("<token>", CANARY)})
    assert home.lookup("ghcr.io") == Credentials(identity_token=CANARY)


def test_a_helper_without_an_answer_leaves_the_file(home) -> None:
    home.docker({"credsStore": "general", "auths": {"ghcr.io": auth("file")}})
    home.store("general", {})
    assert home.lookup("ghcr.io") == Credentials("file", CANARY)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (f"print({CANARY!r}); sys.exit(1)", "exit code 1"),
        (f"print({CANARY!r})", "not JSON"),
        ("print('[]')", "not a JSON object"),
        ('print(\'{"Username":1,"Secret":"x"}\')', "not text"),
        ("print('x' * 10_000_000)", "more than"),
        (f"print({CANARY!r}, file=sys.stderr); raise SystemExit(3)", "exit code 3"),
    ],
)
def test_helpers_that_fail(home, body, says) -> None:
    home.docker({"credHelpers": {"ghcr.io": "bad"}})
    home.helper("bad", body)
    assert says in home.refused(UnavailableError)


def test_a_helper_that_hangs_is_stopped_with_its_children(home, monkeypatch) -> None:
    monkeypatch.setattr(limits, "HELPER_SECONDS", 0.5)
    home.docker({"credHelpers": {"ghcr.io": "slow"}})
    home.helper("slow", "import os, time\nos.fork()\ntime.sleep(60)")
    began = time.monotonic()
    assert "docker-credential-slow" in home.refused(DeadlineError)
    assert time.monotonic() - began < 30


def test_X05_a_helper_is_found_on_the_path_only(home, tmp_path, monkeypatch) -> None:
    home.docker({"credHelpers": {"ghcr.io": "mine"}})
    home.store("mine", {"ghcr.io": ("me", CANARY)})
    assert home.lookup("ghcr.io") == Credentials("me", CANARY)
    monkeypatch.chdir(home.bin)
    for path in ("", ".", ":", str(tmp_path)):
        home.environ["PATH"] = path
        assert "docker-credential-mine" in home.refused(UsageError)


# -- login and logout


def test_login_keeps_what_others_wrote(home) -> None:
    home.docker(
        {
            "auths": {"quay.io": auth("other"), "https://ghcr.io": auth("old")},
            "HttpHeaders": {"a": "b"},
            "psFormat": "ü",
        }
    )
    path = str(home.docker_file)
    assert store_login(path, "GHCR.io:443", Credentials("me", CANARY), environ=home.environ) == path
    assert json.loads(home.docker_file.read_text("utf-8")) == {
        "auths": {"quay.io": auth("other"), "ghcr.io": auth()}, "HttpHeaders": {"a": "b"}, "psFormat": "ü",
    }  # fmt: skip
    assert stat.S_IMODE(home.docker_file.stat().st_mode) == 0o600
    assert os.listdir(home.docker_file.parent) == ["config.json"]
    assert home.lookup("ghcr.io") == Credentials("me", CANARY)


def test_login_makes_the_file(home) -> None:
    path = config_path(home.environ)
    store_login(path, "docker.io", Credentials("me", CANARY), environ=home.environ)
    assert json.loads(home.docker_file.read_text()) == {"auths": {"https://index.docker.io/v1/": auth()}}
    assert stat.S_IMODE(home.docker_file.parent.stat().st_mode) == 0o700
    assert home.lookup("index.docker.io") == Credentials("me", CANARY)
    store_login(path, "ghcr.io", Credentials(identity_token=CANARY), environ=home.environ)
    assert home.lookup("ghcr.io") == Credentials(identity_token=CANARY)


def test_login_writes_through_a_link(home, tmp_path) -> None:
    target = tmp_path / "dotfiles.json"
    target.write_text("{}")
    home.docker_file.parent.mkdir()
    home.docker_file.symlink_to(target)
    store_login(str(home.docker_file), "ghcr.io", Credentials("me", "x"), environ=home.environ)
    assert home.docker_file.is_symlink()
    assert "ghcr.io" in json.loads(target.read_text())["auths"]


def test_login_never_replaces_a_file_that_it_cannot_read(home) -> None:
    home.docker(b"broken " + CANARY.encode())
    for action in (
        lambda: store_login(str(home.docker_file), "ghcr.io", Credentials("me", "x"), environ=home.environ),
        lambda: erase_login(str(home.docker_file), "ghcr.io", environ=home.environ),
    ):
        with pytest.raises(UsageError) as caught:
            action()
        assert CANARY not in caught.value.message
    assert home.docker_file.read_bytes() == b"broken " + CANARY.encode()


def test_login_refuses_what_is_no_registry(home) -> None:
    for host in ("ghcr.io/o/a", "https://ghcr.io", "", "a b"):
        with pytest.raises(InvalidReferenceError):
            store_login(str(home.docker_file), host, Credentials("me", "x"), environ=home.environ)
    assert not home.docker_file.exists()


def test_login_through_a_helper(home) -> None:
    home.docker({"credsStore": "general"})
    home.store("general", {})
    where = store_login(str(home.docker_file), "ghcr.io", Credentials("me", CANARY), environ=home.environ)
    assert where == "docker-credential-general"
    assert [(call[1], json.loads(call[2])) for call in home.calls] == [
        ("store", {"ServerURL": "ghcr.io", "Username": "me", "Secret": CANARY})
    ]
    assert json.loads(home.docker_file.read_text()) == {"credsStore": "general", "auths": {"ghcr.io": {}}}
    assert erase_login(str(home.docker_file), "ghcr.io", environ=home.environ)
    assert home.calls[1][1:] == ["erase", "ghcr.io"]
    home.helper("general", f"print({CANARY!r}); sys.exit(1)")
    with pytest.raises(UnavailableError) as caught:
        store_login(str(home.docker_file), "ghcr.io", Credentials("me", CANARY), environ=home.environ)
    assert CANARY not in caught.value.message


def test_logout(home) -> None:
    path = str(home.docker_file)
    assert not erase_login(path, "ghcr.io", environ=home.environ)
    home.docker(
        {"auths": {"quay.io": auth("other"), "https://ghcr.io/v2/": auth(), "ghcr.io": auth(), "ghcr.io/o": auth()}}
    )
    assert erase_login(path, "ghcr.io", environ=home.environ)
    assert json.loads(home.docker_file.read_text())["auths"] == {"quay.io": auth("other"), "ghcr.io/o": auth()}
    assert not erase_login(path, "ghcr.io", environ=home.environ)
    assert home.lookup("quay.io") == Credentials("other", CANARY)
