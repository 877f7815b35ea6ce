"""Keys and command lines for the tests of attestations."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from sealgate import blocking

HERE = Path(__file__).parent
PREDICATES = HERE / "predicates"
OFFLINE = ("--use-signing-config=false", "--tlog-upload=false", "-y")


class Pair(NamedTuple):
    """A key pair in files, made by cosign."""

    key: str
    pub: str
    signer: object


@pytest.fixture(scope="session")
def make_pair(cosign3, tmp_path_factory):
    """`make_pair("name")`"""
    folder = tmp_path_factory.mktemp("attesting")
    made = {}

    def make(name):
        if name not in made:
            prefix = folder / name
            cosign3("generate-key-pair", "--output-key-prefix", prefix, check=True)
            signer = blocking.load_signer(f"{prefix}.key", password=b"pw")
            made[name] = Pair(f"{prefix}.key", f"{prefix}.pub", signer)
        return made[name]

    return make


@pytest.fixture(scope="session")
def pair(make_pair):
    """The key that everybody trusts."""
    return make_pair("good")


@pytest.fixture(scope="session")
def stranger(make_pair):
    """A key that nobody trusts."""
    return make_pair("stranger")


@pytest.fixture(scope="session")
def attesting(sealgate, cosign3, cosign2, pair):
    """`attesting(tool, "attest", …)` runs a tool with the flags that keep it from asking services."""

    class Tools:
        def __init__(self):
            self.programs = {"sealgate": sealgate, "cosign3": cosign3, "cosign2": cosign2}

        def attest(self, tool, kind, predicate, format_, image, *words, check=True):
            flags = {"sealgate": (), "cosign3": OFFLINE, "cosign2": ("--tlog-upload=false", "-y")}[tool]
            bundles = f"--new-bundle-format={str(format_ == 'bundle').lower()}"
            return self.programs[tool](
                "attest", "--key", pair.key, *flags, bundles, "--type", kind, "--predicate", predicate, *words, image,
                check=check,
            )  # fmt: skip

        def verify(self, tool, kind, format_, image, *words):
            flags = () if tool == "sealgate" else ("--insecure-ignore-tlog",)
            if tool == "cosign2" and format_ == "bundle":
                flags += ("--new-bundle-format", "--trusted-root", str(HERE / "trusted-root.json"))
            return self.programs[tool](
                "verify-attestation", "--key", pair.pub, *flags, "--type", kind, *words, image
            )  # fmt: skip

    return Tools()


@pytest.fixture
def sbom(tmp_path):
    """A predicate file."""
    path = tmp_path / "sbom.json"
    path.write_text('{"bomFormat":"CycloneDX", "z": 1.50, "a": [1, 2]}\n')
    return path


def statements(out):
    """The Statements in the lines of verify-attestation."""
    import base64

    return [json.loads(base64.b64decode(json.loads(line)["payload"])) for line in out.splitlines()]
