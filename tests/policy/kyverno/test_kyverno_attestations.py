"""Attestations in Kyverno's policies: by whom, of which type, and what they must say."""

import pytest

from policy.kyverno.scene import block, keys, policy
from policy.scene import NOW, codes, load, one, pem
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError

TEAM = "registry.example.com/team"
SLSA = "https://slsa.dev/provenance/v1"
SCAN = "https://cosign.sigstore.dev/attestation/vuln/v1"
PROVENANCE = {
    "buildDefinition": {
        "buildType": "https://example.com/make", "externalParameters": {"ref": "refs/heads/main"}, "resolvedDependencies": [],
    },
    "runDetails": {"builder": {"id": "https://example.com/builder/v1.2.3"}},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def attested(registry, good, stranger, other):
    for name, key in (("attested", good), ("attested-by-stranger", stranger)):
        registry.push(f"{TEAM}/{name}")
        registry.sign(f"{TEAM}/{name}", good)
        registry.attest(f"{TEAM}/{name}", key, SLSA, PROVENANCE)
    registry.push(f"{TEAM}/mixed")
    registry.attest(f"{TEAM}/mixed", stranger, SLSA, {"buildDefinition": {"buildType": "evil"}})
    registry.attest(f"{TEAM}/mixed", good, SLSA, PROVENANCE)
    registry.push(f"{TEAM}/attested-only")
    registry.attest(f"{TEAM}/attested-only", good, SLSA, PROVENANCE)
    registry.push(f"{TEAM}/scanned")
    registry.attest(
        f"{TEAM}/scanned",
        good,
        SCAN,
        {"scanner": {"result": {"a": 1}}, "metadata": {"scanFinishedOn": "2027-01-14T08:00:00Z"}},
    )


def wanting(*sets, kind=SLSA, block_more=None, **more):
    return policy(block(attestations=[{"type": kind, "attestors": list(sets)} | more], **(block_more or {})))


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ("attested", "accepted"), ("attested-only", "accepted"), ("mixed", "accepted"),
        ("attested-by-stranger", "signature-key-mismatch"), ("signed", "no-attestation"), ("unsigned", "no-attestation"),
    ],
)  # fmt: skip
def test_by_a_key(registry, good, image, code):
    policies = load(wanting({"entries": [keys(good)]}))
    assert codes(one(policies, registry, f"{TEAM}/{image}:1.0")) == [code]


def test_the_type_is_asked_for(registry, good):
    policies = load(wanting({"entries": [keys(good)]}, kind="https://slsa.dev/provenance/v0.2"))
    assert codes(one(policies, registry, f"{TEAM}/attested:1.0")) == ["predicate-type-mismatch"]
    old = policy(block(attestations=[{"predicateType": SLSA, "attestors": [{"entries": [keys(good)]}]}]))
    assert codes(one(load(old), registry, f"{TEAM}/attested:1.0")) == ["accepted"]
    for wrong in ({"type": SLSA, "predicateType": "x"}, {}):
        with pytest.raises(PolicyInvalidError):
            load(policy(block(attestations=[wrong | {"attestors": [{"entries": [keys(good)]}]}])))


def test_signature_and_attestation_are_both_needed(registry, good):
    policies = load(policy(block(keys(good), attestations=[{"type": SLSA, "attestors": [{"entries": [keys(good)]}]}])))
    assert codes(one(policies, registry, f"{TEAM}/attested:1.0")) == ["accepted"]
    assert codes(one(policies, registry, f"{TEAM}/attested-only:1.0")) == ["no-signature"]
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["no-attestation"]


