"""Kyverno's policies about signatures of images: what is admitted, what is refused and why."""

import pytest

from policy.kyverno.scene import block, keys, policy
from policy.scene import References, codes, decide, load, one, pem
from policy.seed import PLACEHOLDER
from policy.seed import seed as filled
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError

TEAM = "registry.example.com/team"


@pytest.fixture(scope="module")
def seed(good):
    return load(filled(pem(good)))


@pytest.fixture(scope="module")
def mine(registry, good):
    """Images of the registry that the seed's policy is about."""
    for name in ("signed", "unsigned"):
        registry.push(f"myregistry.com/{name}")
    registry.push("evilmyregistry.com/x")
    registry.sign("myregistry.com/signed", good)
    return registry


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"])
def test_the_seeds_policy_works_verbatim(seed, mine, kind):
    assert decide(seed, mine, "myregistry.com/signed:1.0", kind=kind).outcome == "admit"
    denied = decide(seed, mine, "myregistry.com/signed:1.0", "myregistry.com/unsigned:1.0", kind=kind)
    assert denied.outcome == "deny"
    assert denied.exit_code == 16
    [ruling] = denied.images[1].rulings
    assert (ruling.code, ruling.rule) == ("no-signature", "check-image-signature/verify-signature")
    assert ruling.message.startswith(".attestors[0].entries[0].keys: ")


def test_the_seeds_policy_without_a_key_in_it_says_where_it_belongs():
    with pytest.raises(PolicyInvalidError) as caught:
        load(filled(PLACEHOLDER))
    assert "check-image-signature: spec.rules[0].verifyImages[0].key: " in caught.value.message


def test_the_seeds_pattern_covers_another_registry_and_lint_says_so(seed, mine):
    assert codes(one(seed, mine, "evilmyregistry.com/x:1.0")) == ["no-signature"]
    [note] = [each for each in seed.notes if each.code == "pattern-foreign-host"]
    assert "write myregistry.com/*" in note.message
    assert note.where.endswith("check-image-signature: spec.rules[0].verifyImages[0].image")


def test_P01_what_nothing_matches_is_reported_and_admitted_as_kyverno_does(seed, mine, good):
    found = one(seed, mine, "registry.example.com/team/unsigned:1.0")
    assert codes(found) == ["image-unmatched"]
    assert found.severity == "none"
    assert not found.verified
    strict = load(filled(pem(good)), no_match="deny")
    assert one(strict, mine, "registry.example.com/team/unsigned:1.0").severity == "deny"


def test_the_digest_that_was_verified_is_to_be_written(seed, mine):
    found = one(seed, mine, "myregistry.com/signed:1.0")
    assert found.mutates
    assert str(found.digest).startswith("sha256:")


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ("signed", "accepted"),
        ("unsigned", "no-signature"),
        ("foreign", "signature-key-mismatch"),
        ("gone", "image-not-found"),
    ],
)
def test_one_key(registry, good, image, code):
    assert codes(one(load(policy(block(keys(good)))), registry, f"{TEAM}/{image}:1.0")) == [code]


def test_could_not_ask_is_not_unsigned(registry, good):
    policies = load(policy(block(keys(good))))
    registry.down = True
    try:
        decision = decide(policies, registry, f"{TEAM}/signed:1.0")
    finally:
        registry.down = False
    assert decision.exit_code == 14
    assert decision.images[0].rulings[0].outcome == "unknown"


