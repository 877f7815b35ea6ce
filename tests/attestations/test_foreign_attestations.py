"""Attestations that other tools attach as referrers: envelopes in no bundle, GitHub's bundles, Statements that nobody signed."""

import base64
import json
from pathlib import Path

import pytest

from bypasses.scene import BUNDLE, REPOSITORY, Scene, Signer, compact, run
from peers.images import push_image

SPDX = "https://spdx.dev/Document"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
BUILDKIT = "application/vnd.docker.attestation.manifest.v1+json"
RECORDED = Path(__file__).parents[1] / "trust" / "recorded"
TYPES = [ENVELOPE, IN_TOTO, "application/vnd.in-toto.spdx+dsse", "application/vnd.dsse.envelope+json"]


@pytest.fixture
def scene(evil_registry, tmp_path):
    return Scene(evil_registry(), Signer(tmp_path), tmp_path)


def statement(image, predicate_type=SPDX, predicate=None):
    algorithm, _, value = image.digest.partition(":")
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "app", "digest": {algorithm: value}}],
        "predicateType": predicate_type,
        "predicate": predicate or {"spdxVersion": "SPDX-2.3"},
    }


def envelope(scene, document=None, **options):
    return scene.signer.bundle(document or statement(scene.image), **options)["dsseEnvelope"]


def attach(scene, content, kind, *, media_type=None):
    content = content if isinstance(content, bytes) else compact(content)
    return scene.honest.put_referrer(
        REPOSITORY, scene.image, content, artifact_type=kind, media_type=media_type or kind
    )


def verify(scene, *words, kind=SPDX, key=None):
    return run(["verify-attestation", "--key", str(key or scene.signer.path), "--type", kind, *words, scene.name])


def blobs_asked(scene):
    return [seen.path for seen in scene.registry.asked("GET") if "/blobs/" in seen.path]


@pytest.mark.parametrize("kind", TYPES)
def test_an_envelope_that_is_a_referrer_is_verified(scene, kind):
    attach(scene, envelope(scene), kind)
    done = verify(scene)
    assert done.exit_code == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(base64.b64decode(json.loads(line)["payload"])) == statement(scene.image)
    assert len(blobs_asked(scene)) == 1
    verdict = verify(scene, "-o", "verdict").verdict
    (signature,) = verdict["signatures"]
    assert signature["label"].startswith("envelope sha256:")
    assert (signature["format"], signature["kind"]) == ("legacy", "attestation")


def test_the_artifact_type_alone_is_enough(scene):
    """As `oras attach --artifact-type … FILE` does it, which calls the file a layer."""
    attach(scene, envelope(scene), ENVELOPE, media_type="application/vnd.oci.image.layer.v1.tar")
    assert verify(scene).exit_code == 0


def test_W06_it_is_no_signature_of_the_image(scene):
    document = statement(scene.image, "https://sigstore.dev/cosign/sign/v1", {})
    for content in (envelope(scene), envelope(scene, document)):
        attach(scene, content, ENVELOPE)
    done = run(["verify", "--key", str(scene.signer.path), "-o", "verdict", scene.name])
    done.is_refused("no-signature", 10)
    assert blobs_asked(scene) == []  # nor is it fetched
    scene.attach()
    run(["verify", "--key", str(scene.signer.path), "-o", "verdict", scene.name]).is_accepted()


@pytest.mark.parametrize(
    ("change", "exit_code"),
    [
        ("stranger", 12),
        ("other image", 12),
        ("other type", 12),
        ("no signature", 12),
        ("two signatures", 12),
        ("bit", 12),
        ("other payload type", 12),
        ("cut off", 12),
        ("bare statement", 10),
        ("something else", 10),
    ],
)
def test_E20_what_is_not_good_is_refused_there_too(scene, tmp_path, change, exit_code):
    good = envelope(scene)
    content = {
        "stranger": lambda: Signer(tmp_path, "stranger").bundle(statement(scene.image))["dsseEnvelope"],
        "other image": lambda: envelope(scene, statement(scene.evil)),
        "other type": lambda: envelope(scene, statement(scene.image, "https://example.com/x")),
        "no signature": lambda: good | {"signatures": []},
        "two signatures": lambda: good | {"signatures": good["signatures"] * 2},
        "bit": lambda: good | {"payload": base64.b64encode(compact(statement(scene.image)) + b" ").decode()},
        "other payload type": lambda: envelope(scene, payload_type="application/json"),
        "cut off": lambda: compact(good)[:-5],
        "bare statement": lambda: statement(scene.image),
        "something else": lambda: b"PK\x03\x04",
    }[change]()
    attach(scene, content, IN_TOTO)
    done = verify(scene, "-o", "verdict")
    assert done.exit_code == exit_code, done.stdout
    assert done.verdict["outcome"] == "refused"
    attach(scene, good, IN_TOTO)
    assert verify(scene, "-o", "verdict").exit_code == 0


def test_E23_all_of_one_type_are_judged(scene):
    """A condition that one envelope does not meet refuses, wherever the envelope is."""
    policy = scene.folder / "policy.cel"
    policy.write_text('predicate.spdxVersion == "SPDX-2.3"')
    attach(scene, envelope(scene), ENVELOPE)
    assert verify(scene, "--policy", str(policy)).exit_code == 0
    attach(scene, envelope(scene, statement(scene.image, predicate={"spdxVersion": "SPDX-1"})), ENVELOPE)
    assert verify(scene, "--policy", str(policy)).exit_code == 12


def test_what_buildkit_wrote_is_not_even_fetched(scene):
    attach(scene, statement(scene.image), BUILDKIT, media_type=IN_TOTO)
    assert verify(scene, "-o", "verdict").exit_code == 10
    assert blobs_asked(scene) == []


