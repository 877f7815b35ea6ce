"""Commands with a private key in memory: no core is written while they run."""

import ctypes
import resource
import sys

import pytest


@pytest.fixture
def seen(monkeypatch):
    """What would be dumped, each time a private key is made, read or imported."""
    from sealgate.keys import keyfile, private

    found = []

    def watch(module, name):
        wrapped = getattr(module, name)

        def watched(*words, **named):
            dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform.startswith("linux") else 0
            found.append((resource.getrlimit(resource.RLIMIT_CORE)[0], dumpable))
            return wrapped(*words, **named)

        monkeypatch.setattr(module, name, watched)

    for module, name in ((private, "generate"), (private, "import_pem"), (keyfile, "decrypt")):
        watch(module, name)
    return found


def test_no_core_while_a_private_key_is_held(cli, key, seen, tmp_path):
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ec

    plain = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
    )
    (tmp_path / "plain.pem").write_bytes(plain)
    (tmp_path / "app").write_bytes(b"content")
    commands = [
        ("generate-key-pair", "--output-key-prefix", tmp_path / "made"),
        ("import-key-pair", "--key", tmp_path / "plain.pem", "--output-key-prefix", tmp_path / "imported"),
        ("public-key", "--key", key.private),
        ("sign-blob", "--key", key.private, "--bundle", tmp_path / "b", tmp_path / "app"),
    ]
    for command in commands:
        seen.clear()
        said = cli(*command)
        assert said.code == 0, said.err
        assert seen, command[0]
        assert set(seen) == {(0, 0)}, command[0]
