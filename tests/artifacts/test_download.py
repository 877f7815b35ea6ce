"""download signature: cosign's lines for both formats."""

import json

from peers.attachments import add_missing_to_fallback
from peers.images import Client, push_image


def test_legacy_lines_are_those_of_cosign(sealgate, cosign3, cosign2, sign, pushed):
    sign(pushed.reference, "--format", "legacy")
    sign(pushed.reference, "--format", "legacy", "-a", "env=prod")
    ours = sealgate("download", "signature", pushed.tagged, check=True).stdout
    assert ours == cosign3("download", "signature", pushed.tagged, check=True).stdout
    assert ours == cosign2("download", "signature", pushed.tagged, check=True).stdout
    assert [list(json.loads(line)) for line in ours.splitlines()] == [
        ["Base64Signature", "Payload", "Cert", "Chain", "Bundle", "RFC3161Timestamp"]
    ] * 2


def test_bundle_lines_are_those_of_cosign(sealgate, cosign3, sign, pushed):
    sign(pushed.reference)
    ours = sealgate("download", "signature", pushed.tagged, check=True).stdout
    assert ours == cosign3("download", "signature", pushed.tagged, check=True).stdout
    assert json.loads(ours)["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"


def test_both_formats_at_once(sealgate, sign, pushed):
    sign(pushed.reference, "--format", "both")
    lines = sealgate("download", "signature", pushed.tagged, check=True).stdout.splitlines()
    assert sorted("mediaType" in json.loads(line) for line in lines) == [False, True]


def test_none_ends_in_10(sealgate, pushed):
    said = sealgate("download", "signature", pushed.tagged)
    assert (said.returncode, said.stdout) == (10, "")
    assert "no signatures associated [no-signature]" in said.stderr


def test_a_missing_image_ends_in_11(sealgate, pushed):
    said = sealgate("download", "signature", f"{pushed.name}:nope")
    assert (said.returncode, said.stdout) == (11, "")
    assert "[image-not-found]" in said.stderr


def test_a_listed_bundle_that_is_gone_is_reported_beside_the_others(sealgate, sign, docker_registry, repository):
    image = push_image(docker_registry, repository, "v1")
    sign(image.reference)
    add_missing_to_fallback(Client(docker_registry), image)
    said = sealgate("download", "signature", image.tagged)
    assert len(said.stdout.splitlines()) == 1
    assert "which is not there [not-found]" in said.stderr
