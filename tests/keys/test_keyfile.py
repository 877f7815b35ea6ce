"""cosign's encrypted key files, private keys of other programs, and that no secret shows."""

import base64
import json
import subprocess
import traceback
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealgate.errors import KeyMalformedError, KeyMaterialError, KeyUnsupportedError, PasswordError, SealgateError
from sealgate.keys import keyfile, pem, private
from sealgate.keys.algorithms import parse_public_pem

RECORDED = Path(__file__).with_name("recorded")
KEY_FILES = sorted(path.name for path in RECORDED.glob("*.key"))
COSIGN_KEY = (RECORDED / "cosign.key").read_bytes()
CANARY = b"canary-4fa1c0ffee"


def password_of(name):
    return b"" if name == "nopw.key" else b"pw"


def body_of(data):
    return json.loads(pem.decode(data, what="k").body)


def with_body(body):
    text = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return pem.encode(keyfile.LABEL, text)


@pytest.mark.parametrize("name", KEY_FILES)
def test_cosign_key_files_decrypt_and_are_written_back_byte_for_byte(name):
    data = (RECORDED / name).read_bytes()
    key = keyfile.decrypt(data, lambda: password_of(name), what=name)
    assert key.public_key.pem() == (RECORDED / name).with_suffix(".pub").read_bytes()
    sealed = keyfile.parse(data, what=name)
    random = iter([sealed.salt, sealed.nonce])
    assert keyfile.encrypt(key, password_of(name), random=lambda size: next(random)) == data


def test_the_old_label_and_each_of_cosigns_scrypt_costs_are_read():
    key = private.generate()
    sealed = body_of(keyfile.encrypt(key, b"pw"))
    salt, nonce = base64.b64decode(sealed["kdf"]["salt"]), base64.b64decode(sealed["cipher"]["nonce"])
    from nacl.bindings import crypto_secretbox

    for cost in (32768, 131072):
        secret = keyfile._stretch(b"pw", salt, (cost, 8, 1))
        sealed["kdf"]["params"]["N"] = cost
        sealed["ciphertext"] = base64.b64encode(crypto_secretbox(key.pkcs8(), nonce, secret)).decode()
        old = pem.encode("ENCRYPTED COSIGN PRIVATE KEY", json.dumps(sealed).encode())
        assert keyfile.decrypt(old, lambda: b"pw", what="k").public_key == key.public_key


@pytest.mark.parametrize(
    "params",
    [{"N": 16384}, {"N": 1 << 30}, {"r": 9}, {"p": 2}, {"N": 65537}, {"N": -1}],
)
def test_other_scrypt_parameters_are_refused_before_the_password_is_asked(params):
    body = body_of(COSIGN_KEY)
    body["kdf"]["params"] |= params
    with pytest.raises(KeyUnsupportedError) as caught:
        keyfile.decrypt(with_body(body), pytest.fail, what="k")
    assert "unsupported scrypt parameters" in caught.value.message
    assert keyfile.parse(COSIGN_KEY, what="k").cost == (65536, 8, 1)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda b: b["kdf"].update(name="argon2"), KeyUnsupportedError),
        (lambda b: b["cipher"].update(name="aes"), KeyUnsupportedError),
        (lambda b: b["kdf"]["params"].update(p=True), KeyMalformedError),
        (lambda b: b["kdf"]["params"].update(N="65536"), KeyMalformedError),
        (lambda b: b["kdf"].pop("salt"), KeyMalformedError),
        (lambda b: b["kdf"].update(salt="AAAA"), KeyMalformedError),
        (lambda b: b["kdf"].update(salt="!!"), KeyMalformedError),
        (lambda b: b["cipher"].update(nonce="AAAA"), KeyMalformedError),
        (lambda b: b.update(ciphertext=""), KeyMalformedError),
        (lambda b: b.update(kdf=[]), KeyMalformedError),
    ],
)
def test_malformed_key_files_are_refused(change, error):
    body = body_of(COSIGN_KEY)
    keyfile.parse(with_body(body), what="k")
    change(body)
    with pytest.raises(error):
        keyfile.parse(with_body(body), what="k")


