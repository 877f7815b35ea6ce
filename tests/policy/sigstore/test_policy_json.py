"""containers/image's policy.json: which scope counts, what it demands, what a signature must be called."""

import base64

import pytest

from policy.scene import codes, load, one, pem, refused
from sealgate.errors import JsonAmbiguousError, PolicyInvalidError, PolicyUnsupportedError
from sealgate.gate import policies as files
from sealgate.oci.reference import parse
from sealgate.policy.attestors import Settings
from sealgate.policy.index import Index
from sealgate.verification.naming import Naming

REGISTRY = "registry.example.com"
TEAM = f"{REGISTRY}/team"
REJECT = [{"type": "reject"}]
ANYTHING = [{"type": "insecureAcceptAnything"}]
REPOSITORY = {"type": "matchRepository"}


def signed(*keys, identity=REPOSITORY, **more):
    """One requirement; several keys are alternatives."""
    data = [base64.b64encode(pem(key).encode()).decode() for key in keys]
    given = {"keyData": data[0]} if len(data) == 1 else {"keyDatas": data}
    return {"type": "sigstoreSigned", "signedIdentity": identity} | given | more


def policy(scopes=None, default=REJECT):
    """A policy.json."""
    return {"default": default, "transports": {"docker": scopes or {}}}


@pytest.fixture(scope="module")
def legacy(registry, good, other, stranger):
    """Images with legacy signatures, made under their own names."""
    for name, key in (("l-signed", good), ("l-other", other), ("l-foreign", stranger)):
        registry.push(f"{TEAM}/{name}")
        registry.legacy(f"{TEAM}/{name}", key, f"{TEAM}/{name}")
    registry.push(f"{TEAM}/l-unsigned")
    return registry


def test_signed_and_not(legacy, good):
    policies = load(policy({REGISTRY: [signed(good)]}))
    assert codes(one(policies, legacy, f"{TEAM}/l-signed:1.0")) == ["accepted"]
    assert codes(one(policies, legacy, f"{TEAM}/l-foreign:1.0")) == ["signature-key-mismatch"]
    found = one(policies, legacy, f"{TEAM}/l-unsigned:1.0")
    assert codes(found) == ["no-signature"]
    assert found.rulings[0].rule == f"policy.json/docker:{REGISTRY}"


def test_keys_of_one_requirement_are_alternatives_and_requirements_are_not(legacy, good, other):
    either = load(policy({REGISTRY: [signed(good, other)]}))
    for name in ("l-signed", "l-other"):
        assert codes(one(either, legacy, f"{TEAM}/{name}:1.0")) == ["accepted"]
    both = load(policy({REGISTRY: [signed(good), signed(other)]}))
    assert one(both, legacy, f"{TEAM}/l-signed:1.0").severity == "deny"
    legacy.push(f"{TEAM}/l-both")
    legacy.legacy(f"{TEAM}/l-both", good, f"{TEAM}/l-both")
    assert one(both, legacy, f"{TEAM}/l-both:1.0").severity == "deny"


def test_the_default_is_for_what_no_scope_is_about(legacy, good):
    policies = load(policy({f"{REGISTRY}/another": ANYTHING}))
    found = one(policies, legacy, f"{TEAM}/l-signed:1.0")
    assert codes(found) == ["static-refusal"]
    assert found.rulings[0].rule == "policy.json/default"
    assert codes(one(load(policy(default=[signed(good)])), legacy, f"{TEAM}/l-signed:1.0")) == ["accepted"]


