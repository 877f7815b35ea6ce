"""What BuildKit leaves in an index: shown as unsigned, read, and lifted into attestations that everybody verifies."""

import base64
import json

import pytest

from peers.buildkit import PROVENANCE, SBOM, SLSA, SPDX, push_built, statement
from peers.images import push_image

OTHER = "sha256:" + "0" * 64
OFFLINE = ("--insecure-ignore-tlog",)


@pytest.fixture(params=["in the index", "with a subject"])
def built(registry, repository, request):
    return push_built(registry, repository, "v1", artifact=request.param == "with a subject")


@pytest.fixture
def lift(sealgate, keys):
    return lambda image, *more: sealgate("lift", "--key", keys.private, *more, image)


@pytest.fixture
def accepted(sealgate, keys):
    """The payloads of the good attestations of a type; none when the image is refused."""

    def run(image, kind, *more):
        said = sealgate("verify-attestation", "--key", keys.public, "--type", kind, *more, image)
        lines = [json.loads(line) for line in said.stdout.splitlines()]
        assert bool(lines) == (said.returncode == 0)
        return [base64.b64decode(line["payload"]) for line in lines]

    return run


def unsigned(sealgate, image, *more):
    """What `download attestation --unsigned` prints, and how it ends."""
    said = sealgate("download", "attestation", "--unsigned", *more, image)
    return said.returncode, [json.loads(line) for line in said.stdout.splitlines()]


def test_the_tree_shows_it_as_unsigned(sealgate, built):
    document = json.loads(sealgate("tree", "-r", "-o", "json", built.index.tagged, check=True).stdout)
    mine = [artifact for artifact in document["artifacts"] if artifact["origin"] == "index"]
    assert [artifact["digest"] for artifact in mine] == list(built.attestations)
    assert [artifact["about"] for artifact in mine] == ["linux/amd64", "linux/arm64"]
    assert {(artifact["kind"], artifact["signed"]) for artifact in mine} == {("att", False)}
    assert [layer["predicateType"] for layer in mine[0]["layers"]] == [SPDX, SLSA]
    assert [child["platform"] for child in document["children"]] == ["linux/amd64", "linux/arm64"]
    lines = sealgate("tree", built.index.tagged, check=True).stdout.splitlines()
    assert (
        f"└── 🔗 BuildKit's attestations about linux/arm64, in the index: {built.index.name}@{built.attestations[1]}"
        in lines
    )
    assert sum(SPDX in line and line.endswith(", unsigned") for line in lines) == 2


def test_it_can_be_downloaded_unsigned(sealgate, built):
    plain = sealgate("download", "attestation", built.index.tagged)
    assert (plain.returncode, "[no-attestation]" in plain.stderr) == (10, True)
    code, found = unsigned(sealgate, built.index.tagged)
    assert (code, len(found)) == (0, 4)
    code, found = unsigned(sealgate, built.index.tagged, "--platform", "linux/arm64", "--predicate-type", "spdxjson")
    assert (code, [each["predicate"] for each in found]) == (0, [SBOM])
    assert found[0]["subject"][0]["digest"]["sha256"] == built.index.children[1].digest[7:]
    assert unsigned(sealgate, built.index.tagged, "--predicate-type", "openvex") == (10, [])


def test_nobody_takes_it_for_signed(sealgate, accepted, built):
    for kind in (SPDX, SLSA):
        for image in (built.index.reference, built.index.children[0].reference):
            assert accepted(image, kind) == []


@pytest.mark.parametrize("format_", ["bundle", "legacy"])
def test_lifted_it_is_an_attestation_of_each_image(sealgate, lift, accepted, built, format_):
    said = lift(built.index.reference, "--format", format_)
    assert (said.returncode, said.stderr.count("Lifted: ")) == (0, 4)
    for child, (sbom, provenance) in zip(built.index.children, built.statements, strict=True):
        assert accepted(child.reference, "spdxjson") == [sbom]  # byte for byte
        assert accepted(child.reference, "slsaprovenance") == [provenance]
    assert accepted(built.index.reference, "spdxjson") == []
    assert accepted(built.index.tagged, "spdxjson", "--platform", "linux/arm64") == [built.statements[1][0]]
    again = lift(built.index.reference, "--format", format_)
    assert (again.returncode, again.stderr.count("Already attested: ")) == (0, 4)


def test_it_is_lifted_without_a_key(sealgate, cosign3, built, trust_service, tmp_path):
    files = trust_service.files(tmp_path / "services")
    (tmp_path / "token").write_text(trust_service.token())
    services = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
    lifted = sealgate("lift", *services, "--identity-token", tmp_path / "token", built.index.reference)
    assert (lifted.returncode, lifted.stderr.count("Lifted: ")) == (0, 4), lifted.stderr
    assert [seen.service for seen in trust_service.requests].count("fulcio") == 1
    who = ("--certificate-identity", "signer@example.test", "--certificate-oidc-issuer", trust_service.issuer.url)
    for child in built.index.children:
        for kind in ("spdxjson", "slsaprovenance"):
            verify = ("verify-attestation", "--type", kind, "--trusted-root", files.trusted_root, *who)
            cosign3(*verify, child.reference, check=True)


