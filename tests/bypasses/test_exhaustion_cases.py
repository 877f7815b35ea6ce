"""Too much, too deep, too slow (D01 to D16): every bound is kept, in memory and in time, and named in the verdict.

The cases that could fill the memory run in a process of their own, which may take 96 MiB more than an honest one.
"""

from __future__ import annotations

import base64
import json

import pytest

from bypasses.scene import BUNDLE, REPOSITORY, Scene, compact, run
from evil_registry.honest import INDEX, MANIFEST, digest_of
from evil_registry.scripts import (
    altered,
    challenge,
    drip,
    endless,
    endless_headers,
    endless_pages,
    fail,
    gzipped,
    redirect,
    reply,
    stall,
)

ROOM = 96 * 1024 * 1024
SECONDS = 20
"""For what should take 2 or 4 at most; the machine may be busy."""


@pytest.fixture(scope="module")
def usual(tmp_path_factory, signer) -> int:
    """The peak memory of an honest verification."""
    from evil_registry.honest import HonestRegistry
    from evil_registry.server import EvilRegistry

    with EvilRegistry(HonestRegistry()) as registry:
        scene = Scene(registry, signer, tmp_path_factory.mktemp("usual"))
        scene.attach()
        outcome = scene.verify_apart()
    outcome.is_accepted()
    return outcome.peak


def _stays_small(outcome, usual: int) -> None:
    assert outcome.peak < usual + ROOM, f"{outcome.peak >> 20} MiB, usually {usual >> 20}"
    assert outcome.seconds < SECONDS


def _limits_named(outcome) -> bool:
    """Whether a problem or finding of the verdict names a limit."""
    verdict = outcome.verdict
    codes = {verdict["code"], *(problem["code"] for problem in verdict["problems"])}
    codes |= {finding["code"] for signature in verdict["signatures"] for finding in signature["findings"]}
    return bool(codes & {"limit-exceeded", "evidence-limit"})


# -- counts


@pytest.mark.parametrize("count", [600, 10_000])
def test_D01_more_layers_than_are_looked_at(scene, usual, count):
    bad = scene.layer(signature="AAAA")
    good = scene.layer()
    scene.sign_legacy(good, *([bad] * (count - 1)))
    outcome = scene.verify_apart()
    _stays_small(outcome, usual)
    if count <= 1024:  # a good signature among the first still counts; junk after it does not lock the image out
        outcome.is_accepted()
    else:
        outcome.is_refused("limit-exceeded", 12)
    scene.sign_legacy(*([bad] * (count - 1)), good)
    outcome = scene.verify()
    assert outcome.exit_code == 12
    assert _limits_named(outcome)


@pytest.mark.parametrize("count", [600, 10_000])
def test_D01_D05_more_referrers_than_are_looked_at(scene, usual, count):
    scene.verify("-t", "5s")
    good = scene.attach()
    junk = [{"mediaType": MANIFEST, "size": 2, "digest": f"sha256:{number:064x}", "artifactType": BUNDLE} for number in range(count)]  # fmt: skip
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [good.descriptor(), *junk]}
    path = scene.path("referrers", scene.image.digest)
    scene.registry.on("GET", path, reply(200, headers={"Content-Type": INDEX}, json=document))
    outcome = scene.verify_apart()
    _stays_small(outcome, usual)
    assert len(scene.registry.asked("GET", scene.path("manifests", "*"))) < 1100
    if count == 600:
        outcome.is_accepted()
    else:
        assert outcome.exit_code == 12
        assert _limits_named(outcome)


def test_D03_a_million_tiny_layers(scene, usual):
    manifest = b'{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}' % (
        MANIFEST.encode(),
        compact(scene.image.document["config"]),
        b",".join([b"{}"] * 1_300_000),
    )
    scene.honest.put_manifest(REPOSITORY, manifest, "many")
    outcome = scene.verify_apart(image=scene.tag.replace(":v1", ":many"))
    outcome.is_refused("limit-exceeded", 1)
    _stays_small(outcome, usual)


def _with(bundle: dict, **material) -> dict:
    return {**bundle, "verificationMaterial": {**bundle["verificationMaterial"], **material}}


