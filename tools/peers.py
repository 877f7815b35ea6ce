"""Fetch the programs that the tests run against (`make peers`), into `.peers/` of the project.

They are Debian's own packages, unpacked and never installed; `tools/debian.py` says how. What was fetched, and why
something could not be, is written to `.peers/peers.json`, which the fixtures in `tests/peers/` read. Always ends in 0:
a test whose peer is missing says so itself (it is skipped, or fails under `CI=true`).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from debian import Archive, DebianError, locked

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".peers"
RECORD = FOLDER / "peers.json"


class Peer(NamedTuple):
    """A program and where it comes from."""

    name: str
    package: str
    suite: str
    program: str
    version_command: str


PEERS = (
    Peer("cosign3", "cosign", "sid", "usr/bin/cosign", "version"),
    Peer("cosign2", "cosign", "trixie", "usr/bin/cosign", "version"),
    Peer("crane", "crane", "sid", "usr/bin/crane", "version"),
    Peer("oras", "oras", "sid", "usr/bin/oras", "version"),
    Peer("docker-registry", "docker-registry", "sid", "usr/bin/docker-registry", "--version"),
)


def main() -> int:
    """Fetch what is missing, and say what there is."""
    if all(_complete(entry) for entry in _record().values()) and _record().keys() == {peer.name for peer in PEERS}:
        return 0
    with locked(FOLDER):
        record = _fetch(_record())
        part = RECORD.with_suffix(".part")
        part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        part.replace(RECORD)
    for name, entry in record.items():
        print(f"peer {name}: {entry.get('version') or 'missing: ' + entry['missing']}", file=sys.stderr)
    return 0


def _record() -> dict[str, dict[str, str]]:
    try:
        record = json.loads(RECORD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _complete(entry: dict[str, str]) -> bool:
    return "path" in entry and (FOLDER / entry["path"]).is_file()


def _fetch(record: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    wanted = [peer for peer in PEERS if not _complete(record.get(peer.name, {}))]
    started = time.monotonic()
    archive = Archive(FOLDER / "apt", tuple(dict.fromkeys(peer.suite for peer in PEERS)))
    try:
        if wanted:
            print("fetching the programs to test against (once)…", file=sys.stderr)
            archive.update()
    except DebianError as error:
        return record | {peer.name: {"missing": str(error)} for peer in wanted}
    for peer in wanted:
        record[peer.name] = _fetch_one(archive, peer)
    if all(_complete(entry) for entry in record.values()):
        shutil.rmtree(FOLDER / "apt", ignore_errors=True)  # the lists are large, and old by the next time
    print(f"fetched in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return {peer.name: record[peer.name] for peer in PEERS}


def _fetch_one(archive: Archive, peer: Peer) -> dict[str, str]:
    try:
        version = archive.unpack(peer.package, peer.suite, FOLDER / peer.name)
    except DebianError as error:
        return {"missing": str(error)}
    path = FOLDER / peer.name / peer.program
    try:
        subprocess.run(
            [path, peer.version_command], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return {"missing": f"{peer.package} {version} of {peer.suite} does not run on this machine: {error}"}
    return {"package": peer.package, "suite": peer.suite, "version": version, "path": f"{peer.name}/{peer.program}"}


if __name__ == "__main__":
    sys.exit(main())
