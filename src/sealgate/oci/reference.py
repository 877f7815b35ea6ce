"""Image references: `registry/repository[:tag][@digest]`, parsed once and canonical from then on.

One ASCII grammar, never looser than that of distribution and containerd (`github.com/distribution/reference`): what they
refuse is refused here, and where libraries disagree about a text it is refused too (bypasses R04 to R09, R12, R15).
Two references are the same place exactly when their canonical texts are equal.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import DigestInvalidError, InvalidReferenceError

HUB = "index.docker.io"
"""Docker Hub as cosign spells it, in a docker-reference and as the host of its API."""

_IMPLICIT_LIBRARY = frozenset({"docker.io", "index.docker.io"})
_HUB_HOSTS = _IMPLICIT_LIBRARY | {"registry-1.docker.io", "registry.hub.docker.com"}
_TRANSPORTS = frozenset(
    {"atomic", "containers-storage", "dir", "docker-archive", "docker-daemon", "http", "https", "oci", "oci-archive"}
    | {"oci-layout", "ostree", "sif", "tarball"}
)

_NAME_CHARS = 255
_TEXT_CHARS = 512
_NAME_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"


class Reference(NamedTuple):
    """A place in a registry. Made by `parse`; every part is canonical."""

    registry: str
    """`host[:port]`: lower case, without the default port 443, `[…]` around IPv6; Docker Hub is `index.docker.io`."""
    repository: str
    """With `library/` where Docker Hub implies it."""
    tag: str | None = None
    """For display only when there is a digest too: the digest alone decides (bypass R01)."""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read an image reference: `parse`, where only the class is at hand. Raises `InvalidReferenceError`."""
        return parse(text)

    @property
    def name(self) -> str:
        """`registry/repository`, the docker-reference of a signature."""
        return f"{self.registry}/{self.repository}"

    @property
    def host(self) -> str:
        """The registry's host without port and brackets."""
        return _split_port(self.registry)[0].strip("[]")

    @property
    def port(self) -> int | None:
        """The registry's port when it is not the default."""
        port = _split_port(self.registry)[1]
        return int(port) if port else None

    @property
    def hub(self) -> bool:
        """Whether this is Docker Hub."""
        return self.registry == HUB

    @property
    def api_host(self) -> str:
        """`host[:port]` that answers `/v2/`; for Docker Hub the one that go-containerregistry asks."""
        return self.registry

    @property
    def which(self) -> str | Digest:
        """What to ask the registry for: the digest when there is one, else the tag."""
        return self.digest or self.tag or "latest"

    def with_digest(self, digest: Digest) -> Reference:
        """The same repository at `digest`, without a tag."""
        return self._replace(tag=None, digest=digest)

    def with_tag(self, tag: str) -> Reference:
        """The same repository at `tag`, without a digest. Raises `InvalidReferenceError` for a tag that none can be."""
        return self._replace(tag=parse_tag(tag), digest=None)

    def __str__(self) -> str:
        """`registry/repository[:tag][@digest]`; parses to an equal reference."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def parse(text: str) -> Reference:
    """Read an image reference; without tag and digest the tag is `latest`.

    Raises `InvalidReferenceError` for everything that the grammar does not accept, and for texts that tools read in
    different ways.
    """
    _check_text(text)
    rest, digest = _split_digest(text)
    name, tag = _split_tag(rest, text)
    registry, repository = _parse_name(name, text)
    if tag is not None:
        parse_tag(tag)
    elif digest is None:
        tag = "latest"
    return Reference(registry, repository, tag, digest)


def parse_repository(text: str) -> Reference:
    """Read `registry/repository` without tag and digest (cosign's `COSIGN_REPOSITORY`); `tag` and `digest` are None.

    Raises `InvalidReferenceError`.
    """
    _check_text(text)
    rest, digest = _split_digest(text)
    name, tag = _split_tag(rest, text)
    if tag is not None or digest is not None:
        raise InvalidReferenceError(
            f"a repository has no tag and no digest: {_shown(text)}", hint="give registry/repository alone"
        )
    return Reference(*_parse_name(name, text), None, None)


def parse_tag(text: str) -> str:
    """Return `text` when it is a tag (distribution specification: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`).

    Raises `InvalidReferenceError`.
    """
    if re.fullmatch(_TAG, text) is None:
        raise InvalidReferenceError(
            f"not a tag: {text[:140]!a}",
            hint="at most 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'",
        )
    return text


def parse_registry(text: str) -> str:
    """The canonical `host[:port]` of a registry, by the same grammar (`login`, auth files). Docker Hub's aliases are one.

    Raises `InvalidReferenceError`.
    """
    _check_text(text)
    registry = _parse_host(text, text)
    return HUB if registry in _HUB_HOSTS else registry


def _check_text(text: str) -> None:
    """Refuse what no reference may contain before anything is taken apart (bypass R08)."""
    if not text:
        raise InvalidReferenceError("the image reference is empty", hint="registry/repository:tag or …@sha256:…")
    if len(text) > _TEXT_CHARS:
        raise InvalidReferenceError(f"an image reference of {len(text)} characters is longer than any can be")
    for index, char in enumerate(text):
        if not "!" <= char <= "~":
            raise InvalidReferenceError(
                f"the image reference has the character U+{ord(char):04X} at position {index + 1}",
                hint="references are ASCII without spaces and control characters; was it copied from a formatted text?",
            )


def _shown(text: str) -> str:
    """`text` for a message, without what may be a password before an `@`."""
    before, at, after = text.rpartition("@")
    if at and ("@" in before or not after.startswith(("sha256:", "sha512:"))):
        text = f"…@{after}"
    return f"'{text[: limits.TEXT_CHARS]}'"


def _invalid(text: str, why: str, hint: str | None = None) -> InvalidReferenceError:
    return InvalidReferenceError(f"not an image reference: {_shown(text)}: {why}", hint=hint)


def _split_digest(text: str) -> tuple[str, Digest | None]:
    rest, at, after = text.partition("@")
    if not at:
        return text, None
    if not rest:
        raise _invalid(text, "a digest alone does not say where the image is", "give registry/repository@sha256:…")
    if "/" in after or "@" in after:
        raise _invalid(text, "a user name or password has no place in it", "`sealgate login` keeps credentials")
    try:
        digest = Digest.parse(after)
    except DigestInvalidError as error:
        raise _invalid(text, "what follows '@' is not a digest", "@sha256: and 64 lower-case hex digits") from error
    if digest.algorithm != "sha256":
        raise _invalid(
            text,
            f"images are not addressed by {digest.algorithm} here",
            "give the sha256 digest: what is attached to an image is found by it",
        )
    return rest, digest


def _split_tag(rest: str, text: str) -> tuple[str, str | None]:
    """Split at the first colon after the last slash; refuse what names a transport or a content id (bypass R12)."""
    if "://" in rest:
        raise _invalid(text, "it is not a URL", "write it without the scheme: registry/repository:tag")
    slash = rest.rfind("/")
    name, colon, tag = rest[slash + 1 :].partition(":")
    first = rest.partition("/")[0]
    scheme = first.partition(":")[0].lower()
    if scheme in _TRANSPORTS and ":" in first:
        raise _invalid(text, f"{scheme}: is not read here", "an image in a registry, oci:DIR or oci-archive:FILE")
    if slash < 0 and (name.lower() in ("sha256", "sha512") or re.fullmatch("[0-9a-fA-F]{64}", name)):
        raise _invalid(
            text, "an image id or digest alone does not say where the image is", "give registry/repository@sha256:…"
        )
    return rest[: slash + 1] + name, tag if colon else None


def _parse_name(name: str, text: str) -> tuple[str, str]:
    """Canonical registry and repository. The first part is a host by the rule of distribution (`splitDockerDomain`)."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        host, path = _parse_host(first, text), rest
    elif slash and first != first.lower():
        # distribution takes it for a host, go-containerregistry for a part of the path
        raise _invalid(text, f"{first} is neither a host nor a lower-case name", "repository names are lower case")
    else:
        host, path = "docker.io", name
        if not slash and first == "localhost":
            raise _invalid(text, "the repository is missing", "localhost[:port]/repository")
    if re.fullmatch(f"{_NAME_PART}(?:/{_NAME_PART})*", path) is None:
        why = "repository names are lower case" if path != path.lower() else "the repository's name is malformed"
        raise _invalid(
            text, why, "lower-case letters and digits, joined by '.', '_', '__' or '-'; parts separated by one '/'"
        )
    if host in _HUB_HOSTS:
        if "/" not in path:
            # Only these two texts imply it for everyone; to others registry-1.docker.io/nginx is another repository.
            if slash and first not in _IMPLICIT_LIBRARY:
                raise _invalid(text, f"{first} needs a namespace", f"did you mean docker.io/library/{path}?")
            path = f"library/{path}"
        if path == "library/scratch":
            raise _invalid(text, "scratch is no image, but the name of having none")
        host = HUB
    if len(host) + 1 + len(path) > _NAME_CHARS:
        raise _invalid(text[:100], f"its name is longer than {_NAME_CHARS} characters")
    return host, path


def _split_port(text: str) -> tuple[str, str]:
    """Host (with brackets) and port of `host[:port]`."""
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        return host + bracket, rest.removeprefix(":")
    host, _, port = text.partition(":")
    return host, port


def _parse_host(authority: str, text: str) -> str:
    """Canonical `host[:port]`. LDH labels, an exact IPv4 address or a bracketed IPv6 one (bypasses R05 to R07)."""
    if authority.startswith("["):
        matched = re.fullmatch(r"(\[[0-9A-Fa-f:]{2,39}\])(?::([0-9]+))?", authority)
    else:
        matched = re.fullmatch(rf"({_LABEL}(?:\.{_LABEL})*)(?::([0-9]+))?", authority)
    if matched is None or len(matched[1]) > 253:
        raise _invalid(text, "the registry's host is malformed", "host[:port] in ASCII, without a dot at its end")
    host, port = matched[1].lower(), matched[2]
    labels = host.split(".")
    if any(label.startswith("xn--") for label in labels):
        raise _invalid(
            text,
            "a host with xn-- (punycode) is refused, since it may read like another",
            "use an ASCII name of the host",
        )
    if host.startswith("["):
        host = _canonical_ipv6(host[1:-1], text)
    elif (labels[-1].isdigit() or labels[-1].startswith("0x")) and "." in host:
        # The last label of a name is never a number (WHATWG URL, section 3.5): 127.1 and 010.0.0.1 mean two things.
        if re.fullmatch(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}", host) is None:
            raise _invalid(text, "the registry's address is not four plain decimal numbers")
    elif labels[-1].isdigit() or labels[-1].startswith("0x"):
        raise _invalid(text, "a number alone is not a host")
    if port is None:
        return host
    if not 1 <= len(port) <= 5 or port.startswith("0") or int(port) > 65535:
        raise _invalid(text, "the registry's port is not a number from 1 to 65535")
    # Without its port a host of one label would read as a part of a path on Docker Hub.
    default = port == "443" and ("." in host or host == "localhost" or host.startswith("["))
    return host if default else f"{host}:{port}"


def _canonical_ipv6(address: str, text: str) -> str:
    import ipaddress

    try:
        found = ipaddress.IPv6Address(address)
    except ValueError as error:
        raise _invalid(text, "the registry's address is not an IPv6 address") from error
    if found.ipv4_mapped is not None:
        raise _invalid(text, "an IPv4 address in IPv6 clothes is refused", "write the IPv4 address")
    return f"[{found.compressed}]"
