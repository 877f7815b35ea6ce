"""What is measured: each case sets up what it needs on the registry and lets the contenders do the same work.

A case is a function of the `Scene`; it gives `Row`s. What the contenders print is checked, so that nobody wins by doing less.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from contest import Started, expect, interleave, summary

from peers.images import Client, Pushed, push_image

if TYPE_CHECKING:
    from contest import Contender, Machine, Result, Run
    from latency import Slow

ROUND_TRIP = 0.05
_OFFLINE = ("--use-signing-config=false", "--tlog-upload=false", "-y")
_LEGACY = "--new-bundle-format=false"


class Bar(NamedTuple):
    """What must hold, of a row's numbers."""

    text: str
    holds: Callable[[Row], bool]


class Row(NamedTuple):
    """One line of the table."""

    case: str
    results: dict[str, Result]
    bars: tuple[Bar, ...] = ()
    peer: str = "cosign"
    """Whose result ours is compared with."""
    notes: str = ""

    @property
    def ours(self) -> Result:
        return self.results["sealgate"]

    @property
    def ratio(self) -> float:
        """Our median by the peer's."""
        return self.ours.median / self.results[self.peer].median

    @property
    def least(self) -> float:
        """Our best run by the peer's."""
        return self.ours.best / self.results[self.peer].best


def seconds_at_most(seconds: float) -> Bar:
    return Bar(f"≤ {seconds:g} s", lambda row: row.ours.median <= seconds)


def at_most(ratio: float) -> Bar:
    return Bar(f"≤ {ratio:g} ×", lambda row: row.ratio <= ratio)


def requests_at_most(count: int) -> Bar:
    return Bar(f"≤ {count} requests", lambda row: row.ours.requests <= count)


def memory_at_most(mebibytes: int) -> Bar:
    return Bar(f"≤ {mebibytes} MiB", lambda row: row.ours.rss <= mebibytes)


class Scene:
    """The programs, the registry, the proxy before it, two key pairs, and images as they are asked for."""

    def __init__(self, machine: Machine, cosign: Path, registry: str, slow: Slow, folder: Path, *, quick: bool) -> None:
        self.machine = machine
        self.cosign = str(cosign)
        self.sealgate = str(Path(sys.executable).with_name("sealgate"))
        self.registry = registry
        self.slow = slow
        self.folder = folder
        self.quick = quick
        self._count = 0
        self.key, self.public = self._pair("signer")
        _, self.wrong = self._pair("stranger")

    def _pair(self, name: str) -> tuple[str, str]:
        prefix = self.folder / name
        self.machine.run([self.sealgate, "generate-key-pair", "--output-key-prefix", str(prefix)])
        return f"{prefix}.key", f"{prefix}.pub"

    def pairs(self, count: int) -> list[tuple[str, str]]:
        return [self._pair(f"signer{number}") for number in range(count)]

    def image(self) -> Pushed:
        """A new image in a repository of its own."""
        self._count += 1
        return push_image(self.registry, f"bench/image{self._count}")

    def sign(self, images: list[Pushed], *, legacy: bool, times: int = 1) -> None:
        """By cosign: both tools verify what cosign made."""
        command = [self.cosign, "sign", "--key", self.key, *_OFFLINE, *([_LEGACY] if legacy else [])]
        for _ in range(times):
            self.machine.run([*command, *(image.reference for image in images)])

    def verifier(
        self,
        program: str,
        references: list[str],
        *,
        key: str,
        good: int | None,
        signatures: int,
        more: tuple[str, ...] = (),
    ) -> Contender:
        """Verify these images in one process. `signatures`: how many it must print in all; `good` None: it must refuse."""
        if program == "cosign":
            command = [self.cosign, "verify", "--key", key, "--insecure-ignore-tlog", *more, *references]
        else:
            command = [self.sealgate, "verify", "--key", key, *more, *references]

        def contend(_: int) -> Run:
            self.slow.reset()
            run = self.machine.run(command, good=good, memory=len(references) > 1)
            _check_printed(run, signatures, command)
            return run._replace(requests=self.slow.requests)

        return contend

    def through(self, image: Pushed) -> str:
        """The image's reference through the proxy."""
        return image._replace(host=self.slow.host).reference


