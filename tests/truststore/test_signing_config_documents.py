"""Signing configurations: read strictly, written as cosign writes them, and which services they choose."""

import json
from pathlib import Path

import pytest

from sealgate.errors import NoServiceError, SigningConfigInvalidError
from sealgate.trust.period import Period
from sealgate.trust.root import CLIENT_CONFIG
from sealgate.truststore import signing_config
from sealgate.truststore.signing_config import Selection, Service, select, select_one

ROOTS = Path(__file__).parents[1] / "trust" / "roots"
NOW = 1_795_680_000.0
ANY, ALL = Selection("ANY"), Selection("ALL")


def service(name, *, version=1, start=0.0, end=None, operator=None):
    return Service(f"https://{name}.test", version, Period(start, end), operator or name)


def names(services):
    return [one.url.removeprefix("https://").removesuffix(".test") for one in services]


# -- documents


@pytest.fixture(scope="module")
def document(running_trust_service):
    running_trust_service.reset()
    return running_trust_service.signing_config()


def refused(whole, words):
    raw = whole if isinstance(whole, bytes) else json.dumps(whole).encode()
    with pytest.raises(SigningConfigInvalidError) as caught:
        signing_config.parse(raw)
    assert caught.value.code == "signing-config-invalid"
    assert caught.value.exit_code == 15
    assert words in caught.value.message


@pytest.mark.parametrize("name", ["public", "staging"])
def test_real_configurations_are_read_and_written_alike(name):
    raw = (ROOTS / f"{name}.signing_config.json").read_bytes()
    found = signing_config.parse(raw)
    assert signing_config.parse(signing_config.encode(found)) == found
    assert json.loads(signing_config.encode(found)) == json.loads(raw.replace(b".000Z", b"Z"))


def test_a_clients_configuration_has_one_too(document):
    config = {"mediaType": CLIENT_CONFIG, "trustedRoot": {}, "signingConfig": document}
    assert signing_config.parse(json.dumps(config).encode()) == signing_config.parse(json.dumps(document).encode())
    refused({"mediaType": CLIENT_CONFIG, "trustedRoot": {}}, "is not an object")


def test_an_empty_one_means_to_sign_with_no_service():
    raw = b'{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{},"tsaConfig":{}}'
    assert signing_config.parse(raw) == signing_config.SigningConfig()
    assert signing_config.encode(signing_config.SigningConfig()) == raw


