"""The registry client: one repository of a registry, by the OCI distribution specification 1.1.

`Session` holds what a run knows of each registry host; `RegistryStore` is the `Store` of one repository. Section names below
are those of the distribution specification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import (
    ContentError,
    DigestMismatchError,
    ForbiddenError,
    LimitError,
    NotFoundError,
    ProtocolError,
    RedirectError,
    SealgateError,
    ServerFailureError,
)
from sealgate.oci import manifest as manifests
from sealgate.oci.descriptor import Descriptor
from sealgate.oci.host import Host, RegistrySettings, reason
from sealgate.oci.store import Manifest, Store
from sealgate.transport.message import FileBody, Response, Sink, Url

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.oci.reference import Reference

_NO_REFERRERS_API = frozenset({400, 404, 405, 406, 501})
_READ, _WRITE, _DELETE = "pull", "push,pull", "delete,pull,push"


class Session:
    """What one run knows of registries. Stores of one session share tokens and connections."""

    def __init__(self, settings: RegistrySettings) -> None:
        self.settings = settings
        self._hosts: dict[str, Host] = {}

    def repository(self, reference: Reference, *, writing: bool = False) -> RegistryStore:
        """The store of a reference's repository, to be read or to be written to; tag and digest are ignored."""
        return RegistryStore(self._host(reference), reference.registry, reference.repository, writing=writing)

    def _host(self, reference: Reference) -> Host:
        host = self._hosts.get(reference.registry)
        if host is None:
            host = self._hosts[reference.registry] = Host(reference, self.settings)
        return host

    async def check_credentials(self, registry: str) -> bool:
        """Whether a registry (canonical) takes the session's credentials; False when it asks for none at all.

        Raises `UnauthorizedError` for credentials that it refuses.
        """
        from sealgate.oci.reference import Reference

        return await self._host(Reference(registry, "")).check_credentials()

    def renewed(self) -> Session:
        """A session for another run that knows what this one has learned. What is in flight belongs to one run alone."""
        session = Session(self.settings)
        session.learn(self)
        return session

    def under(self, change: Callable[[RegistrySettings], RegistrySettings]) -> Session:
        """A session of its own with other settings, made of these. Nothing that either learns is the other's."""
        return Session(change(self.settings))

    def of(self, registry: str, *, most: int) -> Session:
        """A session that knows of this host alone what this one knows, with at most that many authorizations."""
        session = Session(self.settings)
        if (host := self._hosts.get(registry)) is not None:
            session._hosts[registry] = host.renewed(most=most)
        return session

    def learn(self, other: Session) -> None:
        """Take over what another session, whose run has ended, knows of its hosts."""
        for name, host in other._hosts.items():
            self._hosts[name] = host.renewed()


