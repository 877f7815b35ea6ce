"""Which objects Kyverno's rules are about: match, exclude, preconditions, autogen."""

import pytest

from policy.kyverno.scene import block, keys, policy
from policy.scene import codes, decide, load, one
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.workloads.workload import User

IMAGE = "registry.example.com/team/unsigned:1.0"
ABOUT, NOT_ABOUT, UNDECIDED = ["no-signature"], ["image-unmatched"], ["policy-undecided"]


def matching(good, match, **rule):
    return load(policy(block(keys(good)), rule={"match": match} | rule))


def resources(**fields):
    return {"any": [{"resources": {"kinds": ["Pod"]} | fields}]}


@pytest.mark.parametrize(
    ("kinds", "about", "not_about"),
    [
        (["Pod"], ["Pod", "Deployment", "CronJob", "Job"], ["Rollout"]), (["v1/Pod"], ["Pod"], ["Rollout"]),
        (["*/Pod"], ["Pod"], ["Rollout"]), (["Deployment"], ["Deployment"], ["Pod", "Job"]),
        (["apps/v1/Deployment"], ["Deployment"], ["Pod"]), (["apps/*/Deployment"], ["Deployment"], ["Pod"]),
        (["batch/v1/Deployment"], [], ["Deployment"]), (["*"], ["Pod", "Rollout", "Job"], []), (["*/*"], ["Pod", "Rollout"], []),
        (["*Set"], ["DaemonSet", "StatefulSet"], ["Pod", "Job"]), (["Pod", "Deployment"], ["Pod", "Deployment"], ["Job", "StatefulSet"]),
        (["argoproj.io/v1alpha1/Rollout"], ["Rollout"], ["Pod"]),
    ],
)  # fmt: skip
def test_kinds(registry, good, kinds, about, not_about):
    policies = matching(good, {"any": [{"resources": {"kinds": kinds}}]})
    for kind in (*about, *not_about):
        gvr = ("argoproj.io", "v1alpha1", "rollouts") if kind == "Rollout" else None
        found = one(policies, registry, IMAGE, kind=kind, **({"gvr": gvr} if gvr else {}))
        assert codes(found) == (ABOUT if kind in about else NOT_ABOUT)


@pytest.mark.parametrize("kind", ["", "a/b/c/d/e", "/Pod", "Pod/", "apps//Pod"])
def test_kinds_that_are_none(good, kind):
    with pytest.raises(PolicyInvalidError):
        matching(good, {"any": [{"resources": {"kinds": [kind]}}]})


def test_K01_pods_are_their_subresources_too(registry, good):
    for kinds in (["Pod"], ["Pod/ephemeralcontainers"], ["Pod.ephemeralcontainers"], ["v1/Pod/ephemeralcontainers"]):
        policies = matching(good, {"any": [{"resources": {"kinds": kinds}}]})
        assert codes(one(policies, registry, IMAGE, subresource="ephemeralcontainers", operation="UPDATE")) == ABOUT
    only = matching(good, {"any": [{"resources": {"kinds": ["Pod/ephemeralcontainers"]}}]})
    assert codes(one(only, registry, IMAGE)) == NOT_ABOUT


def test_P17_a_kind_of_another_group_is_no_controller(registry, good):
    policies = matching(good, resources())
    assert codes(one(policies, registry, IMAGE, kind="Deployment")) == ABOUT
    assert (
        codes(one(policies, registry, IMAGE, kind="Deployment", gvr=("evil.example.com", "v1", "deployments")))
        == NOT_ABOUT
    )


@pytest.mark.parametrize(
    ("fields", "about", "not_about"),
    [
        ({"name": "web"}, {}, {"name": "db"}), ({"names": ["x", "w*"]}, {}, {"name": "db"}),
        ({"namespaces": ["prod-*"]}, {"namespace": "prod-1"}, {"namespace": "dev"}),
        ({"annotations": {"team": "*"}}, {"annotations": {"team": "x"}}, {}),
        ({"annotations": {"te?m/*": "a*"}}, {"annotations": {"team/x": "ab"}}, {"annotations": {"team/x": "b"}}),
        ({"operations": ["CREATE"]}, {}, {"operation": "UPDATE"}),
        ({"selector": {"matchLabels": {"app": "w*"}}}, {"labels": {"app": "web"}}, {"labels": {"app": "db"}}),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}}, {"labels": {"app": "web"}}, {}),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}}, {}, {"labels": {"app": "web"}}),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}, {"labels": {"app": ""}}, {}),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}}, {}, {"labels": {"app": ""}}),
        ({"namespaceSelector": {"matchLabels": {"env": "prod"}}}, {"namespace_labels": {"env": "prod"}}, {"namespace_labels": {}}),
    ],
)  # fmt: skip
def test_resources(registry, good, fields, about, not_about):
    match, exclude = matching(good, resources(**fields)), matching(good, resources(), exclude=resources(**fields))
    for policies, expected in ((match, (ABOUT, NOT_ABOUT)), (exclude, (NOT_ABOUT, ABOUT))):
        assert codes(one(policies, registry, IMAGE, **about)) == expected[0]
        assert codes(one(policies, registry, IMAGE, **not_about)) == expected[1]