class TestNobodyNamed:
    """C18, and what admission.md calls weakness 10: nobody is named, a set stands in a set, an older key is there."""

    def test_C18_nobody_is_named_at_all(self):
        with pytest.raises(PolicyInvalidError) as caught:
            load(policy(block(attestations=[{"type": SLSA}])))
        assert "anybody would do" in caught.value.message
        with pytest.raises(PolicyInvalidError):
            load(policy(block(attestations=[{"type": SLSA, "attestors": []}])))

    def test_C18_those_who_must_sign_the_image_must_have_attested_it(self, registry, good):
        policies = load(policy(block(keys(good), attestations=[{"type": SLSA}])))
        assert codes(one(policies, registry, f"{TEAM}/attested:1.0")) == ["accepted"]
        assert codes(one(policies, registry, f"{TEAM}/attested-by-stranger:1.0")) == ["signature-key-mismatch"]
        assert "difference" in [note.code for note in policies.notes]

    @pytest.mark.parametrize(
        ("image", "code"), [("attested", "accepted"), ("attested-by-stranger", "signature-key-mismatch")]
    )
    def test_C18_a_set_in_a_set(self, registry, good, other, image, code):
        nested = {"entries": [{"attestor": {"count": 1, "entries": [keys(good), keys(other)]}}]}
        found = one(load(wanting(nested)), registry, f"{TEAM}/{image}:1.0")
        assert codes(found) == [code]
        assert (
            found.rulings[0].verdicts[0][0].where == ".attestations[0].attestors[0].entries[0].attestor.entries[0].keys"
        )

    @pytest.mark.parametrize(
        ("image", "code"), [("attested", "accepted"), ("attested-by-stranger", "signature-key-mismatch")]
    )
    def test_C18_the_key_of_older_policies(self, registry, good, image, code):
        made = policy({"image": "registry.example.com/*", "key": pem(good), "attestations": [{"predicateType": SLSA}]})
        assert codes(one(load(made), registry, f"{TEAM}/{image}:1.0")) == [code]

    def test_several_keys_in_one_field(self, registry, good, other):
        both = load(wanting({"entries": [keys(good, other)]}))
        assert codes(one(both, registry, f"{TEAM}/attested:1.0")) == ["signature-key-mismatch"]
        either = load(wanting({"count": 1, "entries": [keys(good, other)]}))
        assert codes(one(either, registry, f"{TEAM}/attested:1.0")) == ["accepted"]


def conditions(*some, how="all"):
    return [{how: list(some)}]


def condition(key, operator, value):
    return {"key": key, "operator": operator, "value": value}


