"""`sealgate verify`: what it asks for, and its exit codes, each beside the twin that ends in 0."""

import json
import socket

import pytest

from peers.images import OCI_INDEX, OCI_MANIFEST, Client, push_image, push_index_of
from sealgate import limits


@pytest.fixture
def image(docker_registry):
    return push_image(docker_registry, "verify/image")


@pytest.mark.parametrize("formats", [["bundle"], ["legacy"], ["bundle", "legacy"]], ids="+".join)
@pytest.mark.parametrize(
    "algorithm",
    ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519"],
)
def test_0_every_format_and_key_type(cli, image, sign, make_key, formats, algorithm):
    key = make_key(algorithm, algorithm)
    sign(image, key, formats=formats)
    said = cli("verify", "--key", key.public, image.tagged)
    assert said.code == 0, said.err
    assert image.digest in said.out
    assert "accepted: signed by" in said.err
    assert "transparency log: not asked for" in said.err
    assert cli("verify", "--key", make_key("good").public, image.tagged).code == 12


def test_10_nothing_attached(cli, image, key, sign):
    said = cli("verify", "--key", key.public, image.tagged)
    assert (said.code, said.out) == (10, "")
    assert "code: no-signature" in said.err
    assert "hint: sign it" in said.err
    sign(image, key)
    assert cli("verify", "--key", key.public, image.tagged).code == 0


@pytest.mark.parametrize("which", ["tag", "digest", "repository"])
def test_11_no_such_image(cli, image, key, which):
    name = {
        "tag": f"{image.name}:nope",
        "digest": f"{image.name}@sha256:{'0' * 64}",
        "repository": f"{image.host}/verify/nothing:latest",
    }[which]
    said = cli("verify", "--key", key.public, name)
    assert (said.code, said.out) == (11, "")
    assert "code: image-not-found" in said.err


@pytest.mark.parametrize("formats", [["bundle"], ["legacy"]], ids="+".join)
def test_12_another_key(cli, image, key, other, sign, formats):
    sign(image, other, formats=formats)
    said = cli("verify", "--key", key.public, image.reference)
    assert (said.code, said.out) == (12, "")
    assert "1 signature found" in said.err
    assert "signature-key-mismatch" in said.err
    assert other.handle.public_key.fingerprint in said.err or formats == ["legacy"]
    assert cli("verify", "--key", other.public, image.reference).code == 0


@pytest.mark.parametrize("formats", [["bundle"], ["legacy"]], ids="+".join)
def test_R01_12_the_signature_of_another_image(cli, docker_registry, key, sign, formats):
    """The attack of the demo: another image under the tag, the good signature copied onto it."""
    good = push_image(docker_registry, "verify/tampered")
    sign(good, key, formats=formats)
    bad = push_image(docker_registry, "verify/tampered")
    _copy_signatures(good, bad)
    said = cli("verify", "--key", key.public, bad.tagged)
    assert (said.code, said.out) == (12, "")
    assert "signature-subject-mismatch" in said.err
    assert f"is for another image, {good.digest}" in said.err
    assert cli("verify", "--key", key.public, good.reference).code == 0


def _copy_signatures(source, target):
    client = Client(source.host)
    for suffix in ("", ".sig"):
        found = client.get_manifest(source.repository, source.digest.replace(":", "-") + suffix)
        if found.status == 200:
            media_type = json.loads(found.body)["mediaType"]
            tag = target.digest.replace(":", "-") + suffix
            client.put_manifest(target.repository, tag, found.body, media_type)


def test_R01_a_digest_decides_whatever_the_tag_says(cli, docker_registry, key, sign):
    signed = push_image(docker_registry, "verify/moved")
    sign(signed, key)
    unsigned = push_image(docker_registry, "verify/moved")
    assert cli("verify", "--key", key.public, unsigned.tagged).code == 10
    assert cli("verify", "--key", key.public, f"{signed.name}:latest@{signed.digest}").code == 0
    assert cli("verify", "--key", key.public, f"{signed.name}:latest@{unsigned.digest}").code == 10