def test_sboms_are_not_fetched(scene):
    attach(scene, {"spdxVersion": "SPDX-2.3"}, "application/spdx+json")
    assert verify(scene, "-o", "verdict").exit_code == 10
    assert blobs_asked(scene) == []


def test_a_large_one_hides_no_other(scene):
    """What is larger than is read is said, and refuses nothing that was met."""
    attach(scene, envelope(scene, statement(scene.image, predicate={"x": "y" * 200_000})), ENVELOPE)
    done = run(
        ["verify-attestation", "--key", str(scene.signer.path), "--type", SPDX, "-o", "verdict", scene.name],
        environ={"HOME": str(scene.folder), "COSIGN_MAX_ATTACHMENT_SIZE": "64KiB"},
    )
    assert done.exit_code == 12
    assert "limit-exceeded" in done.stdout
    scene.attach(scene.signer.bundle(statement(scene.image)))
    done = run(
        ["verify-attestation", "--key", str(scene.signer.path), "--type", SPDX, "-o", "verdict", scene.name],
        environ={"HOME": str(scene.folder), "COSIGN_MAX_ATTACHMENT_SIZE": "64KiB"},
    )
    assert done.exit_code == 0


def test_githubs_bundle_is_an_attestation(scene):
    """`actions/attest` with push-to-registry: a bundle as a referrer, with annotations; its type is in the bundle."""
    content = scene.signer.bundle(statement(scene.image, "https://slsa.dev/provenance/v1", {"buildDefinition": {}}))
    stored = attach(scene, content, BUNDLE)
    assert verify(scene, kind="slsaprovenance1").exit_code == 0
    tree = json.loads(run(["tree", "-o", "json", scene.name]).stdout)
    (artifact,) = tree["artifacts"]
    assert artifact["digest"] == stored.digest
    assert (artifact["kind"], artifact["signed"]) == ("att", True)
    assert artifact["predicateType"] == "https://slsa.dev/provenance/v1"


def test_the_tree_says_what_is_signed(scene):
    attach(scene, envelope(scene), ENVELOPE)
    attach(scene, envelope(scene) | {"signatures": []}, ENVELOPE)
    attach(scene, statement(scene.image), IN_TOTO)
    attach(scene, {"spdxVersion": "SPDX-2.3"}, "application/spdx+json")
    attach(scene, b"x", "application/vnd.example.thing")
    attach(scene, envelope(scene), TYPES[2])
    attach(scene, envelope(scene), TYPES[3], media_type="application/vnd.oci.image.layer.v1.tar")
    found = {}
    for artifact in json.loads(run(["tree", "-o", "json", scene.name]).stdout)["artifacts"]:
        found.setdefault(artifact["artifactType"], []).append(
            (artifact["kind"], artifact["signed"], artifact["predicateType"])
        )
    assert sorted(found[ENVELOPE]) == [("att", False, SPDX), ("att", True, SPDX)]
    assert found[IN_TOTO] == [("att", False, SPDX)]
    assert found[TYPES[2]] == found[TYPES[3]] == [("att", True, SPDX)]
    assert found["application/spdx+json"] == [("sbom", False, None)]
    assert found["application/vnd.example.thing"] == [("other", None, None)]
    text = run(["tree", scene.name]).stdout
    assert text.count(", unsigned") == 3


def test_download_prints_envelopes_and_on_request_what_is_unsigned(scene):
    attach(scene, envelope(scene), ENVELOPE)
    attach(scene, json.dumps(statement(scene.image), indent=1).encode(), IN_TOTO)
    (line,) = run(["download", "attestation", scene.name]).stdout.splitlines()
    assert json.loads(line)["payloadType"] == IN_TOTO
    lines = run(["download", "attestation", "--unsigned", scene.name]).stdout.splitlines()
    assert len(lines) == 2
    assert statement(scene.image) in [json.loads(each) for each in lines]


def test_what_oras_attached(sealgate, oras, attesting, pair, docker_registry, tmp_path):
    """Both tools themselves: an envelope that cosign made, attached by oras."""
    image = push_image(docker_registry, "foreign/oras")
    (tmp_path / "p.json").write_text('{"spdxVersion":"SPDX-2.3"}')
    attesting.attest("cosign3", "spdxjson", tmp_path / "p.json", "legacy", image.reference)
    line = sealgate("download", "attestation", image.reference, check=True).stdout
    other = push_image(docker_registry, "foreign/oras")
    words = ("verify-attestation", "--key", pair.pub, "--type", "spdxjson")
    for target, code in ((other, 12), (image, 0)):
        (tmp_path / "envelope.json").write_text(line)
        sealgate("clean", "-f", "--type", "all", target.reference, check=True)
        assert sealgate(*words, target.reference).returncode == 10
        oras("attach", "--plain-http", "--artifact-type", ENVELOPE, target.reference, f"envelope.json:{ENVELOPE}",
             cwd=tmp_path, check=True)  # fmt: skip
        assert sealgate(*words, target.reference).returncode == code


def test_the_bundle_that_githubs_library_wrote(scene):
    """Recorded: sigstore-js, which `actions/attest` signs with. Its certificate is no key: nobody takes it for signed by ours."""
    bundle = RECORDED / "att-js4-slsa" / "bundle.json"
    attach(scene, bundle.read_bytes(), BUNDLE)
    (artifact,) = json.loads(run(["tree", "-o", "json", scene.name]).stdout)["artifacts"]
    assert (artifact["kind"], artifact["signed"]) == ("att", True)
    assert artifact["predicateType"].startswith("https://slsa.dev/provenance/")
    (line,) = run(["download", "attestation", scene.name]).stdout.splitlines()
    assert json.loads(line) == json.loads(bundle.read_bytes())
    assert verify(scene, kind=artifact["predicateType"]).exit_code == 12
