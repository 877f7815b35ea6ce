"""docs/bypasses.md has every way of the catalogue, with its tests or what it waits for, and is current."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_bypasses_is_current_and_complete():
    done = subprocess.run(
        [sys.executable, "tools/bypasses.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "bypasses.md").read_text(encoding="utf-8")
    ids = [
        line[:3]
        for line in (ROOT / "tools" / "bypasses.txt").read_text(encoding="utf-8").splitlines()
        if line[:1] != "#"
    ]
    assert len(ids) == len(set(ids)) == 269
    assert all(f"| {way} | " in page for way in ids)
