"""Certificates, logs and timestamps in policies of policy-controller, containers/image and our own, by a Sigstore of the tests."""

import base64
import io
import json
import tarfile

import pytest

from peers.certificates import Authority
from policy.kept import keep
from policy.scene import References as Beside
from policy.scene import codes, load, one, pem, refused
from policy.sigstore.scene import cip, keyed
from sealgate.errors import PolicyUnsupportedError
from sealgate.policy.attestors import Settings
from sealgate.policy.conversion import grammars
from sealgate.policy.reading import Source
from sealgate.trust import root as roots
from trust_service.authority import pem as certificate_pem
from trust_service.bundles import simple_signing
from trust_service.identities import github

TEAM = "registry.example.com/team"
SIGN = "https://sigstore.dev/cosign/sign/v1"
REVIEW = "https://example.com/review/v1"
DEV, EVIL, OTHER = "dev@example.com", "dev@example.com.evil.org", "other@example.com"


def statement(digest, kind=SIGN, predicate=None):
    subject = [{"digest": {"sha256": digest.partition(":")[2]}}]
    made = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": kind}
    return made | {"predicate": predicate or {}}


@pytest.fixture(scope="module")
def service(registry, running_trust_service):
    """Images by who signed them and by what bears witness: a log, a timestamp authority, or both."""
    made = running_trust_service
    made.reset()
    images = {
        "k-dev": (DEV, 1, False), "k-evil": (EVIL, 1, False), "k-other": (OTHER, 1, False), "k-unlogged": (DEV, None, True),
        "k-both": (DEV, 1, True), "k-workflow": (github(), 1, False),
    }  # fmt: skip
    for name, (identity, rekor, tsa) in images.items():
        digest = registry.push(f"{TEAM}/{name}")
        for kind in (SIGN, REVIEW):
            bundle = made.make_bundle(
                kind="dsse", rekor=rekor, tsa=tsa, identity=identity, statement=statement(digest, kind)
            )
            registry.attach(f"{TEAM}/{name}", bundle.bundle)
    return made


@pytest.fixture(scope="module")
def leaf(service):
    """A certificate of the developer's."""
    return service.make_bundle(
        kind="dsse", rekor=1, identity=DEV, statement=statement("sha256:" + "a" * 64)
    ).certificates[0]


@pytest.fixture(scope="module")
def issuer(leaf):
    from sealgate.trust import certificates

    return certificates.read_leaf(leaf).identity.issuer


@pytest.fixture(scope="module")
def settings(service):
    return Settings(root=roots.parse(json.dumps(service.trusted_root()).encode()))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """An authority that issued nothing."""
    return Authority(tmp_path_factory.mktemp("foreign")).certificate.read_text()


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def trust_root(service, name, **changed):
    """A `TrustRoot` with the keys of those that work; `changed`: PEM in place of theirs."""
    pems = service.pems() | {"rekor.pub": service.pems()["rekor.pub"]} | changed
    authority = {"subject": {"organization": "test", "commonName": "test"}, "uri": "https://fulcio.example.com"}
    keys = {
        "certificateAuthorities": [authority | {"certChain": encoded(pems["fulcio_v1.crt.pem"])}],
        "ctLogs": [{"baseURL": "https://ct.example.com", "hashAlgorithm": "sha-256", "publicKey": encoded(pems["ctfe.pub"])}],
        "tLogs": [{"baseURL": service.log1().base_url, "hashAlgorithm": "sha-256", "publicKey": encoded(pems["rekor.pub"])}],
        "timestampAuthorities": [authority | {"certChain": encoded(pems["tsa.certchain.pem"])}],
    }  # fmt: skip
    return root_object(name, sigstoreKeys=keys)


def root_object(name, **spec):
    return {"apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": name}, "spec": spec}


def packed(files, prefix="repository/"):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return base64.b64encode(raw.getvalue()).decode()


def repository_root(service, name="tuf", files=None, root=None, **more):
    files = dict(service.tuf.files if files is None else files)
    repository = {
        "root": base64.b64encode(root or service.tuf.files["1.root.json"]).decode(),
        "mirrorFS": packed(files),
        "targets": "targets",
    }
    return root_object(name, repository=repository | more)


def certified(issuer, subject=DEV, **more):
    """An authority with an identity."""
    part = {name: more.pop(name) for name in ("ctlog", "rfc3161timestamp", "attestations", "source") if name in more}
    return {"keyless": {"identities": [{"issuer": issuer, "subject": subject}]} | more} | part