def change(document, path, value):
    whole = inner = json.loads(json.dumps(document))
    for step in path[:-1]:
        inner = inner[step]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return whole


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("mediaType",), "application/vnd.dev.sigstore.signingconfig.v0.1+json", "not read here"),
        (("mediaType",), ..., "not read here"),
        (("more",), 1, "unknown field 'more'"),
        (("caUrls",), {}, "caUrls is not a list"),
        (("caUrls", 0, "more"), 1, "caUrls[0] has an unknown field"),
        (("caUrls", 0, "url"), "ftp://x", "caUrls[0].url"),
        (("caUrls", 0, "url"), "https://user:pw@x", "caUrls[0].url"),
        (("caUrls", 0, "url"), ..., "caUrls[0].url"),
        (("caUrls", 0, "majorApiVersion"), 0, "caUrls[0].majorApiVersion"),
        (("caUrls", 0, "majorApiVersion"), True, "caUrls[0].majorApiVersion"),
        (("caUrls", 0, "majorApiVersion"), ..., "caUrls[0].majorApiVersion"),
        (("oidcUrls", 0, "validFor", "start"), "today", "oidcUrls[0].validFor is not a time"),
        (("oidcUrls", 0, "operator"), 1, "oidcUrls[0].operator"),
        (("rekorTlogConfig",), ..., "rekorTlogConfig does not say how many"),
        (("rekorTlogConfig",), {}, "rekorTlogConfig does not say how many"),
        (("rekorTlogConfig", "selector"), "SERVICE_SELECTOR_UNDEFINED", "rekorTlogConfig does not say how many"),
        (("tsaConfig",), ..., "tsaConfig does not say how many"),
        (("tsaConfig", "selector"), "SOME", "tsaConfig.selector"),
        (("tsaConfig",), {"selector": "EXACT"}, "tsaConfig.count"),
        (("tsaConfig",), {"selector": "EXACT", "count": 0}, "tsaConfig.count"),
        (("tsaConfig",), {"selector": "ANY", "count": 2}, "tsaConfig has a count"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(document, path, value, words):
    signing_config.parse(json.dumps(document).encode())
    refused(change(document, path, value), words)


def test_M03_json_that_means_two_things_is_refused():
    refused(b'{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","caUrls":[],"caUrls":[]}', "twice")
    refused(b"{", "not JSON")


def test_a_kind_without_services_needs_no_selection(document):
    whole = change(change(document, ("tsaUrls",), []), ("tsaConfig",), ...)
    assert signing_config.parse(json.dumps(whole).encode()).timestamp_selection is None


# -- selection


def test_the_newest_that_is_valid_now_is_chosen():
    found = [
        service("old", start=1),
        service("new", start=2),
        service("next", start=NOW + 1),
        service("gone", start=3, end=4),
    ]
    assert names(select(found, ANY, versions=(1,), now=NOW)) == ["new"]
    assert names(select(found, ALL, versions=(1,), now=NOW)) == ["new", "old"]
    assert select_one(found, versions=(1,), now=NOW).url == "https://new.test"


def test_both_bounds_are_in_use():
    found = [service("only", start=NOW, end=NOW)]
    assert names(select(found, ANY, versions=(1,), now=NOW)) == ["only"]
    for other in (NOW - 1, NOW + 1):
        with pytest.raises(NoServiceError) as caught:
            select(found, ANY, versions=(1,), now=other)
        assert caught.value.code == "service-missing"
        assert caught.value.exit_code == 15


def test_only_the_highest_version_that_is_spoken_is_chosen():
    found = [
        service("one", version=1, start=9),
        service("two", version=2, start=1),
        service("three", version=3, start=9),
    ]
    assert names(select(found, ALL, versions=(1, 2), now=NOW)) == ["two"]
    assert names(select(found, ALL, versions=(1,), now=NOW)) == ["one"]
    assert select_one(found, versions=(2, 1), now=NOW).url == "https://two.test"
    with pytest.raises(NoServiceError, match="of a version of its interface"):
        select(found, ALL, versions=(4,), now=NOW)


def test_a_higher_version_that_is_out_of_use_hides_nothing():
    found = [service("one", version=1), service("two", version=2, end=1.0)]
    assert names(select(found, ANY, versions=(1, 2), now=NOW)) == ["one"]


def test_of_each_operator_one_is_chosen():
    found = [
        service("a1", start=1, operator="a"),
        service("a2", start=2, operator="a"),
        service("b1", start=0, operator="b"),
    ]
    assert names(select(found, ALL, versions=(1,), now=NOW)) == ["a2", "b1"]
    assert names(select(found, Selection("EXACT", 2), versions=(1,), now=NOW)) == ["a2", "b1"]
    assert names(select(found, Selection("EXACT", 1), versions=(1,), now=NOW)) == ["a2"]


@pytest.mark.parametrize("count", [0, 3, 2**32 - 1])
def test_more_than_there_are_is_an_error(count):
    found = [service("a1", operator="a"), service("a2", operator="a"), service("b1", operator="b")]
    assert len(select(found, Selection("EXACT", 2), versions=(1,), now=NOW)) == 2
    with pytest.raises(NoServiceError) as caught:
        select(found, Selection("EXACT", count), versions=(1,), now=NOW)
    assert caught.value.code == "service-missing"
    assert f"exactly {count}" in caught.value.message


def test_services_without_a_selection_are_an_error_and_none_are_none():
    assert select((), None, versions=(1,), now=NOW) == ()
    assert select((), ANY, versions=(1,), now=NOW) == ()
    with pytest.raises(NoServiceError):
        select([service("a")], None, versions=(1,), now=NOW)
    with pytest.raises(NoServiceError, match="names no authority"):
        select_one((), versions=(1,), now=NOW, what="authority")


def test_services_without_a_start_are_the_oldest():
    found = [Service("https://always.test", 1, Period(None, None), "x"), service("dated", start=-5.0)]
    assert names(select(found, ALL, versions=(1,), now=NOW)) == ["dated", "always"]
