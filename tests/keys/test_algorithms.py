"""Public keys: what is read, what is refused and why, and which signatures hold."""

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from hypothesis import given
from hypothesis import strategies as st

from sealgate.errors import KeyIsPrivateError, KeyMalformedError, KeyMaterialError, KeyUnsupportedError
from sealgate.keys import pem, private
from sealgate.keys.algorithms import parse_public_pem, parse_spki

RECORDED = Path(__file__).with_name("recorded")
PUBLIC = sorted(path.name for path in RECORDED.glob("*.pub"))
KINDS = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "ed25519")
COSIGN_PUB = (RECORDED / "cosign.pub").read_bytes()


@pytest.fixture(scope="module")
def keys():
    return {kind: private.generate(kind) for kind in KINDS}


def openssl(*args, given=b""):
    return subprocess.run(["openssl", *args], input=given, capture_output=True, check=True).stdout


def spki(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


# -- reading


@pytest.mark.parametrize("name", PUBLIC)
def test_recorded_public_keys_are_read_and_written_back(name):
    data = (RECORDED / name).read_bytes()
    key = parse_public_pem(data, what=name)
    assert key.pem() == data
    assert key.hint == base64.b64encode(hashlib.sha256(key.spki).digest()).decode()
    assert key.fingerprint == "SHA256:" + key.hint.rstrip("=")
    assert key == parse_spki(key.spki)
    assert hash(key) == hash(parse_spki(key.spki))


def test_the_hint_is_the_one_cosign_writes():
    assert parse_public_pem(COSIGN_PUB, what="x").hint == "uTbSPpdThkWkznoyRRJwlo0hT8vlc9UtvWSUsIEEfNI="


def test_kinds_are_named():
    names = {name: parse_public_pem((RECORDED / name).read_bytes(), what=name).algorithm for name in PUBLIC}
    assert names["cosign.pub"] == "ecdsa-p256"
    assert names["imp-ossl-ec384-pkcs8.pub"] == "ecdsa-p384"
    assert names["imp-ossl-ec521.pub"] == "ecdsa-p521"
    assert names["imp-ossl-rsa.pub"] == "rsa-2048"
    assert names["imp-ossl-ed25519.pub"] == "ed25519"
    odd = rsa.generate_private_key(65537, 2056).public_key()
    assert parse_spki(spki(odd)).algorithm == "rsa"


@pytest.mark.parametrize("change", [lambda d: d.replace(b"\n", b"\r\n"), bytes.strip, lambda d: b"\n " + d + b"\n\n"])
def test_white_space_around_a_key_does_not_matter(change):
    assert parse_public_pem(change(COSIGN_PUB), what="x") == parse_public_pem(COSIGN_PUB, what="x")


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "secp521r1"])
def test_a_compressed_point_is_the_same_key(curve):
    made = openssl("ecparam", "-genkey", "-noout", "-name", curve)
    plain = openssl("ec", "-pubout", given=made)
    short = openssl("ec", "-pubout", "-conv_form", "compressed", given=made)
    assert plain != short
    assert parse_public_pem(plain, what="x") == parse_public_pem(short, what="x")


def test_W15_leading_and_trailing_text_and_several_blocks_are_refused():
    for data, word in [
        (b"hello\n" + COSIGN_PUB, "before"),
        (COSIGN_PUB + b"hello\n", "after"),
        (COSIGN_PUB + COSIGN_PUB, "2 PEM blocks"),
        (b"\xef\xbb\xbf" + COSIGN_PUB, "before"),
    ]:
        with pytest.raises(KeyMalformedError) as caught:
            parse_public_pem(data, what="k.pub")
        assert word in caught.value.message
        assert "k.pub" in caught.value.message
    assert parse_public_pem(COSIGN_PUB, what="k.pub")


@pytest.mark.parametrize(
    ("label", "code", "hint"),
    [
        ("RSA PUBLIC KEY", "key-unsupported", "openssl rsa"),
        ("CERTIFICATE", "key-unsupported", "openssl x509"),
        ("TRUSTED CERTIFICATE", "key-unsupported", "openssl x509"),
        ("SSH2 PUBLIC KEY", "key-unsupported", "ssh-keygen"),
        ("PGP PUBLIC KEY BLOCK", "key-unsupported", "OpenPGP"),
        ("PRIVATE KEY", "key-is-private", "sealgate public-key"),
        ("EC PRIVATE KEY", "key-is-private", "sealgate public-key"),
        ("ENCRYPTED SIGSTORE PRIVATE KEY", "key-is-private", "sealgate public-key"),
        ("OPENSSH PRIVATE KEY", "key-is-private", "sealgate public-key"),
        ("NONSENSE", "key-malformed", None),
    ],
)
def test_W15_other_kinds_of_blocks_are_named(label, code, hint):
    with pytest.raises(KeyMaterialError) as caught:
        parse_public_pem(pem.encode(label, b"\x30\x00"), what="k")
    assert caught.value.code == code
    assert hint is None or hint in caught.value.hint