def judged(registry, *documents, image="k-dev", settings=None, found=()):
    beside = Beside(roots={each["metadata"]["name"]: each for each in found})
    return codes(one(load(*documents, settings=settings, references=beside), registry, f"{TEAM}/{image}:1.0"))


# -- policy-controller


@pytest.mark.parametrize(
    ("identity", "image", "code"),
    [
        ({"subject": DEV}, "k-dev", "accepted"), ({"subject": DEV}, "k-other", "identity-mismatch"), ({"subject": DEV}, "k-evil", "identity-mismatch"),
        ({"subject": DEV}, "unsigned", "no-signature"), ({"subjectRegExp": ".*@example\\.com"}, "k-other", "accepted"),
        ({"subjectRegExp": ".*@example\\.com"}, "k-evil", "identity-mismatch"), ({"subjectRegExp": "dev|other"}, "k-dev", "identity-mismatch"),
        ({"subject": DEV, "issuer": "https://evil.example.com"}, "k-dev", "issuer-mismatch"), ({"subject": DEV, "issuerRegExp": "https?://.*"}, "k-dev", "accepted"),
        ({"subject": DEV, "issuerRegExp": "https"}, "k-dev", "issuer-mismatch"),
    ],
)  # fmt: skip
def test_C01_C04_identities(registry, settings, issuer, identity, image, code):
    given = identity if {"issuer", "issuerRegExp"} & set(identity) else identity | {"issuer": issuer}
    assert judged(registry, cip({"keyless": {"identities": [given]}}), image=image, settings=settings) == [code]


def test_any_identity_of_an_authority(registry, settings, issuer):
    either = [{"issuer": issuer, "subject": OTHER}, {"issuer": issuer, "subject": DEV}]
    document = cip({"keyless": {"identities": either}})
    for image, code in (("k-dev", "accepted"), ("k-other", "accepted"), ("k-evil", "identity-mismatch")):
        assert judged(registry, document, image=image, settings=settings) == [code]


def test_attestations_by_an_identity(registry, settings, issuer):
    document = cip(certified(issuer, attestations=[{"name": "review", "predicateType": REVIEW}]))
    assert judged(registry, document, settings=settings) == ["accepted"]
    assert judged(registry, document, image="k-other", settings=settings) == ["identity-mismatch"]
    missing = cip(certified(issuer, attestations=[{"name": "x", "predicateType": "https://example.com/x"}]))
    assert judged(registry, missing, settings=settings)[0] != "accepted"


def test_nobody_is_believed_in(issuer):
    assert "no certificate authority is believed in" in refused(cip(certified(issuer))).message


def test_a_trust_root_of_keys(registry, service, issuer, foreign, stranger):
    for changed, code in (
        ({}, "accepted"), ({"fulcio_v1.crt.pem": foreign}, "certificate-untrusted"), ({"ctfe.pub": pem(stranger)}, "sct-untrusted"),
        ({"rekor.pub": pem(stranger)}, "log-entry-untrusted"),
    ):  # fmt: skip
        found = [trust_root(service, "ours", **changed)]
        document = cip(certified(issuer, trustRootRef="ours", ctlog={"trustRootRef": "ours"}))
        assert judged(registry, document, found=found) == [code]


def test_U11_each_part_goes_by_its_own_trust_root(registry, service, settings, issuer, foreign, stranger):
    found = [
        trust_root(service, "ours"),
        trust_root(service, "theirs", **{"fulcio_v1.crt.pem": foreign, "rekor.pub": pem(stranger)}),
    ]
    theirs = cip(certified(issuer, ctlog={"trustRootRef": "theirs"}))
    assert judged(registry, theirs, settings=settings, found=found) == ["log-entry-untrusted"]
    assert judged(registry, cip(certified(issuer, trustRootRef="theirs")), settings=settings, found=found) == [
        "certificate-untrusted"
    ]
    ours = cip(certified(issuer, trustRootRef="ours", ctlog={"trustRootRef": "ours"}))
    assert judged(registry, ours, settings=settings, found=found) == ["accepted"]
    assert "no TrustRoot missing" in refused(cip(certified(issuer, trustRootRef="missing")), settings=settings).message


