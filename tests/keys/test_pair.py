"""Key files on disk: modes, atomicity, nothing overwritten by accident; and the commands that write them."""

import io
import os
import stat
import subprocess
from pathlib import Path

import pytest

from sealgate.cli.__main__ import run
from sealgate.cli.context import Context
from sealgate.errors import KeyExistsError, KeyMaterialError
from sealgate.keys import keyfile, pair
from sealgate.keys.algorithms import parse_public_pem

RECORDED = Path(__file__).with_name("recorded")
CANARY = "canary-4fa1c0ffee"


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


class Streams:
    """A command in this process, in a directory of its own."""

    def __init__(self, *, stdin="", password="pw", environ=None):
        self.out, self.err = io.StringIO(), io.StringIO()
        variables = {} if password is None else {"COSIGN_PASSWORD": password}
        self.context = Context(
            environ=variables | (environ or {}), stdin=io.StringIO(stdin), stdout=self.out, stderr=self.err
        )

    def __call__(self, *args):
        return run(args, self.context)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# -- files


def test_files_are_written_whole_with_their_modes():
    previous = os.umask(0o077)
    try:
        names = pair.Pair.named("k")
        pair.write(names, private=b"private", public=b"public", replace=False)
    finally:
        os.umask(previous)
    assert (mode("k.key"), mode("k.pub")) == (0o600, 0o644)
    assert Path("k.key").read_bytes() == b"private"
    assert sorted(os.listdir()) == ["k.key", "k.pub"]


def test_an_existing_file_is_replaced_only_when_told():
    Path("f").write_bytes(b"old")
    with pytest.raises(KeyExistsError) as caught:
        pair.write_file("f", b"new", mode=0o600, replace=False)
    assert caught.value.code == "key-exists"
    assert Path("f").read_bytes() == b"old"
    os.chmod("f", 0o666)
    pair.write_file("f", b"new", mode=0o600, replace=True)
    assert (Path("f").read_bytes(), mode("f"), os.listdir()) == (b"new", 0o600, ["f"])


def test_a_dangling_link_is_not_followed():
    os.symlink("elsewhere", "f")
    with pytest.raises(KeyExistsError):
        pair.write_file("f", b"new", mode=0o600, replace=False)
    assert os.listdir() == ["f"]
    pair.write_file("f", b"new", mode=0o600, replace=True)
    assert not os.path.islink("f")


@pytest.mark.parametrize("path", ["missing/f", ".", "/dev/null", "a\0b"])
def test_what_cannot_be_written_is_an_error_of_ours(path):
    if "\0" in path:
        with pytest.raises(KeyMaterialError):
            pair.Pair.named(path)
        return
    for replace in (False, True):
        with pytest.raises(KeyMaterialError) as caught:
            pair.write_file(path, b"x", mode=0o600, replace=replace)
        assert caught.value.code == "key-invalid"
    assert os.listdir() == []


@pytest.mark.parametrize("prefix", ["", "dir/"])
def test_a_prefix_must_be_a_name(prefix):
    with pytest.raises(KeyMaterialError):
        pair.Pair.named(prefix)


# -- generate-key-pair


def test_a_pair_is_generated_with_cosigns_words():
    command = Streams()
    assert command("generate-key-pair") == 0
    assert command.err.getvalue() == "Private key written to cosign.key\nPublic key written to cosign.pub\n"
    assert command.out.getvalue() == ""
    key = keyfile.decrypt(Path("cosign.key").read_bytes(), lambda: b"pw", what="k")
    assert key.public_key.pem() == Path("cosign.pub").read_bytes()
    assert key.public_key.algorithm == "ecdsa-p256"
    assert (mode("cosign.key"), mode("cosign.pub")) == (0o600, 0o644)


