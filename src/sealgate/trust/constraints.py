"""Name constraints: which names a certificate authority may certify (RFC 5280, section 4.2.1.10).

Only the names that certificates of signers have are compared: URIs, e-mail addresses, directory names. A constraint on
another kind of name refuses every name of that kind. Where spellings could be read in two ways, what is permitted is read
narrowly and what is excluded widely (bypass C11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

_HOST = re.compile(r"(?=.*[a-z_-])[a-z0-9_-]+(\.[a-z0-9_-]+)*")
"""A host name, in lower case; no address, no trailing dot."""


class Constraints(NamedTuple):
    """Those of one authority."""

    permitted: tuple[x509.GeneralName, ...]
    excluded: tuple[x509.GeneralName, ...]


def of(extension: x509.NameConstraints) -> Constraints:
    """The constraints of an extension."""
    return Constraints(tuple(extension.permitted_subtrees or ()), tuple(extension.excluded_subtrees or ()))


def violation(
    all_constraints: Iterable[Constraints], names: Iterable[x509.GeneralName], subject: x509.Name
) -> str | None:
    """The first name that is not allowed, for people; None: all are. `subject` counts as a directory name."""
    found = list(names)
    if len(subject.rdns) > 0:
        found.append(x509.DirectoryName(subject))
        # Addresses in subjects, as authorities wrote them before there were alternative names.
        for attribute in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
            try:
                found.append(x509.RFC822Name(str(attribute.value)))
            except ValueError:  # no address in ASCII: compared with nothing, so allowed by nobody
                return str(attribute.value)[:200]
    for constraints in all_constraints:
        for name in found:
            if not _allows(constraints, name):
                return str(name.value)[:200]
    return None


def _allows(constraints: Constraints, name: x509.GeneralName) -> bool:
    kind = type(name)
    permitted = [each for each in constraints.permitted if type(each) is kind]
    excluded = [each for each in constraints.excluded if type(each) is kind]
    if any(_within(name, each, wide=True) for each in excluded):
        return False
    return not permitted or any(_within(name, each, wide=False) for each in permitted)


def _within(name: x509.GeneralName, constraint: x509.GeneralName, *, wide: bool) -> bool:
    if isinstance(name, x509.DirectoryName) and isinstance(constraint, x509.DirectoryName):
        return _within_directory(name.value, constraint.value, wide=wide)
    if isinstance(name, x509.RFC822Name) and isinstance(constraint, x509.RFC822Name):
        return _within_mail(name.value, constraint.value, wide=wide)
    if isinstance(name, x509.UniformResourceIdentifier) and isinstance(constraint, x509.UniformResourceIdentifier):
        return _within_host(_host_of(name.value), constraint.value, wide=wide)
    return wide  # a kind that is not compared: excluded, and never permitted


def _within_mail(address: str, constraint: str, *, wide: bool) -> bool:
    local, _, host = address.rpartition("@")
    if "@" not in constraint:
        return _within_host(host.lower(), constraint, wide=wide)
    mailbox, _, at = constraint.rpartition("@")
    if host.lower() != at.lower():
        return False
    return local == mailbox or (wide and local.lower() == mailbox.lower())


def _within_host(host: str, constraint: str, *, wide: bool) -> bool:
    """`host.example` means the host itself, `.example` everything below it."""
    asked = constraint.lower()
    if not _HOST.fullmatch(host) or not _HOST.fullmatch(asked.removeprefix(".")):
        return wide
    return host.endswith(asked) if asked.startswith(".") else host == asked


def _host_of(uri: str) -> str:
    """The host of a URI in lower case; empty: it has none."""
    _, separator, rest = uri.partition("://")
    if not separator:
        return ""
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    return authority.rpartition("@")[2].partition(":")[0].lower()


def _within_directory(name: x509.Name, constraint: x509.Name, *, wide: bool) -> bool:
    head = name.rdns[: len(constraint.rdns)]
    if head == constraint.rdns:
        return True
    return wide and [_folded(rdn) for rdn in head] == [_folded(rdn) for rdn in constraint.rdns]


def _folded(rdn: x509.RelativeDistinguishedName) -> set[tuple[str, str]]:
    return {(each.oid.dotted_string, " ".join(str(each.value).lower().split())) for each in rdn}
