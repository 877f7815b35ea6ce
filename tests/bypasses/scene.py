"""What the end-to-end cases of the bypass catalogue share: signatures made by hand, and a verifier asked by its public face.

Nothing here uses the product's own encoders: documents are dictionaries, so that a case can alter any part of them.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from evil_registry.honest import CONFIG, MANIFEST, HonestRegistry, Stored, digest_of
from evil_registry.server import EvilRegistry

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
IMAGE_SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
REPOSITORY = "team/app"


def b64(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode()


def compact(document: Any) -> bytes:
    """JSON without spaces."""
    return json.dumps(document, separators=(",", ":")).encode()


class Signer:
    """An ECDSA P-256 key of somebody's, and what it signs."""

    def __init__(self, folder: Path, name: str = "cosign") -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        spki = self._private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.hint = b64(hashlib.sha256(spki).digest())
        self.path = folder / f"{name}.pub"
        self.path.write_bytes(
            self._private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def sign(self, message: bytes) -> bytes:
        """ECDSA over SHA-256, DER."""
        return self._private.sign(message, ec.ECDSA(hashes.SHA256()))

    def statement(self, digest: str, annotations: dict[str, str] | None = None) -> dict[str, Any]:
        """The Statement of an image signature."""
        algorithm, _, value = digest.partition(":")
        return {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {algorithm: value}, "annotations": annotations or {}}],
            "predicateType": IMAGE_SIGNATURE,
            "predicate": {},
        }

    def bundle(self, statement: dict[str, Any] | bytes, *, payload_type: str = IN_TOTO) -> dict[str, Any]:
        """A bundle around a signed payload."""
        payload = statement if isinstance(statement, bytes) else compact(statement)
        kind = payload_type.encode()
        pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        return {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": self.hint}},
            "dsseEnvelope": {
                "payload": b64(payload),
                "payloadType": payload_type,
                "signatures": [{"sig": b64(self.sign(pae))}],
            },
        }

    def payload(self, digest: str, optional: dict[str, str] | None = None) -> dict[str, Any]:
        """The simple-signing payload of an image signature."""
        return {
            "critical": {
                "identity": {"docker-reference": "registry.test/team/app"},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": optional,
        }


class Outcome(NamedTuple):
    """What a command said."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    peak: int = 0
    """Bytes; only of `verify_apart`."""

    @property
    def verdict(self) -> dict[str, Any]:
        """The verdict of `-o verdict`."""
        return json.loads(self.stdout)

    @property
    def code(self) -> str:
        """The verdict's code; without a verdict, that of the error."""
        if self.stdout:
            return self.verdict["code"]
        return self.stderr.partition(" [")[2].partition("]")[0]

    @property
    def findings(self) -> list[list[str]]:
        """The codes of the failed findings of each signature."""
        return [
            [finding["code"] for finding in signature["findings"] if finding["outcome"] == "failed"]
            for signature in self.verdict["signatures"]
        ]

    def is_refused(self, code: str, exit_code: int) -> None:
        """Assert the code and the exit code, and that nothing was claimed beyond them."""
        assert "Traceback" not in self.stderr
        assert (self.code, self.exit_code) == (code, exit_code), self.stdout + self.stderr
        if self.stdout:
            assert self.verdict["outcome"] == ("unknown" if exit_code == 14 else "refused")
            assert self.verdict["exitCode"] == exit_code

    def is_accepted(self) -> None:
        """Assert that the image was accepted."""
        assert (self.exit_code, self.code) == (0, "accepted"), self.stdout + self.stderr
        assert self.verdict["outcome"] == "accepted"


def run(argv: list[str], *, environ: dict[str, str] | None = None, stdin: str = "") -> Outcome:
    """Run a command line in this process."""
    from sealgate.cli.__main__ import run as run_command
    from sealgate.cli.context import Context

    stdout, stderr = io.StringIO(), io.StringIO()
    began = time.monotonic()
    context = Context(
        environ=environ if environ is not None else {"HOME": os.environ["HOME"]},
        stdin=io.StringIO(stdin), stdout=stdout, stderr=stderr,
    )  # fmt: skip
    try:
        exit_code = run_command(argv, context)
    finally:
        if context._client is not None:
            context._client.close()  # the command itself leaves that to the end of the process
    return Outcome(exit_code, stdout.getvalue(), stderr.getvalue(), time.monotonic() - began)


_APART = """
import sys
from sealgate.cli.__main__ import run
code = run(sys.argv[2:])
sys.stdout.flush()
with open('/proc/self/status') as status:
    peak = next(line.split()[1] for line in status if line.startswith('VmHWM'))
with open(sys.argv[1], 'w') as file:
    file.write(peak)
sys.exit(code)
"""


def run_apart(argv: list[str], folder: Path, *, seconds: float = 60) -> Outcome:
    """Run a command line in a process of its own, and measure its peak memory."""
    peak = folder / "peak"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _APART, str(peak), *argv],
        capture_output=True, text=True, timeout=seconds, check=False, cwd=folder, env=dict(os.environ),
    )  # fmt: skip
    seconds = time.monotonic() - began
    return Outcome(done.returncode, done.stdout, done.stderr, seconds, int(peak.read_text()) * 1024)


