"""How long credentials of clouds are kept, by a clock of the test's own."""

from __future__ import annotations

import pytest

from clouds.fake_clouds import ACCOUNT, ECR, METADATA, Answer, ambient, said
from sealgate import limits
from sealgate.errors import CredentialsRefusedError
from sealgate.oci.credentials import Credentials
from sealgate.oci.exchange.cache import Exchanger
from sealgate.transport import driver

VARIABLES = {"AWS_ACCESS_KEY_ID": "AKIDENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "the-secret-of-variables"}


@pytest.fixture
def made(clock, clouds, network):
    """An exchanger, and how it is asked."""
    clouds.keys["AKIDENVIRONMENT"] = ("the-secret-of-variables", "")

    class Made:
        exchanger = Exchanger(["amazon", "google", "azure"], ambient(clock, **VARIABLES))

        def __call__(self, registry: str = ACCOUNT):
            return driver.run(self.exchanger(registry), sender=network, seconds=20)

    return Made()


def test_they_are_kept_until_shortly_before_they_expire(made, clock, clouds):
    lifetime = clouds.lifetime - limits.EXCHANGE_MARGIN_SECONDS
    first = made()
    assert first == (Credentials("AWS", "ecr-password-1"), lifetime)
    clock.now += lifetime - 1
    assert made() == (first[0], 1)
    assert len(clouds.asked) == 1
    clock.now += 1
    assert made()[0].password == "ecr-password-2"
    assert len(clouds.asked) == 2


def test_a_clock_that_is_set_back_makes_them_be_asked_for_anew(made, clock, clouds):
    made()
    clock.now -= 1
    assert made()[0].password == "ecr-password-2"
    assert made()[0].password == "ecr-password-2"


def test_what_is_said_to_live_for_ever_is_kept_for_hours(made, clock, clouds):
    clouds.lifetime = 1e9
    assert made()[1] == limits.EXCHANGED_SECONDS
    clock.now += limits.EXCHANGED_SECONDS
    assert made()[0].password == "ecr-password-2"


def test_what_lives_shortly_is_used_for_half_of_that(made, clock, clouds):
    clouds.lifetime = 60.0
    assert made()[1] == 30
    clock.now += 29
    assert made() == (Credentials("AWS", "ecr-password-1"), 1)
    clock.now += 1
    assert made()[0].password == "ecr-password-2"


def test_one_answer_serves_every_registry_that_it_is_for(made, clouds):
    made()
    made(ACCOUNT.replace("123456789012", "210987654321"))
    assert clouds.hosts == [ECR]
    made("gcr.io")
    made("us-docker.pkg.dev")
    assert clouds.hosts == [ECR, METADATA]
    # A refresh token of Azure's is one registry's own.
    assert made("team.azurecr.io")[0] == made("team.azurecr.io")[0]
    assert clouds.hosts == [ECR, METADATA, METADATA, "team.azurecr.io"]


def test_a_registry_of_a_cloud_that_was_not_named_is_nobodys(made, clouds):
    assert made("ghcr.io") is None
    assert made("registry.example.com") is None
    assert clouds.asked == []


def test_a_failure_is_not_kept(made, clouds):
    clouds.instead[ECR] = [said({"__type": "AccessDeniedException"}, 400)]
    with pytest.raises(CredentialsRefusedError):
        made()
    assert made()[0].password == "ecr-password-1"


def test_what_a_registry_refused_is_asked_for_anew_and_nothing_else(made, clouds):
    found, _ = made()
    made.exchanger.refused(ACCOUNT, Credentials("AWS", "another"))
    made.exchanger.refused("gcr.io", found)
    made.exchanger.refused("registry.example.com", found)
    assert made()[0] == found
    made.exchanger.refused(ACCOUNT, found)
    assert made()[0].password == "ecr-password-2"


def test_no_more_are_kept_than_allowed(made, clouds, monkeypatch):
    monkeypatch.setattr(limits, "EXCHANGES", 2)
    clouds.services["other.azurecr.io"] = clouds.fake_acr
    for registry in ("team.azurecr.io", "other.azurecr.io", "gcr.io"):
        made(registry)
    asked = len(clouds.asked)
    made("gcr.io")
    made("other.azurecr.io")
    assert len(clouds.asked) == asked
    made("team.azurecr.io")
    assert len(clouds.asked) == asked + 2


def test_nothing_of_it_is_shown(made, clouds):
    made()
    made("gcr.io")
    text = repr(made.exchanger) + repr(vars(made.exchanger))
    assert "amazon" in text
    assert not any(secret in text for secret in clouds.secrets())


def test_a_cloud_that_is_not_there_is_not_waited_for(made, clouds):
    clouds.instead[METADATA] = Answer(404)
    with pytest.raises(CredentialsRefusedError) as raised:
        made("gcr.io")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in (raised.value.hint or "")
