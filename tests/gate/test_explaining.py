"""What is told of rules is what decides: `consider` says of random policies what `Index.matching` says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.verdicts import Judge, accepted, attestor
from sealgate.digest import Digest
from sealgate.errors import PolicyUndecidedError
from sealgate.gate.explaining import consider
from sealgate.oci.reference import parse
from sealgate.policy.evaluate import Placed, evaluate
from sealgate.policy.index import Asked, Index
from sealgate.policy.mirrors import Mirror
from sealgate.policy.model import Exemption, Policies, Rule
from sealgate.transport import driver
from sealgate.workloads.workload import Workload

NOW = 1_800_000_000.0
HOSTS = ("registry.example.com", "evil.example.com", "docker.io", "localhost:5000")
PATTERNS = {
    "kyverno": ["*", "*/*", "nginx", "nginx:*", "registry.example.com/*", "registry.example.com/a/*:1.0", "docker.io/*", "*.example.com/a/b", "localhost:5000/a?"],
    "sigstore": ["**", "*", "registry.example.com/**", "registry.example.com/*", "registry.example.com/a/b:1.0", "docker.io/library/*", "localhost:5000/**"],
    "containers": ["*", "registry.example.com", "registry.example.com/a", "*.example.com", "docker.io/library/nginx", "localhost:5000/a/b:1.0"],
    "sealgate": ["registry.example.com/**", "registry.example.com/a/*", "*.example.com/**", "docker.io/library/nginx", "registry.example.com/a/b:1.0"],
}  # fmt: skip


class Says:
    """A `Selector` that always says the same, or cannot say."""

    def __init__(self, answer):
        self.answer = answer

    def selects(self, workload):
        if self.answer is None:
            raise PolicyUndecidedError("the labels of the namespace are not known")
        return self.answer


ANSWERS = st.sampled_from([True, True, True, True, False, None])


@st.composite
def rules(draw):
    dialect = draw(st.sampled_from(sorted(PATTERNS)))
    some = st.lists(st.sampled_from(PATTERNS[dialect]), max_size=2)
    return Rule(
        draw(st.sampled_from(["a", "b"])), draw(st.sampled_from(["", "x"])), "Kind", dialect, "", draw(st.sampled_from([None, None, "default", "other"])),
        "enforce", Says(draw(ANSWERS)), tuple(draw(some)) or (PATTERNS[dialect][0],), attestor("a"), skip=tuple(draw(some)),
        specificity=draw(st.integers(0, 2)) if dialect == "containers" else 0,
    )  # fmt: skip


@st.composite
def exemptions(draw):
    dialect = draw(st.sampled_from(["kyverno", "sealgate"]))
    return Exemption(
        "late", ((draw(st.sampled_from(["*", "a"])), "*"),), Says(draw(ANSWERS)), tuple(draw(st.lists(st.sampled_from(PATTERNS[dialect]), max_size=1))),
        draw(st.sampled_from([None, NOW, NOW + 1])), dialect=dialect, everywhere=draw(st.booleans()),
    )  # fmt: skip


REFERENCES = st.builds(
    lambda host, path, end: parse(f"{host}/{path}{end}"), st.sampled_from(HOSTS), st.sampled_from(["a/b", "a", "nginx", "library/nginx", "a/b/c"]),
    st.sampled_from(["", ":1.0", "@sha256:" + "ab" * 32, ":1.0@sha256:" + "ab" * 32]),
)  # fmt: skip
POD = Workload("", "v1", "Pod", "pods", "default", "web", {}, {}, {"kind": "Pod"})


@given(st.lists(rules(), min_size=1, max_size=6), st.lists(exemptions(), max_size=2), REFERENCES)
def test_what_is_told_is_what_decides(found, excepted, reference):
    index = Index(Policies(tuple(found), tuple(excepted)))
    told = consider(index, reference, POD, now=NOW)
    assert [each.rule for each in told] == found
    states = {}
    for each in told:
        states.setdefault(each.state, []).append(each.rule)
    if any(each.state == "undecided" for each in told):
        with pytest.raises(PolicyUndecidedError):
            rules_, _ = index.matching(reference, POD)
            about = Asked(POD)
            for rule in rules_:
                index.exemption(rule, reference, about, NOW)
        return
    rules_, skipped = index.matching(reference, POD)
    about = Asked(POD)
    held = [rule for rule in rules_ if index.exemption(rule, reference, about, NOW) is not None]

    def ids(some):
        return sorted(map(id, some))

    assert ids(skipped) == ids(states.get("skipped", []))
    assert ids(held) == ids(states.get("exempted", []))
    assert ids(rules_) == ids([*states.get("asked", []), *states.get("exempted", [])])
    assert set(states) <= {"asked", "exempted", "skipped", "narrower", "image", "namespace", "workload"}


def test_an_image_at_a_mirror_is_told_of_under_both_of_its_names():
    def rule(name, image, **more):
        return Rule(
            name, "", "ClusterImagePolicy", "sealgate", "", None, "enforce", Says(True), (image,), attestor("a"), **more
        )

    found = (
        rule("origin", "registry.example.com/**"), rule("mirror", "mirror.example.com/**", skip=("mirror.example.com/a/*",)),
        rule("other", "other.example.com/**"), rule("either", "*.example.com/**", skip=("mirror.example.com/**",)),
    )  # fmt: skip
    index = Index(Policies(found, mirrors=(Mirror("mirror.example.com", "registry.example.com"),)))
    told = consider(index, parse("mirror.example.com/a/b:1.0"), POD, now=NOW)
    assert [each.state for each in told] == ["asked", "skipped", "image", "asked"]
    judge = Judge(Digest.parse("sha256:" + "ab" * 32), {"a": accepted("a")})
    placed = [Placed("mirror.example.com/a/b:1.0", "containers[0].image")]
    decision = driver.run(evaluate(index, POD, placed, judge, clock=lambda: NOW), sender=None)
    assert {each.rule: each.outcome for each in decision.images[0].rulings} == {
        "origin": "accepted", "mirror": "skipped", "either": "accepted",
    }  # fmt: skip