def test_14_nobody_listens(cli, key):
    said = cli("verify", "--key", key.public, "127.0.0.1:1/a/b:c")
    assert (said.code, said.out) == (14, "")
    assert "code: registry-unreachable" in said.err
    assert "not known" in said.err


def test_14_wants_credentials(cli, start_registry, key, sign, tmp_path):
    registry = start_registry(htpasswd={"someone": "canary-4711"})
    image = push_image(registry.host, auth=("someone", "canary-4711"))
    said = cli("verify", "--key", key.public, image.tagged)
    assert said.code == 14
    assert "code: registry-unauthorized" in said.err
    flags = ("--registry-username", "someone", "--registry-password")
    wrong = cli("verify", "--key", key.public, *flags, "canary-wrong", image.tagged)
    assert wrong.code == 14
    assert "canary" not in wrong.err + wrong.out
    asked = cli("verify", "--key", key.public, *flags, "canary-4711", image.tagged)
    assert asked.code == 10
    assert "canary" not in asked.err + asked.out


@pytest.mark.parametrize("option", [("-t", "300ms"), ("--timeout=0.3",)])
def test_14_timed_out(cli, key, option):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = cli("verify", *option, "--key", key.public, f"127.0.0.1:{silent.getsockname()[1]}/a/b:c")
    assert said.code == 14
    assert "code: timed-out" in said.err


def test_15_keys_that_are_none(cli, image, key, sign, tmp_path):
    sign(image, key)
    (tmp_path / "junk.pub").write_text("junk")
    (tmp_path / "empty.pub").write_text("")
    cases = {
        str(tmp_path / "missing.pub"): "key-not-found",
        str(tmp_path / "junk.pub"): "key-malformed",
        str(tmp_path / "empty.pub"): "key-malformed",
        key.private: "key-is-private",
        "env://NOT_SET": "key-not-found",
        "awskms:///alias/x": "key-unsupported",
    }
    for name, code in cases.items():
        said = cli("verify", "--key", name, image.reference)
        assert (said.code, said.out) == (15, ""), name
        assert f"[{code}]" in said.err, name
    assert cli("verify", "--key", key.public, image.reference).code == 0


def test_keys_from_the_environment(cli, image, key, sign):
    sign(image, key)
    pem = key.handle.public_key.pem().decode()
    assert cli("verify", "--key", "env://THE_KEY", image.reference, env={"THE_KEY": pem}).code == 0


@pytest.mark.parametrize("kind", ["digest", "key"])
@pytest.mark.parametrize("formats", [["bundle"], ["legacy"]], ids="+".join)
def test_16_denied(cli, image, key, other, sign, tmp_path, kind, formats):
    sign(image, key, formats=formats)
    value = {"digest": image.digest, "key": key.handle.public_key.fingerprint}[kind]
    listed = tmp_path / "deny"
    listed.write_text(f"# what we recalled\n\n{kind} {value}  CVE-2026-1234 \x1b[2J\n")
    said = cli("verify", "--key", key.public, "--deny", listed, image.reference)
    assert (said.code, said.out) == (16, "")
    assert f"code: denied-{kind}" in said.err
    assert "CVE-2026-1234" in said.err
    assert "\x1b" not in said.err
    listed.write_text(f"{kind} {value[:-1]}{'0' if value[-1] != '0' else '1'} another one\n")
    assert cli("verify", "--key", key.public, "--deny", listed, image.reference).code == 0


def test_16_a_denied_digest_that_is_not_signed_either(cli, image, key, tmp_path):
    (tmp_path / "deny").write_text(f"digest {image.digest} recalled\n")
    assert cli("verify", "--key", key.public, "--deny", tmp_path / "deny", image.reference).code == 16


