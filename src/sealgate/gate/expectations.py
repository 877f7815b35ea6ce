"""Tests of policies: objects and images, what is expected of them, and whether it came so.

The engine is the gate's own (X09: who tests by another engine tests something else). Where images are is the caller's to say:
layouts, so that a test needs no registry, or registries.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.errors import LimitError, NotFoundError, PolicyInvalidError, UsageError, WorkloadInvalidError
from sealgate.gate import gating, manifests, policies
from sealgate.policy.evaluate import ALLOWED
from sealgate.policy.index import Index
from sealgate.workloads import yamldocs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sealgate.gate.gating import Gated
    from sealgate.gate.manifests import Deployed
    from sealgate.policy.attestors import Settings
    from sealgate.policy.decision import ImageDecision
    from sealgate.policy.evaluate import Judge
    from sealgate.policy.model import NoMatch
    from sealgate.workloads.workload import Operation, User

_NAMES = ("kyverno-test.yaml", "kyverno-test.yml", "sealgate-test.yaml", "sealgate-test.yml")
_FOLDER = ".kyverno-test"
"""Where Kyverno's own library of policies has its tests."""
_OUTCOMES = {"accepted": "pass", "refused": "fail", "unknown": "error", "skipped": "skip"}
_WORST = ("error", "fail", "warn", "pass", "skip")


class Subject(NamedTuple):
    """Which objects an expectation is about; empty means all."""

    kind: str = ""
    namespace: str = ""
    name: str = ""

    def fits(self, deployed: Deployed) -> bool:
        """Whether it means this object."""
        workload = deployed.workload
        return (
            self.kind in {"", workload.kind}
            and self.namespace in {"", workload.namespace}
            and self.name in {"", workload.name}
        )

    def __str__(self) -> str:
        """`Pod/default/web`."""
        return "/".join(part for part in self if part) or "every object"


class Expectation(NamedTuple):
    """What shall become of some objects."""

    title: str
    subject: Subject
    policy: str = ""
    """The policy whose result is meant (`namespace/name` or `name`); empty: the whole decision."""
    rule: str = ""
    result: str = ""
    """`pass`, `fail`, `skip`, `warn` or `error` of a policy; `admit`, `warn` or `deny` of a decision."""
    codes: tuple[str, ...] = ()
    """Codes that must be among the rulings."""


class Suite(NamedTuple):
    """One file of tests."""

    file: str
    name: str
    policies: tuple[str, ...]
    resources: tuple[str, ...]
    images: tuple[tuple[str, str, str], ...]
    """(image, kind, namespace) of workloads that no file has."""
    expectations: tuple[Expectation, ...]
    namespaces: Mapping[str, Mapping[str, str]]
    """Labels by name."""
    user: User | None = None
    operations: Mapping[str, Operation] = {}
    """By the object's name; `""`: of all others."""
    layouts: str | None = None
    trusted_root: str | None = None
    time: float | None = None
    no_match: NoMatch | None = None


class Result(NamedTuple):
    """One expectation, and what came of it."""

    suite: str
    file: str
    title: str
    expected: str
    found: str
    passed: bool
    reason: str
    """Why it came so; of an expectation that was met, too."""


def find(paths: Iterable[str]) -> list[str]:
    """The files of tests; of a directory those that are called as such. Raises `NotFoundError`."""
    found: list[str] = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        inside: list[str] = []
        for folder, below, names in os.walk(path):
            below[:] = sorted(each for each in below if not each.startswith(".") or each == _FOLDER)
            inside += [os.path.join(folder, name) for name in _NAMES if name in names]
            if len(inside) > limits.DOCUMENTS:
                raise LimitError(f"{path} has more than {limits.DOCUMENTS} files of tests")
        if not inside:
            raise NotFoundError(f"there is no test in {path}", hint=f"files called {' or '.join(_NAMES[::2])} are read")
        found += inside
    return list(dict.fromkeys(found))


def read(path: str) -> list[Suite]:
    """The suites of a file. Raises `PolicyInvalidError`, `NotFoundError`, `UsageError`."""
    from sealgate.gate import kyverno_tests, own_tests

    raw = policies.read_file(path)
    try:
        documents = yamldocs.parse(raw, limit=limits.POLICY_BYTES, what=path)
    except WorkloadInvalidError as error:
        raise PolicyInvalidError(error.message, hint=error.hint) from error
    suites = []
    for document in documents:
        kind = (document.get("apiVersion"), document.get("kind")) if isinstance(document, dict) else (None, None)
        if kyverno_tests.is_one(document):
            suites.append(kyverno_tests.read(document, path))
        elif kind == (own_tests.VERSION, "PolicyTest"):
            suites.append(own_tests.read(document, path))
        else:
            raise PolicyInvalidError(
                f"{path} is no test of policies: {kind[0]} {kind[1]}",
                hint=f"{kyverno_tests.VERSION} Test, or {own_tests.VERSION} PolicyTest",
            )
    if not suites:
        raise PolicyInvalidError(f"{path} is empty", hint="a test that tests nothing proves nothing")
    return suites


class Prepared(NamedTuple):
    """A suite with everything that it names, read."""

    suite: Suite
    rules: Index
    objects: list[Deployed]