@pytest.mark.parametrize(
    ("scopes", "image", "rule"),
    [
        ({REGISTRY: 0, TEAM: 0, f"{TEAM}/app": 0, f"{TEAM}/app:1.0": 0}, f"{TEAM}/app:1.0", f"{TEAM}/app:1.0"),
        ({REGISTRY: 0, TEAM: 0, f"{TEAM}/app": 0, f"{TEAM}/app:1.0": 0}, f"{TEAM}/app:2.0", f"{TEAM}/app"),
        ({REGISTRY: 0, TEAM: 0}, f"{TEAM}/app:2.0", TEAM),
        ({REGISTRY: 0, TEAM: 0}, f"{REGISTRY}/other/app:2.0", REGISTRY),
        ({REGISTRY: 0, "*.example.com": 0}, f"{TEAM}/app:1.0", REGISTRY),
        ({"*.example.com": 0, "*.com": 0, "": 0}, f"{TEAM}/app:1.0", "*.example.com"),
        ({"*.com": 0, "": 0}, f"{TEAM}/app:1.0", "*.com"),
        ({"": 0, "example.com": 0}, f"{TEAM}/app:1.0", ""),
        ({"": 0, "*.registry.example.com": 0}, f"{TEAM}/app:1.0", ""),
        ({"": 0, f"{REGISTRY}/tea": 0}, f"{TEAM}/app:1.0", ""),
        ({"": 0, f"{TEAM}/ap": 0}, f"{TEAM}/app:1.0", ""),
        ({"": 0, "docker.io/library/busybox": 0}, "busybox", "docker.io/library/busybox"),
        ({"": 0, "docker.io/library/busybox": 0}, "index.docker.io/library/busybox:1", "docker.io/library/busybox"),
        ({"": 0, "docker.io": 0}, "docker.io/you/app@sha256:" + "0" * 64, "docker.io"),
        ({"": 0, f"{TEAM}/app:1.0": 0}, f"{TEAM}/app@sha256:" + "0" * 64, ""),
        ({"": 0, f"{TEAM}/app@sha256:" + "0" * 64: 0}, f"{TEAM}/app@sha256:" + "0" * 64, f"{TEAM}/app@sha256:" + "0" * 64),
        ({"": 0, "registry.example.com:5000/team": 0}, f"{TEAM}/app:1.0", ""),
        ({"": 0, "registry.example.com:5000/team": 0}, "registry.example.com:5000/team/app", "registry.example.com:5000/team"),
    ],
)  # fmt: skip
def test_the_most_specific_scope_alone_counts(scopes, image, rule):
    policies = load(policy(dict.fromkeys(scopes, REJECT), default=ANYTHING))
    from policy.scene import workload

    [found], skipped = Index(policies).matching(parse(image), workload())
    assert found.name == f"docker:{rule}"
    assert not skipped


D = "@sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("identity", "image", "said", "good"),
    [
        (Naming("matchRepository"), "r.example/a:1", "r.example/a", True),
        (Naming("matchRepository"), "r.example/a:1", "r.example/a:2", True),
        (Naming("matchRepository"), "r.example/a:1", "r.example/b", False),
        (Naming("matchRepository"), "r.example/a:1", "evil.example/a", False),
        (Naming("matchRepository"), "busybox", "docker.io/library/busybox", True),
        (Naming("matchExact"), "r.example/a:1", "r.example/a:1", True),
        (Naming("matchExact"), "r.example/a:1", "r.example/a:2", False),
        (Naming("matchExact"), "r.example/a:1", "r.example/a", False),
        (Naming("matchExact"), f"r.example/a{D}", f"r.example/a{D}", True),
        (Naming("matchExact"), f"r.example/a{D}", "r.example/a:1", False),
        (Naming("matchRepoDigestOrExact"), "r.example/a:1", "r.example/a:1", True),
        (Naming("matchRepoDigestOrExact"), "r.example/a:1", "r.example/a:2", False),
        (Naming("matchRepoDigestOrExact"), "r.example/a:1", "r.example/a", False),
        (Naming("matchRepoDigestOrExact"), f"r.example/a{D}", "r.example/a:1", True),
        (Naming("matchRepoDigestOrExact"), f"r.example/a{D}", "r.example/b:1", False),
        (Naming("matchRepoDigestOrExact"), f"r.example/a:1{D}", "r.example/a:2", False),
        (Naming("exactReference", "r.example/a:1"), "mirror.example/a:1", "r.example/a:1", True),
        (Naming("exactReference", "r.example/a:1"), "r.example/a:1", "r.example/a:2", False),
        (Naming("exactReference", "r.example/a:1"), "r.example/a:1", "r.example/a", False),
        (Naming("exactRepository", "r.example/a"), "mirror.example/b:1", "r.example/a:7", True),
        (Naming("exactRepository", "r.example/a"), "r.example/a:1", "r.example/b", False),
        (Naming("remapIdentity", prefix="m.local/r", signed_prefix="r.example"), "m.local/r/a:1", "r.example/a:1", True),
        (Naming("remapIdentity", prefix="m.local/r", signed_prefix="r.example"), "m.local/r/a:1", "m.local/r/a:1", False),
        (Naming("remapIdentity", prefix="m.local/r", signed_prefix="r.example"), "m.local/rx/a:1", "r.examplex/a:1", False),
        (Naming("remapIdentity", prefix="m.local/r", signed_prefix="r.example"), "m.local/rx/a:1", "m.local/rx/a:1", True),
        (Naming("remapIdentity", prefix="m.local", signed_prefix="r.example/p"), "m.local/a:1", "r.example/p/a:1", True),
        (Naming("remapIdentity", prefix="m.local", signed_prefix="r.example"), "m.local:5000/a:1", "r.example:5000/a:1", False),
        (Naming("matchRepository"), "r.example/a:1", "", False),
        (Naming("matchRepository"), "r.example/a:1", None, False),
        (Naming("matchRepository"), "r.example/a:1", "no reference", False),
    ],
)  # fmt: skip
def test_signed_identities(identity, image, said, good):
    finding = identity.of(parse(image)).finding(said)
    assert (finding.outcome == "passed") is good
    assert finding.code == (
        "signed-name-verified" if good else "signed-name-missing" if not said else "signed-name-mismatch"
    )


