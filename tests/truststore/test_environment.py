"""Whom the environment says to believe: kept repositories, variables that name files, and who is asked for it."""

import datetime
import json
import os

import pytest
from tuf.api.metadata import Metadata

from sealgate import truststore
from sealgate.errors import SealgateError
from sealgate.transport import driver
from sealgate.transport.http import HttpClient
from sealgate.trust import root
from sealgate.truststore import environment
from sealgate.truststore.cache import Cache

DAY = 86_400


@pytest.fixture
def run():
    client = HttpClient()
    yield lambda flow: driver.run(flow, sender=client.send, seconds=60)
    client.close()


@pytest.fixture
def home(tmp_path):
    return {"HOME": str(tmp_path)}


@pytest.fixture
def store(tmp_path):
    return Cache(str(tmp_path / ".sigstore" / "root"))


@pytest.fixture
def initialized(trust_service, run, store):
    """A repository that was chosen, and what it says."""
    kept = run(environment.refresh(store, trust_service.tuf_url, trust_service.tuf.root))
    store.choose(trust_service.tuf_url)
    trust_service.requests.clear()
    return kept


@pytest.fixture
def expected(trust_service):
    return root.parse(json.dumps(trust_service.trusted_root()).encode())


def refused(code, run, flow):
    with pytest.raises(SealgateError) as caught:
        run(flow)
    assert caught.value.code == code, caught.value.message
    return caught.value


# -- what was initialized


def test_without_anything_nobody_is_believed_and_nobody_asked(run, home, trust_service):
    error = refused("trust-root-missing", run, truststore.default(home))
    assert error.exit_code == 15
    assert "initialize" in error.hint
    refused("trust-root-missing", run, truststore.default({}))
    refused("trust-root-missing", run, environment.signing_config(home))
    assert trust_service.requests == []


def test_what_was_initialized_is_believed_and_nobody_asked(run, home, initialized, expected, trust_service):
    assert run(truststore.default(home)) == expected
    config = run(environment.signing_config(home))
    assert [service.url for service in config.authorities] == [trust_service.url]
    assert trust_service.requests == []


def test_another_directory_may_be_named(run, home, initialized, expected, store, tmp_path):
    os.rename(store.path, tmp_path / "elsewhere")
    refused("trust-root-missing", run, truststore.default(home))
    assert run(truststore.default(home | {"TUF_ROOT": str(tmp_path / "elsewhere")})) == expected


@pytest.mark.parametrize("days", [1, 2])
def test_U10_it_is_asked_again_when_it_has_expired_and_not_before(trust_service, run, home, store, expected, days):
    trust_service.publish(timestamp_days=1.5)
    now = trust_service.now()
    run(environment.refresh(store, trust_service.tuf_url, trust_service.tuf.root))
    store.choose(trust_service.tuf_url)
    trust_service.publish()
    trust_service.requests.clear()
    assert run(truststore.default(home, now=now + days * DAY)) == expected
    assert bool(trust_service.requests) == (days == 2)


def test_U10_U13_what_has_expired_is_not_believed_when_it_cannot_be_asked(trust_service, run, home, initialized):
    trust_service.fail("tuf", status=0)
    assert run(truststore.default(home))
    error = refused("registry-unreachable", run, truststore.default(home, now=trust_service.now() + 400 * DAY))
    assert error.exit_code == 14
    assert "expired" in error.message
    assert error.hint


def test_U10_what_is_served_expired_is_not_believed(trust_service, run, home, initialized):
    """A mirror that keeps back what is new."""
    trust_service.publish(timestamp_days=-1)
    later = trust_service.now() + 400 * DAY
    assert refused("trust-update-expired", run, truststore.default(home, now=later)).exit_code == 15


def test_a_new_root_of_trust_takes_the_place_of_the_old(trust_service, run, home, store, initialized, expected):
    trust_service.alter("trusted-root", lambda document: document | {"timestampAuthorities": []})
    trust_service.publish(rotate=("root", "timestamp", "targets"))
    assert run(truststore.default(home)) == expected
    found = run(truststore.default(home, now=trust_service.now() + 366 * DAY))
    assert found == expected._replace(timestamp_authorities=())
    assert run(truststore.default(home)) == found


def damage(folder, name, change):
    path = os.path.join(folder, *name.split("/"))
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(change(data))


