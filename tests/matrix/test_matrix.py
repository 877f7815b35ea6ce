"""The matrix of peers: every format, key type, signing tool, verifying tool and store, each cell as declared.

One test signs once and asks every verifier, so that cells share the signing; a cell that is not as `declared` says is named.
"""

import json
import re
from itertools import product

import pytest

from matrix.declared import FORMATS, KEYS, MEASURED, PAGE, STORES, TOOLS, Cell, can_sign, cells, expected, page
from peers.images import Client, push_image

_COSIGN_REFUSED = re.compile(r"no (matching )?(signatures|attestations)")
_SIGN_FLAGS = {
    "sealgate": (),
    "cosign3": ("--use-signing-config=false", "--tlog-upload=false", "-y"),
    "cosign2": ("--tlog-upload=false", "-y"),
}


class Programs:
    """Each tool as the same two abilities."""

    def __init__(self, sealgate, cosign3, cosign2, keys):
        self._programs = {"sealgate": sealgate, "cosign3": cosign3, "cosign2": cosign2}
        self._keys = keys

    def quirky(self, quirk_of):
        """Whether the peer is the version that the declared refusal belongs to."""
        return quirk_of is None or self._programs[quirk_of].version.startswith(MEASURED[quirk_of])

    def sign(self, tool, format_, key, image):
        flags = list(_SIGN_FLAGS[tool])
        if tool != "cosign2":
            flags.append(f"--new-bundle-format={str(format_ == 'bundle').lower()}")
        self._programs[tool]("sign", "--key", f"{self._keys(key)}.key", *flags, image, check=True)

    def verify(self, tool, key, *words):
        """`accepts`, `refuses`, or what else happened."""
        flags = () if tool == "sealgate" else ("--insecure-ignore-tlog",)
        said = self._programs[tool]("verify", "--key", f"{self._keys(key)}.pub", *flags, *words)
        if said.returncode == 0:
            return "accepts" if json.loads(said.stdout) else "accepts nothing"
        if tool == "sealgate":
            refused = said.returncode in {10, 12}
        else:
            refused = said.returncode in {1, 10, 12} and _COSIGN_REFUSED.search(said.stderr)
        return "refuses" if refused else f"ends in {said.returncode}: {said.stderr[-300:]}"

    def save(self, image, folder):
        self._programs["cosign3"]("save", "--dir", folder, image, check=True)


@pytest.fixture(scope="session")
def programs(sealgate, cosign3, cosign2, imported_key):
    return Programs(sealgate, cosign3, cosign2, imported_key)


@pytest.fixture
def signed(programs, docker_registry, embedded_registry, tmp_path):
    """`signed(store, signer, format, key)` signs an image there: how verifiers are told where."""

    def sign(store, signer, format_, key):
        host = embedded_registry if store == "embedded" else docker_registry
        image = push_image(host, f"matrix/{store}-{signer}-{format_}-{key}")
        if store != "layout":
            programs.sign(signer, format_, key, image.reference)
            return (image.reference,)
        if signer == "sealgate":  # signs in a layout
            programs.save(image.reference, tmp_path)
            programs.sign(signer, format_, key, f"oci:{tmp_path}")
        else:  # signs in a registry, and saves from there
            programs.sign(signer, format_, key, image.reference)
            programs.save(image.reference, tmp_path)
        return ("--local-image", str(tmp_path))

    return sign


SIGNINGS = [
    pytest.param(*signing, id="-".join(signing))
    for signing in product(STORES, TOOLS, FORMATS, KEYS)
    if not can_sign(signing[1], signing[2])
]


@pytest.mark.parametrize(("store", "signer", "format_", "key"), SIGNINGS)
def test_cells(programs, signed, store, signer, format_, key):
    where = signed(store, signer, format_, key)
    found, declared = {}, {}
    for verifier in TOOLS:
        expectation = expected(Cell(store, format_, key, signer, verifier))
        if not expectation.accepts and not programs.quirky(expectation.quirk_of):
            continue  # another version: nobody has declared anything
        declared[verifier] = "accepts" if expectation.accepts else "refuses"
        found[verifier] = programs.verify(verifier, key, *where)
        if expectation.flags:
            declared[f"{verifier} {expectation.flags}"] = "accepts"
            found[f"{verifier} {expectation.flags}"] = programs.verify(verifier, key, *expectation.flags, *where)
    assert found == declared


@pytest.mark.parametrize("tool", TOOLS)
def test_no_verifier_accepts_another_key(programs, signed, imported_key, tool):
    """The positive cells mean something: with another key of the same kind each tool refuses."""
    [image] = signed("docker-registry", "sealgate", "legacy", "ecdsa-p256")
    assert programs.verify(tool, "ecdsa-p256", image) == "accepts"
    assert programs.verify(tool, "rsa-2048", image) == "refuses"


def test_cosign2_signs_no_bundle(programs, cosign2, docker_registry, imported_key):
    if not programs.quirky("cosign2"):
        pytest.skip(f"nothing is declared for cosign {cosign2.version}")
    assert can_sign("cosign2", "bundle")
    image = push_image(docker_registry, "matrix/cosign2-bundle")
    flags = (*_SIGN_FLAGS["cosign2"], "--new-bundle-format")
    cosign2("sign", "--key", f"{imported_key('ecdsa-p256')}.key", *flags, image.reference)
    tags = Client(docker_registry).tags("matrix/cosign2-bundle")
    assert image.digest.replace(":", "-") not in tags, "no fallback index: no bundle"


def test_every_cell_is_declared_and_every_refusal_has_a_reason():
    everything = list(cells())
    assert len(everything) == len(STORES) * len(FORMATS) * len(KEYS) * len(TOOLS) ** 2 == 378
    for cell in everything:
        expectation = expected(cell)
        assert expectation.accepts or (expectation.why and expectation.quirk_of in MEASURED)
        if cell.verifier == "sealgate":
            assert expectation.accepts, "sealgate verifies whatever was signed"
        if cell.signer == "sealgate" and not (cell.verifier == "cosign2" and cell.format == "bundle"):
            assert expectation.accepts, "and is verified by whoever reads the format"


def test_the_page_is_current():
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "`python tests/matrix/declared.py` writes it"
