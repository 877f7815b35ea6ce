"""Keyless verification with the library: identities and trust roots, with asyncio and without, of files and of what is said of them."""

import asyncio
import json

import pytest

import sealgate
from sealgate import blocking
from sealgate.errors import TrustRootInvalidError, TrustRootMissingError, UsageError
from trust_service.identities import EMAIL, WORKFLOW, github

PREDICATE = "https://example.test/predicate/v1"
SOMEBODY = "somebody@example.test"


@pytest.fixture(params=["async", "blocking"])
def face(request):
    """`face("verify_blob", …)`: the function of that name, in either form."""

    def call(name, *args, **options):
        if request.param == "blocking":
            return getattr(blocking, name)(*args, **options)
        return asyncio.run(getattr(sealgate, name)(*args, **options))

    return call


@pytest.fixture
def root(trust_service):
    return sealgate.parse_trust_root(json.dumps(trust_service.trusted_root()).encode())


def asked(made, root, **changes):
    who = [sealgate.identity(made.subject, issuer=made.issuer)]
    return {"identities": who, "trust_root": root, "require": "any"} | changes


@pytest.mark.parametrize("rekor", [1, 2])
def test_a_file(face, trust_service, root, rekor):
    made = trust_service.make_bundle(rekor=rekor)
    verdict = face("verify_blob", made.artifact, bundles=[made.json], **asked(made, root))
    assert (verdict.code, verdict.outcome) == ("accepted", "accepted")
    [report] = verdict.signatures
    assert report.made.leaf.identity.subject == EMAIL
    assert report.made.leaf.identity.issuer == made.issuer
    others = {
        "identity-mismatch": sealgate.identity(SOMEBODY, issuer=made.issuer),
        "issuer-mismatch": sealgate.identity(made.subject, issuer="https://issuer.example.test"),
    }
    for code, other in others.items():
        refused = face("verify_blob", made.artifact, bundles=[made.json], **asked(made, root, identities=[other]))
        assert (refused.code, refused.exit_code) == (code, 12)
    refused = face("verify_blob", b"another file", bundles=[made.json], **asked(made, root))
    assert not refused.accepted


def test_what_is_said_of_a_file(face, trust_service, root):
    made = trust_service.make_bundle(kind="dsse")
    options = {"attestations": [made.json], "predicate_type": PREDICATE}
    assert face("verify_blob_attestation", made.artifact, **options, **asked(made, root)).code == "accepted"
    other = [sealgate.identity(SOMEBODY, issuer=made.issuer)]
    refused = face("verify_blob_attestation", made.artifact, **options, **asked(made, root, identities=other))
    assert refused.code == "identity-mismatch"


def test_extensions_are_compared_exactly(face, trust_service, root):
    made = trust_service.make_bundle(identity=github())
    for value, code in (("refs/heads/main", "accepted"), ("refs/heads/mai", "extension-mismatch")):
        who = sealgate.identity(WORKFLOW, issuer=made.issuer, extensions={"githubWorkflowRef": value})
        verdict = face("verify_blob", made.artifact, bundles=[made.json], **asked(made, root, identities=[who]))
        assert verdict.code == code


def test_C04_a_regular_expression_matches_the_whole_name(face, trust_service, root):
    made = trust_service.make_bundle()
    for regexp, code in ((r".*@example\.test", "accepted"), (r"example\.test", "identity-mismatch")):
        who = sealgate.identity(subject_regexp=regexp, issuer=made.issuer)
        verdict = face("verify_blob", made.artifact, bundles=[made.json], **asked(made, root, identities=[who]))
        assert verdict.code == code


def test_a_key_and_an_identity(face, trust_service, root):
    made, private = trust_service.make_bundle(), sealgate.PrivateKey.generate()
    options = {"bundles": [made.json], "keys": [private.public_key]}
    assert face("verify_blob", made.artifact, **options, **asked(made, root)).accepted
    assert not face("verify_blob", made.artifact, **options, **asked(made, root, require="all")).accepted