@pytest.mark.parametrize("nested", [False, True])
def test_16_an_index_that_has_a_denied_image(cli, docker_registry, key, sign, tmp_path, nested):
    """A list of recalled images names what a scanner or a node saw: often the image of one platform."""
    index = push_image(docker_registry, "verify/recalled", kind="index")
    image = push_index_of(index) if nested else index
    sign(image, key, recursive=True)
    (tmp_path / "deny").write_text(f"digest {index.children[1].digest} recalled\n")
    asked = ("verify", "--key", key.public, "--deny", tmp_path / "deny")
    for more in ((), ("-r",)):
        said = cli(*asked, *more, image.tagged)
        assert (said.code, "code: denied-digest" in said.err) == (16, True)
        assert "recalled" in said.err
    assert cli(*asked, index.children[0].reference).code == 0
    assert cli(*asked, "--platform", "linux/amd64", index.reference).code == 0
    (tmp_path / "deny").write_text(f"digest sha256:{'0' * 64} another\n")
    assert cli(*asked, image.tagged).code == 0


def test_an_entry_that_could_match_nothing_is_a_mistake(cli, image, key, sign, tmp_path):
    sign(image, key)
    (tmp_path / "deny").write_text(f"digest sha512:{'0' * 128} recalled\n")
    said = cli("verify", "--key", key.public, "--deny", tmp_path / "deny", image.reference)
    assert (said.code, "sha256" in said.err) == (2, True)


def test_a_denied_key_beside_a_good_one(cli, image, key, other, sign, tmp_path):
    sign(image, key, other)
    (tmp_path / "deny").write_text(f"key {other.handle.public_key.fingerprint} leaked\n")
    both = ("--key", key.public, "--key", other.public, "--deny", tmp_path / "deny", image.reference)
    assert cli("verify", "--require", "any", *both).code == 0
    assert cli("verify", "--require", "all", *both).code == 16


# -- used wrongly: 2


@pytest.mark.parametrize(
    "args",
    [
        ("verify",),
        ("verify", "IMAGE"),
        ("verify", "--key", "PUB"),
        ("verify", "--key", "PUB", "IMAGE", "--no-such-flag"),
        ("verify", "--key", "PUB", "--annot", "a=b", "IMAGE"),
        ("verify", "--key", "PUB", "-a", "novalue", "IMAGE"),
        ("verify", "--key", "PUB", "-a", "a=1", "-a", "a=2", "IMAGE"),
        ("verify", "--key", "PUB", "-o", "yaml", "IMAGE"),
        ("verify", "--key", "PUB", "--require", "most", "IMAGE"),
        ("verify", "--key", "PUB", "--require", "0", "IMAGE"),
        ("verify", "--key", "PUB", "--require", "-1", "IMAGE"),
        ("verify", "--key", "PUB", "--require", "2", "IMAGE"),
        ("verify", "--key", "PUB", "--require", "²", "IMAGE"),
        ("verify", "--key", "PUB", "--key", "PUB", "--require", "2", "IMAGE"),
        ("verify", "--key", "PUB", "--deny", "/nowhere/list", "IMAGE"),
        ("verify", "--key", "PUB", "-t", "0", "IMAGE"),
        ("verify", "--key", "PUB", "UPPER/case"),
        ("verify", "--key", "PUB", "IMAGE", "UPPER/case"),
        ("verify", "--key", "PUB", "https://127.0.0.1/a/b"),
        ("verify", "--key", "PUB", ""),
        ("verify", "--key", "PUB", "--registry-client-cert", "x", "IMAGE"),
        ("verfy", "--key", "PUB", "IMAGE"),
        ("",),
        (),
    ],
    ids=" ".join,
)
def test_2_wrong_use(cli, image, key, args):
    given = [{"PUB": key.public, "IMAGE": image.reference}.get(arg, arg) for arg in args]
    said = cli(*given)
    assert (said.code, said.out) == (2, "") if args else (said.code == 2)
    assert not args or "Error: " in said.err


