"""What is around a process: files and variables, read within bounds."""

from __future__ import annotations

import os
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.errors import CredentialsMissingError
from sealgate.oci.exchange import ambient, providers


def test_the_surroundings_of_a_process(tmp_path):
    (tmp_path / "token").write_bytes(b" a-token\n")
    found = ambient.of_process({"NAME": " value\n"})
    assert found.text(str(tmp_path / "token"), "a file") == "a-token"
    assert (found.variable("NAME"), found.variable("OTHER")) == ("value", "")
    assert abs(found.clock() - time.time()) < 60
    assert repr(found) == "Ambient(…)"


@pytest.mark.parametrize("kind", ["none", "folder", "pipe", "large", "nul"])
def test_what_is_no_file_of_a_token_ends_at_once(tmp_path, kind):
    path = tmp_path / "token"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        path.write_bytes(b"x" * (limits.EXCHANGE_BODY_BYTES + 1))
    name = "/x\0y" if kind == "nul" else str(path)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(CredentialsMissingError) as raised:
        ambient.of_process({}).text(name, "the token")
    assert raised.value.code == "credentials-missing"
    assert raised.value.message.startswith("the token ")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("value", ["two words", "a\r\nb", "é", "\x7f"])
def test_a_variable_that_cannot_be_sent_is_not_shown(value):
    with pytest.raises(CredentialsMissingError) as raised:
        ambient.of_process({"SECRET": value}).variable("SECRET")
    assert value not in raised.value.message


_SUFFIXES = (".amazonaws.com", ".amazonaws.com.cn", "public.ecr.aws", ".azurecr.io", ".azurecr.cn", ".azurecr.us", "ghcr.io", "gcr.io", "-docker.pkg.dev")  # fmt: skip


@given(
    st.text(string.ascii_lowercase + string.digits + "-.:/@\\%#?\n\0 ", max_size=40),
    st.sampled_from(("123456789012.dkr.ecr.us-east-1.amazonaws.com", "team.azurecr.io", "eu.gcr.io", "ghcr.io", "us-docker.pkg.dev")),
    st.text(string.ascii_lowercase + string.digits + "-.:/@\\%#?\n\0 ", max_size=40),
)  # fmt: skip
def test_T12_whatever_stands_around_a_clouds_name_the_host_is_the_clouds_or_nobodys(before, name, after):
    registry = before + name + after
    for provider in providers.NAMES:
        if providers.key(provider, registry) is not None:
            assert registry.endswith(_SUFFIXES)
            assert not after or registry.endswith(after)
            assert set(registry) <= set(string.ascii_lowercase + string.digits + "-.")