def test_what_is_taken_away_is_taken_away_alone(face, trust_service, root):
    unlogged = trust_service.make_bundle(rekor=None)
    options = {"bundles": [unlogged.json]}
    refused = face("verify_blob", unlogged.artifact, **options, **asked(unlogged, root))
    assert refused.code == "log-entry-missing"
    taken = asked(unlogged, root, unsafe_ignore_log=True)
    assert face("verify_blob", unlogged.artifact, **options, **taken).accepted
    alone = trust_service.make_bundle(ct=())
    options = {"bundles": [alone.json]}
    assert face("verify_blob", alone.artifact, **options, **asked(alone, root)).code == "sct-missing"
    assert face("verify_blob", alone.artifact, **options, **asked(alone, root, unsafe_ignore_sct=True)).accepted
    unstamped = trust_service.make_bundle(rekor=1)
    options = {"bundles": [unstamped.json]}
    assert face("verify_blob", unstamped.artifact, **options, **asked(unstamped, root)).accepted
    taken = asked(unstamped, root, use_signed_timestamps=True)
    assert face("verify_blob", unstamped.artifact, **options, **taken).code == "timestamp-missing"


def test_trust_roots_are_loaded_from_files_and_environments(face, trust_service, tmp_path):
    files = trust_service.files(tmp_path / "files")
    loaded = face("load_trust_root", files.trusted_root)
    assert loaded == sealgate.parse_trust_root(files.trusted_root.read_bytes())
    names = {"SIGSTORE_ROOT_FILE": files.ca, "SIGSTORE_REKOR_PUBLIC_KEY": files.rekor}
    names |= {"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": files.ct}
    named = face("load_trust_root", environ={name: str(path) for name, path in names.items()})
    made = trust_service.make_bundle(rekor=1)
    assert face("verify_blob", made.artifact, bundles=[made.json], **asked(made, named)).accepted
    with pytest.raises(TrustRootMissingError):
        face("load_trust_root", environ={})
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(TrustRootInvalidError):
        face("load_trust_root", tmp_path / "none.json")
    for wrong in ({}, {"path": files.trusted_root, "environ": {}}):
        with pytest.raises(UsageError):
            face("load_trust_root", **wrong)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"trust_root": None}, UsageError),
        ({"trust_root": b"{}"}, TypeError),
        ({"identities": ["signer@example.test"]}, TypeError),
        ({"identities": "signer@example.test"}, TypeError),
        ({"identities": sealgate.identity(EMAIL, issuer="https://issuer.test")}, TypeError),
        ({"identities": []}, TypeError),
        ({"identities": [], "keys": []}, UsageError),
        ({"require": 2}, UsageError),
        ({"trust_root": None, "identities": [], "keys": "KEY", "use_signed_timestamps": True}, UsageError),
    ],
)
def test_C18_wrong_use_is_an_error_and_never_a_verdict(face, trust_service, root, changes, error):
    made = trust_service.make_bundle()
    if changes.get("keys") == "KEY":
        changes = changes | {"keys": [sealgate.PrivateKey.generate().public_key]}
    with pytest.raises(error):
        face("verify_blob", made.artifact, bundles=[made.json], **asked(made, root, **changes))
    assert face("verify_blob", made.artifact, bundles=[made.json], **asked(made, root)).accepted


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"subject": EMAIL},
        {"issuer": "https://issuer.test"},
        {"subject": EMAIL, "issuer": "https://issuer.test", "unsafe_any_issuer": True},
        {"subject": EMAIL, "subject_regexp": ".*", "issuer": "https://issuer.test"},
        {"subject": "", "issuer": "https://issuer.test"},
        {"subject": EMAIL, "issuer": ""},
        {"subject_regexp": "(", "issuer": "https://issuer.test"},
        {"subject": EMAIL, "issuer": "https://issuer.test", "extensions": {"unheardOf": "x"}},
    ],
)
def test_C02_half_an_identity_is_none(wanted):
    with pytest.raises(UsageError):
        sealgate.identity(**wanted)
    assert sealgate.identity(EMAIL, issuer="https://issuer.test").issuer == "https://issuer.test"