HALVES = {  # what is given, and nothing that it goes with
    "--certificate": "whom it must name",
    "--certificate-chain": "whom it must name",
    "--certificate-identity": "who vouches for it",
    "--certificate-identity-regexp": "who vouches for it",
    "--certificate-oidc-issuer": "whom it vouched for",
    "--certificate-oidc-issuer-regexp": "whom it vouched for",
    "--certificate-github-workflow-name": "whom it vouched for",
    "--certificate-github-workflow-ref": "whom it vouched for",
    "--certificate-github-workflow-repository": "whom it vouched for",
    "--certificate-github-workflow-sha": "whom it vouched for",
    "--certificate-github-workflow-trigger": "whom it vouched for",
    "--ca-roots": "whom it must name",
    "--ca-intermediates": "whom it must name",
    "--sct": "whom it must name",
    "--rekor-url": "never done",
    "--sk": "hardware tokens",
    "--slot": "hardware tokens",
}


@pytest.mark.parametrize("flag", HALVES)
def test_2_a_flag_that_would_add_a_check_is_never_ignored(cli, image, key, sign, flag):
    sign(image, key)
    words = [flag] if flag == "--sk" else [flag, "x"]
    said = cli("verify", "--key", key.public, *words, image.reference)
    assert (said.code, said.out) == (2, "")
    assert HALVES[flag] in said.err
    assert "hint: " in said.err
    assert cli("verify", "--key", key.public, image.reference).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--require-tlog"],
        ["--use-signed-timestamps"],
        ["--trusted-root", "/nowhere/root.json"],
        ["--timestamp-certificate-chain", "/nowhere/chain.pem"],
    ],
    ids=" ".join,
)
def test_15_a_check_that_needs_trust_that_is_not_there(cli, image, key, sign, words):
    sign(image, key)
    said = cli("verify", "--key", key.public, *words, image.reference)
    assert (said.code, said.out) == (15, "")
    assert cli("verify", "--key", key.public, image.reference).code == 0


def test_flags_of_cosign_that_change_nothing(cli, image, key, sign):
    sign(image, key, formats=["legacy"])
    taken = ["--insecure-ignore-tlog", "--insecure-ignore-tlog=true", "--insecure-ignore-sct", "--offline",
             "--private-infrastructure", "--new-bundle-format=true", "--experimental-oci11", "--check-claims=true",
             "--use-signed-timestamps=false", "--max-workers=3"]  # fmt: skip
    for flag in taken:
        assert cli("verify", "--key", key.public, flag, image.reference).code == 0, flag


# -- several keys


def test_2_several_keys_need_require(cli, image, key, other, sign):
    sign(image, key)
    both = ("--key", key.public, "--key", other.public, image.reference)
    said = cli("verify", *both)
    assert (said.code, said.out) == (2, "")
    assert "hint: --require any" in said.err
    assert "last key" in said.err
    assert cli("verify", "--require", "any", *both).code == 0


@pytest.mark.parametrize(
    ("signed", "require", "code"),
    [
        ("", "any", 10),
        ("a", "any", 0),
        ("a", "1", 0),
        ("a", "2", 12),
        ("a", "all", 12),
        ("ab", "2", 0),
        ("ab", "3", 12),
        ("ab", "all", 12),
        ("abc", "3", 0),
        ("abc", "all", 0),
        ("x", "any", 12),
        ("xa", "any", 0),
    ],
)
def test_thresholds(cli, image, sign, make_key, signed, require, code):
    if signed:
        sign(image, *(make_key(name) for name in signed))
    keys = [word for name in "abc" for word in ("--key", make_key(name).public)]
    assert cli("verify", *keys, "--require", require, image.reference).code == code


def test_one_key_that_signed_twice_counts_once(cli, image, key, other, sign):
    sign(image, key, formats=["bundle", "legacy"])
    sign(image, key, formats=["bundle", "legacy"], annotations={"again": "yes"})
    both = ("--key", key.public, "--key", other.public)
    said = cli("verify", *both, "--require", "2", image.reference)
    assert said.code == 12
    assert "4 signatures found" in said.err
    assert cli("verify", *both, "--require", "1", image.reference).code == 0


