"""`import sealgate`: verify, sign and list, on asyncio with either adapter and blocking, against a real registry."""

import asyncio
import inspect
import json
import subprocess
import sys
import threading

import pytest

import sealgate
from peers.images import push_image
from sealgate import blocking
from sealgate.errors import (
    ImageNotFoundError,
    InvalidReferenceError,
    KeyIsPrivateError,
    KeyNotFoundError,
    PasswordError,
    UnauthorizedError,
    UnavailableError,
    UsageError,
)
from sealgate.oci.location import LayoutLocation


class Face:
    """One way to call the library, made to look like the blocking one."""

    def __init__(self, way):
        self.way = way

    def client(self, **settings):
        if self.way == "blocking":
            return blocking.Client(**settings)
        return _Driven(sealgate.Client(adapter=self.way, **settings))

    def __getattr__(self, name):
        if self.way == "blocking":
            return getattr(blocking, name)
        return lambda *args, **kwargs: asyncio.run(getattr(sealgate, name)(*args, **kwargs))


class _Driven:
    def __init__(self, client):
        self._client = client
        self._runner = asyncio.Runner()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._runner.run(self._client.close())
        self._runner.close()

    def __getattr__(self, name):
        return lambda *args, **kwargs: self._runner.run(getattr(self._client, name)(*args, **kwargs))


@pytest.fixture(params=["aiohttp", "threads", "blocking"])
def face(request):
    if request.param == "aiohttp":
        pytest.importorskip("aiohttp")
    return Face(request.param)


@pytest.fixture(scope="module")
def private():
    return sealgate.PrivateKey.generate()


@pytest.fixture(scope="module")
def other():
    return sealgate.PrivateKey.generate("ed25519")


@pytest.fixture
def image(docker_registry, request):
    return push_image(docker_registry, f"library/{threading.get_native_id()}")


def test_sign_and_verify(face, image, private, other):
    [made] = face.sign(image.reference, keys=[private], annotations={"env": "prod"})
    assert (made.added, made.format, str(made.digest)) == (True, "bundle", image.digest)
    assert made.key == private.public_key.fingerprint

    verdict = face.verify(image.tagged, keys=[private.public_key], require="any", annotations={"env": "prod"})
    assert verdict.accepted
    assert (verdict.code, str(verdict.digest)) == ("accepted", image.digest)

    refused = face.verify(image.tagged, keys=[other.public_key], require="any")
    assert not refused.accepted
    assert (refused.code, refused.exit_code) == ("signature-key-mismatch", 12)
    assert face.verify(image.tagged, keys=[private.public_key], require="any", annotations={"env": "test"}).code == (
        "annotation-mismatch"
    )


def test_both_formats_and_again_adds_nothing(face, image, private):
    made = face.sign(image.reference, keys=[private], formats=["bundle", "legacy"])
    assert [(signature.format, signature.added) for signature in made] == [("bundle", True), ("legacy", True)]
    again = face.sign(image.reference, keys=[private, private], formats=["bundle", "legacy"])
    assert [signature.added for signature in again] == [False, False]


def test_names_of_keys_stand_in_the_verdict(face, image, private, other):
    face.sign(image.reference, keys=[private])
    keys = {"release": private.public_key, "audit": other.public_key}
    verdict = face.verify(image.reference, keys=keys, require="any")
    assert verdict.summary == "signed by release"
    refused = face.verify(image.reference, keys=keys, require="all")
    assert refused.code == "no-matching-signature"
    assert "release, audit" in refused.summary


@pytest.mark.parametrize(("require", "accepted"), [("any", True), ("all", False), (1, True), (2, True), (3, False)])
def test_thresholds(docker_registry, private, other, require, accepted):
    third = sealgate.PrivateKey.generate()
    image = push_image(docker_registry, "library/thresholds")
    blocking.sign(image.reference, keys=[private, other])
    keys = [key.public_key for key in (private, other, third)]
    assert blocking.verify(image.reference, keys=keys, require=require).accepted is accepted


