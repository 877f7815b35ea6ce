"""The webhook asks itself before it is ready, and what depends on the image's name is not remembered wrongly."""

from __future__ import annotations

import json

import pytest

from admission.place import by_key, pod, rule
from sealgate.admission import application, webhook
from sealgate.admission.cache import key_of
from sealgate.digest import Digest
from sealgate.errors import SelfTestError
from sealgate.keys.private import PrivateKey
from sealgate.oci.reference import parse
from sealgate.policy import attestors
from sealgate.policy.decision import Decision
from sealgate.verification.naming import Naming

DIGEST = Digest.parse("sha256:" + "a" * 64)


def test_P05_every_path_answers_before_the_webhook_is_ready_and_nothing_of_it_is_counted(start, scene, signed):
    place = start(rule(signed))
    assert place.get("/readyz").status == 200
    assert application.PATHS == ("/mutate", "/validate")
    assert [line["event"] for line in place.log()] == []
    assert place.metric("sealgate_reviews_total") == 0
    assert place.metric("sealgate_decisions_total") == 0
    assert not scene.registry.asked("*", "*")
    place.validate(pod(scene.name)).is_allowed()
    assert place.metric("sealgate_reviews_total") == 1


@pytest.mark.parametrize("names", [frozenset(), frozenset({"kube-apiserver"})])
def test_P05_also_where_clients_must_show_a_certificate(start, signed, authority, names):
    place = start(rule(signed), client_ca=str(authority.certificate), client_names=names)
    assert place.get("/readyz").status == 200
    assert place.ask("/validate", pod("-")).status == 403


def test_P05_plain_http_on_loopback_too(start, signed):
    place = start(rule(signed), tls_cert=None, tls_key=None, insecure_http=True)
    assert place.get("/readyz").status == 200


def test_P05_a_path_that_nobody_serves_stops_the_start(start, signed, monkeypatch):
    monkeypatch.delitem(application._REVIEWS, "/validate")
    with pytest.raises(SelfTestError) as refused:
        start(rule(signed))
    assert refused.value.code == "self-test-failed"
    assert "/validate: HTTP 40" in refused.value.message


def test_P05_a_webhook_that_admits_whatever_it_gets_stops_at_the_start(start, signed, monkeypatch):
    async def everything(index, workload, images, judge, *, clock):
        return Decision(workload.title, workload.namespace, ())

    monkeypatch.setattr(webhook, "evaluate", everything)
    monkeypatch.setattr(webhook.answers, "missing_digests", lambda decision: [])
    with pytest.raises(SelfTestError) as refused:
        start(rule(signed))
    assert refused.value.code == "self-test-failed"
    assert "an image that nobody can read was admitted" in refused.value.message


def test_P05_a_webhook_that_denies_everything_stops_at_the_start(start, signed, monkeypatch):
    def nothing(review, decision, **_):
        return webhook.answers.refused(review.uid, "denied", "no")

    monkeypatch.setattr(webhook.answers, "of", nothing)
    with pytest.raises(SelfTestError) as refused:
        start(rule(signed))
    assert "a deletion was denied" in refused.value.message


def test_P05_the_uid_of_a_canary_is_nobodys_afterwards(start, signed):
    place = start(rule(signed))
    assert place.running.webhook.canaries == set()
    review = pod("-")
    review["request"]["uid"] = "canary-1"
    place.validate(review).is_denied("reference-invalid")
    assert json.dumps(place.log()).count("canary-1") == 1


def test_P13_where_the_name_in_a_signature_counts_a_verdict_is_that_of_one_name():
    plain = by_key(PrivateKey.generate().public_key.pem())
    named = attestors.under_name(plain, Naming("matchExact"))
    one, other = parse("registry.example.com/team/app:test"), parse("registry.example.com/team/app:prod")
    assert key_of("", one, DIGEST, named) != key_of("", other, DIGEST, named)
    assert key_of("", one, DIGEST, named) == key_of("", one, DIGEST, named)
    assert key_of("", one, DIGEST, plain) == key_of("", other, DIGEST, plain)
