"""Keys with certificates of one's own authority: both versions of cosign and Sealgate verify what each of them signs so."""

import json

import pytest

from matrix.keyless_tools import PREDICATE, TYPE
from peers.code_signing import NAME, CodeSigning
from peers.images import Client, push_image

FLAGS = {
    "cosign3": ("--use-signing-config=false", "--tlog-upload=false", "-y"),
    "cosign2": ("--tlog-upload=false", "-y"),
    "sealgate": (),
}
COMMANDS = ("sign", "attest", "sign-blob", "attest-blob")
VERIFY = {
    "sign": ("verify",),
    "attest": ("verify-attestation", "--type", TYPE),
    "sign-blob": ("verify-blob",),
    "attest-blob": ("verify-blob-attestation", "--type", TYPE),
}
WITHOUT = ("--insecure-ignore-tlog", "--insecure-ignore-sct")
WHO = ("--certificate-identity", NAME, "--certificate-oidc-issuer-regexp", ".*")


def can(tool, command, form):
    """Whether the tool signs so: cosign 2.5.0 takes no certificate for files, and writes no bundle of an image's signature."""
    return tool != "cosign2" or not (command == "sign-blob" or (command, form) == ("sign", "bundle"))


SIGNINGS = [
    pytest.param(tool, command, form, id=f"{tool}-{command}-{form}")
    for tool in FLAGS
    for command in COMMANDS
    for form in ("bundle", "legacy")
    if can(tool, command, form)
]


class Scene:
    def __init__(self, programs, registry, key, folder):
        self.programs = programs
        self.registry = registry
        self.key = key
        self.folder = folder
        self.authority = CodeSigning(folder / "authority")
        self.other = CodeSigning(folder / "other", "other")
        self.certificate = self.authority.pem(f"{key}.pub")
        self.root = folder / "root.json"
        url = f"url=https://ca.test,certificate-chain={self.authority.chain},start-time=2020-01-01T00:00:00Z"
        programs["cosign3"]("trusted-root", "create", "--fulcio", url, "--out", self.root, check=True)
        (folder / "app").write_bytes(b"an artifact")

    def sign(self, tool, command, form):
        """Where it is: an image, or a file with its bundle."""
        words = [command, "--key", f"{self.key}.key", "--certificate", self.certificate]
        words += ["--certificate-chain", self.authority.chain, *FLAGS[tool]]
        if form == "legacy" and tool != "cosign2":
            words.append("--new-bundle-format=false")
        if form == "bundle" and tool == "cosign2":
            words.append("--new-bundle-format")
        if "attest" in command:
            words += ["--predicate", PREDICATE, "--type", TYPE]
        if "blob" in command:
            bundle = self.folder / f"{tool}-{command}-{form}"
            self.programs[tool](*words, "--bundle", bundle, self.folder / "app", check=True)
            return ("--bundle", bundle, self.folder / "app")
        image = push_image(self.registry, f"own/{tool}-{command}-{form}")
        self.programs[tool](*words, image.reference, check=True)
        return (image.reference,)

    def verify(self, tool, command, form, where, *, other=False):
        authority = self.other if other else self.authority
        whom = ("--certificate-chain", authority.chain)
        if form == "bundle" and tool != "sealgate":
            whom = ("--trusted-root", self.folder / "none.json" if other else self.root)
            (self.folder / "none.json").write_text(
                json.dumps({"mediaType": json.loads(self.root.read_text())["mediaType"]})
            )
            whom += ("--new-bundle-format",) if tool == "cosign2" else ()
        elif tool == "cosign3":
            whom += ("--new-bundle-format=false",)
        return self.programs[tool](*VERIFY[command], *WHO, *WITHOUT, *whom, *where)


@pytest.fixture(scope="module")
def scene(cosign3, cosign2, sealgate, docker_registry, imported_key, tmp_path_factory):
    programs = {"cosign3": cosign3, "cosign2": cosign2, "sealgate": sealgate}
    return Scene(programs, docker_registry, imported_key("ecdsa-p256"), tmp_path_factory.mktemp("own"))


@pytest.mark.parametrize(("signer", "command", "form"), SIGNINGS)
def test_who_verifies_what(scene, signer, command, form):
    where = scene.sign(signer, command, form)
    for verifier in FLAGS:
        if verifier == "cosign2" and form == "bundle" and "blob" not in command:
            continue  # it reads no bundle of an image's signature, and asks the public repository about attestations
        said = scene.verify(verifier, command, form, where)
        assert said.returncode == 0, (verifier, said.stderr)
        refused = scene.verify(verifier, command, form, where, other=True)
        assert refused.returncode != 0, verifier
    with_key = scene.programs["sealgate"](*VERIFY[command], "--key", f"{scene.key}.pub", *where)
    assert with_key.returncode == 0, with_key.stderr


@pytest.mark.parametrize("command", ["sign", "attest"])
def test_the_older_format_has_the_certificate_and_what_is_above_it(scene, command):
    for tool in ("cosign2", "sealgate"):  # cosign 3.1.1 leaves the chain empty
        reference = scene.sign(tool, command, "legacy")[0]
        name, _, digest = reference.rpartition("/own/")[2].partition("@")
        tag = digest.replace(":", "-") + (".sig" if command == "sign" else ".att")
        manifest = json.loads(Client(scene.registry).get_manifest(f"own/{name}", tag).body)
        notes = manifest["layers"][-1]["annotations"]
        assert notes["dev.sigstore.cosign/certificate"] == scene.certificate.read_text()
        assert notes["dev.sigstore.cosign/chain"] == scene.authority.chain.read_text()


def test_with_a_log_and_a_timestamp_beside_it(scene, trust_service, tmp_path):
    """Entries name the certificate; cosign verifies under a trust root of both."""
    image = push_image(scene.registry, "own/logged")
    root = trust_service.trusted_root(ct=())
    own = json.loads(scene.root.read_text())["certificateAuthorities"]
    (tmp_path / "root.json").write_text(json.dumps(root | {"certificateAuthorities": own}))
    files = trust_service.files(tmp_path / "services")
    sign = ("sign", "--key", f"{scene.key}.key", "--certificate", scene.certificate, "--yes")
    sign += ("--signing-config", files.signing_config, "--trusted-root", tmp_path / "root.json", image.reference)
    scene.programs["sealgate"](*sign, check=True)
    assert {seen.service for seen in trust_service.requests} == {"rekor", "tsa"}
    verify = ("verify", *WHO, "--trusted-root", tmp_path / "root.json", image.reference)
    scene.programs["sealgate"](*verify, check=True)
    scene.programs["cosign3"](*verify, "--insecure-ignore-sct", check=True)
