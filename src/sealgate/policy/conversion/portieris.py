"""Portieris' policies in our own grammar. Pure.

One repository's policy decides there, the longest name; here each skips what a longer one is about.

Source: Portieris, POLICIES.md; helm/portieris/templates/policy-crds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.errors import PolicyInvalidError
from sealgate.policy.conversion.grammars import document, lost, narrower, pattern
from sealgate.policy.fields import Fields

if TYPE_CHECKING:
    from sealgate.policy.reading import Source


def read(source: Source, remarks: list[str]) -> list[dict[str, Any]]:  # noqa: ARG001 - every reader is called so
    """One policy a repository. Raises `PolicyInvalidError`."""
    spec = Fields(source.document.get("spec"), f"{source.where}: spec")
    repositories = spec.objects("repositories")
    spec.end()
    globs = [pattern(each.required_text("name"), each.at("name"), "other")[0] for each in repositories]
    found = []
    for at, (repository, glob) in enumerate(zip(repositories, globs, strict=True)):
        if globs.count(glob) > 1:
            raise PolicyInvalidError(f"{repository.where}: {glob} stands there twice")
        made: dict[str, Any] = {"images": [glob]}
        skip = narrower(glob, globs)
        if skip:
            made["skip"] = skip
        policy = repository.fields("policy")
        repository.end()
        made |= _policy(policy) if policy is not None else {"require": {"static": {"action": "pass"}}}
        found.append(document(f"{source.name}-{at}", source.namespace, made))
    return found


def _policy(policy: Fields) -> dict[str, Any]:
    trust = policy.fields("trust")
    if trust is not None and trust.flag("enabled", default=False):
        lost(trust.where, "signatures of Docker Content Trust (Notary v1)")
    vulnerability = policy.fields("vulnerability")
    if vulnerability is not None:
        advisor = vulnerability.fields("ICCRVA")
        if advisor is not None and advisor.flag("enabled", default=False):
            lost(advisor.where, "what IBM's vulnerability advisor says", "scan: {by, maxAge} asks for an attested scan")
    made: dict[str, Any] = {}
    if not policy.flag("mutateImage", default=True):
        made["digests"] = {"mutate": False}
    simple = policy.fields("simple")
    policy.end()
    actions = []
    if simple is not None:
        for name in ("storeURL", "storeSecret", "storeConfigMap"):
            if simple.has(name):
                lost(simple.at(name), "where signatures are kept")
        for each in simple.objects("requirements"):
            kind = each.choice("type", "signedBy", "reject", "insecureAcceptAnything")
            if kind == "signedBy":
                lost(each.where, "GPG signatures (signedBy)")
            actions.append("fail" if kind == "reject" else "pass")
            each.end()
        simple.end()
    return made | {"require": {"static": {"action": "fail" if "fail" in actions else "pass"}}}
