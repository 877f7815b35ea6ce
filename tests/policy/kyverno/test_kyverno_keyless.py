"""Identities and certificates in Kyverno's policies."""

import pytest

from peers.certificates import Authority
from policy.kyverno.scene import block, keys, policy
from policy.scene import codes, load, one, pem
from sealgate.errors import PolicyInvalidError
from sealgate.policy.attestors import Settings
from sealgate.trust import root as roots
from trust_service.identities import github

TEAM = "registry.example.com/team"
SIGN = "https://sigstore.dev/cosign/sign/v1"
SLSA = "https://slsa.dev/provenance/v1"
WORKFLOW = "https://github.com/o/app/.github/workflows/build.yml@refs/heads/main"


def statement(digest, kind=SIGN, predicate=None):
    subject = [{"digest": {"sha256": digest.partition(":")[2]}}]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": kind,
        "predicate": predicate or {},
    }


@pytest.fixture(scope="module")
def keyless(registry, running_trust_service):
    """Images that people signed keyless."""
    service = running_trust_service
    service.reset()
    for name, identity in (
        ("by-dev", "dev@example.com"),
        ("by-evil", "dev@example.com.evil.org"),
        ("by-other", "other@example.com"),
    ):
        digest = registry.push(f"{TEAM}/{name}")
        for kind in (SIGN, SLSA):
            made = service.make_bundle(
                kind="dsse", rekor=1, identity=identity, statement=statement(digest, kind, {"buildType": name})
            )
            registry.attach(f"{TEAM}/{name}", made.bundle)
    digest = registry.push(f"{TEAM}/unlogged")
    made = service.make_bundle(
        kind="dsse", rekor=None, tsa=True, identity="dev@example.com", statement=statement(digest)
    )
    registry.attach(f"{TEAM}/unlogged", made.bundle)
    return service


@pytest.fixture(scope="module")
def settings(keyless):
    import json

    return Settings(root=roots.parse(json.dumps(keyless.trusted_root()).encode()))


@pytest.fixture(scope="module")
def issuer(keyless):
    made = keyless.make_bundle(
        kind="dsse", rekor=1, identity="dev@example.com", statement=statement("sha256:" + "a" * 64)
    )
    from sealgate.trust import certificates

    return certificates.read_leaf(made.certificates[0]).identity.issuer


def entry(**fields):
    return {"keyless": {name: value for name, value in fields.items() if value is not None}}


@pytest.mark.parametrize(
    ("fields", "image", "code"),
    [
        ({"subject": "dev@example.com"}, "by-dev", "accepted"), ({"subject": "dev@example.com"}, "by-other", "identity-mismatch"),
        ({"subject": "dev@example.com"}, "by-evil", "identity-mismatch"), ({"subject": "*@example.com"}, "by-other", "accepted"),
        ({"subject": "*@example.com"}, "by-evil", "identity-mismatch"), ({"subject": "de?@example.com"}, "by-dev", "accepted"),
        ({"subject": "*"}, "by-evil", "accepted"), ({"subjectRegExp": ".*@example.com"}, "by-dev", "accepted"),
        ({"subjectRegExp": ".*@example\\.com"}, "by-evil", "identity-mismatch"), ({"subjectRegExp": "dev|other"}, "by-dev", "identity-mismatch"),
        ({"subject": "dev@example.com"}, "unsigned", "no-signature"),
    ],
)  # fmt: skip
def test_C01_C02_C04_subjects(registry, settings, issuer, fields, image, code):
    policies = load(policy(block(entry(issuer=issuer, **fields))), settings=settings)
    assert codes(one(policies, registry, f"{TEAM}/{image}:1.0")) == [code]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"issuer": "ISSUER"}, "accepted"), ({"issuer": "https://evil.example.com"}, "issuer-mismatch"), ({"issuer": "http*"}, "accepted"),
        ({"issuer": "https://evil*"}, "issuer-mismatch"), ({"issuerRegExp": "^https?://.*$"}, "accepted"),
        ({"issuerRegExp": "https"}, "issuer-mismatch"), ({"issuer": "*"}, "accepted"),
    ],
)  # fmt: skip
def test_C02_C05_issuers(registry, settings, issuer, fields, code):
    given = {name: value.replace("ISSUER", issuer) for name, value in fields.items()}
    policies = load(policy(block(entry(subject="dev@example.com", **given))), settings=settings)
    assert codes(one(policies, registry, f"{TEAM}/by-dev:1.0")) == [code]


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"issuer": "https://x"}, {"subject": "x"}, {"subjectRegExp": "x"}, {"issuer": "x", "subject": "y", "subjectRegExp": "z"},
        {"issuer": "x", "issuerRegExp": "y", "subject": "z"}, {"issuer": "x", "subjectRegExp": "("}, {"issuer": "x", "subject": ""},
        {"issuer": "x", "subject": "y", "additionalExtensions": {"githubWorkflowTriger": "push"}},
        {"issuer": "x", "subject": "y", "additionalExtensions": {"oidcIssuer": "x"}}, {"issuer": "x", "subject": "y", "roots": "none"},
        {"issuer": "x", "subject": "y", "rekor": {"ignoreSCT": True}}, {"issuer": "x", "subjectRegExp": "a" * 5000},
    ],
)  # fmt: skip
def test_C18_identities_that_name_nobody_do_not_load(settings, fields):
    with pytest.raises(PolicyInvalidError) as caught:
        load(policy(block(entry(**fields))), settings=settings)
    assert "attestors[0].entries[0].keyless" in caught.value.message
    assert load(policy(block(entry(issuer="x", subject="y"))), settings=settings).rules