def test_a_naming_that_nobody_bound_to_an_image_is_never_met():
    assert Naming("matchRepository").finding("r.example/a").outcome == "failed"


def test_an_image_that_was_signed_under_another_name(legacy, good):
    legacy.push(f"{TEAM}/l-renamed")
    legacy.legacy(f"{TEAM}/l-renamed", good, f"{TEAM}/l-test")
    policies = load(policy({REGISTRY: [signed(good)]}))
    found = one(policies, legacy, f"{TEAM}/l-renamed:1.0")
    assert codes(found) == ["signed-name-mismatch"]
    exact = {"type": "exactRepository", "dockerRepository": f"{TEAM}/l-test"}
    assert codes(one(load(policy({REGISTRY: [signed(good, identity=exact)]})), legacy, f"{TEAM}/l-renamed:1.0")) == [
        "accepted"
    ]


def test_without_an_identity_the_tag_must_be_the_one_that_was_signed(legacy, good):
    legacy.push(f"{TEAM}/l-tagged")
    legacy.legacy(f"{TEAM}/l-tagged", good, f"{TEAM}/l-tagged:1.0")
    policies = load(policy({REGISTRY: [{k: v for k, v in signed(good).items() if k != "signedIdentity"}]}))
    assert codes(one(policies, legacy, f"{TEAM}/l-tagged:1.0")) == ["accepted"]
    assert codes(one(policies, legacy, f"{TEAM}/l-signed:1.0")) == ["signed-name-mismatch"]


def test_a_bundle_has_no_name_and_does_not_count(registry, legacy, good):
    policies = load(policy({REGISTRY: [signed(good)]}))
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["signed-name-missing"]
    assert codes(one(policies, legacy, f"{TEAM}/l-signed:1.0")) == ["accepted"]


def test_P22_a_narrower_scope_that_asks_for_less_is_told(good):
    def told(*scopes, default=REJECT):
        found = load(policy(dict(scopes), default=default)).notes
        return [note.message for note in found if note.code == "policy-weaker"]

    assert told(("docker.io/x", ANYTHING), default=[signed(good)]) == [
        "docker:docker.io/x asks for less than default, which it replaces"
    ]
    assert told((TEAM, ANYTHING), (REGISTRY, [signed(good)]))[0].startswith(
        f"docker:{TEAM} asks for less than docker:{REGISTRY}"
    )
    assert told(("*.example.com", REJECT), (REGISTRY, ANYTHING))[0].startswith(f"docker:{REGISTRY}")
    assert len(told((TEAM, [signed(good)]), (REGISTRY, [signed(good), signed(good)]))) == 1
    assert told((TEAM, [signed(good)]), default=ANYTHING) == []
    assert told((TEAM, REJECT), (REGISTRY, [signed(good)])) == []


