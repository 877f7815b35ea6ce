"""References and manifests that mean two things (R01 to R15, M01 to M15), through the command."""

from __future__ import annotations

import hashlib
import json

import pytest

from bypasses.scene import BUNDLE, REPOSITORY, compact, run
from evil_registry.honest import INDEX, MANIFEST, Stored
from evil_registry.scripts import altered, reply

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


# -- references


def test_R01_the_digest_decides_whatever_the_tag_says(scene):
    scene.attach()
    at_evil = f"{scene.registry.host}/{REPOSITORY}:v1@{scene.evil.digest}"
    at_good = f"{scene.registry.host}/{REPOSITORY}:evil@{scene.image.digest}"
    unknown = f"{scene.registry.host}/{REPOSITORY}:nosuchtag@{scene.image.digest}"
    refused = scene.verify(image=at_evil)
    refused.is_refused("no-signature", 10)
    assert refused.verdict["digest"] == scene.evil.digest
    for name in (at_good, unknown):
        accepted = scene.verify(image=name)
        accepted.is_accepted()
        assert accepted.verdict["digest"] == scene.image.digest
    assert not scene.registry.asked("*", scene.path("manifests", "v1"))
    assert not scene.registry.asked("*", scene.path("manifests", "nosuchtag"))


@pytest.mark.parametrize(
    "name",
    [
        "{host}//team/app:v1", "{host}/team/../team/app:v1", "{host}/team%2fapp:v1", "{host}/team/app/:v1", "{host}/Team/app:v1",
        "{host}/team/app:v1\n", "{host}/team/app:\u212a1", "{host}/team/app:v\u0661", "{host}/team/app\u00a0:v1",
        "{host}/team/app:v1\u200b", "{host}/te\u0430m/app:v1", "user@{host}/team/app:v1", "{host}/" + "a" * 300 + ":v1",
        "xn--ghcr-.io/team/app:v1", "gh\u0441r.io/team/app:v1", "{host}/team/app@{DIGEST}", "{host}/team/app@{digest}0",
        "{host}/team/app@md5:{md5}", "{digest}", "@{digest}", "{hex}", "docker-daemon:app", "", " ", "scratch:", "[default]{host}/team/app:v1",
    ],
)  # fmt: skip
def test_R05_R06_R07_R08_R09_R11_R12_R13_R15_names_that_nobody_could_mean_are_asked_of_nobody(scene, name):
    scene.attach()
    _, _, value = scene.image.digest.partition(":")
    text = name.format(
        host=scene.registry.host, digest=scene.image.digest, DIGEST="sha256:" + value.upper(), hex=value,
        md5=hashlib.md5(b"").hexdigest(),
    )  # fmt: skip
    before = len(scene.registry.requests)
    outcome = scene.verify(image=text)
    assert (outcome.code, outcome.exit_code) == ("reference-invalid", 2), outcome
    assert len(scene.registry.requests) == before
    scene.verify(image=scene.tag).is_accepted()


def test_R04_the_names_of_docker_hub_lead_to_one_verdict(evil_registry, signer, tmp_path, resolve):
    from bypasses.scene import Scene

    scene = Scene(evil_registry(tls=True, names=("index.docker.io",)), signer, tmp_path)
    image = scene.honest.put_image("library/nginx", "latest")
    scene.honest.put_referrer("library/nginx", image, compact(scene.bundle(image)), artifact_type=BUNDLE)
    resolve("index.docker.io", scene.registry)
    found = [
        scene.verify("--registry-cacert", evil_registry.ca_file, image=name)
        for name in (
            "nginx",
            "docker.io/nginx",
            "docker.io/library/nginx",
            "index.docker.io/library/nginx",
            "registry-1.docker.io/library/nginx",
            "registry.hub.docker.com/library/nginx",
        )
    ]
    for outcome in found:
        outcome.is_accepted()
    assert len({outcome.verdict["image"] for outcome in found}) == 1
    scene.verify("--registry-cacert", evil_registry.ca_file, image="docker.io/nginx:old").is_refused(
        "image-not-found", 11
    )


