"""Checkpoints: who signed them, and what they may look like (C2SP signed-note, tlog-checkpoint)."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.keys.algorithms import parse_spki
from sealgate.trust import checkpoint
from sealgate.trust.failure import TrustFailure
from sealgate.trust.root import Log, Period
from trust_service import notes

NAME = "log.example.test"
ROOT = hashlib.sha256(b"a root").digest()
KEYS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ecdsa": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
}
KEY, OTHER = KEYS["ed25519"], ed25519.Ed25519PrivateKey.generate()
WITNESS = ed25519.Ed25519PrivateKey.generate()
TREE = "rekor.example.test - 1234567890123456789"


def log_of(key, *, base_url=f"https://{NAME}", name=NAME):
    return Log(base_url, parse_spki(notes.spki(key)), "", Period(0, None), notes.key_id(name, key))


LOG = log_of(KEY)


def note(key=KEY, *, origin=NAME, name=NAME, size=7, root=ROOT, extensions=(), key_id=None):
    return notes.Checkpoint(origin, size, root, name, key, key_id or notes.key_id(name, key), extensions)


def text_of(*lines, key=KEY, name=NAME):
    """A signed note of any text."""
    text = "".join(f"{line}\n" for line in lines)
    signature = base64.b64encode(notes.key_id(name, key)[:4] + notes.sign(key, text.encode())).decode()
    return f"{text}\n\N{EM DASH} {name} {signature}\n"


def verify(text, log=LOG, *, tiles=True):
    return checkpoint.verified(checkpoint.read(text), log, tiles=tiles)


def refused(text, log=LOG, *, tiles=True):
    with pytest.raises(TrustFailure) as failure:
        verify(text, log, tiles=tiles)
    assert failure.value.code == "log-checkpoint-invalid"
    return failure.value.message


def cosigned(text, name="witness.example.test/w1"):
    body = text.rpartition("\n\n")[0] + "\n"
    return notes.cosignature(name, WITNESS, 1_790_000_000, body)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_log_of_tiles_signs_in_the_name_of_its_host(key):
    found = verify(note(key).signed(), log_of(key))
    assert (found.origin, found.size, found.root) == (NAME, 7, ROOT)


def test_a_log_of_tiles_with_an_RSA_key():
    key = rsa.generate_private_key(65537, 2048)
    text = f"{NAME}\n7\n{base64.b64encode(ROOT).decode()}\n"
    spki = notes.spki(key)
    key_id = hashlib.sha256(NAME.encode() + b"\n\xffPKIX-RSA-PKCS#1v1.5" + spki).digest()
    signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    signed = f"{text}\n\N{EM DASH} {NAME} {base64.b64encode(key_id[:4] + signature).decode()}\n"
    log = Log(f"https://{NAME}", parse_spki(spki), "", Period(0, None), key_id)
    assert verify(signed, log).size == 7
    plain = f"{text}\n\N{EM DASH} {NAME} {base64.b64encode(hashlib.sha256(spki).digest()[:4] + signature).decode()}\n"
    assert "no signature by the log" in refused(plain, log)


def test_a_tree_of_rekor_v1_is_signed_by_its_host_whatever_its_address():
    key = KEYS["ecdsa"]
    host = "rekor.example.test"
    log = log_of(key, base_url="http://10.0.0.1:3000/rekor", name=host)
    assert verify(note(key, origin=TREE, name=host).signed(), log, tiles=False).host == host
    refused(note(key, origin=TREE, name="other.example.test").signed(), log, tiles=False)
    refused(note(key, origin=host, name=host).signed(), log, tiles=False)


def test_a_log_of_tiles_is_no_tree_of_rekor_v1():
    key = KEYS["ecdsa"]
    host = "rekor.example.test"
    log = log_of(key, base_url=f"https://{host}", name=host)
    tree, plain = note(key, origin=TREE, name=host).signed(), note(key, origin=host, name=host).signed()
    assert verify(tree, log, tiles=False)
    assert verify(plain, log, tiles=True)
    assert verify(plain, log, tiles=False)  # small logs of the tests of others are like that
    refused(tree, log, tiles=True)


@pytest.mark.parametrize(
    "base_url", [f"https://{NAME}:8443", f"http://{NAME}/a/path", f"https://{NAME.upper()}", f"https://{NAME}/"]
)
def test_the_name_is_the_host_of_the_address(base_url):
    assert verify(note().signed(), log_of(KEY, base_url=base_url))


@pytest.mark.parametrize(
    "name", ["log.example.test", "log.example.test:8443", "log.example.test/logs/1", "log.example.test:8443/logs/1"]
)
def test_the_name_may_be_more_of_the_address(name):
    log = log_of(KEY, base_url="https://log.example.test:8443/logs/1/", name=name)
    assert verify(note(origin=name, name=name).signed(), log)
    other = name.replace("log.example.test", "log.example.test/logs/2", 1)
    refused(note(origin=other, name=other).signed(), log)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://other.example.test",
        NAME,
        "",
        f"https://{NAME}.evil.test",
        f"https://x@{NAME}",
        f"https://a.{NAME}",
        f"https://evil.test/{NAME}",
        f"https://evil.test?{NAME}",
        f"https://evil.test#{NAME}",
        f"https://[::1]/{NAME}",
    ],
)
def test_L14_the_origin_of_another_host_is_refused(base_url):
    refused(note().signed(), log_of(KEY, base_url=base_url))


def test_L14_the_signature_in_the_name_of_another_is_none_of_the_log():
    refused(note(name="other.example.test", key_id=notes.key_id(NAME, KEY)).signed())
    refused(note(origin="other.example.test").signed())


@pytest.mark.parametrize("before", [0, 1, 16])
@pytest.mark.parametrize("after", [0, 1, 16])
def test_L14_lines_of_witnesses_say_nothing_wherever_they_stand(before, after):
    signed = note().signed()
    text, _, line = signed.rpartition("\n\n")
    lines = [cosigned(signed, f"witness.example.test/{number}") for number in range(before + after)]
    assert verify(f"{text}\n\n{''.join(lines[:before])}{line}{''.join(lines[before:])}").size == 7


def test_L14_a_second_key_in_the_name_of_the_log_says_nothing():
    signed = note().signed()
    assert verify(signed + note(OTHER).signature_line())
    text, _, line = signed.rpartition("\n\n")
    assert verify(f"{text}\n\n{note(OTHER).signature_line()}{line}")


def test_L14_a_bad_signature_by_the_log_refuses_beside_a_good_one():
    signed = note().signed()
    text, _, line = signed.rpartition("\n\n")
    bad = note(OTHER, key_id=notes.key_id(NAME, KEY)).signature_line()
    assert "altered, or another key" in refused(signed + bad)
    refused(f"{text}\n\n{bad}{line}")
    refused(f"{text}\n\n{bad}")
    assert verify(signed + line)  # the same once more is no contradiction


def test_L14_witnesses_alone_prove_nothing():
    signed = note().signed()
    assert verify(signed + cosigned(signed))
    refused(f"{signed.rpartition(chr(10) * 2)[0]}\n\n{cosigned(signed)}")


def test_L14_a_cosignature_in_the_name_of_the_log_is_not_the_logs():
    signed = note().signed()
    body = signed.rpartition("\n\n")[0]
    line = notes.cosignature(NAME, KEY, 1_790_000_000, body + "\n")
    assert verify(signed + line)
    refused(f"{body}\n\n{line}")


def test_lines_of_extensions_are_signed_and_say_nothing():
    assert verify(note(extensions=("Timestamp: 1689177396617352539", "— not a signature")).signed()).size == 7
    signed = note(extensions=("an extension",)).signed()
    refused(signed.replace("an extension", "An extension"))


B64 = base64.b64encode(ROOT).decode()


@pytest.mark.parametrize(
    "lines",
    [
        (NAME, "7"),
        ("7", B64),
        (NAME, B64),
        (NAME,),
        (NAME, "", "7", B64),
        (NAME, "7", B64, "", "behind an empty line"),
        ("", NAME, "7", B64),
        (NAME, "07", B64),
        (NAME, "+7", B64),
        (NAME, "-7", B64),
        (NAME, "7.0", B64),
        (NAME, "0x7", B64),
        (NAME, "٧", B64),
        (NAME, " 7", B64),
        (NAME, str(2**63), B64),
        (NAME, "9" * 30, B64),
        (NAME, "7", B64[:-1]),
        (NAME, "7", B64[:-4]),
        (NAME, "7", "!" + B64),
        (NAME, "7", base64.b64encode(ROOT + b"x").decode()),
        (NAME, "7", ROOT.hex()),
    ],
)
def test_L14_what_is_signed_must_be_a_checkpoint(lines):
    assert verify(text_of(NAME, "7", B64))
    refused(text_of(*lines))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n\n", "\n"),
        lambda text: text[:-1],
        lambda text: text + "\n",
        lambda text: text + "something\n",
        lambda text: text.replace("\N{EM DASH} ", "- "),
        lambda text: text.replace("\N{EM DASH} ", "\N{EM DASH}"),
        lambda text: text.replace("\N{EM DASH} ", "\N{EM DASH}  "),
        lambda text: text + "\N{EM DASH} witness AAAA\n",
        lambda text: text + "\N{EM DASH} witness \n",
        lambda text: text + "\N{EM DASH} witness\n",
        lambda text: text + "\N{EM DASH} wit+ness AAAAAAAA\n",
        lambda text: text + "\N{EM DASH} witness AAAAAA-_\n",
        lambda text: text + "\N{EM DASH} witness AAAAAAAA AAAA\n",
        lambda text: text + "\N{EM DASH} witness AAAAAAA=\n"[:-2] + "==\n",
        lambda text: text.replace(NAME, NAME + "\t"),
        lambda text: text.replace(NAME, NAME + "\0"),
        lambda text: text.rpartition("\n\n")[0] + "\n\n",
        lambda text: "\n\n" + text.rpartition("\n\n")[2],
        lambda text: "",
        lambda text: "\n",
        lambda text: "\n\n\n",
        lambda text: text + "\N{EM DASH} witness AAAAAAAA\n" * limits.CHECKPOINT_SIGNATURES,
        lambda text: "x" * limits.CHECKPOINT_BYTES + text,
    ],
)
def test_L14_what_is_no_signed_note_is_refused(change):
    signed = note().signed()
    assert verify(signed + "\N{EM DASH} witness AAAAAAAA\n")
    refused(change(signed))


def test_L16_every_altered_character_refuses():
    signed = note().signed()
    assert verify(signed)
    for at, character in enumerate(signed):
        for other in ("0", "A", " ", "\n"):
            if other != character:
                refused(signed[:at] + other + signed[at + 1 :])


@given(st.text(max_size=300))
def test_any_text_is_refused_with_a_code(text):
    refused(text)
    refused(f"{NAME}\n7\n{B64}\n\n{text}")
