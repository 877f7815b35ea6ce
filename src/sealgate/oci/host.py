"""One registry host: its scheme, its authorization, its patience.

Everything that holds for all repositories of a host, whatever is asked of it: https or http, tokens, retries, redirects,
and the answers that mean "could not ask".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from sealgate import limits
from sealgate.errors import (
    ContentError,
    CredentialsUnavailableError,
    ForbiddenError,
    ProtocolError,
    RedirectError,
    SealgateError,
    ServerFailureError,
    ThrottledError,
    TlsError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
)
from sealgate.transport import address, flow
from sealgate.transport.message import Addresses, FileBody, Request, Response, Sink, Tls, Url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sealgate.oci.challenge import Challenge
    from sealgate.oci.credentials import Credentials
    from sealgate.oci.reference import Reference

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class Exchange(Protocol):
    """Gives credentials that a cloud was asked for: `exchange.cache.Exchanger`."""

    def __call__(self, registry: str, /) -> flow.Flow[tuple[Credentials, float] | None]:
        """Credentials of a canonical registry, and for how many seconds they may be used; None: it is no such cloud's.

        Raises `CredentialsUnavailableError`: then the registry is not asked without.
        """

    def refused(self, registry: str, credentials: Credentials, /) -> None:
        """The registry does not take these."""


class RegistrySettings(NamedTuple):
    """How registries are talked to. Nothing is read from the environment unless by `from_environment`."""

    credentials: Callable[[str, str], Credentials | None] | None = None
    """Looks up the credentials of a registry and repository; may block; None: anonymous."""
    exchange: Exchange | None = None
    """Asked where `credentials` has none."""
    clouds: Callable[[frozenset[str]], Exchange] | None = None
    """What takes the place of `exchange` for who names these clouds (`exchange.providers.NAMES`); None: nobody may name any."""
    tls: Tls = Tls()
    allow_http: bool = False
    """Plain http where https is not spoken, for hosts that are not local too."""
    trusted_realms: frozenset[str] = frozenset()
    """Hosts of token services that may see credentials, beyond the registry's own and the well-known ones."""
    user_agent: str = "sealgate"
    addresses: Addresses = "any"
    """Where registries may be: a server that strangers can send to a registry says `not-local`."""
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


class _Challenged(NamedTuple):
    """What a 401 asked for, and the address that it came from."""

    challenge: Challenge
    peer: str