@pytest.mark.parametrize("digest", ["sha256:../../v2/other", "sha256:", "md5:" + "0" * 32, "sha256:" + "0" * 63, "sha256:" + "0" * 65, "sha256:" + "A" * 64, "SHA256:" + "0" * 64, "sha256:" + "0" * 64 + "\n", 7, None])  # fmt: skip
def test_R10_digests_of_a_registry_are_read_before_they_are_used(scene, digest):
    good = scene.layer()
    scene.sign_legacy({**good, "digest": digest})
    outcome = scene.verify()
    assert outcome.exit_code == 12
    assert outcome.code in {"digest-invalid", "manifest-invalid"}
    assert all(seen.path.startswith(f"/v2/{REPOSITORY}/") or seen.path == "/v2/" for seen in scene.registry.requests)
    assert not scene.registry.asked("GET", "*/blobs/*")
    scene.sign_legacy(good)
    scene.verify().is_accepted()


# -- manifests


def _hybrids(scene) -> dict[str, dict]:
    document = scene.image.document
    evil = scene.evil.descriptor()
    return {
        "as a manifest": {**document, "manifests": [evil]},
        "as an index": {**document, "mediaType": INDEX, "manifests": [evil]},
        "without a type": {key: value for key, value in document.items() if key != "mediaType"} | {"manifests": [evil]},
        "another type": {**document, "mediaType": INDEX},
        "null": {**document, "manifests": None},
        "empty": {**document, "manifests": []},
    }


@pytest.mark.parametrize("which", ["as a manifest", "as an index", "without a type", "another type", "null", "empty"])
def test_M01_a_manifest_that_is_an_index_too_is_refused_even_when_it_is_signed(scene, which):
    document = _hybrids(scene)[which]
    for said in (MANIFEST, INDEX):
        hybrid = scene.honest.put_manifest(REPOSITORY, document, "hybrid", said)
        scene.attach(scene.bundle(hybrid), subject=hybrid)
        scene.verify(image=scene.tag.replace(":v1", ":hybrid")).is_refused("manifest-ambiguous", 1)
        scene.verify(image=scene.name.replace(scene.image.digest, hybrid.digest)).is_refused("manifest-ambiguous", 1)
    scene.attach()
    scene.verify().is_accepted()


_TWICE = {
    "layers twice": lambda text: text.replace('"layers":', '"layers":[],"layers":'),
    "case": lambda text: text.replace('"layers":', '"Layers":[],"layers":'),
    "nested": lambda text: text.replace('"digest":', '"digest":"x","digest":', 1),
    "NaN": lambda text: text[:-1] + ',"x":NaN}',
}


@pytest.mark.parametrize("how", _TWICE)
def test_M03_a_signed_manifest_that_two_programs_read_differently_is_refused(scene, how):
    good = scene.image.raw.decode()
    raw = _TWICE[how](good).encode()
    stored = scene.honest.put_manifest(REPOSITORY, raw, "twice")
    # The registry of the tests reads it leniently, as some do.
    scene.attach(scene.bundle(stored), subject=stored)
    scene.verify(image=scene.tag.replace(":v1", ":twice")).is_refused("json-ambiguous", 1)
    scene.attach()
    scene.verify().is_accepted()


_PAYLOADS = {
    "digest twice": lambda good, evil: good.replace('"docker-manifest-digest":', f'"docker-manifest-digest":"{evil}","docker-manifest-digest":'),
    "critical by case": lambda good, evil: good.replace("{", f'{{"Critical":{{"image":{{"docker-manifest-digest":"{evil}"}}}},', 1),
    "type twice": lambda good, evil: good.replace('"type":', '"type":"atomic container signature","type":'),
    "NaN": lambda good, evil: good[:-1] + ',"x":NaN}',
}  # fmt: skip


@pytest.mark.parametrize("how", _PAYLOADS)
def test_M03_E21_a_payload_that_two_programs_read_differently_is_refused_though_it_is_signed(scene, how):
    good = compact(scene.signer.payload(scene.image.digest)).decode()
    raw = _PAYLOADS[how](good, scene.evil.digest).encode()
    scene.sign_legacy(scene.layer(raw))
    outcome = scene.verify()
    outcome.is_refused("evidence-malformed", 12)
    assert "json-ambiguous" in outcome.stdout
    scene.sign_legacy(scene.layer(good.encode()))
    scene.verify().is_accepted()


