"""Fakes of the services by which clouds give credentials, on loopback. None of them is real, and none is a cloud's own program.

Each answers as the documentation of the real one says, and checks what it is sent as far as the real one would. One server
stands for all of them: the network of a test leads every name there, and says which name it was.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sealgate.oci.exchange.ambient import Ambient
from sealgate.transport.http import HttpClient
from sealgate.transport.message import Request

NOW = 1_790_000_000.0
METADATA = "169.254.169.254"
ACCOUNT = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
ECR = "api.ecr.eu-central-1.amazonaws.com"
ECR_PUBLIC = "api.ecr-public.us-east-1.amazonaws.com"
STS = "sts.eu-central-1.amazonaws.com"
POD_IDENTITY = "169.254.170.23"
ECS = "169.254.170.2"


class Clock:
    """The time, which stands until it is moved."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Asked(NamedTuple):
    """One request as a fake saw it."""

    host: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode(), strict_parsing=True).items()}


class Answer(NamedTuple):
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def said(document: object, status: int = 200, **headers: str) -> Answer:
    return Answer(status, json.dumps(document).encode(), tuple((n.replace("_", "-"), v) for n, v in headers.items()))


class FakeClouds:
    """All fakes, by the name of their host. `asked` has every request; `instead` answers in place of one of them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[Asked] = []
        self.instead: dict[str, list[Answer] | Answer] = {}
        self.gate: threading.Event | None = None
        """Where it is there, nobody gets an answer before it is set."""
        self.services = {
            ECR: self.fake_ecr,
            "ecr-fips.us-gov-west-1.amazonaws.com": self.fake_ecr,
            "api.ecr.cn-north-1.amazonaws.com.cn": self.fake_ecr,
            ECR_PUBLIC: self.fake_ecr,
            STS: self.fake_sts,
            POD_IDENTITY: self.fake_containers,
            ECS: self.fake_containers,
            METADATA: self.fake_metadata,
            "oauth2.googleapis.com": self.fake_google_tokens,
            "sts.googleapis.com": self.fake_google_sts,
            "iamcredentials.googleapis.com": self.fake_google_iam,
            "login.microsoftonline.com": self.fake_entra,
            "login.microsoftonline.us": self.fake_entra,
            "team.azurecr.io": self.fake_acr,
            "gov.azurecr.us": self.fake_acr,
        }
        self.keys = {"AKIDENVIRONMENT": ("the secret of variables", "")}
        """Access keys that the fake of AWS knows: the secret, and the session's token."""
        self.lifetime = 12 * 3600.0
        self.count = 0
        self.google_key = _google_key()
        clouds = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Asked(headers.pop("x-fake-host"), self.command, self.path, headers, body)
                found = clouds.take(request)
                self.send_response(found.status)
                for name, value in found.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(found.body)))
                self.end_headers()
                self.wfile.write(found.body)

            do_GET = do_POST = do_PUT = answer  # noqa: N815 - as the base class has it

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def hosts(self) -> list[str]:
        return [each.host for each in self.asked]

    def take(self, request: Asked) -> Answer:
        self.asked.append(request)
        if self.gate is not None:
            self.gate.wait(20)
        instead = self.instead.get(request.host)
        if isinstance(instead, list):
            instead = instead.pop(0) if instead else None
        return instead or self.services[request.host](request)

    def secrets(self) -> list[str]:
        """Every secret that was ever made here: none may be seen anywhere."""
        found = [
            "a-service-account-token",
            "gh-secret-token",
            "a-pod-token",
            "imds-session-token",
            "entra-access-token",
        ]
        found += ["google-access-token", "google-elsewhere-token", "acr-payload", "ecr-password"]
        return found + [each for pair in self.keys.values() for each in pair if each]

    # -- Amazon

    def new_key(self, name: str) -> tuple[str, str, str]:
        identifier, secret, session = f"ASIA{name.upper()}", f"secret/of+{name}", f"session-token-of-{name}=="
        self.keys[identifier] = (secret, session)
        return identifier, secret, session

    def check_signature(self, request: Asked, region: str, service: str) -> bool:
        """Signature Version 4, written a second time: what was signed is what came."""
        kind, _, rest = request.headers.get("authorization", "").partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        identifier, date, *scope = parts["Credential"].split("/")
        if kind != "AWS4-HMAC-SHA256" or identifier not in self.keys or scope != [region, service, "aws4_request"]:
            return False
        secret, session = self.keys[identifier]
        if request.headers.get("x-amz-security-token", "") != session:
            return False
        names = parts["SignedHeaders"].split(";")
        assert {"host", "x-amz-date", "x-amz-target"} <= set(names)
        assert session == "" or "x-amz-security-token" in names
        values = request.headers | {"host": request.host}
        canonical = f"{request.method}\n{request.path}\n\n"
        canonical += "".join(f"{name}:{values[name]}\n" for name in names)
        canonical += f"\n{';'.join(names)}\n{hashlib.sha256(request.body).hexdigest()}"
        moment = request.headers["x-amz-date"]
        assert moment.startswith(date)
        text = f"{kind}\n{moment}\n{date}/{'/'.join(scope)}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = b"AWS4" + secret.encode()
        for part in (date, *scope):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest() == parts["Signature"]

    def fake_ecr(self, request: Asked) -> Answer:
        public = request.host == ECR_PUBLIC
        region = "us-east-1" if public else request.host.split(".amazonaws")[0].rpartition(".")[2]
        target = "SpencerFrontendService" if public else "AmazonEC2ContainerRegistry_V20150921"
        assert request.headers["x-amz-target"] == f"{target}.GetAuthorizationToken"
        assert request.headers["content-type"] == "application/x-amz-json-1.1"
        if not self.check_signature(request, region, "ecr-public" if public else "ecr"):
            return said({"__type": "UnrecognizedClientException", "message": "the key ecr-password is not known"}, 400)
        self.count += 1
        token = base64.b64encode(f"AWS:ecr-password-{self.count}".encode()).decode()
        data = {"authorizationToken": token, "expiresAt": self.clock() + self.lifetime, "proxyEndpoint": "https://x"}
        return said({"authorizationData": data if public else [data]})

    def fake_sts(self, request: Asked) -> Answer:
        form = request.form
        assert (form["Action"], form["Version"]) == ("AssumeRoleWithWebIdentity", "2011-06-15")
        assert "authorization" not in request.headers
        if (
            form["WebIdentityToken"] != "a-service-account-token"
            or form["RoleArn"] != "arn:aws:iam::123456789012:role/r"
        ):
            return Answer(403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")
        identifier, secret, session = self.new_key("web")
        return Answer(
            200,
            f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>system:serviceaccount:sealgate:sealgate</SubjectFromWebIdentityToken>
    <Credentials>
      <SessionToken>{session}</SessionToken>
      <SecretAccessKey>{secret}</SecretAccessKey>
      <Expiration>2027-10-24T23:00:23Z</Expiration>
      <AccessKeyId>{identifier}</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>""".encode(),
        )

    def _key_document(self, name: str) -> Answer:
        identifier, secret, session = self.new_key(name)
        return said(
            {
                "AccessKeyId": identifier,
                "SecretAccessKey": secret,
                "Token": session,
                "Expiration": "2027-01-01T00:00:00Z",
            }
        )

    def fake_containers(self, request: Asked) -> Answer:
        if request.host == POD_IDENTITY and request.headers.get("authorization") != "a-pod-token":
            return Answer(401)
        assert request.path == ("/v1/credentials" if request.host == POD_IDENTITY else "/v2/credentials/task")
        return self._key_document("containers")

    def fake_metadata(self, request: Asked) -> Answer:
        """Three clouds have theirs at one address; the path says which."""
        if request.path.startswith("/latest/"):
            return self._fake_imds(request)
        if request.path.startswith("/computeMetadata/"):
            assert request.headers["metadata-flavor"] == "Google"
            assert request.path == "/computeMetadata/v1/instance/service-accounts/default/token"
            token = {"access_token": "google-access-token-1", "expires_in": 3599, "token_type": "Bearer"}
            return said(token, Metadata_Flavor="Google")
        path, _, query = request.path.partition("?")
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        assert path == "/metadata/identity/oauth2/token"
        assert request.headers["metadata"] == "true"
        assert asked["resource"] == "https://containerregistry.azure.net"
        return said({"access_token": "entra-access-token-of-machine", "expires_in": "86399", "token_type": "Bearer"})

    def _fake_imds(self, request: Asked) -> Answer:
        if request.path == "/latest/api/token":
            assert request.method == "PUT"
            assert int(request.headers["x-aws-ec2-metadata-token-ttl-seconds"]) > 0
            return Answer(200, b"imds-session-token")
        if request.headers.get("x-aws-ec2-metadata-token") != "imds-session-token":
            return Answer(401)
        if request.path == "/latest/meta-data/iam/security-credentials/":
            return Answer(200, b"node-role")
        assert request.path == "/latest/meta-data/iam/security-credentials/node-role"
        return self._key_document("machine")

    # -- Google

    def google_pem(self) -> str:
        return self.google_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def fake_google_tokens(self, request: Asked) -> Answer:
        form = request.form
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        signed, _, signature = form["assertion"].rpartition(".")
        header, claims = (json.loads(_unpadded(part)) for part in signed.split("."))
        self.google_key.public_key().verify(_unpadded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        assert header == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
        assert claims["iss"] == "robot@project.iam.gserviceaccount.com"
        assert claims["aud"] == "https://oauth2.googleapis.com/token"
        if not claims["iat"] <= self.clock() < claims["exp"] <= claims["iat"] + 3600:
            return said({"error": "invalid_grant", "error_description": "google-access-token is not for you"}, 400)
        return said({"access_token": "google-access-token-2", "expires_in": 3599, "token_type": "Bearer"})

    def fake_google_sts(self, request: Asked) -> Answer:
        form = request.form
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
        assert form["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
        if form["subject_token"] != "a-service-account-token":
            return said({"error": "invalid_grant"}, 400)
        return said({"access_token": "google-elsewhere-token", "expires_in": 3600, "token_type": "Bearer"})

    def fake_google_iam(self, request: Asked) -> Answer:
        assert (
            unquote(request.path)
            == "/v1/projects/-/serviceAccounts/reader@p.iam.gserviceaccount.com:generateAccessToken"
        )
        if request.headers["authorization"] != "Bearer google-elsewhere-token":
            return said({"error": {"code": 403, "status": "PERMISSION_DENIED"}}, 403)
        return said({"accessToken": "google-access-token-3", "expireTime": "2027-01-01T00:00:00Z"})

    # -- Microsoft

    def fake_entra(self, request: Asked) -> Answer:
        form = request.form
        assert request.path == "/00000000-aaaa-bbbb-cccc-000000000000/oauth2/v2.0/token"
        assert form["grant_type"] == "client_credentials"
        assert form["scope"] == "https://containerregistry.azure.net/.default"
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        if form["client_assertion"] != "a-service-account-token":
            return said({"error": "invalid_client", "error_description": "AADSTS700016"}, 401)
        return said({"access_token": "entra-access-token-of-workload", "expires_in": 3599, "token_type": "Bearer"})

    def fake_acr(self, request: Asked) -> Answer:
        form = request.form
        assert request.path == "/oauth2/exchange"
        assert form["grant_type"] == "access_token"
        assert form["service"] == request.host
        if not form["access_token"].startswith("entra-access-token"):
            return said({"errors": [{"code": "UNAUTHORIZED"}]}, 401)
        claims = {"exp": int(self.clock() + 3 * 3600), "sub": "acr-payload"}
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return said({"refresh_token": f"e30.{payload}.acr-payload"})


class FakeNetwork:
    """Where all names lead to the fakes; the way there is recorded, and judged as the real one would be."""

    def __init__(self, clouds: FakeClouds) -> None:
        self._clouds = clouds
        self._http = HttpClient()
        self.requests: list[Request] = []

    def __call__(self, request: Request, deadline: float):
        return self._http.send(self.led(request), deadline)

    def led(self, request: Request) -> Request:
        """The request as it goes to the fakes."""
        self.requests.append(request)
        if request.url.scheme == "http":
            assert request.url.host in {METADATA, POD_IDENTITY, ECS}, "plain http to a service of the network"
            assert request.direct, "a machine's own service is not asked through a proxy"
        else:
            assert request.addresses == "not-local"
            assert not request.direct
        headers = (*request.headers, ("X-Fake-Host", request.url.authority))
        url = request.url._replace(scheme="http", host="127.0.0.1", port=self._clouds.port)
        return request._replace(url=url, headers=headers, addresses="any")

    def close(self) -> None:
        self._http.close()


def ambient(clock: Clock, **environ: str) -> Ambient:
    """Surroundings with these variables; files are real ones."""

    def read(path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    return Ambient(environ, read, clock)


@functools.cache
def _google_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