class TestUnknown:
    """P09: what decides is not known."""

    @pytest.mark.parametrize(
        "filter_",
        [
            {"resources": {"kinds": ["Pod"], "namespaceSelector": {"matchLabels": {"env": "prod"}}}},
            {"resources": {"kinds": ["Pod"]}, "roles": ["x:y"]}, {"resources": {"kinds": ["Pod"]}, "clusterRoles": ["admin"]},
            {"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "User", "name": "x"}]},
        ],
    )  # fmt: skip
    def test_P09_it_is_refused(self, registry, good, filter_):
        assert codes(one(matching(good, {"any": [filter_]}), registry, IMAGE)) == UNDECIDED
        assert codes(one(matching(good, resources(), exclude={"any": [filter_]}), registry, IMAGE)) == UNDECIDED
        assert decide(matching(good, {"any": [filter_]}), registry, IMAGE).outcome == "deny"

    def test_P09_unless_the_rest_decides(self, registry, good):
        unknown = {"resources": {"kinds": ["Pod"]}, "roles": ["x:y"]}
        assert (
            codes(one(matching(good, {"any": [unknown, {"resources": {"kinds": ["Pod"]}}]}), registry, IMAGE)) == ABOUT
        )
        other = {"resources": {"kinds": ["Pod"], "namespaces": ["other"]}, "roles": ["x:y"]}
        assert codes(one(matching(good, {"any": [other]}), registry, IMAGE)) == NOT_ABOUT
        assert codes(one(matching(good, resources(), exclude={"all": [other]}), registry, IMAGE)) == ABOUT

    def test_a_precondition_on_who_asks(self, registry, good):
        asked = {"all": [{"key": "{{ request.userInfo.username }}", "operator": "NotEquals", "value": "robot"}]}
        policies = matching(good, resources(), preconditions=asked)
        assert codes(one(policies, registry, IMAGE)) == UNDECIDED
        assert codes(one(policies, registry, IMAGE, user=User("alice"))) == ABOUT
        assert codes(one(policies, registry, IMAGE, user=User("robot"))) == NOT_ABOUT


ALICE = User("alice", ("dev", "system:authenticated"), ("default:edit",), ("view",))
ROBOT = User("system:serviceaccount:ci:robot", ("system:serviceaccounts",))


@pytest.mark.parametrize(
    ("who", "alice", "robot"),
    [
        ({"roles": ["default:e*"]}, True, False), ({"clusterRoles": ["view"]}, True, False), ({"clusterRoles": ["admin"]}, False, False),
        ({"subjects": [{"kind": "User", "name": "al*"}]}, True, False), ({"subjects": [{"kind": "Group", "name": "dev"}]}, True, False),
        ({"subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "ci"}]}, False, True),
        ({"subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "other"}]}, False, False),
        ({"roles": ["default:edit"], "clusterRoles": ["admin"]}, False, False),
    ],
)  # fmt: skip
def test_who_asks(registry, good, who, alice, robot):
    policies = matching(good, {"any": [{"resources": {"kinds": ["Pod"]}} | who]})
    assert codes(one(policies, registry, IMAGE, user=ALICE)) == (ABOUT if alice else NOT_ABOUT)
    assert codes(one(policies, registry, IMAGE, user=ROBOT)) == (ABOUT if robot else NOT_ABOUT)


def test_any_all_and_the_older_form(registry, good):
    pods, prod = {"resources": {"kinds": ["Pod"]}}, {"resources": {"namespaces": ["prod"]}}
    both = matching(good, {"all": [pods, prod]})
    assert codes(one(both, registry, IMAGE, namespace="prod")) == ABOUT
    assert codes(one(both, registry, IMAGE)) == NOT_ABOUT
    older = matching(good, {"resources": {"kinds": ["Pod"], "namespaces": ["prod"]}, "clusterRoles": ["view"]})
    assert codes(one(older, registry, IMAGE, namespace="prod", user=ALICE)) == ABOUT
    assert codes(one(older, registry, IMAGE, namespace="prod", user=ROBOT)) == NOT_ABOUT
    for wrong in ({"any": [pods], "all": [pods]}, {"any": [prod]}, {"all": [prod]}, {"any": [pods], "resources": {}}):
        with pytest.raises(PolicyInvalidError):
            matching(good, wrong)


class TestAutogen:
    """Rules for Pods hold for what makes Pods."""

    @pytest.mark.parametrize(
        ("fields", "about"),
        [({}, True), ({"namespaces": ["default"]}, True), ({"name": "web"}, False), ({"names": ["web"]}, False),
         ({"selector": {"matchLabels": {}}}, False), ({"annotations": {"a": "b"}}, False)],
    )  # fmt: skip
    def test_when(self, registry, good, fields, about):
        policies = matching(good, resources(**fields))
        assert codes(one(policies, registry, IMAGE, kind="Deployment")) == (ABOUT if about else NOT_ABOUT)

    @pytest.mark.parametrize(
        ("value", "about"), [("none", []), ("Deployment, CronJob", ["Deployment", "CronJob"]), ("Job", ["Job"])]
    )
    def test_the_annotation(self, registry, good, value, about):
        metadata = {"name": "check", "annotations": {"pod-policies.kyverno.io/autogen-controllers": value}}
        policies = load(policy(block(keys(good)), metadata=metadata))
        for kind in ("Deployment", "CronJob", "Job"):
            assert codes(one(policies, registry, IMAGE, kind=kind)) == (ABOUT if kind in about else NOT_ABOUT)
        assert codes(one(policies, registry, IMAGE)) == ABOUT

    def test_an_annotation_that_names_nothing(self, good):
        metadata = {"name": "check", "annotations": {"pod-policies.kyverno.io/autogen-controllers": "Rollout"}}
        with pytest.raises(PolicyInvalidError):
            load(policy(block(keys(good)), metadata=metadata))

    @pytest.mark.parametrize("kind", ["Pod", "Deployment", "CronJob"])
    def test_preconditions_see_the_pod(self, registry, good, kind):
        asked = {
            "all": [{"key": "{{ request.object.spec.hostNetwork || `false` }}", "operator": "Equals", "value": True}]
        }
        policies = matching(good, resources(), preconditions=asked)
        assert codes(one(policies, registry, IMAGE, kind=kind, spec={"hostNetwork": True})) == ABOUT
        assert codes(one(policies, registry, IMAGE, kind=kind)) == NOT_ABOUT


@pytest.mark.parametrize("kind", ["Compose", "Dockerfile"])
def test_files_that_are_no_objects_are_held_to_the_rules_for_pods(registry, good, kind):
    file = {"kind": kind, "gvr": ("", "", ""), "namespace": "", "document": {}}
    assert codes(one(matching(good, resources()), registry, IMAGE, **file)) == ABOUT
    deployments = matching(good, {"any": [{"resources": {"kinds": ["Deployment"]}}]})
    assert codes(one(deployments, registry, IMAGE, **file)) == NOT_ABOUT


class TestPreconditions:
    """Preconditions see the object."""

    @pytest.mark.parametrize(
        ("key", "operator", "value", "about"),
        [
            ("{{ request.operation }}", "AnyIn", ["CREATE", "UPDATE"], True), ("{{ request.operation }}", "Equals", "DELETE", False),
            ("{{ request.namespace }}", "NotEquals", "kube-system", True), ("{{ request.object.metadata.name }}", "Equals", "w?b", True),
            ("{{ images.containers.*.registry }}", "AnyIn", ["registry.example.com"], True),
            ("{{ images.containers.c0.tag }}", "Equals", "1.0", True), ("{{ images.containers.*.path }}", "AllNotIn", ["team/*"], False),
            ("{{ request.object.metadata.labels.missing }}", "Equals", "", True), ("{{ request.object.spec.replicas || `1` }}", "GreaterThan", 3, False),
            ("{{ length(request.object.spec.containers) }}", "Equals", 1, True),
            ("{{ request.object.metadata.annotations.\"a/b\" || '' }}", "NotEquals", "skip", True),
        ],
    )  # fmt: skip
    def test_preconditions(self, registry, good, key, operator, value, about):
        condition = {"key": key, "operator": operator, "value": value}
        for blocks in ({"all": [condition]}, {"any": [condition]}, [condition]):
            policies = matching(good, resources(), preconditions=blocks)
            assert codes(one(policies, registry, IMAGE)) == (ABOUT if about else NOT_ABOUT)

    @pytest.mark.parametrize("key", ["{{ request.object.spec.missing }}", "{{ request.object.spec }}"])
    def test_P09_no_answer_is_a_refusal(self, registry, good, key):
        policies = matching(good, resources(), preconditions=[{"key": key, "operator": "GreaterThan", "value": 3}])
        assert codes(one(policies, registry, IMAGE)) == UNDECIDED

    def test_what_the_time_decides_does_not_load(self, good):
        with pytest.raises(PolicyUnsupportedError):
            matching(
                good, resources(), preconditions=[{"key": "{{ time_now_utc() }}", "operator": "Equals", "value": "x"}]
            )

    def test_what_an_object_says_is_no_expression(self, registry, good):
        asked = [
            {
                "key": "a{{ request.object.metadata.labels.x }}",
                "operator": "Equals",
                "value": "a{{ request.namespace }}",
            }
        ]
        policies = matching(good, resources(), preconditions=asked)
        found = {"document": {"metadata": {"labels": {"x": "{{ request.namespace }}"}}, "spec": {"containers": []}}}
        assert codes(one(policies, registry, IMAGE, **found)) == NOT_ABOUT
        found["document"]["metadata"]["labels"]["x"] = "default"
        assert codes(one(policies, registry, IMAGE, **found)) == ABOUT