def test_M04_W08_an_index_and_its_children_are_signed_each_for_itself(scene):
    index = scene.honest.put_index(REPOSITORY, [scene.image, scene.evil], "index")
    whole, base = scene.tag.replace(":v1", ":index"), f"{scene.registry.host}/{REPOSITORY}@"
    scene.attach()  # one child only
    scene.verify(image=whole).is_refused("no-signature", 10)
    scene.verify(image=base + scene.image.digest).is_accepted()
    scene.attach(scene.bundle(scene.evil), subject=scene.evil)  # every child, but not the index
    scene.verify(image=whole).is_refused("no-signature", 10)
    relabelled = scene.honest.put_manifest(
        REPOSITORY, {**index.document, "annotations": {"a": "b"}}, "relabelled", INDEX
    )
    scene.attach(scene.bundle(index), subject=index)
    scene.verify(image=whole).is_accepted()
    scene.verify(image=base + relabelled.digest).is_refused("no-signature", 10)


def test_M04_recursion_looks_at_every_child_and_a_platform_at_its_own(scene):
    entries = [
        {**scene.image.descriptor(), "platform": {"os": "linux", "architecture": "amd64"}},
        {**scene.evil.descriptor(), "platform": {"os": "linux", "architecture": "arm64"}},
    ]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    index = scene.honest.put_manifest(REPOSITORY, document, "index", INDEX)
    name = scene.tag.replace(":v1", ":index")
    scene.attach(scene.bundle(index), subject=index)
    scene.verify("--platform", "linux/amd64", image=name).is_refused("no-signature", 10)
    scene.attach()
    scene.verify("--platform", "linux/amd64", image=name).is_accepted()
    scene.verify("--platform", "linux/arm64", image=name).is_refused("no-signature", 10)
    outcome = run(scene.arguments("-r", image=name))
    assert [verdict["code"] for verdict in outcome.verdict] == ["accepted", "accepted", "no-signature"]
    assert outcome.exit_code == 10
    scene.attach(scene.bundle(scene.evil), subject=scene.evil)
    assert run(scene.arguments("-r", image=name)).exit_code == 0


def test_M08_every_blob_of_a_signature_manifest_is_judged_by_itself(scene, stranger):
    good, evil = scene.bundle(), stranger.bundle(stranger.statement(scene.image.digest))
    attached = scene.attach()
    config = attached.document["config"]

    def put(*bundles: dict) -> None:
        scene.honest.manifests = {key: kept for key, kept in scene.honest.manifests.items() if kept == scene.image}
        layers = [scene.honest.put_blob(REPOSITORY, compact(bundle), BUNDLE) for bundle in bundles]
        document = {**attached.document, "config": config, "layers": layers}
        scene.honest.put_manifest(REPOSITORY, document)

    for bundles in ([good, evil], [evil, good]):
        put(*bundles)
        outcome = scene.verify()
        outcome.is_accepted()
        assert [found["accepted"] for found in outcome.verdict["signatures"]] == [each is good for each in bundles]
    for bundles in ([evil, evil], []):
        put(*bundles)
        assert scene.verify().exit_code == 12


def test_M10_E04_a_signature_of_another_image_says_nothing(scene):
    """CVE-2026-31830 and copies of whole manifests: `.sig` bytes of one image under the tag of another; a bundle likewise."""
    legacy = scene.sign_legacy()
    scene.honest.tags[REPOSITORY, scene.evil.digest.replace(":", "-") + ".sig"] = legacy.digest
    evil = scene.name.replace(scene.image.digest, scene.evil.digest)
    scene.verify(image=evil).is_refused("signature-subject-mismatch", 12)
    scene.verify().is_accepted()
    scene.attach(scene.bundle(scene.image), subject=scene.evil)
    outcome = scene.verify(image=evil)
    outcome.is_refused("signature-subject-mismatch", 12)
    assert len(outcome.verdict["signatures"]) == 2
    scene.attach(scene.bundle(scene.evil), subject=scene.evil)
    scene.verify(image=evil).is_accepted()


