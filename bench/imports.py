"""Where start-up time goes: what modules cost, what `sealgate verify` loads, and threads against asyncio.

    bench/imports.py             three tables, about a minute
    bench/imports.py --rounds 5  faster, rougher

The measurements behind choices of docs/design.md: no asyncio, `dataclasses` or `http.client` on the path of `verify`; one
flow with two drivers. Everything with bytecode, interleaved, whole processes: the least of imports, medians of the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from cases import ROUND_TRIP  # noqa: E402
from contest import Machine, interleave  # noqa: E402
from latency import proxy  # noqa: E402

from peers.images import push_image  # noqa: E402
from peers.registries import start  # noqa: E402

MODULES = (
    "typing", "argparse", "json", "hashlib", "threading, queue", "socket", "ssl", "pathlib", "tempfile", "urllib.parse",
    "dataclasses", "inspect", "logging", "email.message", "http.client", "urllib.request", "importlib.metadata", "asyncio",
    "aiohttp", "nacl.secret", "cryptography.hazmat.primitives.asymmetric.ec", "cryptography.hazmat.primitives.serialization",
    "cryptography.x509",
)  # fmt: skip

_FLOW = """
import os, sys
from contextlib import ExitStack
from sealgate.keys.resolve import load_public_key
from sealgate.oci.images import Images
from sealgate.oci.registry import RegistrySettings, Session
from sealgate.verification import deny, requirement
from sealgate.verification.verify import Wanted, verify_all
key, image, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
async def flow():
    wanted = Wanted(requirement.any_of([requirement.SignedBy(await load_public_key(key, environ=os.environ), key)]), deny.NOTHING)
    images = Images(Session(RegistrySettings()), closing=ExitStack())
    subjects = [await images.open(image) for _ in range(times)]
    return await verify_all(subjects, wanted)
"""
DRIVERS = {
    "threads": _FLOW
    + """
from sealgate.transport import driver
from sealgate.transport.http import HttpClient
found = driver.run(flow(), sender=HttpClient().send)
os._exit(0 if all(each[0].accepted for each in found) else 1)
""",
    "asyncio": _FLOW
    + """
import asyncio
from sealgate.transport import asynchronous
async def main():
    async with asynchronous.AsyncHttpClient() as client:
        return await asynchronous.run(flow(), client=client)
found = asyncio.run(main())
os._exit(0 if all(each[0].accepted for each in found) else 1)
""",
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure where start-up time goes.")
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="sealgate-bench-") as name:
        folder = Path(name)
        machine = Machine(folder)
        _modules(machine, rounds)
        with contextlib.ExitStack() as running:
            registry = running.enter_context(start(folder / "registry"))
            slow = running.enter_context(proxy(registry.host, seconds=ROUND_TRIP))
            image = push_image(registry.host, "bench/image")
            program = str(Path(sys.executable).with_name("sealgate"))
            machine.run([program, "generate-key-pair", "--output-key-prefix", str(folder / "key")])
            machine.run([program, "sign", "--key", str(folder / "key.key"), image.reference])
            _verify(machine, rounds, [program, "verify", "--key", str(folder / "key.pub"), image.reference])
            _drivers(
                machine, rounds, str(folder / "key.pub"), image.reference, image._replace(host=slow.host).reference
            )
    return 0


def _modules(machine: Machine, rounds: int) -> None:
    """What each import adds to `python -c pass`."""
    programs = {"(nothing)": "pass", **{name: f"import {name}" for name in MODULES}}
    found = interleave(
        {
            name: (lambda _, code=code: machine.run([sys.executable, "-c", f"{code}\nimport os\nos._exit(0)"]))
            for name, code in programs.items()
        },
        rounds,
    )
    nothing = found["(nothing)"].best
    print(f"| import | adds, ms (least) |\n|---|---|\n| (nothing: the whole process) | {nothing * 1000:.1f} |")
    for name in MODULES:
        print(f"| `{name}` | {(found[name].best - nothing) * 1000:.1f} |")


def _verify(machine: Machine, rounds: int, command: list[str]) -> None:
    """Milliseconds of each module that `sealgate verify` loads, without those it loads in turn."""
    times: dict[str, list[int]] = {}
    for _ in range(rounds):
        run = machine.run([sys.executable, "-X", "importtime", *command])
        for line in run.stderr.decode(errors="replace").splitlines():
            own, _, name = (part.strip() for part in line.removeprefix("import time:").rpartition("|"))
            if line.startswith("import time:") and own.split("|")[0].strip().isdigit():
                times.setdefault(name, []).append(int(own.split("|")[0]))
    cost = {name: statistics.median(found) / 1000 for name, found in times.items()}
    groups: dict[str, tuple[int, float]] = {}
    for name, own in cost.items():
        top = name.partition(".")[0]
        group = top if top in {"sealgate", "cryptography"} else "the interpreter and its library"
        count, total = groups.get(group, (0, 0.0))
        groups[group] = (count + 1, total + own)
    print("\n| `sealgate verify` loads | modules | ms |\n|---|---|---|")
    for group, (count, total) in sorted(groups.items(), key=lambda item: -item[1][1]):
        print(f"| {group} | {count} | {total:.1f} |")
    for name, own in sorted(cost.items(), key=lambda item: -item[1])[:15]:
        print(f"| – `{name}` alone | | {own:.1f} |")


def _drivers(machine: Machine, rounds: int, key: str, near: str, far: str) -> None:
    """The same flow driven by threads and by asyncio (aiohttp): whole processes, one verification and a hundred."""
    print("\n| the same flow | threads | asyncio, aiohttp |\n|---|---|---|")
    for text, reference, times in (("1 bundle, loopback", near, 1), ("1 bundle, 50 ms a request", far, 1),
                                   ("the same bundle 100 times, loopback", near, 100)):  # fmt: skip
        found = interleave(
            {
                name: (lambda _, code=code: machine.run([sys.executable, "-c", code, key, reference, str(times)]))  # noqa: B023 - run at once
                for name, code in DRIVERS.items()
            },
            rounds if times == 1 else max(rounds // 4, 3),
        )
        print(f"| {text} | {found['threads'].median * 1000:.0f} ms | {found['asyncio'].median * 1000:.0f} ms |")


if __name__ == "__main__":
    sys.exit(main())
