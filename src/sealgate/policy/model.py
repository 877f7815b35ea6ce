"""Policies as values, whatever dialect they were written in. Pure.

A policy file becomes `Rule`s: each says which images, in which workloads, need which proof, and what happens without it. The
proof is an expression over `Attestor`s; each of those is one question to `verification`, the same that `sealgate verify`
asks, so that a gate, a webhook and a person at a terminal get the same verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeGuard

from sealgate.verification.deny import NOTHING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sealgate.policy.mirrors import Mirror
    from sealgate.policy.pullsecrets import PullSecrets
    from sealgate.verification.deny import DenyList
    from sealgate.verification.verdict import Verdict
    from sealgate.verification.verify import Wanted
    from sealgate.workloads.workload import Workload

Dialect = Literal["kyverno", "sigstore", "containers", "sealgate"]
"""Whose grammar a policy is in: Kyverno's (both kinds), policy-controller's, containers/image's, our own."""
Action = Literal["enforce", "warn", "audit"]
"""What a refusal does: deny; admit with a warning; admit, and say so in the report."""
NoMatch = Literal["allow", "warn", "deny"]

STRICTNESS: dict[str, int] = {"audit": 0, "warn": 1, "enforce": 2}
NO_MATCH: dict[Dialect, NoMatch] = {"kyverno": "allow", "sigstore": "deny", "containers": "deny", "sealgate": "deny"}
"""What becomes of an image that no policy of a dialect matches, where nobody says otherwise."""


class Note(NamedTuple):
    """Something about a policy that its author should know: a weakness, or what is read differently here."""

    code: str
    """A key of `notes.CODES`."""
    message: str
    where: str
    """`file.yaml: ClusterPolicy/check-image: spec.rules[0].verifyImages[0].image`."""


def idle(found: Sequence[tuple[str, str]]) -> list[Note]:
    """Notes on fields that are there and change nothing (`Fields.ignored`)."""
    return [Note("field-idle", f"{name} changes nothing here", where) for name, where in found]


class Attestor(NamedTuple):
    """One who must have signed or attested: one question to `verification`."""

    name: str
    """For people: the key's fingerprint, the identity in words."""
    where: str
    """Its place in the policy, from the rule on: `attestors[0].entries[1].keys`."""
    wanted: Wanted
    """Its requirement has exactly one leaf. `trust.demand.now` is set anew for each evaluation."""
    identity: str
    """Everything that decides its verdicts, hashed: two attestors of one identity give one verdict."""
    repository: str | None = None
    """`registry/repository` that has the signatures; None: that of the image."""
    keyring: PullSecrets | None = None
    """Whose credentials ask for what it signed (`identity` has them); None: those of the rule."""


class Static(NamedTuple):
    """An answer that asks nothing of the image."""

    passes: bool
    message: str
    where: str


class Listed(NamedTuple):
    """A list that the image must be on, or must not: nobody else is asked."""

    wanted: bool
    patterns: tuple[str, ...]
    """Of our own grammar."""
    digests: tuple[str, ...]
    message: str
    """What is said of an image that is refused by it."""
    where: str


class Count(NamedTuple):
    """At least `needed` of `parts`, each by a signer of its own (invariant 7)."""

    needed: int
    parts: tuple[Expression, ...]
    where: str = ""


class Program(Protocol):
    """An expression that a dialect evaluates itself, over the verdicts of its attestors."""

    @property
    def attestors(self) -> tuple[Attestor, ...]:
        """Whose verdicts it wants. Empty: it can be met by nothing."""

    @property
    def where(self) -> str:
        """Its place in the policy."""

    def decide(self, verdicts: Mapping[str, Verdict], subject: Mapping[str, Any]) -> tuple[bool, str]:
        """Whether it is met, and why not. `verdicts` by the attestors' `identity`; `subject` says which image and object.

        No verdict that was accepted: it is not met, whatever it says (P02).
        """


class Candidate(NamedTuple):
    """One image of a workload that a rule is about, with what was found out about it."""

    image: str
    """As it was written."""
    where: str
    """`containers[0].image`."""
    reference: str
    digest: str | None
    """None: it could not be resolved, and nothing is known of it."""
    verdicts: Mapping[str, Verdict]
    """By the attestors' `identity`."""
    data: Mapping[str, Any] | None = None
    """Its manifest and configuration, where the rule asks for them."""


class Judged(NamedTuple):
    """What a rule that looks at whole workloads says of one image."""

    outcome: Literal["accepted", "refused", "unknown"]
    code: str
    message: str
    hint: str | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    """For the audit log of the API server."""


class Joint(Protocol):
    """What a rule demands of all images of a workload at once. It may run a program of a user: beside the flows."""

    @property
    def attestors(self) -> tuple[Attestor, ...]:
        """Whose verdicts it wants, of every image."""

    @property
    def where(self) -> str:
        """Its place in the policy."""

    @property
    def wants_data(self) -> bool:
        """Whether it looks at the images' manifests and configurations."""

    def concerns(self, workload: Workload, image: str, texts: Sequence[str]) -> bool:
        """Whether the rule is about an image (`texts`: what it goes by) of this workload, beside its selector and patterns.

        Raises `PolicyUndecidedError`.
        """

    def judge_all(self, workload: Workload, candidates: Sequence[Candidate], now: float) -> Sequence[Judged]:
        """One answer a candidate, in their order. An image that nobody's verdict accepted is refused (P01, P02)."""


