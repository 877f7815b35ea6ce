"""Kyverno's `kyverno-test.yaml` as a `Suite`. Strict: what is not evaluated here is an error, so that no test passes by it.

Older tests have no `apiVersion` and `kind`, `resource` for `resources`, and `status` for `result`.

Source: Kyverno, cmd/cli/kubectl-kyverno/apis/v1alpha1: test.go, values.go, user_info.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.gate.expectations import Expectation, Subject, Suite, beside, document
from sealgate.policy.fields import Fields
from sealgate.workloads.workload import User

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sealgate.workloads.workload import Operation

VERSION = "cli.kyverno.io/v1alpha1"
_PARTS = frozenset({"policies", "resources", "results"})
_RESULTS = ("pass", "fail", "skip", "warn", "error")
_AUTOGEN = ("autogen-cronjob-", "autogen-")
_OPERATION = "request.operation"
_UNSUPPORTED = {
    "targetResources": "policies that change other objects are not evaluated here",
    "paramResources": "parameters of admission policies are not evaluated here",
    "context": "a context of CEL policies is not evaluated here",
    "checks": "assertions on reports are not evaluated here",
    "patchedResource": "what mutation makes of an object is not compared here",
    "patchedResources": "what mutation makes of an object is not compared here",
    "generatedResource": "generation is not evaluated here",
    "cloneSourceResource": "generation is not evaluated here",
    "cloneTargetResource": "generation is not evaluated here",
}
_OTHER_KINDS = (
    "isValidatingAdmissionPolicy", "isMutatingAdmissionPolicy", "isMutatingPolicy", "isDeletingPolicy", "isGeneratingPolicy",
)  # fmt: skip


def is_one(found: object) -> bool:
    """Whether a document is such a test."""
    if not isinstance(found, dict):
        return False
    named = (found.get("apiVersion"), found.get("kind"))
    return named == (VERSION, "Test") or (named == (None, None) and found.keys() >= _PARTS)


def read(found: Mapping[str, object], path: str) -> Suite:
    """One `Test`. Raises `PolicyInvalidError`."""
    whole = Fields(found, path)
    whole.ignored("apiVersion", "kind")
    meta = whole.fields("metadata")
    name = (meta.text("name") if meta is not None else whole.text("name")) or path
    for field in ("targetResources", "paramResources", "context", "checks"):
        whole.unsupported(field, _UNSUPPORTED[field])
    policies = [*whole.texts("policies"), *whole.texts("exceptions")]
    resources = whole.texts("resources")
    if not policies or not resources:
        raise PolicyInvalidError(f"{path}: policies and resources name what is tested")
    variables, values, user = whole.text("variables"), whole.fields("values"), whole.text("userinfo")
    if variables is not None:
        if values is not None:
            raise PolicyInvalidError(f"{path} has variables and values: one of them")
        file = beside(path, variables)
        values = Fields(document(file), file)
        values.ignored("apiVersion", "kind", "metadata")
    namespaces, operations = _values(values) if values is not None else ({}, {})
    expectations = [one for each in whole.objects("results") for one in _expectations(each)]
    if not expectations:
        raise PolicyInvalidError(f"{whole.at('results')} is empty", hint="a test that expects nothing proves nothing")
    whole.end()
    return Suite(
        path, name, tuple(beside(path, each) for each in policies), tuple(beside(path, each) for each in resources), (),
        tuple(expectations), namespaces, _user(beside(path, user)) if user is not None else None, operations,
    )  # fmt: skip


def _expectations(fields: Fields) -> list[Expectation]:
    for name in (
        *(each for each in _UNSUPPORTED if each not in {"targetResources", "paramResources", "context", "checks"}),
    ):
        fields.unsupported(name, _UNSUPPORTED[name])
    for name in _OTHER_KINDS:
        if fields.flag(name, default=False):
            raise PolicyUnsupportedError(f"{fields.at(name)}: policies of this kind are not evaluated here")
    fields.flag("isImageValidatingPolicy", default=False)
    fields.flag("isValidatingPolicy", default=False)
    policy, rule = fields.required_text("policy"), fields.text("rule") or ""
    for prefix in _AUTOGEN:  # what Kyverno calls the rule where it holds for controllers
        rule = rule.removeprefix(prefix)
    result = fields.choice("result", *_RESULTS) or fields.choice("status", *_RESULTS)
    if result is None:
        fields.missing("result")
    kind, namespace = fields.text("kind") or "", fields.text("namespace") or ""
    single = fields.text("resource")
    names = [*fields.texts("resources"), *((single,) if single is not None else ())]
    subjects = [_subject(name, kind, namespace) for name in names]
    for each in fields.objects("resourceSpecs"):
        each.ignored("group", "version", "subresource")
        subjects.append(each.done(Subject(kind, each.text("namespace") or "", each.required_text("name"))))
    fields.end()
    if not subjects:
        subjects = [Subject(kind, namespace)]
    title = f"{policy}/{rule}" if rule else policy
    return [Expectation(title, subject, policy, rule, result) for subject in subjects]


def _subject(text: str, kind: str, namespace: str) -> Subject:
    """`name`, or `namespace/name`."""
    before, slash, name = text.rpartition("/")
    if slash and namespace and before != namespace:
        raise PolicyInvalidError(f"the resource {text!r} is of another namespace than the result says: {namespace!r}")
    return Subject(kind, before or namespace, name)


def _values(fields: Fields) -> tuple[dict[str, dict[str, str]], dict[str, Operation]]:
    """Labels of namespaces, and operations by object. Other values stand for what the engine itself knows."""
    operations: dict[str, Operation] = {}
    _take(fields.take("globalValues"), fields.at("globalValues"), "", operations)
    for policy in fields.objects("policies"):
        policy.required_text("name")
        for rule in policy.objects("rules"):
            rule.required_text("name")
            _take(rule.take("values"), rule.at("values"), "", operations)
            rule.end()
        for resource in policy.objects("resources"):
            name = resource.required_text("name")
            _take(resource.take("values"), resource.at("values"), name, operations)
            resource.end()
        policy.end()
    namespaces = {}
    for each in fields.objects("namespaceSelector"):
        name = each.required_text("name")
        namespaces[name] = dict(each.text_map("labels"))
        each.end()
    fields.unsupported("subresources", "subresources of other kinds are not evaluated here")
    fields.end()
    return namespaces, operations


def _take(value: object, where: str, name: str, operations: dict[str, Operation]) -> None:
    if value is None:
        return
    fields = Fields(value, where)
    operation = fields.choice(_OPERATION, "CREATE", "UPDATE", "DELETE", "CONNECT")
    others = fields.present() - {_OPERATION}
    if others:
        raise PolicyUnsupportedError(
            f"{where}: the value of {min(others)!r} cannot be given here: the policy gets what the object says",
            hint=f"{_OPERATION} alone is taken",
        )
    if operation is not None:
        found: dict[str, Operation] = {"CREATE": "CREATE", "UPDATE": "UPDATE", "DELETE": "DELETE", "CONNECT": "CONNECT"}
        operations[name] = found[operation]


def _user(path: str) -> User:
    whole = Fields(document(path), path)
    whole.ignored("apiVersion", "kind", "metadata")
    roles, cluster_roles = whole.texts("roles"), whole.texts("clusterRoles")
    info = whole.fields("userInfo")
    name, groups = "", tuple[str, ...]()
    if info is not None:
        name, groups = info.text("username") or "", info.texts("groups")
        info.ignored("uid", "extra")
        info.end()
    whole.end()
    return User(name, groups, roles, cluster_roles)
