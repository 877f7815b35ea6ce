"""One type among twenty that are attached: how often the registry is asked, and in how many waves."""

import json
import threading

from bypasses.scene import BUNDLE, REPOSITORY, Scene, Signer, compact, run
from evil_registry.scripts import delay

SLSA = "https://slsa.dev/provenance/v1"


def scene_with_twenty(registry, folder):
    scene = Scene(registry, Signer(folder), folder)
    for number in range(20):
        kind = SLSA if number == 13 else f"https://example.com/type/{number}"
        statement = {**scene.signer.statement(scene.image.digest), "predicateType": kind, "predicate": {"n": number}}
        scene.honest.put_referrer(
            REPOSITORY, scene.image, compact(scene.signer.bundle(statement)), artifact_type=BUNDLE
        )
    return scene


def verify(scene, image):
    return run(["verify-attestation", "--key", str(scene.signer.path), "--type", SLSA, image])


def test_everything_is_asked_for_once(evil_registry, tmp_path):
    """Hints may lie, so each of the twenty is fetched; nothing of it twice."""
    registry = evil_registry()
    scene = scene_with_twenty(registry, tmp_path)
    done = verify(scene, scene.name)
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert json.loads(done.stdout)["payloadType"] == "application/vnd.in-toto+json"
    asked = [seen.path for seen in registry.asked("GET") if seen.path != "/v2/"]
    assert len(asked) == len(set(asked))
    # the image, the referrers, the fallback tag and the .att tag; twenty manifests; twenty bundles
    assert len(asked) == 4 + 20 + 20


def test_requests_are_made_at_once(evil_registry, tmp_path):
    registry = evil_registry()
    scene = scene_with_twenty(registry, tmp_path)
    lock, open_now, most = threading.Lock(), [0], [0]
    slow = delay(0.05)

    def counting(exchange):
        with lock:
            open_now[0] += 1
            most[0] = max(most[0], open_now[0])
        try:
            return slow(exchange)
        finally:
            with lock:
                open_now[0] -= 1

    registry.on("*", "*", counting)
    assert verify(scene, scene.name).exit_code == 0
    assert most[0] >= 8
