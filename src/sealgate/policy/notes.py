"""The codes of notes on policies: what `policy lint` says of a policy that is read all the same. Never renamed."""

from __future__ import annotations

CODES: dict[str, str] = {
    "pattern-foreign-host": "a pattern that names of other registries fit as well; begin it with the registry's host and a slash",
    "pattern-digest": "a pattern with a tag: what is given by digest has no tag; leave the tag out",
    "pattern-excuse": "a pattern that takes more away from checking than one registry's images",
    "regexp-unanchored": "the regular expression is not anchored in its product; here it must match the whole text",
    "tlog-not-asked": "no log entry is asked for: no trust root with logs is configured, or the policy ignores them",
    "sct-not-asked": "SCTs of certificates are not asked for",
    "deprecated-field": "the product has another field for this by now",
    "action-audit": "refusals of this rule are only reported",
    "static-pass": "images are admitted without any check",
    "identity-any": "the identity is so wide that strangers fit it",
    "policy-weaker": "a narrower policy asks for less than the wider one that it replaces",
    "exception-endless": "the exception has no end",
    "exception-unused": "the exception names a rule that is not here: a policy was renamed, or the name is misspelt",
    "credentials-elsewhere": "a Secret with credentials of registries is not beside the policies: whoever judges asks with their own",
    "rule-ignored": "the rule demands nothing of images; it is not evaluated here",
    "field-idle": "the field is known, and changes nothing about images here; `lint --strict` does not count it",
    "text-unchecked": "the text of a condition could not be compiled here: if it is broken, images are refused when they are judged",
    "difference": "this is read differently here than by the product; docs/policies.md says how",
}
QUIET = frozenset({"field-idle", "text-unchecked"})
"""Those that weaken nothing: `lint` shows them, and nothing counts them."""