def test_a_trust_root_with_a_repository(registry, service, issuer):
    document = cip(certified(issuer, trustRootRef="tuf", ctlog={"trustRootRef": "tuf"}))
    assert judged(registry, document, found=[repository_root(service)]) == ["accepted"]
    assert judged(registry, document, image="k-other", found=[repository_root(service)]) == ["identity-mismatch"]


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda files: files | {next(name for name in files if name.endswith("trusted_root.json")): b"{}"}, "length"),
        (lambda files: {name: data for name, data in files.items() if name != "timestamp.json"}, "no timestamp.json"),
        (lambda files: files | {"timestamp.json": files["timestamp.json"].replace(b'"version": 1', b'"version": 2').replace(b'"version":1', b'"version":2')}, ""),
        (lambda files: {name: data for name, data in files.items() if "snapshot" not in name}, "snapshot"),
    ],
)  # fmt: skip
def test_U03_a_repository_that_does_not_verify(service, alter, said):
    refused_ = refused(repository_root(service, files=alter(dict(service.tuf.files))))
    assert said in refused_.message
    assert load(repository_root(service), cip({"static": {"action": "pass"}})).rules


def test_U03_U10_a_repository_of_somebody_else_or_that_has_expired(service):
    from trust_service.repository import Repository

    other = Repository()
    other.publish({"trusted_root.json": b"{}"}, service.now())
    assert "trust-update" in refused(repository_root(service, root=other.root)).message
    old = Repository()
    old.publish(
        {"trusted_root.json": json.dumps(service.trusted_root()).encode()}, service.now(), days=365, timestamp_days=-1
    )
    assert "expired" in refused(repository_root(service, files=old.files, root=old.root)).message
    assert "knows no nothing.json" in refused(repository_root(service, trustedRootTarget="nothing.json")).message


MIRROR = "https://tuf.example.com"


def remote_root(root, name="tuf", mirror=MIRROR, **more):
    return root_object(name, remote={"mirror": mirror, "root": base64.b64encode(root).decode()} | more)


def test_a_trust_root_of_a_repository_that_was_initialized(registry, service, issuer, tmp_path):
    settings = Settings(repositories=keep(tmp_path / "root", service.tuf.files, mirror=MIRROR))
    document = cip(certified(issuer, trustRootRef="tuf", ctlog={"trustRootRef": "tuf"}))
    found = [remote_root(service.tuf.files["1.root.json"])]
    assert judged(registry, document, found=found, settings=settings) == ["accepted"]
    assert judged(registry, document, image="k-other", found=found, settings=settings) == ["identity-mismatch"]


def test_U03_U10_a_repository_that_was_initialized_by_another_root_or_has_expired(service, tmp_path):
    from trust_service.repository import Repository

    root = service.tuf.files["1.root.json"]
    settings = Settings(repositories=keep(tmp_path / "root", service.tuf.files, mirror=MIRROR))
    assert load(remote_root(root), cip({"static": {"action": "pass"}}), settings=settings).rules
    other = Repository()
    other.publish({"trusted_root.json": b"{}"}, service.now())
    assert "was not reached from this root" in refused(remote_root(other.root), settings=settings).message
    missing = refused(remote_root(root, mirror="https://other.example.com"), settings=settings)
    assert "nothing is kept of the TUF repository https://other.example.com" in missing.message
    assert "sealgate initialize --mirror https://other.example.com" in missing.hint
    for name in ("targets", "trustedRootTarget"):
        changed = refused(remote_root(root, **{name: "x"}), settings=settings, kind=PolicyUnsupportedError)
        assert f"spec.remote.{name}" in changed.message
    old = Repository()
    old.publish({"trusted_root.json": json.dumps(service.trusted_root()).encode()}, service.now())
    folder = keep(tmp_path / "old", old.files, mirror=MIRROR, root=old.root)
    timestamp = tmp_path / "old" / "tuf.example.com" / "timestamp.json"
    document = json.loads(timestamp.read_bytes())
    document["signed"]["expires"] = "2020-01-01T00:00:00Z"
    timestamp.write_text(json.dumps(document))
    assert "trust-update-expired" in refused(remote_root(old.root), settings=Settings(repositories=folder)).message


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"remote": {"mirror": "https://tuf.example.com", "root": "x"}}, "no repository is asked"), ({}, "expected exactly one"),
        ({"sigstoreKeys": {}}, "names nobody"), ({"sigstoreKeys": {"tLogs": [{"publicKey": "x"}]}}, "hashAlgorithm"),
        ({"repository": {"root": "e30="}}, "mirrorFS"), ({"repository": {"root": "e30=", "mirrorFS": "e30="}}, "no gzipped tar archive"),
    ],
)  # fmt: skip
def test_P18_trust_roots_that_are_none(spec, said):
    assert said in refused(root_object("x", **spec)).message


