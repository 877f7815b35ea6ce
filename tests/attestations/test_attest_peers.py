"""Beside cosign: outputs byte for byte, what it attached, `--replace` in both directions, and attests at the same time."""

import json
import subprocess
import threading

import pytest

from attestations.conftest import statements
from attestations.declared import FORMATS
from peers.images import Client, push_image

CYCLONEDX = "https://cyclonedx.org/bom"


def attached(image, format_):
    suffix = {"bundle": "", "legacy": ".att"}[format_]
    answer = Client(image.host).get_manifest(image.repository, image.digest.replace(":", "-") + suffix)
    return [] if answer.status == 404 else json.loads(answer.body)["layers" if suffix else "manifests"]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("signer", ["sealgate", "cosign3", "cosign2"])
def test_stdout_is_cosigns_byte_for_byte(attesting, docker_registry, sbom, signer, format_):
    image = push_image(docker_registry, f"peers/stdout-{signer}-{format_}")
    for kind in ("cyclonedx", "cyclonedx", "openvex"):
        attesting.attest(signer, kind, sbom, format_, image.reference)
    found = {tool: attesting.verify(tool, "cyclonedx", format_, image.reference) for tool in ("sealgate", "cosign3")}
    assert {said.returncode for said in found.values()} == {0}
    lines = {tool: sorted(said.stdout.splitlines()) for tool, said in found.items()}
    assert lines["sealgate"] == lines["cosign3"]
    assert len(lines["sealgate"]) == (1 if signer == "sealgate" else 2)
    assert all(said.stdout.endswith("}\n") for said in found.values())


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("signer", ["sealgate", "cosign3"])
def test_download_attestation_is_cosigns_byte_for_byte(attesting, docker_registry, sbom, signer, format_):
    image = push_image(docker_registry, f"peers/download-{signer}-{format_}")
    programs = attesting.programs
    none = {tool: programs[tool]("download", "attestation", image.reference) for tool in ("sealgate", "cosign3")}
    assert (none["sealgate"].returncode, none["cosign3"].returncode) == (10, 1)
    assert "found no attestations" in none["sealgate"].stderr
    for kind in ("cyclonedx", "openvex"):
        attesting.attest(signer, kind, sbom, format_, image.reference)
    for words in ((), ("--predicate-type", "openvex"), ("--predicate-type", CYCLONEDX)):
        said = {t: programs[t]("download", "attestation", *words, image.reference, check=True).stdout for t in none}
        assert sorted(said["sealgate"].splitlines()) == sorted(said["cosign3"].splitlines())
        assert len(said["sealgate"].splitlines()) == (1 if words else 2)
    missing = programs["sealgate"]("download", "attestation", "--predicate-type", "https://x.y/z", image.reference)
    assert (missing.returncode, missing.stdout) == (10, "")
    assert "no attestations with predicate type 'https://x.y/z' found" in missing.stderr


@pytest.mark.parametrize("format_", FORMATS)
def test_what_one_downloads_the_other_attaches(attesting, pair, docker_registry, sbom, format_):
    programs = attesting.programs
    image = push_image(docker_registry, f"peers/attach-{format_}")
    attesting.attest("cosign3", "cyclonedx", sbom, format_, image.reference)
    line = programs["cosign3"]("download", "attestation", image.reference, check=True).stdout
    path = sbom.with_name("downloaded")
    path.write_text(line)
    copies = {}
    for tool in ("sealgate", "cosign3"):
        copies[tool] = push_image(docker_registry, f"peers/attached-{tool}-{format_}")
        client = Client(docker_registry)
        for data in image.blobs:
            client.put_blob(copies[tool].repository, client.get_blob(image.repository, data).body)
        client.put_manifest(copies[tool].repository, "same", image.raw, image.media_type)
        where = f"{copies[tool].name}@{image.digest}"
        programs[tool]("attach", "attestation", "--attestation", path, where, check=True)
        for verifier in ("sealgate", "cosign3"):
            said = attesting.verify(verifier, "cyclonedx", format_, where)
            assert said.returncode == 0, (tool, verifier, said.stderr)
            assert statements(said.stdout)[0]["subject"][0]["digest"]["sha256"] == image.digest[7:]


def test_replace_in_both_directions(attesting, docker_registry, sbom):
    """The legacy format, which alone has it in cosign: the newest is left, whoever made the older one."""
    image = push_image(docker_registry, "peers/replace")
    newer = sbom.with_name("newer.json")
    newer.write_text('{"newer":1}')
    pairs = [("cosign3", "sealgate"), ("sealgate", "cosign3"), ("cosign2", "sealgate"), ("sealgate", "cosign2")]
    for before, after in pairs:
        attesting.attest(before, "cyclonedx", sbom, "legacy", image.reference, "--replace")
        attesting.attest(before, "openvex", sbom, "legacy", image.reference, "--replace")
        attesting.attest(after, "cyclonedx", newer, "legacy", image.reference, "--replace")
        layers = attached(image, "legacy")
        assert sorted(layer["annotations"]["predicateType"] for layer in layers) == [
            CYCLONEDX,
            "https://openvex.dev/ns",
        ]
        for tool in ("sealgate", "cosign3", "cosign2"):
            [statement] = statements(attesting.verify(tool, "cyclonedx", "legacy", image.reference).stdout)
            assert statement["predicate"]["newer"] == 1


