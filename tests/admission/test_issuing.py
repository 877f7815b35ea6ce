"""The certificate that the webhook makes itself: shared, renewed, believed in before it is served."""

from __future__ import annotations

import base64
import ssl
import time

import pytest

from admission.place import pod
from kubernetes.fake_api_server import FakeApiServer
from sealgate.admission import certificates
from sealgate.admission.certificates import Authority
from sealgate.admission.cluster import issuing
from sealgate.admission.cluster.issuing import SETTLE_SECONDS, Issuer, Kept, OwnCertificate
from sealgate.errors import ClusterDeniedError
from sealgate.kubernetes.client import Client, Cluster
from sealgate.transport import driver
from sealgate.transport.http import HttpClient
from sealgate.transport.message import Tls, Url

SECRETS = "/api/v1/secrets"
HOOKS = [
    f"/apis/admissionregistration.k8s.io/v1/{plural}"
    for plural in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
]
DAY = 24 * 3600.0
NAMES = ("sealgate.home.svc", "localhost")


@pytest.fixture
def fake():
    made = FakeApiServer()
    made.put(SECRETS, {"metadata": {"name": "serving", "namespace": "home"}, "type": "Opaque"})
    for path in HOOKS:
        made.put(path, {"metadata": {"name": "sealgate"}, "webhooks": [{"name": "a", "clientConfig": {"service": {}}}]})
    yield made
    made.close()


class Clock:
    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replica(fake, clock):
    def make() -> Issuer:
        client = Client(Cluster(Url("http", "127.0.0.1", fake.port, "/"), Tls()))
        return Issuer(client, namespace="home", secret="serving", registration="sealgate", names=NAMES, clock=clock)

    return make


def step(issuer: Issuer) -> Kept:
    http = HttpClient()
    try:
        driver.run(issuer.step(), sender=http.send, seconds=30)
    finally:
        http.close()
    return issuer.kept


def believed(fake) -> list[bytes]:
    """The one bundle of both registrations."""
    bundles = {hook["clientConfig"]["caBundle"] for path in HOOKS for hook in fake.get(path, "sealgate")["webhooks"]}
    [bundle] = bundles
    return certificates.split(base64.b64decode(bundle))


def is_believed(fake, pair: certificates.Pair, now: float) -> bool:
    return certificates.is_issued(pair, [Authority(each, b"") for each in believed(fake)], NAMES, now=now)


def test_replicas_share_one_certificate_and_the_api_server_is_told_whom_to_believe(fake, clock, replica):
    first, second = replica(), replica()
    made = step(first)
    assert step(second) == made
    assert believed(fake) == [made.authorities[0].certificate]
    assert is_believed(fake, made.pair, clock())
    assert fake.get(HOOKS[0], "sealgate")["webhooks"][0]["clientConfig"]["service"] == {}
    wrote = len(fake.wrote)
    assert wrote == 3
    clock.now += DAY
    assert step(first) == step(second) == made
    assert len(fake.wrote) == wrote  # nothing is due: nothing is written


def test_who_writes_second_takes_over_what_the_first_wrote(fake, clock, replica):
    other = replica()
    made = step(other)
    document = fake.get(SECRETS, "serving", "home")
    fake.put(SECRETS, {"metadata": {"name": "serving", "namespace": "home"}, "type": "Opaque"})
    fake.lose.append((SECRETS, document))  # the other one is faster
    assert step(replica()) == made
    assert issuing.read(fake.get(SECRETS, "serving", "home")) == made