class RegistryStore:
    """The `Store` of one repository of a registry."""

    def __init__(self, host: Host, registry: str, repository: str, *, writing: bool = False) -> None:
        """`writing` asks for the right to push when it reads, too.

        A token service refuses the right to pull alone from a repository that does not exist yet (Docker Hub does), and one
        token then serves both.
        """
        self._host = host
        self.registry = registry
        self.repository = repository
        self._read_actions = _WRITE if writing else _READ

    @property
    def name(self) -> str:
        """`registry/repository`."""
        return f"{self.registry}/{self.repository}"

    async def get_manifest(self, which: str | Digest) -> Manifest | None:
        """Pull a manifest (section "Pulling manifests")."""
        response = await self._read(f"manifests/{which}", limits.MANIFEST_BYTES, (("Accept", manifests.ACCEPT),))
        what = f"{self.name}{'@' if isinstance(which, Digest) else ':'}{which}"
        if response is None:
            return None
        expected = which if isinstance(which, Digest) else None
        found = manifests.parse(response.body, response.header("content-type"), expected=expected, what=what)
        said = response.header("docker-content-digest")
        if said is not None and said != str(found.digest) and said.startswith("sha256:"):
            raise DigestMismatchError(
                f"{what}: the registry says {Digest.parse(said)}, its bytes hash to {found.digest}",
                hint="the registry or something before it serves other content; nothing of it was used",
            )
        return found

    async def head_manifest(self, which: str | Digest) -> Descriptor | None:
        """Ask for a manifest's digest (section "Checking if content exists in the registry")."""
        response = await self._host.request(
            "HEAD", self._path(f"manifests/{which}"), repository=self.repository, actions=self._read_actions,
            headers=(("Accept", manifests.ACCEPT),), follow=True,
        )  # fmt: skip
        if response.status == 404:
            return None
        self._expect(response, {200}, f"manifests/{which}")
        said = response.header("docker-content-digest")
        if said is None:  # the header is optional: fetch and hash
            found = await self.get_manifest(which)
            return found.descriptor() if found is not None else None
        length = response.header("content-length") or "0"
        return Descriptor(
            response.header("content-type") or "", int(length) if length.isdigit() else 0, Digest.parse(said)
        )

    async def get_blob(self, digest: Digest, *, limit: int) -> bytes:
        """Pull a blob (section "Pulling blobs"); redirects to storage are followed without credentials."""
        response = await self._read(f"blobs/{digest}", limit, ())
        if response is None:
            raise NotFoundError(f"{self.name} has no blob {digest}")
        digest.check(response.body, f"blob of {self.name}")
        return response.body

    async def get_blob_to(self, digest: Digest, sink: Sink) -> None:
        """Stream a blob into `sink`, and hash it on the way."""
        hashing = _HashingSink(sink, digest.algorithm)
        response = await self._read(f"blobs/{digest}", limits.BLOB_BYTES, (), hashing)
        if response is None:
            raise NotFoundError(f"{self.name} has no blob {digest}")
        if hashing.hexdigest() != digest.hex:
            raise DigestMismatchError(
                f"blob of {self.name}: asked for {digest}, got {digest.algorithm}:{hashing.hexdigest()}"
            )

    async def has_blob(self, digest: Digest) -> bool:
        """Whether a blob is there."""
        response = await self._host.request(
            "HEAD", self._path(f"blobs/{digest}"), repository=self.repository, actions=self._read_actions, follow=True
        )
        if response.status == 404:
            return False
        self._expect(response, {200}, f"blobs/{digest}")
        return True

    async def put_blob(self, body: bytes | FileBody, digest: Digest) -> None:
        """Push a blob unless it is there (section "Pushing a blob monolithically": POST then PUT)."""
        head = await self._host.request(
            "HEAD", self._path(f"blobs/{digest}"), repository=self.repository, actions=_WRITE, follow=True
        )
        if head.status == 200:
            return
        opened = await self._write("POST", self._path("blobs/uploads/"))
        self._expect(opened, {202}, "blobs/uploads/")
        await self._finish_upload(opened, body, digest)

    async def _finish_upload(self, opened: Response, body: bytes | FileBody, digest: Digest) -> None:
        from sealgate.transport.url import resolve_url

        location = opened.header("location")
        if not location:
            raise ProtocolError(f"{self.name}: the registry opens an upload without saying where")
        base = await self._host.url(self._path("blobs/uploads/"))
        where = resolve_url(base, location)
        if base.scheme == "https" and where.scheme != "https":
            raise RedirectError(f"{self.name}: the registry wants an upload by plain http")
        where = where._replace(
            target=f"{where.target}{'&' if '?' in where.target else '?'}digest={digest}".replace(":", "%3A")
        )
        stored = await self._write("PUT", where, body, (("Content-Type", "application/octet-stream"),))
        self._expect(stored, {201, 204}, "blobs/uploads/")

    async def mount_blob(self, digest: Digest, source: Store) -> bool:
        """Mount a blob from another repository of this registry (section "Mounting a blob from another repository")."""
        if not isinstance(source, RegistryStore) or source.registry != self.registry:
            return False
        if source.repository == self.repository:
            return True
        target = f"{self._path('blobs/uploads/')}?mount={digest.algorithm}%3A{digest.hex}&from={source.repository.replace('/', '%2F')}"
        try:
            response = await self._write("POST", target)
        except SealgateError:
            return False
        return response.status == 201

    async def put_manifest(self, raw: bytes, media_type: str, tag: str | None = None) -> Digest:
        """Push a manifest (section "Pushing manifests") by tag, or by digest when there is no tag."""
        digest = Digest.of(raw)
        which = tag if tag is not None else str(digest)
        response = await self._write("PUT", self._path(f"manifests/{which}"), raw, (("Content-Type", media_type),))
        self._expect(response, {200, 201, 202}, f"manifests/{which}")
        said = response.header("docker-content-digest")
        if said is not None and said != str(digest) and said.startswith("sha256:"):
            raise DigestMismatchError(f"{self.name}: pushed {digest}, the registry stored {Digest.parse(said)}")
        return digest

    async def delete_manifest(self, which: str | Digest) -> bool:
        """Delete a manifest or a tag (section "Content management")."""
        response = await self._host.request(
            "DELETE", self._path(f"manifests/{which}"), repository=self.repository, actions=_DELETE
        )
        if response.status == 404:
            return False
        if response.status in {400, 405} and not isinstance(which, Digest):
            found = await self.head_manifest(which)  # distribution deletes by digest only
            return found is not None and await self.delete_manifest(found.digest)
        if response.status == 405:
            raise ForbiddenError(f"{self.name}: the registry does not allow deletion")
        self._expect(response, {202, 200, 204}, f"manifests/{which}")
        return True

    async def list_referrers(self, subject: Digest) -> list[Descriptor] | None:
        """List referrers (section "Listing Referrers"); None where the API does not exist."""
        from sealgate import strictjson

        target: str | Url = self._path(f"referrers/{subject}")
        found: list[Descriptor] = []
        what = f"the referrers of {self.name}@{subject}"
        if self.repository.partition("/")[0] in self._host.without_referrers:
            return None
        for _ in range(limits.REFERRER_PAGES):
            response = await self._host.request(
                "GET", target, repository=self.repository, actions=self._read_actions, headers=(("Accept", manifests.OCI_INDEX),),
                limit=limits.MANIFEST_BYTES, follow=True,
            )  # fmt: skip
            if response.status in _NO_REFERRERS_API and not found:
                if response.status == 404 and not reason(response):
                    # The route itself is unknown, not this image: no need to ask for the next one of the same place.
                    self._host.without_referrers.add(self.repository.partition("/")[0])
                return None
            content_type = (response.header("content-type") or "").partition(";")[0].strip()
            if response.status == 200 and content_type != manifests.OCI_INDEX and not found:
                return None
            self._expect(response, {200}, f"referrers/{subject}")
            document = strictjson.parse_object(response.body, limit=limits.MANIFEST_BYTES, what=what)
            found += _entries(document, what)
            if len(found) > limits.INDEX_CHILDREN:
                raise LimitError(f"{what}: more than {limits.INDEX_CHILDREN}")
            following = await self._next_page(response, target)
            if following is None:
                return found
            target = following
        raise LimitError(f"{what}: more than {limits.REFERRER_PAGES} pages")

    async def list_tags(self) -> list[str]:
        """List tags (section "Listing Tags")."""
        from sealgate import strictjson

        target: str | Url = self._path("tags/list")
        found: list[str] = []
        for _ in range(limits.TAG_PAGES):
            response = await self._host.request(
                "GET", target, repository=self.repository, actions=self._read_actions, limit=limits.MANIFEST_BYTES
            )
            if response.status == 404 and not found:
                return []
            self._expect(response, {200}, "tags/list")
            what = f"the tags of {self.name}"
            tags = strictjson.parse_object(response.body, limit=limits.MANIFEST_BYTES, what=what).get("tags")
            found += [tag for tag in tags or [] if isinstance(tag, str)]
            following = await self._next_page(response, target)
            if following is None:
                return found
            target = following
        raise LimitError(f"the tags of {self.name}: more than {limits.TAG_PAGES} pages")

    # -- how

    def _path(self, rest: str) -> str:
        return f"/v2/{self.repository}/{rest}"

    async def _read(
        self, rest: str, limit: int, headers: tuple[tuple[str, str], ...], sink: Sink | None = None
    ) -> Response | None:
        response = await self._host.request(
            "GET", self._path(rest), repository=self.repository, actions=self._read_actions, headers=headers, limit=limit, sink=sink,
            follow=True,
        )  # fmt: skip
        if response.status == 404:
            return None
        self._expect(response, {200}, rest)
        return response

    async def _write(
        self, method: str, target: str | Url, body: bytes | FileBody = b"", headers: tuple[tuple[str, str], ...] = ()
    ) -> Response:
        return await self._host.request(
            method, target, repository=self.repository, actions=_WRITE, headers=headers, body=body
        )

    def _expect(self, response: Response, good: set[int], rest: str) -> None:
        if response.status not in good:
            raise ServerFailureError(f"{self.name}: {rest} answers {response.status}{reason(response)}")

    async def _next_page(self, response: Response, target: str | Url) -> Url | None:
        """The `Link: <…>; rel="next"` of a list (RFC 8288), on the registry's own host only."""
        links = response.all("link")
        if not links:
            return None
        from sealgate.transport.url import resolve_url

        base = target if isinstance(target, Url) else await self._host.url(target)
        location = _next_link(links, self.name)
        if location is None:
            return None
        following = resolve_url(base, location)
        if following.origin != base.origin:
            raise RedirectError(f"{self.name}: the next page of a list is on another host, {following}")
        if following == base:
            raise RedirectError(f"{self.name}: the pages of a list go round in a circle")
        return following


