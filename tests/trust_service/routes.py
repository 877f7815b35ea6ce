"""What each address of the trust service answers."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from trust_service import authority, signatures
from trust_service.issuer import OAuthError
from trust_service.refusal import RefusedError

if TYPE_CHECKING:
    from trust_service.service import TrustService

_PEM = "application/pem-certificate-chain"


class Request(NamedTuple):
    """A request; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise RefusedError(400, "this is no JSON") from None

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("latin-1")))


class Reply(NamedTuple):
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def service_of(request: Request) -> str:
    """Which service the request is for."""
    path = request.path
    if "/oidc" in path:
        return "oidc"
    if "/tuf/" in path:
        return "tuf"
    if "/timestamp" in path:
        return "tsa"
    return "rekor" if "/log" in path or "/index/" in path or "/tile/" in path or "/checkpoint" in path else "fulcio"


def answer(trust: TrustService, request: Request) -> Reply:
    """The answer of whoever is asked. Raises RefusedError."""
    path, name = request.path, None
    if found := re.match(r"/at/([^/]+)(/.*)", path):
        name, path = found[1], found[2]
    for method, pattern, route in _ROUTES:
        if method == request.method and (match := re.fullmatch(pattern, path)):
            try:
                return route(trust, request, name, *match.groups())
            except (KeyError, TypeError, binascii.Error) as error:
                raise RefusedError(400, f"invalid request: {error!r}") from None
    raise RefusedError(404, "Not Found")


# -- Fulcio


def _certificate_v2(trust: TrustService, request: Request, name: str | None) -> Reply:
    asked = request.json()
    token = (asked.get("credentials") or {}).get("oidcIdentityToken") or _bearer(request)
    claims = trust.issuer.claims(token, trust.now())
    if "certificateSigningRequest" in asked:
        text = base64.b64decode(asked["certificateSigningRequest"], validate=True)
        try:
            wanted = x509.load_pem_x509_csr(text)
        except ValueError:
            raise RefusedError(400, "The certificate signing request is not valid") from None
        if not wanted.is_signature_valid:
            raise RefusedError(400, "The signature supplied in the request could not be verified")
        key = wanted.public_key()
    else:
        shown = asked["publicKeyRequest"]
        key = signatures.load_public(shown["publicKey"]["content"].encode())
        _possession(key, base64.b64decode(shown["proofOfPossession"], validate=True), claims)
    chain = trust.issue(key, claims, trust.now(), authority=name)
    pems = [authority.pem([certificate]) for certificate in chain]
    return _json({"signedCertificateEmbeddedSct": {"chain": {"certificates": pems}}})


def _certificate_v1(trust: TrustService, request: Request, name: str | None) -> Reply:
    asked = request.json()
    claims = trust.issuer.claims(_bearer(request), trust.now())
    content = base64.b64decode(asked["publicKey"]["content"], validate=True)
    try:
        key = serialization.load_der_public_key(content)
    except ValueError:
        key = signatures.load_public(content)
    _possession(key, base64.b64decode(asked["signedEmailAddress"], validate=True), claims)
    chain = trust.issue(key, claims, trust.now(), authority=name)
    return Reply(201, authority.pem(chain).encode(), _PEM)


def _possession(key: Any, proof: bytes, claims: Mapping[str, Any]) -> None:
    """The signature over the e-mail address, or the subject."""
    for challenge in filter(None, (claims.get("email"), claims["sub"])):
        try:
            return signatures.check_message(key, proof, challenge.encode())
        except RefusedError:
            continue
    raise RefusedError(400, "The signature supplied in the request could not be verified")


