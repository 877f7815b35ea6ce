"""Signatures of files: what both versions of cosign wrote, what was altered, and what is something else."""

import base64
import hashlib
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.errors import LimitError, NotFoundError, UsageError
from sealgate.evidence import bundle as bundles
from sealgate.keys import private
from sealgate.keys.algorithms import parse_public_pem
from sealgate.verification import blob as blobs
from sealgate.verification import deny
from sealgate.verification import requirement as requirements
from sealgate.verification.requirement import SignedBy

RECORDED = Path(__file__).with_name("recorded-blobs")
KINDS = ("ecdsa-p384", "ecdsa-p521", "rsa-2048", "ed25519")
COSIGN_PUB = "cosign.pub"
BLOB = (RECORDED / "blob.txt").read_bytes()


def key(name):
    return SignedBy(parse_public_pem((RECORDED / name).read_bytes(), what=name), name)


def evidence(name):
    raw = (RECORDED / name).read_bytes()
    return blobs.parse_signature(raw, name) if name.endswith(".sig") else blobs.parse_bundle(raw, name)


def verify(content, *found, keys=(COSIGN_PUB,), requirement=None, hash_name=None, denied=deny.NOTHING):
    keys = [each if isinstance(each, SignedBy) else key(each) for each in keys]
    return blobs.verify(
        lambda hashes, whole: blobs.read(io.BytesIO(content), "file", hashes=hashes, whole=whole),
        [evidence(each) if isinstance(each, str) else each for each in found],
        requirement=requirement or requirements.any_of(keys),
        deny=denied,
        hash_name=hash_name,
        trust=None,
    )


def codes(verdict):
    return {finding.code for report in verdict.signatures for finding in report.findings if finding.outcome == "failed"}


OWN = (
    "blob.sigstore.json",
    "blob.25n.bundle",
    "blob.25.bundle",
    "blob.legacy.bundle",
    "blob.sig",
    "created.sigstore.json",
)


@pytest.mark.parametrize("name", OWN)
def test_what_cosign_recorded_is_accepted_and_only_for_this_file_and_key(name):
    accepted = verify(BLOB, name)
    assert accepted.accepted
    assert (accepted.code, accepted.exit_code) == ("accepted", 0)
    other_file = verify((RECORDED / "bad.txt").read_bytes(), name)
    assert (other_file.accepted, other_file.exit_code) == (False, 12)
    other_key = verify(BLOB, name, keys=["nopw.pub"])
    assert (other_key.accepted, other_key.code, other_key.exit_code) == (False, "signature-key-mismatch", 12)


