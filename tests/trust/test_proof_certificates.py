"""The certificate's part of a proof: (C) the path at each time, (D) the SCTs."""

import time

import pytest

from sealgate.trust import certificates, proof
from sealgate.trust.proof import Demand, Material
from sealgate.trust.signed import Signed
from trust import authorities
from trust_service.period import DAY


@pytest.fixture
def judge(trust_service):
    """`judge(root, now=…, made options…)`: code to outcome, where nothing but the certificate is asked for."""

    def call(*, root=None, now=None, sct=True, scts=(), **options):
        at = options.pop("at", time.time())
        made = trust_service.make_bundle(rekor=None, tsa=False, at=at, **options)
        leaf = certificates.read_leaf(made.certificate)
        signed = Signed(made.signature, leaf.key, leaf.der, None, made.artifact, ())
        root = root or authorities.root_of(trust_service.trusted_root())
        demand = Demand(root, log=False, sct=sct, timestamp=False, now=at if now is None else now)
        found = proof.prove(signed, leaf, Material(scts=scts), demand)
        outcomes = {check.code: check.outcome for check in found.checks}
        passed = {code for code, outcome in outcomes.items() if outcome == "passed"}
        accepted = proof.needed(demand, certificate=True) <= passed and "failed" not in outcomes.values()
        return accepted, outcomes

    return call


def test_a_good_certificate_is_proven(judge):
    accepted, outcomes = judge()
    assert accepted
    assert outcomes == {
        "log-entry-not-asked": "skipped",
        "certificate-verified": "passed",
        "sct-verified": "passed",
    }


def test_without_sct_it_is_said(judge):
    accepted, outcomes = judge(sct=False, ct=())
    assert accepted
    assert outcomes["sct-not-asked"] == "skipped"
    assert judge(ct=())[0] is False
    assert judge(ct=())[1]["sct-missing"] == "failed"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"authority": "stranger"}, "certificate-untrusted"),
        ({"authority": "retired"}, "certificate-untrusted"),
        ({"authority": "expired"}, "certificate-expired"),
        ({"ct": "stranger"}, "sct-untrusted"),
        ({"ct": "retired"}, "sct-untrusted"),
        ({"alter": {"signed-sct": lambda sct: sct[:-1] + bytes([sct[-1] ^ 1])}}, "sct-invalid"),
        ({"alter": {"signed-certificate": lambda der: der[:-1] + bytes([der[-1] ^ 1])}}, "certificate-untrusted"),
    ],
)
def test_what_is_wrong_with_a_certificate_fails(judge, options, code):
    assert judge()[0]
    accepted, outcomes = judge(**options)
    assert not accepted
    assert outcomes[code] == "failed"


def test_a_certificate_is_judged_at_the_time_that_counts(judge):
    at = time.time()
    assert judge(at=at, now=at + 60)[0]
    accepted, outcomes = judge(at=at, now=at + DAY)
    assert not accepted
    assert outcomes["certificate-expired"] == "failed"
    assert judge(at=at - 3 * DAY, authority="retired")[0]


def test_an_sct_is_never_looked_at_without_a_path(judge):
    accepted, outcomes = judge(authority="stranger", ct=("current", "second"))
    assert not accepted
    assert "sct-verified" not in outcomes
