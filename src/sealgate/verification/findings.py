"""The codes of findings: what one check on one piece of evidence can say. Codes are never renamed.

Each code has the check it belongs to and what to do about it. The documentation's list is made from this table.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from sealgate.trust import failure

Outcome = Literal["passed", "failed", "skipped"]


class Finding(NamedTuple):
    """One check on one piece of evidence."""

    code: str
    outcome: Outcome
    message: str
    """A sentence for people. Foreign text in it is not escaped yet."""
    until: float = math.inf
    """Until when (seconds since 1970) it holds, where the time decides it; infinite where it does not."""

    @property
    def remedy(self) -> str | None:
        """What to do about it."""
        return CODES[self.code]


CODES: dict[str, str | None] = {
    # The signature itself
    "signature-verified": None,
    "signature-key-mismatch": "check that this is the key of who signed; `sealgate tree IMAGE` lists what is attached",
    "signature-invalid": "the signature or what it covers was altered after signing; sign again",
    "signature-hash-mismatch": "leave out --signature-digest-algorithm to accept what the key's kind is signed with",
    "signature-missing": "the attached object carries no signature; sign again",
    "signature-count": "a bundle has exactly one signature; this was not made by cosign or sealgate",
    # What was signed
    "subject-verified": None,
    "signature-subject-mismatch": "was the image rebuilt after it was signed? Sign the image that is there now",
    "referrer-subject-mismatch": "the manifest refers to another image; it does not belong here",
    "predicate-type-verified": None,
    "not-an-image-signature": "an attestation proves something else than a signature; `cosign verify-attestation` reads it",
    "payload-type-verified": None,
    "payload-type-mismatch": "the key signed something else than an image",
    "annotations-verified": None,
    "annotation-mismatch": "the annotations asked for by -a must all stand in one signature",
    "signed-name-verified": None,
    "signed-name-mismatch": "sign it under the name that it is used by, or let `signedIdentity` say what it was signed as",
    "signed-name-missing": "sign it in the legacy format, whose payload has a name: bundles carry none",
    "annotations-not-checked": "leave out --check-claims=false to have them checked",
    # What was signed, of an attestation
    "predicate-type-mismatch": "ask for one of the types that were found (--type), or attest: `sealgate attest --type …`",
    "not-an-attestation": "a signature says nothing else than that something was signed: `sealgate attest` says more",
    "subject-not-checked": "leave out --check-claims=false to have the file's digest looked for",
    "condition-met": None,
    "condition-failed": "the attestation does not say what is demanded",
    "condition-error": "no policy that cannot be evaluated is met: mend the policy, or write it in another language",
    "attestation-stale": "it is older than may be: scan or build anew, and attest that",
    # What was signed, of a provenance
    "source-verified": None,
    "source-mismatch": "it was built from another repository than --source-uri, or the provenance contradicts itself",
    "source-ref-verified": None,
    "source-ref-mismatch": "it was built from another tag or branch than was asked for",
    "builder-verified": None,
    "builder-mismatch": "another builder than --builder-id made it; names are compared whole, versions where one is asked for",
    "build-type-verified": None,
    "build-type-mismatch": "another kind of build than --build-type made it",
    "provenance-unclear": "what a provenance does not say cannot be verified; look at it: `sealgate verify-attestation … | jq`",
    # What was signed, of a file
    "blob-digest-verified": None,
    "blob-digest-mismatch": "the bundle belongs to another file, or the file was altered after it was signed",
    "not-a-blob-signature": "an attestation proves something else than a signature; `cosign verify-blob-attestation` reads it",
    # Evidence that could not be read
    "evidence-malformed": "the attached object is broken; `sealgate clean` removes it",
    "evidence-unsupported": "signed in a way that a key cannot verify",
    "evidence-unavailable": "ask again later: whether this signature is good is not known",
    "evidence-limit": "more is attached than is looked at; `sealgate clean` removes what is not needed",
    # Trust
    "transparency-log-not-asked": "--require-tlog asks for a log entry",
    "denied-digest": "the deny-list names this image",
    "denied-key": "the deny-list names this key",
    "denied-identity": "the deny-list names this identity",
    # The image
    "image-not-found": "check the name, the tag and the registry",
    "no-signature": "sign it: `sealgate sign --key cosign.key IMAGE`",
    "no-matching-signature": "as many keys as --require says must have signed; --require any asks for one",
    "no-attestation": "attest it: `sealgate attest --key cosign.key --type TYPE --predicate FILE IMAGE`",
    "no-matching-attestation": "as many keys as --require says must have attested; --require any asks for one",
    "accepted": None,
} | failure.CODES

PROVENANCE = frozenset(
    {"source-mismatch", "source-ref-mismatch", "builder-mismatch", "build-type-mismatch", "provenance-unclear"}
)
"""What is wrong with a provenance that is good in all else."""