class TestCounts:
    """P21: counts, nesting, several keys in one field."""

    @pytest.mark.parametrize(
        ("count", "image", "code"),
        [
            (None, "both", "accepted"), (None, "signed", "signature-key-mismatch"), (0, "signed", "signature-key-mismatch"),
            (1, "signed", "accepted"), (1, "other", "accepted"), (1, "foreign", "signature-key-mismatch"),
            (2, "both", "accepted"), (2, "other", "signature-key-mismatch"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("together", [False, True])
    def test_P21_count(self, registry, good, other, count, image, code, together):
        entries = [keys(good, other)] if together else [keys(good), keys(other)]
        policies = load(policy(block(*entries, count=count)))
        assert codes(one(policies, registry, f"{TEAM}/{image}:1.0")) == [code]

    def test_one_key_twice_counts_once(self, registry, good, other):
        assert codes(one(load(policy(block(keys(good), keys(good), count=2))), registry, f"{TEAM}/both:1.0")) != [
            "accepted"
        ]
        assert codes(one(load(policy(block(keys(good), keys(other), count=2))), registry, f"{TEAM}/both:1.0")) == [
            "accepted"
        ]

    @pytest.mark.parametrize(
        ("image", "code"),
        [("both", "accepted"), ("signed", "signature-key-mismatch"), ("other", "signature-key-mismatch")],
    )
    def test_sets_are_all_needed(self, registry, good, other, image, code):
        sets = [{"entries": [keys(good)]}, {"entries": [keys(other)]}]
        policies = load(policy(block(attestors=sets)))
        assert codes(one(policies, registry, f"{TEAM}/{image}:1.0")) == [code]

    @pytest.mark.parametrize(
        ("image", "code"), [("signed", "accepted"), ("other", "accepted"), ("foreign", "signature-key-mismatch")]
    )
    def test_P21_a_set_in_a_set_counts(self, registry, good, other, image, code):
        nested = {"attestor": {"count": 1, "entries": [keys(good), keys(other)]}}
        found = one(load(policy(block(nested))), registry, f"{TEAM}/{image}:1.0")
        assert codes(found) == [code]
        assert found.rulings[0].verdicts[1][0].where == ".attestors[0].entries[0].attestor.entries[1].keys"

    @pytest.mark.parametrize("count", [-1, 3, "1", True, 1.0])
    def test_counts_that_nothing_could_meet(self, good, other, count):
        with pytest.raises(PolicyInvalidError) as caught:
            load(
                policy(
                    block(keys(good), keys(other), attestors=[{"count": count, "entries": [keys(good), keys(other)]}])
                )
            )
        assert "count" in caught.value.message

    def test_paths_are_those_that_kyverno_prints(self, registry, good, other):
        found = one(load(policy(block(keys(good), keys(other)))), registry, f"{TEAM}/signed:1.0").rulings[0]
        assert ".attestors[0].entries[1].keys: " in found.message
        assert [attestor.where for attestor, _ in found.verdicts] == [
            ".attestors[0].entries[0].keys",
            ".attestors[0].entries[1].keys",
        ]
        several = one(load(policy(block(keys(good, other)))), registry, f"{TEAM}/signed:1.0").rulings[0]
        assert [attestor.where for attestor, _ in several.verdicts] == [
            ".attestors[0].entries[0].keys[0]",
            ".attestors[0].entries[0].keys[1]",
        ]


class TestKeys:
    """Where keys come from."""

    def test_of_a_secret(self, registry, good):
        references = References(
            {
                ("kyverno", "keys"): {"cosign.pub": pem(good).encode()},
                ("team", "keys"): {"cosign.pub": pem(good).encode()},
            }
        )
        for entry in (
            {"keys": {"publicKeys": "k8s://team/keys"}},
            {"keys": {"secret": {"name": "keys", "namespace": "team"}}},
            {"keys": {"secret": {"name": "keys"}}},
        ):
            policies = load(policy(block(entry)), references=references)
            assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["accepted"]
            assert codes(one(policies, registry, f"{TEAM}/foreign:1.0")) == ["signature-key-mismatch"]

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            ({"keys": {"publicKeys": "k8s://team/gone"}}, "there is no Secret"),
            ({"keys": {"publicKeys": "k8s://team"}}, "names no Secret"),
            ({"keys": {"publicKeys": "k8s://empty/keys"}}, "has no cosign.pub"),
            ({"keys": {"publicKeys": "k8s://loop/keys"}}, "may not read"),
            ({"keys": {"publicKeys": "YOUR-PUBLIC-KEY-HERE"}}, "not PEM alone"),
            ({"keys": {"publicKeys": " "}}, "blank"),
            ({"keys": {}}, "a public key or a secret is required"),
            ({"keys": {"publicKeys": "x", "secret": {"name": "keys"}}}, "one of them"),
            ({}, "none of them is there"),
        ],
    )  # fmt: skip
    def test_P18_keys_that_are_none(self, entry, words):
        references = References({("empty", "keys"): {}, ("loop", "keys"): {"cosign.pub": b"k8s://loop/keys"}})
        with pytest.raises(PolicyInvalidError) as caught:
            load(policy(block(entry)), references=references)
        assert words in caught.value.message
        assert "verifyImages[0].attestors[0].entries[0]" in caught.value.message

    @pytest.mark.parametrize("entry", [{"keys": {"kms": "awskms:///alias/x"}}, {"keys": {"publicKeys": "gcpkms://x"}}])
    def test_key_services_come_later(self, entry):
        with pytest.raises(PolicyUnsupportedError) as caught:
            load(policy(block(entry)))
        assert "comes with key services" in caught.value.message

    def test_text_around_a_key_is_refused(self, good):
        with pytest.raises(PolicyInvalidError) as caught:
            load(policy(block({"keys": {"publicKeys": f"{pem(good)}\nand another"}})))
        assert "not PEM alone" in caught.value.message

    def test_P23_a_policy_of_a_namespace_reads_no_foreign_secret(self, registry, good):
        references = References({(name, "keys"): {"cosign.pub": pem(good).encode()} for name in ("team", "kyverno")})
        own = policy(
            block({"keys": {"publicKeys": "k8s://team/keys"}}),
            kind="Policy",
            metadata={"name": "p", "namespace": "team"},
        )
        policies = load(own, references=references)
        assert policies.rules[0].title == "team/p/verify"
        assert codes(one(policies, registry, f"{TEAM}/foreign:1.0", namespace="team")) == ["signature-key-mismatch"]
        assert codes(one(policies, registry, f"{TEAM}/foreign:1.0", namespace="default")) == ["image-unmatched"]
        own["spec"]["rules"][0]["verifyImages"][0] = block({"keys": {"publicKeys": "k8s://kyverno/keys"}})
        with pytest.raises(PolicyInvalidError) as caught:
            load(own, references=references)
        assert "may not read the Secret kyverno/keys" in caught.value.message

    @pytest.mark.parametrize(("name", "code"), [("sha256", "accepted"), ("sha384", "signature-hash-mismatch")])
    def test_the_hash_is_asked_for(self, registry, good, name, code):
        for entry in (
            keys(good, signatureAlgorithm=name),
            {"keys": {"publicKeys": pem(good), "signatureAlgorithm": name}},
        ):
            assert codes(one(load(policy(block(entry))), registry, f"{TEAM}/signed:1.0")) == [code]


@pytest.fixture(scope="module")
def annotated(registry, good):
    """Images with annotations in one signature, and in two."""
    registry.push(f"{TEAM}/annotated")
    registry.sign(f"{TEAM}/annotated", good, annotations={"env": "prod-eu", "team": "x"})
    registry.push(f"{TEAM}/apart")
    registry.sign(f"{TEAM}/apart", good, annotations={"env": "prod-eu"})
    registry.sign(f"{TEAM}/apart", good, annotations={"team": "x"})


@pytest.mark.usefixtures("annotated")
class TestAnnotations:
    """Annotations of entries."""

    @pytest.mark.parametrize(
        ("wanted", "code"),
        [
            ({"env": "prod-eu"}, "accepted"), ({"env": "prod-*"}, "accepted"), ({"env": "prod-?u", "team": "*"}, "accepted"),
            ({"env": "prod"}, "annotation-mismatch"), ({"env": "test-*"}, "annotation-mismatch"), ({"none": "*"}, "annotation-mismatch"),
        ],
    )  # fmt: skip
    def test_wildcards(self, registry, good, wanted, code):
        policies = load(policy(block(keys(good, annotations=wanted))))
        assert codes(one(policies, registry, f"{TEAM}/annotated:1.0")) == [code]

    def test_E10_all_stand_in_one_signature(self, registry, good):
        policies = load(policy(block(keys(good, annotations={"env": "prod-*", "team": "x"}))))
        assert codes(one(policies, registry, f"{TEAM}/annotated:1.0")) == ["accepted"]
        assert codes(one(policies, registry, f"{TEAM}/apart:1.0")) == ["annotation-mismatch"]

    def test_of_older_policies(self, registry, good):
        policies = load(policy(block(key=pem(good), annotations={"env": "prod-*"})))
        assert codes(one(policies, registry, f"{TEAM}/annotated:1.0")) == ["accepted"]
        assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["annotation-mismatch"]
        with pytest.raises(PolicyInvalidError):
            load(policy(block(annotations={"env": "prod"})))


def test_signatures_elsewhere(registry, good, tmp_path):
    import shutil

    digest = registry.push(f"{TEAM}/apart-from")
    registry.push("signatures.example.com/all")
    image, place = (
        registry.repository(type("R", (), {"name": name}))
        for name in (f"{TEAM}/apart-from", "signatures.example.com/all")
    )
    before = load(policy(block(keys(good), repository="signatures.example.com/all")))
    assert codes(one(before, registry, f"{TEAM}/apart-from:1.0")) == ["no-signature"]
    registry.sign(f"{TEAM}/apart-from", good)
    shutil.rmtree(place.layout.path)
    shutil.copytree(image.layout.path, place.layout.path)
    registry.push(f"{TEAM}/apart-from", "other")
    for made in (
        block(keys(good), repository="signatures.example.com/all"),
        block(keys(good, repository="signatures.example.com/all")),
    ):
        assert codes(one(load(policy(made)), registry, f"{TEAM}/apart-from@{digest}")) == ["accepted"]
    assert "signatures.example.com/all" in registry.asked
    with pytest.raises(PolicyInvalidError):
        load(policy(block(keys(good), repository="signatures.example.com/all:tag")))
