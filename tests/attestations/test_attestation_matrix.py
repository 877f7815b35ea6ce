"""The matrix of peers: every type, format, attesting tool and verifying tool, each cell as declared.

One test attests once and asks every verifier.
"""

import base64
import json
import re
from itertools import product

import pytest

from attestations.declared import FORMATS, MEASURED, PAGE, TOOLS, TYPES, URI, Cell, cells, expected, page
from peers.images import push_image

_COSIGN_REFUSED = re.compile(r"no matching attestations|none of the attestations matched")
_SIGNINGS = [
    pytest.param(*signing, id="-".join(signing).replace(URI, "uri")) for signing in product(TOOLS, FORMATS, TYPES)
]


def judged(tool, said):
    if said.returncode == 0:
        return "accepts" if said.stdout.strip() else "accepts nothing"
    if tool == "sealgate":
        refused = said.returncode in {10, 12}
    else:
        refused = said.returncode == 1 and _COSIGN_REFUSED.search(said.stderr)
    return "refuses" if refused else f"ends in {said.returncode}: {said.stderr[-300:]}"


@pytest.mark.parametrize(("signer", "format_", "kind"), _SIGNINGS)
def test_cells_of_attestations(attesting, pair, docker_registry, request, signer, format_, kind):
    predicate = request.path.parent / "predicates" / TYPES[kind]
    image = push_image(docker_registry, f"attested/{signer}-{format_}-{list(TYPES).index(kind)}")
    attesting.attest(signer, kind, predicate, format_, image.reference)
    found, declared = {}, {}
    for verifier in TOOLS:
        expectation = expected(Cell(kind, format_, signer, verifier))
        quirk = expectation.quirk_of
        if quirk is not None and not attesting.programs[quirk].version.startswith(MEASURED[quirk]):
            continue  # another version: nobody has declared anything
        declared[verifier] = "accepts" if expectation.accepts else "refuses"
        said = attesting.verify(verifier, kind, format_, image.reference)
        found[verifier] = judged(verifier, said)
        if verifier == "sealgate" and signer == "sealgate":
            [line] = said.stdout.splitlines()
            assert_signed_as_given(base64.b64decode(json.loads(line)["payload"]), kind, predicate.read_bytes())
    assert found == declared


def assert_signed_as_given(payload, kind, given):
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    if kind == "custom":
        assert statement["predicate"]["Data"].encode() == given
    elif kind == "spdx":
        assert statement["predicate"].encode() == given
    else:
        assert payload.endswith(b'"predicate":' + given.strip() + b"}")


@pytest.mark.parametrize("format_", FORMATS)
def test_no_tool_accepts_another_type_or_key(attesting, make_pair, docker_registry, sbom, format_):
    """The positive cells mean something."""
    image = push_image(docker_registry, f"attested/negative-{format_}")
    attesting.attest("sealgate", "cyclonedx", sbom, format_, image.reference)
    other = make_pair("another").pub
    for tool in TOOLS:
        assert judged(tool, attesting.verify(tool, "cyclonedx", format_, image.reference)) == "accepts"
        assert judged(tool, attesting.verify(tool, "openvex", format_, image.reference)) == "refuses"
        assert judged(tool, attesting.verify(tool, "cyclonedx", format_, image.reference, "--key", other,
                                             *(["--require", "2"] if tool == "sealgate" else []))) == "refuses"  # fmt: skip


def test_every_cell_of_attestations_is_declared_and_every_refusal_has_a_reason():
    everything = list(cells())
    assert len(everything) == len(TYPES) * len(FORMATS) * len(TOOLS) ** 2 == 198
    for cell in everything:
        expectation = expected(cell)
        assert expectation.accepts or (expectation.why and expectation.quirk_of in MEASURED)
        if cell.verifier == "sealgate":
            assert expectation.accepts, "sealgate verifies whatever was attested"


def test_the_page_of_attestations_is_current():
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "`python tests/attestations/declared.py` writes it"