def test_C04_lint_names_what_is_not_anchored(settings):
    wide = load(policy(block(entry(issuer="x", subjectRegExp=".*@example.com"))), settings=settings)
    assert "regexp-unanchored" in [note.code for note in wide.notes]
    narrow = load(policy(block(entry(issuer="x", subjectRegExp="^.*@example[.]com$"))), settings=settings)
    assert "regexp-unanchored" not in [note.code for note in narrow.notes]
    anybody = load(policy(block(entry(issuer="*", subject="*"))), settings=settings)
    assert [note.code for note in anybody.notes].count("identity-any") == 2


def test_nobody_vouches_without_a_trust_root(issuer):
    with pytest.raises(PolicyInvalidError) as caught:
        load(policy(block(entry(issuer=issuer, subject="dev@example.com"))))
    assert "no certificate authority is believed in" in caught.value.message


def test_D09_a_regular_expression_is_no_bomb(registry, settings, issuer):
    policies = load(policy(block(entry(issuer=issuer, subjectRegExp="(([a-z])+.)+[A-Z]([a-z])+$"))), settings=settings)
    assert codes(one(policies, registry, f"{TEAM}/by-dev:1.0")) == ["identity-mismatch"]


@pytest.mark.parametrize(
    ("image", "code"), [("by-dev", "accepted"), ("by-other", "identity-mismatch"), ("signed", "no-attestation")]
)
def test_C03_attestations(registry, settings, issuer, image, code):
    who = {"entries": [entry(issuer=issuer, subject="dev@example.com")]}
    policies = load(policy(block(attestations=[{"type": SLSA, "attestors": [who]}])), settings=settings)
    assert codes(one(policies, registry, f"{TEAM}/{image}:1.0")) == [code]


def test_an_identity_or_a_key(registry, settings, issuer, good):
    policies = load(
        policy(block(entry(issuer=issuer, subject="dev@example.com"), keys(good) | {}, count=1)),
        settings=Settings(root=settings.root, tlog="ignore"),
    )
    for image in ("by-dev", "signed"):
        assert codes(one(policies, registry, f"{TEAM}/{image}:1.0")) == ["accepted"]
    assert codes(one(policies, registry, f"{TEAM}/foreign:1.0"))[0] != "accepted"


