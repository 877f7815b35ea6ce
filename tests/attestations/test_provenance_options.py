"""`--source-uri`, `--builder-id` and the like: the command, on provenances that stock cosign attached too."""

import json

import pytest

from attestations.conftest import statements
from peers.images import push_image

BUILDER = "https://ci.example.com/builder"


def provenance(repository="shop/app", ref="refs/tags/v1.2.3", builder=f"{BUILDER}@v4"):
    return {
        "buildDefinition": {
            "buildType": "https://ci.example.com/make@v1",
            "externalParameters": {"workflow": {"repository": f"https://git.example.com/{repository}", "ref": ref}},
            "resolvedDependencies": [{"uri": f"git+https://git.example.com/{repository}@{ref}"}],
        },
        "runDetails": {"builder": {"id": builder}},
    }


@pytest.fixture
def attest(attesting, tmp_path):
    def run(image, predicate, *, tool="sealgate", format_="bundle"):
        path = tmp_path / "provenance.json"
        path.write_text(json.dumps(predicate))
        attesting.attest(tool, "slsaprovenance1", path, format_, image.reference)

    return run


@pytest.fixture
def verify(attesting):
    def run(image, *words, format_="bundle", kind="slsaprovenance1"):
        return attesting.verify("sealgate", kind, format_, image.reference, *words)

    return run


SOURCE = ("--source-uri", "git.example.com/shop/app")


@pytest.mark.parametrize("tool", ["sealgate", "cosign3"])
@pytest.mark.parametrize("format_", ["bundle", "legacy"])
def test_what_was_asked_for(docker_registry, attest, verify, tool, format_):
    image = push_image(docker_registry, f"provenance/{tool}-{format_}")
    attest(image, provenance(), tool=tool, format_=format_)
    good = verify(
        image, *SOURCE, "--source-tag", "v1.2.3", "--source-versioned-tag", "v1", "--builder-id", f"{BUILDER}@v4",
        "--build-type", "https://ci.example.com/make@v1", format_=format_,
    )  # fmt: skip
    assert good.returncode == 0, good.stderr
    assert [said["predicate"]["runDetails"]["builder"]["id"] for said in statements(good.stdout)] == [f"{BUILDER}@v4"]


REFUSED = {
    "source-mismatch": ("--source-uri", "git.example.com/shop/ap"),
    "source-ref-mismatch": (*SOURCE, "--source-branch", "v1.2.3"),
    "builder-mismatch": (*SOURCE, "--builder-id", "https://ci.example.com/build"),
    "build-type-mismatch": (*SOURCE, "--build-type", "https://ci.example.com/make"),
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_it_does_not_say(docker_registry, attest, verify, code):
    image = push_image(docker_registry, f"provenance/refused-{code}")
    attest(image, provenance())
    assert verify(image, *SOURCE).returncode == 0
    bad = verify(image, *REFUSED[code], "-o", "verdict")
    assert bad.returncode == 12
    verdict = json.loads(bad.stdout)
    assert verdict["code"] == code
    assert [finding["code"] for finding in verdict["signatures"][0]["findings"] if finding["outcome"] == "failed"] == [
        code
    ]
    assert verify(image, *REFUSED[code]).stdout == ""


def test_one_of_several_must_meet_all(docker_registry, attest, verify):
    image = push_image(docker_registry, "provenance/several")
    attest(image, provenance(builder="https://ci.example.com/another"))
    attest(image, provenance(repository="shop/base"))
    both = ("--builder-id", BUILDER, *SOURCE)
    refused = verify(image, *both)
    assert refused.returncode == 12
    attest(image, provenance())
    found = verify(image, *both)
    assert found.returncode == 0
    assert len(found.stdout.splitlines()) == 1, "only the one that was asked for is printed"


def test_conditions_are_asked_of_the_one_that_was_asked_for(docker_registry, attest, verify, tmp_path):
    image = push_image(docker_registry, "provenance/conditions")
    attest(image, provenance(builder="https://ci.example.com/another"))
    attest(image, provenance())
    policy = tmp_path / "p.cel"
    policy.write_text(f'predicate.runDetails.builder.id.startsWith("{BUILDER}@")')
    assert verify(image, "--policy", policy).returncode == 12
    assert verify(image, "--policy", policy, "--builder-id", BUILDER).returncode == 0


def test_W10_a_stranger_may_write_whatever_they_like(docker_registry, attest, verify, cosign3, stranger, tmp_path):
    image = push_image(docker_registry, "provenance/stranger")
    path = tmp_path / "p.json"
    path.write_text(json.dumps(provenance()))
    cosign3(
        "attest", "--key", stranger.key, "--use-signing-config=false", "--tlog-upload=false", "-y",
        "--type", "slsaprovenance1", "--predicate", path, image.reference, check=True,
    )  # fmt: skip
    expected = (*SOURCE, "--source-tag", "v1.2.3", "--builder-id", BUILDER)
    refused = verify(image, *expected)
    assert refused.returncode == 12
    assert "signature-key-mismatch" in refused.stderr
    attest(image, provenance(builder="https://evil.example/builder"))
    assert verify(image, *expected).returncode == 12, "two halves are no whole"
    attest(image, provenance())
    assert verify(image, *expected).returncode == 0


def test_wrong_use(docker_registry, verify):
    image = push_image(docker_registry, "provenance/use")
    for words, kind in (
        (("--source-tag", "v1"), "slsaprovenance1"),
        (SOURCE, "spdxjson"),
        ((*SOURCE, "--source-tag", "refs/tags/v1"), "slsaprovenance1"),
        (("--builder-id", ""), "slsaprovenance02"),
    ):
        assert verify(image, *words, kind=kind).returncode == 2


def test_files_as_well(sealgate, pair, tmp_path):
    app = tmp_path / "app.tar"
    app.write_bytes(b"app")
    said = tmp_path / "provenance.json"
    said.write_text(json.dumps(provenance()))
    bundle = tmp_path / "app.bundle"
    sealgate(
        "attest-blob", "--key", pair.key, "--type", "slsaprovenance1", "--predicate", said, "--bundle", bundle, app,
        check=True,
    )  # fmt: skip
    words = ("verify-blob-attestation", "--key", pair.pub, "--type", "slsaprovenance1", "--bundle", bundle)
    assert sealgate(*words, *SOURCE, "--source-tag", "v1.2.3", app).returncode == 0
    refused = sealgate(*words, *SOURCE, "--source-tag", "v1.2.4", app)
    assert refused.returncode == 12
    assert "source-ref-mismatch" in refused.stderr