class Scene:
    """A registry with an image, a key that signs it, and the question whether it is accepted."""

    def __init__(self, registry: EvilRegistry, signer: Signer, folder: Path) -> None:
        self.registry = registry
        self.signer = signer
        self.folder = folder
        self.image = self.honest.put_image(REPOSITORY, "v1")
        self.evil = self.honest.put_image(REPOSITORY, "evil", b"evil layer")

    @property
    def honest(self) -> HonestRegistry:
        """What the registry holds."""
        return self.registry.honest

    @property
    def name(self) -> str:
        """The image by its digest."""
        return f"{self.registry.host}/{REPOSITORY}@{self.image.digest}"

    @property
    def tag(self) -> str:
        """The image by its tag."""
        return f"{self.registry.host}/{REPOSITORY}:v1"

    def path(self, kind: str, which: str) -> str:
        """A path of the API."""
        return f"/v2/{REPOSITORY}/{kind}/{which}"

    # -- signatures

    def bundle(self, image: Stored | None = None, annotations: dict[str, str] | None = None) -> dict[str, Any]:
        """A good bundle for the image."""
        digest = (image or self.image).digest
        return self.signer.bundle(self.signer.statement(digest, annotations))

    def attach(self, bundle: dict[str, Any] | bytes | None = None, *, subject: Stored | None = None) -> Stored:
        """Attach a bundle (a good one unless another is given) as a referrer of the image."""
        content = bundle if isinstance(bundle, bytes) else compact(bundle or self.bundle())
        return self.honest.put_referrer(REPOSITORY, subject or self.image, content, artifact_type=BUNDLE)

    def layer(
        self,
        payload: dict[str, Any] | bytes | None = None,
        *,
        signature: bytes | str | None = None,
        media_type: str = SIMPLE,
        **annotations: str,
    ) -> dict[str, Any]:
        """Store a payload; the descriptor of a layer of a `.sig` manifest, with its signature."""
        content = payload if isinstance(payload, bytes) else compact(payload or self.signer.payload(self.image.digest))
        made = self.signer.sign(content) if signature is None else signature
        text = made if isinstance(made, str) else b64(made)
        found = self.honest.put_blob(REPOSITORY, content, media_type)
        return {**found, "annotations": {SIGNATURE: text, **annotations}}

    def sign_legacy(self, *layers: dict[str, Any], image: Stored | None = None) -> Stored:
        """Put a `.sig` manifest of these layers (one good one unless others are given) beside the image."""
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.honest.put_blob(REPOSITORY, b'{"architecture":"","os":""}', CONFIG),
            "layers": list(layers or [self.layer()]),
        }
        tag = (image or self.image).digest.replace(":", "-") + ".sig"
        return self.honest.put_manifest(REPOSITORY, document, tag)

    # -- the question

    def arguments(self, *extra: str, image: str | None = None, key: Path | None = None) -> list[str]:
        """A command line that verifies the image."""
        return [
            "verify",
            "--key",
            str(key or self.signer.path),
            "-o",
            "verdict",
            *extra,
            self.name if image is None else image,
        ]

    def verify(
        self, *extra: str, image: str | None = None, key: Path | None = None, environ: dict[str, str] | None = None
    ) -> Outcome:
        """Verify the image (by digest) with the signer's key."""
        found = run(self.arguments(*extra, image=image, key=key), environ=environ)
        assert "Traceback" not in found.stderr
        return found

    def accepted_of(self, contents: dict[Any, bytes], media_type: str = BUNDLE) -> set[Any]:
        """Attach all these contents to one new image signed by nobody else; the names of those that were good.

        At most 500. `contents` are of this scene's image; it is the same image in a repository of its own.
        """
        repository = f"team/many{len(self.honest.manifests)}"
        image = self.honest.put_manifest(repository, self.image.raw)
        names: dict[str, list[Any]] = {}
        for name, content in contents.items():
            self.honest.put_referrer(repository, image, content, artifact_type=media_type)
            names.setdefault(digest_of(content), []).append(name)
        found = self.verify(image=f"{self.registry.host}/{repository}@{image.digest}")
        signatures = found.verdict["signatures"]
        assert {signature["content"] for signature in signatures} == names.keys()
        good = [name for signature in signatures if signature["accepted"] for name in names[signature["content"]]]
        assert found.exit_code == (0 if good else 12)
        return set(good)

    def verify_apart(self, *extra: str, image: str | None = None) -> Outcome:
        """Verify the image in a process of its own."""
        found = run_apart(self.arguments(*extra, image=image), self.folder)
        assert "Traceback" not in found.stderr
        return found


def leaves(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of every member and item of a JSON document, containers included, the root left out."""
    found: list[tuple[Any, ...]] = []
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += leaves(value, (*path, key))
    return found


def changed(document: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A copy of a JSON document in which `change(container, key)` was done at a path."""
    copied = copy.deepcopy(document)
    container = copied
    for key in path[:-1]:
        container = container[key]
    change(container, path[-1])
    return copied


def at(document: Any, path: tuple[Any, ...]) -> Any:
    """What stands at a path."""
    for key in path:
        document = document[key]
    return document