def test_D04_each_count_in_a_bundle_has_a_bound(scene):
    good = scene.bundle()
    entry, stamp = {"logIndex": "1"}, {"signedTimestamp": "AAAA"}
    statement = scene.signer.statement(scene.image.digest)
    subject = statement["subject"][0]
    other = {"digest": {"sha256": "0" * 64}}
    at_limit = {
        "entries": _with(good, tlogEntries=[entry] * 32),
        "timestamps": _with(good, timestampVerificationData={"rfc3161Timestamps": [stamp] * 32}),
        "subjects": scene.signer.bundle({**statement, "subject": [subject, *[other] * 1023]}),
        "digests": scene.signer.bundle({**statement, "subject": [{"digest": {**subject["digest"], **{f"x{n}": "1" for n in range(31)}}}]}),
    }  # fmt: skip
    past_it = {
        "entries": _with(good, tlogEntries=[entry] * 33),
        "timestamps": _with(good, timestampVerificationData={"rfc3161Timestamps": [stamp] * 33}),
        "subjects": scene.signer.bundle({**statement, "subject": [subject, *[other] * 1024]}),
        "digests": scene.signer.bundle({**statement, "subject": [{"digest": {**subject["digest"], **{f"x{n}": "1" for n in range(32)}}}]}),
        "signatures": {**good, "dsseEnvelope": {**good["dsseEnvelope"], "signatures": good["dsseEnvelope"]["signatures"] * 33}},
    }  # fmt: skip
    assert scene.accepted_of({name: compact(bundle) for name, bundle in at_limit.items()}) == set(at_limit)
    assert scene.accepted_of({name: compact(bundle) for name, bundle in past_it.items()}) == set()


# -- sizes


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("part", ["manifests/v1", "blobs/{blob}", "manifests/{tag}.sig", "referrers/{image}"])
def test_D02_bodies_without_an_end(scene, usual, part, chunked):
    attached = scene.attach()
    blob = attached.document["layers"][0]["digest"]
    path = part.format(blob=blob, tag=scene.image.digest.replace(":", "-"), image=scene.image.digest)
    types = {"manifests/v1": MANIFEST, "referrers/{image}": INDEX}
    headers = {"Content-Type": types.get(part, "application/octet-stream")}
    scene.registry.on("GET", f"/v2/{REPOSITORY}/{path}", endless(200, chunked=chunked, headers=headers))
    outcome = scene.verify_apart(image=scene.tag)
    _stays_small(outcome, usual)
    if part == "manifests/{tag}.sig":
        outcome.is_accepted()
    else:
        assert outcome.exit_code in {1, 12}
        assert _limits_named(outcome)


@pytest.mark.parametrize("where", ["401", "403", "500", "token", "token error"])
def test_D06_errors_and_tokens_without_an_end(scene, usual, where):
    scene.attach()
    path = scene.path("manifests", scene.image.digest)
    if where.startswith("token"):
        scene.registry.on("GET", path, challenge(f"{scene.registry.origin}/token"))
        scene.registry.on("GET", "/token", endless(200 if where == "token" else 403))
    else:
        scene.registry.on("GET", path, endless(int(where), headers={"WWW-Authenticate": "Basic realm=x"}))
    outcome = scene.verify_apart()
    _stays_small(outcome, usual)
    assert outcome.exit_code in {1, 14}
    assert outcome.verdict["outcome"] != "accepted"


def test_D02_heads_without_an_end(scene, usual):
    scene.registry.on("GET", scene.path("manifests", scene.image.digest), endless_headers())
    outcome = scene.verify_apart()
    _stays_small(outcome, usual)
    assert outcome.exit_code in {1, 14}