@pytest.mark.parametrize("api", [False, True])
def test_bundles_that_were_replaced_are_gone(attesting, pair, docker_registry, sbom, tmp_path, api):
    from sealgate.oci.server import serve_in_thread

    def run(host):
        image = push_image(host, "peers/replace-bundle")
        for text in ('{"n":1}', '{"n":2}', '{"n":3}'):
            sbom.write_text(text)
            attesting.attest("sealgate", "cyclonedx", sbom, "bundle", image.reference, "--replace")
        [statement] = statements(attesting.verify("sealgate", "cyclonedx", "bundle", image.reference).stdout)
        assert statement["predicate"] == {"n": 3}
        said = attesting.verify("cosign3", "cyclonedx", "bundle", image.reference)
        assert len(statements(said.stdout)) == 1

    if not api:
        run(docker_registry)
        return
    with serve_in_thread(tmp_path / "served") as host:
        run(host)


# -- at the same time

ATTESTERS = 16


@pytest.mark.parametrize("store", ["docker-registry", "embedded"])
@pytest.mark.parametrize("format_", FORMATS)
def test_sixteen_attests_at_once_lose_nothing(sealgate, pair, docker_registry, tmp_path, format_, store):
    from sealgate.oci.server import serve_in_thread

    def run(host):
        image = push_image(host, f"peers/crowd-{format_}")
        running = []
        try:
            for number in range(ATTESTERS):
                (tmp_path / f"{number}.json").write_text(f'{{"number":{number}}}')
                environ = sealgate.environment()
                command = ["attest", "--key", pair.key, "--format", format_, "--type", "cyclonedx",
                           "--predicate", str(tmp_path / f"{number}.json"), image.reference]  # fmt: skip
                running.append(subprocess.Popen(
                    [str(sealgate.path), *command], env=environ, cwd=environ["HOME"], stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                ))  # fmt: skip
            said = [process.communicate(timeout=100)[1] for process in running]
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.communicate()
        assert [process.returncode for process in running] == [0] * ATTESTERS, said
        done = sealgate("verify-attestation", "--key", pair.pub, "--type", "cyclonedx", image.reference, check=True)
        found = sorted(statement["predicate"]["number"] for statement in statements(done.stdout))
        assert found == list(range(ATTESTERS))

    if store == "docker-registry":
        run(docker_registry)
        return
    with serve_in_thread(tmp_path / "served") as host:
        run(host)


@pytest.mark.parametrize(("careless", "format_"), [("cosign3", "bundle"), ("cosign3", "legacy"), ("cosign2", "legacy")])
def test_ours_are_kept_beside_a_cosign_that_attests_and_never_looks_back(
    attesting, docker_registry, sbom, tmp_path, careless, format_
):
    image = push_image(docker_registry, f"peers/beside-{careless}-{format_}")

    def attest_thrice():
        for _ in range(3):
            attesting.attest(careless, "openvex", sbom, format_, image.reference)

    beside = threading.Thread(target=attest_thrice)
    beside.start()
    for number in range(4):
        (tmp_path / f"{number}.json").write_text(f'{{"number":{number}}}')
        attesting.attest("sealgate", "cyclonedx", tmp_path / f"{number}.json", format_, image.reference)
    beside.join(60)
    found = statements(attesting.verify("sealgate", "cyclonedx", format_, image.reference).stdout)
    assert sorted(statement["predicate"]["number"] for statement in found) == list(range(4))


@pytest.mark.parametrize("careless", ["cosign3", "cosign2"])
def test_replacing_beside_a_cosign_that_attests_keeps_ours(attesting, docker_registry, sbom, tmp_path, careless):
    """The tag that both write: what we replaced last is there in the end, and nothing of ours beside it."""
    image = push_image(docker_registry, f"peers/replacing-{careless}")

    def attest_thrice():
        for _ in range(3):
            attesting.attest(careless, "openvex", sbom, "legacy", image.reference)

    beside = threading.Thread(target=attest_thrice)
    beside.start()
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(f'{{"number":{number}}}')
        attesting.attest("sealgate", "cyclonedx", tmp_path / f"{number}.json", "legacy", image.reference, "--replace")
    beside.join(60)
    # what cosign read before a replacement it may write back; a last one settles that
    (tmp_path / "last.json").write_text('{"number":"last"}')
    attesting.attest("sealgate", "cyclonedx", tmp_path / "last.json", "legacy", image.reference, "--replace")
    found = statements(attesting.verify("sealgate", "cyclonedx", "legacy", image.reference).stdout)
    assert [statement["predicate"]["number"] for statement in found] == ["last"]