def test_M10_the_digest_is_checked_even_when_claims_are_not(scene):
    legacy = scene.sign_legacy()
    scene.honest.tags[REPOSITORY, scene.evil.digest.replace(":", "-") + ".sig"] = legacy.digest
    evil = scene.name.replace(scene.image.digest, scene.evil.digest)
    scene.verify("--check-claims=false", image=evil).is_refused("signature-subject-mismatch", 12)
    scene.verify("--check-claims=false").is_accepted()


def test_M11_W29_a_signature_copied_with_its_image_is_good_and_the_name_in_it_is_shown(scene):
    """cosign does not compare the docker-reference either: the digest binds. Policies may compare it."""
    scene.sign_legacy()
    outcome = run(["verify", "--key", str(scene.signer.path), scene.name])
    assert json.loads(outcome.stdout)[0]["critical"]["identity"]["docker-reference"] == "registry.test/team/app"
    copied = scene.honest.put_manifest("prod/app", scene.image.raw)
    scene.verify(image=f"{scene.registry.host}/prod/app@{copied.digest}").is_refused("no-signature", 10)


def test_M13_inline_data_that_is_not_the_content_is_refused(scene):
    import base64

    layer = scene.layer()
    payload = compact(scene.signer.payload(scene.image.digest))
    evil = compact(scene.signer.payload(scene.evil.digest))
    for data, accepted in ((payload, True), (evil, False), (b"", False)):
        scene.sign_legacy({**layer, "data": base64.b64encode(data).decode()})
        outcome = scene.verify()
        assert (outcome.exit_code == 0) == accepted, outcome
        if not accepted:
            outcome.is_refused("digest-mismatch", 12)


@pytest.mark.parametrize("by", [-1, 1])
def test_M13_a_size_that_is_not_the_contents_is_refused(scene, by):
    layer = scene.layer()
    scene.sign_legacy({**layer, "size": layer["size"] + by})
    outcome = scene.verify()
    assert outcome.exit_code == 12
    assert outcome.code in {"evidence-malformed", "evidence-limit"}
    scene.sign_legacy(layer)
    scene.verify().is_accepted()


def test_M14_a_manifest_of_schema_1_is_refused_even_when_its_bytes_are_signed(scene):
    raw = compact({"schemaVersion": 1, "name": "app", "tag": "old", "fsLayers": [], "history": [], "signatures": []})
    for media_type in (SCHEMA_1, MANIFEST, "application/json"):
        old = scene.honest.put_manifest(REPOSITORY, raw, "old", media_type)
        scene.attach(scene.bundle(old), subject=old)
        scene.verify(image=scene.tag.replace(":v1", ":old")).is_refused("manifest-unsupported", 1)
    scene.attach()
    scene.verify().is_accepted()


def test_M15_an_image_by_another_hash_is_another_question(scene):
    """Signatures are by sha256: an image that is asked for by its sha512 digest has none, whoever signed its bytes."""
    scene.attach()
    digest = "sha512:" + hashlib.sha512(scene.image.raw).hexdigest()
    scene.honest.manifests[REPOSITORY, digest] = Stored(MANIFEST, scene.image.raw)
    outcome = scene.verify(image=f"{scene.registry.host}/{REPOSITORY}@{digest}")
    assert outcome.exit_code in {2, 10}
    assert outcome.code in {"reference-invalid", "no-signature"}
    scene.verify().is_accepted()


def test_M02_bytes_are_hashed_as_they_came(scene):
    """Space around, another order of keys, unknown members: another digest, whatever a parser makes of it."""
    scene.attach()
    for raw in (scene.image.raw + b"\n", json.dumps(scene.image.document).encode(), scene.image.raw[:-1] + b',"x":1}'):
        scene.registry.on("GET", scene.path("manifests", scene.image.digest), altered(body=raw))
        scene.verify().is_refused("digest-mismatch", 1)
    scene.registry.on(
        "GET", scene.path("manifests", scene.image.digest), reply(200, scene.image.raw, {"Content-Type": MANIFEST})
    )
    scene.verify().is_accepted()
