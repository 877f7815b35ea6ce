"""A registry that answers otherwise than it was asked (T01 to T18, W30, W31): the digest decides, and silence is no answer."""

from __future__ import annotations

import pytest

from bypasses.scene import BUNDLE, REPOSITORY, compact, run
from evil_registry.honest import INDEX, MANIFEST
from evil_registry.scripts import altered, cut, fail, raw, reply, sequence


def test_T01_a_tag_is_asked_for_once_and_the_digest_that_was_checked_is_reported(scene):
    """CVE-2022-47633: the registry answers the signed image first, then another."""
    scene.attach()
    scene.sign_legacy()
    good = altered(body=scene.image.raw, headers={"Docker-Content-Digest": scene.image.digest})
    evil = altered(body=scene.evil.raw, headers={"Docker-Content-Digest": scene.evil.digest})
    scene.registry.on("*", scene.path("manifests", "v1"), sequence(good, evil))
    outcome = scene.verify(image=scene.tag)
    outcome.is_accepted()
    assert outcome.verdict["digest"] == scene.image.digest
    assert len(scene.registry.asked("*", scene.path("manifests", "v1"))) == 1
    scene.verify(image=scene.tag).is_refused("no-signature", 10)  # a second run sees what the tag means by then


def test_T01_what_was_signed_is_what_the_tag_meant_when_it_was_asked_for(scene, tmp_path):
    run(["generate-key-pair", "--output-key-prefix", str(tmp_path / "own")], environ={"COSIGN_PASSWORD": "x"})
    good, evil = (
        altered(body=scene.image.raw),
        altered(body=scene.evil.raw, headers={"Docker-Content-Digest": scene.evil.digest}),
    )
    scene.registry.on("*", scene.path("manifests", "v1"), sequence(good, evil))
    signed = run(["sign", "--key", str(tmp_path / "own.key"), "-y", scene.tag], environ={"COSIGN_PASSWORD": "x"})
    assert signed.exit_code == 0, signed.stderr
    assert len(scene.registry.asked("*", scene.path("manifests", "v1"))) == 1
    scene.verify(key=tmp_path / "own.pub").is_accepted()
    scene.verify(key=tmp_path / "own.pub", image=scene.name.replace(scene.image.digest, scene.evil.digest)).is_refused(
        "no-signature", 10
    )


@pytest.mark.parametrize(
    "links",
    [
        ['<{next}>; rel="next"'],
        ["<{next}>;rel=next"],
        ['<{next}>; title="a; b, c"; rel="next"'],
        ['<{next}>; Rel = "last NEXT"'],
        ['</v2/>; rel="first", <{next}>; rel="next"'],
        ['</v2/>; rel="first"', '<{next}>; rel="next"'],
    ],
)
def test_T17_a_second_page_is_read_however_it_is_named(scene, links):
    """What stands on a page that is missed would count as not there: no signature, and nothing to copy."""
    scene.attach()
    path = scene.path("referrers", scene.image.digest)
    honest, second = altered(), f"{path}?n=1,2&last=a,b"

    def pages(exchange):
        if exchange.seen.argument("n"):
            return honest(exchange)
        empty = compact({"schemaVersion": 2, "mediaType": INDEX, "manifests": []})
        lines = "".join(f"Link: {link.format(next=second)}\r\n" for link in links)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {INDEX}\r\n{lines}Content-Length: {len(empty)}\r\n\r\n"
        return raw(head.encode() + empty)(exchange)

    scene.registry.on("GET", path, pages)
    scene.verify().is_accepted()


@pytest.mark.parametrize(
    "link",
    [
        "<{next}>" + ";" * 60_000 + "rel=next",
        "{next}; rel=next",
        '<{next}; rel="next"',
        '<{next}>; rel="next',
        "<{next}>> rel=next",
    ],
)
def test_T17_D08_a_next_page_that_cannot_be_read_is_not_the_end(scene, link):
    scene.attach()
    path = scene.path("referrers", scene.image.digest)
    empty = compact({"schemaVersion": 2, "mediaType": INDEX, "manifests": []})
    scene.registry.on("GET", path, altered(body=empty, headers={"Link": link.format(next=f"{path}?n=1")}))
    scene.verify().is_refused("protocol-violation", 14)
    scene.registry.on("GET", path, altered())
    scene.verify().is_accepted()


