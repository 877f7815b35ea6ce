"""The TUF client against a repository of which every file can be altered, signed anew or held back (bypasses U01 to U13)."""

import datetime
import hashlib
import json
import os
import random

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Root,
    TargetFile,
    Targets,
)

from sealgate import limits
from sealgate.errors import SealgateError
from sealgate.transport import driver
from sealgate.transport.http import HttpClient
from sealgate.truststore import environment, repository
from sealgate.truststore.cache import Cache, Kept, version

NOTHING = Kept({}, {})
NAME = "trusted_root.json"


@pytest.fixture
def run():
    client = HttpClient()
    yield lambda flow: driver.run(flow, sender=client.send, seconds=60)
    client.close()


@pytest.fixture
def ask(run, trust_service):
    """`ask(root=…, known=…)`: what the repository says."""

    def update(root=None, known=NOTHING):
        return run(repository.update(trust_service.tuf_url, root=root or trust_service.tuf.root, known=known))

    return update


def refused(code, function, *args, **more):
    with pytest.raises(SealgateError) as caught:
        function(*args, **more)
    assert caught.value.code == code, caught.value.message
    return caught.value


def in_days(days):
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=days)


def resign(service, role, change):
    """The newest metadata of a role, changed and signed with the role's own key, in its place."""
    files = service.tuf.files
    name = f"{role}.json" if role == "timestamp" else f"{service.tuf.versions[role]}.{role}.json"
    metadata = Metadata.from_bytes(files[name])
    change(metadata.signed)
    metadata.sign(service.tuf.signers[role])
    files[name] = metadata.to_bytes()


def new_root(service, change=lambda root: None, *, signers=None):
    """The next version of the root, changed, and signed by the one before unless others are named."""
    metadata = Metadata[Root].from_bytes(service.tuf.root)
    metadata.signed.version += 1
    change(metadata.signed)
    metadata.signatures.clear()
    for signer in signers if signers is not None else [service.tuf.signers["root"]]:
        metadata.sign(signer, append=True)
    service.tuf.files[f"{metadata.signed.version}.root.json"] = metadata.to_bytes()
    return metadata.signed.version


# -- what is asked, and what comes of it


def test_what_the_repository_says_is_fetched_and_verified(trust_service, ask):
    kept = ask()
    assert json.loads(kept.targets[NAME]) == trust_service.trusted_root()
    assert set(kept.metadata) == {"root", "timestamp", "snapshot", "targets"}
    asked = [seen.path.removeprefix("/tuf/") for seen in trust_service.requests]
    assert asked[:4] == ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    assert len(asked) == 6


def test_what_is_the_same_is_not_fetched_again(trust_service, ask):
    kept = ask()
    trust_service.requests.clear()
    assert ask(known=kept) == kept
    assert [seen.path for seen in trust_service.requests] == ["/tuf/2.root.json", "/tuf/timestamp.json"]


def test_new_roots_are_followed_one_by_one(trust_service, ask):
    first = trust_service.tuf.root
    trust_service.publish(rotate=("root", "timestamp"))
    trust_service.publish(rotate=("root", "snapshot", "targets"))
    assert version("root", ask(root=first).metadata["root"]) == 3


def test_a_repository_in_a_directory_is_read_without_a_network(trust_service, run, tmp_path, no_network):
    for name, data in trust_service.tuf.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    kept = run(repository.update(f"file://{tmp_path}", root=trust_service.tuf.root, known=NOTHING))
    assert json.loads(kept.targets[NAME]) == trust_service.trusted_root()
    (tmp_path / "timestamp.json").unlink()
    refused(
        "trust-update-invalid", run, repository.update(f"file://{tmp_path}", root=trust_service.tuf.root, known=NOTHING)
    )


@pytest.fixture
def no_network(monkeypatch):
    """Nothing may be connected to."""

    def refuse(*args, **more):
        raise AssertionError("something was connected to")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


# -- signatures


def test_U01_one_key_under_two_ids_does_not_meet_a_threshold_of_two(trust_service, ask):
    signer = trust_service.tuf.signers["root"]
    public = signer.public_key.keyval["public"]

    def twice(spelling):
        def change(root):
            value = dict(signer.public_key.to_dict())
            value["keyval"] = {"public": spelling}
            root.keys["b" * 64] = Key.from_dict("b" * 64, value)
            root.roles["root"].keyids.append("b" * 64)
            root.roles["root"].threshold = 2

        return change

    ask()
    lines = public.strip().split("\n")
    rewrapped = "\n".join([lines[0], "".join(lines[1:-1])[:40], "".join(lines[1:-1])[40:], lines[-1]])
    for spelling in (public, public + "\n", rewrapped):
        number = new_root(trust_service, twice(spelling))
        error = refused("trust-update-invalid", ask)
        assert "one key twice" in error.message
        del trust_service.tuf.files[f"{number}.root.json"]
    ask()


