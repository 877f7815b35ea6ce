"""`sealgate attest`, `verify-attestation`, `download attestation` and `attach attestation` as users run them."""

import base64
import json

import pytest

from attestations.conftest import statements
from peers.images import Client, push_image, push_index_of

CYCLONEDX = "https://cyclonedx.org/bom"


def attached(image, suffix=""):
    """The entries of the fallback index, or the layers under `.att`."""
    answer = Client(image.host).get_manifest(image.repository, image.digest.replace(":", "-") + suffix)
    return [] if answer.status == 404 else json.loads(answer.body)["layers" if suffix else "manifests"]


@pytest.fixture
def image(docker_registry, request):
    return push_image(docker_registry, f"attest/{abs(hash(request.node.name))}")


@pytest.fixture
def attest(sealgate, pair, sbom):
    def run(*words, key=pair, predicate=sbom, kind="cyclonedx", **options):
        what = () if predicate is None else ("--predicate", predicate)
        type_ = () if kind is None else ("--type", kind)
        return sealgate("attest", "--key", key.key, *type_, *what, "--settle", "10ms", *words, **options)

    return run


@pytest.fixture
def verify(sealgate, pair):
    def run(*words, kind="cyclonedx", key=pair):
        return sealgate("verify-attestation", "--key", key.pub, "--type", kind, *words)

    return run


