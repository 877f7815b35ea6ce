"""The one flow that judges: what is asked, in which order, once, and what becomes of what nobody says anything about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.verdicts import Judge, accepted, attestor, refused, unknown
from sealgate.digest import Digest
from sealgate.errors import ImageNotFoundError, PolicyUndecidedError, UnreachableError
from sealgate.policy.evaluate import Placed, evaluate
from sealgate.policy.index import Index
from sealgate.policy.model import Count, Digests, Exemption, Listed, Override, Policies, Rule, Static
from sealgate.transport import driver
from sealgate.verification.deny import DenyList
from sealgate.workloads.workload import Workload

DIGEST = Digest.parse("sha256:" + "ab" * 32)
APP = "registry.example.com/shop/app:1.0"
NOW = 1_800_000_000.0


class Everything:
    def selects(self, workload):
        return True


class Namespace:
    def __init__(self, name):
        self.name = name

    def selects(self, workload):
        return workload.namespace == self.name


class Undecided:
    def selects(self, workload):
        raise PolicyUndecidedError("the labels of the namespace are not known")


def rule(name="a", *, images=("registry.example.com/*",), demand=None, **more):
    fields = {
        "kind": "ClusterPolicy",
        "dialect": "kyverno",
        "where": f"{name}.yaml",
        "namespace": None,
        "action": "enforce",
    }
    fields |= {"selector": Everything(), "images": images, "demand": demand or attestor(name)}
    return Rule(f"policy-{name}", name, **(fields | more))


def workload(namespace="default", **more):
    return Workload("", "v1", "Pod", "pods", namespace, "web", {}, {}, {"kind": "Pod"}, **more)


def decide(policies, judge, *images, namespace="default", now=NOW):
    placed = [Placed(image, f"containers[{number}].image", f"/spec/{number}") for number, image in enumerate(images)]
    index = Index(policies if isinstance(policies, Policies) else Policies(tuple(policies)))
    return driver.run(evaluate(index, workload(namespace), placed, judge, clock=lambda: now), sender=None)


def judge(**found):
    return Judge(DIGEST, {"a": accepted("a"), "b": accepted("b")} | found)


def codes(decision):
    return [[ruling.code for ruling in image.rulings] for image in decision.images]


def test_an_image_that_every_rule_about_it_accepts_is_admitted():
    asked = judge()
    found = decide([rule("a"), rule("b")], asked, APP)
    assert found.outcome == "admit"
    assert found.exit_code == 0
    assert found.images[0].digest == DIGEST
    assert found.images[0].verified
    assert found.images[0].mutates
    assert asked.resolved == [APP]
    assert asked.asked == [(APP, str(DIGEST), ("a", "b"), NOW)]


def test_one_rule_that_is_not_met_is_enough():
    found = decide([rule("a"), rule("b")], judge(b=refused()), APP)
    assert (found.outcome, found.exit_code, codes(found)) == ("deny", 16, [["accepted", "no-signature"]])
    assert not found.images[0].verified


def test_could_not_ask_is_another_exit_code_and_never_not_signed():
    found = decide([rule("a"), rule("b")], judge(b=unknown()), APP)
    assert (found.outcome, found.exit_code, codes(found)) == ("deny", 14, [["accepted", "registry-unreachable"]])
    mixed = decide([rule("a"), rule("b")], judge(a=refused(), b=unknown()), APP)
    assert (mixed.outcome, mixed.exit_code) == ("deny", 16)


def test_an_image_that_does_not_exist_is_refused_and_a_registry_that_is_down_is_unknown():
    gone = decide([rule("a")], Judge(DIGEST, {}, error=ImageNotFoundError("it does not exist")), APP)
    assert (gone.exit_code, codes(gone)) == (16, [["image-not-found"]])
    down = decide([rule("a")], Judge(DIGEST, {}, error=UnreachableError("down")), APP)
    assert (down.exit_code, codes(down)) == (14, [["registry-unreachable"]])


def test_R01_a_digest_that_is_given_is_judged_and_the_tag_beside_it_asked_for_nothing():
    asked = judge()
    found = decide([rule("a")], asked, f"{APP}@{DIGEST}")
    assert found.outcome == "admit"
    assert asked.resolved == []
    assert asked.asked[0][1] == str(DIGEST)


def test_an_image_that_static_rules_admit_by_digest_must_exist():
    static = rule("a", demand=Static(passes=True, message="", where=""))
    there = judge()
    assert decide([static], there, f"{APP}@{DIGEST}").outcome == "admit"
    assert len(there.resolved) == 1
    gone = Judge(DIGEST, {}, error=ImageNotFoundError("it does not exist"))
    assert codes(decide([static], gone, f"{APP}@{DIGEST}")) == [["image-not-found"]]


def test_a_name_that_is_none_is_refused():
    asked = judge()
    found = decide([rule("a")], asked, "Registry.example.com/UPPER:1", APP)
    assert codes(found) == [["reference-invalid"], ["accepted"]]
    assert (found.outcome, found.exit_code) == ("deny", 16)
    assert len(asked.resolved) == 1


def test_an_empty_set_of_policies_denies():
    asked = judge()
    found = decide([], asked, APP)
    assert (found.outcome, found.exit_code, codes(found)) == ("deny", 16, [["no-policies"]])
    assert asked.resolved == []


@pytest.mark.parametrize(
    ("dialect", "no_match", "outcome"),
    [
        ("kyverno", None, "admit"), ("sigstore", None, "deny"), ("containers", None, "deny"), ("sealgate", None, "deny"),
        ("kyverno", "deny", "deny"), ("kyverno", "warn", "warn"), ("sigstore", "allow", "admit"), ("sigstore", "warn", "warn"),
    ],
)  # fmt: skip
def test_P15_what_nothing_is_about_is_the_dialects_to_decide_unless_the_operator_does(dialect, no_match, outcome):
    asked = judge()
    images = ("registry.example.com/**",) if dialect == "sealgate" else ("registry.example.com/*",)
    if dialect == "containers":
        images = ("registry.example.com",)
    policies = Policies((rule("a", dialect=dialect, images=images),), no_match=no_match)
    found = decide(policies, asked, "other.example.com/app:1")
    assert (found.outcome, codes(found)) == (outcome, [["image-unmatched"]])
    assert asked.resolved == []
    assert not found.images[0].verified
    assert not found.images[0].mutates
    known = decide(policies, asked, "registry.example.com/app:1")
    assert (known.outcome, codes(known)) == ("admit", [["accepted"]])


def test_every_dialect_has_its_say_about_what_it_does_not_match():
    both = [rule("a", images=("a.example.com/*",)), rule("b", dialect="sigstore", images=("b.example.com/**",))]
    assert decide(both, judge(), "b.example.com/x:1").outcome == "admit"
    found = decide(both, judge(), "a.example.com/x:1")
    assert (found.outcome, sorted(codes(found)[0])) == ("deny", ["accepted", "image-unmatched"])


@pytest.mark.parametrize(("action", "outcome"), [("enforce", "deny"), ("warn", "warn"), ("audit", "admit")])
def test_what_a_refusal_does(action, outcome):
    found = decide([rule("a", action=action)], judge(a=refused()), APP)
    assert found.outcome == outcome
    assert found.images[0].rulings[0].outcome == "refused"
    assert not found.images[0].verified


def test_P06_the_stricter_of_several_overrides_holds():
    overrides = (Override("audit", Everything()), Override("enforce", Namespace("prod")))
    each = rule("a", action="warn", overrides=overrides)
    assert decide([each], judge(a=refused()), APP, namespace="prod").outcome == "deny"
    assert decide([each], judge(a=refused()), APP, namespace="dev").outcome == "admit"
    unsure = rule("a", action="audit", overrides=(Override("audit", Undecided()),))
    assert decide([unsure], judge(a=refused()), APP).outcome == "deny"


def test_P09_what_cannot_be_decided_is_refused():
    found = decide([rule("a", selector=Undecided())], judge(), APP)
    assert (found.outcome, found.exit_code, codes(found)) == ("deny", 14, [["policy-undecided"]])


def test_P23_a_policy_of_a_namespace_is_about_that_namespace():
    own = rule("a", namespace="team-a")
    assert codes(decide([own], judge(a=refused()), APP, namespace="team-a")) == [["no-signature"]]
    assert codes(decide([own], judge(a=refused()), APP, namespace="team-b")) == [["image-unmatched"]]


@pytest.mark.parametrize("dialect", ["sealgate", "sigstore"])
def test_P23_a_policy_of_a_namespace_does_not_shut_other_namespaces_out(dialect):
    """What it does not match is denied where it is in force, and not where policies of Kyverno alone are."""
    rules = [
        rule("a", images=("a.example.com/*",)),
        rule("b", dialect=dialect, images=("b.example.com/**",), namespace="team-b"),
    ]
    image = "other.example.com/x:1"
    assert decide(rules, judge(), image, namespace="team-b").outcome == "deny"
    found = decide(rules, judge(), image, namespace="team-a")
    assert (found.outcome, codes(found)) == ("admit", [["image-unmatched"]])
    assert decide([rules[0], rules[1]._replace(namespace=None)], judge(), image, namespace="team-a").outcome == "deny"
    assert decide([rules[1]], judge(), image, namespace="team-a").outcome == "deny"  # and it opens none either


def test_an_image_that_a_policy_skips_is_told():
    found = decide([rule("a", skip=("registry.example.com/shop/*",))], judge(a=refused()), APP)
    assert (found.outcome, codes(found)) == ("admit", [["image-skipped"]])
    assert not found.images[0].verified
    other = decide([rule("a", skip=("registry.example.com/base/*",))], judge(a=refused()), APP)
    assert codes(other) == [["no-signature"]]


def exemption(**more):
    fields = {
        "name": "team/late",
        "rules": (("policy-a", "*"),),
        "selector": Everything(),
        "images": (),
        "expires": None,
    }
    return Exemption(**(fields | more))


@pytest.mark.parametrize(
    ("each", "admitted"),
    [
        (exemption(), True), (exemption(rules=(("policy-b", "*"),)), False), (exemption(rules=(("policy-a", "x"),)), False),
        (exemption(expires=NOW), False), (exemption(expires=NOW + 1), True), (exemption(selector=Namespace("x")), False),
        (exemption(images=("registry.example.com/shop/*",)), True), (exemption(images=("registry.example.com/base/*",)), False),
    ],
)  # fmt: skip
def test_P08_an_exception_holds_for_what_it_names_and_while_it_lasts(each, admitted):
    asked = judge(a=refused())
    found = decide(Policies((rule("a"),), (each,)), asked, APP)
    assert found.outcome == ("admit" if admitted else "deny")
    assert codes(found) == [["image-exempted" if admitted else "no-signature"]]
    assert not found.images[0].verified


def test_P08_an_exception_from_one_rule_is_none_from_another():
    found = decide(Policies((rule("a"), rule("b")), (exemption(),)), judge(a=refused(), b=refused()), APP)
    assert codes(found) == [["image-exempted", "no-signature"]]


def test_P08_an_exception_is_from_no_policy_of_another_dialect_that_is_called_alike():
    ours = Rule(
        "policy-a", "", "ClusterImagePolicy", "sealgate", "", None, "enforce", Everything(), ("**",), attestor("b")
    )
    titled = ours._replace(policy="policy-a/a", demand=attestor("c"))
    verdicts = judge(a=refused(), b=refused(), c=refused())
    for each, found in (
        (exemption(), [["image-exempted", "no-signature", "no-signature"]]),
        (exemption(dialect="sealgate"), [["image-exempted", "no-signature", "no-signature"]]),
        (exemption(everywhere=True), [["image-exempted", "image-exempted", "no-signature"]]),
    ):
        assert codes(decide(Policies((rule("a"), ours, titled), (each,)), verdicts, APP)) == found


def test_a_registry_that_a_policy_forbids_is_asked_for_nothing():
    asked = judge()
    forbidden = rule("f", demand=Static(passes=False, message="not this registry", where=""))
    found = decide([rule("a"), forbidden], asked, APP)
    assert (found.outcome, codes(found)) == ("deny", [["static-refusal"]])
    assert asked.resolved == []
    assert asked.asked == []


ELSEWHERE = Listed(True, ("other.example.com/**",), (), "not from here", "registries")
FORBIDDEN = Listed(False, ("registry.example.com/shop/**",), (), "withdrawn", "deny")


@pytest.mark.parametrize(
    ("demand", "found"),
    [
        (ELSEWHERE, "image-not-listed"), (Count(2, (attestor("a"), ELSEWHERE)), "image-not-listed"),
        (FORBIDDEN, "image-denied"), (Count(2, (FORBIDDEN, attestor("a"))), "image-denied"),
        (Count(1, (ELSEWHERE, Static(passes=False, message="no", where=""))), "image-not-listed"),
    ],
)  # fmt: skip
def test_a_list_that_a_name_is_not_on_asks_its_registry_for_nothing(demand, found):
    asked = Judge(DIGEST, {}, error=UnreachableError("down"))
    decision = decide([rule("f", demand=demand)], asked, APP)
    assert (decision.exit_code, codes(decision), asked.resolved, asked.asked) == (16, [[found]], [], [])


@pytest.mark.parametrize(
    "demand",
    [
        Count(1, (attestor("a"), ELSEWHERE)),
        ELSEWHERE._replace(digests=(str(DIGEST),)),
        FORBIDDEN._replace(patterns=("other.example.com/**",)),
        Count(1, (attestor("a"), Static(passes=False, message="no", where=""))),
    ],
)
def test_what_a_name_alone_does_not_decide_is_asked(demand):
    assert codes(decide([rule("f", demand=demand)], judge(), APP)) == [["accepted"]]


def test_a_digest_that_is_written_is_known_without_asking():
    listed = ELSEWHERE._replace(digests=("sha256:" + "cd" * 32,))
    asked = judge()
    assert codes(decide([rule("f", demand=listed)], asked, f"{APP}@{DIGEST}")) == [["image-not-listed"]]
    assert asked.resolved == []


@pytest.mark.parametrize("action", ["audit", "warn"])
def test_a_rule_that_only_reports_asks_for_nothing_either_and_the_others_ask(action):
    forbidden = rule("f", demand=ELSEWHERE, action=action)
    asked = judge()
    found = decide([forbidden], asked, APP)
    assert (codes(found), found.exit_code, asked.resolved) == ([["image-not-listed"]], 0, [])
    both = decide([forbidden, rule("a")], asked, APP)
    assert (codes(both), both.images[0].digest) == ([["image-not-listed", "accepted"]], DIGEST)
    denied = Policies((forbidden,), deny=DenyList(digests=((DIGEST, "withdrawn"),)))
    assert codes(decide(denied, judge(), APP)) == [["image-not-listed", "denied-digest"]]


def test_only_the_most_specific_rules_of_a_dialect_count():
    wide = rule("a", dialect="containers", images=("registry.example.com",), specificity=1)
    narrow = rule("b", dialect="containers", images=("registry.example.com/shop/app",), specificity=5)
    assert codes(decide([wide, narrow], judge(a=refused()), APP)) == [["accepted"]]
    assert codes(decide([wide, narrow], judge(a=refused()), "registry.example.com/x:1")) == [["no-signature"]]


def test_nothing_is_written_where_a_rule_does_not_want_it():
    found = decide([rule("a", digests=Digests(mutate=False))], judge(), APP)
    assert found.images[0].verified
    assert not found.images[0].mutates


def test_E04_a_decision_has_no_truth_value():
    with pytest.raises(TypeError):
        bool(decide([rule("a")], judge(), APP))


def test_a_workload_without_images_is_admitted_and_without_rulings_nothing_is():
    assert decide([rule("a")], judge()).outcome == "admit"


states = st.sampled_from(["accepted", "refused", "unknown"])


@given(st.dictionaries(st.sampled_from("ab"), states, min_size=2, max_size=2), st.integers(1, 2), st.booleans())
def test_P01_P02_what_is_admitted_by_enforcing_rules_was_verified(found, needed, split):
    made = {
        name: {"accepted": accepted(name), "refused": refused(), "unknown": unknown()}[each]
        for name, each in found.items()
    }
    rules = [rule("a"), rule("b")] if split else [rule("a", demand=Count(needed, (attestor("a"), attestor("b"))))]
    asked = Judge(DIGEST, made)
    decision = decide(rules, asked, APP)
    if decision.outcome == "admit":
        assert asked.asked
        assert decision.images[0].verified
        good = [name for name, each in found.items() if each == "accepted"]
        assert len(good) >= (2 if split else needed)
    else:
        assert decision.exit_code in {14, 16}


@pytest.mark.parametrize(
    "policies",
    [
        [rule("a")],
        [rule("a", demand=Static(True, "", ""))],
        [rule("a", skip=("registry.example.com/*",))],
        Policies((rule("a"),), (Exemption("for-now", (("*", "*"),), Everything(), (), None),)),
    ],
    ids=["verified", "static", "skipped", "exempted"],
)
def test_a_denied_digest_is_refused_whatever_else_holds(policies):
    policies = policies if isinstance(policies, Policies) else Policies(tuple(policies))
    denied = policies._replace(deny=DenyList(digests=((DIGEST, "recalled"),)))
    assert decide(policies, judge(), APP).outcome == "admit"
    found = decide(denied, judge(), APP)
    assert (found.outcome, found.exit_code) == ("deny", 16)
    assert "denied-digest" in codes(found)[0]
    other = policies._replace(deny=DenyList(digests=((Digest.parse("sha256:" + "cd" * 32), "recalled"),)))
    assert decide(other, judge(), APP).outcome == "admit"


def test_a_denied_digest_that_no_policy_is_about_is_refused_by_its_name():
    policies = Policies((rule("a"),), deny=DenyList(digests=((DIGEST, "recalled"),)))
    asked = judge()
    assert decide(policies, asked, f"other.example.com/x@{DIGEST}").outcome == "deny"
    assert decide(policies, asked, "other.example.com/x:1").outcome == "admit"  # nobody is asked