@pytest.mark.parametrize("body", [b"[]", b'{"kdf":1,"kdf":2}', b"{", b'{"a":NaN}', b"\xff", b"[" * 500])
def test_W17_a_body_that_is_not_one_json_object_is_refused(body):
    with pytest.raises(KeyMalformedError) as caught:
        keyfile.parse(with_body(body), what="k")
    assert caught.value.code == "key-malformed"


def test_a_wrong_password_and_a_damaged_file_are_password_errors():
    with pytest.raises(PasswordError):
        keyfile.decrypt(COSIGN_KEY, lambda: b"wrong", what="k")
    body = body_of(COSIGN_KEY)
    body["ciphertext"] = base64.b64encode(base64.b64decode(body["ciphertext"])[:-1] + b"\0").decode()
    with pytest.raises(PasswordError):
        keyfile.decrypt(with_body(body), lambda: b"pw", what="k")


def test_a_password_with_the_newline_of_echo_is_forgiven():
    assert keyfile.decrypt(COSIGN_KEY, lambda: b"pw\n", what="k")
    with pytest.raises(PasswordError):
        keyfile.decrypt(COSIGN_KEY, lambda: b"pw\n\n", what="k")


def test_a_password_that_does_end_in_a_newline_works():
    key = private.generate()
    data = keyfile.encrypt(key, b"pw\n")
    assert keyfile.decrypt(data, lambda: b"pw\n", what="k").public_key == key.public_key


def test_two_key_files_of_one_key_share_nothing():
    key = private.generate()
    first, second = (
        keyfile.parse(keyfile.encrypt(key, b""), what="k"),
        keyfile.parse(keyfile.encrypt(key, b""), what="k"),
    )
    assert first.salt != second.salt
    assert first.nonce != second.nonce


@pytest.mark.parametrize(
    ("data", "error", "hint"),
    [
        ((RECORDED / "cosign.pub").read_bytes(), KeyMalformedError, None),
        ((RECORDED / "ossl-ec-sec1.pem").read_bytes(), KeyUnsupportedError, "import-key-pair"),
        ((RECORDED / "ossl-rsa.pem").read_bytes(), KeyUnsupportedError, "import-key-pair"),
        (pem.encode("CERTIFICATE", b"x"), KeyMalformedError, None),
        (b"junk", KeyMalformedError, None),
    ],
)
def test_what_is_no_cosign_key_is_named(data, error, hint):
    with pytest.raises(error) as caught:
        keyfile.decrypt(data, pytest.fail, what="k")
    assert hint is None or hint in caught.value.hint


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_key_file_is_an_error_of_ours(data):
    damaged = bytearray(pem.decode(COSIGN_KEY, what="k").body)
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] = data.draw(st.integers(0, 255))
    try:
        keyfile.parse(with_body(bytes(damaged)), what="k")
    except KeyMaterialError as error:
        assert error.exit_code == 15


# -- keys of other programs


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("ossl-ec-sec1.pem", "ecdsa-p256"),
        ("ossl-ec384-pkcs8.pem", "ecdsa-p384"),
        ("ossl-ec521-pkcs8.pem", "ecdsa-p521"),
        ("ossl-rsa.pem", "rsa-2048"),
        ("ossl-rsa-pkcs1.pem", "rsa-2048"),
        ("ossl-ed25519.pem", "ed25519"),
    ],
)
def test_private_keys_of_openssl_are_imported(name, algorithm):
    key = private.import_pem((RECORDED / name).read_bytes(), what=name)
    assert key.public_key.algorithm == algorithm


def openssl(*args, given=b""):
    return subprocess.run(["openssl", *args], input=given, capture_output=True, check=True).stdout


@pytest.mark.parametrize("form", [["pkcs8", "-topk8", "-v2", "aes-128-cbc", "-passout", "pass:x"], None])
def test_encrypted_keys_of_other_formats_say_what_to_do(form):
    made = openssl("ecparam", "-genkey", "-noout", "-name", "prime256v1")
    data = openssl(*(form or ["ec", "-aes128", "-passout", "pass:x"]), given=made)
    with pytest.raises(KeyUnsupportedError) as caught:
        private.import_pem(data, what="k")
    assert "openssl pkey" in caught.value.hint
    assert private.import_pem(made, what="k")