def test_what_is_written_is_as_cosign_writes_it(attest, image, sbom):
    done = attest("--format", "both", image.reference)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"Using payload from: {sbom}\nPushing attestation to: {image.name}\n"
    client = Client(image.host)
    [layer] = attached(image, ".att")
    assert layer["mediaType"] == "application/vnd.dsse.envelope.v1+json"
    assert layer["annotations"] == {"dev.cosignproject.cosign/signature": "", "predicateType": CYCLONEDX}
    envelope = json.loads(client.get_blob(image.repository, layer["digest"]).body)
    assert list(envelope) == ["payload", "payloadType", "signatures"]
    assert list(envelope["signatures"][0]) == ["sig"]
    [entry] = attached(image)
    assert entry["artifactType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert entry["annotations"]["dev.sigstore.bundle.predicateType"] == CYCLONEDX
    manifest = json.loads(client.get_manifest(image.repository, entry["digest"]).body)
    bundle = json.loads(client.get_blob(image.repository, manifest["layers"][0]["digest"]).body)
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    assert payload == base64.b64decode(envelope["payload"])
    assert payload == (
        b'{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"%s","digest":{"sha256":"%s"}}],'
        b'"predicateType":"%s","predicate":%s}'
        % (image.name.encode(), image.digest[7:].encode(), CYCLONEDX.encode(), sbom.read_bytes().strip())
    )


def test_the_identical_statement_is_attached_once(attest, image, stranger):
    attest("--format", "both", image.reference, check=True)
    before = attached(image), attached(image, ".att")
    done = attest("--format", "both", image.reference, check=True)
    assert done.stderr.count("Already attested") == 2
    assert (attached(image), attached(image, ".att")) == before
    attest("--format", "both", image.reference, key=stranger, check=True)
    assert (len(attached(image)), len(attached(image, ".att"))) == (2, 2)


def test_the_identical_custom_statement_is_attached_once_when_the_time_is_given(attest, image):
    for _ in range(2):
        attest(image.reference, kind="custom", env={"SOURCE_DATE_EPOCH": "1700000000"}, check=True)
    assert len(attached(image)) == 1
    attest(image.reference, kind="custom", env={"SOURCE_DATE_EPOCH": "1700000001"}, check=True)
    assert len(attached(image)) == 2


def test_replace_lets_those_of_the_type_by_the_key_give_way(attest, verify, image, sbom, stranger, tmp_path):
    client = Client(image.host)
    attest("--format", "both", image.reference, check=True)
    attest("--format", "both", image.reference, key=stranger, check=True)
    attest("--format", "both", image.reference, kind="openvex", check=True)
    [old] = [entry["digest"] for entry in attached(image)[:1]]
    (tmp_path / "newer.json").write_text('{"newer":true}')
    done = attest("--format", "both", "--replace", image.reference, predicate=tmp_path / "newer.json", check=True)
    assert done.stderr.count("Replaced 1 of type") == 2
    assert (len(attached(image)), len(attached(image, ".att"))) == (3, 3)
    said = statements(verify(image.reference).stdout)
    assert [statement["predicate"] for statement in said] == [{"newer": True}] * 2
    assert verify(image.reference, key=stranger).returncode == 0
    assert verify(image.reference, kind="openvex").returncode == 0
    gone = [client.get_manifest(image.repository, digest).status for digest in {old}]
    assert gone in ([404], [200])  # whoever was first in the index: it may be the stranger's, which stays
    # the identical one again: nothing is added, nothing is lost
    attest("--format", "both", "--replace", image.reference, predicate=tmp_path / "newer.json", check=True)
    assert (len(attached(image)), len(attached(image, ".att"))) == (3, 3)


def test_no_upload(attest, image, tmp_path, sealgate, pair):
    done = attest("--no-upload", "--bundle", tmp_path / "b", image.reference, check=True)
    assert done.stdout == ""
    assert f"Wrote bundle to file {tmp_path / 'b'}" in done.stderr
    legacy = attest("--no-upload", "--new-bundle-format=false", image.reference, check=True)
    assert list(json.loads(legacy.stdout)) == ["payload", "payloadType", "signatures"]
    assert attached(image) == attached(image, ".att") == []
    # and attached later
    (tmp_path / "env").write_text(legacy.stdout)
    for _ in range(2):
        done = sealgate(
            "attach", "attestation", "--key", pair.pub, "--attestation", tmp_path / "b", "--attestation", tmp_path / "env",
            image.reference, check=True,
        )  # fmt: skip
    assert done.stderr.count("Already attached") == 2
    assert (len(attached(image)), len(attached(image, ".att"))) == (1, 1)
    assert attached(image)[0]["annotations"]["dev.sigstore.bundle.predicateType"] == CYCLONEDX


def test_stdin_and_statements(attest, verify, image, sbom, tmp_path):
    attest(image.reference, predicate="-", input='{"from": "stdin"}', check=True)
    assert statements(verify(image.reference).stdout)[0]["predicate"] == {"from": "stdin"}
    both = (image.reference, "--statement", tmp_path / "s")
    text = (
        '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://x.y/z",\n'
        f' "subject":[{{"digest":{{"sha256":"{"0" * 64}"}}}},{{"name":"x","digest":{{"sha256":"{image.digest[7:]}"}}}}],'
        '"predicate":"anything"}\n'
    )
    (tmp_path / "s").write_text(text)
    attest(*both, predicate=None, kind=None, check=True)
    [line] = verify(image.reference, kind="https://x.y/z").stdout.splitlines()
    assert base64.b64decode(json.loads(line)["payload"]).decode() == text
    for bad, code in (
        (text.replace(image.digest[7:], "1" * 64), 1),  # about another image
        (text.replace("https://x.y/z", "https://sigstore.dev/cosign/sign/v1"), 2),
        (text.replace("v0.1", "v9"), 1),
        (text[:-3], 1),
    ):
        (tmp_path / "s").write_text(bad)
        done = attest(*both, predicate=None, kind=None)
        assert done.returncode == code, done.stderr
    (tmp_path / "s").write_text(text)
    assert attest(*both, predicate=None, kind="cyclonedx").returncode == 2
    assert attest(*both, predicate=None, kind="https://x.y/z").returncode == 0
    assert attest(*both).returncode == 2, "a predicate and a Statement"


def test_several_keys_subjects_images(attest, sealgate, verify, docker_registry, image, pair, stranger):
    other = push_image(docker_registry, "attest/other-subject")
    attest("--key", stranger.key, "--subject", f"other@{other.digest}", "--subject", "sha256:" + "a" * 64, image.reference,
           other.reference, check=True)  # fmt: skip
    for each in (image, other):
        done = sealgate("verify-attestation", "--key", pair.pub, "--key", stranger.pub, "--require", "all",
                        "--type", "cyclonedx", each.reference)  # fmt: skip
        assert done.returncode == 0, done.stderr
        [first, second] = statements(done.stdout)
        assert first == second
        assert [subject.get("name") for subject in first["subject"]] == [each.name, "other", None]
    assert attest("--subject", "nonsense", image.reference).returncode == 2
    assert attest("--subject", f"@{other.digest}", image.reference).returncode == 2


def test_recursive_and_platform(attest, verify, docker_registry):
    index = push_image(docker_registry, "attest/index", kind="index")
    attest(index.reference, check=True)
    assert verify(index.reference).returncode == 0
    assert verify("-r", index.reference).returncode == 10
    assert verify("--platform", "linux/arm64", index.reference).returncode == 10
    attest("-r", index.reference, check=True)
    done = verify("-r", index.reference)
    assert done.returncode == 0, done.stderr
    digests = [statement["subject"][0]["digest"]["sha256"] for statement in statements(done.stdout)]
    assert sorted(digests) == sorted(each.digest[7:] for each in (index, *index.children))
    assert verify("--platform", "linux/arm64", index.reference).returncode == 0


def test_M04_recursive_reaches_the_images_of_an_index_in_an_index(attest, verify, docker_registry):
    inner = push_image(docker_registry, "attest/nested", kind="index")
    outer = push_index_of(inner)
    for each in (outer, inner, inner.children[0]):
        attest(each.reference, check=True)
    assert verify("-r", outer.reference).returncode == 10
    attest("-r", outer.reference, check=True)
    assert verify("-r", outer.reference).returncode == 0


def test_exit_codes_and_what_is_said(attest, verify, image, stranger, docker_registry):
    assert verify(image.reference).returncode == 10
    assert verify(f"{image.name}:gone").returncode == 11
    assert verify("127.0.0.1:1/a/b:c").returncode == 14
    attest(image.reference, check=True)
    ok = verify(image.reference)
    assert ok.returncode == 0
    assert ok.stderr.startswith(f"✓ {image.reference}  accepted: signed by ")
    none = verify(image.reference, kind="spdxjson")
    assert (none.returncode, none.stdout) == (12, "")
    assert f"none of the attestations is of type https://spdx.dev/Document; types found: {CYCLONEDX}" in none.stderr
    assert "predicate-type-mismatch" in none.stderr
    wrong = verify(image.reference, key=stranger)
    assert (wrong.returncode, wrong.stdout) == (12, "")
    assert "no attestation by the key you gave" in wrong.stderr
    unsigned = push_image(docker_registry, "attest/unsigned")
    several = verify(image.reference, unsigned.reference)
    assert several.returncode == 10
    assert len(several.stdout.splitlines()) == 1, "the accepted image's envelope"


@pytest.mark.parametrize("output", ["verdict", "human", "sarif", "junit", "text", "json"])
def test_outputs(attest, verify, image, output):
    attest(image.reference, check=True)
    good, bad = verify("-o", output, image.reference), verify("-o", output, image.reference, kind="link")
    assert (good.returncode, bad.returncode) == (0, 12)
    if output == "verdict":
        assert json.loads(good.stdout)["predicateType"] == CYCLONEDX
        assert json.loads(bad.stdout)["code"] == "predicate-type-mismatch"
        assert json.loads(bad.stdout)["requirement"].startswith("an attestation of type https://in-toto.io/Link/v1")
    elif output in {"text", "json"}:
        assert (len(good.stdout.splitlines()), bad.stdout) == (1, "")
    else:
        assert "predicate-type-mismatch" in bad.stdout
        assert "predicate-type-mismatch" not in good.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--type", "nonsense"),
        ("--type", "https://sigstore.dev/cosign/sign/v1"),
        ("--no-upload",),
        ("--no-upload", "--replace", "--bundle", "b"),
        ("--new-bundle-format=false", "--bundle", "b"),
        ("--tlog-upload=true",),
        ("--trusted-root", "f"),
    ],
)
def test_wrong_use_signs_nothing(attest, image, words):
    done = attest(*words, image.reference)
    assert done.returncode == 2, done.stderr
    assert attached(image) == attached(image, ".att") == []


