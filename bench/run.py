"""`make bench`, first part: measures Sealgate side by side with cosign, in one run, and prints a table of ratios.

    bench/run.py                     everything, about seven minutes
    bench/run.py --quick             fewer rounds and images: about a minute
    bench/run.py --only verify-20    one case (repeatable)
    bench/run.py --json FILE         the numbers as well

Bundles are verified in process, beside sigstore-python: their times are those of the processor, and their rates stand below.

Both programs verify what cosign signed, on docker-registry (no referrers API) on loopback; where a round trip is named, a
proxy (`latency.py`) adds it to each request. Runs are interleaved and whole processes are timed, with warm bytecode.
Absolute numbers belong to the machine; the ratios are what is meant.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the peers, and images made without a line of the product

from attested import find_in_sboms, verify_attestation  # noqa: E402
from cases import CASES, ROUND_TRIP, Scene  # noqa: E402
from contest import Machine  # noqa: E402
from keyless import verify_bundles, verify_image  # noqa: E402
from latency import proxy  # noqa: E402

from peers.programs import Peer, installed  # noqa: E402
from peers.registries import start  # noqa: E402

if TYPE_CHECKING:
    from cases import Row

CASES |= {"verify-attestation-20": verify_attestation, "sbom-find-50": find_in_sboms}
CASES |= {"verify-bundles": verify_bundles, "verify-keyless": verify_image}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure Sealgate side by side with cosign.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, fewer images")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to FILE")
    arguments = parser.parse_args()
    peers = installed()
    for name in ("cosign3", "docker-registry"):
        if not isinstance(peers[name], Peer):
            print(f"{name} is not here: {peers[name]}", file=sys.stderr)
            return 1
    if isinstance(peers["cosign3"], Peer) and isinstance(peers["docker-registry"], Peer):
        versions = f"cosign {peers['cosign3'].version}, docker-registry {peers['docker-registry'].version}"
        about = {**machine_and_date(), "peers": versions}
    print("\n".join(f"{name}: {value}" for name, value in about.items()), flush=True)
    rows: list[Row] = []
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="sealgate-bench-")))
        registry = running.enter_context(start(folder / "registry"))
        slow = running.enter_context(proxy(registry.host, seconds=ROUND_TRIP))
        machine = Machine(folder)
        scene = Scene(machine, peers["cosign3"].path, registry.host, slow, folder, quick=arguments.quick)
        for name, case in CASES.items():
            if arguments.only and name not in arguments.only:
                continue
            for row in case(scene):
                print("\n" + "\n".join(_lines(row)), flush=True)
                rows.append(row)
    print("\n" + table(rows))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(_document(about, rows), indent=1) + "\n", encoding="utf-8")
    return 0


def machine_and_date() -> dict[str, str]:
    """What it is measured on."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    revision = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "revision": revision or "unknown",
        "machine": f"{processor}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    }


def _lines(row: Row) -> list[str]:
    lines = [row.case]
    for name, result in row.results.items():
        more = f", {result.requests:.0f} requests" if result.requests else ""
        more += f", processor {_ms(result.cpu)}"
        more += f", peak {result.rss:.0f} MiB" if result.rss else ""
        lines.append(
            f"  {name:<22} median {_ms(result.median)}, least {_ms(result.best)}, most {_ms(result.worst)}"
            f"{more} ({result.runs} runs)"
        )
    if row.notes:
        lines.append(f"  {row.notes}")
    return lines


def table(rows: list[Row]) -> str:
    """Markdown: medians, with the least in brackets; the ratio of each. A busy machine moves the least less."""
    lines = ["| case | cosign 3.1.1 | sealgate | ratio | of the least | bar | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        bars = ", ".join(bar.text for bar in row.bars) or "–"
        held = "–" if not row.bars else "✓" if all(bar.holds(row) for bar in row.bars) else "✗"
        notes = f"; {row.notes}" if row.notes else ""
        lines.append(
            f"| {row.case} | {_cell(row, row.peer)} | {_cell(row, 'sealgate')} | {row.ratio:.2f} | {row.least:.2f} |"
            f" {bars}{notes} | {held} |"
        )
    return "\n".join(lines)


def _cell(row: Row, name: str) -> str:
    result = row.results[name]
    parts = [f"{_ms(result.median)} ({_ms(result.best)})"]
    if result.requests:
        parts.append(f"{result.requests:.0f} requests")
    if result.rss:
        parts.append(f"{result.rss:.0f} MiB")
    return ", ".join(parts)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 2 else f"{seconds:.2f} s"


def _document(about: dict[str, str], rows: list[Row]) -> dict[str, object]:
    return {
        **about,
        "rows": [
            {
                "case": row.case,
                "results": {name: result._asdict() for name, result in row.results.items()},
                "ratio": row.ratio,
                "ratio of the least": row.least,
                "bars": {bar.text: bar.holds(row) for bar in row.bars},
                "notes": row.notes,
            }
            for row in rows
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
