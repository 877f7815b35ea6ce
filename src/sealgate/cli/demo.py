"""`sealgate demo`: sign an image, verify it, and see a forgery refused, on this machine and with nothing left behind.

Everything is real: a registry on loopback, the commands as they are shown, and an attacker who can write to the registry.
"""

from __future__ import annotations

import io
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import SealgateError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sealgate.cli.context import Context
    from sealgate.digest import Digest
    from sealgate.oci.registry import RegistryStore

HELP = """Show what sealgate is for, in some seconds: an image is signed and accepted, a forgery with the good signature copied onto
it is refused. Everything happens on loopback and in a temporary directory. Needs sealgate[server]. Exit code 0: all of it
happened as told."""

_REPOSITORY = "demo/app"
_TAG = "v1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Tell the story."""
    del arguments
    import tempfile

    from sealgate.oci.server import serve_in_thread

    with ExitStack() as closing:
        folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="sealgate-demo-"))
        os.mkdir(os.path.join(folder, "work"))
        host = closing.enter_context(serve_in_thread(os.path.join(folder, "registry")))
        closing.enter_context(_working_in(os.path.join(folder, "work")))
        _Story(context, host, folder).tell()
    context.out(
        "\nThat was all of it: the registry has ended, and its files are gone. Next: README.md, `sealgate help`."
    )
    return 0