class Host:
    """One registry host: its scheme, its authorization, its patience."""

    def __init__(self, reference: Reference, settings: RegistrySettings) -> None:
        self.settings = settings
        self._name = reference.api_host
        self._host, self._port = reference.host, reference.port
        self._scheme: str | None = None
        self._peer = ""
        """The address from which it answered last."""
        self._secrets: set[bytes] = set()
        """What no message may hold: a registry's error may repeat what it was sent (W34)."""
        self._probe: flow.Once[str] = flow.Once()
        self._challenge: _Challenged | None = None
        """What the host asked for last; with it, tokens of further scopes are fetched ahead of a 401."""
        self.without_referrers: set[str] = set()
        """First parts of repository names under which the referrers API does not exist."""
        self._authorization: dict[tuple[str, str], str] = {}
        self._asking: dict[tuple[str, str], flow.Once[str]] = {}
        self._ends: dict[tuple[str, str], float] = {}
        """When an authorization that a cloud's credentials gave is used no more, by the driver's clock."""
        self._exchanging: flow.Once[tuple[Credentials, float] | None] = flow.Once()

    def renewed(self, *, most: int | None = None) -> Host:
        """The same knowledge, and nothing in flight. `most`: no more authorizations than that, those that came last."""
        host = object.__new__(Host)
        known = dict(self._authorization)
        for scope in list(known)[: len(known) - most] if most is not None else []:
            del known[scope]
        secrets = set(self._secrets)
        if most is not None and len(secrets) > 4 * most:
            # Tokens that are used no more; credentials come again with the next one.
            secrets = {value.partition(" ")[2].encode() for value in known.values()}
        vars(host).update(vars(self), _probe=flow.Once(), _asking={}, _authorization=known, _secrets=secrets)
        vars(host).update(
            _exchanging=flow.Once(), _ends={scope: ends for scope, ends in self._ends.items() if scope in known}
        )
        return host

    async def check_credentials(self) -> bool:
        """Whether the host takes the credentials that there are; False when it asks for none at all.

        Distribution specification, section "Determining Support". Raises `UnauthorizedError` for credentials that it
        refuses, and as `request`.
        """
        response = await self.request("GET", "/v2/", repository="", actions="")
        if response.status != 200:
            raise ServerFailureError(f"{self._name} answers {response.status} to /v2/", hint="is it a registry?")
        return self._challenge is not None

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
            "GET", Url("https", self._host, self._port or 443, "/v2/"), self._headers(), tls=self.settings.tls,
            addresses=self.settings.addresses,
        )  # fmt: skip
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
                ends = self._ends.get(scope)
                if ends is not None and await flow.now() >= ends and self._ends.get(scope) == ends:
                    self._authorization.pop(scope, None)
                    del self._ends[scope]
                authorization = self._authorization.get(scope)
                if authorization is None and self._challenge is not None and not challenged:
                    try:
                        authorization = await self._obtain(self._challenge, scope, url, None)
                    except CredentialsUnavailableError:
                        raise  # a cloud was to give credentials: without them is another question than was meant
                    except UnavailableError:
                        authorization = None  # perhaps nothing is asked for here: this repository's own 401 decides
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
            if own:
                self._peer = response.peer
            response = self._discreet(response)
            if response.status == 401 and own and not challenged:
                challenged = True
                attempt -= 1
                await self._authorize(response, scope, url, authorization)
                continue
            if attempt < limits.ATTEMPTS and (response.status in _TRY_AGAIN or _stumbled(request, response)):
                await flow.sleep(_pause(response, pause, url))
                pause *= 2
                continue
            if follow and response.status in _REDIRECTS:
                return await self._follow(request, response)
            raise_for_refusal(response, url)
            return response

    def _rule(self, url: Url) -> Addresses:
        """Where an upload may lead: a registry that is public by name and address must not send its clients inward."""
        if url.host == self._host:
            return self.settings.addresses
        public = not address.is_private(self._host) and address.is_public(self._peer)
        return address.stricter("public" if public else "not-link-local", self.settings.addresses)

    def _discreet(self, response: Response) -> Response:
        """An error without the credentials that its words repeat."""
        if response.status < 400 or not self._secrets:
            return response
        body = response.body
        for secret in sorted(self._secrets, key=len, reverse=True):
            body = body.replace(secret, b"(secret)")
        return response._replace(body=body)

    # -- authorization

    async def _authorize(self, response: Response, scope: tuple[str, str], url: Url, used: str | None) -> None:
        """Answer a 401 (distribution token specification): get what the next try sends."""
        from sealgate.oci import challenge as challenges

        if used is not None and self._authorization.get(scope) == used:
            del self._authorization[scope]  # it expired, or was never good
        if scope not in self._authorization:  # else another request got it meanwhile
            challenge = challenges.choose(response.all("www-authenticate"), what=self._name)
            self._challenge = _Challenged(challenge, response.peer)
            await self._obtain(self._challenge, scope, url, used)

    async def _obtain(self, challenged: _Challenged, scope: tuple[str, str], url: Url, used: str | None) -> str:
        """An Authorization value, asked for once however many requests wait for it."""
        once = self._asking.setdefault(scope, flow.Once())
        found = await once.get(lambda: self._get_authorization(challenged, scope, url, used))
        self._authorization[scope] = found
        self._asking.pop(scope, None)
        return found

    async def _get_authorization(
        self, challenged: _Challenged, scope: tuple[str, str], url: Url, used: str | None
    ) -> str:
        challenge = challenged.challenge
        credentials = None
        if (lookup := self.settings.credentials) is not None:
            credentials = await flow.call(lambda: lookup(self._name, scope[0]))
        lent = credentials is None and self.settings.exchange is not None
        if lent:
            credentials = await self._exchange(scope)
            if credentials is not None and used == credentials.basic():
                self._give_up(credentials)
                credentials = await self._exchange(scope)
        self._keep_secret(credentials)
        if challenge.scheme == "basic":
            if credentials is None or not credentials.username:
                raise _wants_credentials(self._name, given=False)
            if used is not None and (not lent or used == credentials.basic()):
                raise _wants_credentials(self._name, given=True)
            return credentials.basic()
        if credentials is not None and credentials.registry_token:
            if used is not None:
                raise _wants_credentials(self._name, given=True)
            return f"Bearer {credentials.registry_token}"
        try:
            return await self._get_token(challenged, credentials, scope, url)
        except UnauthorizedError as error:
            if not lent or credentials is None:
                raise
            self._give_up(credentials)
            raise UnauthorizedError(
                error.message,
                hint="a cloud gave them (--registry-credentials): may that identity read this repository?",
            ) from error

    async def _exchange(self, scope: tuple[str, str]) -> Credentials | None:
        """What a cloud gives; asked for once however many repositories wait for it."""
        exchange, once = self.settings.exchange, self._exchanging
        if exchange is None:
            return None
        found = await once.get(lambda: exchange(self._name))
        if self._exchanging is once:
            self._exchanging = flow.Once()
        if found is None:
            return None
        credentials, seconds = found
        self._ends[scope] = await flow.now() + seconds
        return credentials

    def _give_up(self, credentials: Credentials) -> None:
        """Let credentials that a cloud gave be asked for anew."""
        if self.settings.exchange is not None:
            self.settings.exchange.refused(self._name, credentials)

    def _keep_secret(self, credentials: Credentials | None) -> None:
        if credentials is not None:
            said = (
                credentials.password,
                credentials.identity_token,
                credentials.registry_token,
                credentials.basic()[6:],
            )
            self._secrets |= {secret.encode() for secret in said if len(secret) > 3}

    async def _get_token(
        self, challenged: _Challenged, credentials: Credentials | None, scope: tuple[str, str], url: Url
    ) -> str:
        from sealgate import strictjson
        from sealgate.oci import challenge as challenges

        challenge = challenged.challenge
        wanted = f"repository:{scope[0]}:{scope[1]}" if scope[0] else ""
        realm = challenges.token_url(challenge, wanted, registry=url)
        rule = challenges.check_realm(
            realm,
            registry=url,
            has_credentials=credentials is not None,
            trusted=self.settings.trusted_realms,
            peer=challenged.peer,
        )
        rule = address.stricter(rule, self.settings.addresses)
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
        try:
            answer = strictjson.parse_object(response.body, limit=limits.SMALL_BODY_BYTES, what=f"the token of {realm}")
        except ContentError as error:
            raise ProtocolError(f"the token service {realm} of {self._name} gives no token: {error.message}") from error
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
            raise ProtocolError(f"the token service {realm} of {self._name} gives no token")
        if len(token) > 3:
            self._secrets.add(token.encode())
        return f"Bearer {token}"

    async def _send_patiently(self, request: Request) -> Response:
        pause = self.settings.first_pause
        for attempt in range(1, limits.ATTEMPTS + 1):
            try:
                response = self._discreet(await flow.send(request))
            except UnreachableError as error:
                if not error.broken or attempt == limits.ATTEMPTS:
                    raise
                await flow.sleep(pause)
            else:
                if response.status not in _TRY_AGAIN or attempt == limits.ATTEMPTS:
                    raise_for_refusal(response, request.url, but=frozenset({401, 403}))
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
            rule = address.stricter(rule, self.settings.addresses)
            url = following
            response = await self._send_patiently(
                request._replace(url=url, headers=headers, tls=self.settings.tls if own else Tls(), addresses=rule)
            )
            if response.status not in _REDIRECTS:
                raise_for_refusal(response, url)
                return response
        raise RedirectError(f"{request.url} redirects more than {limits.REDIRECTS} times")


