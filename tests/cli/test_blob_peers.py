"""Signatures of files between sealgate and both versions of cosign: who signed × who verifies × key × form.

Every cell has its expectation. cosign 3.1.1 signs SHA-384 and SHA-512 with P-384 and P-521 and then verifies SHA-256 only
(upstream #5091); with Ed25519 it names no digest, which it then misses. Sealgate and 2.5.0 sign what all verify.
"""

import itertools

import pytest

KINDS = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "rsa-3072", "ed25519")
TOOLS = ("sealgate", "cosign2", "cosign3")
FORMS = ("bundle", "legacy", "signature")
PASSWORD = "pw"

_OWN_HASH = ("ecdsa-p384", "ecdsa-p521")
_REFUSED = {
    ("cosign3", verifier, kind, form) for verifier in ("cosign2", "cosign3") for kind in _OWN_HASH for form in FORMS
} | {("cosign3", "cosign3", "ed25519", "bundle")}
"""All the rest is accepted."""
_CELLS = [
    cell
    for cell in itertools.product(TOOLS, TOOLS, KINDS, FORMS)
    if "sealgate" in cell[:2] or cell in _REFUSED  # what else cosign does with cosign's is not ours to test
]
MEASURED = {"cosign2": "2.5.", "cosign3": "3.1.1"}


@pytest.fixture(scope="module")
def signed(request, tmp_path_factory):
    """`signed(tool, kind)`: a folder with file, key, bundle, legacy and signature; made once."""
    made = {}

    def make(tool, kind):
        if (tool, kind) not in made:
            made[tool, kind] = _sign(request.getfixturevalue, tool, kind, tmp_path_factory.mktemp(f"{tool}-{kind}"))
        return made[tool, kind]

    return make


def _sign(fixture, tool, kind, folder):
    program = fixture(tool)
    fixture("sealgate")("generate-key-pair", "--algorithm", kind, cwd=folder, check=True)
    (folder / "file").write_bytes(b"content\n" * 1000)
    (folder / "other").write_bytes(b"content\n" * 999)
    bundle, legacy = {
        "sealgate": ([], ["--new-bundle-format=false"]),
        "cosign2": (["--tlog-upload=false", "--new-bundle-format"], ["--tlog-upload=false"]),
        "cosign3": (
            ["--use-signing-config=false", "--tlog-upload=false"],
            ["--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=false"],
        ),
    }[tool]
    program("sign-blob", "--key", "cosign.key", *bundle, "--bundle", "bundle", "file", cwd=folder, check=True)
    done = program("sign-blob", "--key", "cosign.key", *legacy, "--bundle", "legacy", "file", cwd=folder, check=True)
    (folder / "signature").write_text(done.stdout)
    return folder


def _verify(program, tool, folder, form, file, trusted_root):
    arguments = ["verify-blob", "--key", "cosign.pub"]
    if tool != "sealgate":
        arguments.append("--insecure-ignore-tlog")
    arguments += ["--signature", "signature"] if form == "signature" else ["--bundle", form]
    if tool == "cosign3" and form != "bundle":
        arguments.append("--new-bundle-format=false")
    if tool == "cosign2" and form == "bundle":
        arguments += ["--new-bundle-format", "--trusted-root", trusted_root]
    return program(*arguments, file, cwd=folder)


@pytest.fixture(scope="module")
def trusted_root(tmp_path_factory):
    """cosign 2.5.0 wants one for a bundle, and looks at nothing in it when a key verifies."""
    path = tmp_path_factory.mktemp("root") / "root.json"
    path.write_text('{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
    return path


@pytest.mark.parametrize(("signer", "verifier", "kind", "form"), _CELLS)
def test_the_matrix(request, signed, trusted_root, peer_versions, signer, verifier, kind, form):
    program = request.getfixturevalue(verifier)
    folder = signed(signer, kind)
    if (signer, verifier, kind, form) in _REFUSED:
        for tool in {signer, verifier}:
            if not peer_versions[tool].startswith(MEASURED[tool]):
                pytest.skip(f"measured with {MEASURED[tool]} only")
        assert _verify(program, verifier, folder, form, "file", trusted_root).returncode != 0
        return
    good = _verify(program, verifier, folder, form, "file", trusted_root)
    assert (good.returncode, "Verified OK" in good.stderr) == (0, True), good.stderr
    bad = _verify(program, verifier, folder, form, "other", trusted_root)
    assert bad.returncode == (12 if verifier == "sealgate" else 1), bad.stderr
    assert "Verified OK" not in bad.stderr


def test_cosign_makes_a_bundle_of_our_signature(cosign3, sealgate, signed):
    folder = signed("sealgate", "ecdsa-p256")
    arguments = ["--artifact", "file", "--key", "cosign.pub", "--signature", "signature", "--ignore-tlog"]
    cosign3("bundle", "create", *arguments, "--out", "created", cwd=folder, check=True)
    sealgate("verify-blob", "--key", "cosign.pub", "--bundle", "created", "file", cwd=folder, check=True)


def test_a_signature_made_over_the_payload_elsewhere_is_an_image_signature(
    cosign3, sealgate, docker_registry, tmp_path
):
    """generate, sign-blob, attach: the way of those whose key is on another machine. Told by --image-payload (W06)."""
    from peers.images import push_image

    image = push_image(docker_registry, "blobs/elsewhere")
    sealgate("generate-key-pair", cwd=tmp_path, check=True)
    payload = cosign3("generate", image.reference, check=True).stdout
    (tmp_path / "payload").write_text(payload)
    sign = ["sign-blob", "--key", "cosign.key", "--new-bundle-format=false", "payload"]
    assert sealgate(*sign, cwd=tmp_path).returncode == 2
    (tmp_path / "signature").write_text(sealgate(*sign, "--image-payload", cwd=tmp_path, check=True).stdout)
    attach = ["attach", "signature", "--payload", "payload", "--signature", "signature", image.reference]
    cosign3(*attach, cwd=tmp_path, check=True)
    sealgate("verify", "--key", "cosign.pub", image.reference, cwd=tmp_path, check=True)