@pytest.mark.parametrize("form", ["sigstore.json", "sig", "bundle"])
@pytest.mark.parametrize("peer", ["cosign2", "cosign3"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key_of_both_versions_is_accepted(kind, peer, form):
    name = f"{kind}.{peer}.{form}"
    verdict = verify(BLOB, name, keys=[f"{kind}.pub"])
    assert verdict.accepted
    own_hash = {"ecdsa-p384": "sha384", "ecdsa-p521": "sha512"}.get(kind, "sha256")
    hash_name = own_hash if peer == "cosign3" else "sha256"
    scheme = {"ed25519": "ed25519", "rsa-2048": f"rsa-pkcs1v15-{hash_name}"}.get(kind, f"{kind}-{hash_name}")
    assert verdict.signatures[0].scheme == scheme
    assert verify(BLOB + b" ", name, keys=[f"{kind}.pub"]).exit_code == 12


def test_the_hash_can_be_asked_for():
    found = "ecdsa-p384.cosign3.sig"
    assert verify(BLOB, found, keys=["ecdsa-p384.pub"], hash_name="sha384").accepted
    refused = verify(BLOB, found, keys=["ecdsa-p384.pub"], hash_name="sha256")
    assert (refused.accepted, refused.code) == (False, "signature-key-mismatch")
    refused = verify(BLOB, "ed25519.cosign3.sig", keys=["ed25519.pub"], hash_name="sha256")
    assert (refused.accepted, refused.code) == (False, "signature-hash-mismatch")


def test_a_bare_signature_over_another_hash_than_the_keys_own_must_be_asked_for():
    made = private.generate("ecdsa-p256")
    found = blobs.parse_signature(made.sign(b"m", "sha512"), "s")
    keys = [SignedBy(made.public_key, "k")]
    assert not verify(b"m", found, keys=keys).accepted
    assert verify(b"m", found, keys=keys, hash_name="sha512").accepted


def altered(name, change):
    document = json.loads((RECORDED / name).read_bytes())
    change(document)
    return blobs.parse_bundle(json.dumps(document).encode(), name)


def test_E08_a_bundle_that_names_another_digest_is_refused_though_its_signature_is_good():
    def change(document):
        digest = hashlib.sha256(b"another file").digest()
        document["messageSignature"]["messageDigest"]["digest"] = base64.b64encode(digest).decode()

    assert verify(BLOB, altered("blob.sigstore.json", lambda _: None)).accepted
    verdict = verify(BLOB, altered("blob.sigstore.json", change))
    assert (verdict.accepted, verdict.code, verdict.exit_code) == (False, "blob-digest-mismatch", 12)
    assert "signature-verified" in {finding.code for finding in verdict.signatures[0].findings}


@pytest.mark.parametrize("algorithm", ["SHA2_384", "SHA2_512", "SHA3_256", "SHA3_384"])
def test_E08_the_digest_is_compared_whatever_its_hash(algorithm):
    name = blobs._HASH_OF[algorithm]

    def change(document, content):
        document["messageSignature"]["messageDigest"] = {
            "algorithm": algorithm,
            "digest": base64.b64encode(hashlib.new(name, content).digest()).decode(),
        }

    assert verify(BLOB, altered("blob.sigstore.json", lambda d: change(d, BLOB))).accepted
    verdict = verify(BLOB, altered("blob.sigstore.json", lambda d: change(d, b"x")))
    assert (verdict.accepted, verdict.code) == (False, "blob-digest-mismatch")


def test_E08_a_digest_of_no_named_hash_is_refused_and_none_at_all_is_not_needed():
    def nameless(document):
        del document["messageSignature"]["messageDigest"]["algorithm"]

    verdict = verify(BLOB, altered("blob.sigstore.json", nameless))
    assert (verdict.accepted, verdict.code) == (False, "blob-digest-mismatch")
    assert verify(BLOB, altered("blob.sigstore.json", lambda d: d["messageSignature"].pop("messageDigest"))).accepted


def test_E08_the_named_digest_is_never_what_is_verified():
    """A good signature of the named digest, over other bytes: cosign's bug was to verify the digest in the bundle."""
    made = private.generate()
    digest = hashlib.sha256(BLOB).digest()
    raw = bundles.encode_message(made.sign(BLOB, "sha256"), "SHA2_256", digest, hint=made.public_key.hint)
    found = blobs.parse_bundle(raw, "b")
    keys = [SignedBy(made.public_key, "k")]
    assert verify(BLOB, found, keys=keys).accepted
    refused = verify(b"other bytes", found, keys=keys)
    assert (refused.accepted, codes(refused)) == (False, {"blob-digest-mismatch", "signature-invalid"})


@pytest.mark.parametrize("name", ["ab.sigstore.json", "stmt.sigstore.json"])
def test_an_attestation_is_not_a_signature(name):
    verdict = verify(BLOB, name)
    assert (verdict.accepted, verdict.code, verdict.exit_code) == (False, "not-a-blob-signature", 12)
    assert "verify-blob-attestation" in verdict.hint


def test_a_bare_envelope_is_not_a_signature_in_either_place():
    raw = (RECORDED / "ab.dsse.sig").read_bytes()
    assert verify(BLOB, blobs.parse_bundle(raw, "b")).code == "not-a-blob-signature"
    assert verify(BLOB, blobs.parse_signature(raw, "s")).code == "evidence-malformed"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "evidence-malformed"),
        (b"null", "evidence-malformed"),
        (b"{}", "evidence-malformed"),
        (b'{"base64Signature":""}', "evidence-malformed"),
        (b'{"base64Signature":"AA==","base64Signature":"AA=="}', "evidence-malformed"),
        (b'{"base64Signature":"AA=="}', "signature-key-mismatch"),
        (b'{"base64Signature":7}', "evidence-malformed"),
        (b"[" * 5000, "evidence-limit"),
        (b" " * (limits.EVIDENCE_BYTES + 1), "evidence-limit"),
    ],
)
def test_a_broken_bundle_is_refused_with_its_reason(raw, code):
    verdict = verify(BLOB, blobs.parse_bundle(raw, "b"))
    assert (verdict.accepted, verdict.exit_code) == (False, 12)
    assert verdict.code == code


def test_E20_an_empty_signature_is_refused():
    def change(document):
        document["messageSignature"]["signature"] = ""

    verdict = verify(BLOB, altered("blob.sigstore.json", change))
    assert (verdict.accepted, "signature-missing" in codes(verdict)) == (False, True)
    for raw in (b"", b"\n", b"  \n"):
        verdict = verify(BLOB, blobs.parse_signature(raw, "s"))
        assert (verdict.accepted, verdict.code) == (False, "evidence-malformed")


def test_a_signature_may_be_its_bytes():
    raw = base64.b64decode((RECORDED / "blob.sig").read_bytes())
    assert verify(BLOB, blobs.parse_signature(raw, "s")).accepted
    assert not verify(BLOB, blobs.parse_signature(raw[:-1], "s")).accepted


@given(st.binary(max_size=300))
def test_no_bytes_at_all_pass_or_raise(raw):
    for found in (blobs.parse_bundle(raw, "b"), blobs.parse_signature(raw, "s")):
        verdict = verify(BLOB, found)
        assert (verdict.accepted, verdict.exit_code) == (False, 12)


