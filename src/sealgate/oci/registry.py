"""The registry client: one repository of a registry, by the OCI distribution specification 1.1.

`Session` holds what a run knows of each registry host (scheme, tokens, retries); `RegistryStore` is the `Store` of one
repository. Section numbers below are those of the distribution specification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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
    ThrottledError,
    TlsError,
    UnauthorizedError,
    UnreachableError,
)
from sealgate.oci import manifest as manifests
from sealgate.oci.descriptor import Descriptor
from sealgate.oci.store import Manifest, Store
from sealgate.transport import address, flow
from sealgate.transport.message import Addresses, FileBody, Request, Response, Sink, Tls, Url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sealgate.oci.challenge import Challenge
    from sealgate.oci.credentials import Credentials
    from sealgate.oci.reference import Reference

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_NO_REFERRERS_API = frozenset({400, 404, 405, 406, 501})
_READ, _WRITE, _DELETE = "pull", "push,pull", "delete,pull,push"


class RegistrySettings(NamedTuple):
    """How registries are talked to. Nothing is read from the environment unless by `from_environment`."""

    credentials: Callable[[str, str], Credentials | None] | None = None
    """Looks up the credentials of a registry and repository; may block; None: anonymous."""
    tls: Tls = Tls()
    allow_http: bool = False
    """Plain http where https is not spoken, for hosts that are not local too."""
    trusted_realms: frozenset[str] = frozenset()
    """Hosts of token services that may see credentials, beyond the registry's own and the well-known ones."""
    user_agent: str = "sealgate"
    first_pause: float = 0.5
    """Seconds before the second try; doubled for each further one."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> RegistrySettings:
        """With docker's and podman's credentials and their helpers, and SEALGATE_REGISTRY_REALMS.

        Files are read, and helpers asked, when a registry wants credentials.
        """
        from sealgate.oci.credentials import Keychain

        realms = (realm.strip().lower() for realm in environ.get("SEALGATE_REGISTRY_REALMS", "").split(","))
        lookup = Keychain(environ=environ, explicit=None).lookup
        return cls(credentials=lookup, trusted_realms=frozenset(filter(None, realms)))


class Session:
    """What one run knows of registries. Stores of one session share tokens and connections."""

    def __init__(self, settings: RegistrySettings) -> None:
        self.settings = settings
        self._hosts: dict[str, _Host] = {}

    def repository(self, reference: Reference) -> RegistryStore:
        """The store of a reference's repository; tag and digest are ignored."""
        host = self._hosts.get(reference.registry)
        if host is None:
            host = self._hosts[reference.registry] = _Host(reference, self.settings)
        return RegistryStore(host, reference.registry, reference.repository)

    def renewed(self) -> Session:
        """A session for another run that knows what this one has learned. What is in flight belongs to one run alone."""
        session = Session(self.settings)
        session.learn(self)
        return session

    def learn(self, other: Session) -> None:
        """Take over what another session, whose run has ended, knows of its hosts."""
        for name, host in other._hosts.items():
            self._hosts[name] = host.renewed()