@pytest.mark.parametrize("said", ["lying", "honest", "absent"])
def test_T02_T04_another_manifest_under_a_digest_is_refused(scene, said):
    scene.attach()
    scene.verify().is_accepted()
    headers = {
        "lying": {"Docker-Content-Digest": scene.image.digest},
        "honest": {"Docker-Content-Digest": scene.evil.digest},
    }
    script = altered(body=scene.evil.raw, headers=headers.get(said), without=("Docker-Content-Digest",))
    scene.registry.on("GET", scene.path("manifests", scene.image.digest), script)
    outcome = scene.verify()
    outcome.is_refused("digest-mismatch", 1)
    assert scene.image.digest in outcome.verdict["summary"]
    assert scene.evil.digest in outcome.verdict["summary"]


def test_T03_an_answer_to_head_decides_nothing(scene):
    """CVE-2023-33959: a HEAD may say anything; what is verified is bytes."""
    scene.honest.put_referrer(REPOSITORY, scene.evil, compact(scene.bundle(scene.evil)), artifact_type=BUNDLE)
    scene.registry.on("HEAD", "*", altered(headers={"Docker-Content-Digest": scene.evil.digest}))
    scene.verify().is_refused("no-signature", 10)
    assert not scene.registry.asked("HEAD")
    scene.attach()
    scene.verify().is_accepted()


def test_T05_errors_of_the_registry_are_not_swallowed(scene):
    scene.attach()
    scene.registry.on("GET", scene.path("manifests", "v1"), fail(500))
    scene.verify(image=scene.tag).is_refused("registry-failed", 14)
    scene.verify(image=f"{scene.registry.host}/Team/app:v1").is_refused("reference-invalid", 2)
    scene.verify().is_accepted()


def test_T06_T18_the_bytes_of_a_signature_that_were_checked_are_those_that_are_used(scene):
    layer = scene.layer(scene.signer.payload(scene.image.digest, {"env": "prod"}))
    scene.sign_legacy(layer)
    other = compact(scene.signer.payload(scene.image.digest, {"env": "test"}))
    scene.registry.on("GET", scene.path("blobs", layer["digest"]), sequence(altered(), altered(body=other)))
    outcome = scene.verify("-a", "env=prod")
    outcome.is_accepted()
    assert outcome.verdict["signatures"][0]["annotations"] == {"env": "prod"}
    assert len(scene.registry.asked("GET", scene.path("blobs", layer["digest"]))) == 1
    assert scene.verify("-a", "env=prod").findings == [["evidence-malformed"]]


@pytest.mark.parametrize("attach", ["attach", "sign_legacy"])
def test_T18_a_signature_of_another_digest_is_not_read(scene, attach):
    manifest = getattr(scene, attach)()
    scene.verify().is_accepted()
    good = scene.honest.blobs[REPOSITORY, manifest.document["layers"][0]["digest"]]
    path = scene.path("blobs", manifest.document["layers"][0]["digest"])
    scene.registry.on("GET", path, altered(body=good.replace(b"{", b" {", 1)[:-1]))
    outcome = scene.verify()
    outcome.is_refused("evidence-malformed", 12)
    assert "digest-mismatch" in outcome.verdict["signatures"][0]["findings"][0]["message"]
    scene.registry.on("GET", scene.path("manifests", manifest.digest), altered(body=manifest.raw + b" "))
    scene.registry.on("GET", path, altered())
    if attach == "attach":
        scene.verify().is_refused("evidence-malformed", 12)


