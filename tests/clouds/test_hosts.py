"""Which cloud a registry belongs to: exactly, and no name that only looks alike."""

from __future__ import annotations

import contextlib

import pytest

from clouds.fake_clouds import ambient
from sealgate.errors import InvalidReferenceError, UsageError
from sealgate.oci.exchange import providers
from sealgate.oci.reference import parse_registry

OWN = {
    "amazon": [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
        "123456789012.dkr.ecr.cn-northwest-1.amazonaws.com.cn",
        "public.ecr.aws",
    ],
    "azure": ["team.azurecr.io", "team.azurecr.cn", "team.azurecr.us", "t-dnl123.azurecr.io"],
    "github": ["ghcr.io"],
    "google": ["gcr.io", "us.gcr.io", "eu.gcr.io", "europe-west1-docker.pkg.dev", "us-docker.pkg.dev"],
}
FOREIGN = [
    # Behind: the domain is somebody else's.
    "123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.test",
    "x.dkr.ecr.eu.amazonaws.com.evil.test",
    "123456789012.dkr.ecr.eu-central-1.amazonaws.com.co",
    "public.ecr.aws.evil.test", "team.azurecr.io.evil.test", "gcr.io.evil.test", "us-docker.pkg.dev.evil.test",
    "ghcr.io.evil.test",
    # Before: another name in the same letters.
    "evil-123456789012.dkr.ecr.eu-central-1.amazonaws.com", "evil.123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    "notpublic.ecr.aws", "evil.public.ecr.aws", "evilgcr.io", "evil-gcr.io", "a.b.gcr.io", "evilghcr.io", "x.ghcr.io",
    "evil.us-docker.pkg.dev", "docker.pkg.dev", "us-pkg.dev", "us-npm.pkg.dev", "pkg.dev", "a.team.azurecr.io", "azurecr.io",
    "teamazurecr.io", "teamxazurecr.io", "team.data.azurecr.io",
    # In between: no region, no account, the wrong partition, a bucket or a function of anybody's.
    "123456789012.dkr.ecr.evil.amazonaws.com", "123456789012.dkr.ecr.us-east-1.evil.amazonaws.com",
    "12345678901.dkr.ecr.us-east-1.amazonaws.com", "1234567890123.dkr.ecr.us-east-1.amazonaws.com",
    "abcdefghijkl.dkr.ecr.us-east-1.amazonaws.com", "123456789012.dkr.ecr.amazonaws.com",
    "123456789012.dkr-ecr.us-east-1.amazonaws.com", "123456789012.dkr.ecr-fipsx.us-east-1.amazonaws.com",
    "123456789012.dkrxecr.us-east-1.amazonaws.com", "123456789012.dkr.ecr.us-east-1xamazonaws.com",
    "123456789012.dkr.ecr.us-east-1.amazonaws.com.cn", "123456789012.dkr.ecr.cn-north-1.amazonaws.com",
    "ecr.us-east-1.amazonaws.com", "api.ecr.us-east-1.amazonaws.com", "s3.amazonaws.com", "team.azurecr.de",
    # Elsewhere on the host, and what is no registry of a cloud at all.
    "ghcr.io:8443", "team.azurecr.io:5000", "123456789012.dkr.ecr.us-east-1.amazonaws.com:8443", "gcr.io:80",
    "index.docker.io", "registry.example.com", "169.254.169.254", "127.0.0.1:5000", "localhost:5000",
]  # fmt: skip
ODD = [
    "ghcr.io\n", "ghcr.io ", " ghcr.io", "ghcr.io.", "GHCR.io", "ghcr。io", "ghcr.io\0", "user@ghcr.io", "ghcr.io/x", "ghcr.io?",
    "team.azurecr.io\n", "team\n.azurecr.io", "team.azurecr.io#", "-team.azurecr.io", "evil.test\\.azurecr.io", "evil.test/.azurecr.io",
    "１23456789012.dkr.ecr.us-east-1.amazonaws.com", "evil.test?.gcr.io", "evil.test:443@gcr.io", "",
]  # fmt: skip
"""What no canonical registry can be: it belongs to nobody, should it come here all the same."""


@pytest.mark.parametrize("provider", providers.NAMES)
@pytest.mark.parametrize("registry", [each for own in OWN.values() for each in own])
def test_T12_a_registry_belongs_to_its_own_cloud_alone(provider, registry):
    assert parse_registry(registry) == registry
    assert (providers.key(provider, registry) is not None) == (registry in OWN[provider])


@pytest.mark.parametrize("provider", providers.NAMES)
@pytest.mark.parametrize("registry", FOREIGN)
def test_T12_a_name_that_looks_alike_belongs_to_no_cloud(provider, registry):
    assert parse_registry(registry) == registry
    assert providers.key(provider, registry) is None


@pytest.mark.parametrize("provider", providers.NAMES)
@pytest.mark.parametrize("registry", ODD)
def test_T12_what_is_no_registry_belongs_to_no_cloud(provider, registry):
    with contextlib.suppress(InvalidReferenceError):
        assert parse_registry(registry) != registry
    assert providers.key(provider, registry) is None


@pytest.mark.parametrize("registry", FOREIGN + ODD)
def test_T12_nobody_is_asked_for_a_name_that_looks_alike(clouds, exchange, registry):
    environ = {"AWS_ACCESS_KEY_ID": "AKIDENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "s", "GITHUB_TOKEN": "gh-secret-token"}
    for provider in providers.NAMES:
        assert exchange(provider, registry, **environ) is None
    assert clouds.asked == []


def test_names_of_providers_are_those_of_kyverno():
    assert providers.parse("amazon,google, azure,github,default") == {"amazon", "google", "azure", "github"}
    assert providers.parse("default") == frozenset()
    for wrong in ("", ",", "aws", "amazon,ecr", "Amazon"):
        with pytest.raises(UsageError) as raised:
            providers.parse(wrong)
        assert raised.value.code == "usage"
        assert "amazon" in (raised.value.hint or "")


def test_a_provider_that_is_none_is_an_error(exchange, clock):
    with pytest.raises(UsageError):
        exchange("aws", "ghcr.io")
    assert exchange("github", "ghcr.io", GITHUB_TOKEN="t").credentials.password == "t"
    assert "GITHUB" not in repr(ambient(clock, GITHUB_TOKEN="t"))