def prepare(suite: Suite, settings: Settings, *, home: str) -> Prepared:
    """Read the policies and objects of a suite. Raises as `policies.load` and `manifests.objects`."""
    index = Index(policies.load(suite.policies, settings, home=home, no_match=suite.no_match))
    found = [
        each
        for file in manifests.read_files(suite.resources, None)
        for each in manifests.objects(file, namespace="default")
    ]
    found += [
        manifests.of_image(image, kind, namespace=namespace, name=f"image-{number}")
        for number, (image, kind, namespace) in enumerate(suite.images)
    ]
    made = []
    for each in manifests.with_extracted(manifests.with_namespaces(found), index.policies):
        workload = each.workload
        labels = suite.namespaces.get(workload.namespace)
        if labels is not None:
            workload = workload._replace(namespace_labels={**labels, manifests.NAME_LABEL: workload.namespace})
        if suite.user is not None:
            workload = workload._replace(user=suite.user)
        operation = suite.operations.get(workload.name, suite.operations.get("", workload.operation))
        made.append(each._replace(workload=workload._replace(operation=operation)))
    return Prepared(suite, index, made)


async def run(prepared: Prepared, judge: Judge, *, clock: Callable[[], float]) -> list[Result]:
    """The results of a suite, in the order of its expectations; an expectation about no object is not met."""
    gated = await gating.gate(prepared.objects, prepared.rules, judge, clock=clock)
    results = []
    for each in prepared.suite.expectations:
        meant = [one for one in gated if each.subject.fits(one.deployed)]
        if each.policy and not _known(each, prepared.rules):
            results.append(_result(prepared.suite, each, "", "no such policy or rule is loaded"))
        elif not meant:
            results.append(_result(prepared.suite, each, "", f"there is no {each.subject} with an image"))
        results += [
            _compare(prepared.suite, each, one) for one in meant if not each.policy or _known(each, prepared.rules)
        ]
    return results


def _known(expectation: Expectation, index: Index) -> bool:
    return any(_is(expectation, rule.policy, rule.name) for rule in index.policies.rules)


def _is(expectation: Expectation, policy: str, rule: str) -> bool:
    return expectation.policy == policy and expectation.rule in {"", rule}


def _compare(suite: Suite, expectation: Expectation, gated: Gated) -> Result:
    if not expectation.policy:
        found: str = gated.decision.outcome
        reasons = [_reason(image) for image in gated.decision.images if image.severity != "none"]
        codes = {ruling.code for image in gated.decision.images for ruling in image.rulings}
    else:
        outcomes, reasons, codes = [], [], set[str]()
        for image in gated.decision.images:
            for ruling in image.rulings:
                policy, _, rule = ruling.rule.rpartition("/")
                undecided = not ruling.rule and ruling.outcome in {"refused", "unknown"}
                if not undecided and not _is(expectation, *_split(ruling.rule, policy, rule, expectation)):
                    continue
                outcome = "error" if undecided else _OUTCOMES[ruling.outcome]
                outcome = "pass" if ruling.code == ALLOWED else outcome
                outcomes.append("warn" if outcome == "fail" and ruling.effect == "warn" else outcome)
                codes.add(ruling.code)
                reasons.append(f"{image.image}: {ruling.message} [{ruling.code}]")
        found = min(outcomes, key=_WORST.index, default="skip")
        if not outcomes:
            reasons = ["the rule is not about any of its images"]
    missing = [code for code in expectation.codes if code not in codes]
    reason = "; ".join(dict.fromkeys(reasons))
    if missing:
        return _result(
            suite,
            expectation,
            found,
            f"the code {', '.join(missing)} is not among {', '.join(sorted(codes))}; {reason}",
            passed=False,
        )
    title = f"{expectation.title}: {gated.deployed.workload.title}" if expectation.policy else expectation.title
    return _result(suite, expectation._replace(title=title), found, reason)


def _split(title: str, policy: str, rule: str, expectation: Expectation) -> tuple[str, str]:
    """The policy and the rule of a ruling's title: dialects with one rule a policy have none in it."""
    if title == expectation.policy:
        return title, ""
    return policy, rule


def _reason(image: ImageDecision) -> str:
    worst = next((ruling for ruling in image.rulings if ruling.severity == image.severity), None)
    return f"{image.image}: {worst.message} [{worst.code}]" if worst is not None else image.image


def _result(suite: Suite, expectation: Expectation, found: str, reason: str, *, passed: bool | None = None) -> Result:
    met = found == expectation.result if passed is None else passed
    return Result(suite.name, suite.file, expectation.title, expectation.result, found or "nothing", met, reason)


def beside(file: str, path: str) -> str:
    """A path as a file of tests means it: from its own directory."""
    if "\x00" in path:
        raise UsageError(f"{file}: a path has a zero byte in it")
    return os.path.normpath(os.path.join(os.path.dirname(file), path))


def document(path: str) -> Any:
    """The one document of a file that a test names. Raises `PolicyInvalidError`, `NotFoundError`."""
    try:
        found = yamldocs.parse(policies.read_file(path), limit=limits.POLICY_BYTES, what=path)
    except WorkloadInvalidError as error:
        raise PolicyInvalidError(error.message, hint=error.hint) from error
    if len(found) != 1:
        raise PolicyInvalidError(f"{path} has {len(found)} documents; one is expected")
    return found[0]


def all_met(results: Sequence[Result]) -> bool:
    """Whether there was an expectation and each was met: a run of nothing is no success (E06)."""
    return bool(results) and all(each.passed for each in results)
