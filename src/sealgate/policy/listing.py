"""Whether an image is on a list of a policy: names by patterns of our own grammar, digests one by one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.oci.reference import parse
from sealgate.policy import patterns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sealgate.policy.model import Listed


def is_on(listed: Listed, subject: Mapping[str, Any]) -> bool:
    """Whether the image that `subject` is about is on the list. A digest that is not known (None) is on none."""
    import re2

    if str(subject["digest"]) in listed.digests:
        return True
    reference = parse(str(subject["reference"]))
    names = list(patterns.candidates(reference, "sealgate"))
    if (
        not listed.wanted
    ):  # what is refused is refused by each of its names: at its origin, with its digest, and without
        for each in (reference, parse(str(subject.get("origin", subject["reference"])))):
            names += patterns.candidates(each, "sealgate")
            if each.digest is None and subject["digest"] is not None:
                names.append(f"{each.name}@{subject['digest']}")
            elif each.digest is not None and each.tag is not None:
                names += patterns.candidates(each._replace(digest=None), "sealgate")
    expressions = [patterns.expression(each, "sealgate", excuse=listed.wanted) for each in listed.patterns]
    return any(re2.fullmatch(each, name) is not None for each in expressions for name in names)