def test_several_images_in_order(face, image, docker_registry, private):
    bare = push_image(docker_registry, "library/bare")
    face.sign(image.reference, keys=[private])
    names = [bare.reference, image.reference, f"{docker_registry}/library/bare:nope"]
    found = face.verify_all(names, keys=[private.public_key], require="any")
    assert [[verdict.code for verdict in verdicts] for verdicts in found] == [
        ["no-signature"],
        ["accepted"],
        ["image-not-found"],
    ]


def test_recursive_gives_the_first_verdict_that_is_not_accepted(face, docker_registry, private):
    index = push_image(docker_registry, "library/index", kind="index")
    face.sign(index.reference, keys=[private])
    asked = {"keys": [private.public_key], "require": "any"}
    assert face.verify(index.reference, **asked).accepted
    refused = face.verify(index.reference, **asked, recursive=True)
    assert (refused.code, str(refused.digest)) == ("no-signature", index.children[0].digest)
    assert face.verify(index.reference, **asked, platform="linux/arm64").code == "no-signature"

    made = face.sign(index.reference, keys=[private], recursive=True)
    assert [signature.added for signature in made] == [False, True, True]
    verdict = face.verify(index.reference, **asked, recursive=True)
    assert verdict.accepted
    assert str(verdict.digest) == index.digest
    [all_of_them] = face.verify_all([index.reference], **asked, recursive=True)
    assert [str(each.digest) for each in all_of_them] == [index.digest, *(child.digest for child in index.children)]


def test_deny_list(face, image, private):
    face.sign(image.reference, keys=[private])
    listed = sealgate.parse_deny_list(f"digest {image.digest} recalled\n".encode(), what="the list")
    verdict = face.verify(image.reference, keys=[private.public_key], require="any", deny=listed)
    assert (verdict.code, verdict.exit_code) == ("denied-digest", 16)
    other = sealgate.parse_deny_list(b"digest sha256:" + b"0" * 64 + b" another\n", what="the list")
    assert face.verify(image.reference, keys=[private.public_key], require="any", deny=other).accepted


def test_attachments(face, image, private):
    assert face.attachments(image.tagged).items == ()
    face.sign(image.reference, keys=[private], formats=["bundle", "legacy"])
    found = face.attachments(image.tagged)
    assert [(item.origin, item.content) for item in found.items] == [("referrer", b""), ("sig", b"")]
    assert (str(found.digest), found.problems, found.referrers_api) == (image.digest, (), False)
    payload = json.loads(face.attachments(image.tagged, content=True).items[1].content)
    assert payload["critical"]["image"]["docker-manifest-digest"] == image.digest
    with pytest.raises(ImageNotFoundError):
        face.attachments(f"{image.name}:nope")


def test_copy_takes_everything_along(face, image, private, tmp_path):
    face.sign(image.reference, keys=[private], formats=["bundle", "legacy"])
    carried, back = f"oci:{tmp_path}/carried:v1", f"{image.name}-copy:{image.digest[7:19]}"
    copied = face.copy(image.tagged, carried)
    assert (str(copied.digest), copied.attached, copied.left_out) == (image.digest, 2, ())
    assert face.copy(carried, back).digest == copied.digest
    for name in (carried, back):
        verdict = face.verify(name, keys=[private.public_key], require="any")
        assert verdict.accepted
        assert [report.accepted for report in verdict.signatures] == [True, True]


def test_copy_moves_no_tag_unless_it_is_told_to(face, image, docker_registry, tmp_path):
    other = push_image(docker_registry, image.repository, "other")
    target = f"oci:{tmp_path}/target:v1"
    face.copy(image.tagged, target)
    with pytest.raises(sealgate.SealgateError) as caught:
        face.copy(other.tagged, target)
    assert caught.value.code == "tag-exists"
    assert str(face.resolve(target)) == image.digest
    face.copy(other.tagged, target, force=True)
    assert str(face.resolve(target)) == other.digest
    with pytest.raises(ImageNotFoundError):
        face.copy(f"{image.name}:nope", target)


