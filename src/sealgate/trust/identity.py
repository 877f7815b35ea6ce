"""Who a certificate names, and who is asked for.

What Fulcio writes into certificates: one subject alternative name and extensions under the arc 1.3.6.1.4.1.57264.1 (Fulcio,
docs/oid-info.md). Their names here are those of cosign and sigstore-go.

The kinds of names cannot be mistaken for each other, because a name that looks like another kind is refused where it is read
(bypass C09): a URI has a scheme, an e-mail address has an `@` and no scheme, a user name of Fulcio has a `!` and no `@`.
So a name that is asked for implies its kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sealgate import limits
from sealgate.errors import UsageError
from sealgate.trust.failure import TrustFailure

ARC = "1.3.6.1.4.1.57264.1."
USER_NAME = f"{ARC}7"
"""The type of the OtherName that names users of issuers without e-mail addresses."""
EXTENSIONS = {
    "2": "githubWorkflowTrigger",
    "3": "githubWorkflowSha",
    "4": "githubWorkflowName",
    "5": "githubWorkflowRepository",
    "6": "githubWorkflowRef",
    "9": "buildSignerURI",
    "10": "buildSignerDigest",
    "11": "runnerEnvironment",
    "12": "sourceRepositoryURI",
    "13": "sourceRepositoryDigest",
    "14": "sourceRepositoryRef",
    "15": "sourceRepositoryIdentifier",
    "16": "sourceRepositoryOwnerURI",
    "17": "sourceRepositoryOwnerIdentifier",
    "18": "buildConfigURI",
    "19": "buildConfigDigest",
    "20": "buildTrigger",
    "21": "runInvocationURI",
    "22": "sourceRepositoryVisibilityAtSigning",
    "23": "deploymentEnvironment",
    "24": "tokenSubject",
}
"""Last number of the OID to name. The issuer (1 and 8) is a field of its own."""
_NAMES = frozenset(EXTENSIONS.values())
_ISSUERS = ("8", "1")
_READ = frozenset((*EXTENSIONS, *_ISSUERS))
_RAW = frozenset("1 2 3 4 5 6".split())
"""Extensions that hold the text itself; the others hold a DER UTF8String."""
_CONTROL = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0))))

_KINDS = {  # compiled when they are first needed: start-up
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+",  # RFC 3986, section 3; RFC 5280, section 4.2.1.6: absolute
    "email": r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9._-]+",  # RFC 5321: dot-string and domain
    "othername": r"(?![A-Za-z][A-Za-z0-9+.-]*://)[^@]+![^@!]+",  # Fulcio: name!domain
}
_NOTHING = {"uri": "a URI", "email": "an e-mail address", "othername": "a user name of Fulcio (name!domain)"}


class Identity(NamedTuple):
    """Who a certificate names. Believed only after the certificate is."""

    subject: str
    kind: str
    """`uri`, `email`, or `othername`: a user name of Fulcio."""
    issuer: str
    """Who vouched for the name; empty: the certificate does not say (an authority that is no Fulcio)."""
    extensions: tuple[tuple[str, str], ...]
    """What else Fulcio wrote: name (see `EXTENSIONS`) and value, in the order of their OIDs."""

    def describe(self) -> str:
        """For people."""
        return f"{self.subject} (issuer: {self.issuer})" if self.issuer else f"{self.subject} (no issuer)"

    @property
    def source(self) -> str | None:
        """For people: from which source a CI signed, which its name need not tell (a workflow may stand elsewhere)."""
        known = dict(self.extensions)
        place = known.get("sourceRepositoryURI") or known.get("githubWorkflowRepository")
        ref = known.get("sourceRepositoryRef") or known.get("githubWorkflowRef")
        commit = known.get("sourceRepositoryDigest") or known.get("githubWorkflowSha")
        parts = [*((place,) if place else ()), *((ref,) if ref else ()), *((f"commit {commit}",) if commit else ())]
        return ", ".join(parts) or None


def read(names: Sequence[tuple[str, str]], extensions: Iterable[tuple[str, bytes]]) -> Identity:
    """The identity of a certificate with these names, (kind, value), and these extensions under the arc, (number, content).

    Raises `TrustFailure`: `identity-malformed` or `certificate-malformed`.
    """
    if len(names) != 1:
        raise TrustFailure("identity-malformed", f"its certificate has {len(names)} names instead of one")
    [(kind, subject)] = names
    if kind not in _KINDS:
        raise TrustFailure(
            "identity-malformed", f"its certificate names {kind}, not an e-mail address, a URI or a user"
        )
    if not re.fullmatch(_KINDS[kind], _plain(subject, "name")):
        raise TrustFailure(
            "identity-malformed", f"its certificate's name is not {_NOTHING[kind]}: {ascii(subject)[:200]}"
        )
    texts = {number: _text(number, content) for number, content in extensions if number in _READ}
    issuers = [_plain(texts.pop(number), "issuer") for number in _ISSUERS if number in texts]
    if len(set(issuers)) > 1:
        raise TrustFailure("identity-malformed", f"its certificate names two issuers: {issuers[0]} and {issuers[1]}")
    if "" in issuers:
        raise TrustFailure("identity-malformed", "its certificate names an empty issuer")
    found = tuple((name, texts[number]) for number, name in EXTENSIONS.items() if number in texts)
    return Identity(subject, kind, issuers[0] if issuers else "", found)


def _plain(text: str, what: str) -> str:
    """A name that people read and compare: nothing invisible in it."""
    if not text.isprintable() or len(text) > limits.IDENTITY_BYTES:
        raise TrustFailure("identity-malformed", f"its certificate's {what} is too long, or has characters nobody sees")
    return text


def _text(number: str, content: bytes) -> str:
    if len(content) > limits.IDENTITY_BYTES:
        message = f"its certificate's extension {ARC}{number} has {len(content)} bytes; at most {limits.IDENTITY_BYTES} are read"
        raise TrustFailure("certificate-malformed", message)
    raw = content if number in _RAW else utf8_string(content)
    try:
        text = None if raw is None else raw.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    if text is None or not (text.isprintable() or _CONTROL.isdisjoint(text)):
        raise TrustFailure("certificate-malformed", f"its certificate's extension {ARC}{number} is no text")
    return text


def utf8_string(content: bytes) -> bytes | None:
    """The content of a UTF8String (X.690: DER, so the shortest length, and nothing behind it); None: it is none."""
    if len(content) < 2 or content[0] != 0x0C:
        return None
    size, start = content[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(content[2:start], "big")
        if start > 4 or size < 0x80 or content[2] == 0:
            return None
    return content[start:] if len(content) == start + size else None


class IdentityPattern(NamedTuple):
    """Who is asked for. Made by `parse`."""

    subject: str | None
    subject_regexp: str | None
    issuer: str | None
    issuer_regexp: str | None
    extensions: tuple[tuple[str, str], ...]
    """Compared exactly."""
    anchored: bool
    """Regular expressions match the whole text; else any part of it."""
    missing: bool = False
    """Of a certificate that names no issuer the issuer is the empty text, which `.*` matches: cosign's flags."""

    @classmethod
    def parse(
        cls,
        *,
        subject: str | None,
        subject_regexp: str | None,
        issuer: str | None,
        issuer_regexp: str | None,
        extensions: Sequence[tuple[str, str]],
        anchored: bool,
        missing: bool = False,
    ) -> IdentityPattern:
        """Check what is asked for. `anchored`: a policy's (invariant 8); cosign's flags are not, and mean `missing`.

        Neither `issuer` nor `issuer_regexp`: any issuer, or none; for the caller to decide whether that can be meant.
        Raises `UsageError`.
        """
        for what, exact, regexp in (("identity", subject, subject_regexp), ("issuer", issuer, issuer_regexp)):
            if exact is not None and regexp is not None:
                raise UsageError(f"the {what} is given exactly and as a regular expression: one of them")
            if exact == "" or regexp == "":
                raise UsageError(f"the {what} that is asked for is empty")
            if regexp is not None:
                _compiled(regexp)
        if subject is None and subject_regexp is None:
            raise UsageError("nothing says who must have signed: an identity or a regular expression for it is needed")
        names = [name for name, _ in extensions]
        for name, value in extensions:
            if name not in _NAMES:
                raise UsageError(f"certificates have no extension {name[:100]!r}", hint=", ".join(EXTENSIONS.values()))
            if not value or names.count(name) > 1:
                raise UsageError(f"the extension {name} is asked for {'twice' if value else 'with an empty value'}")
        found = tuple(sorted(extensions))
        return cls(subject, subject_regexp, issuer, issuer_regexp, found, anchored, missing)

    def mismatch(self, identity: Identity) -> TrustFailure | None:
        """What is not as it is asked for, or None."""
        if not identity.subject or not self._fits(self.subject, self.subject_regexp, identity.subject):
            asked = self.subject or f"a name that matches {self.subject_regexp}"
            return TrustFailure("identity-mismatch", f"is by {identity.subject}, not by {asked}")
        vouched_for = (identity.issuer or self.missing) and self._fits(self.issuer, self.issuer_regexp, identity.issuer)
        if (self.issuer or self.issuer_regexp) and not vouched_for:
            asked = self.issuer or f"an issuer that matches {self.issuer_regexp}"
            vouched = identity.issuer or "nobody"
            return TrustFailure("issuer-mismatch", f"is by {identity.subject}, for whom {vouched} vouched, not {asked}")
        known = dict(identity.extensions)
        for name, value in self.extensions:
            if known.get(name) != value:
                said = f"{name} {known[name]}" if name in known else f"no {name}"
                return TrustFailure("extension-mismatch", f"has {said} in its certificate, not {value}")
        return None

    def _fits(self, exact: str | None, regexp: str | None, text: str) -> bool:
        """Whether a text is as asked for; what is not asked for in either way fits nothing."""
        if exact is not None:
            return text == exact
        if regexp is None:
            return False
        compiled = _compiled(regexp)
        return (compiled.fullmatch(text) if self.anchored else compiled.search(text)) is not None

    def unanchored(self) -> dict[str, str]:
        """The regular expressions that may match a part of a text: what for, and which."""
        if self.anchored:
            return {}
        given = {"identity": self.subject_regexp, "issuer": self.issuer_regexp}
        return {name: regexp for name, regexp in given.items() if regexp is not None and not _is_anchored(regexp)}

    def describe(self) -> str:
        """For people: `ci@example.com (issuer: https://accounts.example.com)`."""
        who = self.subject or f"/{self.subject_regexp}/"
        issuer = self.issuer or (f"/{self.issuer_regexp}/" if self.issuer_regexp else "any")
        more = "".join(f", {name}: {value}" for name, value in self.extensions)
        return f"{who} (issuer: {issuer}{more})"


def _compiled(expression: str) -> Any:
    """RE2, as in cosign. Raises `UsageError`."""
    from sealgate import regexp

    try:
        return regexp.compiled(expression)
    except ValueError as error:
        raise UsageError(
            f"{expression[:200]!r} is not a regular expression for identities: {error}",
            hint="the syntax is RE2's, as in Go and cosign",
        ) from None


_PIECE = r"(?s)\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|."
"""One piece of a regular expression: a quotation, an escape, a class of characters, a character."""


def _is_anchored(regexp: str) -> bool:
    """Whether it is `^…$` as a whole. Where that is not plain to see, no: the answer is for a warning."""
    pieces = re.findall(_PIECE, regexp)
    if len(pieces) < 2 or pieces[0] not in ("^", r"\A") or pieces[-1] not in ("$", r"\z"):
        return False
    depth = 0
    for piece in pieces:
        depth += (piece == "(") - (piece == ")")
        if piece == "|" and depth == 0:
            return False
    return True