def test_D05_many_large_attachments_never_fill_the_memory(scene, usual):
    """Sixteen bundles of 15 MiB, whose JSON would take far more when parsed; and SBOMs, which are not even fetched."""
    size = 15 * 1024 * 1024
    bombs = []
    for number in range(16):
        head = b'{"mediaType":"%d","x":[' % number
        bombs.append(head + b"{}," * ((size - len(head)) // 3) + b"0]}")
    for number, bomb in enumerate(bombs):
        scene.attach(bomb)
        scene.honest.put_referrer(REPOSITORY, scene.image, b"%d" % number + bomb, artifact_type="application/spdx+json")
    outcome = scene.verify_apart()
    assert outcome.exit_code == 12
    _stays_small(outcome, usual)
    assert _limits_named(outcome)
    boms = {digest_of(b"%d" % number + bomb) for number, bomb in enumerate(bombs)}
    assert not any(seen.path.rpartition("/")[2] in boms for seen in scene.registry.requests)
    scene.attach()  # however much junk there is, a signature is small
    scene.verify_apart().is_accepted()


def test_D05_a_descriptor_that_says_too_much_is_not_asked_for(scene):
    attached = scene.attach()
    layer = attached.document["layers"][0]
    document = {**attached.document, "layers": [{**layer, "size": 17 * 1024 * 1024}]}
    del scene.honest.manifests[REPOSITORY, attached.digest]
    scene.honest.put_manifest(REPOSITORY, document)
    outcome = scene.verify()
    outcome.is_refused("evidence-limit", 12)
    assert not scene.registry.asked("GET", scene.path("blobs", "*"))
    scene.honest.put_manifest(REPOSITORY, attached.document)
    scene.verify().is_accepted()


@pytest.mark.parametrize("times", [1, 3, 50])
def test_D07_compressed_answers_are_not_unpacked(scene, usual, times):
    scene.attach()
    bomb = b" " * (100 * 1024 * 1024) if times < 50 else None
    scene.registry.on("GET", scene.path("manifests", scene.image.digest), gzipped(times, bomb))
    outcome = scene.verify_apart()
    assert outcome.exit_code in {1, 14}
    _stays_small(outcome, usual)
    assert all(seen.headers["accept-encoding"] == "identity" for seen in scene.registry.requests)
    scene.registry.on("GET", scene.path("manifests", scene.image.digest), altered())
    scene.verify().is_accepted()


# -- depth


@pytest.mark.parametrize("deep", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000])
def test_D11_E12_nesting_is_bounded_wherever_json_is_read(scene, usual, deep):
    scene.attach(deep)
    scene.attach(scene.signer.bundle(deep))
    scene.sign_legacy(scene.layer(deep))
    outcome = scene.verify_apart()
    assert outcome.exit_code == 12
    assert len(outcome.verdict["signatures"]) == 3
    _stays_small(outcome, usual)
    scene.attach()
    scene.verify().is_accepted()
    scene.honest.put_manifest(REPOSITORY, deep, "deep")
    scene.verify(image=scene.tag.replace(":v1", ":deep")).is_refused("limit-exceeded", 1)


# -- layers


def test_D13_M05_T08_verifying_never_fetches_a_layer_or_config_of_the_image(scene):
    """Nothing of an image's content is used, so nothing of it need be checked but the manifest's digest."""
    scene.attach()
    scene.sign_legacy()
    index = scene.honest.put_index(REPOSITORY, [scene.image], "index")
    scene.attach(scene.bundle(index), subject=index)
    assert scene.verify("-r", image=scene.tag.replace(":v1", ":index")).exit_code == 0
    document = scene.image.document
    content = {document["config"]["digest"], *(layer["digest"] for layer in document["layers"])}
    assert not any(seen.path.rpartition("/")[2] in content for seen in scene.registry.requests)


# -- time


@pytest.mark.parametrize(
    "script",
    [stall(), stall(b"HTTP/1.1 200 OK\r\n"), stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), drip(pause=0.3)],
    ids=["nothing", "head", "body", "drip"],
)
def test_D14_K12_a_slow_registry_ends_with_the_time_out(scene, script):
    scene.attach()
    scene.registry.on("GET", scene.path("manifests", scene.image.digest), script)
    outcome = scene.verify("-t", "0.5s")
    outcome.is_refused("timed-out", 14)
    assert outcome.seconds < 5
    scene.registry.on("GET", scene.path("manifests", scene.image.digest), altered())
    scene.verify("-t", "20s").is_accepted()


def test_D14_a_registry_that_does_not_greet_ends_with_the_time_out(scene):
    scene.registry.greet = stall()
    outcome = scene.verify("-t", "0.5s")
    outcome.is_refused("timed-out", 14)
    assert outcome.seconds < 5


