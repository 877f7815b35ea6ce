"""The demand of one of Kyverno's image policies: CEL over all images of a workload, answered from verdicts. Pure but for the cage.

Every image was judged by every attestor before an expression is asked. What it returns is not enough: an image passes only if a
verdict that the expressions looked at accepted it (P01, P02), and that is read from the verdicts, not from the answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.conditions import programs
from sealgate.conditions.programs import ProgramError
from sealgate.errors import LimitError, PolicyUndecidedError, SealgateError, WorkloadInvalidError
from sealgate.policy.evaluate import Placed
from sealgate.policy.kyverno import globs
from sealgate.policy.kyverno.request import pod_of
from sealgate.policy.model import Judged
from sealgate.verification.requirement import signer_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sealgate.conditions.programs import Program
    from sealgate.policy.kyverno.constraints import Constraints
    from sealgate.policy.model import Attestor, Candidate
    from sealgate.verification.verdict import Verdict
    from sealgate.workloads.workload import Workload

_PLACE = re.compile(r"(containers|initContainers|ephemeralContainers|volumes)\[\d+\]\.image(?:\.reference)?")
_LISTS = ("containers", "initContainers", "ephemeralContainers", "volumes")


class Asked(NamedTuple):
    """What one attestor is asked: about signatures (`attestation` is empty), or about attestations."""

    attestor: str
    attestation: str
    question: Attestor


class Validation(NamedTuple):
    """See the module. A `model.Joint`."""

    asked: tuple[Asked, ...]
    attestations: tuple[str, ...]
    program: Program
    constraints: Constraints
    where: str
    selective: bool
    """Whether it has `matchConditions`, or expressions in `matchImageReferences`."""
    patterns: tuple[str, ...]
    """Regular expressions of globs that stand beside such expressions."""
    extracts: bool
    required: bool
    """Whether an image must have been verified, whatever the expressions say."""
    wants_data: bool

    @property
    def attestors(self) -> tuple[Attestor, ...]:
        """Every question."""
        return tuple(each.question for each in self.asked)

    # -- which images

    def concerns(self, workload: Workload, image: str, texts: Sequence[str]) -> bool:
        """Whether `matchConditions` hold and `matchImageReferences` name the image. Raises `PolicyUndecidedError`."""
        if not self.selective:
            return True
        question = {"kind": "select", "names": self._names(workload), "refs": list(dict.fromkeys(texts))}
        try:
            found = programs.shared().ask(self.program, question)
        except ProgramError as error:
            raise PolicyUndecidedError(
                f"whether the policy is about {image} has no answer: {error.where}: {error}"
            ) from error
        if found.get("selected") is True:
            return True
        by_name = found.get("because") == "matchImageReferences"
        return by_name and any(
            globs.compiled(each).fullmatch(text) is not None for each in self.patterns for text in texts
        )

    def extract(self, workload: Workload) -> Iterator[Placed]:
        """The images that `images` finds in the object. Raises `WorkloadInvalidError`."""
        if not self.extracts:
            return
        try:
            found = programs.shared().ask(self.program, {"kind": "extract", "names": self._names(workload)})["images"]
        except ProgramError as error:
            raise WorkloadInvalidError(
                f"the images of {workload.title} cannot be found: {error.where}: {error}"
            ) from error
        for name, texts in found.items():
            for index, text in enumerate(texts):
                yield Placed(text, f"images.{name}[{index}]")

    def _names(self, workload: Workload) -> dict[str, Any]:
        """Every name that expressions know. What is not known is not there, and who asks for it has no answer (P09)."""
        template = self.constraints.for_template(workload)
        document: Mapping[str, Any] = workload.document
        old = workload.old
        if template:
            document = pod_of(workload.kind, document)
            old = pod_of(workload.kind, old) if old is not None else None
        request: dict[str, Any] = {
            "operation": workload.operation, "namespace": workload.namespace, "name": workload.name,
            "subResource": workload.subresource,
            "kind": {"group": workload.group, "version": workload.version, "kind": workload.kind},
            "resource": {"group": workload.group, "version": workload.version, "resource": workload.resource},
        }  # fmt: skip
        if workload.user is not None:
            request["userInfo"] = {"username": workload.user.name, "groups": list(workload.user.groups)}
        found = {
            "object": document, "oldObject": old, "request": request,
            "attestors": {each.attestor: {"name": each.attestor} for each in self.asked},
            "attestations": {name: name for name in self.attestations},
        }  # fmt: skip
        if workload.namespace_labels is not None:
            metadata = {"name": workload.namespace, "labels": dict(workload.namespace_labels)}
            found["namespaceObject"] = {"metadata": metadata}
        return found

    # -- the answer

    def judge_all(self, workload: Workload, candidates: Sequence[Candidate], now: float) -> Sequence[Judged]:
        """One answer a candidate."""
        try:
            said = programs.shared().ask(self.program, self._question(workload, candidates, now))
            failed = said["failed"]
            looks = {(str(image), str(attestation), str(name)) for image, attestation, name in said["calls"]}
        except (ProgramError, LimitError) as error:
            where = f"{error.where}: " if isinstance(error, ProgramError) and error.where else ""
            failed, looks, said = ["error", "", f"{where}{error}"], set(), {}
        annotations = tuple(sorted((str(name), str(text)) for name, text in said.get("annotations", {}).items()))
        seen = [self._seen(each, looks) for each in candidates]
        if failed is None:
            return [self._passed(found)._replace(annotations=annotations) for found in seen]
        kind, where, text = failed
        place = where.rpartition(": ")[2]
        message = f"{place} {text}" if kind == "error" and place else text
        unknown = next(
            (each for found in seen for each in found.bad if not found.good and each.outcome == "unknown"), None
        )
        return [
            _refused(found, "condition-error" if kind == "error" else "policy-not-met", message, unknown)
            for found in seen
        ]

    def _question(self, workload: Workload, candidates: Sequence[Candidate], now: float) -> dict[str, Any]:
        lists: dict[str, list[str]] = {name: [] for name in _LISTS}
        for each in candidates:
            if not each.where.startswith("images."):
                place = _PLACE.search(each.where)
                lists[place[1] if place is not None else "containers"].append(each.image)
        numbers: dict[object, str] = {}
        table = {each.image: self._row(each, numbers) for each in candidates}
        return {
            "kind": "validate", "names": self._names(workload), "images": lists, "matched": list(table), "table": table,
            "now": now,
        }  # fmt: skip

    def _row(self, candidate: Candidate, numbers: dict[object, str]) -> dict[str, Any]:
        signatures: dict[str, list[str]] = {}
        attestations: dict[str, dict[str, list[str]]] = {name: {} for name in self.attestations}
        payloads: dict[str, dict[bytes, Any]] = {name: {} for name in self.attestations}
        for each in self.asked:
            verdict = candidate.verdicts.get(each.question.identity)
            signers: list[str] = []
            if verdict is not None and verdict.accepted:
                ids = [signer_id(signatory) for signatory in verdict.signatories]
                signers = [numbers.setdefault(one, str(len(numbers))) for one in dict.fromkeys(ids)]
            if not each.attestation:
                signatures[each.attestor] = signers
                continue
            attestations[each.attestation][each.attestor] = signers
            if verdict is not None and verdict.accepted:
                payloads[each.attestation].update(_payloads(verdict))
        for name, found in payloads.items():
            if len(found) > limits.PROGRAM_PAYLOADS:
                raise LimitError(f"{candidate.image} has more than {limits.PROGRAM_PAYLOADS} attestations {name}")
        return {
            "signatures": signatures, "attestations": attestations, "data": candidate.data,
            "payloads": {name: list(found.values()) for name, found in payloads.items()},
        }  # fmt: skip

    def _seen(self, candidate: Candidate, looks: set[tuple[str, str, str]]) -> _Seen:
        good, bad, others = [], [], []
        for each in self.asked:
            verdict = candidate.verdicts.get(each.question.identity)
            if verdict is None:
                continue
            if (candidate.image, each.attestation, each.attestor) not in looks:
                if not verdict.accepted:
                    others.append(verdict)
            elif verdict.accepted:
                good.append(verdict)
            else:
                bad.append(verdict)
        return _Seen(candidate.image, tuple(good), tuple(bad), tuple(others))

    def _passed(self, found: _Seen) -> Judged:
        if found.good:
            return Judged("accepted", "accepted", "; ".join(dict.fromkeys(each.summary for each in found.good)))
        if not self.required:
            return Judged("accepted", "accepted", "the validations are met; no signature is required (required: false)")
        bad = next(iter(sorted(found.bad, key=lambda each: each.outcome != "unknown")), None)
        if bad is not None:
            return Judged("unknown" if bad.outcome == "unknown" else "refused", bad.code, bad.summary, bad.hint)
        return Judged(
            "refused", "not-verified", "no validation of the policy has verified a signature or attestation of it",
            "validations must call verifyImageSignatures for every image: images.initContainers, images.volumes, … too",
        )  # fmt: skip


class _Seen(NamedTuple):
    """The verdicts on one image: looked at and accepted, looked at and not, not looked at and not accepted."""

    image: str
    good: tuple[Verdict, ...]
    bad: tuple[Verdict, ...]
    others: tuple[Verdict, ...]


def _refused(found: _Seen, code: str, message: str, unknown: Verdict | None) -> Judged:
    if found.good:
        if unknown is not None:
            return Judged("unknown", unknown.code, f"{message}: {unknown.summary}", unknown.hint)
        return Judged("refused", code, f"{message} (its own signature is good)")
    bad = sorted(found.bad or found.others, key=lambda each: each.outcome != "unknown")
    if not bad or code == "condition-error":
        return Judged("refused", code, message)
    first = bad[0]
    return Judged(
        "unknown" if first.outcome == "unknown" else "refused", first.code, f"{message}: {first.summary}", first.hint
    )


def _payloads(verdict: Verdict) -> dict[bytes, Any]:
    """What was verified, each Statement once: the predicate, and the Statement's own members where it has none of that name."""
    found: dict[bytes, Any] = {}
    for report in verdict.signatures:
        if not report.accepted:
            continue
        try:
            statement = report.statement()
        except SealgateError:
            continue
        predicate: Any = statement.predicate
        if isinstance(predicate, dict):
            predicate = {"predicateType": statement.predicate_type, "predicate": predicate} | predicate
        found[statement.raw] = predicate
    return found