def test_U01_two_keys_meet_a_threshold_of_two(trust_service, ask):
    other = CryptoSigner.generate_ecdsa()

    def both(root):
        root.add_key(other.public_key, "root")
        root.roles["root"].threshold = 2

    number = new_root(trust_service, both, signers=[trust_service.tuf.signers["root"], other])
    assert version("root", ask().metadata["root"]) == number
    new_root(trust_service, both, signers=[trust_service.tuf.signers["root"]])
    refused("trust-update-invalid", ask)


def test_U01_one_signature_twice_is_refused(trust_service, ask):
    number = new_root(trust_service)
    assert version("root", ask().metadata["root"]) == number
    document = json.loads(trust_service.tuf.files[f"{number}.root.json"])
    document["signatures"] *= 2
    trust_service.tuf.files[f"{number}.root.json"] = json.dumps(document).encode()
    refused("trust-update-invalid", ask)


@pytest.mark.parametrize("threshold", [0, -1, "1", None])
def test_U02_a_threshold_below_one_is_refused(trust_service, ask, threshold):
    number = new_root(trust_service)
    assert version("root", ask().metadata["root"]) == number
    document = json.loads(trust_service.tuf.files[f"{number}.root.json"])
    document["signed"]["roles"]["timestamp"]["threshold"] = threshold
    trust_service.tuf.files[f"{number}.root.json"] = json.dumps(document).encode()
    refused("trust-update-invalid", ask)
    refused("trust-update-invalid", ask, root=trust_service.tuf.files[f"{number}.root.json"])


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_what_somebody_else_signed_is_refused(trust_service, ask, role):
    ask()
    good = trust_service.tuf.signers[role]
    trust_service.tuf.signers[role] = CryptoSigner.generate_ecdsa()
    resign(trust_service, role, lambda signed: None)
    assert "not believed" in refused("trust-update-invalid", ask).message
    trust_service.tuf.signers[role] = good
    resign(trust_service, role, lambda signed: None)
    ask()


def test_a_root_that_the_old_one_did_not_sign_is_refused(trust_service, ask):
    stranger = CryptoSigner.generate_ecdsa()

    def change(root):
        root.keys.clear()
        for role in root.roles.values():
            role.keyids.clear()
        for role in root.roles:
            root.add_key(stranger.public_key, role)

    new_root(trust_service, change, signers=[stranger])
    refused("trust-update-invalid", ask)


def test_U03_what_does_not_verify_is_not_kept(trust_service, run, ask, tmp_path):
    store = Cache(str(tmp_path))
    first = trust_service.tuf.root
    kept = run(environment.refresh(store, trust_service.tuf_url, first))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    new_root(trust_service, signers=[CryptoSigner.generate_ecdsa()])
    refused("trust-update-invalid", run, environment.refresh(store, trust_service.tuf_url, kept.metadata["root"]))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    trust_service.fail("tuf", status=0)
    environ = {"TUF_ROOT": str(tmp_path), "TUF_MIRROR": trust_service.tuf_url}
    assert run(environment.initialized(environ)) == kept


# -- versions and time


def test_U04_older_metadata_is_refused(trust_service, ask):
    old = dict(trust_service.tuf.files)
    kept = ask()
    trust_service.publish()
    newer = ask(known=kept)
    trust_service.tuf.files.update({"timestamp.json": old["timestamp.json"]})
    refused("trust-update-invalid", ask, known=newer)
    assert ask(known=kept) == kept


def test_U04_the_same_timestamp_with_an_older_snapshot_is_refused(trust_service, ask):
    """Mix and match: each part is signed, together they never were."""
    kept = ask()
    trust_service.publish()
    newer = ask(known=kept)
    trust_service.publish()
    resign(trust_service, "timestamp", lambda signed: signed.snapshot_meta.__init__(1))
    refused("trust-update-invalid", ask, known=newer)


def test_U04_an_older_list_of_targets_under_a_newer_name_is_refused(trust_service, ask):
    first = trust_service.tuf.files["1.targets.json"]
    trust_service.publish()
    ask()
    trust_service.tuf.files["2.targets.json"] = first
    refused("trust-update-invalid", ask)