def test_one_key_given_twice_is_one_key(cli, image, key, other, sign):
    sign(image, key)
    twice = ("--key", key.public, "--key", key.public)
    assert cli("verify", *twice, "--require", "all", image.reference).code == 0
    said = cli("verify", *twice, "--require", "2", image.reference)
    assert said.code == 2
    assert "counts once" in said.err


def test_mixed_keys_and_formats_on_one_image(cli, image, key, other, sign):
    """What cosign gets wrong: a bundle by one key, a `.sig` by another."""
    sign(image, key, formats=["bundle"])
    sign(image, other, formats=["legacy"])
    for each in (key, other):
        assert cli("verify", "--key", each.public, image.reference).code == 0
    both = ("--key", key.public, "--key", other.public)
    assert cli("verify", *both, "--require", "all", image.reference).code == 0
    legacy = ("--new-bundle-format=false", image.reference)
    assert cli("verify", "--key", other.public, *legacy).code == 0
    assert cli("verify", "--key", key.public, *legacy).code == 12


# -- several images


def test_several_images_are_all_judged(cli, docker_registry, key, other, sign):
    good, bare, foreign = (push_image(docker_registry, f"verify/{name}") for name in ("good", "bare", "foreign"))
    sign(good, key)
    sign(foreign, other)
    said = cli("verify", "--key", key.public, good.reference, foreign.reference, bare.reference)
    assert said.code == 12
    assert [line for line in said.err.splitlines() if line.startswith("  code: ")] == [
        "  code: signature-key-mismatch",
        "  code: no-signature",
    ]
    assert "1 of 3 images accepted" in said.err
    assert [json.loads(line)[0]["critical"]["image"] for line in said.out.split("\n") if line] == [
        {"docker-manifest-digest": good.digest}
    ]
    order = [bare.reference, good.reference, foreign.reference]
    assert cli("verify", "--key", key.public, *order).code == 10
    assert cli("verify", "--key", key.public, f"{good.name}:nope", *order).code == 11
    assert cli("verify", "--key", key.public, good.reference, "127.0.0.1:1/a/b:c", *order).code == 14
    assert cli("verify", "--key", key.public, good.reference, good.tagged, good.reference).code == 0


def test_formats_may_differ_between_images(cli, docker_registry, key, sign):
    images = [push_image(docker_registry, f"verify/mixed{number}") for number in range(4)]
    for number, image in enumerate(images):
        sign(image, key, formats=["legacy"] if number % 2 else ["bundle"])
    names = [image.reference for image in images]
    said = cli("verify", "--key", key.public, *names)
    assert said.code == 0
    found = [
        json.loads(line)[0]["critical"]["image"]["docker-manifest-digest"] for line in said.out.splitlines() if line
    ]
    assert found == [image.digest for image in images]
    assert cli("verify", "--key", key.public, *reversed(names)).code == 0


# -- annotations


@pytest.mark.parametrize("formats", [["bundle"], ["legacy"]], ids="+".join)
def test_E09_annotations_are_signed_and_checked(cli, image, key, sign, formats):
    sign(image, key, formats=formats, annotations={"env": "prod", "build.id": "42", "eq": "a=b"})
    asked = ("verify", "--key", key.public, image.reference)
    for good in (["-a", "env=prod"], ["-a", "env=prod,build.id=42"], ["-a", "eq=a=b"], ["--annotations=env=prod"]):
        assert cli(*asked, *good).code == 0, good
    for bad in (["-a", "env=test"], ["-a", "env="], ["-a", "ENV=prod"], ["-a", "env=prod", "-a", "absent=1"]):
        said = cli(*asked, *bad)
        assert said.code == 12, bad
        assert "annotation-mismatch" in said.err


@pytest.mark.parametrize("empty", [["-a", ""], ["--annotations="], ["-a", ","], ["-a", "env=prod", "-a", ""]])
def test_E09_X02_an_empty_annotation_is_a_mistake_and_asks_for_something(cli, image, key, sign, empty):
    """`-a "$WANTED"` in a script, with WANTED unset: cosign checks no annotation, and says nothing."""
    sign(image, key, annotations={"env": "prod"})
    said = cli("verify", "--key", key.public, *empty, image.reference)
    assert (said.code, said.out) == (2, "")
    assert "an annotation is empty" in said.err
    assert cli("verify", "--key", key.public, "-a", "env=prod", image.reference).code == 0


