"""Both versions of cosign and Sealgate, signing and verifying images without keys: for `test_keyless_images`.

tools = ImageTools(service, programs, registry, folder)
signed = tools.sign("cosign3", Evidence("signature", "bundle", rekor=2, tsa=True))    # an image, who signed it
tools.verify("cosign2", signed)                                                       # Said(accepts, words)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from matrix.keyless_images import Evidence
from matrix.keyless_tools import PREDICATE, TYPE, Said
from peers.images import Pushed, push_image
from peers.programs import Program
from trust_service.identities import EMAIL
from trust_service.service import Files, TrustService


class Signed(NamedTuple):
    """What was signed, by whom."""

    evidence: Evidence
    image: Pushed
    identity: str
    issuer: str


class ImageTools:
    """The programs, a registry, and a trust service that nobody alters."""

    def __init__(self, service: TrustService, programs: Mapping[str, Program], registry: str, folder: Path) -> None:
        self.programs = programs
        self._service = service
        self._registry = registry
        self._folder = folder
        self._files: dict[tuple[int, bool], Files] = {}
        self._signed: dict[tuple[str, Evidence], Signed] = {}

    def sign(self, tool: str, evidence: Evidence) -> Signed:
        """Sign, once for all who ask."""
        if (tool, evidence) not in self._signed:
            image = push_image(self._registry, f"keyless-matrix/{tool}-{evidence}")
            self.sign_image(tool, evidence, image)
            self._signed[tool, evidence] = Signed(evidence, image, EMAIL, self._service.issuer.url)
        return self._signed[tool, evidence]

    def sign_image(self, tool: str, evidence: Evidence, image: Pushed) -> None:
        """Sign this image."""
        token = self._folder / "token"
        token.write_text(self._service.token(EMAIL))
        what = ["sign"]
        if evidence.kind == "attestation":
            what = ["attest", "--predicate", PREDICATE, "--type", TYPE]
        flags, keys = self._signing(tool, evidence)
        words = (*what, "--yes", *flags, "--identity-token", token, image.reference)
        self.programs[tool](*words, env=keys, check=True)

    def verify(self, tool: str, signed: Signed, *, stamped: bool = False, root: Path | None = None) -> Said:
        """Verify; `stamped`: a timestamp is asked for; `root`: a trust root other than the service's own."""
        evidence = signed.evidence
        what = ["verify"] if evidence.kind == "signature" else ["verify-attestation", "--type", TYPE]
        who = ("--certificate-identity", signed.identity, "--certificate-oidc-issuer", signed.issuer)
        flags, keys = ["--trusted-root", root or self.files(evidence).trusted_root], {}
        if tool == "cosign2":  # which asks the public TUF repository unless there are such variables
            keys = self._keys(evidence)
            if evidence.kind == "signature" or evidence.format == "legacy":
                flags = []
            else:
                flags.append("--new-bundle-format")
        if stamped:
            flags.append("--use-signed-timestamps")
        done = self.programs[tool](*what, *who, *flags, signed.image.reference, env=keys)
        return Said(done.returncode == 0, done.stdout + done.stderr)

    def files(self, evidence: Evidence) -> Files:
        """The configuration of clients that sign so."""
        services = evidence.rekor, evidence.tsa
        if services not in self._files:
            tsa = "current" if evidence.tsa else None
            folder = self._folder / f"config-{evidence.rekor}-{evidence.tsa}"
            self._files[services] = self._service.files(folder, rekor=evidence.rekor, tsa=tsa)
        return self._files[services]

    def _keys(self, evidence: Evidence) -> dict[str, str]:
        """Whom to believe, as cosign's variables say it."""
        files = self.files(evidence)
        keys = {"SIGSTORE_ROOT_FILE": files.ca, "SIGSTORE_REKOR_PUBLIC_KEY": files.rekor}
        keys |= {"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": files.ct, "SIGSTORE_TSA_CERTIFICATE_FILE": files.tsa}
        return {name: str(path) for name, path in keys.items()}

    def _signing(self, tool: str, evidence: Evidence) -> tuple[list[object], dict[str, str]]:
        """Options and variables."""
        files = self.files(evidence)
        configured = ["--signing-config", files.signing_config, "--trusted-root", files.trusted_root]
        if tool == "sealgate":
            return [*configured, "--format", evidence.format], {}
        if tool == "cosign3" and evidence.format == "bundle":
            return configured, {}
        places: list[object] = ["--fulcio-url", self._service.url, "--rekor-url", self._service.url]
        if evidence.tsa:
            places += ["--timestamp-server-url", f"{self._service.url}/api/v1/timestamp"]
        if tool == "cosign3":  # which writes its older format under no signing configuration
            places += ["--use-signing-config=false", "--new-bundle-format=false"]
        elif evidence.format == "bundle":
            places.append("--new-bundle-format")
        return places, self._keys(evidence)


@pytest.fixture(scope="session")
def image_tools(running_trust_service, cosign3, cosign2, sealgate, docker_registry, tmp_path_factory) -> ImageTools:
    """The tools; what they signed is kept for the session. Of no use to a test that alters the trust service."""
    programs = {"cosign3": cosign3, "cosign2": cosign2, "sealgate": sealgate}
    return ImageTools(running_trust_service, programs, docker_registry, tmp_path_factory.mktemp("keyless-images"))