@pytest.mark.parametrize(("only", "error"), [("sig", TypeError), (["nonsense"], UsageError), ([], UsageError)])
def test_copy_of_kinds_that_there_are_not(face, image, tmp_path, only, error):
    with pytest.raises(error):
        face.copy(image.tagged, f"oci:{tmp_path}/target:v1", only=only)
    assert face.copy(image.tagged, f"oci:{tmp_path}/target:v1", only=["sig", "att"]).attached == 0


def test_resolve(face, image):
    assert str(face.resolve(image.tagged)) == image.digest
    with pytest.raises(ImageNotFoundError) as caught:
        face.resolve(f"{image.name}:nope")
    assert caught.value.code == "image-not-found"


def test_could_not_ask_is_not_unsigned(face, private):
    verdict = face.verify("127.0.0.1:1/nobody/listens:1", keys=[private.public_key], require="any")
    assert (verdict.outcome, verdict.code, verdict.exit_code) == ("unknown", "registry-unreachable", 14)
    assert not verdict.accepted
    with pytest.raises(UnavailableError) as caught:
        face.attachments("127.0.0.1:1/nobody/listens:1")
    assert caught.value.code == "registry-unreachable"


def test_a_verdict_has_no_truth_value(image, private):
    verdict = blocking.verify(image.reference, keys=[private.public_key], require="any")
    with pytest.raises(TypeError, match="accepted"):
        bool(verdict)


def test_images_may_be_references(face, image, private):
    reference = sealgate.Reference.parse(image.tagged)
    face.sign(reference, keys=[private])
    assert face.verify(reference, keys=[private.public_key], require="any").accepted
    with pytest.raises(InvalidReferenceError):
        sealgate.Reference.parse("oci:/some/layout")


def test_layouts(face, tmp_path, docker_registry, private):
    from peers.images import Client

    image = push_image(docker_registry, "library/layout")
    (tmp_path / "blobs" / "sha256").mkdir(parents=True)
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    for digest, data in {image.digest: image.raw, **image.blobs}.items():
        (tmp_path / "blobs" / "sha256" / digest.partition(":")[2]).write_bytes(data)
    entry = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.raw)}
    (tmp_path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    where = LayoutLocation("oci", str(tmp_path))
    face.sign(where, keys=[private])
    assert face.verify(f"oci:{tmp_path}", keys=[private.public_key], require="any").accepted
    assert Client(docker_registry).tags("library/layout") == ["latest"]


# -- wrong use


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"require": "any"}, TypeError),
        ({"keys": "KEY"}, TypeError),
        ({"keys": [], "require": "any"}, UsageError),
        ({"keys": [], "require": "all"}, UsageError),
        ({"keys": "KEY", "require": 0}, UsageError),
        ({"keys": "KEY", "require": -1}, UsageError),
        ({"keys": "KEY", "require": 2}, UsageError),
        ({"keys": "KEY", "require": True}, UsageError),
        ({"keys": "KEY", "require": None}, UsageError),
        ({"keys": "KEY", "require": "most"}, UsageError),
        ({"keys": "cosign.pub", "require": "any"}, TypeError),
        ({"keys": ["cosign.pub"], "require": "any"}, TypeError),
        ({"keys": "PRIVATE", "require": "any"}, TypeError),
        ({"keys": "KEY", "require": "any", "annotations": {"a": 1}}, TypeError),
        ({"keys": "KEY", "require": "any", "deny": ["sha256:…"]}, TypeError),
        ({"keys": "KEY", "require": "any", "recursive": True, "platform": "linux/amd64"}, UsageError),
        ({"keys": "KEY", "require": "any", "unknown": 1}, TypeError),
    ],
)
def test_P01_wrong_use_is_an_error_and_never_a_verdict(face, image, private, arguments, error):
    keys = {"KEY": [private.public_key], "PRIVATE": [private]}
    value = arguments.get("keys")
    given = arguments | ({"keys": keys[value]} if isinstance(value, str) and value in keys else {})
    with pytest.raises(error):
        face.verify(image.reference, **given)