@pytest.mark.parametrize(
    "name",
    ["targets/trusted_root.json", "targets/signing_config.v0.2.json", "root.json", "timestamp.json", "targets.json"],
)
def test_what_is_lost_is_fetched_again(trust_service, run, home, store, initialized, expected, name):
    folder = store.folder(trust_service.tuf_url)
    kept = os.path.join(folder, *name.split("/"))
    os.rename(kept, kept + ".away")
    if name == "root.json":
        refused("trust-root-missing", run, truststore.default(home))
        return
    assert run(truststore.default(home)) == expected
    assert trust_service.requests
    assert os.path.exists(kept)


OTHER_DIGITS = bytes.maketrans(b"0123456789", b"1234567890")
"""No digest has none of them."""


@pytest.mark.parametrize("name", ["targets/trusted_root.json", "targets.json"])
def test_what_is_damaged_is_not_believed(trust_service, run, home, store, initialized, expected, name):
    damage(store.folder(trust_service.tuf_url), name, lambda data: data.translate(OTHER_DIGITS))
    trust_service.fail("tuf", status=0)
    with pytest.raises(SealgateError):
        run(truststore.default(home))
    trust_service.failures.__init__()
    if name == "targets/trusted_root.json":
        assert run(truststore.default(home)) == expected


def test_what_is_no_cache_is_said_so(run, home, store, initialized):
    damage(store.path, "remote.json", lambda data: b"{")
    assert "initialize" in refused("trust-update-invalid", run, truststore.default(home)).hint
    damage(store.path, "remote.json", lambda data: b'{"mirror":""}')
    refused("trust-update-invalid", run, truststore.default(home))
    damage(store.path, "remote.json", lambda data: b'{"mirror":"https://../../x"}')
    with pytest.raises(SealgateError):
        run(truststore.default(home))


def test_U11_two_addresses_with_one_name_are_kept_apart(trust_service, run, home, store, initialized, expected):
    """cosign calls the directories of http://host/tuf and of http://host-tuf alike."""
    other = trust_service.tuf_url.replace("http://", "https://")
    assert store.folder(other) == store.folder(trust_service.tuf_url)
    assert store.root(other) is None
    assert store.read(other).metadata == {}
    refused("trust-root-missing", run, truststore.default(home | {"TUF_MIRROR": other}))
    assert run(truststore.default(home)) == expected


def test_an_address_of_ipv6_makes_a_name_too(store):
    assert store.folder("http://[::1]:80/tuf").endswith("/[--1]-80-tuf")


def test_files_are_for_their_owner_alone_and_replaced_whole(store, initialized, trust_service):
    for folder, _, names in os.walk(store.path):
        assert os.stat(folder).st_mode & 0o077 == 0
        for name in names:
            assert os.stat(os.path.join(folder, name)).st_mode & 0o077 == 0
            assert not name.endswith(".tmp")


# -- variables of TUF


def test_a_mirror_of_the_environment_needs_a_root(trust_service, run, home, tmp_path, expected, store):
    environ = home | {"TUF_MIRROR": trust_service.tuf_url}
    error = refused("trust-root-missing", run, truststore.default(environ))
    assert "no root of it is trusted" in error.message
    (tmp_path / "root.json").write_bytes(trust_service.tuf.root)
    environ |= {"TUF_ROOT_JSON": str(tmp_path / "root.json")}
    assert run(truststore.default(environ)) == expected
    trust_service.requests.clear()
    assert run(truststore.default(environ)) == expected
    assert trust_service.requests == []
    assert store.mirror() is None
    refused("trust-root-missing", run, truststore.default(home | {"TUF_ROOT_JSON": str(tmp_path / "root.json")}))
    refused("key-invalid", run, truststore.default(environ | {"TUF_ROOT_JSON": str(tmp_path / "none")}))


def test_U14_a_root_of_the_environment_is_not_put_aside_for_what_was_kept(
    trust_service, run, home, tmp_path, initialized
):
    """What another root led to does not count for this one."""
    (tmp_path / "root.json").write_bytes(trust_service.tuf.root)
    environ = home | {"TUF_ROOT_JSON": str(tmp_path / "root.json")}
    assert run(truststore.default(environ))
    assert trust_service.requests == []
    from trust_service.server import serve

    with serve() as other:
        (tmp_path / "root.json").write_bytes(other.tuf.root)
    refused("trust-update-invalid", run, truststore.default(environ))


