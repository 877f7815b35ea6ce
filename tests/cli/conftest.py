"""Command lines in this process, keys, and signed images for the tests of the commands."""

import functools
import io
from typing import NamedTuple

import pytest

import sealgate
from sealgate import blocking
from sealgate.cli import __main__ as command_line
from sealgate.cli.context import Context
from sealgate.keys import keyfile

PASSWORD = "canary-password-9913"


class Said(NamedTuple):
    """What a command line said and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _each_password_is_stretched_once():
    """scrypt takes 0.15 s, on purpose; here the same password and salt give the same key again at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyfile, "_stretch", functools.cache(keyfile._stretch))
        yield


@pytest.fixture
def cli(tmp_path):
    """`cli("verify", …, env={…}, input="…")` runs a command line in this process, in a clean environment."""

    def run(*args, env=None, input=""):
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n", write_through=True)
        err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n", write_through=True)
        stdin = io.TextIOWrapper(io.BytesIO(input.encode()), encoding="utf-8")
        environ = {"HOME": str(tmp_path / "home"), "PATH": "/nowhere", "COSIGN_PASSWORD": PASSWORD} | (env or {})
        environ = {name: value for name, value in environ.items() if value is not None}
        context = Context(environ=environ, stdin=stdin, stdout=out, stderr=err)
        try:
            code = command_line.run([str(arg) for arg in args], context)
        finally:
            if context._client is not None:  # else the end of the process closes its connections
                context._client.close()
        said = Said(code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode())
        assert PASSWORD not in said.out + said.err
        assert "Traceback" not in said.err
        return said

    return run


class Key(NamedTuple):
    """A key pair in files, and the private half at hand."""

    private: str
    public: str
    handle: sealgate.PrivateKey


@pytest.fixture(scope="session")
def make_key(tmp_path_factory):
    """`make_key("name", "ecdsa-p256")` writes name.key and name.pub."""
    folder = tmp_path_factory.mktemp("keys")
    made = {}

    def make(name, algorithm="ecdsa-p256"):
        if name not in made:
            handle = sealgate.PrivateKey.generate(algorithm)
            (folder / f"{name}.key").write_bytes(handle.encrypt(PASSWORD.encode()))
            (folder / f"{name}.pub").write_bytes(handle.public_key.pem())
            made[name] = Key(str(folder / f"{name}.key"), str(folder / f"{name}.pub"), handle)
        return made[name]

    return make


@pytest.fixture(scope="session")
def key(make_key):
    """The key that signs."""
    return make_key("good")


@pytest.fixture(scope="session")
def other(make_key):
    """Somebody else's key."""
    return make_key("other")


@pytest.fixture(scope="session")
def sign():
    """`sign(image, key, …)`: signed with the library, without opening a key file."""

    def run(image, *keys, **options):
        return blocking.sign(image.reference, keys=[key.handle for key in keys], settle=0.001, **options)

    return run


@pytest.fixture(scope="session")
def password():
    """The password of every key. `cli` looks that it is in no output."""
    return PASSWORD
