"""What loads of Kyverno's policies, what does not, and what lint says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.certificates import Authority
from policy.kyverno.scene import block, keys, policy
from policy.scene import References, codes, decide, load, one, pem
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.policy import notes
from sealgate.policy.attestors import Settings

TEAM = "registry.example.com/team"


@pytest.fixture(scope="module")
def whole(good):
    """A policy with most fields that change nothing."""
    made = policy(
        block(keys(good), type="SigstoreBundle", useCache=False, cosignOCI11=True, failureAction="Enforce", required=True,
              verifyDigest=True, mutateDigest=True),
        rule={"skipBackgroundRequests": True, "reportProperties": {"a": "b"}},
    )  # fmt: skip
    made["spec"] |= {
        "background": True, "admission": True, "emitWarning": False, "applyRules": "All", "schemaValidation": True,
        "useServerSideApply": True, "generateExisting": False, "mutateExistingOnPolicyUpdate": False,
        "webhookConfiguration": {"failurePolicy": "Fail", "timeoutSeconds": 30},
    }  # fmt: skip
    made["status"] = {"ready": True}
    return made


def at(document, *path):
    for step in path:
        document = document[step]
    return document


def test_fields_that_change_nothing_are_known(whole, registry):
    assert codes(one(load(whole), registry, f"{TEAM}/signed:1.0")) == ["accepted"]
    assert codes(one(load(whole), registry, f"{TEAM}/foreign:1.0")) == ["signature-key-mismatch"]


BLOCK = ("spec", "rules", 0, "verifyImages", 0)
ENTRY = (*BLOCK, "attestors", 0, "entries", 0)


@pytest.mark.parametrize(
    ("place", "name", "hint"),
    [
        ((), "specs", "did you mean spec?"),
        (("spec",), "rulez", "did you mean rules?"),
        (("spec",), "verifyImages", "it belongs under rules[]"),
        (("spec", "rules", 0), "attestors", "it belongs under verifyImages[]"),
        (BLOCK, "rekor", "it belongs under attestors[].entries[].keys or .keyless"),
        (BLOCK, "keyless", "it belongs under attestors[].entries[]"),
        (BLOCK, "imageReference", "did you mean imageReferences?"),
        (ENTRY[:-2], "keys", "it belongs under entries"),
        (ENTRY, "rekor", "it belongs under keys, certificates or keyless"),
        (ENTRY, "issuer", "it belongs under keyless"),
        ((), "rules", "it belongs under spec"),
        (("spec",), "imageReferences", "it belongs under rules[].verifyImages[]"),
        (("spec", "rules", 0), "failureAction", "it belongs under verifyImages[]"),
        (("spec", "rules", 0, "match"), "kinds", "it belongs under resources"),
        (("spec", "rules", 0, "match", "any", 0), "namespaces", "it belongs under resources"),
        (BLOCK, "validationFailureAction", "it belongs under spec; here it is failureAction"),
        (BLOCK, "publicKeys", "it belongs under attestors[].entries[].keys"),
        ((*ENTRY, "keys"), "ignoreTlog", "it belongs under rekor"),
        ((*ENTRY, "keys"), "insecureIgnoreTlog", "it belongs under rekor; here it is ignoreTlog"),
        ((*ENTRY, "keys"), "ignoreSCT", "it belongs under ctlog"),
        ((*ENTRY, "keys"), "publicKey", "did you mean publicKeys?"),
        (("spec", "rules", 0, "match", "any", 0, "resources"), "namespace", "did you mean namespaces?"),
    ],
)
def test_P18_fields_that_are_misspelt_or_misplaced(whole, place, name, hint):
    made = json.loads(json.dumps(whole))
    at(made, *place)[name] = {}
    with pytest.raises(PolicyInvalidError) as caught:
        load(made)
    assert caught.value.code == "policy-invalid"
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("spec", "rules"), []), (("spec", "rules", 0, "verifyImages"), []), ((*BLOCK, "imageReferences"), []),
        ((*BLOCK, "attestors"), []), ((*BLOCK, "attestors", 0, "entries"), []), (("spec", "rules", 0, "match"), {}),
        (("spec", "rules", 0, "match", "any"), []), (("spec", "rules", 0, "match", "any"), [{}]),
        (("spec", "rules", 0, "match", "any", 0, "resources", "kinds"), []),
    ],
)  # fmt: skip
def test_P14_policies_that_demand_nothing(whole, place, value):
    made = json.loads(json.dumps(whole))
    at(made, *place[:-1])[place[-1]] = value
    with pytest.raises(PolicyInvalidError):
        load(made)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((*BLOCK, "type"), "Notary"), ((*BLOCK, "type"), "cosign"), ((*BLOCK, "failureAction"), "Deny"),
        ((*BLOCK, "required"), "true"), ((*BLOCK, "imageReferences"), "registry.example.com/*"),
        ((*BLOCK, "imageReferences"), ["a b"]), ((*BLOCK, "imageReferences"), [1]),
        ((*BLOCK, "imageReferences"), ["{{ request.object.metadata.name }}"]), ((*BLOCK, "imageReferences"), ["{{ nothing }}"]),
        ((*ENTRY, "signatureAlgorithm"), "sha224"), ((*ENTRY, "signatureAlgorithm"), "md5"),
        ((*ENTRY, "keyless"), {"issuer": "x", "subject": "y"}),
        (("spec", "validationFailureAction"), "ENFORCE"), (("spec", "webhookTimeoutSeconds"), 30),
        (("spec", "webhookConfiguration", "timeoutSeconds"), 31), (("spec", "applyRules"), "First"),
        (("spec", "rules", 0, "celPreconditions"), [{"name": "x", "expression": "true"}]),
        (("spec", "rules", 0, "mutate"), {}), (("spec", "rules", 0, "name"), None), (("metadata", "name"), None),
        (("metadata", "namespace"), "x"), (("apiVersion",), "kyverno.io/v3"), (("spec",), None),
        (("spec", "rules", 0, "context"), [{"name": "x", "apiCall": {"urlPath": "/"}}]),
        (("spec", "rules", 0, "context"), [{"name": "x", "imageRegistry": {"reference": "x"}}]),
        (("spec", "rules", 0, "context"), [{"name": "x", "configMap": {"name": "gone"}}]),
        (("spec", "rules", 0, "context"), [{"name": "request", "variable": {"value": 1}}]),
    ],
)  # fmt: skip
def test_P18_values_that_mean_nothing_here(whole, place, value):
    made = json.loads(json.dumps(whole))
    at(made, *place[:-1])[place[-1]] = value
    with pytest.raises(PolicyInvalidError) as caught:
        load(made)
    assert caught.value.code in {"policy-invalid", "policy-unsupported"}
    assert caught.value.message


@given(st.lists(st.sampled_from(["a", "p", "x", "E", "s", "_"]), max_size=3), st.randoms())
def test_P18_no_field_is_dropped_in_silence(letters, random):
    """Whatever name is spoilt, the policy does not load."""
    made = policy(
        {"imageReferences": ["r.example.com/*"], "required": False, "mutateDigest": False}, spec={"background": True}
    )
    objects = [
        made["spec"],
        made["spec"]["rules"][0],
        made["spec"]["rules"][0]["verifyImages"][0],
        made["spec"]["rules"][0]["match"],
    ]
    chosen = random.choice(objects)
    name = random.choice(sorted(chosen)) + "".join(letters)
    if name in chosen:
        return
    chosen[name] = chosen[random.choice(sorted(chosen))]
    with pytest.raises(PolicyInvalidError):
        load(made)


def test_both_generations_of_webhook_fields_contradict(good):
    made = policy(block(keys(good)), spec={"failurePolicy": "Fail", "webhookConfiguration": {"failurePolicy": "Fail"}})
    with pytest.raises(PolicyInvalidError) as caught:
        load(made)
    assert "remove the deprecated failurePolicy" in caught.value.hint


def test_the_older_fields_are_of_v1_alone(registry, good):
    made = policy({"image": "registry.example.com/*", "key": pem(good)})
    assert codes(one(load(made), registry, f"{TEAM}/signed:1.0")) == ["accepted"]
    with pytest.raises(PolicyInvalidError) as caught:
        load(made | {"apiVersion": "kyverno.io/v2beta1"})
    assert "kyverno.io/v1 has it" in caught.value.hint
    assert load(policy(block(keys(good))) | {"apiVersion": "kyverno.io/v2beta1"}).rules


def test_one_policy_twice_does_not_load(good):
    with pytest.raises(PolicyInvalidError) as caught:
        load(policy(block(keys(good))), policy(block(keys(good))))
    assert "twice" in caught.value.message
    assert len(load(policy(block(keys(good))), policy(block(keys(good)), name="b")).rules) == 2


def test_every_code_of_a_note_is_known(good):
    made = policy(block(keys(good), images=("*x/*:1",), skipImageReferences=["*y/*"], failureAction="Audit", mutateDigest=False),
                  {"image": "a/*", "key": pem(good)}, spec={"failurePolicy": "Ignore"})  # fmt: skip
    found = {note.code for note in load(made).notes}
    assert found >= {
        "pattern-foreign-host",
        "pattern-digest",
        "pattern-excuse",
        "action-audit",
        "deprecated-field",
        "difference",
        "tlog-not-asked",
    }
    assert found <= set(notes.CODES)


def test_the_log_is_asked_for_only_where_one_is_believed_in(good):
    with pytest.raises(PolicyInvalidError) as caught:
        load(policy(block(keys(good))), settings=Settings(tlog="require"))
    assert "no log is believed in" in caught.value.message
    assert load(policy(block(keys(good))), settings=Settings(tlog="auto")).rules


def test_a_log_of_its_own_is_asked_for_also_beside_a_timestamp_authority(registry, good, stranger):
    entry = {"keys": {"publicKeys": pem(good), "rekor": {"pubkey": pem(stranger), "url": "https://rekor.example.com"}}}
    demand = load(policy(block(entry))).rules[0].demand.parts[0].parts[0].wanted.trust.demand
    assert demand.log
    assert [log.base_url for log in demand.root.logs] == ["https://rekor.example.com"]
    assert codes(one(load(policy(block(entry))), registry, f"{TEAM}/signed:1.0")) == ["log-entry-missing"]
    entry["keys"]["rekor"]["ignoreTlog"] = True
    policies = load(policy(block(entry)))
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["accepted"]
    assert [note.code for note in policies.notes] == ["tlog-not-asked"]


def test_L17_a_timestamp_authority_takes_no_log_away(good, stranger, tmp_path):
    chain = Authority(tmp_path).certificate.read_text()
    keyed = {"publicKeys": pem(good), "rekor": {"pubkey": pem(stranger)}, "ctlog": {"tsaCertChain": chain}}
    demand = load(policy(block({"keys": keyed}))).rules[0].demand.parts[0].parts[0].wanted.trust.demand
    assert (demand.log, demand.timestamp) == (True, True)
    del keyed["rekor"]
    demand = load(policy(block({"keys": keyed}))).rules[0].demand.parts[0].parts[0].wanted.trust.demand
    assert (demand.log, demand.timestamp) == (False, True)


def test_D12_a_thousand_rules(registry, good):
    rules = [
        policy(block(keys(good), images=(f"registry{index}.example.com/*",)))["spec"]["rules"][0]
        | {"name": f"r{index}"}
        for index in range(1000)
    ]
    registry.push("registry7.example.com/x")
    policies = load(policy(spec={"rules": rules}))
    assert len(policies.rules) == 1000
    found = one(policies, registry, "registry7.example.com/x:1.0")
    assert [ruling.rule for ruling in found.rulings] == ["check/r7"]
    assert codes(found) == ["no-signature"]
    assert codes(one(policies, registry, "registry1001.example.com/x:1.0")) == ["image-unmatched"]


@pytest.mark.parametrize("pattern", ["*a" * 200, "?" * 512, "*" * 512, "(a+)+$", "[a-z]*\\"])
def test_D09_patterns_are_no_bombs(registry, good, pattern):
    policies = load(policy(block(keys(good), images=(pattern, "registry.example.com/*"))))
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["accepted"]
    assert codes(one(policies, registry, "r.example.com/" + "a" * 120 + ":1.0"))[0] in {
        "image-unmatched",
        "image-not-found",
    }


def test_a_pattern_that_is_too_long_does_not_load(good):
    with pytest.raises(PolicyInvalidError):
        load(policy(block(keys(good), images=("a" * 513,))))


def test_credentials_are_kept(good):
    made = block(
        keys(good),
        imageRegistryCredentials={
            "secrets": ["pull", "other/pull"],
            "providers": ["amazon"],
            "allowInsecureRegistry": True,
        },
    )
    found = load(policy(made)).rules[0].credentials
    assert found == ((("kyverno", "pull"), ("other", "pull")), ("amazon",), True)
    for wrong in ({"providers": ["aws"]}, {"secret": []}):
        with pytest.raises(PolicyInvalidError):
            load(policy(block(keys(good), imageRegistryCredentials=wrong)))


class TestActions:
    """What a refusal does."""

    @pytest.mark.parametrize(
        ("spec", "own", "outcome"),
        [
            ({}, None, "deny"), ({"validationFailureAction": "enforce"}, None, "deny"),
            ({"validationFailureAction": "Audit"}, None, "admit"), ({"validationFailureAction": None}, None, "admit"),
            ({"validationFailureAction": "audit", "emitWarning": True}, None, "warn"),
            ({"validationFailureAction": "Audit"}, "Enforce", "deny"), ({}, "Audit", "admit"),
            ({"admission": False}, None, "admit"),
        ],
    )  # fmt: skip
    def test_actions(self, registry, good, spec, own, outcome):
        made = block(keys(good), **({"failureAction": own} if own else {}))
        policies = load(policy(made, spec=spec))
        assert decide(policies, registry, f"{TEAM}/unsigned:1.0").outcome == outcome
        assert decide(policies, registry, f"{TEAM}/signed:1.0").outcome == "admit"

    @pytest.mark.parametrize("order", [("Audit", "Enforce"), ("Enforce", "Audit")])
    def test_P06_each_block_has_its_own_action(self, registry, good, order):
        blocks = [block(keys(good), failureAction=each) for each in order]
        decision = decide(load(policy(*blocks)), registry, f"{TEAM}/unsigned:1.0")
        assert decision.outcome == "deny"
        assert [ruling.effect for ruling in decision.images[0].rulings] == [
            {"Audit": "audit", "Enforce": "deny"}[each] for each in order
        ]

    def test_overrides_for_namespaces(self, registry, good):
        overrides = [{"action": "audit", "namespaces": ["dev-*"]}, {"action": "enforce", "namespaces": ["dev-prod"]}]
        policies = load(policy(block(keys(good)), spec={"validationFailureActionOverrides": overrides}))
        for namespace, outcome in (("default", "deny"), ("dev-1", "admit"), ("dev-prod", "deny")):
            assert decide(policies, registry, f"{TEAM}/unsigned:1.0", namespace=namespace).outcome == outcome
        own = load(
            policy(block(keys(good), failureAction="Enforce"), spec={"validationFailureActionOverrides": overrides})
        )
        assert decide(own, registry, f"{TEAM}/unsigned:1.0", namespace="dev-1").outcome == "deny"
        for wrong in ([{"action": "audit"}], [{"namespaces": ["x"]}], [{"action": "off", "namespaces": ["x"]}]):
            with pytest.raises(PolicyInvalidError):
                load(policy(block(keys(good)), spec={"validationFailureActionOverrides": wrong}))

    def test_P09_an_override_by_labels_that_are_not_known_is_none(self, registry, good):
        overrides = [{"action": "audit", "namespaceSelector": {"matchLabels": {"env": "dev"}}}]
        policies = load(policy(block(keys(good)), spec={"validationFailureActionOverrides": overrides}))
        assert decide(policies, registry, f"{TEAM}/unsigned:1.0").outcome == "deny"
        assert decide(policies, registry, f"{TEAM}/unsigned:1.0", namespace_labels={"env": "dev"}).outcome == "admit"
        assert decide(policies, registry, f"{TEAM}/unsigned:1.0", namespace_labels={}).outcome == "deny"

    def test_digests_are_not_written_where_refusals_are_only_reported(self, registry, good):
        policies = load(policy(block(keys(good)), spec={"validationFailureAction": "Audit"}))
        assert not one(policies, registry, f"{TEAM}/signed:1.0").mutates
        assert one(load(policy(block(keys(good)))), registry, f"{TEAM}/signed:1.0").mutates
        assert not one(load(policy(block(keys(good), mutateDigest=False))), registry, f"{TEAM}/signed:1.0").mutates
        with pytest.raises(PolicyInvalidError) as caught:
            load(policy(block(keys(good), mutateDigest=True, failureAction="Audit")))
        assert caught.value.hint == "mutateDigest: false"

    def test_a_block_that_asks_nothing_says_so(self, registry):
        with pytest.raises(PolicyInvalidError) as caught:
            load(policy(block()))
        assert "nothing is asked" in caught.value.message
        policies = load(policy(block(required=False)))
        assert [note.code for note in policies.notes] == ["static-pass"]
        assert codes(one(policies, registry, f"{TEAM}/unsigned:1.0")) == ["accepted"]


class TestSkipping:
    """`skipImageReferences`."""

    def test_what_is_skipped_is_reported(self, registry, good):
        policies = load(policy(block(keys(good), skipImageReferences=["registry.example.com/team/un*"])))
        found = one(policies, registry, f"{TEAM}/unsigned:1.0")
        assert (codes(found), found.severity, found.mutates) == (["image-skipped"], "none", False)
        assert codes(one(policies, registry, f"{TEAM}/foreign:1.0")) == ["signature-key-mismatch"]

    def test_R01_a_tag_beside_a_digest_excuses_nothing(self, registry, good):
        policies = load(policy(block(keys(good), skipImageReferences=["registry.example.com/team/unsigned:dev"])))
        digest = registry.push(f"{TEAM}/unsigned", "dev")
        assert codes(one(policies, registry, f"{TEAM}/unsigned:dev")) == ["image-skipped"]
        assert codes(one(policies, registry, f"{TEAM}/unsigned:dev@{digest}")) == ["no-signature"]


def test_variables_of_a_config_map(registry, good):
    maps = {("default", "keys"): {"prod": pem(good), "images": "registry.example.com/*"}}
    made = policy(
        block({"keys": {"publicKeys": "{{ trusted.data.prod }}"}}, images=("{{ trusted.data.images }}",)),
        rule={"context": [{"name": "trusted", "configMap": {"name": "keys"}}]},
    )
    policies = load(made, references=References(maps=maps))
    assert codes(one(policies, registry, f"{TEAM}/signed:1.0")) == ["accepted"]
    assert codes(one(policies, registry, f"{TEAM}/foreign:1.0")) == ["signature-key-mismatch"]
    tenant = made | {"kind": "Policy", "metadata": {"name": "p", "namespace": "team"}}
    tenant["spec"]["rules"][0]["context"][0]["configMap"]["namespace"] = "default"
    with pytest.raises(PolicyInvalidError) as caught:
        load(tenant, references=References(maps=maps))
    assert "may not read the ConfigMap" in caught.value.message


class TestOtherRules:
    """Rules of other types."""

    def test_those_that_have_nothing_to_do_with_images_are_ignored(self, good):
        made = policy(block(keys(good)))
        made["spec"]["rules"].append(
            {
                "name": "labels",
                "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                "validate": {"message": "x", "pattern": {"metadata": {"labels": {"app": "?*"}}}},
            }
        )
        pulled = {"spec": {"containers": [{"imagePullPolicy": "Always"}], "imagePullSecrets": [{"name": "?*"}]}}
        made["spec"]["rules"].append(
            made["spec"]["rules"][1] | {"name": "pulled", "validate": {"message": "x", "pattern": pulled}}
        )
        policies = load(made)
        assert len(policies.rules) == 1
        assert "rule-ignored" in [note.code for note in policies.notes]

    @pytest.mark.parametrize(
        "rule",
        [
            {
                "mutate": {
                    "patchStrategicMerge": {"spec": {"containers": [{"(image)": "*", "imagePullPolicy": "Always"}]}}
                }
            },
            {"validate": {"pattern": {"spec": {"containers": [{"image": "!*:latest"}]}}}},
            {"validate": {"cel": {"expressions": [{"expression": "object.spec.containers.all(c, c.image != '')"}]}}},
            {"generate": {"data": {"image": "x"}}},
            {
                "validate": {
                    "deny": {"conditions": {"all": [{"key": "{{ them }}", "operator": "AnyIn", "value": ["x"]}]}}
                },
                "context": [{"name": "them", "variable": {"jmesPath": "request.object.spec.containers[].image"}}],
            },
        ],
    )
    def test_those_that_have_to_do_with_images_do_not_load(self, rule):
        with pytest.raises(PolicyUnsupportedError) as caught:
            load(policy(rule=rule))
        assert caught.value.code == "policy-unsupported"
        assert caught.value.hint


def test_entries_of_context_that_name_each_other_over_and_over_come_to_an_end(good):
    def made(entries):
        document = policy(block(keys(good), repository=f"registry.example.com/{{{{ e{entries} }}}}sigs"))
        context = [{"name": "e0", "variable": {"value": ""}}]
        for number in range(1, entries + 1):
            twice = 2 * f"{{{{ e{number - 1} }}}}"
            context.append({"name": f"e{number}", "variable": {"value": twice}})
        document["spec"]["rules"][0]["context"] = context
        return document

    load(made(6))
    with pytest.raises(PolicyInvalidError, match="more than 10000 times"):
        load(made(60))