def test_local_files(legacy, good):
    named = [{"type": "sigstoreSigned", "keyPath": "/k.pub", "signedIdentity": REPOSITORY}]
    policies = load(policy({REGISTRY: named}), files={"/k.pub": pem(good).encode()})
    assert codes(one(policies, legacy, f"{TEAM}/l-signed:1.0")) == ["accepted"]
    assert "files are not read" in refused(policy({REGISTRY: named})).message


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"default": []}, "default must be a list of requirements, and not empty"),
        ({"default": REJECT, "defaults": REJECT}, "no field 'defaults'"),
        ({"default": REJECT, "transports": {"docker": {"a.example": []}}}, "must be a list"),
        ({"default": REJECT, "transports": {"dokcer": {}}}, "'dokcer'"),
        ({"default": REJECT, "transports": {"dir": {"/x": [{"type": "nothing"}]}}}, "type is 'nothing'"),
        ({"default": [{"type": "reject", "reason": "x"}]}, "no field 'reason'"),
        ({"default": [{}]}, "type is missing"),
        (policy({"*": REJECT}), "no wildcards"),
        (policy({"a.example/*": REJECT}), "no wildcards"),
        (policy({"*.": REJECT}), "no scope"),
        (policy({"a.example/b/": REJECT}), "nothing is called so"),
        (policy({"busybox/x": REJECT}), "nothing is called so"),
        (policy({"index.docker.io/library": REJECT}), "nothing is called so"),
        ({"default": [{"type": "sigstoreSigned"}]}, "exactly one of keyPath"),
        ({"default": [{"type": "sigstoreSigned", "keyData": "eA==", "keyPath": "/x"}]}, "exactly one of"),
        ({"default": [{"type": "sigstoreSigned", "keyData": "eA=="}]}, "keyData: "),
        ({"default": [{"type": "sigstoreSigned", "keyDatas": []}]}, "is empty"),
        ({"default": [{"type": "sigstoreSigned", "fulcio": {}}]}, "needs a rekorPublicKey"),
    ],
)  # fmt: skip
def test_P18_what_is_no_policy_json_is_not_loaded(document, said):
    load(policy())
    error = refused(document)
    assert error.code == "policy-invalid"
    assert said in error.message


@pytest.mark.parametrize(
    "identity",
    [
        {"type": "matchAll"}, {}, {"type": "exactReference"}, {"type": "exactReference", "dockerReference": "r.example/a"},
        {"type": "exactRepository", "dockerRepository": "r.example/a:1"}, {"type": "matchExact", "prefix": "x"},
        {"type": "remapIdentity", "prefix": "r.example"}, {"type": "remapIdentity", "prefix": "r.example/", "signedPrefix": "x.example"},
    ],
)  # fmt: skip
def test_identities_that_are_none(good, identity):
    load(policy({REGISTRY: [signed(good)]}))
    assert refused(policy({REGISTRY: [signed(good, identity=identity)]})).code == "policy-invalid"


@pytest.mark.parametrize(
    "requirement",
    [
        {"type": "signedBy", "keyType": "GPGKeys", "keyData": "eA=="},
        {"type": "sigstoreSigned", "pki": {"subjectHostname": "x.example", "caRootsData": "eA=="}},
    ],
)
def test_what_is_not_evaluated_is_an_error_at_load(requirement):
    error = refused({"default": [requirement]}, kind=PolicyUnsupportedError)
    assert error.hint is not None


def test_E21_a_key_that_stands_there_twice(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text('{"default": [{"type": "reject"}], "default": [{"type": "insecureAcceptAnything"}]}')
    with pytest.raises((PolicyInvalidError, JsonAmbiguousError)):
        files.load([str(path)], Settings())
    path.write_text('{"default": [{"type": "reject"}]}')
    [rule] = files.load([str(path)], Settings()).rules
    assert (rule.dialect, rule.title) == ("containers", "policy.json/default")


def test_two_policy_jsons_hide_each_other():
    assert "stands there twice" in refused(policy(), policy()).message