class TestTrust:
    """Logs, SCTs, timestamps and authorities that a policy brings."""

    def test_the_log_is_asked_for(self, registry, settings, issuer):
        asked = load(policy(block(entry(issuer=issuer, subject="dev@example.com"))), settings=settings)
        assert codes(one(asked, registry, f"{TEAM}/unlogged:1.0")) == ["log-entry-missing"]
        ignored = entry(issuer=issuer, subject="dev@example.com", rekor={"ignoreTlog": True})
        assert codes(one(load(policy(block(ignored)), settings=settings), registry, f"{TEAM}/unlogged:1.0")) == [
            "accepted"
        ]
        required = Settings(root=settings.root, tlog="require")
        assert codes(one(load(policy(block(ignored)), settings=required), registry, f"{TEAM}/unlogged:1.0")) == [
            "log-entry-missing"
        ]

    def test_a_key_asks_for_the_log_too_where_one_is_believed_in(self, registry, settings, good):
        assert codes(one(load(policy(block(keys(good))), settings=settings), registry, f"{TEAM}/signed:1.0")) == [
            "log-entry-missing"
        ]
        keyed = keys(good)
        keyed["keys"]["rekor"] = {"ignoreTlog": True}
        assert codes(one(load(policy(block(keyed)), settings=settings), registry, f"{TEAM}/signed:1.0")) == ["accepted"]

    def test_roots_of_its_own(self, registry, settings, keyless, issuer, tmp_path):
        foreign = Authority(tmp_path).certificate.read_text()
        for roots_, code in ((foreign, "certificate-untrusted"), (keyless.pems()["fulcio_v1.crt.pem"], "accepted")):
            asked = policy(block(entry(issuer=issuer, subject="dev@example.com", roots=roots_)))
            assert codes(one(load(asked, settings=settings), registry, f"{TEAM}/by-dev:1.0")) == [code]

    def test_a_log_of_its_own(self, registry, settings, keyless, issuer, stranger):
        for key, code in ((pem(stranger), "log-entry-untrusted"), (keyless.pems()["rekor.pub"], "accepted")):
            rekor = {"pubkey": key, "url": keyless.log1().base_url}
            asked = policy(block(entry(issuer=issuer, subject="dev@example.com", rekor=rekor)))
            assert codes(one(load(asked, settings=settings), registry, f"{TEAM}/by-dev:1.0")) == [code]

    def test_a_ct_log_of_its_own(self, registry, settings, keyless, issuer, stranger):
        for key, code in ((pem(stranger), "sct-untrusted"), (keyless.pems()["ctfe.pub"], "accepted")):
            asked = policy(block(entry(issuer=issuer, subject="dev@example.com", ctlog={"pubkey": key})))
            assert codes(one(load(asked, settings=settings), registry, f"{TEAM}/by-dev:1.0")) == [code]
        ignored = {"pubkey": pem(stranger), "ignoreSCT": True}
        policies = load(
            policy(block(entry(issuer=issuer, subject="dev@example.com", ctlog=ignored))), settings=settings
        )
        assert codes(one(policies, registry, f"{TEAM}/by-dev:1.0")) == ["accepted"]
        assert "sct-not-asked" in [note.code for note in policies.notes]

    def test_S10_a_timestamp_authority_of_its_own(self, registry, settings, keyless, issuer, tmp_path):
        foreign = Authority(tmp_path).certificate.read_text()
        for chain, code in ((foreign, "timestamp-untrusted"), (keyless.pems()["tsa.certchain.pem"], "accepted")):
            fields = {"rekor": {"ignoreTlog": True}, "ctlog": {"tsaCertChain": chain}}
            policies = load(policy(block(entry(issuer=issuer, subject="dev@example.com", **fields))), settings=settings)
            assert codes(one(policies, registry, f"{TEAM}/unlogged:1.0")) == [code]
            assert codes(one(policies, registry, f"{TEAM}/by-dev:1.0")) == ["timestamp-missing"]

    @pytest.mark.parametrize(
        ("extensions", "code"),
        [
            ({"githubWorkflowRepository": "acme/app"}, "accepted"), ({"githubWorkflowRepository": "acme/*"}, "accepted"),
            ({"githubWorkflowRepository": "acme/*", "githubWorkflowTrigger": "push"}, "accepted"),
            ({"githubWorkflowRepository": "evil/*"}, "extension-mismatch"), ({"githubWorkflowTrigger": "pull_request"}, "extension-mismatch"),
            ({"deploymentEnvironment": "prod*?x"}, "extension-mismatch"),
        ],
    )  # fmt: skip
    def test_extensions(self, registry, settings, keyless, extensions, code):
        name = f"{TEAM}/by-workflow"
        digest = registry.push(name)
        registry.attach(
            name, keyless.make_bundle(kind="dsse", rekor=1, identity=github(), statement=statement(digest)).bundle
        )
        fields = {"issuer": "*", "subject": "https://github.test/acme/*", "additionalExtensions": extensions}
        assert codes(one(load(policy(block(entry(**fields))), settings=settings), registry, f"{name}:1.0")) == [code]