def test_X02_no_signature_at_all_is_a_refusal():
    verdict = verify(BLOB)
    assert (verdict.accepted, verdict.code, verdict.exit_code) == (False, "no-signature", 10)


def test_E22_a_bad_signature_before_or_after_a_good_one_changes_nothing():
    assert verify(BLOB, "blob.sig", "ed25519.cosign3.sig").accepted
    assert verify(BLOB, "ed25519.cosign3.sig", "blob.sig").accepted
    assert not verify(BLOB, "ed25519.cosign3.sig", "ecdsa-p384.cosign3.sig").accepted


def test_several_keys_need_a_signature_of_each_that_is_required():
    keys = [key(COSIGN_PUB), key("ed25519.pub")]
    both = requirements.all_of(keys)
    assert verify(BLOB, "blob.sig", "ed25519.cosign3.sig", keys=keys, requirement=both).accepted
    one = verify(BLOB, "blob.sig", keys=keys, requirement=both)
    assert (one.accepted, one.code, one.exit_code) == (False, "no-matching-signature", 12)
    twice = verify(BLOB, "blob.sig", "blob.sigstore.json", keys=keys, requirement=both)
    assert (twice.accepted, twice.code) == (False, "no-matching-signature")
    assert verify(BLOB, "ed25519.cosign3.sig", keys=keys).accepted


def test_what_is_denied_is_refused_whatever_else_holds():
    digest = f"sha256:{hashlib.sha256(BLOB).hexdigest()}"
    fingerprint = key(COSIGN_PUB).key.fingerprint
    listed = deny.parse(f"digest {digest} recalled\n".encode(), what="deny")
    verdict = verify(BLOB, "blob.sig", denied=listed)
    assert (verdict.accepted, verdict.code, verdict.exit_code) == (False, "denied-digest", 16)
    listed = deny.parse(f"key {fingerprint} leaked\n".encode(), what="deny")
    verdict = verify(BLOB, "blob.sig", denied=listed)
    assert (verdict.accepted, verdict.code, verdict.exit_code) == (False, "denied-key", 16)
    other = deny.parse(f"key {key('nopw.pub').key.fingerprint} leaked\n".encode(), what="deny")
    assert verify(BLOB, "blob.sig", denied=other).accepted


def test_the_hint_of_a_bundle_decides_nothing():
    def change(document):
        document["verificationMaterial"]["publicKey"]["hint"] = key("nopw.pub").key.hint

    assert verify(BLOB, altered("blob.sigstore.json", change)).accepted
    assert not verify(BLOB, altered("blob.sigstore.json", change), keys=["nopw.pub"]).accepted


# -- reading


class Trickle(io.RawIOBase):
    """Gives one byte at a time."""

    def __init__(self, data):
        self._data = data

    def read(self, size=-1):
        piece, self._data = self._data[:1], self._data[1:]
        return piece


def test_a_file_is_hashed_whatever_the_pieces_it_comes_in():
    heard = []
    found = blobs.read(Trickle(b"abc"), "f", hashes=["sha512"], whole=True, hear=heard.append)
    assert (found.size, found.message, heard) == (3, b"abc", [b"a", b"b", b"c"])
    assert found.digests == {name: hashlib.new(name, b"abc").digest() for name in ("sha256", "sha512")}
    assert blobs.read(io.BytesIO(b"abc"), "f", hashes=[], whole=False).message is None


def test_D01_only_a_key_that_needs_the_whole_file_bounds_its_size(monkeypatch):
    monkeypatch.setattr(limits, "SIGNED_FILE_BYTES", 10)
    assert blobs.read(io.BytesIO(b"x" * 11), "f", hashes=[], whole=False).size == 11
    assert blobs.read(io.BytesIO(b"x" * 10), "f", hashes=[], whole=True).size == 10
    with pytest.raises(LimitError) as caught:
        blobs.read(io.BytesIO(b"x" * 11), "f", hashes=[], whole=True)
    assert "Ed25519" in caught.value.hint
    assert not blobs.needs_message([key(COSIGN_PUB)], [])
    assert blobs.needs_message([key(COSIGN_PUB), key("ed25519.pub")], [])


def test_a_pipe_that_has_nothing_at_the_moment_is_not_at_its_end():
    class Empty(io.RawIOBase):
        def read(self, size=-1):
            return None

    with pytest.raises(UsageError):
        blobs.read(Empty(), "f", hashes=[], whole=False)


def test_files_that_cannot_be_read_are_told_apart(tmp_path):
    def read(path):
        return blobs.read_file(str(path), hashes=[], whole=False)

    (tmp_path / "f").write_bytes(b"x")
    assert read(tmp_path / "f").size == 1
    with pytest.raises(NotFoundError) as caught:
        read(tmp_path / "none")
    assert (caught.value.code, caught.value.exit_code) == ("not-found", 1)
    with pytest.raises(UsageError):
        read(tmp_path)
    with pytest.raises(UsageError):
        read("nul\0byte")
