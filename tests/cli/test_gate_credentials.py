"""Secrets that policies name, at the gate: those beside the policies ask; for others the person's own credentials stand in."""

import json
from pathlib import Path

import pytest
import yaml

from admission.test_policy_credentials import USER, image, kyverno, pull, signer, sigstore
from admission.test_pull_secrets import auth

__all__ = ["image", "signer"]


@pytest.fixture(scope="module", name="host")
def _host(start_registry):
    return start_registry(htpasswd=dict([USER])).host


def write(folder: Path, *documents: dict) -> Path:
    path = folder / "policies.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return path


def gate(cli, path: Path, reference: str, **more):
    pod = (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec: {{containers: [{{name: c, image: {reference}}}]}}\n"
    )
    return cli("gate", "-p", path, "-", input=pod, **more)


def test_secrets_beside_the_policies_ask(cli, tmp_path, signer, image, host):
    path = write(tmp_path, kyverno(signer, "pull"), pull("pull", "kyverno", host))
    for reference in (image.reference, image.tagged):
        said = gate(cli, path, reference)
        assert said.code == 0, said.err + said.out
        assert USER[1] not in said.out + said.err
        assert cli("policy", "explain", path, reference).code == 0
    wrong = write(tmp_path, kyverno(signer, "pull"), pull("pull", "kyverno", host, user=("someone", "other")))
    assert gate(cli, wrong, image.reference).code == 14


def test_without_the_secret_the_persons_own_credentials_ask_and_lint_says_so(cli, tmp_path, signer, image, host):
    path = write(tmp_path, kyverno(signer, "pull"))
    said = gate(cli, path, image.tagged)
    assert said.code == 14
    assert "registry-unauthorized" in said.out
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: auth(*USER)}}))
    mine = {"DOCKER_CONFIG": str(tmp_path)}
    assert gate(cli, path, image.tagged, env=mine).code == 0
    linted = cli("policy", "lint", path, "-o", "json")
    assert "credentials-elsewhere" in linted.out
    assert "credentials-elsewhere" not in cli("policy", "lint", write(tmp_path, kyverno(signer))).out


def test_a_secret_beside_the_policies_that_is_none_refuses(cli, tmp_path, signer, image, host):
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: auth(*USER)}}))
    broken = pull("pull", "kyverno", host) | {"data": {}}
    said = gate(
        cli, write(tmp_path, kyverno(signer, "pull"), broken), image.reference, env={"DOCKER_CONFIG": str(tmp_path)}
    )
    assert said.code == 16
    assert "pull-secret-invalid" in said.out


def test_secrets_of_signatures(cli, tmp_path, signer, image, host):
    where = f"{host}/team/app"
    path = write(tmp_path, sigstore(signer, (where, "pull")), pull("pull", "cosign-system", host))
    assert cli("policy", "explain", path, image.reference).code == 0
    elsewhere = write(tmp_path, sigstore(signer, (where, "pull")), pull("pull", "elsewhere", host))
    assert cli("policy", "explain", elsewhere, image.reference).code == 14
    said = cli("policy", "explain", elsewhere, image.reference, "--policy-namespace", "elsewhere")
    assert said.code == 0, said.out
