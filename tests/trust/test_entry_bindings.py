"""That a log entry is about this very signature: every field, every kind of entry, every kind of key (L01 to L07, L12, L20, L21)."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from nacl import bindings as nacl_bindings

from sealgate.evidence import dsse
from sealgate.keys.algorithms import parse_spki
from sealgate.trust import entries
from trust.altered import (
    BOTH,
    KINDS,
    OTHER_PEM,
    b64,
    code_of,
    entry_with,
    hashedrekord_v2,
    held,
    in_body,
    refusal,
    rekor2_request,
    verify,
)
from trust.recordings import of_made, root_of, signed_by
from trust_service import notes
from trust_service.hooks import Hooks

# -- (L01 to L07) about another signature


@BOTH
@KINDS
def test_L01_L05_only_the_entry_of_this_very_signature_counts(trust_service, rekor, kind):
    root = root_of(trust_service.trusted_root())
    key = ec.generate_private_key(ec.SECP256R1())

    def made(artifact, key, other="blob"):
        return of_made(trust_service.make_bundle(rekor=rekor, kind=other, artifact=artifact, key=key, managed=True))

    mine = made(b"one", key, kind)
    others = {
        "the other artifact, the same key": made(b"two", key, kind),
        "the same artifact, another key": made(b"one", ec.generate_private_key(ec.SECP256R1()), kind),
        "a second signature of the same by the same": made(b"one", key, kind),
        "the other kind": made(b"one", key, "blob" if kind == "dsse" else "dsse"),
    }
    assert verify(mine, root)
    for what, other in others.items():
        assert verify(other, root), what
        assert refusal(lambda other=other: verify(other, root, mine.signed)) == "log-entry-not-bound", what


@BOTH
def test_L01_the_entry_of_another_certificate_for_the_same_key_is_another(trust_service, rekor):
    root = root_of(trust_service.trusted_root())
    key = ec.generate_private_key(ec.SECP256R1())
    case = of_made(trust_service.make_bundle(rekor=rekor, key=key))
    certificate = trust_service.make_bundle(rekor=rekor, key=key).certificate
    assert verify(case, root)
    other = case.signed._replace(certificate=certificate)
    assert refusal(lambda: verify(case, root, other)) == "log-entry-not-bound"


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("spec", "data", "hash", "value"), "ab" * 32),
        (("spec", "data", "hash", "algorithm"), "sha512"),
        (("spec", "data", "hash", "algorithm"), "sha1"),
        (("spec", "data", "hash", "algorithm"), "md5"),
        (("spec", "signature", "content"), b64(b"another signature")),
        (("spec", "signature", "publicKey", "content"), b64(OTHER_PEM)),
    ],
)
def test_L06_every_field_of_a_hashedrekord_is_compared(trust_service, path, to):
    assert code_of(trust_service, in_body(*path, to=to), rekor=1) == "log-entry-not-bound"


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("spec", "payloadHash", "value"), "ab" * 32),
        (("spec", "payloadHash", "algorithm"), "sha512"),
        (("spec", "signatures", 0, "signature"), b64(b"another signature")),
        (("spec", "signatures", 0, "verifier"), b64(OTHER_PEM)),
    ],
)
def test_L06_every_field_of_a_dsse_entry_is_compared(trust_service, path, to):
    assert code_of(trust_service, in_body(*path, to=to), rekor=1, kind="dsse") == "log-entry-not-bound"


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("spec", "content", "payloadHash", "value"), "ab" * 32),
        (("spec", "content", "envelope", "payloadType"), "text/plain"),
        (("spec", "content", "envelope", "signatures", 0, "sig"), b64(b64(b"another signature").encode())),
        (("spec", "content", "envelope", "signatures", 0, "publicKey"), b64(OTHER_PEM)),
    ],
)
def test_L06_every_field_of_an_intoto_entry_is_compared(trust_service, path, to):
    options = {"rekor": 1, "kind": "dsse", "entry_kind": "intoto"}
    assert code_of(trust_service, in_body(*path, to=to), **options) == "log-entry-not-bound"


@pytest.mark.parametrize("to", [b64(b"one level only"), b64(b"\xff\xfe"), "!", 7, ""])
def test_the_signature_of_an_intoto_entry_is_base64_twice(trust_service, to):
    path = ("spec", "content", "envelope", "signatures", 0, "sig")
    options = {"rekor": 1, "kind": "dsse", "entry_kind": "intoto"}
    assert code_of(trust_service, in_body(*path, to=to), **options) == "log-entry-malformed"


V2 = ("spec", "hashedRekordV002")


@KINDS
@pytest.mark.parametrize(
    ("path", "to"),
    [
        ((*V2, "data", "digest"), b64(b"x" * 32)),
        ((*V2, "data", "algorithm"), "SHA2_512"),
        ((*V2, "signature", "content"), b64(b"another signature")),
        ((*V2, "signature", "verifier", "keyDetails"), "PKIX_ECDSA_P384_SHA_384"),
        ((*V2, "signature", "verifier", "x509Certificate", "rawBytes"), b64(b"another certificate")),
        ((*V2, "signature", "verifier"), lambda verifier: verifier | {"more": "words"}),
        (("spec", "more"), "words"),
    ],
)
def test_L06_the_leaf_of_rekor_v2_is_made_again_whole(trust_service, kind, path, to):
    if path == ("spec", "more"):
        alter = {"body": lambda body: body | {"spec": body["spec"] | {"more": "words"}}}
    else:
        alter = in_body(*path, to=to)
    assert code_of(trust_service, alter, kind=kind) == "log-entry-not-bound"
    without = {**alter, **entry_with(canonicalizedBody=None)}
    assert code_of(trust_service, without, kind=kind) == "log-proof-invalid"


def test_L06_the_leaf_of_old_envelopes_in_rekor_v2_is_made_again_whole(trust_service):
    options = {"kind": "dsse", "entry_kind": "dsse"}
    path = ("spec", "dsseV002", "payloadHash", "digest")
    assert code_of(trust_service, in_body(*path, to=b64(b"x" * 32)), **options) == "log-entry-not-bound"
    path = ("spec", "dsseV002", "signatures", 0, "content")
    assert code_of(trust_service, in_body(*path, to=b64(b"x" * 32)), **options) == "log-entry-not-bound"
    path = ("spec", "dsseV002", "signatures")
    assert code_of(trust_service, in_body(*path, to=lambda them: them * 2), **options) == "log-entry-not-bound"


@KINDS
def test_rekor_v2_without_a_body_is_proven_by_what_was_signed(trust_service, kind):
    root = root_of(trust_service.trusted_root())
    made = trust_service.make_bundle(kind=kind, alter=entry_with(canonicalizedBody=None))
    other = trust_service.make_bundle(kind=kind)
    assert verify(of_made(made), root)
    assert refusal(lambda: verify(of_made(made), root, of_made(other).signed)) == "log-proof-invalid"


@pytest.mark.parametrize("managed", [False, True])
@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["p384", "p521", "rsa"],
)
def test_entries_of_every_kind_of_key(trust_service, key, managed):
    root = root_of(trust_service.trusted_root())
    for options in (
        {"rekor": 1}, {"rekor": 2}, {"rekor": 1, "kind": "dsse"}, {"rekor": 2, "kind": "dsse"},
        {"rekor": 2, "kind": "dsse", "entry_kind": "dsse"}, {"rekor": 1, "kind": "dsse", "entry_kind": "intoto"},
    ):  # fmt: skip
        assert verify(of_made(trust_service.make_bundle(key=key, managed=managed, **options)), root)


def test_an_ed25519_key_is_logged_prehashed_in_rekor_v2(trust_service):
    root = root_of(trust_service.trusted_root())
    seed = bytes(range(32))
    public, secret = nacl_bindings.crypto_sign_seed_keypair(seed)
    state = nacl_bindings.crypto_sign_ed25519ph_state()
    nacl_bindings.crypto_sign_ed25519ph_update(state, b"an artifact")
    signature = nacl_bindings.crypto_sign_ed25519ph_final_create(state, secret)
    key = parse_spki(bytes.fromhex("302a300506032b6570032100") + public)
    signed = signed_by(signature, b"an artifact", certificate=None, key=key)
    digest = hashlib.sha512(b"an artifact").digest()
    entry = held(trust_service, hashedrekord_v2(signed, "PKIX_ED25519_PH", "SHA2_512", digest))
    assert entries.verify_entry(entry, signed, root)
    del entry["canonicalizedBody"]
    assert entries.verify_entry(entry, signed, root)
    pure = held(trust_service, hashedrekord_v2(signed, "PKIX_ED25519", "SHA2_512", digest))
    assert refusal(lambda: entries.verify_entry(pure, signed, root)) == "log-entry-not-bound"


def test_a_p384_key_may_sign_sha256(trust_service):
    root = root_of(trust_service.trusted_root())
    key = ec.generate_private_key(ec.SECP384R1())
    signature = key.sign(b"an artifact", ec.ECDSA(hashes.SHA256()))
    public = parse_spki(notes.spki(key))
    signed = signed_by(signature, b"an artifact", certificate=None, key=public)
    digest = hashlib.sha256(b"an artifact").digest()
    entry = held(trust_service, hashedrekord_v2(signed, "PKIX_ECDSA_P384_SHA_256", "SHA2_256", digest))
    assert entries.verify_entry(entry, signed, root)
    del entry["canonicalizedBody"]
    assert entries.verify_entry(entry, signed, root)
    mixed = held(trust_service, hashedrekord_v2(signed, "PKIX_ECDSA_P384_SHA_384", "SHA2_256", digest))
    assert refusal(lambda: entries.verify_entry(mixed, signed, root)) == "log-entry-not-bound"


def test_a_key_of_a_size_that_rekor_v2_does_not_know_is_not_logged_there(trust_service):
    root = root_of(trust_service.trusted_root())
    key = rsa.generate_private_key(65537, 2560)
    case = of_made(trust_service.make_bundle(rekor=1, key=key, managed=True))
    assert verify(case, root)
    digest = dict(case.signed.digests)["sha256"]
    entry = held(trust_service, hashedrekord_v2(case.signed, "PKIX_RSA_PKCS1V15_2560_SHA256", "SHA2_256", digest))
    assert refusal(lambda: entries.verify_entry(entry, case.signed, root)) == "log-entry-not-bound"
    del entry["canonicalizedBody"]
    assert refusal(lambda: entries.verify_entry(entry, case.signed, root)) == "log-entry-not-bound"


def test_a_log_may_be_ecdsa(trust_service):
    assert verify(of_made(trust_service.make_bundle(log="ecdsa")), root_of(trust_service.trusted_root()))


@BOTH
def test_a_managed_key_may_have_been_logged_as_a_certificate_of_its_own(trust_service, rekor):
    """cosign logs `--certificate` beside `--key`."""
    root = root_of(trust_service.trusted_root())
    made = trust_service.make_bundle(rekor=rekor)
    case = of_made(made)
    managed = case.signed._replace(certificate=None)
    assert verify(case, root, managed)
    other = of_made(trust_service.make_bundle(rekor=rekor, managed=True)).signed
    assert refusal(lambda: verify(case, root, managed._replace(key=other.key))) == "log-entry-not-bound"


@BOTH
def test_a_certificate_is_not_proven_by_an_entry_of_its_bare_key(trust_service, rekor):
    root = root_of(trust_service.trusted_root())
    key = ec.generate_private_key(ec.SECP256R1())
    bare = of_made(trust_service.make_bundle(rekor=rekor, key=key, managed=True))
    certificate = trust_service.make_bundle(rekor=rekor, key=key).certificate
    assert verify(bare, root)
    assert refusal(lambda: verify(bare, root, bare.signed._replace(certificate=certificate))) == "log-entry-not-bound"


# -- (L12, L20) kinds of entries


@pytest.mark.parametrize(
    ("alter", "code"),
    [
        (in_body("kind", to="foo"), "log-entry-malformed"),
        (in_body("apiVersion", to="0.0.9"), "log-entry-malformed"),
        (in_body("spec", to={}), "log-entry-malformed"),
        (in_body("spec", to=[]), "log-entry-malformed"),
    ],
)
def test_L12_an_entry_of_an_unknown_kind_or_without_content_is_refused(trust_service, alter, code):
    assert code_of(trust_service, alter, rekor=1) == code
    expected = (
        code if alter["body"]({"kind": "", "apiVersion": "", "spec": ""})["spec"] == "" else "log-entry-not-bound"
    )
    assert code_of(trust_service, alter, rekor=2) == expected


def test_L20_an_envelope_may_be_logged_as_its_pae_but_not_as_its_payload(trust_service):
    root = root_of(trust_service.trusted_root())
    options = {"rekor": 1, "kind": "dsse", "entry_kind": "hashedrekord"}
    case = of_made(trust_service.make_bundle(**options))
    assert verify(case, root)
    payload = hashlib.sha256(case.signed.envelope.payload).hexdigest()
    alter = in_body("spec", "data", "hash", "value", to=payload)
    assert code_of(trust_service, alter, **options) == "log-entry-not-bound"


def test_L20_a_file_is_not_logged_as_an_envelope(trust_service):
    root = root_of(trust_service.trusted_root())
    for options in ({"rekor": 1}, {"rekor": 1, "entry_kind": "intoto"}, {"rekor": 2, "entry_kind": "dsse"}):
        case = of_made(trust_service.make_bundle(kind="dsse", **options))
        assert verify(case, root)
        message = dsse.pae(case.signed.envelope.payload_type, case.signed.envelope.payload)
        file = case.signed._replace(envelope=None, message=message)  # the very same signature
        assert refusal(lambda case=case, file=file: verify(case, root, file)) == "log-entry-not-bound"


def test_L20_a_log_of_tiles_has_no_entries_of_rekor_v1(trust_service):
    """Somebody has a Rekor v2 log hold the body of another kind of log."""
    root = root_of(trust_service.trusted_root())
    of_v1 = of_made(trust_service.make_bundle(rekor=1))
    body = json.loads(base64.b64decode(of_v1.entries[0]["canonicalizedBody"]))
    entry = trust_service.log2().add(rekor2_request(), Hooks({"body": (lambda _: body,)}))
    del entry["inclusionPromise"]
    assert verify(of_v1, root)
    assert refusal(lambda: entries.verify_entry(entry, of_v1.signed, root)) == "log-entry-malformed"


def test_L20_what_a_log_holds_is_bound_however_it_is_read(trust_service):
    """The id of a log of tiles with an ECDSA key could be that of Rekor v1; but the kind is in the leaf."""
    root = root_of(trust_service.trusted_root())
    of_v1, other = (of_made(trust_service.make_bundle(rekor=1)) for _ in range(2))
    body = json.loads(base64.b64decode(of_v1.entries[0]["canonicalizedBody"]))
    entry = trust_service.log2("ecdsa").add(rekor2_request(), Hooks({"body": (lambda _: body,)}))
    del entry["inclusionPromise"]
    assert entries.verify_entry(entry, of_v1.signed, root).promised is None
    assert refusal(lambda: entries.verify_entry(entry, other.signed, root)) == "log-entry-not-bound"
    promised = entry | {"integratedTime": "1790000000", "inclusionPromise": of_v1.entries[0]["inclusionPromise"]}
    assert refusal(lambda: entries.verify_entry(promised, of_v1.signed, root)) == "log-promise-invalid"
    as_tile = entry | {"kindVersion": {"kind": "hashedrekord", "version": "0.0.2"}}
    assert refusal(lambda: entries.verify_entry(as_tile, of_v1.signed, root)) == "log-entry-malformed"


def test_L20_rekor_v1_has_no_entries_of_a_log_of_tiles(trust_service):
    root = root_of(trust_service.trusted_root())
    of_v2 = of_made(trust_service.make_bundle(rekor=2))
    body = json.loads(base64.b64decode(of_v2.entries[0]["canonicalizedBody"]))
    made = trust_service.make_bundle(
        rekor=1, alter={"body": lambda _: body, **entry_with(inclusionPromise=None, integratedTime=None)}
    )
    [entry] = of_made(made).entries
    entry["logIndex"] = entry["inclusionProof"]["logIndex"]
    assert verify(of_v2, root)
    assert refusal(lambda: entries.verify_entry(entry, of_v2.signed, root)) == "log-checkpoint-invalid"


@pytest.mark.parametrize(
    "change", [lambda pem: pem * 2, lambda pem: OTHER_PEM + pem, lambda pem: pem + OTHER_PEM, lambda _: b"PEM"]
)
def test_L21_a_key_is_one_pem_block(trust_service, change):
    alter = in_body("spec", "signature", "publicKey", "content", to=lambda text: b64(change(base64.b64decode(text))))
    assert code_of(trust_service, alter, rekor=1) == "log-entry-malformed"


def test_L21_a_key_is_compared_as_der(trust_service):
    root = root_of(trust_service.trusted_root())
    alter = in_body(
        "spec", "signature", "publicKey", "content",
        to=lambda text: b64(base64.b64decode(text).replace(b"\n", b"\r\n")),
    )  # fmt: skip
    assert verify(of_made(trust_service.make_bundle(rekor=1, alter=alter)), root)