def test_authorities_of_its_own(registry, service, settings, issuer, foreign):
    for text, code in ((service.pems()["fulcio_v1.crt.pem"], "accepted"), (foreign, "certificate-untrusted")):
        document = cip(certified(issuer, **{"ca-cert": {"data": text}}))
        assert judged(registry, document, settings=settings) == [code]


def test_the_sct_alone_is_taken_away(registry, service, settings, issuer, stranger):
    found = [trust_root(service, "ours", **{"ctfe.pub": pem(stranger)})]
    ctlog = {"trustRootRef": "ours"}
    assert judged(registry, cip(certified(issuer, trustRootRef="ours", ctlog=ctlog)), found=found) == ["sct-untrusted"]
    ignored = cip(certified(issuer, trustRootRef="ours", insecureIgnoreSCT=True, ctlog=ctlog))
    assert judged(registry, ignored, found=found) == ["accepted"]
    assert judged(registry, ignored, image="k-unlogged", found=found) == ["log-entry-missing"]


def test_L17_a_timestamp_authority_does_not_switch_the_log_check_off(registry, service, settings, issuer):
    stamped = cip(certified(issuer, rfc3161timestamp={}))
    for image, code in (("k-both", "accepted"), ("k-unlogged", "log-entry-missing"), ("k-dev", "timestamp-missing")):
        assert judged(registry, stamped, image=image, settings=settings) == [code]
    plain = cip(certified(issuer))
    for image, code in (("k-both", "accepted"), ("k-unlogged", "log-entry-missing"), ("k-dev", "accepted")):
        assert judged(registry, plain, image=image, settings=settings) == [code]
    found = [trust_root(service, "stamps")]
    of_another = cip(certified(issuer, rfc3161timestamp={"trustRootRef": "stamps"}))
    assert judged(registry, of_another, image="k-both", settings=settings, found=found) == ["accepted"]
    assert judged(registry, of_another, image="k-unlogged", settings=settings, found=found) == ["log-entry-missing"]


def test_L17_keys_with_timestamps_and_logs(registry, settings, good):
    assert judged(registry, cip(keyed(good)), image="signed", settings=settings) == ["accepted"]
    assert judged(registry, cip(keyed(good, ctlog={})), image="signed", settings=settings) == ["log-entry-missing"]
    assert judged(registry, cip(keyed(good, rfc3161timestamp={})), image="signed", settings=settings) == [
        "timestamp-missing"
    ]
    both = cip(keyed(good, ctlog={}, rfc3161timestamp={}))
    assert judged(registry, both, image="signed", settings=settings)[0] in {"log-entry-missing", "timestamp-missing"}


def test_tag_prefixes(registry, good):
    name = f"{TEAM}/prefixed"
    digest = registry.push(name)
    payload = simple_signing(name, digest)
    signed = {"dev.cosignproject.cosign/signature": base64.b64encode(good.sign(payload, "sha256")).decode()}
    registry.layer(name, payload, signed, prefix="release-")
    own_ = own({"signature": {"key": pem(good), "tagPrefix": "release-"}})
    for document in (cip(keyed(good, source=[{"tagPrefix": "release-"}])), own_):
        assert judged(registry, document, image="prefixed") == ["accepted"]
    for document in (
        cip(keyed(good)),
        cip(keyed(good, source=[{"tagPrefix": "other-"}])),
        own({"signature": {"key": pem(good)}}),
    ):
        assert judged(registry, document, image="prefixed") == ["no-signature"]


# -- our own


def own(require, **spec):
    fields = {"images": ["registry.example.com/**"], "require": require} | spec
    return {
        "apiVersion": "sealgate.dev/v1alpha1",
        "kind": "ClusterImagePolicy",
        "metadata": {"name": "own"},
        "spec": fields,
    }


def signature(issuer, subject=DEV, **more):
    return {"signature": {"identity": {"issuer": issuer, "subject": subject}} | more}


