"""What the API server is told: allowed or not, why, warnings, audit annotations and the patch. Pure.

The patch writes the digest that was verified behind the name as it was written, `name:tag@sha256:…`, and nothing else; an
image that a policy skipped, that no policy is about or that was not accepted stays as it is. A message names the image, the
policy and why, with the code, and is bounded.

Source: Kubernetes, admission.k8s.io/v1 AdmissionResponse; RFC 6902 (JSON Patch), section 4.3.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sealgate import limits
from sealgate.admission.review import API_VERSION, KIND

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sealgate.admission.review import Review
    from sealgate.policy.decision import Decision, ImageDecision, Ruling

Mutate = Literal["pods", "all"]
"""Whose images `/mutate` gives digests: Pods alone, or everything that makes Pods too."""

DIGEST_MISSING = "digest-missing"
_encoded = json.JSONEncoder(separators=(",", ":")).encode
_AUDIT_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
_AUDIT_NAMES = 16
_EFFECTS = ("deny", "warn", "audit")
_HARMLESS = frozenset({"accepted", "skipped"})


class Reason(NamedTuple):
    """One thing that is wrong with one image."""

    code: str
    image: str
    where: str
    rule: str
    """`policy/rule`; `""` where no rule says it."""
    message: str
    severity: str
    """`audit`, `warn` or `deny`."""

    def __str__(self) -> str:
        who = f"policy {self.rule}: " if self.rule else ""
        return f"image {shown(self.image)} ({self.where}): {who}{self.message} [{self.code}]"


class Answer(NamedTuple):
    """What becomes of one review."""

    uid: str
    allowed: bool
    code: str
    """`accepted`, or the code of the first reason why not."""
    message: str = ""
    warnings: tuple[str, ...] = ()
    patch: tuple[tuple[str, str], ...] = ()
    """(RFC 6901 pointer, the image that is written there)."""
    audit: tuple[tuple[str, str], ...] = ()

    def document(self) -> bytes:
        """The AdmissionReview that goes back."""
        response: dict[str, Any] = {"uid": self.uid, "allowed": self.allowed}
        if not self.allowed:
            response["status"] = {
                "code": 403,
                "reason": "Forbidden",
                "message": cut(self.message, limits.MESSAGE_CHARS),
            }
        elif self.patch:
            steps = [{"op": "replace", "path": pointer, "value": image} for pointer, image in self.patch]
            response["patchType"] = "JSONPatch"
            response["patch"] = base64.b64encode(_encoded(steps).encode()).decode()
        if self.warnings:
            response["warnings"] = [cut(each, limits.WARNING_CHARS) for each in bounded(self.warnings)]
        if self.audit:
            response["auditAnnotations"] = {name: cut(text, limits.MESSAGE_CHARS) for name, text in self.audit}
        whole = {"apiVersion": API_VERSION, "kind": KIND, "response": response}
        return _encoded(whole).encode()


def refused(uid: str, code: str, message: str) -> Answer:
    """An answer to a review that could not be judged."""
    return Answer(
        uid, allowed=False, code=code, message=f"{message} [{code}]", audit=(("outcome", "deny"), ("codes", code))
    )


def exempted(review: Review, why: str) -> Answer:
    """An answer to a review that is not judged, because the operator said so."""
    return Answer(review.uid, allowed=True, code="namespace-exempt", audit=(("outcome", "exempt"), ("codes", why)))


def of(
    review: Review, decision: Decision, *, validating: bool, mutating: bool, excused: Sequence[str] = (),
    remarks: Sequence[str] = (), generation: str = "",
) -> Answer:  # fmt: skip
    """The answer to a review that was judged.

    `validating`: a Pod's image needs its digest by now. `mutating`: digests that were verified are written. `excused`:
    places of the webhook's own images. `remarks`: further warnings.
    """
    found = reasons(decision)
    if validating and review.is_pod:
        found += missing_digests(decision)
    denied = [each for each in found if each.severity == "deny"]
    warned = [each for each in found if each.severity == "warn"]
    warnings = [f"not denied yet: {each}" for each in warned]
    if review.unchanged:
        first = review.unchanged[0]
        more = f" and {len(review.unchanged) - 1} more" if len(review.unchanged) > 1 else ""
        warnings.append(
            f"image {shown(first.image)} ({first.where}){more} was there before and is not verified again [image-unchanged]"
        )
    warnings += remarks
    codes = list(dict.fromkeys(each.code for each in found))
    audit: list[tuple[str, str]] = [("outcome", "deny" if denied else decision.outcome)]
    if codes:
        audit.append(("codes", ",".join(codes)))
    if review.unchanged:
        audit.append(("unchanged", str(len(review.unchanged))))
    if excused:
        audit.append(("own", ",".join(excused)))
    audited = [str(each) for each in found if each.severity == "audit"]
    if audited:
        audit.append(("audited", "; ".join(audited)))
    if generation:
        audit.append(("policies", generation))
    audit += _said_by_policies(decision, {name for name, _ in audit})
    if denied:
        return Answer(review.uid, False, denied[0].code, _message(denied, decision), tuple(warnings), (), tuple(audit))
    patch = patches(decision) if mutating else ()
    code = found[0].code if found else "accepted"
    return Answer(review.uid, True, code, "", tuple(warnings), patch, tuple(audit))


def _said_by_policies(decision: Decision, taken: set[str]) -> list[tuple[str, str]]:
    """Annotations for the audit log that policies write themselves: names that Kubernetes takes, and none of ours."""
    found: dict[str, str] = {}
    for image in decision.images:
        for ruling in image.rulings:
            for name, text in ruling.annotations:
                if name not in taken and _AUDIT_NAME.fullmatch(name) and len(found) < _AUDIT_NAMES:
                    found.setdefault(name, text)
    return list(found.items())


def reasons(decision: Decision) -> list[Reason]:
    """Everything that is wrong, the severest first."""
    found = [
        Reason(ruling.code, image.image, image.where, ruling.rule, ruling.message, ruling.severity)
        for image in decision.images
        for ruling in image.rulings
        if ruling.severity != "none"
    ]
    found += [
        Reason("nothing-decided", image.image, image.where, "", "nothing was decided about it", "deny")
        for image in decision.images
        if not image.rulings  # never so: every step that decides says something
    ]
    return sorted(found, key=lambda each: _EFFECTS.index(each.severity))


def missing_digests(decision: Decision) -> list[Reason]:
    """Images of a Pod that a rule asks proof of and that have no digest: whatever their tag is by now, it may move."""
    found = []
    for image in decision.images:
        if "@" in image.image:
            continue
        judged = [each for each in image.rulings if each.outcome in {"accepted", "refused", "unknown"}]
        wanting = [each for each in judged if _wants_digest(each)]
        if wanting:
            first = min(wanting, key=lambda each: _EFFECTS.index(each.effect))  # the strictest of those that want it
            message = "a Pod's image needs its digest, and it has none; was it changed after /mutate?"
            found.append(Reason(DIGEST_MISSING, image.image, image.where, first.rule, message, first.effect))
    return found


def _wants_digest(ruling: Ruling) -> bool:
    return ruling.effect != "none" and (ruling.digests is None or ruling.digests.verify)


def patches(decision: Decision) -> tuple[tuple[str, str], ...]:
    """Where which image is written."""
    return tuple(
        (image.pointer, f"{image.image}@{image.digest}")
        for image in decision.images
        if image.mutates and image.digest is not None and "@" not in image.image and image.pointer
    )


def _message(denied: Sequence[Reason], decision: Decision) -> str:
    """The refusal: one line an image and rule, then what could be done about the first."""
    lines = [str(each) for each in denied[:8]]
    if len(denied) > 8:
        lines.append(f"and {len(denied) - 8} more")
    text = "\n".join(["", *lines] if len(lines) > 1 else lines)
    hint = _hint(decision.images, denied[0])
    return f"{text}\nhint: {hint}" if hint else text


def _hint(images: Iterable[ImageDecision], reason: Reason) -> str | None:
    for image in images:
        if image.where == reason.where:
            for ruling in image.rulings:
                if ruling.code == reason.code and ruling.outcome not in _HARMLESS:
                    return ruling.hint
    return None


def bounded(warnings: Sequence[str]) -> list[str]:
    """As many as the API server passes on (4,096 characters in all), each once."""
    unique = list(dict.fromkeys(warnings))
    if len(unique) <= limits.WARNINGS:
        return unique
    return [*unique[: limits.WARNINGS - 1], f"and {len(unique) - limits.WARNINGS + 1} further warnings"]


def shown(image: str) -> str:
    """An image's name for a message: cut, and nothing in it that could be taken for something else."""
    return cut(ascii(image)[1:-1], 300)


def cut(text: str, most: int) -> str:
    """At most `most` characters, without characters that control a terminal."""
    clean = text
    if not text.isprintable():
        clean = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    if len(clean) <= most:
        return clean
    start = clean.rfind(" [")
    code = clean[start:] if clean.endswith("]") and len(clean) - start <= 64 else ""  # what programs look for stays
    return f"{clean[: most - 1 - len(code)]}…{code}"