@pytest.mark.parametrize(
    ("data", "code", "word"),
    [
        ((RECORDED / "ossl-rsa1024.pem").read_bytes(), "key-unsupported", "1024 bits"),
        (COSIGN_KEY, "key-unsupported", "already"),
        ((RECORDED / "cosign.pub").read_bytes(), "key-unsupported", "PUBLIC KEY"),
        (pem.encode("OPENSSH PRIVATE KEY", b"x"), "key-unsupported", "OpenSSH"),
        (pem.encode("PRIVATE KEY", b"\x30\x03\x02\x01\x00"), "key-malformed", "sound"),
        (b"", "key-malformed", "PEM"),
    ],
)
def test_what_cannot_be_imported_is_named(data, code, word):
    with pytest.raises(KeyMaterialError) as caught:
        private.import_pem(data, what="k")
    assert caught.value.code == code
    assert word in caught.value.message


def test_an_openssl_file_with_ec_parameters_says_what_to_do():
    data = openssl("ecparam", "-genkey", "-name", "prime256v1")
    assert data.count(b"BEGIN") == 2
    with pytest.raises(KeyMalformedError) as caught:
        private.import_pem(data, what="k")
    assert "openssl pkey" in caught.value.hint


def test_halves_that_do_not_belong_together_are_refused():
    ours, theirs = private.generate(), private.generate()
    point = ours.public_key.spki[-65:]
    der = ours.pkcs8()
    assert der.endswith(point)
    with pytest.raises(KeyMalformedError):
        private.from_der(der[:-65] + theirs.public_key.spki[-65:], what="k")
    assert private.from_der(der, what="k").public_key == ours.public_key


@pytest.mark.parametrize("algorithm", [name for name in private.ALGORITHMS if name not in {"rsa-3072", "rsa-4096"}])
def test_generated_keys_sign_what_openssl_verifies(algorithm, tmp_path):
    key = private.generate(algorithm)
    assert key.public_key.algorithm == algorithm
    (tmp_path / "k.pub").write_bytes(key.public_key.pem())
    (tmp_path / "message").write_bytes(b"message")
    hash_name = None if algorithm == "ed25519" else "sha256"
    (tmp_path / "signature").write_bytes(key.sign(b"message", hash_name))
    how = ["-rawin"] if hash_name is None else ["-rawin", "-digest", "sha256"]
    said = openssl(
        "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "k.pub", *how,
        "-in", tmp_path / "message", "-sigfile", tmp_path / "signature",
    )  # fmt: skip
    assert b"Verified Successfully" in said


def test_the_sizes_of_rsa_are_cosigns():
    assert set(private.ALGORITHMS) == {
        "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519",
    }  # fmt: skip
    with pytest.raises(KeyUnsupportedError):
        private.generate("dsa")


@pytest.mark.parametrize("prefix", ["cosign", "imp-ossl-ed25519"])
def test_no_secret_shows_in_a_repr_or_an_error(prefix):
    from sealgate.keys.signer import PrivateKeySigner

    key = keyfile.decrypt((RECORDED / f"{prefix}.key").read_bytes(), lambda: b"pw", what="k")
    secret = key.pkcs8()
    shown = repr(key) + repr(PrivateKeySigner(key)) + repr(key.public_key)
    assert secret.hex() not in shown
    data = keyfile.encrypt(key, CANARY)
    seen = []
    for attempt in (CANARY + b"x", CANARY + b"\n\n", b"x" + CANARY):
        with pytest.raises(SealgateError) as caught:
            keyfile.decrypt(data, lambda attempt=attempt: attempt, what="k")
        chain = "".join(traceback.format_exception(caught.value))
        seen.append(f"{caught.value!r} {caught.value} {caught.value.hint} {chain}")
    assert all(CANARY.decode() not in text for text in seen)
    assert parse_public_pem(key.public_key.pem(), what="k") == key.public_key