def test_E09_the_sentence_on_the_nearest_signature_reads_as_one(cli, image, key, sign):
    sign(image, key, formats=["bundle", "legacy"], annotations={"env": "prod"})
    said = cli("verify", "--key", key.public, "-a", "env=dev", image.reference)
    assert "the nearest of 2 signatures says 'prod' in its annotation 'env', not 'dev'" in said.err


@pytest.mark.parametrize("formats", [["bundle"], ["legacy"]], ids="+".join)
def test_E09_an_annotation_that_nobody_signed(cli, image, key, sign, formats):
    sign(image, key, formats=formats)
    assert cli("verify", "--key", key.public, "-a", "env=prod", image.reference).code == 12
    assert cli("verify", "--key", key.public, image.reference).code == 0


@pytest.mark.parametrize("formats", [["bundle"], ["legacy"], ["bundle", "legacy"]], ids="+".join)
def test_E10_all_annotations_stand_in_one_signature(cli, image, key, sign, formats):
    sign(image, key, formats=formats[:1], annotations={"team": "x"})
    sign(image, key, formats=formats[-1:], annotations={"env": "prod"})
    asked = ("verify", "--key", key.public, image.reference)
    assert cli(*asked, "-a", "team=x").code == 0
    assert cli(*asked, "-a", "env=prod").code == 0
    assert cli(*asked, "-a", "team=x", "-a", "env=prod").code == 12
    sign(image, key, formats=formats, annotations={"team": "x", "env": "prod"})
    assert cli(*asked, "-a", "team=x", "-a", "env=prod").code == 0


def test_E10_a_foreign_signature_does_not_harm(cli, image, key, other, sign):
    sign(image, other, annotations={"env": "test"}, formats=["bundle", "legacy"])
    sign(image, key, annotations={"env": "prod"})
    assert cli("verify", "--key", key.public, "-a", "env=prod", image.reference).code == 0
    assert cli("verify", "--key", key.public, "-a", "env=test", image.reference).code == 12


def test_check_claims_false_skips_the_annotations_alone_and_says_so(cli, docker_registry, key, sign):
    good = push_image(docker_registry, "verify/claims")
    sign(good, key, formats=["bundle", "legacy"])
    bad = push_image(docker_registry, "verify/claims")
    _copy_signatures(good, bad)
    asked = ("verify", "--key", key.public, "--check-claims=false", "-a", "env=prod")
    said = cli(*asked, good.reference)
    assert said.code == 0
    assert "annotations were not checked" in said.err
    said = cli(*asked, bad.reference)
    assert said.code == 12
    assert "signature-subject-mismatch" in said.err


# -- indexes


def test_recursive(cli, docker_registry, key, sign):
    index = push_image(docker_registry, "verify/index", kind="index")
    sign(index, key)
    assert cli("verify", "--key", key.public, index.reference).code == 0
    said = cli("verify", "--key", key.public, "-r", index.tagged)
    assert said.code == 10
    assert "1 of 3 images accepted" in said.err
    sign(index.children[0], key)
    assert cli("verify", "--key", key.public, "-r", index.tagged).code == 10
    sign(index.children[1], key, formats=["legacy"])
    said = cli("verify", "--key", key.public, "--recursive", index.tagged)
    assert said.code == 0
    found = [
        json.loads(line)[0]["critical"]["image"]["docker-manifest-digest"] for line in said.out.splitlines() if line
    ]
    assert found == [index.digest, *(child.digest for child in index.children)]


def test_recursive_without_the_index_signed(cli, docker_registry, key, sign):
    index = push_image(docker_registry, "verify/children", kind="index")
    for child in index.children:
        sign(child, key)
    assert cli("verify", "--key", key.public, "-r", index.reference).code == 10
    assert cli("verify", "--key", key.public, "-r", *(child.reference for child in index.children)).code == 0