def test_U04_a_root_that_skips_a_version_is_refused(trust_service, ask):
    number = new_root(trust_service)
    assert version("root", ask().metadata["root"]) == number
    files = trust_service.tuf.files
    resigned = Metadata[Root].from_bytes(files.pop(f"{number}.root.json"))
    resigned.signed.version += 1
    resigned.sign(trust_service.tuf.signers["root"])
    files[f"{number}.root.json"] = resigned.to_bytes()
    refused("trust-update-invalid", ask)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_U10_what_has_expired_is_refused(trust_service, ask, role):
    def expires(days):
        return lambda signed: setattr(signed, "expires", in_days(days))

    resign(trust_service, role, expires(1))
    ask()
    resign(trust_service, role, expires(-1))
    error = refused("trust-update-expired", ask)
    assert error.exit_code == 15
    assert "expired" in error.message


def test_U10_an_expired_root_is_a_start_but_no_end(trust_service, ask):
    old = trust_service.tuf.signers["root"]
    first = Metadata[Root].from_bytes(trust_service.tuf.root)
    first.signed.expires = in_days(-1)
    first.sign(old)
    expired = first.to_bytes()
    refused("trust-update-expired", ask, root=expired)
    new_root(trust_service)
    ask(root=expired)


# -- what a hostile mirror serves


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"{}", b'{"signed":{}}', b'{"signed":[],"signatures":[]}', b"\x00" * 100, b"<html>",
        b'{"signed":{"_type":"timestamp"},"signed":{"_type":"timestamp"},"signatures":[]}',
        b'{"signatures":[],"signed":{"_type":"timestamp","version":1,"spec_version":"1.0","expires":"x","meta":{}}}',
        b'{"signatures":1,"signed":{"_type":"timestamp","version":"1","spec_version":[],"expires":null,"meta":null}}',
        b"[" * 60_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["timestamp.json", "1.snapshot.json", "1.targets.json", "2.root.json"])
def test_U08_malformed_metadata_is_refused_and_nothing_else(trust_service, ask, name, data):
    ask()
    trust_service.tuf.files[name] = data
    refused("trust-update-invalid", ask)


@pytest.mark.parametrize("name", ["timestamp.json", "1.snapshot.json", "1.targets.json", "2.root.json"])
def test_U08_a_changed_byte_is_refused_or_changes_nothing(trust_service, ask, name):
    assert new_root(trust_service) == 2
    good, files = ask(), trust_service.tuf.files
    data, choose = files[name], random.Random(name)
    for _ in range(16):
        at = choose.randrange(len(data))
        files[name] = data[:at] + bytes([data[at] ^ 1 << choose.randrange(8)]) + data[at + 1 :]
        try:
            assert ask().targets == good.targets
        except SealgateError as error:
            assert error.code in {"trust-update-invalid", "trust-update-expired"}
    files[name] = data
    assert ask() == good


def test_U09_many_bad_signatures_are_refused(trust_service, ask):
    document = json.loads(trust_service.tuf.files["timestamp.json"])
    document["signatures"] += [{"keyid": f"{number:064x}", "sig": "00"} for number in range(400)]
    trust_service.tuf.files["timestamp.json"] = json.dumps(document).encode()
    ask()  # those that nobody asked for are not looked at
    document["signatures"] += [{"keyid": f"{number:064x}", "sig": "00"} for number in range(400, 10_000)]
    trust_service.tuf.files["timestamp.json"] = json.dumps(document).encode()
    assert "larger than" in refused("trust-update-invalid", ask).message


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("timestamp.json", "TUF_TIMESTAMP_BYTES"),
        ("2.root.json", "TUF_ROOT_BYTES"),
        ("1.targets.json", "TUF_METADATA_BYTES"),
    ],
)
def test_endless_data_is_refused_by_its_bound(trust_service, ask, monkeypatch, name, limit):
    assert new_root(trust_service) == 2
    trust_service.tuf.files[name] += b" " * 5000  # longer than the root, which has a bound of its own
    monkeypatch.setattr(limits, limit, len(trust_service.tuf.files[name]))
    ask()
    trust_service.tuf.files[name] += b" " * 100
    assert str(getattr(limits, limit)) in refused("trust-update-invalid", ask).message