class TestCertificates:
    """`certificates`."""

    def test_the_certificates_key(self, registry, tmp_path, good):
        from sealgate.keys.private import PrivateKey

        authority = Authority(tmp_path / "a")
        issued = authority.issue("signer.example.com")
        key = PrivateKey.from_pem(issued.key.read_bytes())
        registry.push(f"{TEAM}/certified")
        registry.sign(f"{TEAM}/certified", key)
        cert, chain = issued.certificate.read_text(), authority.certificate.read_text()
        for given in ({"cert": cert}, {"cert": cert, "certChain": chain}):
            policies = load(policy(block({"certificates": given})))
            assert codes(one(policies, registry, f"{TEAM}/certified:1.0")) == ["accepted"]
            assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["signature-key-mismatch"]
        other = Authority(tmp_path / "b").certificate.read_text()
        for given in ({"cert": cert, "certChain": other}, {"cert": "x"}, {"cert": cert + chain}, {}):
            with pytest.raises(PolicyInvalidError):
                load(policy(block({"certificates": given})))

    def test_a_chain_alone_means_everybody_it_issued_to(self, registry, settings, keyless, tmp_path):
        foreign = Authority(tmp_path).certificate.read_text()
        policies = load(policy(block({"certificates": {"certChain": foreign}})), settings=settings)
        assert codes(one(policies, registry, f"{TEAM}/by-dev:1.0")) == ["certificate-untrusted"]
        assert "identity-any" in [note.code for note in policies.notes]


SAMPLE = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: check-image, annotations: {policies.kyverno.io/title: Verify, pod-policies.kyverno.io/autogen-controllers: none}}
spec:
  webhookConfiguration: {failurePolicy: Fail, timeoutSeconds: 30}
  background: false
  rules:
  - name: verify
    match: {any: [{resources: {kinds: [Pod]}}]}
    verifyImages:
    - imageReferences: ["registry.example.com/team/*"]
      failureAction: Enforce
      mutateDigest: true
      attestors: [{count: 1, entries: [{keys: {publicKeys: PEM, rekor: {ignoreTlog: true, url: https://rekor.sigstore.dev}, ctlog: {ignoreSCT: true}}}]}]
      attestations:
      - type: https://slsa.dev/provenance/v1
        attestors: [{entries: [{keyless: {issuer: "*", subject: "dev@example.com", rekor: {url: https://rekor.sigstore.dev}}}]}]
        conditions: [{all: [{key: "{{ buildType }}", operator: Equals, value: by-dev}]}]
"""


@pytest.mark.parametrize(("signed", "code"), [(True, "accepted"), (False, "signature-key-mismatch")])
def test_a_policy_with_all_of_it(registry, settings, keyless, good, stranger, signed, code):
    import json

    name = f"{TEAM}/all-{int(signed)}"
    digest = registry.push(name)
    registry.sign(name, good if signed else stranger)
    made = keyless.make_bundle(
        kind="dsse", rekor=1, identity="dev@example.com", statement=statement(digest, SLSA, {"buildType": "by-dev"})
    )
    registry.attach(name, made.bundle)
    policies = load(SAMPLE.replace("PEM", json.dumps(pem(good))), settings=settings)
    assert codes(one(policies, registry, f"{name}:1.0")) == [code]
    assert codes(one(policies, registry, f"{name}:1.0", kind="Deployment")) == ["image-unmatched"]
    other = load(
        SAMPLE.replace("PEM", json.dumps(pem(good))).replace("value: by-dev", "value: else"), settings=settings
    )
    assert codes(one(other, registry, f"{name}:1.0")) != ["accepted"]
