"""The texts in CUE and Rego that policy-controller's policies have: over an attestation, or over all authorities' matches.

Over all authorities, the document is what policy-controller builds: `authorityMatches`, by the name of each authority that
was met, and what `includeSpec` and its like add. At least one authority must have been met by a signature or attestation:
no text is asked before, so none can admit an image by itself (P02).

Source: sigstore/policy-controller, pkg/webhook/validator.go: PolicyResult; pkg/policy/policy.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate.errors import PolicyInvalidError
from sealgate.policy import counting
from sealgate.policy.caged import Caged, condition
from sealgate.policy.model import Attestor, Count, attestors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sealgate.conditions.policy import Language, Policy
    from sealgate.policy.fields import Fields
    from sealgate.policy.reading import Context
    from sealgate.policy.sigstore.authority import Authority
    from sealgate.verification.checks import SignatureReport
    from sealgate.verification.verdict import Verdict

_LANGUAGES: dict[str, Language] = {"cue": "cue", "rego": "rego-compliant"}
_EXTENSIONS = {
    "githubWorkflowTrigger": "githubWorkflowTrigger", "githubWorkflowSha": "githubWorkflowSha",
    "githubWorkflowName": "githubWorkflowName", "githubWorkflowRepository": "githubWorkflowRepo",
    "githubWorkflowRef": "githubWorkflowRef",
}  # fmt: skip
"""What the certificate's extensions are called in the document."""


class Included(NamedTuple):
    """What of the object the document has."""

    spec: bool
    metadata: bool
    typemeta: bool


class Matches(NamedTuple):
    """A text over what all authorities came to: a `Program`."""

    authorities: tuple[Authority, ...]
    text: Caged
    included: Included
    where: str

    @property
    def attestors(self) -> tuple[Attestor, ...]:
        """Everybody whom an authority names."""
        return attestors(Count(1, tuple(each.expression for each in self.authorities)))

    @property
    def texts(self) -> tuple[Policy, ...]:
        """What is compiled when it is loaded (`compiling`)."""
        return self.text.policies

    def decide(self, verdicts: Mapping[str, Verdict], subject: Mapping[str, Any]) -> tuple[bool, str]:
        """Whether an authority is met, and the text agrees."""
        met = [
            each
            for each in self.authorities
            if counting.decide(each.expression, verdicts, subject).outcome == "accepted"
        ]
        if not any(not each.is_static for each in met):
            return False, "no authority is met"
        import json

        document = json.dumps(self.document(met, verdicts, subject), separators=(",", ":"))
        [said] = self.text.at(float(subject.get("now", 0.0))).judge(document.encode())
        if said.outcome == "passed":
            return True, f"authority {', '.join(each.name for each in met)}, and {said.policy} agrees"
        verb = "does not agree" if said.outcome == "failed" else "cannot be evaluated"
        return False, f"{said.policy} {verb}: {said.message}"

    def document(
        self, met: list[Authority], verdicts: Mapping[str, Verdict], subject: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the text is asked about."""
        found: dict[str, Any] = {"authorityMatches": {each.name: _match(each, verdicts) for each in met}}
        whole = subject.get("object") or {}
        if self.included.spec:
            found["spec"] = whole.get("spec")
        if self.included.metadata:
            found["metadata"] = whole.get("metadata")
        if self.included.typemeta:
            found["typemeta"] = {name: whole.get(name) for name in ("kind", "apiVersion")}
        return found


def _match(authority: Authority, verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    if authority.is_static:
        return {"signatures": None, "attestations": None, "static": True}
    if authority.signature is not None:
        reports = _accepted(verdicts[authority.signature.identity])
        return {"signatures": [_signature(each) for each in reports], "attestations": None, "static": False}
    said = {
        name: [_attestation(each) for each in _accepted(verdicts[attestor.identity])]
        for name, attestor in authority.attestations
    }
    return {"signatures": None, "attestations": said, "static": False}


def _accepted(verdict: Verdict) -> list[SignatureReport]:
    return [report for report in verdict.signatures if report.accepted]


def _signature(report: SignatureReport) -> dict[str, Any]:
    found: dict[str, Any] = {"id": str(report.content or report.manifest)}
    signatory = report.signatory
    if signatory is not None and signatory.identity is not None:
        found |= {"subject": signatory.identity.subject, "issuer": signatory.identity.issuer}
        known = dict(signatory.identity.extensions)
        found |= {called: known[name] for name, called in _EXTENSIONS.items() if name in known}
    return found


def _attestation(report: SignatureReport) -> dict[str, Any]:
    from sealgate.evidence import base64

    statement = report.statement()
    return _signature(report) | {
        "predicateType": statement.predicate_type, "payload": base64.encode(statement.raw)
    }  # fmt: skip


def read(fields: Fields, context: Context) -> Caged:
    """`type`, and `data` or `configMapRef`. Raises `PolicyInvalidError`."""
    kind = fields.choice("type", "cue", "rego")
    if kind is None:
        raise PolicyInvalidError(f"{fields.where}: missing field(s): type", hint="only [cue,rego] are supported")
    fields.unsupported(
        "remote", "no policy is fetched from elsewhere", hint="put its text into data, or into a ConfigMap beside it"
    )
    if fields.flag("fetchConfigFile", default=False):
        fields.unsupported("fetchConfigFile", "the image's configuration is not read for policies")
    given = [name for name in ("data", "configMapRef") if fields.has(name)]
    if len(given) != 1:
        said = "got both: data, configMapRef" if given else "got neither: configMapRef, data, remote"
        raise PolicyInvalidError(f"{fields.where}: expected exactly one, {said}")
    text = fields.text("data")
    reference = fields.fields("configMapRef")
    if reference is not None:
        name, key = reference.required_text("name"), reference.text("key")
        namespace = reference.text("namespace") or home(context)
        reference.end()
        data = context.references.config_map(namespace, name)
        text = _one(data, key, reference.where)
    fields.end()
    return Caged((condition(text or "", _LANGUAGES[kind], fields.where),))


def _one(data: Mapping[str, str], key: str | None, where: str) -> str:
    if key is None and len(data) == 1:
        return next(iter(data.values()))
    if key is None or key not in data:
        known = ", ".join(sorted(data)) or "nothing"
        raise PolicyInvalidError(f"{where}: the ConfigMap has {known}", hint="key: says which of it is meant")
    return data[key]


def home(context: Context) -> str:
    """Where the Secrets and ConfigMaps of these policies are; `kyverno` is only the default of the other dialect."""
    return "cosign-system" if context.home == "kyverno" else context.home