class _Host:
    """One registry host: its scheme, its authorization, its patience."""

    def __init__(self, reference: Reference, settings: RegistrySettings) -> None:
        self.settings = settings
        self._name = reference.api_host
        self._host, self._port = reference.host, reference.port
        self._scheme: str | None = None
        self._probe: flow.Once[str] = flow.Once()
        self._challenge: Challenge | None = None
        """What the host asked for last; with it, tokens of further scopes are fetched ahead of a 401."""
        self._authorization: dict[tuple[str, str], str] = {}
        self._asking: dict[tuple[str, str], flow.Once[str]] = {}

    def renewed(self) -> _Host:
        """The same knowledge, and nothing in flight."""
        host = object.__new__(_Host)
        vars(host).update(vars(self), _probe=flow.Once(), _asking={}, _authorization=dict(self._authorization))
        return host

    async def url(self, target: str) -> Url:
        """The URL of a path on this host, once it is known whether it speaks TLS."""
        scheme = self._scheme or await self._probe.get(self._find_scheme)
        return Url(scheme, self._host, self._port or (443 if scheme == "https" else 80), target)

    async def _find_scheme(self) -> str:
        """https; only hosts that are local by name, or `allow_http`, may answer the greeting in something else than TLS."""
        if not (self.settings.allow_http or address.is_private(self._host)):
            self._scheme = "https"
            return "https"
        probe = Request(
            "GET", Url("https", self._host, self._port or 443, "/v2/"), self._headers(), tls=self.settings.tls
        )
        try:
            await flow.send(probe)
        except TlsError as error:
            if not error.not_tls:
                raise
            self._scheme = "http"
        except UnreachableError:
            if self._port is not None or not self.settings.allow_http:
                raise
            self._scheme = "http"  # nobody listens on 443, and http is allowed
        else:
            self._scheme = "https"
        return self._scheme

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (("User-Agent", self.settings.user_agent),)

    async def request(
        self,
        method: str,
        target: str | Url,
        *,
        repository: str,
        actions: str,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | FileBody = b"",
        limit: int = limits.SMALL_BODY_BYTES,
        sink: Sink | None = None,
        follow: bool = False,
    ) -> Response:
        """Send with authorization, patience (429, 5xx) and, with `follow`, redirects. 4xx but 401, 403 and 429 are answers."""
        url = target if isinstance(target, Url) else await self.url(target)
        own = url.origin == (await self.url("/")).origin
        scope = (repository, actions)
        pause = self.settings.first_pause
        challenged = False
        attempt = 0
        while True:
            attempt += 1
            sent = [*self._headers(), *headers]
            authorization = None
            if own:
                authorization = self._authorization.get(scope)
                if authorization is None and self._challenge is not None:
                    authorization = await self._obtain(self._challenge, scope, url, None)
                if authorization is not None:
                    sent.append(("Authorization", authorization))
            request = Request(
                method, url, tuple(sent), body, limit, sink, self.settings.tls if own else Tls(), self._rule(url)
            )
            try:
                response = await flow.send(request)
            except UnreachableError as error:
                if not error.broken or attempt >= limits.ATTEMPTS:
                    raise
                await flow.sleep(pause)
                pause *= 2
                continue
            if response.status == 401 and own and not challenged:
                challenged = True
                attempt -= 1
                await self._authorize(response, scope, url, authorization)
                continue
            if response.status in _TRY_AGAIN and attempt < limits.ATTEMPTS:
                await flow.sleep(_pause(response, pause, url))
                pause *= 2
                continue
            if follow and response.status in _REDIRECTS:
                return await self._follow(request, response)
            _raise_for_refusal(response, url)
            return response

    def _rule(self, url: Url) -> Addresses:
        return "any" if url.host == self._host else "not-link-local"

    # -- authorization

    async def _authorize(self, response: Response, scope: tuple[str, str], url: Url, used: str | None) -> None:
        """Answer a 401 (distribution token specification): get what the next try sends."""
        from sealgate.oci import challenge as challenges

        if used is not None and self._authorization.get(scope) == used:
            del self._authorization[scope]  # it expired, or was never good
        if scope not in self._authorization:  # else another request got it meanwhile
            self._challenge = challenges.choose(response.all("www-authenticate"), what=self._name)
            await self._obtain(self._challenge, scope, url, used)

    async def _obtain(self, challenge: Challenge, scope: tuple[str, str], url: Url, used: str | None) -> str:
        """An Authorization value, asked for once however many requests wait for it."""
        once = self._asking.setdefault(scope, flow.Once())
        found = await once.get(lambda: self._get_authorization(challenge, scope, url, used))
        self._authorization[scope] = found
        self._asking.pop(scope, None)
        return found

    async def _get_authorization(self, challenge: Challenge, scope: tuple[str, str], url: Url, used: str | None) -> str:
        credentials = None
        if (lookup := self.settings.credentials) is not None:
            credentials = await flow.call(lambda: lookup(self._name, scope[0]))
        if challenge.scheme == "basic":
            if credentials is None or not credentials.username:
                raise _wants_credentials(self._name, given=False)
            if used is not None:
                raise _wants_credentials(self._name, given=True)
            return credentials.basic()
        if credentials is not None and credentials.registry_token:
            if used is not None:
                raise _wants_credentials(self._name, given=True)
            return f"Bearer {credentials.registry_token}"
        return await self._get_token(challenge, credentials, scope, url)

    async def _get_token(
        self, challenge: Challenge, credentials: Credentials | None, scope: tuple[str, str], url: Url
    ) -> str:
        from sealgate import strictjson
        from sealgate.oci import challenge as challenges

        wanted = f"repository:{scope[0]}:{scope[1]}"
        realm = challenges.token_url(challenge, wanted, registry=url)
        rule = challenges.check_realm(
            realm, registry=url, has_credentials=credentials is not None, trusted=self.settings.trusted_realms
        )
        tls = (
            self.settings.tls
            if realm.origin == url.origin or realm.host == url.host
            else self.settings.tls._replace(
                server_name=None, client_cert=None, client_key=None, insecure_skip_verify=False
            )
        )
        headers = self._headers()
        if credentials is not None and credentials.identity_token:
            from urllib.parse import urlencode

            form = urlencode(
                {
                    "grant_type": "refresh_token",
                    "service": challenge.service or "",
                    "scope": wanted,
                    "client_id": "sealgate",
                    "refresh_token": credentials.identity_token,
                }
            ).encode("ascii")
            bare = realm._replace(target=realm.target.partition("?")[0])
            request = Request(
                "POST",
                bare,
                (*headers, ("Content-Type", "application/x-www-form-urlencoded")),
                form,
                tls=tls,
                addresses=rule,
            )
        else:
            if credentials is not None and credentials.username:
                headers = (*headers, ("Authorization", credentials.basic()))
            request = Request("GET", realm, headers, tls=tls, addresses=rule)
        response = await self._send_patiently(request)
        if response.status in {401, 403}:
            raise _wants_credentials(self._name, given=credentials is not None)
        if response.status != 200:
            raise ServerFailureError(f"the token service {realm} of {self._name} answers {response.status}")
        answer = strictjson.parse_object(response.body, limit=limits.SMALL_BODY_BYTES, what=f"the token of {realm}")
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
            raise ProtocolError(f"the token service {realm} of {self._name} gives no token")
        return f"Bearer {token}"

    async def _send_patiently(self, request: Request) -> Response:
        pause = self.settings.first_pause
        for attempt in range(1, limits.ATTEMPTS + 1):
            try:
                response = await flow.send(request)
            except UnreachableError as error:
                if not error.broken or attempt == limits.ATTEMPTS:
                    raise
                await flow.sleep(pause)
            else:
                if response.status not in _TRY_AGAIN or attempt == limits.ATTEMPTS:
                    _raise_for_refusal(response, request.url, but=frozenset({401, 403}))
                    return response
                await flow.sleep(_pause(response, pause, request.url))
            pause *= 2
        raise AssertionError  # pragma: no cover - the loop returns or raises

    # -- redirects

    async def _follow(self, request: Request, response: Response) -> Response:
        """Follow redirects of a read without credentials (T10): never from https to http, never inward from outside."""
        from sealgate.transport.url import resolve_url

        url = request.url
        public = not address.is_private(url.host) and address.is_public(response.peer)
        headers = tuple((name, value) for name, value in request.headers if name != "Authorization")
        seen = {url}
        for _ in range(limits.REDIRECTS):
            location = response.header("location")
            if not location:
                raise RedirectError(f"{url} redirects nowhere")
            following = resolve_url(url, location)
            if url.scheme == "https" and following.scheme != "https":
                raise RedirectError(f"{url} redirects from https to {following.scheme}")
            if following in seen:
                raise RedirectError(f"{url} redirects in a circle")
            seen.add(following)
            own = following.origin == request.url.origin
            rule: Addresses = "any" if own else "public" if public else "not-link-local"
            url = following
            response = await self._send_patiently(
                request._replace(url=url, headers=headers, tls=self.settings.tls if own else Tls(), addresses=rule)
            )
            if response.status not in _REDIRECTS:
                _raise_for_refusal(response, url)
                return response
        raise RedirectError(f"{request.url} redirects more than {limits.REDIRECTS} times")