def test_T15_the_header_of_a_tag_must_be_the_digest_of_the_body(scene):
    scene.attach()
    scene.verify(image=scene.tag).is_accepted()
    for lie in (altered(headers={"Docker-Content-Digest": scene.evil.digest}), altered(body=scene.evil.raw)):
        scene.registry.on("GET", scene.path("manifests", "v1"), lie)
        scene.verify(image=scene.tag).is_refused("digest-mismatch", 1)
    scene.registry.on("GET", scene.path("manifests", "v1"), altered(without=("Docker-Content-Digest",)))
    scene.verify(image=scene.tag).is_accepted()


def test_T16_one_question_for_every_kind_of_manifest(scene):
    """Whatever the registry chooses by Accept or by who asks: one answer, and its digest is what is judged."""
    scene.attach()
    index = scene.honest.put_index(REPOSITORY, [scene.evil], "index")
    scene.registry.on("GET", scene.path("manifests", "v1"), altered(body=index.raw, headers={"Content-Type": INDEX, "Docker-Content-Digest": index.digest}), accept=INDEX)  # fmt: skip
    outcome = scene.verify(image=scene.tag)
    outcome.is_refused("no-signature", 10)
    assert outcome.verdict["digest"] == index.digest
    accepts = {seen.headers["accept"] for seen in scene.registry.asked("GET", scene.path("manifests", "*"))}
    assert len(accepts) == 1
    scene.registry.on("GET", scene.path("manifests", "v1"), altered(headers={"Content-Type": INDEX}))
    scene.verify(image=scene.tag).is_refused("manifest-ambiguous", 1)


def _junk_index(scene) -> None:
    junk = [{"mediaType": MANIFEST, "size": 10, "digest": f"sha256:{9:064x}", "artifactType": BUNDLE}]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": junk}
    scene.honest.put_manifest(REPOSITORY, document, scene.image.digest.replace(":", "-"), INDEX)


def test_T17_four_states_of_the_referrers_have_four_answers(scene, old_scene):
    """No API and no tag; no API and a tag of junk; an API that lists nothing but another image's; an API that fails."""
    old_scene.verify().is_refused("no-signature", 10)
    _junk_index(old_scene)
    old_scene.verify().is_refused("evidence-malformed", 12)
    foreign = scene.attach(subject=scene.evil)
    listing = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [foreign.descriptor()]}
    referrers = scene.path("referrers", scene.image.digest)
    scene.registry.on("GET", referrers, reply(200, headers={"Content-Type": INDEX}, json=listing))
    outcome = scene.verify()
    assert outcome.exit_code == 12
    assert "referrer-subject-mismatch" in outcome.findings[0]
    scene.registry.on("GET", referrers, fail(500))
    scene.verify().is_refused("registry-failed", 14)
    scene.attach()
    scene.registry.on("GET", referrers, altered())
    scene.verify().is_accepted()


def test_T17_a_referrer_that_refers_to_another_image_does_not_count_even_when_it_is_signed_for_this_one(scene):
    attached = scene.attach(scene.bundle(), subject=scene.evil)
    listing = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [attached.descriptor()]}
    scene.registry.on("GET", scene.path("referrers", scene.image.digest), reply(200, headers={"Content-Type": INDEX}, json=listing))  # fmt: skip
    outcome = scene.verify()
    outcome.is_refused("referrer-subject-mismatch", 12)
    scene.registry.on("GET", scene.path("referrers", scene.image.digest), altered())
    scene.attach()
    scene.verify().is_accepted()


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "registry-unauthorized"), (403, "registry-denied"), (429, "registry-throttled"), (500, "registry-failed"),
     (503, "registry-failed"), (418, "registry-failed"), (206, "registry-failed"), (304, "registry-failed")],
)  # fmt: skip
@pytest.mark.parametrize("part", ["manifests/{image}", "referrers/{image}", "manifests/{tag}.sig", "blobs/{blob}"])
def test_T17_W31_could_not_ask_is_never_is_not_signed(scene, status, code, part):
    """Whichever request fails, and however: 14, never 10. A good signature elsewhere still counts."""
    attached = scene.attach()
    tag = scene.image.digest.replace(":", "-")
    path = part.format(image=scene.image.digest, tag=tag, blob=attached.document["layers"][0]["digest"])
    headers = {"WWW-Authenticate": "Basic realm=x"} if status == 401 else {}
    scene.registry.on("GET", f"/v2/{REPOSITORY}/{path}", reply(status, headers=headers))
    if part == "manifests/{tag}.sig":
        scene.verify().is_accepted()
        scene.honest.manifests.pop((REPOSITORY, attached.digest))
    outcome = scene.verify()
    expected = "evidence-unavailable" if part.startswith("blobs") else code
    outcome.is_refused(expected, 14)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (reply(200, json={"errors": [{"code": "UNKNOWN"}]}), "digest-mismatch"),
        (reply(200), "digest-mismatch"),
        (reply(300, b"several"), "registry-failed"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\nhello"), "protocol-violation"),
        (
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "protocol-violation",
        ),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "protocol-violation"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "protocol-violation"),
        (raw(b"SSH-2.0-OpenSSH\r\n"), "protocol-violation"),
        (cut(20), "registry-unreachable"),
    ],
)
def test_W31_answers_that_are_no_plain_answers_are_refused(scene, script, code):
    scene.attach()
    scene.registry.on("GET", scene.path("manifests", scene.image.digest), script)
    outcome = scene.verify()
    outcome.is_refused(code, 1 if code == "digest-mismatch" else 14)
    scene.registry.on("GET", scene.path("manifests", scene.image.digest), altered())
    scene.verify().is_accepted()