def _stumbled(request: Request, response: Response) -> bool:
    """Whether docker-registry read a link of its own while somebody else was writing it, and found no digest in it.

    A manifest then gets 400 DIGEST_INVALID, whatever digest it has: also one whose config others are pushing.
    """
    return response.status == 400 and "/manifests/" in request.url.target and b"DIGEST_INVALID" in response.body[:4096]


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


def raise_for_refusal(response: Response, url: Url, but: frozenset[int] = frozenset()) -> None:
    """The statuses that mean "could not ask", whatever was asked."""
    status = response.status
    if status in but:
        return
    if status == 401:
        raise _wants_credentials(url.authority, given=True, words=reason(response))
    if status == 403:
        raise ForbiddenError(
            f"{url.authority} does not allow it (403){reason(response)}",
            hint="the account needs the right to read (or write) this repository",
        )
    if status == 429:
        raise ThrottledError(
            f"{url.authority} is throttling (429), also after {limits.ATTEMPTS} tries{reason(response)}",
            hint="sign in to the registry for a higher limit, or try again later",
        )
    if status >= 500 or status < 200 or status == 408:
        raise ServerFailureError(
            f"{url} answers {status}{reason(response)}", hint="the registry has a problem; try again later"
        )


def _wants_credentials(host: str, *, given: bool, words: str = "") -> UnauthorizedError:
    if given:
        return UnauthorizedError(
            f"{host} refuses the credentials, or wants others (401){words}",
            hint=f"`sealgate login {host}` stores credentials",
        )
    return UnauthorizedError(
        f"{host} wants credentials (401), and there are none for it", hint=f"`sealgate login {host}` stores credentials"
    )


def reason(response: Response) -> str:
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