def test_a_root_of_the_environment_may_be_an_old_one(trust_service, run, home, tmp_path, expected):
    (tmp_path / "root.json").write_bytes(trust_service.tuf.root)
    trust_service.publish(rotate=("root",))
    environ = home | {"TUF_ROOT_JSON": str(tmp_path / "root.json"), "TUF_MIRROR": trust_service.tuf_url}
    assert run(truststore.default(environ)) == expected
    trust_service.requests.clear()
    assert run(truststore.default(environ)) == expected
    assert trust_service.requests == []


@pytest.mark.parametrize(
    "mirror", ["ftp://x", "file://x", "file:///a/../b", "https://x?y", "https://u:p@x", "x", "https://"]
)
def test_a_mirror_that_means_nothing_is_refused(run, home, mirror):
    with pytest.raises(SealgateError) as caught:
        run(truststore.default(home | {"TUF_MIRROR": mirror}))
    assert caught.value.code == "usage"


# -- variables that name files


@pytest.fixture
def files(trust_service, tmp_path):
    found = trust_service.files(tmp_path / "files")
    return {
        "SIGSTORE_ROOT_FILE": str(found.ca),
        "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": str(found.ct),
        "SIGSTORE_REKOR_PUBLIC_KEY": str(found.rekor),
        "SIGSTORE_TSA_CERTIFICATE_FILE": str(found.tsa),
    }


def test_files_for_every_part_need_no_repository(trust_service, run, home, files, initialized):
    trust_service.fail("tuf", status=0)
    found = run(truststore.default(home | files, now=trust_service.now() + 4000 * DAY))
    assert [log.key.spki for log in found.ct_logs] == [_spki(trust_service.ct_log().key)]
    assert [log.key.spki for log in found.logs] == [_spki(trust_service.log1().key)]
    assert [one.chain for one in found.certificate_authorities] == [_der(trust_service.authority().chain)]
    assert [one.chain for one in found.timestamp_authorities] == [_der(trust_service.tsa().chain)]
    assert found.logs[0].valid.contains(0.0)
    del files["SIGSTORE_TSA_CERTIFICATE_FILE"]
    assert run(truststore.default(home | files)).timestamp_authorities == ()
    assert trust_service.requests == []


def _spki(key):
    from trust_service import notes

    return notes.spki(key)


def _der(chain):
    from cryptography.hazmat.primitives.serialization import Encoding

    return tuple(one if isinstance(one, bytes) else one.public_bytes(Encoding.DER) for one in chain)


@pytest.mark.parametrize("name", ["SIGSTORE_ROOT_FILE", "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", "SIGSTORE_REKOR_PUBLIC_KEY"])
def test_a_part_that_nobody_names_is_not_taken_for_nobody(run, home, files, initialized, expected, name):
    """Else leaving out a variable would leave out a check."""
    del files[name]
    found = run(truststore.default(home | files))
    part = {"SIGSTORE_ROOT_FILE": 0, "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": 1, "SIGSTORE_REKOR_PUBLIC_KEY": 2}[name]
    assert found[part] == expected[part]
    assert len(found[part]) > 1


@pytest.mark.parametrize("name", ["SIGSTORE_ROOT_FILE", "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", "SIGSTORE_REKOR_PUBLIC_KEY"])
def test_a_part_that_nobody_names_is_missed(run, home, files, name):
    assert run(truststore.default(home | files))
    del files[name]
    error = refused("trust-root-missing", run, truststore.default(home | files))
    assert name in error.message


@pytest.mark.parametrize(
    ("without", "names"),
    [
        ({"ct_logs"}, {"SIGSTORE_ROOT_FILE", "SIGSTORE_REKOR_PUBLIC_KEY"}),
        ({"certificate_authorities", "ct_logs"}, {"SIGSTORE_REKOR_PUBLIC_KEY"}),
        ({"ct_logs", "logs"}, {"SIGSTORE_ROOT_FILE"}),
        ({"certificate_authorities", "ct_logs", "logs"}, {"SIGSTORE_TSA_CERTIFICATE_FILE"}),
    ],
)
def test_a_part_that_is_not_looked_at_need_not_be_named(run, home, files, without, names):
    some = {name: path for name, path in files.items() if name in names}
    refused("trust-root-missing", run, truststore.default(home | some))
    assert any(run(truststore.default(home | some, without=frozenset(without))))
    refused("trust-root-missing", run, truststore.default(home, without=frozenset(without)))