def test_our_own_identities(registry, settings, issuer):
    for image, code in (("k-dev", "accepted"), ("k-other", "identity-mismatch"), ("k-unlogged", "log-entry-missing")):
        assert judged(registry, own(signature(issuer)), image=image, settings=settings) == [code]
    either = {
        "signature": {"identities": [{"issuer": issuer, "subject": DEV}, {"issuer": issuer, "subjectRegExp": "oth.*"}]}
    }
    for image, code in (("k-dev", "accepted"), ("k-other", "accepted"), ("k-evil", "identity-mismatch")):
        assert judged(registry, own(either), image=image, settings=settings) == [code]
    two = {"atLeast": {"count": 2, "of": [signature(issuer), either]}}
    assert judged(registry, own(two), settings=settings)[0] != "accepted"


@pytest.mark.parametrize(
    ("extensions", "code"),
    [({"githubWorkflowTrigger": "push"}, "accepted"), ({"githubWorkflowTrigger": "pull_request"}, "extension-mismatch"), ({}, "accepted")],
)  # fmt: skip
def test_our_own_identities_with_extensions(registry, settings, extensions, code):
    identity = {"issuerRegExp": ".*", "subjectRegExp": "https://github\\.test/acme/.*"} | (
        {"extensions": extensions} if extensions else {}
    )
    assert judged(registry, own({"signature": {"identity": identity}}), image="k-workflow", settings=settings) == [code]


def test_our_own_terms(registry, service, settings, issuer, foreign, stranger):
    def told(image="k-dev", found=(), **more):
        return judged(registry, own(signature(issuer, **more)), image=image, settings=settings, found=found)

    assert told("k-unlogged", log="ignore") == ["accepted"]
    assert told("k-unlogged", log="require") == ["log-entry-missing"]
    assert told(log="require") == ["accepted"]
    assert [told(image, timestamp=True) for image in ("k-both", "k-dev", "k-unlogged")] == [
        ["accepted"],
        ["timestamp-missing"],
        ["log-entry-missing"],
    ]
    assert told("k-unlogged", timestamp=True, log="ignore") == ["accepted"]
    assert told(authorities=foreign) == ["certificate-untrusted"]
    assert told(authorities=service.pems()["fulcio_v1.crt.pem"]) == ["accepted"]
    lying = [trust_root(service, "lying", **{"ctfe.pub": pem(stranger)})]
    assert told(trustRoot="lying", found=lying) == ["sct-untrusted"]
    assert told(trustRoot="lying", ignoreSCT=True, found=lying) == ["accepted"]
    chain = service.pems()["fulcio_v1.crt.pem"]
    assert told(trustRoot="lying", authorities=chain, found=lying) == ["sct-untrusted"]
    assert told(trustRoot="lying", found=[trust_root(service, "lying")]) == ["accepted"]


def test_our_own_certificates(registry, service, settings, issuer, foreign):
    digest = registry.push(f"{TEAM}/k-certified")
    made = service.make_bundle(kind="dsse", rekor=1, identity=DEV, statement=statement(digest))
    registry.attach(f"{TEAM}/k-certified", made.bundle)
    chain = service.pems()["fulcio_v1.crt.pem"]
    given = {"pem": certificate_pem(made.certificates[:1]), "chain": chain}
    document = own({"signature": {"certificate": given}})
    assert judged(registry, document, image="k-certified", settings=settings) == ["accepted"]
    assert judged(registry, document, image="k-dev", settings=settings) == ["accepted"]  # another, of the same identity
    assert judged(registry, document, image="k-other", settings=settings) == ["identity-mismatch"]
    assert judged(registry, document, image="k-unlogged", settings=settings) == ["log-entry-missing"]
    elsewhere = own({"signature": {"certificate": given | {"chain": foreign}}})
    assert judged(registry, elsewhere, image="k-certified", settings=settings)[0] == "certificate-untrusted"
    twice = own({"signature": {"certificate": given | {"pem": given["pem"] * 2}}})
    assert "one certificate" in refused(twice, settings=settings).message