def test_recursive_with_a_missing_child(cli, docker_registry, key, sign):
    index = push_image(docker_registry, "verify/gone", kind="index")
    sign(index, key, recursive=True)
    assert cli("verify", "--key", key.public, "-r", index.reference).code == 0
    Client(docker_registry).request("DELETE", f"/v2/verify/gone/manifests/{index.children[0].digest}")
    assert cli("verify", "--key", key.public, "-r", index.reference).code == 11


def test_M04_recursive_reaches_the_images_of_an_index_in_an_index(cli, docker_registry, key, sign):
    inner = push_image(docker_registry, "verify/nested", kind="index")
    outer = push_index_of(inner)
    for each in (outer, inner, inner.children[0]):
        sign(each, key)
    said = cli("verify", "--key", key.public, "-r", outer.tagged)
    assert said.code == 10
    assert "3 of 4 images accepted" in said.err
    sign(inner.children[1], key)
    said = cli("verify", "--key", key.public, "-r", outer.tagged)
    assert said.code == 0
    assert "4 of 4 images accepted" in said.err


def test_M04_recursive_believes_no_entry_that_hides_an_index(cli, docker_registry, key, sign):
    inner = push_image(docker_registry, "verify/hidden", kind="index")
    honest, lying = push_index_of(inner), push_index_of(inner, "lying", mediaType=OCI_MANIFEST)
    for each in (honest, lying, inner, *inner.children):
        sign(each, key)
    assert cli("verify", "--key", key.public, "-r", honest.tagged).code == 0
    said = cli("verify", "--key", key.public, "-r", lying.tagged)
    assert said.code == 1
    assert "code: manifest-invalid" in said.err


def test_D11_recursion_has_an_end(cli, docker_registry, key, sign):
    index = push_image(docker_registry, "verify/deep", kind="index")
    for depth in range(limits.INDEX_DEPTH):
        sign(index, key, recursive=True)
        assert cli("verify", "--key", key.public, "-r", index.reference).code == 0
        index = push_index_of(index, f"depth{depth}")
    for command in (("verify", "--key", key.public), ("sign", "--key", key.private)):
        said = cli(*command, "-r", index.reference)
        assert said.code == 1
        assert "limit-exceeded" in said.err


def test_platform(cli, docker_registry, key, sign):
    index = push_image(docker_registry, "verify/platform", kind="docker-list")
    sign(index.children[1], key)
    arm = cli("verify", "--key", key.public, "--platform", "linux/arm64", index.tagged)
    assert arm.code == 0
    assert index.children[1].digest in arm.out
    assert cli("verify", "--key", key.public, "--platform", "linux/amd64", index.tagged).code == 10
    assert cli("verify", "--key", key.public, index.tagged).code == 10
    missing = cli("verify", "--key", key.public, "--platform", "linux/s390x", index.tagged)
    assert missing.code == 1
    assert "linux/amd64, linux/arm64" in missing.err
    single = cli("verify", "--key", key.public, "--platform", "linux/amd64", index.children[0].reference)
    assert single.code == 1


# -- what does not count


def test_P09_attestations_do_not_count(cli, docker_registry, cosign3, key, sign, tmp_path):
    """cosign 3.1.1 accepts any attestation by the key as a signature of the image."""
    image = push_image(docker_registry, "verify/attested")
    (tmp_path / "predicate").write_text("anything")
    pair = tmp_path / "mine"
    cosign3("generate-key-pair", "--output-key-prefix", pair, check=True)
    offline = ("--use-signing-config=false", "--tlog-upload=false", "-y")
    cosign3(
        "attest", "--key", f"{pair}.key", *offline, "--predicate", tmp_path / "predicate", image.reference, check=True
    )
    said = cli("verify", "--key", f"{pair}.pub", image.reference)
    assert (said.code, said.out) == (10, "")
    assert "attestation" in said.err
    shown = cli("verify", "--key", f"{pair}.pub", "-o", "verdict", image.reference)
    [report] = json.loads(shown.out)["signatures"]
    assert (report["kind"], report["accepted"]) == ("attestation", False)
    cosign3("sign", "--key", f"{pair}.key", *offline, image.reference, check=True)
    assert cli("verify", "--key", f"{pair}.pub", image.reference).code == 0


