"""What the caches take is what they say that they take, whatever hangs on images, and it is bounded (D10, W04)."""

from __future__ import annotations

import gc
import json
import secrets
import tracemalloc

import pytest

from admission.place import by_key, pod, rule
from admission.test_admission_joint import Every
from policy import scene as layouts
from sealgate import limits
from sealgate.admission import cache as caches
from sealgate.admission.cache import key_of
from sealgate.admission.descriptions import Descriptions, Place
from sealgate.digest import Digest
from sealgate.keys.private import PrivateKey
from sealgate.oci.reference import parse
from sealgate.policy import attestors
from sealgate.policy.description import Content
from sealgate.policy.judging import StoreJudge
from sealgate.transport import driver
from sealgate.trust import root as roots
from sealgate.verification.attestation import Attested

NOW = 1_800_000_000.0
SCORE = "https://example.com/score"
IMAGES = 12
MARGIN = 1.25
"""Tables grow in steps, and allocators round up."""


def filled(folder, attestor, sign):
    """A cache of the verdicts of an attestor on some images, and what it takes as Python sees it."""
    registry = layouts.Registry(folder)
    references = [parse(f"registry.example.com/team/app{number}:1.0") for number in range(IMAGES)]
    digests = []
    for reference in references:
        digests.append(Digest.parse(registry.push(reference.name)))
        sign(registry, reference.name, str(digests[-1]))
    cache = caches.Cache(caches.Settings())
    tracemalloc.start()
    try:
        for reference, digest in zip(references, digests, strict=True):
            flow = StoreJudge(registry).verdicts(reference, digest, [attestor], now=NOW)
            [verdict] = driver.run(flow, sender=lambda *_: pytest.fail("nothing is asked over the network"))
            assert verdict.code in {"accepted", "signature-key-mismatch"}, verdict.summary
            cache.remember(key_of("", reference, digest, attestor), attestor, verdict, NOW)
            del verdict, flow
        assert len(cache) == IMAGES
        taken = freed(cache._verdicts)
    finally:
        tracemalloc.stop()
    return cache.weight, taken


def freed(table):
    """What emptying a table frees, of what was allocated since tracing began. At once: other threads allocate too."""
    gc.collect()
    gc.disable()
    try:
        full, _ = tracemalloc.get_traced_memory()
        table.clear()
        empty, _ = tracemalloc.get_traced_memory()
    finally:
        gc.enable()
    return full - empty


@pytest.mark.parametrize("bulk", [10, 200_000], ids=["small", "large"])
@pytest.mark.parametrize("what", ["signature", "legacy", "attestation", "refused"])
def test_D10_a_verdict_weighs_no_less_than_it_takes(tmp_path, what, bulk):
    key = PrivateKey.generate()
    attested = Attested(SCORE, ()) if what == "attestation" else None
    attestor = by_key(key.public_key.pem(), attested=attested)

    def sign(registry, name, digest):
        text = secrets.token_hex(bulk // 2)
        if what == "attestation":
            registry.attest(name, key, SCORE, {"text": text})
        else:
            author = PrivateKey.generate() if what == "refused" else key
            formats = ["legacy"] if what == "legacy" else ["bundle"]
            registry.sign(name, author, annotations={"text": text}, formats=formats)

    weight, taken = filled(tmp_path, attestor, sign)
    assert weight * MARGIN >= taken > 0
    assert weight <= 8 * taken + IMAGES * 32_768  # and it is no excuse to keep next to nothing


def test_D10_a_keyless_verdict_weighs_no_less_than_it_takes(tmp_path, running_trust_service):
    service = running_trust_service
    service.reset()
    root = roots.parse(json.dumps(service.trusted_root()).encode())
    from sealgate.trust.identity import IdentityPattern
    from sealgate.verification.requirement import IdentifiedAs

    pattern = IdentityPattern.parse(
        subject="dev@example.com", subject_regexp=None, issuer=None, issuer_regexp=".*", extensions=(), anchored=True
    )
    anybody = IdentifiedAs(pattern, "dev@example.com")
    attestor = attestors.of_identities(
        [anybody], name="anybody", where="keyless", log=attestors.Log(), settings=attestors.Settings(root=root)
    )

    def sign(registry, name, digest):
        statement = {
            "_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": digest.partition(":")[2]}}],
            "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {},
        }  # fmt: skip
        made = service.make_bundle(kind="dsse", rekor=1, identity="dev@example.com", statement=statement)
        registry.attach(name, made.bundle)

    weight, taken = filled(tmp_path, attestor, sign)
    assert weight * MARGIN >= taken > 0