def test_W15_a_private_key_beside_a_public_one_is_named_first():
    with pytest.raises(KeyIsPrivateError):
        parse_public_pem(COSIGN_PUB + (RECORDED / "cosign.key").read_bytes(), what="k")


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"", "empty"),
        (b"ssh-ed25519 AAAA me", "ssh-keygen"),
        (base64.b64decode(b"".join(COSIGN_PUB.splitlines()[1:-1])), "DER"),
        (b"\x00\xff" * 50, "BEGIN PUBLIC KEY"),
        (b"untrusted comment: minisign", "minisign"),
    ],
)
def test_what_is_no_pem_is_named(data, hint):
    with pytest.raises(KeyMalformedError) as caught:
        parse_public_pem(data, what="k")
    assert hint in caught.value.hint


def test_W16_base64_means_one_thing():
    lines = COSIGN_PUB.splitlines()
    assert lines[2].endswith(b"==")
    for line in (lines[2][:-1], lines[2][:-3] + b"R==", lines[2][:5] + b"!" + lines[2][5:], lines[2] + b"="):
        with pytest.raises(KeyMalformedError) as caught:
            parse_public_pem(b"\n".join([*lines[:2], line, lines[3]]), what="k")
        assert "base64" in caught.value.message


def test_a_block_with_headers_and_one_without_an_end_are_refused():
    lines = COSIGN_PUB.splitlines()
    for data in (b"\n".join([lines[0], b"Proc-Type: 4,ENCRYPTED", b"", *lines[1:]]), b"\n".join(lines[:-1])):
        with pytest.raises(KeyMalformedError):
            parse_public_pem(data, what="k")


def test_huge_input_is_refused_without_reading_it():
    with pytest.raises(KeyMalformedError) as caught:
        parse_public_pem(COSIGN_PUB + b"\n" * 70_000, what="k")
    assert "larger" in caught.value.message


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"), KeyUnsupportedError),
        (("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"), KeyUnsupportedError),
        (("genpkey", "-algorithm", "ED448"), KeyUnsupportedError),
        (("genpkey", "-algorithm", "X25519"), KeyUnsupportedError),
        (("ecparam", "-genkey", "-noout", "-name", "secp256k1"), KeyUnsupportedError),
        (("ecparam", "-genkey", "-noout", "-name", "secp224r1"), KeyUnsupportedError),
    ],
)
def test_E17_weak_and_odd_keys_are_refused_when_read(make, error):
    public = openssl("pkey", "-pubout", given=openssl(*make))
    with pytest.raises(error) as caught:
        parse_public_pem(public, what="k")
    assert "accepted are" in caught.value.hint


def test_E17_explicit_curve_parameters_are_refused():
    made = openssl("ecparam", "-genkey", "-noout", "-name", "prime256v1")
    with pytest.raises(KeyUnsupportedError):
        parse_public_pem(openssl("ec", "-pubout", "-param_enc", "explicit", given=made), what="k")
    assert parse_public_pem(openssl("ec", "-pubout", given=made), what="k")


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521"])
def test_E17_points_off_the_curve_are_refused(keys, kind):
    der = keys[kind].public_key.spki
    with pytest.raises(KeyMalformedError):
        parse_spki(der[:-1] + bytes([der[-1] ^ 1]))
    assert parse_spki(der).algorithm == kind


@pytest.mark.parametrize(
    "point",
    [
        bytes(32),
        b"\x01" + bytes(31),
        b"\xec" + b"\xff" * 30 + b"\x7f",
        b"\xed" + b"\xff" * 30 + b"\x7f",
        b"\x02" + bytes(31),
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        bytes(31),
        bytes(33),
    ],
)
def test_E17_ed25519_keys_of_small_order_off_the_curve_or_of_another_length_are_refused(keys, point):
    header = keys["ed25519"].public_key.spki[:12]
    with pytest.raises(KeyMalformedError):
        parse_spki(header + point)
    assert parse_spki(header + keys["ed25519"].public_key.spki[12:]).algorithm == "ed25519"


def test_E17_rsa_of_8192_bits_is_read_and_larger_is_not():
    numbers = rsa.RSAPublicNumbers(65537, (1 << 8191) + 1).public_key()
    assert parse_spki(spki(numbers)).algorithm == "rsa"
    with pytest.raises(KeyUnsupportedError):
        parse_spki(spki(rsa.RSAPublicNumbers(65537, (1 << 8192) + 1).public_key()))


@given(st.binary(max_size=400))
def test_any_der_is_a_key_or_an_error_of_ours(data):
    try:
        parse_spki(data)
    except KeyMaterialError as error:
        assert error.exit_code == 15


@given(st.data())
def test_a_damaged_key_file_is_another_key_or_an_error_of_ours(data):
    damaged = bytearray(COSIGN_PUB)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        if data.draw(st.booleans()):
            damaged[at] = data.draw(st.integers(0, 255))
        else:
            del damaged[at : at + data.draw(st.integers(1, 9))]
    try:
        key = parse_public_pem(bytes(damaged), what="k")
    except KeyMaterialError:
        return
    assert parse_public_pem(key.pem(), what="k") == key


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["PUBLIC KEY", "X"]))
def test_pem_round_trips(body, label):
    assert pem.decode(pem.encode(label, body), what="k") == (label, body)