Expression = Attestor | Static | Listed | Count | Program | Joint


class Selector(Protocol):
    """Which workloads a rule is about."""

    def selects(self, workload: Workload) -> bool:
        """Raises `PolicyUndecidedError` when what decides is not known (P09): that is a refusal, never a no."""


class Override(NamedTuple):
    """Another action in some namespaces."""

    action: Action
    selector: Selector


class Grace(NamedTuple):
    """Until a moment, a refusal does no more than this."""

    until: float
    """Seconds since 1970."""
    action: Action


class Digests(NamedTuple):
    """What a rule wants of digests."""

    mutate: bool = True
    verify: bool = True
    required: bool = True


class Credentials(NamedTuple):
    """How a rule wants registries to be asked, as it was written."""

    secrets: tuple[tuple[str, str], ...] = ()
    """(namespace, name) of Secrets with registry credentials."""
    providers: tuple[str, ...] = ()
    """`default`, `google`, `azure`, `amazon`, `github`."""
    insecure: bool = False
    """The registry may be asked without TLS."""


class Extractor(NamedTuple):
    """Where the images stand in objects of a kind that nobody else knows."""

    kind: str
    path: tuple[str, ...]
    """Names of fields and `*` (every element or member)."""
    value: str | None
    """The field of what is found that holds the image; None: it is the image itself."""
    name: str
    """What policies call these images (`images.custom`)."""
    transform: str | None
    """A JMESPath expression that makes an image's name of the text; such images cannot be written back."""
    where: str


class Rule(NamedTuple):
    """One rule of one policy."""

    policy: str
    """`metadata.name`, with the namespace before it where the policy has one: `team-a/check`."""
    name: str
    """The rule's own name; `""` where a dialect has one rule a policy."""
    kind: str
    """`ClusterPolicy`, `ImageValidatingPolicy`, …"""
    dialect: Dialect
    where: str
    """`file.yaml: ClusterPolicy/check-image: spec.rules[0].verifyImages[0]`."""
    namespace: str | None
    """Only workloads of this namespace; None: of every one."""
    action: Action
    selector: Selector
    images: tuple[str, ...]
    """Patterns of the dialect (`patterns`); an image that one of them matches is this rule's. At least one."""
    demand: Expression
    skip: tuple[str, ...] = ()
    """Patterns; an image that one of them matches surely is not this rule's."""
    overrides: tuple[Override, ...] = ()
    grace: Grace | None = None
    digests: Digests = Digests()
    specificity: int = 0
    """Among rules of one dialect that all match, only those of the highest number count (containers/image); 0 everywhere else."""
    credentials: Credentials = Credentials()
    extractors: tuple[Extractor, ...] = ()
    keyring: PullSecrets | None = None
    """What the Secrets of `credentials` hold: asked before whatever else there is. None: only that."""

    @property
    def title(self) -> str:
        """For people: `check-image/verify-signature`."""
        return f"{self.policy}/{self.name}" if self.name else self.policy


class Exemption(NamedTuple):
    """An exception: images of workloads that some rules do not hold for, until a day."""

    name: str
    rules: tuple[tuple[str, str], ...]
    """(policy, rule), each with `*` and `?`."""
    selector: Selector
    images: tuple[str, ...]
    """Patterns as in `Rule.skip`; empty: every image."""
    expires: float | None
    """Seconds since 1970; None: never."""
    reason: str = ""
    dialect: Dialect = "kyverno"
    """Whose patterns they are."""
    namespace: str | None = None
    """Only workloads of this namespace; None: of every one."""
    everywhere: bool = False
    """Also from rules of other dialects that are called so: it may not be a policy's own exception, nor a product's (P08)."""


class Policies(NamedTuple):
    """Everything that is in force. Made by `reading`; nothing in it changes."""

    rules: tuple[Rule, ...]
    exemptions: tuple[Exemption, ...] = ()
    notes: tuple[Note, ...] = ()
    no_match: NoMatch | None = None
    """What becomes of images that nothing matches; None: each dialect's own default."""
    deny: DenyList = NOTHING
    """Digests that are refused whatever else holds. (Its keys and identities are in every attestor's question.)"""
    mirrors: tuple[Mirror, ...] = ()

    def dialects(self) -> tuple[Dialect, ...]:
        """The dialects that have a rule, once each."""
        return tuple(dict.fromkeys(rule.dialect for rule in self.rules))


def attestors(expression: Expression) -> tuple[Attestor, ...]:
    """Every attestor of an expression, once an identity."""
    found: dict[str, Attestor] = {}

    def walk(part: Expression) -> None:
        if isinstance(part, Attestor):
            found.setdefault(part.identity, part)
        elif isinstance(part, Count):
            for each in part.parts:
                walk(each)
        elif not isinstance(part, Static | Listed):
            for attestor in part.attestors:
                found.setdefault(attestor.identity, attestor)

    walk(expression)
    return tuple(found.values())


def is_joint(expression: Expression) -> TypeGuard[Joint]:
    """Whether it is decided over all images of a workload at once."""
    return hasattr(expression, "judge_all")


def is_program(expression: Expression) -> bool:
    """Whether a dialect's own evaluation is somewhere in it."""
    if isinstance(expression, Count):
        return any(is_program(part) for part in expression.parts)
    return not isinstance(expression, Attestor | Static | Listed)