def test_W31_a_body_shorter_than_it_was_said_to_be_is_not_read(scene):
    scene.sign_legacy()
    tag = scene.image.digest.replace(":", "-") + ".sig"
    scene.registry.on("GET", scene.path("manifests", tag), cut(100))
    scene.verify().is_refused("registry-unreachable", 14)
    scene.registry.on("GET", scene.path("manifests", tag), altered())
    scene.verify().is_accepted()


def test_W30_the_image_of_a_signature_is_an_image_that_nobody_signed(scene):
    signature = scene.sign_legacy()
    scene.verify().is_accepted()
    scene.verify(image=f"{scene.registry.host}/{REPOSITORY}:{scene.image.digest.replace(':', '-')}.sig").is_refused(
        "no-signature", 10
    )
    scene.verify(image=f"{scene.registry.host}/{REPOSITORY}@{signature.digest}").is_refused("no-signature", 10)


def test_T11_foreign_urls_of_descriptors_are_never_followed(scene, evil_registry):
    trap = evil_registry.trap()
    layer = {**scene.layer(), "urls": [f"{trap.origin}/payload"]}
    scene.sign_legacy(layer)
    scene.verify().is_accepted()
    del scene.honest.blobs[REPOSITORY, layer["digest"]]
    scene.verify().is_refused("evidence-malformed", 12)
    assert trap.requests == []
    assert trap.connections == 0


def test_T19_T20_verdicts_of_many_images_at_once_do_not_mix(scene, stranger):
    """Every image of a run gets its own verdict, whatever order the registry answers in."""
    import random

    from evil_registry.scripts import delay

    images, expected = [], []
    for number in range(60):
        image = scene.honest.put_image(REPOSITORY, None, b"layer %d" % number)
        kind = number % 3
        if kind == 0:
            scene.attach(scene.bundle(image), subject=image)
        elif kind == 1:
            scene.attach(stranger.bundle(stranger.statement(image.digest)), subject=image)
        images.append(f"{scene.registry.host}/{REPOSITORY}@{image.digest}")
        expected.append(("accepted", "signature-key-mismatch", "no-signature")[kind])
    chance = random.Random(1)
    for path in ("manifests", "referrers", "blobs"):
        pauses = [delay(chance.random() / 50) for _ in range(7)]
        scene.registry.on(
            "GET", f"/v2/{REPOSITORY}/{path}/*", lambda exchange, pauses=pauses: chance.choice(pauses)(exchange)
        )
    outcome = run(["verify", "--key", str(scene.signer.path), "-o", "verdict", *images])
    assert [verdict["code"] for verdict in outcome.verdict] == expected
    assert [verdict["image"] for verdict in outcome.verdict] == images
    assert outcome.exit_code == 12