def test_a_certificate_stands_in_for_one_that_did_not_come_along(registry, service, settings):
    digest = registry.push(f"{TEAM}/k-bare")
    made = service.make_bundle(kind="dsse", rekor=None, tsa=True, identity=DEV, statement=statement(digest))
    bare = json.loads(json.dumps(made.bundle))
    del bare["verificationMaterial"]["certificate"]
    bare["verificationMaterial"]["publicKey"] = {"hint": "x"}
    registry.attach(f"{TEAM}/k-bare", bare)
    chain = service.pems()["fulcio_v1.crt.pem"]
    another = service.make_bundle(kind="dsse", rekor=1, identity=DEV, statement=statement(digest)).certificates[:1]
    for certificate, code in ((made.certificates[:1], "accepted"), (another, "signature-invalid")):
        given = {"pem": certificate_pem(certificate), "chain": chain}
        document = own({"signature": {"certificate": given, "log": "ignore"}})
        assert judged(registry, document, image="k-bare", settings=settings) == [code]


def test_a_log_that_nobody_believes_in(issuer, service):
    without = Settings(root=roots.parse(json.dumps(service.trusted_root(logs=())).encode()))
    assert "no log is believed in" in refused(own(signature(issuer, log="require")), settings=without).message
    assert load(own(signature(issuer)), settings=without).rules


def test_deny_lists_of_identities(registry, settings, issuer):
    either = {"signature": {"identity": {"issuer": issuer, "subjectRegExp": ".*"}}}
    for image, code in (("k-dev", "denied-identity"), ("k-other", "accepted")):
        assert judged(registry, own(either, deny={"identities": [DEV]}), image=image, settings=settings) == [code]


# -- policy.json


@pytest.fixture(scope="module")
def legacy(registry, service):
    """Legacy signatures by certificates, under their own names, with and without a log entry."""
    for name, identity, rekor in (
        ("j-dev", DEV, 1),
        ("j-other", OTHER, 1),
        ("j-unlogged", DEV, None),
        ("j-workflow", github(), 1),
    ):
        digest = registry.push(f"{TEAM}/{name}")
        payload = simple_signing(f"{TEAM}/{name}", digest)
        _, annotations = service.make_annotations(payload, identity=identity, rekor=rekor, tsa=False)
        registry.layer(f"{TEAM}/{name}", payload, annotations)
    return registry


def policy_json(**requirement):
    signed = {"type": "sigstoreSigned", "signedIdentity": {"type": "matchRepository"}} | requirement
    return {"default": [{"type": "reject"}], "transports": {"docker": {"registry.example.com": [signed]}}}


def test_policy_json_fulcio(legacy, service, issuer, foreign, stranger):
    pems = {name: encoded(text) for name, text in service.pems().items()}
    fulcio = {"caData": pems["fulcio_v1.crt.pem"], "oidcIssuer": issuer, "subjectEmail": DEV}
    document = policy_json(fulcio=fulcio, rekorPublicKeyData=pems["rekor.pub"])
    for image, code in (
        ("j-dev", "accepted"), ("j-other", "identity-mismatch"), ("j-workflow", "identity-mismatch"), ("j-unlogged", "log-entry-missing"), ("k-dev", "identity-mismatch"),
    ):  # fmt: skip
        found = judged(legacy, document, image=image)
        assert found == [code] if image != "k-dev" else found[0] != "accepted", image
    for changed, code in (
        ({"fulcio": fulcio | {"caData": encoded(foreign)}}, "certificate-untrusted"), ({"rekorPublicKeyData": encoded(pem(stranger))}, "log-entry-untrusted"),
        ({"fulcio": fulcio | {"oidcIssuer": "https://evil.example.com"}}, "issuer-mismatch"),
    ):  # fmt: skip
        altered = policy_json(**({"fulcio": fulcio, "rekorPublicKeyData": pems["rekor.pub"]} | changed))
        assert judged(legacy, altered, image="j-dev") == [code]
    assert "needs a rekorPublicKey" in refused(policy_json(fulcio=fulcio)).message