def _bearer(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise RefusedError(401, "There was an error processing the identity token")
    return token


def _trust_bundle(trust: TrustService, request: Request, name: str | None) -> Reply:
    chain = [authority.pem([certificate]) for certificate in trust.authority(name).chain]
    return _json({"chains": [{"certificates": chain}]})


def _configuration(trust: TrustService, request: Request, name: str | None) -> Reply:
    issuer = {"issuerUrl": trust.issuer.url, "audience": "sigstore", "challengeClaim": "email"}
    return _json({"issuers": [issuer]})


def _root_certificate(trust: TrustService, request: Request, name: str | None) -> Reply:
    return Reply(200, authority.pem(trust.authority(name).chain).encode(), _PEM)


# -- Rekor


def _add2(trust: TrustService, request: Request, name: str | None) -> Reply:
    return _json(trust.log2(name).add(request.json(), trust.hooks), 201)


def _checkpoint2(trust: TrustService, request: Request, name: str | None) -> Reply:
    return Reply(200, trust.log2(name).checkpoint(trust.hooks).encode(), "text/plain; charset=utf-8")


def _entries2(trust: TrustService, request: Request, name: str | None, place: str) -> Reply:
    return _tile(trust.log2(name).entries(*_number(place)))


def _tile2(trust: TrustService, request: Request, name: str | None, level: str, place: str) -> Reply:
    return _tile(trust.log2(name).tile(int(level), *_number(place)))


def _add1(trust: TrustService, request: Request, name: str | None) -> Reply:
    log = trust.log1(name)
    uuid, _ = log.add(request.json(), trust.now(), trust.hooks)
    headers = (("ETag", uuid), ("Location", f"/api/v1/log/entries/{uuid}"))
    return _json(log.entry(uuid, trust.hooks), 201, headers)


def _entry1(trust: TrustService, request: Request, name: str | None, uuid: str) -> Reply:
    try:
        return _json(trust.log1(name).entry(uuid, trust.hooks))
    except KeyError:
        raise RefusedError(404, "entry not found") from None


def _entry1_by_index(trust: TrustService, request: Request, name: str | None) -> Reply:
    log = trust.log1(name)
    return _entry1(trust, request, name, log.uuid_at(int(dict(parse_qsl(request.query))["logIndex"])))


def _retrieve1(trust: TrustService, request: Request, name: str | None) -> Reply:
    """Entries by uuid or index; a proposed entry is answered with none: whoever asks so uploads it again."""
    log, asked = trust.log1(name), request.json()
    uuids = [*asked.get("entryUUIDs", ()), *map(log.uuid_at, asked.get("logIndexes", ()))]
    return _json([log.entry(uuid, trust.hooks) for uuid in uuids])


def _log1(trust: TrustService, request: Request, name: str | None) -> Reply:
    return _json(trust.log1(name).info(trust.hooks))


def _log1_key(trust: TrustService, request: Request, name: str | None) -> Reply:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    key = trust.log1(name).key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return Reply(200, key, "application/x-pem-file")


# -- timestamps


def _timestamp(trust: TrustService, request: Request, name: str | None) -> Reply:
    tsa = trust.tsa(name)
    if request.headers.get("content-type", "").startswith("application/json"):
        stamped = tsa.answer_json(request.json(), trust.now(), trust.hooks)
    else:
        stamped = tsa.answer(request.body, trust.now(), trust.hooks)
    return Reply(201, stamped, "application/timestamp-reply")


def _timestamp_chain(trust: TrustService, request: Request, name: str | None) -> Reply:
    return Reply(200, authority.pem(trust.tsa(name).chain).encode(), _PEM)


# -- identities


def _discovery(trust: TrustService, request: Request, name: str | None) -> Reply:
    return _json(trust.issuer.discovery())


def _keys(trust: TrustService, request: Request, name: str | None) -> Reply:
    return _json(trust.issuer.keys())


def _authorize(trust: TrustService, request: Request, name: str | None) -> Reply:
    place = trust.issuer.authorize(dict(parse_qsl(request.query)))
    return Reply(302, b"", "text/html", (("Location", place),))


def _device(trust: TrustService, request: Request, name: str | None) -> Reply:
    return _json(trust.issuer.device(request.form()))


def _token(trust: TrustService, request: Request, name: str | None) -> Reply:
    client = None
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        user, _, secret = base64.b64decode(encoded).decode().partition(":")
        client = unquote(user), unquote(secret)
    try:
        return _json(trust.issuer.exchange(request.form(), client, trust.now(), trust.hooks))
    except OAuthError as error:
        return _json({"error": str(error)}, 401 if str(error) == "invalid_client" else 400)


# -- TUF


def _file(trust: TrustService, request: Request, name: str | None, path: str) -> Reply:
    files = trust.hooks("tuf", dict(trust.tuf.files))
    if path not in files:
        raise RefusedError(404, "no such file")
    return Reply(200, files[path], "application/octet-stream")


def _json(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(status, json.dumps(value).encode(), "application/json", headers)


def _tile(data: bytes | None) -> Reply:
    if data is None:
        raise RefusedError(404, "no such tile")
    return Reply(200, data, "application/octet-stream")


def _number(place: str) -> tuple[int, int]:
    """The number and the width of a tile: `x001/067`, `x001/067.p/12`."""
    number, partial, width = place.partition(".p/")
    index = 0
    for part in number.split("/"):
        index = index * 1000 + int(part.lstrip("x"))
    return index, int(width) if partial else 256


_PLACE = r"((?:x\d{3}/)*\d{3}(?:\.p/\d+)?)"
_ROUTES = (
    ("POST", "/api/v2/signingCert", _certificate_v2),
    ("POST", "/api/v1/signingCert", _certificate_v1),
    ("GET", "/api/v2/trustBundle", _trust_bundle),
    ("GET", "/api/v2/configuration", _configuration),
    ("GET", "/api/v1/rootCert", _root_certificate),
    ("POST", "/api/v2/log/entries", _add2),
    ("GET", "/api/v2/checkpoint", _checkpoint2),
    ("GET", f"/api/v2/tile/entries/{_PLACE}", _entries2),
    ("GET", rf"/api/v2/tile/(\d+)/{_PLACE}", _tile2),
    ("POST", "/api/v1/log/entries", _add1),
    ("GET", "/api/v1/log/entries", _entry1_by_index),
    ("GET", "/api/v1/log/entries/([0-9a-f]+)", _entry1),
    ("POST", "/api/v1/log/entries/retrieve", _retrieve1),
    ("GET", "/api/v1/log", _log1),
    ("GET", "/api/v1/log/publicKey", _log1_key),
    ("POST", "/api/v1/timestamp", _timestamp),
    ("GET", "/api/v1/timestamp/certchain", _timestamp_chain),
    ("GET", "/oidc/.well-known/openid-configuration", _discovery),
    ("GET", "/oidc/keys", _keys),
    ("GET", "/oidc/auth", _authorize),
    ("POST", "/oidc/device/code", _device),
    ("POST", "/oidc/token", _token),
    ("GET", "/tuf/(.+)", _file),
)
