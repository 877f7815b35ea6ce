"""Evidence altered, spliced, thinned out and buried in junk (W01 to W04): no change gives a signature that nobody made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bypasses.scene import BUNDLE, REPOSITORY, SIGNATURE, SIMPLE, at, b64, changed, compact, leaves
from evil_registry.honest import CONFIG, MANIFEST

_HINTS_OF_BUNDLES = {
    ("mediaType",),  # another version of the format says the same
    ("verificationMaterial", "publicKey", "hint"),
    ("verificationMaterial", "publicKey"),  # without the hint
}
"""What of a bundle the signature does not cover. docs/bypasses.md lists them."""


def _alterations(value: Any) -> Iterator[Any]:
    """Other values in place of a member."""
    yield from (None, 1, True, "AAAA", "", [], {}, ["x"], {"x": "y"})
    if isinstance(value, str):
        yield from (
            value[:-1],
            value + " ",
            value.swapcase(),
            value + "A",
            value.replace("1", "0"),
            b64(value.encode()),
        )
    if isinstance(value, list):
        yield from ([], value + value, [*value, None])


def test_W02_no_member_of_a_bundle_may_be_another_but_hints(scene):
    good = scene.bundle(annotations={"env": "prod"})
    altered = {"good": compact(good)}
    for path in leaves(good):
        for number, new in enumerate(_alterations(at(good, path))):
            if json.dumps(new) != json.dumps(at(good, path)):
                document = changed(good, path, lambda whole, key: whole.__setitem__(key, new))  # noqa: B023
                altered[path, number] = compact(document)
    accepted = scene.accepted_of(altered)
    assert "good" in accepted
    assert {path for path, _ in accepted - {"good"}} <= _HINTS_OF_BUNDLES
    assert len(altered) > 80


def test_W02_no_byte_of_a_bundle_may_be_another_but_in_hints(scene):
    good = compact(scene.bundle())
    begins = good.index(b'"verificationMaterial"')
    hint = range(good.index(b'"hint":"') + 8, good.index(b'"}}', begins))
    tried = [position for position in range(begins, len(good)) if position not in hint]
    altered = {position: _flipped(good, position, 1 << (position % 7)) for position in tried}
    accepted: set[Any] = set()
    for start in range(0, len(tried), 400):
        accepted |= scene.accepted_of({position: altered[position] for position in tried[start : start + 400]})
    assert accepted == set()
    assert scene.accepted_of({"good": good}) == {"good"}


def _flipped(data: bytes, position: int, bit: int) -> bytes:
    found = bytearray(data)
    found[position] ^= bit
    return bytes(found)


def _flipped_text(text: str, position: int, bit: int) -> str:
    return _flipped(text.encode(), position, bit).decode("latin-1")


def test_W02_no_byte_of_a_legacy_signature_may_be_another(scene):
    payload = compact(scene.signer.payload(scene.image.digest, {"env": "prod"}))
    signature = b64(scene.signer.sign(payload))
    layers = [scene.layer(_flipped(payload, at_, 1 << (at_ % 7)), signature=signature) for at_ in range(len(payload))]
    layers += [
        scene.layer(payload, signature=_flipped_text(signature, at_, 1 << (at_ % 7))) for at_ in range(len(signature))
    ]
    assert 300 < len(layers) < 500
    scene.sign_legacy(*layers)
    outcome = scene.verify()
    assert outcome.exit_code == 12
    assert len(outcome.verdict["signatures"]) == len(layers)
    assert not any(found["accepted"] for found in outcome.verdict["signatures"])
    scene.sign_legacy(scene.layer(payload, signature=signature))
    scene.verify().is_accepted()


def test_W02_of_the_manifests_around_evidence_only_hints_may_be_altered(scene):
    """Media types, annotations and the config carry nothing; sizes, digests and the subject do."""
    good = scene.attach().document
    scene.verify().is_accepted()
    free = {("artifactType",), ("config", "mediaType"), ("layers", 0, "mediaType"), ("subject", "mediaType"),
            ("subject", "size"), ("config", "size"), ("config", "digest"), ("mediaType",)}  # fmt: skip
    for path in leaves(good):
        value = at(good, path)
        scene.honest.manifests = {key: kept for key, kept in scene.honest.manifests.items() if kept == scene.image}
        if isinstance(value, dict | list):
            continue
        new = value + 1 if isinstance(value, int) else value[:-1] + ("0" if value[-1] != "0" else "1")
        raw = compact(changed(good, path, lambda whole, key: whole.__setitem__(key, new)))  # noqa: B023
        put = scene.honest.put_manifest(REPOSITORY, raw)
        # It is listed as a referrer whatever it says.
        entry = {**put.descriptor(), "artifactType": BUNDLE}
        scene.honest.put_manifest(
            REPOSITORY,
            {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]},
            scene.image.digest.replace(":", "-"),
            "application/vnd.oci.image.index.v1+json",
        )
        outcome = scene.verify()
        assert outcome.exit_code == 12 or path in free, (path, outcome)
        assert outcome.exit_code in {0, 12, 10}


def test_W01_parts_of_two_good_bundles_never_make_a_third(scene, stranger):
    """A: this image by the trusted key. B: another image by it. C: this image by a stranger. Every splice is refused."""
    good = scene.bundle()
    others = [
        scene.bundle(scene.evil),
        stranger.bundle(stranger.statement(scene.image.digest)),
        scene.signer.bundle({**scene.signer.statement(scene.image.digest), "predicateType": "https://example.test/p"}),
    ]
    spliced = {"good": compact(good)}
    for number, other in enumerate(others):
        for path in leaves(good):
            if at(good, path) != at(other, path) and "verificationMaterial" not in path and path != ("dsseEnvelope",):
                for into, from_ in ((good, other), (other, good)):
                    document = changed(into, path, lambda whole, key: whole.__setitem__(key, at(from_, path)))  # noqa: B023
                    if document["dsseEnvelope"] != good["dsseEnvelope"]:  # else it is the good one, with another hint
                        spliced[number, path, into is good] = compact(document)
    assert scene.accepted_of(spliced) == {"good"}
    assert len(spliced) > 15


def test_W01_a_payload_with_another_payloads_signature_is_refused(scene, stranger):
    good = scene.layer()
    evil = scene.layer(scene.signer.payload(scene.evil.digest))
    foreign = scene.layer(signature=stranger.sign(compact(scene.signer.payload(scene.image.digest))))
    scene.sign_legacy(
        {**good, "annotations": evil["annotations"]}, {**evil, "annotations": good["annotations"]}, foreign
    )
    scene.verify().is_refused("signature-key-mismatch", 12)
    scene.sign_legacy(good)
    scene.verify().is_accepted()


def test_W03_taking_something_away_never_makes_a_signature_good(scene, stranger):
    refused = {
        "stranger": stranger.bundle(stranger.statement(scene.image.digest)),
        "subject": scene.bundle(scene.evil),
        "predicate": scene.signer.bundle({**scene.signer.statement(scene.image.digest), "predicateType": "x"}),
    }
    contents: dict[Any, bytes] = {name: compact(bundle) for name, bundle in refused.items()}
    for name, bundle in refused.items():
        for path in leaves(bundle):
            contents[name, path] = compact(changed(bundle, path, lambda whole, key: whole.pop(key)))
    assert scene.accepted_of(contents) == set()


def test_W03_without_its_signature_or_subject_a_statement_says_nothing(scene):
    statement = scene.signer.statement(scene.image.digest, {"env": "prod"})
    contents = {"good": compact(scene.signer.bundle(statement))}
    optional = {("subject", 0, "annotations"), ("subject", 0, "annotations", "env"), ("predicate",)}
    for path in leaves(statement):
        contents[path] = compact(scene.signer.bundle(changed(statement, path, lambda whole, key: whole.pop(key))))
    assert scene.accepted_of(contents) - {"good"} <= optional


def _junk(scene, stranger, count: int) -> None:
    """Things that anybody who may push can attach: broken, foreign, of other kinds."""
    evil = scene.bundle(scene.evil)
    kinds = [
        lambda n: scene.attach(b"{" * (n + 1)),
        lambda n: scene.attach(stranger.bundle(stranger.statement(scene.image.digest, {"n": str(n)}))),
        lambda n: scene.attach({**evil, "x": n}),
        lambda n: scene.honest.put_referrer(REPOSITORY, scene.image, b"%d" % n, artifact_type="application/spdx+json"),
        lambda n: scene.honest.put_manifest(
            REPOSITORY,
            {
                "schemaVersion": 2, "mediaType": MANIFEST, "subject": scene.image.descriptor(), "artifactType": BUNDLE,
                "config": scene.honest.put_blob(REPOSITORY, b"{}", CONFIG), "layers": [], "annotations": {"n": str(n)},
            },
        ),
        lambda n: scene.honest.put_manifest(
            REPOSITORY,
            {
                "schemaVersion": 2, "mediaType": MANIFEST, "subject": scene.image.descriptor(), "artifactType": BUNDLE,
                "config": scene.honest.put_blob(REPOSITORY, b"{}", CONFIG),
                "layers": [{"mediaType": BUNDLE, "size": 9 + n, "digest": f"sha256:{n:064x}"}],
            },
        ),
    ]  # fmt: skip
    for number in range(count):
        kinds[number % len(kinds)](number)


def test_W04_junk_cannot_lock_an_image_out_and_cannot_let_it_in(scene, stranger):
    _junk(scene, stranger, 300)
    scene.sign_legacy(*(scene.layer(stranger.payload(scene.image.digest), signature="AAAA") for _ in range(100)))
    refused = scene.verify()
    assert refused.exit_code == 12
    assert not any(found["accepted"] for found in refused.verdict["signatures"])
    scene.attach()
    scene.verify().is_accepted()


def test_W04_a_good_layer_among_bad_ones_is_found_wherever_it_stands(scene, stranger):
    good, bad = scene.layer(), scene.layer(signature=stranger.sign(b"x"))
    broken = {**scene.layer(b"never mind"), "annotations": {SIGNATURE: "%%%"}}
    missing = {"mediaType": SIMPLE, "size": 3, "digest": f"sha256:{7:064x}", "annotations": {SIGNATURE: "AAAA"}}
    for position in range(4):
        layers = [bad, broken, missing]
        scene.sign_legacy(*layers[:position], good, *layers[position:])
        scene.verify().is_accepted()
    scene.sign_legacy(bad, broken, missing)
    assert scene.verify().exit_code == 12


def test_W04_a_junk_descriptor_of_a_good_bundle_does_not_spoil_it(scene):
    """The same blob, called longer and shorter than it is by others."""
    attached = scene.attach()
    layer = attached.document["layers"][0]
    for size in (1, layer["size"] + 1, 10**15):
        document = {**attached.document, "layers": [{**layer, "size": size}]}
        scene.honest.manifests = {
            (REPOSITORY, put.digest): put
            for put in [scene.honest.put_manifest(REPOSITORY, document), *scene.honest.manifests.values()]
        }
    scene.verify().is_accepted()
    del scene.honest.manifests[REPOSITORY, attached.digest]
    assert scene.verify().exit_code == 12
