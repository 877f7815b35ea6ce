"""Which registries are asked, where they may be, and with whose credentials (K16, K19)."""

from __future__ import annotations

import base64

import pytest

from admission.place import pod, rule
from evil_registry.scripts import redirect, reply, stall
from sealgate.admission import registries
from sealgate.errors import AddressError
from sealgate.oci.credentials import Credentials
from sealgate.oci.host import RegistrySettings
from sealgate.oci.reference import parse
from sealgate.transport import address


@pytest.mark.parametrize(
    "where",
    [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "fe80::1",
        "::ffff:127.0.0.1",
        "fd00:ec2::254",
    ],
)
def test_K19_addresses_of_the_machine_itself_are_not_local_ones(where):
    with pytest.raises(AddressError) as caught:
        address.check(where, "not-local", "registry.example.com")
    assert caught.value.code == "address-refused"
    address.check("10.1.2.3", "not-local", "registry.example.com")  # a cluster's own network
    address.check("192.0.2.1", "not-local", "registry.example.com")


def test_the_stricter_of_two_rules_counts():
    assert address.stricter("any", "not-local") == "not-local"
    assert address.stricter("not-link-local", "not-local") == "not-local"
    assert address.stricter("public", "not-local") == "public"
    assert address.stricter("any", "any") == "any"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "x.localhost", "[::1]", "169.254.169.254", "0.0.0.0"])
def test_K19_no_pod_sends_the_webhook_to_its_own_machine(start, scene, signed, host):
    port = scene.registry.host.rpartition(":")[2]
    place = start(rule(signed), registry=RegistrySettings(addresses="not-local", first_pause=0.01))
    for image in (f"{host}:{port}/team/app:v1", f"{host}:{port}/team/app@{scene.image.digest}"):
        refused = place.validate(pod(image))
        assert refused.response["allowed"] is False
        assert "[address-refused]" in refused.message or "[reference-invalid]" in refused.message
    assert not scene.registry.asked()
    start(rule(signed)).validate(pod(scene.name)).is_allowed()


def test_K19_redirects_of_a_registry_lead_nowhere_else_either(start, scene, signed):
    scene.registry.on("GET", "*/referrers/*", redirect("http://169.254.169.254/latest"))
    place = start(rule(signed))
    refused = place.validate(pod(scene.name))
    assert refused.response["allowed"] is False
    assert "address" in refused.message


def test_registries_that_no_policy_is_about_are_not_asked(start, scene, signed, evil_registry):
    other = evil_registry()
    other.honest.put_image("team/app", "v1")
    place = start(rule(signed, f"{scene.registry.host}/*"))
    place.validate(pod(f"{other.host}/team/app:v1", scene.name)).is_allowed()
    assert not other.requests


class _Names:
    """Who asked with which credentials."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, host: str, repository: str) -> Credentials:
        return Credentials(username=self.name, password="secret")


def test_K16_what_is_known_of_a_registry_stays_within_whose_credentials_asked():
    known = registries.Registries(RegistrySettings())
    one, two = (registries.Scope(name, _Names(name)) for name in ("team-a", "team-b"))
    image = parse("registry.example.com/team/app:1")
    run = known.begin(one, (image.registry,))
    run.repository(image)._host._authorization["team/app", "pull"] = "Bearer a"
    run.end()
    assert known.begin(one, (image.registry,)).repository(image)._host._authorization == {
        ("team/app", "pull"): "Bearer a"
    }
    for other in (two, registries.OPERATOR):
        assert known.begin(other, (image.registry,)).repository(image)._host._authorization == {}


def test_K16_a_registry_gets_the_credentials_of_its_scope_and_remembers_a_bounded_number(
    start, scene, signed, monkeypatch
):
    from sealgate import limits

    monkeypatch.setattr(limits, "TOKENS", 2)
    wanted = "Basic " + base64.b64encode(b"operator:secret").decode()

    def guard(exchange):
        if exchange.seen.headers.get("authorization") == wanted:
            return exchange.reply(exchange.honest())
        from evil_registry.messages import Answer

        return exchange.reply(Answer(401, (("WWW-Authenticate", 'Basic realm="x"'),)))

    scene.registry.on("*", "/v2/*", guard)
    place = start(rule(signed), registry=RegistrySettings(credentials=_Names("operator"), first_pause=0.01))
    place.validate(pod(scene.name)).is_allowed()
    for number in range(5):
        place.validate(pod(f"{scene.registry.host}/team/none{number}:1")).is_denied("image-not-found")
    kept = place.parts.registries._sessions["", scene.registry.host]._hosts[scene.registry.host]
    assert len(kept._authorization) == 2
    assert "secret" not in str(place.log())


def test_W34_no_secret_of_a_registry_reaches_answer_log_or_metrics(start, scene, signed):
    canary = "c4n4ry"
    scene.registry.on("GET", "*/referrers/*", redirect(f"http://{scene.registry.host}/v2/slow?sig={canary}"))
    scene.registry.on("GET", "/v2/slow*", stall())
    settings = RegistrySettings(first_pause=0.01, credentials=lambda *_: Credentials(username="u", password=canary))
    place = start(rule(signed), registry=settings)
    late = place.validate(pod(scene.name), timeout="1s")
    late.is_denied("timed-out")
    assert "/v2/slow has no answer" in late.message
    scene.registry.on("GET", "*/referrers/*", reply(403, canary.encode()))
    broken = place.validate(pod(f"{scene.registry.host}/team/app@{scene.evil.digest}"))
    assert broken.response["allowed"] is False
    for text in (late.body, broken.body, place.get("/metrics").body, place.get("/readyz").body):
        assert canary.encode() not in text
    assert canary not in str(place.log())
    assert [line["outcome"] for line in place.log()] == ["deny", "deny"]
