"""What is measured of verifying without keys: bundles in process, beside sigstore-python, and an image, beside cosign."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cases import Bar, Row, seconds_at_most
from contest import interleave

from peers.programs import Peer, installed

if TYPE_CHECKING:
    from cases import Scene
    from contest import Contender, Run

    from trust_service.service import TrustService

_PACE = Path(__file__).with_name("pace.py")
_WARM = 50
"""So many bundles of each file are verified before the clock starts (`pace`)."""


def at_least_a_second(rate: int, count: int) -> Bar:
    """Of the processor's time: nobody else's work counts."""
    return Bar(f"≥ {rate}/s", lambda row: count / row.ours.median >= rate)


def verify_bundles(scene: Scene) -> Iterator[Row]:
    """Bundles of files, each with a certificate of its own, verified one after the other by one thread."""
    from trust_service.service import TrustService

    interpreter = str(_sigstore_python().path)
    service = TrustService()
    count = 300 if scene.quick else 1500
    for text, rekor, tsa, rate in (("Rekor v1", 1, False, 1500), ("Rekor v2 and a timestamp", 2, True, 700)):
        folder = scene.folder / f"bundles{rekor}"
        _make(service, folder, count, rekor, tsa=tsa)
        contenders = {
            "sigstore-python": _paced(scene, interpreter, "sigstore-python", folder, count),
            "sealgate": _paced(scene, sys.executable, "sealgate", folder, count),
        }
        found = interleave(contenders, 3 if scene.quick else 7)
        rates = [f"{name} {count / result.median:.0f}/s ({count / result.best:.0f})" for name, result in found.items()]
        yield Row(
            f"verify {count} bundles, {text}, in process, processor time, against sigstore-python",
            found,
            (at_least_a_second(rate, count),),
            peer="sigstore-python",
            notes=", ".join(rates),
        )


def _sigstore_python() -> Peer:
    found = installed()["sigstore-python"]
    if isinstance(found, Peer):
        return found
    raise RuntimeError(f"sigstore-python is not here: {found}")


def _make(service: TrustService, folder: Path, count: int, rekor: int, *, tsa: bool) -> None:
    """As many bundles, and some to warm up; and a trust root of the size of Sigstore's own."""
    names = ("current", "retired")
    folder.mkdir()
    root = service.trusted_root(authorities=names, ct=names, logs=names, tsa=names)
    (folder / "trusted_root.json").write_text(json.dumps(root), encoding="utf-8")
    bundles = []
    for number in range(count + _WARM):
        file = f"file {number} of the benchmark\n"
        made = service.make_bundle(artifact=file.encode(), rekor=rekor, tsa=tsa)
        bundles.append({"file": file, "bundle": made.json.decode()})
    whole = {"identity": made.subject, "issuer": made.issuer, "bundles": bundles}
    (folder / "bundles.json").write_text(json.dumps(whole), encoding="utf-8")


def _paced(scene: Scene, python: str, name: str, folder: Path, count: int) -> Contender:
    command = [python, "-I", str(_PACE), name, str(folder)]

    def contend(_: int) -> Run:
        run = scene.machine.run(command)
        said = json.loads(run.stdout)
        if said["accepted"] != count or said["refused"] != [True, True]:
            raise RuntimeError(f"{name} accepted {said['accepted']} of {count}, and refused: {said['refused']}")
        return run._replace(seconds=said["processor"])

    return contend


def verify_image(scene: Scene) -> Iterator[Row]:
    """An image that cosign signed without a key, loopback: the whole process counts."""
    from trust_service.server import serve

    with serve() as service:
        token = scene.folder / "token"
        token.write_text(service.token(), encoding="ascii")
        for text, rekor, tsa in (("Rekor v1", 1, None), ("Rekor v2 and a timestamp", 2, "current")):
            files = service.files(scene.folder / f"trust{rekor}", rekor=rekor, tsa=tsa)
            root = ["--trusted-root", str(files.trusted_root)]
            image = scene.image()
            services = ["--signing-config", str(files.signing_config), *root, "--identity-token", str(token), "--yes"]
            scene.machine.run([scene.cosign, "sign", *services, image.reference])
            issuer = service.issuer.url
            contend = functools.partial(_verifier, scene, root=root, issuer=issuer, reference=image.reference)
            contenders = {name: contend(program) for name, program in _programs(scene).items()}
            found = interleave(contenders, 9 if scene.quick else 31)
            yield Row(f"verify keyless, {text}, loopback", found, (seconds_at_most(0.13),))


def _programs(scene: Scene) -> dict[str, str]:
    return {"cosign": scene.cosign, "sealgate": scene.sealgate}


def _verifier(scene: Scene, program: str, *, root: list[str], issuer: str, reference: str) -> Contender:
    from trust_service.identities import EMAIL

    ask = [program, "verify", *root, "--certificate-oidc-issuer", issuer, "--certificate-identity"]

    def contend(number: int) -> Run:
        if number < 0:  # the one that warms up: somebody else's name is refused
            scene.machine.run([*ask, "nobody@example.test", reference], good=None)
        run = scene.machine.run([*ask, EMAIL, reference])
        if sum(len(json.loads(line)) for line in run.stdout.splitlines() if line.startswith(b"[")) != 1:
            raise RuntimeError(f"{program} did not print one signature")
        return run

    return contend