def test_a_target_is_bound_too(trust_service, ask, monkeypatch):
    size = len(trust_service.tuf.files[_target(trust_service)])
    monkeypatch.setattr(limits, "TRUST_ROOT_BYTES", size)
    ask()
    monkeypatch.setattr(limits, "TRUST_ROOT_BYTES", size - 1)
    assert "larger than" in refused("trust-update-invalid", ask).message


def test_endless_roots_come_to_an_end(trust_service, run, monkeypatch):
    first = trust_service.tuf.root
    monkeypatch.setattr(limits, "TUF_FILES", 12)
    for number in range(1, 9):
        trust_service.tuf.versions["root"] = number
        trust_service.publish(rotate=("root",))
        if number == 4:
            run(repository.update(trust_service.tuf_url, root=first, known=NOTHING))
    refused("trust-update-invalid", run, repository.update(trust_service.tuf_url, root=first, known=NOTHING))


def _target(service, name=NAME):
    return next(path for path in service.tuf.files if path.startswith("targets/") and path.endswith(f".{name}"))


def test_U12_a_target_with_other_bytes_is_refused(trust_service, ask):
    path = _target(trust_service)
    good = trust_service.tuf.files[path]
    ask()
    for bad in (good[:-1] + b" ", good + b" ", good[:-1], b""):
        trust_service.tuf.files[path] = bad
        refused("trust-update-invalid", ask)
    del trust_service.tuf.files[path]
    refused("trust-update-invalid", ask)


@pytest.mark.parametrize("prefix", ["../../../x", "a/../..", "..", "%2e%2e%2f", "C:\\x", "", "x" * 4096, "\0"])
def test_U06_names_in_metadata_lead_nowhere(trust_service, run, ask, tmp_path, prefix):
    """A hash is put before a target's file name; and a target may be called anything."""
    store = Cache(str(tmp_path / "cache"))

    def rename(signed):
        signed.targets["../../pwned"] = TargetFile(1, {"sha256": "0" * 64}, "../../pwned")
        signed.targets[NAME].hashes["sha256"] = prefix

    resign(trust_service, "targets", lambda signed: signed.targets.update({f"{prefix}/pwned": signed.targets[NAME]}))
    run(environment.refresh(store, trust_service.tuf_url, trust_service.tuf.root))
    resign(trust_service, "targets", rename)
    trust_service.requests.clear()
    with pytest.raises(SealgateError):
        run(environment.refresh(Cache(str(tmp_path / "other")), trust_service.tuf_url, trust_service.tuf.root))
    assert not [seen.path for seen in trust_service.requests if ".." in seen.path.split("/")]
    assert {path.name for path in tmp_path.iterdir()} <= {"cache", "other"}
    assert not list(tmp_path.rglob("*pwned*"))


def _delegated(service, roles, snapshot):
    """Targets that delegate the trust root to `roles` (name, terminating, what it has), in this order."""
    signer = CryptoSigner.generate_ecdsa()
    delegations = Delegations({signer.public_key.keyid: signer.public_key}, {})
    files = service.tuf.files
    meta = {}
    for name, terminating, data in roles:
        delegations.roles[name] = DelegatedRole(name, [signer.public_key.keyid], 1, terminating, paths=["trusted_*"])
        targets = Targets(expires=in_days(9))
        if data is not None:
            targets.targets[NAME] = TargetFile.from_data(NAME, data, ["sha256"])
            files[f"targets/{hashlib.sha256(data).hexdigest()}.{NAME}"] = data
        metadata = Metadata(targets)
        metadata.sign(signer)
        files[f"1.{name}.json"] = metadata.to_bytes()
        meta[f"{name}.json"] = MetaFile(1)

    def delegate(signed):
        del signed.targets[NAME]
        signed.delegations = delegations

    resign(service, "targets", delegate)
    resign(service, "snapshot", lambda signed: signed.meta.update(meta if snapshot else {}))


def test_U05_delegations_are_walked_in_their_order(trust_service, ask):
    roles = [("first", False, b"first"), ("second", False, b"second")]
    _delegated(trust_service, roles, snapshot=True)
    assert ask().targets[NAME] == b"first"


def test_U05_a_terminating_delegation_ends_the_walk(trust_service, ask):
    _delegated(trust_service, [("first", True, None), ("second", False, b"second")], snapshot=True)
    assert NAME not in ask().targets


def test_U05_a_delegation_that_does_not_end_it_does_not(trust_service, ask):
    _delegated(trust_service, [("first", False, None), ("second", False, b"second")], snapshot=True)
    assert ask().targets[NAME] == b"second"