@pytest.mark.parametrize(("tool", "format_"), [("cosign3", "bundle"), ("cosign3", "legacy"), ("cosign2", "legacy")])
def test_cosign_verifies_what_was_lifted(request, lift, keys, docker_registry, repository, tool, format_):
    cosign = request.getfixturevalue(tool)
    built = push_built(docker_registry, repository, "v1")
    assert lift(built.index.reference, "--format", format_).returncode == 0
    bundles = f"--new-bundle-format={str(format_ == 'bundle').lower()}"
    for kind, predicate in (("spdxjson", SBOM), ("slsaprovenance", PROVENANCE)):
        said = cosign(
            "verify-attestation", "--key", keys.public, *OFFLINE, bundles, "--type", kind,
            built.index.children[0].reference, check=True,
        )  # fmt: skip
        (line,) = said.stdout.splitlines()
        payload = json.loads(base64.b64decode(json.loads(line)["payload"]))
        assert payload["predicate"] == predicate


def test_one_type_or_one_platform_is_lifted_alone(lift, accepted, docker_registry, repository):
    built = push_built(docker_registry, repository, "v1")
    one, two = built.index.children
    assert lift(built.index.reference, "--type", "spdxjson", "--platform", "linux/arm64").returncode == 0
    assert accepted(two.reference, "spdxjson")
    assert not accepted(two.reference, "slsaprovenance")
    assert not accepted(one.reference, "spdxjson")
    said = lift(built.index.reference, "--type", "openvex")
    assert (said.returncode, "[no-attestation]" in said.stderr, SLSA in said.stderr) == (10, True, True)


def test_an_image_that_is_referred_to_is_lifted_without_the_index(lift, accepted, registry, repository):
    built = push_built(registry, repository, "v1", artifact=True)
    one, two = built.index.children
    assert lift(one.reference).returncode == 0
    assert accepted(one.reference, "spdxjson") == [built.statements[0][0]]
    assert not accepted(two.reference, "spdxjson")


def test_layouts(sealgate, lift, accepted, docker_registry, repository, tmp_path):
    built = push_built(docker_registry, repository, "v1")
    sealgate("save", "--dir", tmp_path / "layout", built.index.reference, check=True)
    layout = f"oci:{tmp_path / 'layout'}"
    assert lift(layout).returncode == 0
    assert accepted(f"{layout}@{built.index.children[0].digest}", "spdxjson") == [built.statements[0][0]]
    assert accepted(f"{layout}", "spdxjson", "--platform", "linux/amd64") == [built.statements[0][0]]


def both(first, second):
    """A Statement with two subjects."""
    document = json.loads(statement(first, SPDX, SBOM))
    document["subject"].append({"name": "x", "digest": {"sha256": second[7:]}})
    return json.dumps(document).encode()


def also_by(first, algorithm, value):
    """A Statement whose subject has a second digest."""
    document = json.loads(statement(first, SPDX, SBOM))
    document["subject"][0]["digest"][algorithm] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (lambda image: statement(OTHER, SPDX, SBOM), "statement-invalid"),
        (lambda image: both(image, OTHER), "statement-invalid"),
        (lambda image: both(OTHER, image), "statement-invalid"),
        (lambda image: also_by(image, "sha512", "0" * 128), "statement-invalid"),
        (lambda image: statement(image, SLSA, SBOM), "statement-invalid"),
        (lambda image: statement(image, "https://sigstore.dev/cosign/sign/v1", {}), "usage"),
        (lambda image: b'{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[]}',
         "statement-invalid"),
        (lambda image: statement(image, SPDX, SBOM)[:-1] + b',"predicate":{}}', "json-ambiguous"),
        (lambda image: b"{", "statement-invalid"),
    ],
    ids=["of another image", "of another image too", "of another image first", "of another digest too",
         "of another type than it is filed under", "the signature of an image", "an envelope", "twice the predicate",
         "cut off"],
)  # fmt: skip
def test_E11_a_statement_that_is_not_about_its_image_is_not_signed(lift, sealgate, registry, repository, said, code):
    built = push_built(registry, repository, "v1", said=lambda image: (said(image),), types=(SPDX,))
    done = lift(built.index.reference)
    assert done.returncode != 0
    assert f"[{code}]" in done.stderr
    for child in built.index.children:
        assert sealgate("download", "attestation", child.reference).returncode == 10  # nothing at all was signed
    good = push_built(registry, repository, "v2", said=lambda image: (statement(image, SPDX, SBOM),), types=(SPDX,))
    assert lift(good.index.reference).returncode == 0


@pytest.mark.parametrize("digest", [OTHER, "nothing", "sha256:" + "A" * 64])
def test_what_is_filed_under_an_image_that_is_not_in_the_index_is_not_signed(lift, registry, repository, digest):
    built = push_built(registry, repository, "v1", filed=lambda image: digest)
    said = lift(built.index.reference)
    assert (said.returncode, "[statement-invalid]" in said.stderr) == (1, True)


def test_without_any_it_says_so(lift, registry, repository):
    said = lift(push_image(registry, repository, "v1", kind="index").reference)
    assert (said.returncode, "[no-attestation]" in said.stderr) == (10, True)
    said = lift(push_image(registry, repository, "v2").reference)
    assert (said.returncode, "[no-attestation]" in said.stderr) == (10, True)


def test_nothing_is_signed_without_a_key(sealgate, registry, repository):
    built = push_built(registry, repository, "v1")
    said = sealgate("lift", built.index.reference)
    assert (said.returncode, "[usage]" in said.stderr) == (2, True)


def test_recursive_signatures_of_attestation_manifests_are_shown(sealgate, sign, built):
    """`sign -r` signs every entry of the index; the tree shows that below the entry."""
    sign(built.index.reference, "-r")
    document = json.loads(sealgate("tree", "-r", "-o", "json", built.index.tagged, check=True).stdout)
    (mine, _) = [artifact for artifact in document["artifacts"] if artifact["origin"] == "index"]
    assert [each["kind"] for each in mine["attached"]] == ["sig"]
