"""A registry of layouts with a few images, and keys."""

import pytest

from policy.scene import Registry
from sealgate.keys.private import PrivateKey


@pytest.fixture(scope="session")
def good():
    """The key that policies ask for."""
    return PrivateKey.generate()


@pytest.fixture(scope="session")
def other():
    """Another key that policies may ask for."""
    return PrivateKey.generate()


@pytest.fixture(scope="session")
def stranger():
    """A key that nobody asks for."""
    return PrivateKey.generate()


@pytest.fixture(scope="module")
def registry(tmp_path_factory, good, other, stranger):
    """Images by what was done to them; tests add to it under names of their own."""
    made = Registry(tmp_path_factory.mktemp("registry"))
    for name, signers in {
        "signed": [good], "both": [good, other], "foreign": [stranger], "unsigned": [], "other": [other],
    }.items():  # fmt: skip
        made.push(f"registry.example.com/team/{name}")
        if signers:
            made.sign(f"registry.example.com/team/{name}", *signers)
    return made