def test_U05_a_role_that_is_missing_in_the_snapshot_is_an_error(trust_service, ask):
    _delegated(trust_service, [("first", False, b"first")], snapshot=False)
    refused("trust-update-invalid", ask)


def test_U07_patterns_of_delegations_do_not_depend_on_the_system(trust_service, ask, monkeypatch):
    """Some systems take upper and lower case for one (GHSA-qp9x-wp8f-qgjj): TRUSTED_* does not mean trusted_root.json."""
    _delegated(trust_service, [("first", True, b"first")], snapshot=True)

    def shout(signed):
        signed.delegations.roles["first"].paths = ["TRUSTED_*"]

    assert ask().targets[NAME] == b"first"
    resign(trust_service, "targets", shout)
    monkeypatch.setattr("os.path.normcase", str.lower)
    assert NAME not in ask().targets


def test_U01_one_key_under_two_ids_of_a_delegated_role_is_refused(trust_service, ask):
    _delegated(trust_service, [("first", False, b"first")], snapshot=True)
    ask()

    def twice(signed):
        (key,) = signed.delegations.keys.values()
        signed.delegations.keys["c" * 64] = Key.from_dict("c" * 64, dict(key.to_dict()))
        signed.delegations.roles["first"].keyids.append("c" * 64)
        signed.delegations.roles["first"].threshold = 1

    resign(trust_service, "targets", twice)
    assert "one key twice" in refused("trust-update-invalid", ask).message


# -- a mirror that cannot be asked


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (0, "registry-unreachable"),
        (401, "registry-unauthorized"),
        (429, "registry-throttled"),
        (500, "registry-failed"),
    ],
)
def test_U13_not_to_be_asked_is_an_error_of_its_own(trust_service, ask, monkeypatch, status, code):
    monkeypatch.setattr(limits, "ATTEMPTS", 2)
    ask()
    trust_service.fail("tuf", status=status)
    assert refused(code, ask).exit_code == 14


def test_a_busy_mirror_is_asked_again(trust_service, ask):
    trust_service.tuf  # noqa: B018 - made before it fails
    trust_service.fail("tuf", status=503, times=1)
    ask()


def test_a_redirect_is_not_followed(trust_service, ask):
    ask()
    trust_service.fail("tuf", status=302, headers={"Location": f"{trust_service.url}/elsewhere"}, path="timestamp")
    assert refused("redirect-refused", ask).exit_code == 14
    assert not [seen for seen in trust_service.requests if seen.path == "/elsewhere"]


def test_what_is_no_repository_is_said_so(trust_service, run):
    root = trust_service.tuf.root
    error = refused(
        "trust-update-invalid", run, repository.update(f"{trust_service.url}/nothing", root=root, known=NOTHING)
    )
    assert "timestamp.json" in error.message


def test_U11_two_repositories_are_kept_apart(trust_service, run, tmp_path):
    """Each is verified by its own root, also at once."""
    from trust_service.server import serve

    store = Cache(str(tmp_path))
    with serve() as other:
        roots = {trust_service.tuf_url: trust_service.tuf.root, other.tuf_url: other.tuf.root}

        async def both():
            from sealgate.transport import flow

            return await flow.gather(environment.refresh(store, url, root) for url, root in list(roots.items()) * 4)

        said = run(both())
        assert {kept.metadata["root"] for kept in said} == set(roots.values())
        for url, root in roots.items():
            assert store.read(url).metadata["root"] == root
        (one, mine), (two, theirs) = roots.items()
        refused("trust-update-invalid", run, repository.update(one, root=theirs, known=NOTHING))
        refused("trust-update-invalid", run, repository.update(two, root=mine, known=NOTHING))


def test_nothing_is_left_behind(trust_service, ask, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ask()
    trust_service.tuf.files["timestamp.json"] = b"{"
    refused("trust-update-invalid", ask)
    assert os.listdir(tmp_path) == []


def test_the_root_that_comes_with_the_package_is_whole():
    data = environment.public_root()
    repository.check_metadata("root.json", data)
    metadata = Metadata[Root].from_bytes(data)
    metadata.verify_delegate(Root.type, metadata)
    assert metadata.signed.version == 15
    assert metadata.signed.roles["root"].threshold == 3
    assert hashlib.sha256(data).hexdigest() == "73747011d0857ada15479a16c4cae0f3ed03aac698b523b97e1de314ac9d9ca8"
