"""The matrix of clients without keys: each kind of evidence, each that signs it, each that verifies it, as declared.

One test signs once and asks every verifier; a cell that is not as `keyless` declares it is named.
"""

import json
import re

import pytest

from matrix.keyless import (
    EVIDENCE,
    KINDS,
    MEASURED,
    PAGE,
    SIGNERS,
    VERIFIERS,
    Cell,
    Evidence,
    can_sign,
    cells,
    expected,
    page,
)
from matrix.keyless_tools import keyless_tools as keyless_tools  # noqa: PLC0414 - a fixture

SIGNINGS = [
    pytest.param(signer, evidence, id=f"{signer}-{evidence}")
    for evidence in EVIDENCE
    for signer in SIGNERS
    if can_sign(signer, evidence) is None
]
REFUSALS = {
    # what is another than that of the signature: how the verifiers say so, Sealgate by its code
    "identity": r"SAN|certificate identity error|code: identity-mismatch",
    "issuer": r"expected issuer|OIDCIssuer|code: issuer-mismatch",
    "artifact": r"invalid signature|signature verification failed|digests? (in statement|mismatch)|no subject for digest"
    r"|do(es)? not match (any )?digest|code: (blob-digest|signature-subject)-mismatch",
    "root": r"leaf certificate verification failed|certificate chain|code: certificate-untrusted",
}
BLOB, ATTESTATION = Evidence("blob", 2, True), Evidence("dsse", 1, False)
TIMELESS = Evidence("blob", 2, False)


def measured(tools, names):
    """Whether the peers are the versions that were measured."""
    return all(tools.programs[name].version.startswith(MEASURED[name]) for name in names)


@pytest.mark.parametrize(("signer", "evidence"), SIGNINGS)
def test_cells(keyless_tools, signer, evidence):
    signed = keyless_tools.sign(signer, evidence)
    assert is_what_it_is_called(signed)
    wrong = {}
    for verifier in VERIFIERS:
        declared = expected(Cell(evidence, signer, verifier))
        if not declared.accepts and not measured(keyless_tools, declared.quirk_of):
            continue  # another version: nobody has declared anything
        said = keyless_tools.verify(verifier, signed)
        if said.accepts != declared.accepts or not (said.accepts or re.search(declared.says, said.words)):
            wrong[verifier] = (declared, said)
    assert not wrong


def is_what_it_is_called(signed):
    """Whether the bundle holds what the cell says."""
    bundle = json.loads(signed.bundle.read_bytes())
    material, evidence = bundle["verificationMaterial"], signed.evidence
    [entry] = material["tlogEntries"]
    return (
        ("dsseEnvelope" in bundle) is (evidence.kind == "dsse")
        and entry["kindVersion"]["version"] == f"0.0.{evidence.rekor}"
        and bool(material.get("timestampVerificationData", {}).get("rfc3161Timestamps")) is evidence.tsa
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("signer", [tool for tool in SIGNERS if can_sign(tool, TIMELESS) and not can_sign(tool, BLOB)])
def test_nobody_signs_without_a_time(keyless_tools, signer, kind):
    with pytest.raises(pytest.fail.Exception, match="timestamp"):
        keyless_tools.sign(signer, TIMELESS._replace(kind=kind))


@pytest.mark.parametrize("evidence", [BLOB, ATTESTATION], ids=str)
@pytest.mark.parametrize("verifier", VERIFIERS)
def test_no_verifier_accepts_another_identity_issuer_artifact_or_root(
    keyless_tools, running_trust_service, verifier, evidence, tmp_path
):
    """The positive cells mean something."""
    if verifier == "cosign2":
        evidence = evidence._replace(rekor=1)
    signed = keyless_tools.sign("sigstore-js", evidence)
    assert keyless_tools.verify(verifier, signed).accepts
    (tmp_path / "other").write_text("another artifact\n")
    others = {
        "identity": signed._replace(identity="somebody@example.test"),
        "issuer": signed._replace(issuer="https://issuer.example.test"),
    }
    if evidence.kind == "blob" or not verifier.startswith("sigstore-js"):  # which do not look at what is attested
        others["artifact"] = signed._replace(artifact=tmp_path / "other")
    said = {name: keyless_tools.verify(verifier, other) for name, other in others.items()}
    root = tmp_path / "root.json"
    root.write_text(json.dumps(running_trust_service.trusted_root(authorities=["stranger"])))
    said["root"] = keyless_tools.verify(verifier, signed, root=root)
    for name, answer in said.items():
        assert not answer.accepts, name
        assert re.search(REFUSALS[name], answer.words), (name, answer.words)


def test_every_cell_is_declared_and_every_refusal_has_a_reason():
    everything = list(cells())
    assert len(everything) == len(set(everything)) == len(SIGNINGS) * len(VERIFIERS)
    for cell in everything:
        declared = expected(cell)
        assert declared.accepts or (declared.why and declared.says and set(declared.quirk_of) <= set(MEASURED))
        if cell.verifier == "sealgate":
            timeless = cell.evidence.rekor == 2 and not cell.evidence.tsa
            assert declared.accepts is not timeless, "sealgate verifies whatever was signed at a time that is known"


def test_the_page_is_current():
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "`python tests/matrix/keyless.py` writes it"