def test_no_image_is_wrong_use(face, private):
    with pytest.raises(UsageError):
        face.verify_all([], keys=[private.public_key], require="any")
    with pytest.raises(TypeError):
        face.verify_all("one/image", keys=[private.public_key], require="any")
    with pytest.raises(InvalidReferenceError):
        face.verify("UPPER/case", keys=[private.public_key], require="any")
    with pytest.raises(TypeError):
        face.verify(b"bytes", keys=[private.public_key], require="any")


@pytest.mark.parametrize("keys", [[], None])
def test_nothing_to_sign_with(face, image, private, keys):
    with pytest.raises(UsageError if keys == [] else TypeError):
        face.sign(image.reference, keys=keys)
    with pytest.raises(TypeError):
        face.sign(image.reference, keys=[private.public_key])
    with pytest.raises(UsageError):
        face.sign(image.reference, keys=[private], formats=["notation"])
    with pytest.raises(TypeError):
        face.sign(image.reference, keys=[private], formats="bundle")


# -- keys


def test_keys_by_reference(face, tmp_path, private):
    (tmp_path / "cosign.pub").write_bytes(private.public_key.pem())
    (tmp_path / "cosign.key").write_bytes(private.encrypt(b"secret"))
    assert face.load_public_key(str(tmp_path / "cosign.pub")) == private.public_key
    assert face.load_signer(str(tmp_path / "cosign.key"), password=b"secret").public_key == private.public_key
    assert face.load_signer(str(tmp_path / "cosign.key"), password=lambda: b"secret").public_key == private.public_key
    with pytest.raises(PasswordError):
        face.load_signer(str(tmp_path / "cosign.key"), password=b"wrong")
    with pytest.raises(TypeError):
        face.load_signer(str(tmp_path / "cosign.key"), password="text")
    with pytest.raises(KeyIsPrivateError):
        face.load_public_key(str(tmp_path / "cosign.key"))
    with pytest.raises(KeyNotFoundError):
        face.load_public_key(str(tmp_path / "nothing"))


def test_the_environment_is_read_only_when_it_is_given(face, monkeypatch, private):
    monkeypatch.setenv("THE_KEY", private.public_key.pem().decode())
    with pytest.raises(KeyNotFoundError):
        face.load_public_key("env://THE_KEY")
    given = {"THE_KEY": private.public_key.pem().decode()}
    assert face.load_public_key("env://THE_KEY", environ=given) == private.public_key


def test_pem_round_trip(private):
    assert sealgate.PublicKey.from_pem(private.public_key.pem()) == private.public_key
    assert sealgate.PublicKey.from_pem(private.public_key.pem().decode()) == private.public_key
    with pytest.raises(KeyIsPrivateError):
        sealgate.PublicKey.from_pem(private.encrypt(b""))
    with pytest.raises(sealgate.KeyMaterialError):
        sealgate.PrivateKey.from_pem("nothing")


# -- registries


def test_credentials(face, start_registry, private, tmp_path, monkeypatch):
    registry = start_registry(htpasswd={"someone": "canary-4711"})
    image = push_image(registry.host, auth=("someone", "canary-4711"))
    folder = tmp_path / "docker"
    folder.mkdir()
    auths = {registry.host: {"username": "someone", "password": "canary-4711"}}
    (folder / "config.json").write_text(json.dumps({"auths": auths}))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))

    with pytest.raises(UnauthorizedError):
        face.sign(image.reference, keys=[private])
    given = sealgate.Credentials(username="someone", password="canary-4711")
    settings = sealgate.RegistrySettings(credentials=lambda host, repository: given)
    assert "canary" not in repr(settings.credentials("a", "b"))
    face.sign(image.reference, keys=[private], registry=settings)
    refused = face.verify(image.reference, keys=[private.public_key], require="any")
    assert (refused.outcome, refused.code) == ("unknown", "registry-unauthorized")
    assert "canary" not in json.dumps(refused.as_json())
    read = sealgate.RegistrySettings.from_environment({"DOCKER_CONFIG": str(folder)})
    assert face.verify(image.reference, keys=[private.public_key], require="any", registry=read).accepted