def test_roots_and_intermediates_may_stand_in_any_order(trust_service, run, home, files, tmp_path):
    from trust_service import authority

    chains = [trust_service.authority(name).chain for name in ("current", "second")]
    mixed = [chains[1][1], chains[0][0], chains[0][1], chains[1][0]]
    (tmp_path / "mixed.pem").write_text(authority.pem(mixed))
    found = run(truststore.default(home | files | {"SIGSTORE_ROOT_FILE": str(tmp_path / "mixed.pem")}))
    anchors = [one.chain[-1] for one in found.certificate_authorities]
    assert anchors == list(_der([chains[1][1], chains[0][1]]))
    assert all(set(_der([chains[0][0], chains[1][0]])) <= set(one.chain) for one in found.certificate_authorities)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("SIGSTORE_ROOT_FILE", b"", "key-malformed"),
        ("SIGSTORE_ROOT_FILE", None, "key-invalid"),
        ("SIGSTORE_REKOR_PUBLIC_KEY", b"x", "key-malformed"),
        ("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", b"-----BEGIN CERTIFICATE-----\n", "key-unsupported"),
        (
            "SIGSTORE_TSA_CERTIFICATE_FILE",
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "key-malformed",
        ),
    ],
)
def test_a_file_that_is_none_is_an_error(run, home, files, tmp_path, name, content, code):
    if content is not None:
        (tmp_path / "bad").write_bytes(content)
    error = refused(code, run, truststore.default(home | files | {name: str(tmp_path / "bad")}))
    assert error.exit_code == 15


def test_a_chain_out_of_order_is_refused(trust_service, run, home, files, tmp_path):
    from trust_service import authority

    (tmp_path / "tsa.pem").write_text(authority.pem(list(reversed(trust_service.tsa().chain))))
    error = refused(
        "key-invalid",
        run,
        truststore.default(home | files | {"SIGSTORE_TSA_CERTIFICATE_FILE": str(tmp_path / "tsa.pem")}),
    )
    assert "not in order" in error.message


# -- cosign's cache


def test_what_cosign_kept_is_read(trust_service, run, tmp_path, cosign3, expected):
    (tmp_path / "root.json").write_bytes(trust_service.tuf.root)
    home = {"HOME": str(tmp_path)}
    cosign3("initialize", "--mirror", trust_service.tuf_url, "--root", tmp_path / "root.json", env=home, check=True)
    trust_service.requests.clear()
    assert run(truststore.default(home)) == expected
    assert run(environment.signing_config(home)).authorities
    assert trust_service.requests == []


def test_what_is_kept_here_is_read_by_cosign(trust_service, tmp_path, initialized, cosign3):
    made = trust_service.make_bundle(rekor=2)
    (tmp_path / "bundle").write_bytes(made.json)
    (tmp_path / "file").write_bytes(made.artifact)
    who = ["--certificate-identity", made.subject, "--certificate-oidc-issuer", made.issuer]
    verify = ["verify-blob", *who, "--bundle", tmp_path / "bundle", tmp_path / "file"]
    cosign3(*verify, env={"HOME": str(tmp_path)}, check=True)
    (tmp_path / "nobody").mkdir()
    assert cosign3(*verify, env={"HOME": str(tmp_path / "nobody")}).returncode != 0


def test_expiry_is_that_of_whatever_ends_first(trust_service, run, store):
    from sealgate.truststore import cache

    trust_service.publish(days=3, timestamp_days=9)
    kept = run(environment.refresh(store, trust_service.tuf_url, trust_service.tuf.root))
    end = Metadata.from_bytes(kept.metadata["targets"]).signed.expires.replace(tzinfo=datetime.UTC).timestamp()
    assert cache.expires(kept.metadata) == end
    with pytest.raises(SealgateError) as caught:
        cache.check_fresh(kept.metadata, now=end)
    assert caught.value.code == "trust-update-expired"
    cache.check_fresh(kept.metadata, now=end - 1)


def test_the_public_repository_is_asked_where_nobody_said_anything_and_only_if_that_is_meant(
    trust_service, run, home, expected, monkeypatch
):
    refused("trust-root-missing", run, truststore.default(home))
    monkeypatch.setattr(environment, "PUBLIC_MIRROR", trust_service.tuf_url)
    monkeypatch.setattr(environment, "public_root", lambda: trust_service.tuf.root)
    trust_service.requests.clear()
    refused("trust-root-missing", run, truststore.default(home))
    assert trust_service.requests == []
    assert run(truststore.default(home, public=True)) == expected
    trust_service.requests.clear()
    assert run(truststore.default(home, public=True)) == expected
    assert trust_service.requests == []