class RegistryStore:
    """The `Store` of one repository of a registry."""

    def __init__(self, host: _Host, registry: str, repository: str) -> None:
        self._host = host
        self.registry = registry
        self.repository = repository

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
            "HEAD", self._path(f"manifests/{which}"), repository=self.repository, actions=_READ,
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
            "HEAD", self._path(f"blobs/{digest}"), repository=self.repository, actions=_READ, follow=True
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
        for _ in range(limits.REFERRER_PAGES):
            response = await self._host.request(
                "GET", target, repository=self.repository, actions=_READ, headers=(("Accept", manifests.OCI_INDEX),),
                limit=limits.MANIFEST_BYTES, follow=True,
            )  # fmt: skip
            if response.status in _NO_REFERRERS_API and not found:
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
                "GET", target, repository=self.repository, actions=_READ, limit=limits.MANIFEST_BYTES
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
            "GET", self._path(rest), repository=self.repository, actions=_READ, headers=headers, limit=limit, sink=sink,
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
            raise ServerFailureError(f"{self.name}: {rest} answers {response.status}{_reason(response)}")

    async def _next_page(self, response: Response, target: str | Url) -> Url | None:
        """The `Link: <…>; rel="next"` of a list (RFC 8288), on the registry's own host only."""
        link = response.header("link")
        if not link:
            return None
        from sealgate.transport.url import resolve_url

        base = target if isinstance(target, Url) else await self._host.url(target)
        location = _next_link(link)
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