class TestConditions:
    """What a predicate must say."""

    @pytest.mark.parametrize(
        ("key", "operator", "value", "met"),
        [
            ("{{ buildDefinition.buildType }}", "Equals", "https://example.com/make", True),
            ("{{ buildDefinition.buildType }}", "Equals", "https://example.com/*", True),
            ("{{ buildDefinition.buildType }}", "equals", "https://example.org/*", False),
            ("{{ buildDefinition.buildType }}", "NotEquals", "https://example.org/*", True),
            ("{{ runDetails.builder.id }}", "AnyIn", ["x", "https://example.com/builder/*"], True),
            ("{{ runDetails.builder.id }}", "AnyNotIn", ["x"], True),
            ("{{ buildDefinition.externalParameters.ref }}", "In", ["refs/heads/main"], True),
            ("{{ buildDefinition.externalParameters.ref }}", "AllNotIn", ["refs/heads/*"], False),
            (
                "{{ regex_match('^refs/heads/(main|rel.*)$', buildDefinition.externalParameters.ref) }}",
                "Equals",
                True,
                True,
            ),
            (
                "{{ regex_match('^refs/heads/(main|rel.*)$', buildDefinition.externalParameters.ref) }}",
                "Equals",
                "true",
                False,
            ),
            (
                "{{ split(runDetails.builder.id, '/')[-1] | semver_compare(trim_prefix(@, 'v'), '>=1.2.0 <2.0.0') }}",
                "Equals",
                True,
                True,
            ),
            ("{{ to_upper(buildDefinition.externalParameters.ref) }}", "Equals", "REFS/HEADS/MAIN", True),
            ("{{ length(buildDefinition.resolvedDependencies) }}", "LessThan", 1, True),
            ("{{ length(buildDefinition.resolvedDependencies) }}", "GreaterThan", "0", False),
            ("{{ missing || 'none' }}", "Equals", "none", True),
        ],
    )
    def test_conditions(self, registry, good, key, operator, value, met):
        policies = load(wanting({"entries": [keys(good)]}, conditions=conditions(condition(key, operator, value))))
        expected = "accepted" if met else "condition-failed"
        assert codes(one(policies, registry, f"{TEAM}/attested:1.0")) == [expected]

    @pytest.mark.parametrize(
        ("key", "operator", "value"),
        [
            ("{{ missing.field }}", "NotEquals", "x"), ("{{ missing }}", "Equals", None),
            ("{{ buildDefinition }}", "LessThan", 3), ("{{ to_upper(buildDefinition) }}", "NotEquals", "x"),
            ("{{ buildDefinition.buildType }}", "DurationLessThan", "3h"), ("{{ time_since('', runDetails.builder.id, '') }}", "LessThan", "1h"),
            ("{{ base64_decode(buildDefinition.buildType) }}", "NotEquals", ""), ("{{ divide(`1`, `0`) }}", "NotEquals", 1),
        ],
    )  # fmt: skip
    def test_no_answer_is_no(self, registry, good, key, operator, value):
        policies = load(wanting({"entries": [keys(good)]}, conditions=conditions(condition(key, operator, value))))
        assert codes(one(policies, registry, f"{TEAM}/attested:1.0")) == ["condition-error"]

    def test_W04_what_a_stranger_says_counts_for_nothing(self, registry, good):
        """Nor does it refuse what a key that counts has said (weakness 15)."""
        policies = load(
            wanting(
                {"entries": [keys(good)]},
                conditions=conditions(condition("{{ buildDefinition.buildType }}", "NotEquals", "evil")),
            )
        )
        assert codes(one(policies, registry, f"{TEAM}/mixed:1.0")) == ["accepted"]
        evil = load(
            wanting(
                {"entries": [keys(good)]},
                conditions=conditions(condition("{{ buildDefinition.buildType }}", "Equals", "evil")),
            )
        )
        assert codes(one(evil, registry, f"{TEAM}/mixed:1.0")) == ["condition-failed"]

    def test_any_and_all(self, registry, good):
        yes = condition("{{ buildDefinition.buildType }}", "Equals", "https://example.com/make")
        no = condition("{{ buildDefinition.buildType }}", "Equals", "x") | {"message": "built by nobody we know"}
        for blocks, met in (
            (conditions(yes, no, how="any"), True), (conditions(yes, no), False), ([{"any": [yes]}, {"all": [no]}], False),
            ([{"any": [no, yes], "all": [yes]}], True), ([{"any": [no, no]}], False),
        ):  # fmt: skip
            found = one(load(wanting({"entries": [keys(good)]}, conditions=blocks)), registry, f"{TEAM}/attested:1.0")
            assert codes(found) == ["accepted" if met else "condition-failed"]
        assert "built by nobody we know" in found.rulings[0].message

    @pytest.mark.parametrize(
        "blocks",
        [
            [], [{}], [{"all": []}], [{"all": [condition("x", "Is", "y")]}], [{"all": [{"operator": "Equals"}]}],
            [{"all": [condition("{{ x", "Equals", "y")]}], [{"all": [condition("{{ x( }}", "Equals", "y")]}],
            [{"all": [condition("{{ nothing(x) }}", "Equals", "y")]}], [{"all": [condition("{{ random('x') }}", "Equals", "y")]}],
            [{"all": [condition("{{ x509_decode(x) }}", "Equals", "y")]}],
            [{"all": [condition("{{ request.object.metadata.name }}", "Equals", "y")]}],
            [{"all": [condition("{{ x || request.namespace }}", "Equals", "y")]}], [{"other": []}],
        ],
    )  # fmt: skip
    def test_conditions_that_do_not_load(self, good, blocks):
        with pytest.raises(PolicyInvalidError) as caught:
            load(wanting({"entries": [keys(good)]}, conditions=blocks))
        assert "attestations[0].conditions" in caught.value.message

    @pytest.mark.parametrize(("days", "code"), [(1, "accepted"), (6, "accepted"), (8, "condition-failed")])
    @pytest.mark.parametrize(
        "key",
        [
            "{{ time_since('', metadata.scanFinishedOn, '') }}",
            "{{ time_since('','{{ metadata.scanFinishedOn }}', '') }}",
        ],
    )
    def test_a_scan_must_be_recent(self, registry, good, days, code, key):
        finished = 1_799_913_600.0  # 2027-01-14T08:00:00Z
        policies = load(
            wanting(
                {"entries": [keys(good)]}, kind=SCAN, conditions=conditions(condition(key, "LessThanOrEquals", "168h"))
            )
        )
        assert codes(one(policies, registry, f"{TEAM}/scanned:1.0", now=finished + days * 86400)) == [code]

    def test_P13_what_the_clock_decides_is_remembered_for_the_second_that_it_saw(self, registry, good):
        class Memory(dict):
            recalled = 0

            def recall(self, reference, digest, attestor, now):
                verdict = self.get((digest, attestor.identity))
                if verdict is None or now >= min(f.until for each in verdict.signatures for f in each.findings):
                    return None
                self.recalled += 1
                return verdict

            def remember(self, reference, digest, attestor, now, verdict):
                self[digest, attestor.identity] = verdict

        finished = 1_799_913_600.0
        recent = condition("{{ time_since('', metadata.scanFinishedOn, '') }}", "LessThanOrEquals", "168h")
        done = condition("{{ metadata.scanFinishedOn }}", "Equals", "2027*")
        for asked, kept, later in ((recent, 1, "condition-failed"), (done, 2, "accepted")):
            policies = load(wanting({"entries": [keys(good)]}, kind=SCAN, conditions=conditions(asked)))
            memory = Memory()
            for days, code in ((1, "accepted"), (1.000001, "accepted"), (8, later)):
                found = one(policies, registry, f"{TEAM}/scanned:1.0", now=finished + days * 86400, memory=memory)
                assert codes(found) == [code]
            assert memory.recalled == kept

    def test_the_rules_variables(self, registry, good):
        made = wanting(
            {"entries": [keys(good)]},
            conditions=conditions(condition("{{ runDetails.builder.id }}", "AnyIn", "{{ builders }}")),
        )
        made["spec"]["rules"][0]["context"] = [
            {"name": "base", "variable": {"value": "https://example.com"}},
            {"name": "builders", "variable": {"value": ["{{ base }}/builder/*"]}},
        ]
        assert codes(one(load(made), registry, f"{TEAM}/attested:1.0")) == ["accepted"]
        made["spec"]["rules"][0]["context"][0]["variable"]["value"] = "https://example.org"
        assert codes(one(load(made), registry, f"{TEAM}/attested:1.0")) == ["condition-failed"]

    def test_an_attestation_changes_no_variable_of_the_rule(self, registry, good):
        registry.push(f"{TEAM}/cheat")
        registry.attest(f"{TEAM}/cheat", good, SLSA, {"allowed": ["evil"], "builder": "evil"})
        made = wanting(
            {"entries": [keys(good)]}, conditions=conditions(condition("{{ builder }}", "AnyIn", "{{ allowed }}"))
        )
        made["spec"]["rules"][0]["context"] = [{"name": "allowed", "variable": {"value": ["good"]}}]
        assert codes(one(load(made), registry, f"{TEAM}/cheat:1.0")) == ["condition-failed"]
        made["spec"]["rules"][0]["context"] = [{"name": "allowed", "variable": {"value": ["evil"]}}]
        assert codes(one(load(made), registry, f"{TEAM}/cheat:1.0")) == ["accepted"]

    @pytest.mark.parametrize("said", ["*", "' || true || '", "{{ wanted }}", "x' == 'x", "\\"])
    def test_what_an_attestation_says_is_no_pattern_and_no_expression(self, registry, good, said):
        name = f"{TEAM}/said-{abs(hash(said))}"
        registry.push(name)
        registry.attest(name, good, SLSA, {"who": said, "wanted": "someone"})
        for key, operator, value in (
            ("{{ who }}", "Equals", "someone"), ("{{ who }}", "AnyIn", ["someone", "s*"]),
            ("{{ '{{ who }}' == 'someone' }}", "Equals", True), ("a {{ who }}", "Equals", "a someone"),
        ):  # fmt: skip
            policies = load(wanting({"entries": [keys(good)]}, conditions=conditions(condition(key, operator, value))))
            assert codes(one(policies, registry, f"{name}:1.0")) == ["condition-failed"]
        honest = load(
            wanting(
                {"entries": [keys(good)]},
                conditions=conditions(condition("{{ '{{ wanted }}' == 'someone' }}", "Equals", True)),
            )
        )
        assert codes(one(honest, registry, f"{name}:1.0")) == ["accepted"]

    @pytest.mark.parametrize(
        "key",
        [
            "{{ " + " | ".join(["buildDefinition", *["[@, @][]"] * 60, "length(@)"]) + " }}",
            "{{ " + " | ".join(["buildDefinition", *["[@, @]"] * 60, "to_string(@)"]) + " }}",
            "{{ " + " | ".join(["'aaaaaaaa'", *["join('', [@, @])"] * 40]) + " }}",
            "{{ " + " | ".join(["'aaaa'", *["replace_all(@, 'a', 'aaaaaaaa')"] * 20]) + " }}",
            "{{ regex_match('(a*)*(a|aa)+$', '" + "a" * 1000 + "b') }}",
        ],
    )
    def test_D09_D12_expressions_end(self, registry, good, key):
        policies = load(wanting({"entries": [keys(good)]}, conditions=conditions(condition(key, "Equals", "x"))))
        assert codes(one(policies, registry, f"{TEAM}/attested:1.0"))[0] in {"condition-error", "condition-failed"}

    @pytest.mark.parametrize(
        "key",
        [
            "{{ " + "(" * 2000 + "a" + ")" * 2000 + " }}",
            "{{ " + "!" * 3000 + "a }}",
            "{{ " + "a" * 5000 + " }}",
            "{{" * 20,
        ],
    )
    def test_D11_expressions_that_are_too_deep_do_not_load(self, good, key):
        with pytest.raises(PolicyInvalidError):
            load(wanting({"entries": [keys(good)]}, conditions=conditions(condition(key, "Equals", "x"))))


def test_what_sees_the_object_does_not_load(good):
    with pytest.raises(PolicyUnsupportedError) as caught:
        load(
            wanting(
                {"entries": [keys(good)]},
                conditions=conditions(condition("{{ images.containers.*.registry }}", "Equals", "x")),
            )
        )
    assert "depends on the object under review (images)" in caught.value.message


def test_the_clock_of_the_scene():
    assert NOW == 1_800_000_000