def test_it_is_renewed_before_it_ends_and_what_is_served_is_always_believed(fake, clock, replica):
    first, second = replica(), replica()
    made = step(first)
    step(second)
    pairs, authorities = {made.pair}, {made.authorities[0].certificate}
    for _ in range(365 // 5):
        clock.now += 5 * DAY
        for each in (first, second):
            served = each.kept.pair  # what is served until now
            kept = step(each)
            assert is_believed(fake, served, clock())
            assert is_believed(fake, kept.pair, clock())
        pairs.add(kept.pair)
        authorities.add(kept.authorities[0].certificate)
    assert len(pairs) > 5
    assert len(authorities) == 2


def test_a_new_authority_is_told_beside_the_old_one_before_it_is_served(fake, clock, replica):
    issuer = replica()
    old = step(issuer).authorities[0].certificate
    clock.now += certificates.AUTHORITY_DAYS * DAY * 2 / 3 + DAY  # authority and certificate are due
    before = step(replica())  # the certificate has ended: nothing else can be done
    assert believed(fake) == [before.authorities[0].certificate, old]
    assert before.authorities[1].key == b""
    # With one that still holds, the new authority settles first.
    authority = certificates.make_authority("a", now=clock() - 250 * DAY)
    kept = Kept((authority,), certificates.issue(authority, NAMES, now=clock() - 70 * DAY))
    found = issuing.plan(kept, NAMES, now=clock())
    assert len(found.authorities) == 2
    assert found.pair == kept.pair
    assert issuing.plan(found, NAMES, now=clock() + SETTLE_SECONDS - 1) == found
    later = issuing.plan(found, NAMES, now=clock() + SETTLE_SECONDS)
    assert certificates.is_issued(later.pair, found.authorities[:1], NAMES, now=clock() + SETTLE_SECONDS)


@pytest.mark.parametrize("broken", ["ca.crt", "ca.key", "tls.crt", "tls.key"])
def test_a_secret_that_is_broken_is_made_anew(fake, clock, replica, broken):
    made = step(replica())
    document = fake.get(SECRETS, "serving", "home")
    fake.put(SECRETS, {**document, "data": {**document["data"], broken: base64.b64encode(b"x").decode()}})
    kept = step(replica())
    assert kept.pair != made.pair
    assert is_believed(fake, kept.pair, clock())


def test_a_certificate_of_another_name_or_authority_is_not_taken(clock):
    own, other = (certificates.make_authority("a", now=clock()) for _ in range(2))
    pair = certificates.issue(own, NAMES, now=clock())
    assert certificates.is_issued(pair, [own], NAMES, now=clock())
    assert not certificates.is_issued(pair, [other], NAMES, now=clock())
    assert not certificates.is_issued(pair, [own], ("evil.home.svc",), now=clock())
    assert not certificates.is_issued(pair._replace(key=own.key), [own], NAMES, now=clock())
    assert not certificates.is_issued(pair, [own], NAMES, now=clock() + 91 * DAY)


def test_nothing_is_served_when_it_cannot_be_kept(fake, replica):
    fake.refuse["/api/v1/namespaces/home/secrets/serving"] = 403
    with pytest.raises(ClusterDeniedError) as caught:
        OwnCertificate(replica(), sender=HttpClient().send, seconds=1)
    assert caught.value.code == "cluster-denied"
    fake.refuse.clear()
    assert OwnCertificate(replica(), sender=HttpClient().send, seconds=30).read().chain


def test_the_server_takes_over_a_new_certificate_without_a_restart(fake, clock, replica, start, scene, signed):
    from admission.place import rule

    clock.now -= 61 * DAY  # TLS itself goes by the real time
    issuer = replica()
    own = OwnCertificate(issuer, sender=HttpClient().send, seconds=30, look_seconds=0.1)
    place = start(rule(signed), certificate=own, tls_cert=None, tls_key=None)

    def served() -> bytes:
        context = ssl.create_default_context(cadata=b"".join(believed(fake)).decode())
        connection = place.connect(context)
        connection.host = "localhost"
        connection.connect()
        raw = connection.sock.getpeercert(binary_form=True)
        place.validate(pod(scene.name), connection=connection).is_allowed()
        connection.close()
        return raw

    first = served()
    assert first == ssl.PEM_cert_to_DER_cert(certificates.split(issuer.kept.pair.chain)[0].decode())
    clock.now += 61 * DAY
    end = time.monotonic() + 20
    while served() == first:
        assert time.monotonic() < end
        place.running.renew()
        time.sleep(0.1)
