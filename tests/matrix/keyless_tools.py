"""Every client that signs without keys of its own, as the same two abilities: for `test_keyless_matrix`, and for others.

tools = Tools(service, programs, folder)
signed = tools.sign("sigstore-js", Evidence("blob", rekor=2, tsa=True))     # a bundle, its artifact, who signed
tools.verify("cosign3", signed)                                             # Said(accepts, words)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from matrix.keyless import Evidence
from peers.programs import Program
from trust_service.identities import EMAIL
from trust_service.service import Files, TrustService

PREDICATE = Path(__file__).resolve().parents[1] / "attestations" / "predicates" / "slsa1.json"
TYPE = "https://slsa.dev/provenance/v1"
STATEMENT_TYPE = "application/vnd.in-toto+json"


class Signed(NamedTuple):
    """What was signed, by whom."""

    evidence: Evidence
    bundle: Path
    artifact: Path
    identity: str
    issuer: str


class Said(NamedTuple):
    """What a verifier said."""

    accepts: bool
    words: str


class Tools:
    """The clients, and a trust service for them that nobody alters."""

    def __init__(self, service: TrustService, programs: Mapping[str, Program], folder: Path) -> None:
        self.programs = programs
        self._service = service
        self._folder = folder
        self._files: dict[tuple[int, bool], Files] = {}
        self._signed: dict[tuple[str, Evidence], Signed] = {}
        self._signers = {
            "cosign3": self._cosign3_signs,
            "cosign2": self._cosign2_signs,
            "sigstore-python": self._python_signs,
            "sigstore-js": self._js_signs,
            "sigstore-js4": self._js_signs,
            "sealgate": self._cosign3_signs,
        }
        self._verifiers = {
            "cosign3": self._cosign_verifies,
            "cosign2": self._cosign_verifies,
            "sigstore-python": self._python_verifies,
            "sigstore-js": self._js_verifies,
            "sigstore-js4": self._js_verifies,
            "sealgate": self._cosign_verifies,
        }

    def sign(self, tool: str, evidence: Evidence) -> Signed:
        """Sign, once for all who ask."""
        if (tool, evidence) not in self._signed:
            folder = self._folder / f"{tool}-{evidence}"
            folder.mkdir(exist_ok=True)
            artifact = folder / "artifact"
            artifact.write_text(f"signed by {tool}: {evidence}\n")
            (folder / "token").write_text(self._service.token(EMAIL))
            self._signers[tool](tool, evidence, folder)
            made = Signed(evidence, folder / "bundle", artifact, EMAIL, self._service.issuer.url)
            self._signed[tool, evidence] = made
        return self._signed[tool, evidence]

    def verify(self, tool: str, signed: Signed, *, root: Path | None = None) -> Said:
        """Verify; `root`: a trust root other than the service's own."""
        done = self._verifiers[tool](tool, signed, root)
        return Said(done.returncode == 0, done.stdout + done.stderr)

    def files(self, evidence: Evidence) -> Files:
        """The configuration of clients that sign so."""
        services = evidence.rekor, evidence.tsa
        if services not in self._files:
            tsa = "current" if evidence.tsa else None
            folder = self._folder / f"config-{evidence.rekor}-{evidence.tsa}"
            self._files[services] = self._service.files(folder, rekor=evidence.rekor, tsa=tsa)
        return self._files[services]

    # -- who signs

    def _cosign3_signs(self, tool, evidence, folder) -> None:
        files = self.files(evidence)
        services = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
        self._cosign_signs(tool, evidence, folder, *services)

    def _cosign2_signs(self, tool, evidence, folder) -> None:
        files = self.files(evidence)
        services = ["--fulcio-url", self._service.url, "--rekor-url", self._service.url, "--new-bundle-format"]
        if evidence.tsa:
            services += ["--timestamp-server-url", f"{self._service.url}/api/v1/timestamp"]
        keys = {"SIGSTORE_ROOT_FILE": files.ca, "SIGSTORE_REKOR_PUBLIC_KEY": files.rekor}
        keys |= {"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": files.ct, "SIGSTORE_TSA_CERTIFICATE_FILE": files.tsa}
        self._cosign_signs(tool, evidence, folder, *services, env={name: str(path) for name, path in keys.items()})

    def _cosign_signs(self, tool, evidence, folder, *services, env=None) -> None:
        what = ["sign-blob"]
        if evidence.kind == "dsse":
            what = ["attest-blob", "--predicate", PREDICATE, "--type", TYPE]
        flags = ("--yes", *services, "--identity-token", "token", "--bundle", "bundle")
        self.programs[tool](*what, *flags, "artifact", cwd=folder, env=env, check=True)

    def _python_signs(self, tool, evidence, folder) -> None:
        what = ["sign"]
        if evidence.kind == "dsse":
            what = ["attest", "--predicate", PREDICATE, "--predicate-type", TYPE]
        config = ("--trust-config", self.files(evidence).client_config)
        token = (folder / "token").read_text()
        flags = ("--identity-token", token, "--bundle", "bundle")
        self.programs[tool](*config, *what, *flags, "artifact", cwd=folder, check=True)

    def _js_signs(self, tool, evidence, folder) -> None:
        what, more = "artifact", ()
        if evidence.kind == "dsse":
            (folder / "statement").write_text(json.dumps(statement(folder / "artifact")))
            what, more = "statement", ("--payload-type", STATEMENT_TYPE)
        flags = ("--signing-config", self.files(evidence).signing_config, "--identity-token", "token")
        self.programs[tool]("sign", *flags, "--bundle", "bundle", *more, what, cwd=folder, check=True)

    # -- who verifies

    def _cosign_verifies(self, tool, signed, root):
        command, more = "verify-blob", []
        if signed.evidence.kind == "dsse":
            command, more = "verify-blob-attestation", ["--type", TYPE]
        if tool == "cosign2":
            more.append("--new-bundle-format")
        flags = ("--trusted-root", root or self.files(signed.evidence).trusted_root, "--bundle", signed.bundle)
        who = ("--certificate-identity", signed.identity, "--certificate-oidc-issuer", signed.issuer)
        return self.programs[tool](command, *flags, *who, *more, signed.artifact)

    def _python_verifies(self, tool, signed, root):
        files = self.files(signed.evidence)
        config = files.client_config
        if root is not None:
            document = json.loads(config.read_text()) | {"trustedRoot": json.loads(root.read_text())}
            config = root.with_name("client_config.json")
            config.write_text(json.dumps(document))
        who = ("--cert-identity", signed.identity, "--cert-oidc-issuer", signed.issuer)
        command = ("--trust-config", config, "verify", "identity", "--bundle", signed.bundle)
        return self.programs[tool](*command, *who, signed.artifact)

    def _js_verifies(self, tool, signed, root):
        flags = ("--trusted-root", root or self.files(signed.evidence).trusted_root, "--bundle", signed.bundle)
        who = ("--certificate-identity", signed.identity, "--certificate-oidc-issuer", signed.issuer)
        return self.programs[tool]("verify", *flags, *who, signed.artifact)


def statement(artifact: Path) -> dict[str, object]:
    """A statement of in-toto 1 about a file."""
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": artifact.name, "digest": {"sha256": digest}}],
        "predicateType": TYPE,
        "predicate": json.loads(PREDICATE.read_text()),
    }


@pytest.fixture(scope="session")
def keyless_tools(
    running_trust_service, cosign3, cosign2, sigstore_python, sigstore_js, sigstore_js4, sealgate, tmp_path_factory
) -> Tools:
    """The tools; what they signed is kept for the session. Of no use to a test that alters the trust service."""
    programs = {
        "cosign3": cosign3,
        "cosign2": cosign2,
        "sigstore-python": sigstore_python,
        "sigstore-js": sigstore_js,
        "sigstore-js4": sigstore_js4,
        "sealgate": sealgate,
    }
    return Tools(running_trust_service, programs, tmp_path_factory.mktemp("keyless"))