def test_cosign_reads_the_pair_and_we_read_cosigns(cosign3, tmp_path):
    assert Streams()("generate-key-pair", "--output-key-prefix", "ours", "--algorithm", "ed25519") == 0
    assert cosign3("public-key", "--key", "ours.key", cwd=tmp_path, check=True).stdout == Path("ours.pub").read_text()
    cosign3("generate-key-pair", "--output-key-prefix", "theirs", cwd=tmp_path, check=True)
    command = Streams()
    assert command("public-key", "--key", "theirs.key") == 0
    assert command.out.getvalue() == Path("theirs.pub").read_text()


def test_a_private_key_is_overwritten_only_after_a_yes():
    assert Streams()("generate-key-pair") == 0
    before = Path("cosign.key").read_bytes()
    for stdin in ("", "n\n", "maybe\n"):
        command = Streams(stdin=stdin)
        assert command("generate-key-pair") == 1
        assert "WARNING: File cosign.key already exists. Overwrite?\n" in command.err.getvalue()
        assert "Are you sure you would like to continue? [y/N] " in command.err.getvalue()
        assert "user declined the prompt" in command.err.getvalue()
        assert Path("cosign.key").read_bytes() == before
    assert Streams(stdin="y\n")("generate-key-pair") == 0
    after = Path("cosign.key").read_bytes()
    assert after != before
    assert Streams()("generate-key-pair", "-y") == 0
    assert Path("cosign.key").read_bytes() != after


def test_a_password_from_a_pipe_leaves_nothing_for_the_question():
    assert Streams(password=None, stdin="pw")("generate-key-pair") == 0
    keyfile.decrypt(Path("cosign.key").read_bytes(), lambda: b"pw", what="k")
    assert Streams(password=None, stdin="y\n")("generate-key-pair") == 1


def test_references_that_are_not_supported_are_named():
    for arguments in (("k8s://ns/key",), ("--kms", "awskms:///alias/a")):
        command = Streams()
        assert command("generate-key-pair", *arguments) == 15
        assert "key-unsupported" in command.err.getvalue()
    assert os.listdir() == []
    assert Streams()("generate-key-pair", "--algorithm", "dsa") == 2


# -- import-key-pair


@pytest.mark.parametrize("name", ["ossl-ec-sec1.pem", "ossl-rsa-pkcs1.pem", "ossl-ed25519.pem"])
def test_a_key_is_imported_and_cosign_reads_it(name, cosign3, tmp_path):
    command = Streams()
    assert command("import-key-pair", "--key", str(RECORDED / name)) == 0
    assert command.err.getvalue().startswith("Private key written to import-cosign.key\n")
    expected = subprocess.run(["openssl", "pkey", "-in", RECORDED / name, "-pubout"], capture_output=True, check=True)
    assert Path("import-cosign.pub").read_bytes() == expected.stdout
    said = cosign3("public-key", "--key", "import-cosign.key", cwd=tmp_path, check=True)
    assert said.stdout.encode() == expected.stdout


def test_what_cannot_be_imported_writes_nothing():
    for name in ("ossl-rsa1024.pem", "cosign.key", "cosign.pub", "missing.pem"):
        command = Streams(password=CANARY)
        assert command("import-key-pair", "-k", str(RECORDED / name), "-o", "mine") == 15
        assert CANARY not in command.err.getvalue()
    assert os.listdir() == []


# -- public-key


def test_the_public_key_is_printed_or_written():
    expected = (RECORDED / "cosign.pub").read_text()
    command = Streams()
    assert command("public-key", "--key", str(RECORDED / "cosign.key")) == 0
    assert (command.out.getvalue(), command.err.getvalue()) == (expected, "")
    command = Streams()
    assert command("public-key", "--key", str(RECORDED / "cosign.key"), "--outfile", "o.pub") == 0
    assert parse_public_pem(Path("o.pub").read_bytes(), what="k").pem() == expected.encode()
    assert command.out.getvalue() == ""


def test_a_wrong_password_is_a_clear_error_without_the_password():
    command = Streams(password=CANARY)
    assert command("public-key", "--key", str(RECORDED / "cosign.key")) == 15
    assert "[key-password]" in command.err.getvalue()
    assert CANARY not in command.err.getvalue()
    assert command.out.getvalue() == ""
