"""An OpenID Connect issuer: tokens (RS256), discovery, and the flows that people and services sign in with.

Authorization code with PKCE (RFC 7636), device (RFC 8628), client credentials (RFC 6749, section 4.4). Nobody types
anything: whoever comes is `signed_in`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from trust_service.hooks import Hooks
from trust_service.identities import EMAIL, claims_of
from trust_service.period import MINUTE
from trust_service.refusal import RefusedError

AUDIENCE = "sigstore"


class Issuer:
    """An issuer: its address, its key, its running sign-ins."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.key = rsa.generate_private_key(65537, 2048)
        self.key_id = "key-1"
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget every sign-in."""
        self.signed_in: str | Mapping[str, Any] = EMAIL
        """Who sits in front of the browser."""
        self.pending = 0
        """How often a device is told to wait."""
        self.denies: str | None = None
        """The OAuth error of every sign-in (`access_denied`, …)."""
        self.same_tokens = False
        """As Dex: the access token is the identity token. sigstore-python takes the former for the latter."""
        self._codes: dict[str, dict[str, str]] = {}
        self._devices: dict[str, int] = {}
        self._others: dict[str, Sequence[Mapping[str, Any]]] = {}

    def believe(self, url: str, keys: Sequence[Mapping[str, Any]]) -> None:
        """Tokens of another issuer are as good as ours; `keys`: its JWKs."""
        self._others[url] = keys

    def token(self, identity: str | Mapping[str, Any], at: float, hooks: Hooks, **claims: Any) -> str:
        """A token. A claim that is None is left out."""
        now = int(at)
        words = {"iss": self.url, "aud": AUDIENCE, "iat": now, "nbf": now - 5, "exp": now + 10 * MINUTE}
        words |= claims_of(identity) | claims
        words = hooks("token", {name: value for name, value in words.items() if value is not None})
        return hooks("signed-token", self._sign(words))

    def claims(self, token: str, at: float, audience: str = AUDIENCE) -> dict[str, Any]:
        """What a token says, as the certificate authority reads it. Raises RefusedError(401)."""
        try:
            head, body, signature = token.encode("ascii").split(b".")
            header, claims = json.loads(_unb64(head)), json.loads(_unb64(body))
            covered = head + b"." + body
            key = self._key(claims.get("iss"), header.get("kid"))
            key.verify(_unb64(signature), covered, padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, LookupError, InvalidSignature):
            raise RefusedError(401, "There was an error processing the identity token") from None
        good = header.get("alg") == "RS256" and claims.get("aud") == audience
        if not good or not claims.get("nbf", 0) - MINUTE <= at < claims.get("exp", 0):
            raise RefusedError(401, "There was an error processing the identity token")
        if "email" in claims and claims.get("email_verified") is not True:
            raise RefusedError(400, "email_verified claim was false")
        return claims

    def _key(self, issuer: str, key_id: str) -> rsa.RSAPublicKey:
        if issuer == self.url:
            return self.key.public_key()
        [jwk] = [key for key in self._others[issuer] if key["kid"] == key_id]
        exponent, modulus = (int.from_bytes(_unb64(jwk[name].encode())) for name in ("e", "n"))
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()

    # -- what the server asks

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/auth",
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device/code",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "email"],
        }

    def keys(self) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        words = {"n": _number(numbers.n), "e": _number(numbers.e)}
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id} | words]}

    def authorize(self, query: Mapping[str, str]) -> str:
        """Where the browser is sent to. Raises RefusedError."""
        target, state = query.get("redirect_uri", ""), query.get("state", "")
        if not target.startswith(("http://localhost", "http://127.0.0.1", "http://[::1]")):
            raise RefusedError(400, "redirect_uri is not on loopback")
        if self.denies:
            return f"{target}?{urlencode({'error': self.denies, 'state': state})}"
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            raise RefusedError(400, "only codes with PKCE (S256) are given")
        code = secrets.token_urlsafe(16)
        with self._lock:
            self._codes[code] = dict(query)
        return f"{target}?{urlencode({'code': code, 'state': state})}"

    def device(self, form: Mapping[str, str]) -> dict[str, Any]:
        """A device begins."""
        code = secrets.token_urlsafe(16)
        with self._lock:
            self._devices[code] = self.pending
        place = f"{self.url}/device"
        words = {"device_code": code, "user_code": "ABCD-EFGH", "verification_uri": place, "expires_in": 300}
        return words | {"verification_uri_complete": f"{place}?user_code=ABCD-EFGH", "interval": 1}

    def exchange(
        self, form: Mapping[str, str], client: tuple[str, str] | None, at: float, hooks: Hooks
    ) -> dict[str, Any]:
        """What the token endpoint answers; `client`: of HTTP basic auth. Raises OAuthError."""
        kind = form.get("grant_type", "")
        if self.denies:
            raise OAuthError(self.denies)
        if kind == "authorization_code":
            identity, more = self.signed_in, self._redeem(form)
        elif kind == "urn:ietf:params:oauth:grant-type:device_code":
            identity, more = self.signed_in, self._poll(form)
        elif kind == "client_credentials":
            name, secret = client or (form.get("client_id", ""), form.get("client_secret", ""))
            if not secret:
                raise OAuthError("invalid_client")
            identity, more = self.signed_in, {"azp": name}
        else:
            raise OAuthError("unsupported_grant_type")
        token = self.token(identity, at, hooks, **more)
        access = token if self.same_tokens else secrets.token_urlsafe(16)
        return {"access_token": access, "token_type": "Bearer", "expires_in": 600, "id_token": token}

    def _redeem(self, form: Mapping[str, str]) -> dict[str, Any]:
        with self._lock:
            asked = self._codes.pop(form.get("code", ""), None)
        challenge = _b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if asked is None or challenge != asked["code_challenge"] or form.get("redirect_uri") != asked["redirect_uri"]:
            raise OAuthError("invalid_grant")
        return {"nonce": asked.get("nonce")}

    def _poll(self, form: Mapping[str, str]) -> dict[str, Any]:
        with self._lock:
            left = self._devices.get(form.get("device_code", ""))
            if left is None:
                raise OAuthError("invalid_grant")
            if left > 0:
                self._devices[form["device_code"]] = left - 1
                raise OAuthError("authorization_pending")
            del self._devices[form["device_code"]]
        return {}

    def _sign(self, claims: dict[str, Any]) -> str:
        header = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        covered = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
        signature = self.key.sign(covered.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{covered}.{_b64(signature)}"


class OAuthError(Exception):
    """An error of RFC 6749, section 5.2: its code."""


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _unb64(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def _number(value: int) -> str:
    return _b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))