def test_D10_descriptions_weigh_no_less_than_they_take_and_are_bounded():
    tracemalloc.start()
    try:
        found = Descriptions(seconds=60, entries=1000, most=1024 * 1024)
        for number in range(400):
            raw = secrets.token_bytes(1000 + number)
            place = Place("scope", f"registry.example.com/team/app{number}", Digest.of(raw))
            found.remember(place, Content("application/json", raw, secrets.token_bytes(5000)), NOW)
        assert found.evicted > 0
        assert found.weight <= 1024 * 1024
        assert len(found) < 400
        weight, taken = found.weight, freed(found._kept)
    finally:
        tracemalloc.stop()
    assert weight * MARGIN >= taken > 0


def test_descriptions_end_are_the_scopes_own_and_the_oldest_go_first():
    found = Descriptions(seconds=60, entries=2, most=10_000_000)
    digest = Digest.of(b"x")
    place = Place("a", "registry.example.com/app", digest)
    content = Content("application/json", b"{}", None)
    found.remember(place, content, NOW)
    assert found.recall(place, NOW + 59.9) is content
    for at, other in (
        (NOW + 60, place), (NOW - 1, place), (NOW, place._replace(scope="b")), (NOW, place._replace(digest=Digest.of(b"y"))),
        (NOW, place._replace(repository="registry.example.com/other")),
    ):  # fmt: skip
        assert found.recall(other, at) is None
    assert (found.hits, found.misses) == (1, 5)
    found.remember(place._replace(scope="b"), content, NOW)
    found.recall(place, NOW)
    found.remember(place._replace(scope="c"), content, NOW)
    assert found.recall(place, NOW) is content
    assert found.recall(place._replace(scope="b"), NOW) is None
    huge = Descriptions(seconds=60, entries=2, most=5000)
    huge.remember(place, content._replace(manifest=b"x" * 6000), NOW)
    assert (len(huge), huge.weight) == (0, 0)


# -- descriptions in the webhook


def test_a_manifest_is_asked_for_once_and_what_changes_the_answer_is_asked_anew(start, scene, signed):
    place = start(rule(Every((signed,))))
    place.validate(pod(scene.name)).is_allowed()
    asked = len(scene.registry.asked())
    place.validate(pod(scene.name)).is_allowed()
    tagged = f"{scene.registry.host}/team/app:v1@{scene.image.digest}"  # another name of what is known
    place.validate(pod(tagged)).is_allowed()
    assert len(scene.registry.asked()) == asked
    assert place.metric("sealgate_cache_requests_total", cache="description", result="hit") == 2
    assert place.metric("sealgate_cache_requests_total", cache="description", result="miss") == 1
    assert place.metric("sealgate_cache_entries", cache="description") == 1
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    place.validate(pod(evil)).is_denied("policy-not-met")
    place.clock.ahead += limits.VERDICT_SECONDS + 1
    place.validate(pod(scene.name)).is_allowed()
    assert len(scene.registry.asked("GET", f"*/blobs/{_config(scene)}")) >= 2


def _config(scene):
    return json.loads(scene.image.raw)["config"]["digest"]


def test_K20_a_dry_run_keeps_no_manifest(start, scene, signed):
    place = start(rule(Every((signed,))))
    dry = pod(scene.name)
    dry["request"]["dryRun"] = True
    place.validate(dry).is_allowed()
    assert len(place.parts.cache.descriptions) == 0
    place.validate(pod(scene.name)).is_allowed()
    assert len(place.parts.cache.descriptions) == 1
    asked = len(scene.registry.asked())
    place.validate(dry).is_allowed()  # it may read what is known
    assert len(scene.registry.asked()) == asked


def test_T02_a_manifest_that_lies_about_its_digest_is_not_kept(start, scene, signed):
    from evil_registry.scripts import altered, honest, sequence

    place = start(rule(Every((signed,))))
    scene.registry.on(
        "GET", f"*/blobs/{_config(scene)}", sequence(altered(body=b'{"config":{"User":"root"}}'), honest())
    )
    place.validate(pod(scene.name)).is_denied("policy-undecided")
    assert len(place.parts.cache.descriptions) == 0
    place.validate(pod(scene.name)).is_allowed()