def test_a_client_keeps_connections_and_what_it_learned(face, start_registry, private):
    registry = start_registry()
    image = push_image(registry.host)
    with face.client() as client:
        client.sign(image.reference, keys=[private], formats=["bundle", "legacy"])
        asked = {"keys": [private.public_key], "require": "any"}
        assert client.verify(image.reference, **asked).accepted
        before = registry.log.read_text().count("\n")
        for _ in range(3):
            assert client.verify(image.tagged, **asked).accepted
        lines = registry.log.read_text().splitlines()[before:]
        assert not [line for line in lines if '"GET /v2/ ' in line], "whether it speaks TLS is known"


def test_signature_repository(face, image, docker_registry, private):
    elsewhere = f"{docker_registry}/library/signatures"
    with face.client(signature_repository=elsewhere) as client:
        [made] = client.sign(image.reference, keys=[private])
        assert made.stored == elsewhere
        assert client.verify(image.reference, keys=[private.public_key], require="any").accepted
    assert face.verify(image.reference, keys=[private.public_key], require="any").code == "no-signature"


def test_from_environment(image, docker_registry, private, monkeypatch):
    elsewhere = f"{docker_registry}/library/environment"
    environ = {"COSIGN_REPOSITORY": elsewhere, "HTTPS_PROXY": "http://127.0.0.1:1", "SEALGATE_REGISTRY_REALMS": "a.b, "}
    with blocking.Client.from_environment(environ) as client:
        client.sign(image.reference, keys=[private])
        assert client.verify(image.reference, keys=[private.public_key], require="any").accepted

    async def asynchronously():
        monkeypatch.setenv("COSIGN_REPOSITORY", elsewhere)
        async with sealgate.Client.from_environment() as client:
            return await client.verify(image.reference, keys=[private.public_key], require="any")

    assert asyncio.run(asynchronously()).accepted
    with pytest.raises(UsageError):
        blocking.Client.from_environment({"HTTPS_PROXY": "socks5://somewhere"})


@pytest.mark.parametrize("adapter", ["aiohttp", "threads"])
def test_many_calls_of_one_client_at_once(docker_registry, private, adapter):
    images = [push_image(docker_registry, f"library/many{number}") for number in range(8)]

    async def everything():
        async with sealgate.Client(adapter=adapter) as client:
            signing = [client.sign(image.reference, keys=[private]) for image in images]
            await asyncio.gather(*signing)
            asked = {"keys": [private.public_key], "require": "any"}
            return await asyncio.gather(*(client.verify(image.reference, **asked) for image in images))

    assert all(verdict.accepted for verdict in asyncio.run(everything()))


def test_threads_share_a_blocking_client(docker_registry, image, private):
    blocking.sign(image.reference, keys=[private])
    found = []
    with blocking.Client() as client:

        def look():
            found.append(client.verify(image.tagged, keys=[private.public_key], require="any").accepted)

        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [True] * 8


@pytest.mark.parametrize("adapter", ["aiohttp", "threads"])
def test_a_cancelled_call_ends(private, adapter):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        async def give_up():
            async with sealgate.Client(adapter=adapter, seconds=2) as client:
                asked = {"keys": [private.public_key], "require": "any"}
                async with asyncio.timeout(0.2):
                    await client.verify(f"127.0.0.1:{port}/a/b:c", **asked)

        with pytest.raises(TimeoutError):
            asyncio.run(give_up())


def test_the_time_out_of_a_call(face, private):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent, face.client(seconds=0.3) as client:
        name = f"127.0.0.1:{silent.getsockname()[1]}/a/b:c"
        verdict = client.verify(name, keys=[private.public_key], require="any")
    assert (verdict.outcome, verdict.code, verdict.exit_code) == ("unknown", "timed-out", 14)


def test_adapters_by_name():
    with pytest.raises(UsageError):
        sealgate.Client(adapter="carrier-pigeon")


# -- the face


