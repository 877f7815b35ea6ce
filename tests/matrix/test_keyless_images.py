"""The matrix of images without keys: each kind of evidence on an image, each that signs it, each that verifies it, as declared.

One test signs once and asks every verifier; a cell that is not as `keyless_images` declares it is named.
"""

import base64
import json
import re

import pytest

from matrix.keyless_image_tools import image_tools as image_tools  # noqa: PLC0414 - a fixture
from matrix.keyless_images import (
    EVIDENCE,
    MEASURED,
    PAGE,
    TOOLS,
    Cell,
    can_sign,
    cells,
    expected,
    page,
)
from peers.images import Client, push_image

SIGNINGS = [
    pytest.param(signer, evidence, id=f"{signer}-{evidence}")
    for evidence in EVIDENCE
    for signer in TOOLS
    if can_sign(signer, evidence) is None
]
REFUSALS = {
    # what is another than that of the signature: how the verifiers say so, Sealgate by its code
    "identity": r"SAN|none of the expected identities matched|code: identity-mismatch",
    "issuer": r"expected issuer|OIDCIssuer|none of the expected identities matched|code: issuer-mismatch",
    "image": r"no signatures found|no matching attestations|no valid bundles|code: no-(signature|attestation)",
    "root": r"leaf certificate verification failed|certificate signed by unknown authority|code: certificate-untrusted",
}


def measured(tools, names):
    """Whether the peers are the versions that were measured."""
    return all(tools.programs[name].version.startswith(MEASURED[name]) for name in names if name in MEASURED)


@pytest.mark.parametrize(("signer", "evidence"), SIGNINGS)
def test_cells(image_tools, signer, evidence):
    signed = image_tools.sign(signer, evidence)
    assert is_what_it_is_called(signed)
    wrong = {}
    for verifier in TOOLS:
        for stamped in (False, True) if evidence.tsa else (False,):
            declared = expected(Cell(evidence, signer, verifier, stamped))
            if not declared.accepts and not measured(image_tools, declared.quirk_of):
                continue  # another version: nobody has declared anything
            said = image_tools.verify(verifier, signed, stamped=stamped)
            if said.accepts != declared.accepts or not (said.accepts or re.search(declared.says, said.words)):
                wrong[verifier, stamped] = (declared, said)
    assert not wrong


def is_what_it_is_called(signed):
    """Whether what hangs on the image is what the cell says, and nothing else does."""
    evidence, image = signed.evidence, signed.image
    client, name = Client(image.host), image.digest.replace(":", "-")
    suffix = "" if evidence.format == "bundle" else ".sig" if evidence.kind == "signature" else ".att"
    if [tag for tag in client.tags(image.repository) if tag.startswith(name)] != [name + suffix]:
        return False
    manifest = json.loads(client.get_manifest(image.repository, name + suffix).body)
    if evidence.format == "legacy":
        [layer] = manifest["layers"]
        notes = layer["annotations"]
        promise = json.loads(notes["dev.sigstore.cosign/bundle"])
        body = json.loads(base64.b64decode(promise["Payload"]["body"]))
        stamped = "dev.sigstore.cosign/rfc3161timestamp" in notes
        return (body["apiVersion"], stamped) == (f"0.0.{evidence.rekor}", evidence.tsa)
    [referrer] = manifest["manifests"]
    [layer] = json.loads(client.get_manifest(image.repository, referrer["digest"]).body)["layers"]
    bundle = json.loads(client.request("GET", f"/v2/{image.repository}/blobs/{layer['digest']}").body)
    material = bundle["verificationMaterial"]
    [entry] = material["tlogEntries"]
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    signature = statement["predicateType"] == "https://sigstore.dev/cosign/sign/v1"
    stamps = material.get("timestampVerificationData", {}).get("rfc3161Timestamps")
    found = signature, entry["kindVersion"]["version"], bool(stamps)
    return found == (evidence.kind == "signature", f"0.0.{evidence.rekor}", evidence.tsa)


# Where cosign is told to write its older format, it takes every log for a Rekor v1: of that it cannot be asked.
IMPOSSIBLE = {
    "cosign2-signature-bundle-rekor1": ("cosign2", "unknown flag: --new-bundle-format"),
    "cosign3-signature-bundle-rekor2": ("cosign3", "a timestamp authority must be provided"),
    "cosign3-attestation-bundle-rekor2": ("cosign3", "a timestamp authority must be provided"),
    "sealgate-signature-bundle-rekor2": ("sealgate", "nothing would prove when"),
    "sealgate-attestation-bundle-rekor2": ("sealgate", "nothing would prove when"),
    "sealgate-signature-legacy-rekor2-tsa": ("sealgate", "service-missing"),
    "sealgate-attestation-legacy-rekor2-tsa": ("sealgate", "service-missing"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_is_declared_to_be_impossible_is_so(image_tools, docker_registry, name):
    tool, words = IMPOSSIBLE[name]
    [evidence] = [each for each in EVIDENCE if f"{tool}-{each}" == name]
    assert can_sign(tool, evidence)
    if not measured(image_tools, [tool]):
        pytest.skip("another version: nobody has declared anything")
    image = push_image(docker_registry, f"keyless-matrix/impossible-{name}")
    with pytest.raises(pytest.fail.Exception, match=words):
        image_tools.sign_image(tool, evidence, image)
    assert Client(image.host).tags(image.repository) == [image.tag]


READABLE = [
    pytest.param(verifier, evidence, id=f"{verifier}-{evidence}")
    for evidence in EVIDENCE
    for verifier in TOOLS
    if can_sign("sealgate", evidence) is None and expected(Cell(evidence, "sealgate", verifier, stamped=False)).accepts
]


@pytest.mark.parametrize(("verifier", "evidence"), READABLE)
def test_no_verifier_accepts_another_identity_issuer_image_or_root(
    image_tools, running_trust_service, docker_registry, verifier, evidence, tmp_path
):
    """The positive cells mean something."""
    signed = image_tools.sign("sealgate", evidence)
    assert image_tools.verify(verifier, signed).accepts
    others = {
        "identity": signed._replace(identity="somebody@example.test"),
        "issuer": signed._replace(issuer="https://issuer.example.test"),
        "image": signed._replace(image=push_image(docker_registry, f"keyless-matrix/other-{verifier}-{evidence}")),
    }
    said = {name: image_tools.verify(verifier, other) for name, other in others.items()}
    if verifier != "cosign2":  # to which variables say whom to believe
        root = tmp_path / "root.json"
        root.write_text(json.dumps(running_trust_service.trusted_root(authorities=["stranger"])))
        said["root"] = image_tools.verify(verifier, signed, root=root)
    for name, answer in said.items():
        assert not answer.accepts, name
        assert re.search(REFUSALS[name], answer.words), (name, answer.words)


def test_every_cell_is_declared_and_every_refusal_has_a_reason():
    everything = list(cells())
    assert len(everything) == len(set(everything)) == 123
    for cell in everything:
        declared = expected(cell)
        assert declared.accepts or (declared.why and declared.says and set(declared.quirk_of) <= set(MEASURED))
        if cell.verifier == "sealgate":
            assert declared.accepts, "sealgate verifies whatever was signed"
        if cell.signer == "sealgate" and cell.verifier == "cosign3":
            assert declared.accepts, "and is verified by whoever reads the format"


def test_the_page_is_current():
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "`python tests/matrix/keyless_images.py` writes it"