@contextmanager
def _working_in(folder: str) -> Iterator[None]:
    """The commands are run as they are shown, with relative names of files."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class _Done(NamedTuple):
    code: int
    stdout: str
    stderr: str


class _Story:
    def __init__(self, context: Context, host: str, folder: str) -> None:
        import secrets

        from sealgate.cli import render

        self._context = context
        self._host = host
        self._image = f"{host}/{_REPOSITORY}:{_TAG}"
        self._style = render.style(context.stdout, context.environ)
        # Nothing of the user's own settings, and no credentials.
        self._environ = {
            "COSIGN_PASSWORD": secrets.token_urlsafe(16),
            "DOCKER_CONFIG": folder,
            "HOME": folder,
            "PATH": os.defpath,
        }

    def tell(self) -> None:
        """Every step, or `SealgateError`."""
        self._say("Sealgate signs container images, and keeps out every image that lacks the signature.")
        self._say("Everything below is real, and happens on this machine only.")

        self._step("A registry", f"It listens on {self._host}, with the referrers API of OCI 1.1.")
        self._shown("sealgate registry serve DIR --listen 127.0.0.1:0")

        good = self._push(b"echo hello from the build server\n")
        self._step("An image", "The build server pushes it. (The demo does that itself; elsewhere:)")
        self._shown(f"docker push {self._image}")
        self._told(f"{_TAG} is now {good}")

        self._step("A key pair", "The private half is encrypted; the public half is for everybody who verifies.")
        self._shown("export COSIGN_PASSWORD=…")
        self._run("generate-key-pair")

        self._step("The signature", "Made over the digest, and kept beside the image in the registry.")
        self._run("sign", "--key", "cosign.key", f"{self._host}/{_REPOSITORY}@{good}")

        self._step("Verification", "Before it deploys, a cluster or a pipeline asks:")
        self._verify(expected=0, code="accepted", digest=good)
        self._told(self._style.good("The image is what the build server made."))

        forged = self._push(b"echo mining coins for somebody else\n")
        self._step("An attack", "Somebody who can write to the registry pushes another image under the same tag,")
        self._say("   and hangs the good signature on it. Elsewhere:")
        self._shown(f"docker push {self._image}")
        self._shown(f"oras attach --artifact-type …bundle… {self._host}/{_REPOSITORY}@{_short(forged)} signature.json")
        self._copy_signature(good, forged)
        self._told(f"{_TAG} is now {forged}, and a signature by the right key hangs on it")

        self._step("Verification", "The same question as before:")
        self._verify(expected=12, code="signature-subject-mismatch", digest=forged)
        self._told(
            self._style.bad("Refused.")
            + f" The signature is genuine, and it is of another image: {_short(good)}, not {_short(forged)}."
        )

    # -- telling

    _number = 0

    def _say(self, text: str) -> None:
        self._context.out(text)

    def _step(self, title: str, text: str) -> None:
        self._number += 1
        self._say(f"\n{self._style.strong(f'{self._number}. {title}')}\n   {text}")

    def _shown(self, command: str) -> None:
        self._say(f"   {self._style.faint('$')} {command}")

    def _told(self, text: str) -> None:
        self._say(f"   {text}")

    # -- doing

    def _run(self, *argv: str, expected: int = 0) -> _Done:
        """A command as a person would type it; its words are shown."""
        from sealgate.cli.__main__ import run as run_command
        from sealgate.cli.context import Context

        self._shown(f"sealgate {' '.join(argv)}")
        stdout, stderr = io.StringIO(), io.StringIO()
        code = run_command(argv, Context(environ=self._environ, stdin=io.StringIO(), stdout=stdout, stderr=stderr))
        done = _Done(code, stdout.getvalue(), stderr.getvalue())
        for line in done.stderr.splitlines():
            self._say(f"     {line}")
        if code != expected:
            raise SealgateError(
                f"`sealgate {argv[0]}` ended in {code}; {expected} was expected", hint="this is a fault of sealgate"
            )
        return done

    def _verify(self, *, expected: int, code: str, digest: Digest) -> None:
        import json

        done = self._run("verify", "--key", "cosign.pub", "-o", "verdict", self._image, expected=expected)
        verdict = json.loads(done.stdout)
        self._told(f"exit code {done.code}; the verdict, as JSON on stdout, has the code {verdict['code']}")
        if (verdict["code"], verdict["digest"]) != (code, str(digest)):
            raise SealgateError(f"the verdict is {verdict['code']} on {verdict['digest']}; {code} was expected")

    def _push(self, script: bytes) -> Digest:
        """Put a small image under the tag."""
        from sealgate.digest import Digest
        from sealgate.oci import manifest as manifests
        from sealgate.oci.descriptor import Descriptor

        config, layer = _image_of(script)
        types = ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip")
        described = [
            Descriptor(media_type, len(body), Digest.of(body))
            for media_type, body in zip(types, (config, layer), strict=True)
        ]

        async def push() -> Digest:
            store = self._store()
            for body, descriptor in zip((config, layer), described, strict=True):
                await store.put_blob(body, descriptor.digest)
            raw = manifests.encode_image_manifest(described[0], described[1:])
            return await store.put_manifest(raw, manifests.OCI_MANIFEST, _TAG)

        return self._context.run(push())

    def _copy_signature(self, source: Digest, target: Digest) -> None:
        """Hang what hangs on `source` on `target`: the manifest says so now, the bundle in it is untouched."""
        import json

        from sealgate.oci import manifest as manifests

        async def copy() -> int:
            store = self._store()
            forged = await store.get_manifest(target)
            copied = 0
            for referrer in await store.list_referrers(source) or []:
                manifest = await store.get_manifest(referrer.digest)
                if manifest is not None and forged is not None:
                    document = json.loads(manifest.raw) | {"subject": forged.descriptor().as_json()}
                    await store.put_manifest(json.dumps(document).encode(), manifests.OCI_MANIFEST)
                    copied += 1
            return copied

        if self._context.run(copy()) != 1:
            raise SealgateError("there is not one signature on the signed image")

    def _store(self) -> RegistryStore:
        from sealgate.oci.host import RegistrySettings
        from sealgate.oci.reference import parse
        from sealgate.oci.registry import Session

        return Session(RegistrySettings()).repository(parse(self._image))


def _image_of(script: bytes) -> tuple[bytes, bytes]:
    """A config, and a layer with one file."""
    import gzip
    import hashlib
    import json
    import tarfile

    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("app.sh")
        entry.size, entry.mode = len(script), 0o755
        archive.addfile(entry, io.BytesIO(script))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/sh", "/app.sh"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar.getvalue()).hexdigest()}"]},
    }
    return json.dumps(config).encode(), gzip.compress(tar.getvalue(), mtime=0)


def _short(digest: Digest) -> str:
    return f"{digest.algorithm}:{digest.hex[:12]}…"