def test_bad_predicates_sign_nothing(attest, image, tmp_path):
    for content, code in (("{", "json-invalid"), ('{"a":1,"a":2}', "json-ambiguous"), ("[]", "json-invalid")):
        (tmp_path / "p").write_text(content)
        done = attest(image.reference, predicate=tmp_path / "p")
        assert done.returncode == 1
        assert f"[{code}]" in done.stderr
    assert "[not-found]" in attest(image.reference, predicate=tmp_path / "none").stderr
    assert attached(image) == []


def test_sizes_have_clear_errors(attest, verify, image, tmp_path):
    (tmp_path / "p").write_text(json.dumps({"a": "x" * 30_000}))
    env = {"COSIGN_MAX_ATTACHMENT_SIZE": "40KB"}
    done = attest(image.reference, predicate=tmp_path / "p", env=env)
    assert (done.returncode, "[limit-exceeded]" in done.stderr, "COSIGN_MAX_ATTACHMENT_SIZE" in done.stderr) == (
        1,
        True,
        True,
    )
    assert attached(image) == []
    done = attest(image.reference, predicate=tmp_path / "p", env={"COSIGN_MAX_ATTACHMENT_SIZE": "20KB"})
    assert "is larger than 20000 bytes" in done.stderr
    attest(image.reference, predicate=tmp_path / "p", check=True)
    assert verify(image.reference).returncode == 0