# -- verifying


RECORDED_SIGNATURES = json.loads((RECORDED / "signatures.json").read_text())
SCHEMES = {
    "alg-bundle-imp-ossl-ec384-pkcs8": "ecdsa-p384-sha384",
    "alg-bundle-imp-ossl-ed25519": "ed25519ph",
    "alg-bundle-imp-ossl-rsa": "rsa-pkcs1v15-sha256",
    "alg-legacy-imp-ossl-ec384-pkcs8": "ecdsa-p384-sha384",
    "alg-legacy-imp-ossl-ed25519": "ed25519ph",
    "alg-legacy-imp-ossl-rsa": "rsa-pkcs1v15-sha256",
    "alg-v25-imp-ossl-ec384-pkcs8": "ecdsa-p384-sha256",
    "alg-v25-imp-ossl-ed25519": "ed25519",
    "alg-v25-imp-ossl-rsa": "rsa-pkcs1v15-sha256",
}


@pytest.mark.parametrize("case", RECORDED_SIGNATURES, ids=lambda case: case["name"])
def test_signatures_of_both_cosign_versions_hold_and_are_named(case):
    key = parse_public_pem((RECORDED / case["key"]).read_bytes(), what=case["key"])
    message, signature = base64.b64decode(case["message"]), base64.b64decode(case["signature"])
    assert key.verify(signature, message) == SCHEMES[case["name"]]
    assert key.verify(signature, message + b" ") is None
    assert key.verify(signature[:-1] + bytes([signature[-1] ^ 1]), message) is None


@pytest.mark.parametrize("kind", KINDS)
def test_each_accepted_hash_holds_and_other_keys_do_not(keys, kind):
    key = keys[kind]
    other = private.generate(kind).public_key
    for name in (None,) if kind == "ed25519" else ("sha256", "sha384", "sha512"):
        signature = key.sign(b"message", name)
        scheme = "rsa-pkcs1v15" if kind.startswith("rsa") else kind
        assert key.public_key.verify(signature, b"message") == (scheme if name is None else f"{scheme}-{name}")
        assert other.verify(signature, b"message") is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "signature", [b"", b"\0", b"\0" * 64, b"\x30\x06\x02\x01\x00\x02\x01\x00", b"x" * 256, b"x" * 5000]
)
def test_E15_E20_empty_zero_and_nonsense_signatures_do_not_hold(keys, kind, signature):
    assert keys[kind].public_key.verify(signature, b"message") is None


@given(st.binary(max_size=140))
def test_any_bytes_are_no_signature_and_never_raise(signature):
    for name in ("cosign.pub", "imp-ossl-ed25519.pub", "imp-ossl-rsa.pub"):
        key = parse_public_pem((RECORDED / name).read_bytes(), what=name)
        assert key.verify(signature, b"message") is None


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521"])
def test_E15_only_strict_der_holds(keys, kind):
    key = keys[kind]
    signature = key.sign(b"message", "sha256")
    r, s = utils.decode_dss_signature(signature)
    size = {"ecdsa-p256": 32, "ecdsa-p384": 48, "ecdsa-p521": 66}[kind]
    assert key.public_key.verify(signature, b"message") == f"{kind}-sha256"
    raw = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    assert key.public_key.verify(raw, b"message") is None
    assert key.public_key.verify(signature + b"\0", b"message") is None
    r_at = 2 if signature[1] < 0x80 else 3
    length = signature[r_at + 1]
    padded = signature[r_at : r_at + 1] + bytes([length + 1, 0]) + signature[r_at + 2 :]
    longer = bytes([0x30, len(padded)]) if len(padded) < 0x80 else bytes([0x30, 0x81, len(padded)])
    assert key.public_key.verify(longer + padded, b"message") is None


def test_E16_sha1_and_md5_signatures_do_not_hold():
    handle = rsa.generate_private_key(65537, 2048)
    key = parse_spki(spki(handle.public_key()))
    assert key.verify(handle.sign(b"m", padding.PKCS1v15(), hashes.SHA1()), b"m") is None
    assert key.verify(handle.sign(b"m", padding.PKCS1v15(), hashes.MD5()), b"m") is None
    assert key.verify(handle.sign(b"m", padding.PKCS1v15(), hashes.SHA256()), b"m") == "rsa-pkcs1v15-sha256"
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    assert key.verify(handle.sign(b"m", pss, hashes.SHA256()), b"m") is None
    curve = ec.generate_private_key(ec.SECP256R1())
    assert parse_spki(spki(curve.public_key())).verify(curve.sign(b"m", ec.ECDSA(hashes.SHA1())), b"m") is None


def test_reading_a_p256_key_does_not_import_what_it_does_not_need():
    code = (
        "import sys; from sealgate.keys.algorithms import parse_public_pem;"
        f"key = parse_public_pem({COSIGN_PUB!r}, what='k'); key.verify(b'x', b'y');"
        "print([name for name in ('cryptography.hazmat.primitives.serialization', 'nacl', 'dataclasses', 'asyncio',"
        " 'sealgate.keys.private') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