def _check_printed(run: Run, signatures: int, command: list[str]) -> None:
    """The payloads of all good signatures, as JSON arrays, one a line."""
    printed = sum(len(json.loads(line)) for line in run.stdout.splitlines() if line.startswith(b"["))
    if printed != signatures:
        raise RuntimeError(f"{' '.join(command[:6])} … printed {printed} signatures, not {signatures}")


# ---------------------------------------------------------------------------------------------------------- verify


def verify_many(scene: Scene) -> Iterator[Row]:
    """20 bundle signatures on one image, a round trip of 50 ms."""
    image = scene.image()
    scene.sign([image], legacy=False, times=20)
    for text, key, good, count in (("right key", scene.public, 0, 20), ("wrong key", scene.wrong, None, 0)):
        contenders = {
            name: scene.verifier(name, [scene.through(image)], key=key, good=good, signatures=count)
            for name in ("cosign", "sealgate")
        }
        found = interleave(contenders, 3 if scene.quick else 7)
        yield Row(f"verify 20 bundles, {text}, 50 ms a request", found, (at_most(0.1), requests_at_most(45)))


def verify_one(scene: Scene) -> Iterator[Row]:
    """One signature in each format, a round trip of 50 ms."""
    for text, legacy, bar in (("1 bundle", False, 0.5), ("1 legacy signature", True, 0.8)):
        image = scene.image()
        scene.sign([image], legacy=legacy)
        contenders = _verifiers(scene, [scene.through(image)])
        yield Row(f"verify {text}, 50 ms a request", interleave(contenders, 5 if scene.quick else 11), (at_most(bar),))


def verify_near(scene: Scene) -> Iterator[Row]:
    """One signature in each format, loopback: the whole process counts."""
    for text, legacy in (("1 legacy signature", True), ("1 bundle", False)):
        image = scene.image()
        scene.sign([image], legacy=legacy)
        contenders = _verifiers(scene, [image.reference])
        yield Row(f"verify {text}, loopback", interleave(contenders, 9 if scene.quick else 31), (at_most(2),))


def _verifiers(scene: Scene, references: list[str]) -> dict[str, Contender]:
    return {
        name: scene.verifier(name, references, key=scene.public, good=0, signatures=len(references))
        for name in ("cosign", "sealgate")
    }


def verify_fleet(scene: Scene) -> Iterator[Row]:
    """200 images with one legacy signature each, loopback."""
    count = 40 if scene.quick else 200
    images = [scene.image() for _ in range(count)]
    scene.sign(images, legacy=True)
    references = [image.reference for image in images]
    listed = scene.folder / "images"
    listed.write_text("\n".join(references) + "\n", encoding="ascii")
    each = [scene.cosign, "verify", "--key", scene.public, "--insecure-ignore-tlog"]
    xargs = ["/usr/bin/xargs", "-a", str(listed), "-P2", "-n1", *each]

    def by_xargs(_: int) -> Run:
        run = scene.machine.run(xargs, memory=True)
        _check_printed(run, count, xargs)
        return run

    contenders = {**_verifiers(scene, references), "cosign, xargs -P2 -n1": by_xargs}
    found = interleave(contenders, 2 if scene.quick else 5)
    yield Row(f"verify {count} images in one process, loopback", found, (at_most(0.85), memory_at_most(100)))
    yield Row(f"verify {count} images, against `xargs -P2 -n1`", found, peer="cosign, xargs -P2 -n1")


# ---------------------------------------------------------------------------------------------------------- sign


def sign_alone(scene: Scene) -> Iterator[Row]:
    """A lone signer on a fresh image, loopback and 50 ms."""
    rounds = 3 if scene.quick else 7
    for where in ("loopback", "50 ms a request"):
        for text, legacy in (("bundle", False), ("legacy", True)):
            contenders = {name: _signer(scene, name, legacy=legacy, slow=where != "loopback") for name in _PROGRAMS}
            yield Row(f"sign, {text}, alone, {where}", interleave(contenders, rounds))


_PROGRAMS = ("cosign", "sealgate")


def _sign_command(scene: Scene, name: str, key: str, *, legacy: bool) -> list[str]:
    program = scene.cosign if name == "cosign" else scene.sealgate
    return [program, "sign", "--key", key, *_OFFLINE, *([_LEGACY] if legacy else [])]