def test_junk_beside_a_good_signature_does_not_harm(cli, docker_registry, key, sign):
    image = push_image(docker_registry, "verify/junk")
    sign(image, key, formats=["bundle"])
    client = Client(docker_registry)
    empty = client.put_blob(image.repository, b"{}")
    layer = client.put_blob(image.repository, b"not json")
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": empty, "size": 2}
    bad = {"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": layer, "size": 8}
    bad["annotations"] = {"dev.cosignproject.cosign/signature": "AAAA"}
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [bad]}
    tag = image.digest.replace(":", "-")
    client.put_manifest(image.repository, f"{tag}.sig", json.dumps(manifest).encode(), OCI_MANIFEST)
    said = cli("verify", "--key", key.public, image.reference)
    assert said.code == 0
    assert "evidence-malformed" in said.err or "signature-key-mismatch" in said.err
    listed = json.loads(client.get_manifest(image.repository, tag).body)
    index = listed | {"manifests": []}
    client.put_manifest(image.repository, tag, json.dumps(index).encode(), OCI_INDEX)
    assert cli("verify", "--key", key.public, image.reference).code == 12


# -- elsewhere


def test_local_image(cli, docker_registry, key, tmp_path):
    image = push_image(docker_registry, "verify/local")
    layout = tmp_path / "layout"
    (layout / "blobs" / "sha256").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    for digest, data in {image.digest: image.raw, **image.blobs}.items():
        (layout / "blobs" / "sha256" / digest.partition(":")[2]).write_bytes(data)
    entry = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.raw)}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    assert cli("verify", "--key", key.public, "--local-image", layout).code == 10
    assert cli("sign", "--key", key.private, "--format", "both", f"oci:{layout}").code == 0
    for words in (["--local-image", layout], [f"oci:{layout}"], [f"oci:{layout}@{image.digest}"]):
        said = cli("verify", "--key", key.public, *words)
        assert said.code == 0, said.err
        assert "2 signatures found" in said.err
    assert cli("verify", "--key", key.public, f"oci:{tmp_path}/nothing").code not in {0, 10}


def test_signature_hash(cli, image, make_key, sign):
    key = make_key("ecdsa-p384", "ecdsa-p384")
    sign(image, key)
    asked = ("verify", "--key", key.public, image.reference, "--signature-digest-algorithm")
    codes = {name: cli(*asked, name).code for name in ("sha256", "sha384", "sha512")}
    assert sorted(codes.values()) == [0, 12, 12]
    assert cli("verify", "--key", key.public, image.reference).code == 0


def test_X06_a_file_of_the_image_s_name_is_not_looked_at(cli, image, key, sign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sign(image, key)
    (tmp_path / image.digest).write_text("trap")
    assert cli("verify", "--key", key.public, image.reference).code == 0
    said = cli("verify", "--key", key.public, image.digest)
    assert said.code == 2


def test_the_installed_command(sealgate, image, key, sign):
    sign(image, key)
    said = sealgate("verify", "--key", key.public, image.reference)
    assert said.returncode == 0
    assert image.digest in said.stdout
    assert sealgate("verify", "--key", key.public, f"{image.name}:nope").returncode == 11
    assert sealgate("verify").returncode == 2


def test_the_keychain_of_clouds_ends_in_a_hint(cli, image, key, sign):
    """A flag of cosign's that would find credentials elsewhere is not ignored."""
    sign(image, key)
    said = cli("verify", "--key", key.public, "--k8s-keychain", image.reference)
    assert (said.code, said.out) == (2, "")
    assert "credHelpers" in said.err
    assert cli("verify", "--key", key.public, "--k8s-keychain=false", image.reference).code == 0