def test_import_costs_nothing():
    code = (
        "import sys, sealgate; print(sorted(name for name in sys.modules if name.startswith(('sealgate', 'asyncio'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['sealgate', 'sealgate._version']"


def test_blocking_needs_no_asyncio(tmp_path):
    code = (
        "import sys; from sealgate import blocking, PrivateKey; key = PrivateKey.generate()\n"
        "verdict = blocking.verify('127.0.0.1:1/a/b:c', keys=[key.public_key], require='any')\n"
        "print(verdict.code, 'asyncio' in sys.modules, 'aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["registry-unreachable", "False", "False"]


def test_every_name_is_there_and_documented():
    assert sorted(sealgate.__all__) == dir(sealgate)
    for name in sealgate.__all__:
        found = getattr(sealgate, name)
        assert inspect.getdoc(found), name
    for name in set(dir(blocking.Client)) & set(dir(sealgate.Client)):
        if not name.startswith("_"):
            assert inspect.getdoc(getattr(blocking.Client, name)), name
    with pytest.raises(AttributeError):
        _ = sealgate.nothing_of_this_name


def test_both_clients_offer_the_same():
    def methods(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    assert methods(blocking.Client) == methods(sealgate.Client)
    for name in ("verify", "verify_all", "sign", "attachments", "resolve"):
        assert inspect.signature(getattr(blocking, name)).parameters.keys() == (
            inspect.signature(getattr(sealgate, name)).parameters.keys()
        )


# -- files


def test_blobs(face, private, other, tmp_path):
    path = tmp_path / "release.tar"
    path.write_bytes(b"content")
    for key in (private, other):
        made = face.sign_blob(path, key=key)
        asked = {"keys": [key.public_key], "require": "any"}
        for evidence in (
            {"bundles": [made.bundle]},
            {"bundles": [made.legacy_bundle]},
            {"signatures": [made.signature]},
        ):
            verdict = face.verify_blob(path, **evidence, **asked)
            assert verdict.accepted
            assert verdict.image == str(path)
            assert face.verify_blob(b"content", **evidence, **asked).accepted
            assert face.verify_blob(b"other content", **evidence, **asked).exit_code == 12
    assert face.verify_blob(b"content", keys=[other.public_key], require="any").code == "no-signature"
    with pytest.raises(sealgate.errors.NotFoundError):
        face.sign_blob(tmp_path / "nothing", key=private)
    with pytest.raises(sealgate.errors.NotFoundError):
        face.verify_blob(tmp_path / "nothing", bundles=[made.bundle], keys=[other.public_key], require="any")


def test_W06_what_an_image_signature_is_made_over_is_not_signed_as_a_file(face, private):
    payload = b'{"critical":{"image":{"docker-manifest-digest":"sha256:' + b"0" * 64 + b'"}}}'
    with pytest.raises(UsageError):
        face.sign_blob(payload, key=private)
    assert face.sign_blob(payload, key=private, unsafe_image_payload=True).signature


def test_wrong_use_of_blobs(face, private, other):
    made = face.sign_blob(b"content", key=private)
    asked = {"keys": [private.public_key], "require": "any"}
    with pytest.raises(TypeError):
        face.verify_blob(b"content", bundles=made.bundle, **asked)
    with pytest.raises(TypeError):
        face.verify_blob(b"content", bundles=[made.bundle], keys=[private.public_key])
    with pytest.raises(TypeError):
        face.sign_blob(b"content", key=private.public_key)
    with pytest.raises(TypeError):
        face.verify_blob(b"content", bundles=[made.bundle], deny=["no list"], **asked)
    denied = sealgate.parse_deny_list(f"key {private.public_key.fingerprint} leaked".encode(), what="the list")
    assert face.verify_blob(b"content", bundles=[made.bundle], deny=denied, **asked).code == "denied-key"


def test_the_verdict_on_a_file_is_as_its_schema_says(private):
    import jsonschema

    from peers.programs import ROOT

    schema = json.loads((ROOT / "docs" / "verdict.schema.json").read_text(encoding="utf-8"))
    made = blocking.sign_blob(b"content", key=private)
    for evidence in ({"bundles": [made.bundle, b"junk"]}, {"signatures": [made.signature]}, {}):
        verdict = blocking.verify_blob(b"content", **evidence, keys=[private.public_key], require="any")
        jsonschema.Draft202012Validator(schema).validate(verdict.as_json())