def _signer(scene: Scene, name: str, *, legacy: bool, slow: bool) -> Contender:
    command = _sign_command(scene, name, scene.key, legacy=legacy)

    def contend(_: int) -> Run:
        image = scene.image()
        scene.slow.reset()
        run = scene.machine.run([*command, scene.through(image) if slow else image.reference])
        return run._replace(requests=scene.slow.requests)

    return contend


def sign_crowd(scene: Scene) -> Iterator[Row]:
    """Sixteen signers with keys of their own at one image at once: how many signatures are there afterwards."""
    count = 16
    keys = scene.pairs(count)
    for text, legacy in (("bundle", False), ("legacy", True)):
        runs: dict[str, list[Run]] = {name: [] for name in _PROGRAMS}
        kept: dict[str, list[int]] = {name: [] for name in _PROGRAMS}
        for _ in range(1 if scene.quick else 3):
            for name in _PROGRAMS:
                image = scene.image()
                commands = [[*_sign_command(scene, name, key, legacy=legacy), image.reference] for key, _ in keys]
                runs[name].append(_together(scene.machine, commands))
                kept[name].append(_entries(scene.registry, image, legacy=legacy))
        notes = ", ".join(f"{name} keeps {_spread(kept[name])} of {count}" for name in _PROGRAMS)
        lost = min(kept["sealgate"]) < count
        yield Row(
            f"sign, {text}, sixteen at once, loopback",
            {name: summary(found) for name, found in runs.items()},
            (Bar("all kept", lambda _, lost=lost: not lost),),
            notes=notes,
        )


def _together(machine: Machine, commands: list[list[str]]) -> Run:
    """Start all, wait for all; the time is that of the last."""
    with ThreadPoolExecutor(len(commands)) as threads:
        started: list[Started] = [machine.start(command) for command in commands]
        ended = list(threads.map(Started.end, started))
    for run, command in zip(ended, commands, strict=True):
        if command[0].endswith("sealgate"):
            expect(run, command)
    return max(ended, key=lambda run: run.seconds)


def _entries(registry: str, image: Pushed, *, legacy: bool) -> int:
    """How many signatures a verifier finds: of the `.sig` manifest, or of the fallback index."""
    tag = image.digest.replace(":", "-") + (".sig" if legacy else "")
    answer = Client(registry).get_manifest(image.repository, tag)
    if answer.status != 200:
        return 0
    entries = json.loads(answer.body)["layers" if legacy else "manifests"]
    return len({json.dumps(entry, sort_keys=True) for entry in entries})


def _spread(counts: list[int]) -> str:
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)}–{max(counts)}"


def sign_keyless(scene: Scene) -> Iterator[Row]:
    """With a token, against a trust service on loopback that answers both alike: image and file, by Rekor v2 and v1."""
    from trust_service.server import serve

    rounds = 3 if scene.quick else 9
    with serve() as service:
        token = scene.folder / "token"
        token.write_text(service.token())
        artifact = scene.folder / "artifact"
        artifact.write_text("content")
        for rekor in (2, 1):
            files = service.files(scene.folder / f"services{rekor}", rekor=rekor)
            services = ["--signing-config", files.signing_config, "--trusted-root", files.trusted_root]
            flags = [*map(str, services), "--identity-token", str(token), "--yes"]
            for what in ("sign", "sign-blob"):
                contenders = {name: _keyless(scene, name, [what, *flags], artifact) for name in _PROGRAMS}
                found = interleave(contenders, rounds)
                yield Row(f"{what} keyless, Rekor v{rekor} and a timestamp, loopback", found, (seconds_at_most(0.6),))


def _keyless(scene: Scene, name: str, words: list[str], artifact: Path) -> Contender:
    program = scene.cosign if name == "cosign" else scene.sealgate
    bundle = str(scene.folder / "bundle")

    def contend(_: int) -> Run:
        what = [scene.image().reference] if words[0] == "sign" else ["--bundle", bundle, str(artifact)]
        return scene.machine.run([program, *words, *what])

    return contend


CASES: dict[str, Callable[[Scene], Iterator[Row]]] = {
    "verify-20": verify_many,
    "verify-1": verify_one,
    "verify-loopback": verify_near,
    "verify-200": verify_fleet,
    "sign-alone": sign_alone,
    "sign-16": sign_crowd,
    "sign-keyless": sign_keyless,
}