def _next_link(header: str) -> str | None:
    """The target of `rel=next` in a Link header."""
    for link in header[:8192].split(",")[:16]:
        target, _, parameters = link.partition(";")
        relation = parameters.replace(" ", "").replace('"', "").lower()
        if relation.startswith("rel=next") and target.strip().startswith("<") and target.strip().endswith(">"):
            return target.strip()[1:-1]
    return None


def _pause(response: Response, otherwise: float, url: Url) -> float:
    """Seconds to wait before the next try: Retry-After (RFC 9110, section 10.2.3; seconds) or our own back-off."""
    text = response.header("retry-after") or ""
    if not text.isascii() or not text.isdigit():
        return otherwise
    seconds = float(text[:9])
    if seconds > limits.RETRY_AFTER_SECONDS:
        raise ThrottledError(
            f"{url.authority} is throttling ({response.status}) and asks to come back in {text[:9]} s",
            hint="sign in to the registry for a higher limit, or try again later",
        )
    return max(seconds, otherwise)


def _raise_for_refusal(response: Response, url: Url, but: frozenset[int] = frozenset()) -> None:
    """The statuses that mean "could not ask", whatever was asked."""
    status = response.status
    if status in but:
        return
    if status == 401:
        raise _wants_credentials(url.authority, given=True, reason=_reason(response))
    if status == 403:
        raise ForbiddenError(
            f"{url.authority} does not allow it (403){_reason(response)}",
            hint="the account needs the right to read (or write) this repository",
        )
    if status == 429:
        raise ThrottledError(
            f"{url.authority} is throttling (429), also after {limits.ATTEMPTS} tries{_reason(response)}",
            hint="sign in to the registry for a higher limit, or try again later",
        )
    if status >= 500 or status < 200 or status in {408}:
        raise ServerFailureError(
            f"{url} answers {status}{_reason(response)}", hint="the registry has a problem; try again later"
        )


def _wants_credentials(host: str, *, given: bool, reason: str = "") -> UnauthorizedError:
    if given:
        return UnauthorizedError(
            f"{host} refuses the credentials, or wants others (401){reason}",
            hint=f"`sealgate login {host}` stores credentials",
        )
    return UnauthorizedError(
        f"{host} wants credentials (401), and there are none for it", hint=f"`sealgate login {host}` stores credentials"
    )


def _reason(response: Response) -> str:
    """The registry's own words (section "Error Codes"), bounded: `: CODE: message`."""
    from sealgate import strictjson

    try:
        document = strictjson.parse_object(response.body, limit=limits.SMALL_BODY_BYTES, what="an error")
        first = document["errors"][0]
        code, message = first.get("code"), first.get("message")
    except (SealgateError, LookupError, TypeError, AttributeError):
        return ""
    words = [word[:200] for word in (code, message) if isinstance(word, str) and word]
    return f": {': '.join(words)}" if words else ""