def test_policy_json_several_keys_of_logs_and_files(legacy, service, issuer, stranger):
    fulcio = {"caPath": "ca.pem", "oidcIssuer": issuer, "subjectEmail": DEV}
    files = {
        "ca.pem": service.pems()["fulcio_v1.crt.pem"].encode(),
        "rekor.pub": service.pems()["rekor.pub"].encode(),
        "other.pub": pem(stranger).encode(),
    }
    for given in ({"rekorPublicKeyPaths": ["other.pub", "rekor.pub"]}, {"rekorPublicKeyPath": "rekor.pub"}):
        policies = load(policy_json(fulcio=fulcio, **given), files=files)
        assert codes(one(policies, legacy, f"{TEAM}/j-dev:1.0")) == ["accepted"]
    other = load(policy_json(fulcio=fulcio, rekorPublicKeyPaths=["other.pub"]), files=files)
    assert codes(one(other, legacy, f"{TEAM}/j-dev:1.0")) == ["log-entry-untrusted"]
    datas = [base64.b64encode(files[name]).decode() for name in ("other.pub", "rekor.pub")]
    policies = load(policy_json(fulcio=fulcio, rekorPublicKeyDatas=datas), files=files)
    assert codes(one(policies, legacy, f"{TEAM}/j-dev:1.0")) == ["accepted"]
    twice = {"rekorPublicKeyPath": "rekor.pub", "rekorPublicKeyData": datas[1]}
    assert "at most one of" in refused(policy_json(fulcio=fulcio, **twice), files=files).message


def test_policy_json_a_key_and_a_log(registry, service, good):
    name = f"{TEAM}/j-key"
    registry.push(name)
    registry.legacy(name, good, name)
    key = base64.b64encode(pem(good).encode()).decode()
    assert judged(registry, policy_json(keyData=key), image="j-key") == ["accepted"]
    logged = policy_json(keyData=key, rekorPublicKeyData=encoded(service.pems()["rekor.pub"]))
    assert judged(registry, logged, image="j-key") == ["log-entry-missing"]


def test_policy_json_pki(legacy, service, foreign):
    chain = service.pems()["fulcio_v1.crt.pem"]
    log = {"rekorPublicKeyData": encoded(service.pems()["rekor.pub"])}
    for roots_, email, code in (
        (chain, DEV, "accepted"),
        (chain, OTHER, "identity-mismatch"),
        (foreign, DEV, "certificate-untrusted"),
    ):
        document = policy_json(pki={"caRootsData": encoded(roots_), "subjectEmail": email}, **log)
        assert judged(legacy, document, image="j-dev") == [code]
    assert "subjectEmail is missing" in refused(policy_json(pki={"caRootsData": encoded(chain)})).message


# -- conversion


def test_converted_policies_decide_alike(registry, service, settings, issuer):
    found = [trust_root(service, "ours")]
    documents = [
        cip(certified(issuer)), cip(certified(issuer, trustRootRef="ours", ctlog={"trustRootRef": "ours"}, rfc3161timestamp={"trustRootRef": "ours"})),
        cip(certified(issuer, insecureIgnoreSCT=True, rfc3161timestamp={})), cip(certified(issuer, **{"ca-cert": {"data": service.pems()["fulcio_v1.crt.pem"]}})),
        cip(certified(issuer, attestations=[{"name": "review", "predicateType": REVIEW}])),
    ]  # fmt: skip
    for document in documents:
        before = [
            judged(registry, document, image=image, settings=settings, found=found)
            for image in ("k-dev", "k-both", "k-unlogged", "k-other")
        ]
        assert len({str(each) for each in before}) > 1
        made = [document]
        for to in ("sealgate", "sigstore", "sealgate"):
            made = list(grammars.convert([Source("x.yaml", each) for each in made], to).documents)
            after = [
                judged(registry, *made, image=image, settings=settings, found=found)
                for image in ("k-dev", "k-both", "k-unlogged", "k-other")
            ]
            assert after == before, (document, to)


def test_converted_identities_of_kyverno(registry, settings, issuer):
    for subject in (DEV, "*@example.com", "de?@example.com"):
        entry = {"keyless": {"issuer": issuer, "subject": subject, "rekor": {"url": "https://rekor.example.com"}}}
        block = {"imageReferences": ["registry.example.com/*"], "attestors": [{"entries": [entry]}]}
        rule = {"name": "x", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "verifyImages": [block]}
        spec = {"validationFailureAction": "Enforce", "rules": [rule]}
        made = [{"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "x"}, "spec": spec}]
        before = [
            judged(registry, *made, image=image, settings=settings)
            for image in ("k-dev", "k-other", "k-evil", "k-unlogged")
        ]
        for to in ("sealgate", "kyverno", "sigstore"):
            made = list(grammars.convert([Source("x.yaml", each) for each in made], to).documents)
            after = [
                judged(registry, *made, image=image, settings=settings)
                for image in ("k-dev", "k-other", "k-evil", "k-unlogged")
            ]
            assert after == before, (subject, to)