def test_an_sbom_larger_than_the_default_bound(attest, sealgate, pair, image, tmp_path):
    (tmp_path / "p").write_text(json.dumps({"a": ["x" * 100_000] * 140}))  # 14 MB
    done = attest(image.reference, predicate=tmp_path / "p")
    assert (done.returncode, "[limit-exceeded]" in done.stderr) == (1, True)
    env = {"COSIGN_MAX_ATTACHMENT_SIZE": "64MiB"}
    attest("--format", "both", image.reference, predicate=tmp_path / "p", env=env, check=True)
    asked = ("verify-attestation", "--key", pair.pub, "--type", "cyclonedx", "-o", "human", image.reference)
    small = sealgate(*asked)
    assert (small.returncode, "evidence-limit" in small.stdout) == (12, True)
    assert sealgate(*asked, env=env).returncode == 0


def test_layouts_and_other_repositories(attest, verify, sealgate, cosign3, image, docker_registry, tmp_path):
    cosign3("save", "--dir", tmp_path / "layout", image.reference, check=True)
    attest("--format", "both", f"oci:{tmp_path / 'layout'}", check=True)
    done = verify(f"oci:{tmp_path / 'layout'}")
    assert done.returncode == 0, done.stderr
    said = statements(done.stdout)
    assert len(said) == 2
    assert "name" not in said[0]["subject"][0], "a path of this machine is nobody's business"
    assert verify("--local-image", tmp_path / "layout").returncode == 0
    env = {"COSIGN_REPOSITORY": f"{docker_registry}/attest/elsewhere"}
    attest("--format", "both", image.reference, env=env, check=True)
    assert verify(image.reference).returncode == 10
    asked = ("download", "attestation", image.reference)
    assert len(sealgate(*asked, env=env, check=True).stdout.splitlines()) == 2
    assert sealgate(*asked).returncode == 10


def test_no_secret_and_no_password_from_the_predicates_pipe(attest, image):
    done = attest(image.reference, predicate="-", input='{"a":1}', env={"COSIGN_PASSWORD": None})
    assert done.returncode == 2
    assert "COSIGN_PASSWORD" in done.stderr


def test_attach_refuses_what_could_help_nobody(attest, sealgate, image, docker_registry, stranger, tmp_path):
    other = push_image(docker_registry, "attest/attach-other")
    attest("--no-upload", "--bundle", tmp_path / "b", image.reference, check=True)
    attach = ("attach", "attestation", "--attestation", tmp_path / "b")
    done = sealgate(*attach, other.reference)
    assert (done.returncode, "[statement-invalid]" in done.stderr) == (1, True)
    done = sealgate(*attach, "--key", stranger.pub, image.reference)
    assert (done.returncode, "[no-matching-signature]" in done.stderr) == (12, True)
    assert attached(image) == attached(other) == []
    for content in ("", "{}", "junk", '{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[]}'):
        (tmp_path / "bad").write_text(content)
        assert sealgate("attach", "attestation", "--attestation", tmp_path / "bad", image.reference).returncode == 1
    assert sealgate(*attach, image.reference).returncode == 0
    assert len(attached(image)) == 1


def test_replace_takes_nothing_else_along(attest, verify, image, stranger, docker_registry):
    """A layer listed twice, one of which is the very Statement; a referrer that carries somebody else's bundle too."""
    client = Client(docker_registry)
    attest("--format", "both", image.reference, check=True)
    attest("--format", "both", image.reference, key=stranger, check=True)
    tag = image.digest.replace(":", "-")
    legacy = json.loads(client.get_manifest(image.repository, tag + ".att").body)
    twin = {**legacy["layers"][0], "annotations": {**legacy["layers"][0]["annotations"], "note": "twice"}}
    legacy["layers"].append(twin)
    client.put_manifest(image.repository, tag + ".att", json.dumps(legacy).encode(), legacy["mediaType"])
    attest("--format", "legacy", "--replace", image.reference, check=True)
    assert verify("--new-bundle-format=false", image.reference).returncode == 0
    assert verify("--new-bundle-format=false", image.reference, key=stranger).returncode == 0

    index = json.loads(client.get_manifest(image.repository, tag).body)
    manifests = [json.loads(client.get_manifest(image.repository, each["digest"]).body) for each in index["manifests"]]
    both = {**manifests[0], "layers": [manifest["layers"][0] for manifest in manifests]}
    raw = json.dumps(both).encode()
    digest = client.put_manifest(image.repository, None, raw, both["mediaType"])
    index["manifests"] = [{"mediaType": both["mediaType"], "digest": digest, "size": len(raw)}]
    client.put_manifest(image.repository, tag, json.dumps(index).encode(), index["mediaType"])
    attest("--replace", image.reference, predicate="-", input='{"newer": 1}', check=True)
    assert verify(image.reference, key=stranger).returncode == 0
    assert digest in [entry["digest"] for entry in attached(image)]
