"""The outcome for one workload: admit, warn or deny, with everything that led to it. Pure.

A decision is a value that must be consumed: it has no truth value. Its words are those of the verdicts below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

if TYPE_CHECKING:
    from sealgate.digest import Digest
    from sealgate.policy.model import Attestor, Digests
    from sealgate.verification.verdict import Verdict

SCHEMA_VERSION = "sealgate.dev/decision/v1"
_SEVERITY = {"none": 0, "audit": 1, "warn": 2, "deny": 3}


class Ruling(NamedTuple):
    """What one rule says of one image."""

    code: str
    """`accepted`, the code of the verdict nearest to success, or of what went wrong."""
    rule: str
    """`policy/rule`; `""` where no rule says it."""
    effect: str
    """What a refusal does: `deny`, `warn`, `audit`; `none`: nothing."""
    outcome: str
    """`accepted`, `refused`, `unknown` (could not ask), `skipped` or `unmatched`."""
    message: str
    kind: str = ""
    dialect: str = ""
    where: str = ""
    """The rule's place in its file."""
    hint: str | None = None
    verdicts: tuple[tuple[Attestor, Verdict], ...] = ()
    digests: Digests | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    """For the audit log of the API server (`auditAnnotations`)."""

    @property
    def severity(self) -> str:
        """What follows from it: `none`, `audit`, `warn` or `deny`."""
        return "none" if self.outcome in {"accepted", "skipped"} else self.effect


class ImageDecision(NamedTuple):
    """What all rules say of one image."""

    image: str
    """As it was written."""
    where: str
    pointer: str
    reference: str | None
    """Canonical; None when the text is no reference."""
    digest: Digest | None
    """What was resolved and judged; None when nothing had to be asked, or could be."""
    rulings: tuple[Ruling, ...]

    @property
    def severity(self) -> str:
        """The severest of its rulings."""
        return max((ruling.severity for ruling in self.rulings), key=lambda each: _SEVERITY[each], default="deny")

    @property
    def verified(self) -> bool:
        """Whether a rule asked for proof and every rule that asked got it."""
        judged = [each for each in self.rulings if each.outcome in {"accepted", "refused", "unknown"}]
        return bool(judged) and all(each.outcome == "accepted" for each in judged)

    @property
    def mutates(self) -> bool:
        """Whether the digest that was verified is to be written in place of the tag: a rule that wants it has accepted it.

        Rules that do not enforce change nothing of that: without its digest the enforcing ones would refuse the Pod.
        """
        return self.severity != "deny" and any(
            each.outcome == "accepted" and each.digests is not None and each.digests.mutate for each in self.rulings
        )


class Decision(NamedTuple):
    """What becomes of one workload."""

    workload: str
    namespace: str
    images: tuple[ImageDecision, ...]

    def __bool__(self) -> NoReturn:
        raise TypeError("a decision has no truth value; look at decision.outcome")

    @property
    def outcome(self) -> Literal["admit", "warn", "deny"]:
        """`deny` if any image is denied; `warn` if any warns."""
        severities = {image.severity for image in self.images}
        return "deny" if "deny" in severities else "warn" if "warn" in severities else "admit"

    @property
    def exit_code(self) -> int:
        """0; 16: judged and refused; 14: denied only because nobody could be asked."""
        denying = [each for image in self.images for each in image.rulings if each.severity == "deny"]
        if not denying:
            return 0 if all(image.rulings for image in self.images) else 16
        return 14 if all(each.outcome == "unknown" for each in denying) else 16

    def as_json(self) -> dict[str, Any]:
        """The whole decision as a JSON document."""
        return {
            "schema": SCHEMA_VERSION,
            "workload": self.workload,
            "namespace": self.namespace,
            "outcome": self.outcome,
            "images": [_image(image) for image in self.images],
        }


def _image(image: ImageDecision) -> dict[str, Any]:
    return {
        "image": image.image,
        "where": image.where,
        "reference": image.reference,
        "digest": str(image.digest) if image.digest is not None else None,
        "severity": image.severity,
        "rulings": [
            {
                "code": ruling.code,
                "rule": ruling.rule,
                "kind": ruling.kind,
                "dialect": ruling.dialect,
                "where": ruling.where,
                "outcome": ruling.outcome,
                "effect": ruling.effect,
                "message": ruling.message,
                "hint": ruling.hint,
                "auditAnnotations": dict(ruling.annotations),
                "attestors": [
                    {"where": attestor.where, "name": attestor.name, "verdict": verdict.as_json()}
                    for attestor, verdict in ruling.verdicts
                ],
            }
            for ruling in image.rulings
        ],
    }