class _HashingSink:
    """Hashes what passes through."""

    def __init__(self, sink: Sink, algorithm: str) -> None:
        self._sink = sink
        self._algorithm = algorithm
        self.restart()

    def write(self, data: bytes, /) -> None:
        self._hash.update(data)
        self._sink.write(data)

    def restart(self) -> None:
        import hashlib

        self._hash = hashlib.new(self._algorithm)
        self._sink.restart()

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _entries(document: dict[str, Any], what: str) -> list[Descriptor]:
    """The entries of an index that are descriptors; junk among them is left out, it can prove nothing."""
    entries = document.get("manifests")
    found = []
    for entry in entries if isinstance(entries, list) else []:
        try:
            found.append(Descriptor.parse(entry, what))
        except ContentError:
            continue
    return found


_LINK_CHARS = 8192
_PARAMETER = (
    r"""[ \t]*+;[ \t]*+(?:([!#$%&'*+.^_`|~0-9A-Za-z-]++)[ \t]*+(?:=[ \t]*+("(?:[^"\\]|\\.)*+"|[^\s",;]*+))?)?"""
)


def _next_link(headers: list[str], what: str) -> str | None:
    """The target of `rel=next` among Link headers (RFC 8288, section 3). Raises `ProtocolError` for one that has no clear meaning.

    A page that is missed would hide what stands on it, so that a target with commas, or other parameters before `rel`, must
    not end the list.
    """
    import re

    for header in headers:
        position = 0
        pattern = re.compile(rf"[ \t,]*+<([^<>]*+)>((?:{_PARAMETER})*+)[ \t]*+(?=,|$)")
        while len(header) <= _LINK_CHARS and (found := pattern.match(header, position)):
            position = found.end()
            given = [(name.lower(), value) for name, value in re.findall(_PARAMETER, found[2])]
            relation = next((value.strip('"') for name, value in given if name == "rel"), "")
            if "next" in relation.lower().split():
                return found[1]
        if header[position:].strip(" \t,") and "next" in header[position:].lower():
            raise ProtocolError(f"{what}: the registry names the next page of a list in a way that cannot be read")
    return None