def test_D14_every_image_of_a_run_gets_its_verdict_when_time_is_up(scene):
    scene.attach()
    other = scene.name.replace(scene.image.digest, scene.evil.digest)
    scene.registry.on("GET", scene.path("*", scene.evil.digest), stall())
    outcome = run(["verify", "-t", "1s", "--key", str(scene.signer.path), "-o", "verdict", scene.name, other])
    assert [verdict["code"] for verdict in outcome.verdict] == ["accepted", "timed-out"]
    assert outcome.exit_code == 14
    assert outcome.seconds < 5


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (redirect("/v2/team/app/blobs/{n}"), "redirect-refused"),
        (redirect("/v2/team/app/manifests/v1"), "redirect-refused"),
        (reply(307), "redirect-refused"),
        (fail(500), "registry-failed"),
        (reply(429, headers={"Retry-After": "86400"}), "registry-throttled"),
    ],
    ids=["loop", "circle", "nowhere", "errors", "come back tomorrow"],
)
def test_D14_going_round_and_round_ends(scene, script, code):
    scene.attach()
    scene.registry.on("GET", scene.path("manifests", "v1"), script)
    scene.registry.on("GET", scene.path("blobs", "?"), redirect("/v2/team/app/blobs/{n}"))
    outcome = scene.verify(image=scene.tag)
    outcome.is_refused(code, 14)
    assert len(scene.registry.requests) < 15
    assert outcome.seconds < 5
    scene.registry.on("GET", scene.path("manifests", "v1"), altered())
    scene.verify(image=scene.tag).is_accepted()


def test_D14_a_registry_that_is_never_content_with_a_token(scene):
    scene.attach()
    scene.registry.on("GET", f"/v2/{REPOSITORY}/*", challenge(f"{scene.registry.origin}/token"))
    scene.registry.on("GET", "/token", reply(json={"token": "abc"}))
    scene.verify().is_refused("registry-unauthorized", 14)
    assert len(scene.registry.requests) < 20


def test_D14_pages_without_an_end(scene):
    scene.attach()
    path = scene.path("referrers", scene.image.digest)
    scene.registry.on("GET", path, endless_pages())
    outcome = scene.verify()
    assert _limits_named(outcome)
    assert outcome.exit_code == 12
    assert len(scene.registry.asked("GET", path)) == 20
    scene.registry.on("GET", path, altered(headers={"Link": f'<{path}>; rel="next"'}))
    scene.verify().is_refused("redirect-refused", 14)
    scene.registry.on("GET", path, altered(headers={"Link": '<http://169.254.169.254/x>; rel="next"'}))
    scene.verify().is_refused("redirect-refused", 14)
    scene.registry.on("GET", path, altered())
    scene.verify().is_accepted()


# -- keys


def test_D16_E17_a_key_that_would_take_for_ever_is_refused_at_once(scene, tmp_path):
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    scene.attach()
    number = rsa.RSAPublicNumbers(65537, (1 << 16383) | 12345677)
    pem = number.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "huge.pub").write_bytes(pem)
    outcome = scene.verify(key=tmp_path / "huge.pub")
    outcome.is_refused("key-unsupported", 15)
    assert outcome.seconds < 5
    scene.verify().is_accepted()


def test_D16_a_key_file_whose_password_would_take_for_ever_is_refused_at_once(scene, tmp_path, usual):
    made = run(["generate-key-pair", "--output-key-prefix", str(tmp_path / "own")], environ={"COSIGN_PASSWORD": "x"})
    assert made.exit_code == 0
    lines = (tmp_path / "own.key").read_text().strip().splitlines()
    document = json.loads(base64.b64decode("".join(lines[1:-1])))
    document["kdf"]["params"] = {"N": 1 << 30, "r": 8, "p": 1}
    text = base64.b64encode(compact(document)).decode()
    (tmp_path / "slow.key").write_text("\n".join([lines[0], text, lines[-1]]) + "\n")
    outcome = run(["sign", "--key", str(tmp_path / "slow.key"), "-y", scene.name], environ={"COSIGN_PASSWORD": "x"})
    assert (outcome.code, outcome.exit_code) == ("key-unsupported", 15), outcome
    assert outcome.seconds < 5
    good = run(["sign", "--key", str(tmp_path / "own.key"), "-y", scene.name], environ={"COSIGN_PASSWORD": "x"})
    assert good.exit_code == 0
