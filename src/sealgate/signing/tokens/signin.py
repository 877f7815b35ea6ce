"""Signing in at an OpenID Connect issuer: a person with a browser or with a code, or a service with its secret.

Discovery: OpenID Connect Discovery 1.0, section 4. Browser: authorization code (RFC 6749, section 4.1) with PKCE (RFC 7636,
S256), a redirect to loopback (RFC 8252, section 7.3), `state` and `nonce`. Code: device authorization (RFC 8628). Service:
client credentials (RFC 6749, section 4.4), of which the issuer must give an identity token.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from sealgate import limits
from sealgate.errors import IssuerRefusedError, IssuerUnavailableError
from sealgate.signing.service import Kind, Service, address, ask, document
from sealgate.signing.tokens import token as tokens
from sealgate.transport import flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.signing.tokens.token import IdentityToken
    from sealgate.transport.message import Url

KIND = Kind("the issuer of identity tokens", IssuerUnavailableError, IssuerRefusedError, IssuerUnavailableError)
_SCOPE = "openid email"
_FORM = (("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json"))
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_ERRORS = frozenset({400, 401, 403})
"""With which a token endpoint says why not (RFC 6749, section 5.2), in JSON."""


class Client(NamedTuple):
    """Who asks, and whom."""

    issuer: str
    client_id: str
    client_secret: str = ""

    def __repr__(self) -> str:
        return f"Client({self.issuer!r}, {self.client_id!r}, …)"


class _Issuer(NamedTuple):
    """An issuer, as its discovery document describes it."""

    service: Service
    name: str
    document: dict[str, Any]

    def endpoint(self, name: str) -> Url:
        """The address of one of its endpoints: https, unless the issuer itself is asked without."""
        from sealgate.errors import ProtocolError
        from sealgate.transport.url import parse_url

        text = self.document.get(name)
        if not isinstance(text, str):
            raise self.service.invalid(f"has no {name}: it does not offer this way of signing in")
        try:
            url = parse_url(text)
        except ProtocolError as error:
            raise self.service.invalid(f"gives a {name} that is no address") from error
        if url.scheme != "https" and self.service.url.scheme == "https":
            raise self.service.invalid(f"gives a {name} without TLS")
        return url


async def as_service(client: Client) -> IdentityToken:
    """Sign in as a service. Raises `IssuerUnavailableError`, `IssuerRefusedError`, `IdentityTokenError`."""
    if not client.client_secret:
        raise IssuerRefusedError("a service signs in with its secret", hint="--oidc-client-secret-file FILE")
    issuer = await _discover(client)
    answer = await _exchange(issuer, client, {"grant_type": "client_credentials", "scope": _SCOPE})
    return _token(issuer, answer, None)


async def with_code(client: Client, say: Callable[[str], None]) -> IdentityToken:
    """Sign in on another device, with a code that `say` shows."""
    issuer = await _discover(client)
    verifier, challenge = _pkce()
    asked = {"client_id": client.client_id, "scope": _SCOPE}
    asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    response = await ask(
        issuer.service, "POST", issuer.endpoint("device_authorization_endpoint"), headers=_FORM,
        body=urlencode(asked).encode("ascii"), limit=limits.SMALL_BODY_BYTES,
    )  # fmt: skip
    offer = document(issuer.service, response)
    code, place = offer.get("device_code"), offer.get("verification_uri_complete") or offer.get("verification_uri")
    shown = offer.get("user_code")
    if not all(isinstance(each, str) and each and each.isprintable() for each in (code, place, shown)):
        raise issuer.service.invalid("gives no code to sign in with")
    say(f"Enter the verification code {str(shown)[:64]} in your browser at: {str(place)[:2048]}")
    begun = await flow.now()
    lasts = min(_seconds(offer.get("expires_in"), 300.0), limits.DEVICE_SECONDS)
    say(f"Code will be valid for {int(lasts)} seconds")
    pause = max(_seconds(offer.get("interval"), 5.0), 0.2)
    form = {"grant_type": _DEVICE_GRANT, "device_code": str(code), "code_verifier": verifier, "scope": _SCOPE}
    while await flow.now() - begun < lasts:
        await flow.sleep(pause)
        answer = await _exchange(issuer, client, form, waits=True)
        if answer.get("error") == "slow_down":
            pause += 5.0
        elif answer.get("error") != "authorization_pending":
            return _token(issuer, answer, None)
    raise IssuerRefusedError(f"nobody signed in at {issuer.name} within {int(lasts)} seconds", hint="sign again")


async def with_browser(client: Client, redirect_url: str | None, say: Callable[[str], None]) -> IdentityToken:
    """Sign in with a browser on this machine. Raises also `UsageError` for a redirect that does not lead to loopback."""
    from sealgate.signing.tokens import browser

    issuer = await _discover(client)
    methods = issuer.document.get("code_challenge_methods_supported")
    if methods is not None and (not isinstance(methods, list) or "S256" not in methods):
        raise issuer.service.invalid("does not offer PKCE with S256, without which a code could be stolen")
    verifier, challenge = _pkce()
    nonce, state = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    with browser.Listener(redirect_url, state=state, issuer=issuer.name) as listener:
        query = {
            "response_type": "code", "client_id": client.client_id, "redirect_uri": listener.redirect_uri,
            "scope": _SCOPE, "state": state, "nonce": nonce, "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        endpoint = issuer.endpoint("authorization_endpoint")
        mark = "&" if "?" in endpoint.target else "?"
        place = f"{endpoint.scheme}://{endpoint.authority}{endpoint.target}{mark}{urlencode(query, quote_via=quote)}"
        say(f"Your browser will now be opened to:\n{place}")
        await flow.spawn(flow.call(lambda: browser.show(place)))  # some come back only when they are closed
        code = await flow.call(lambda: listener.wait(limits.SIGN_IN_SECONDS))
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": listener.redirect_uri}
    answer = await _exchange(issuer, client, form | {"code_verifier": verifier})
    return _token(issuer, answer, nonce)


async def _discover(client: Client) -> _Issuer:
    url = address(client.issuer, what="the issuer (--oidc-issuer)")
    service = Service(KIND, url)
    response = await ask(
        service, "GET", service.below("/.well-known/openid-configuration"), headers=_FORM[1:],
        limit=limits.SMALL_BODY_BYTES,
    )  # fmt: skip
    found = document(service, response)
    name = found.get("issuer")
    if not isinstance(name, str) or name.rstrip("/") != _written(client.issuer):
        raise service.invalid("says that it is another one (OpenID Connect Discovery, section 4.3)")
    return _Issuer(service, name, found)


def _written(issuer: str) -> str:
    return (issuer if "://" in issuer else f"https://{issuer}").rstrip("/")


async def _exchange(issuer: _Issuer, client: Client, form: dict[str, str], *, waits: bool = False) -> dict[str, Any]:
    """What the token endpoint answers. Secrets go in the body: not in an address, which others log."""
    form = form | {"client_id": client.client_id}
    if client.client_secret:
        form |= {"client_secret": client.client_secret}
    hidden = [form[name] for name in ("client_secret", "code", "device_code", "code_verifier") if name in form]
    response = await ask(
        issuer.service, "POST", issuer.endpoint("token_endpoint"), headers=_FORM,
        body=urlencode(form).encode("ascii"), secrets=hidden, answers=_ERRORS, limit=limits.SMALL_BODY_BYTES,
    )  # fmt: skip
    answer = document(issuer.service, response)
    error = answer.get("error")
    if response.status in _ERRORS or error is not None:
        if waits and error in {"authorization_pending", "slow_down"}:
            return answer
        shown = error if isinstance(error, str) and error.isidentifier() and len(error) < 64 else "no reason"
        raise IssuerRefusedError(f"{issuer.service} signs nobody in: {shown}")
    return answer


def _token(issuer: _Issuer, answer: dict[str, Any], nonce: str | None) -> IdentityToken:
    text = answer.get("id_token")
    if not isinstance(text, str):
        raise issuer.service.invalid("gives no identity token")
    found = tokens.parse(text, what=f"the token of {issuer.name}")
    if found.issuer != issuer.name:
        raise issuer.service.invalid("gives the token of another issuer")
    if nonce is not None and not secrets.compare_digest(str(found.claims.get("nonce")).encode(), nonce.encode()):
        raise issuer.service.invalid("gives a token that was made for another question (its nonce)")
    return found


def _pkce() -> tuple[str, str]:
    """A verifier and its challenge (RFC 7636, section 4)."""
    import base64

    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _seconds(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else otherwise
