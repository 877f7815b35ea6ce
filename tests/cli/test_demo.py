"""The demo does what it tells, and leaves nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from sealgate.cli import demo


def test_the_demo_accepts_refuses_and_leaves_nothing(sealgate, tmp_path):
    pytest_env = {
        "TMPDIR": str(tmp_path / "tmp"),
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    (tmp_path / "tmp").mkdir()
    work = tmp_path / "work"
    work.mkdir()
    done = sealgate("demo", env=pytest_env, cwd=work, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    accepted, refused = done.stdout.index("accepted: signed by cosign.pub"), done.stdout.index("refused:")
    assert accepted < refused
    assert "signature-subject-mismatch" in done.stdout[refused:]
    assert re.search(r"exit code 12\b", done.stdout)
    assert "\x1b" not in done.stdout
    assert done.stdout.count("That was all of it") == 1
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list(work.iterdir()) == []


def test_the_demo_fails_when_the_forgery_would_be_accepted(tmp_path):
    """The last step is a check, not a sentence: with a verifier that always agrees the demo ends in 1."""
    program = """
import sys
from sealgate.cli import __main__, demo
real = demo._Story._run
def agreeable(self, *argv, expected=0):
    done = real(self, *argv, expected=expected)
    return done._replace(stdout=done.stdout.replace("signature-subject-mismatch", "accepted"))
demo._Story._run = agreeable
sys.exit(__main__.run(["demo"]))
"""
    environ = {"PATH": os.defpath, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "[failure]" in done.stderr
    assert list(Path(tmp_path).iterdir()) == []


def test_the_image_is_one_that_others_can_read():
    import gzip
    import hashlib

    config, layer = demo._image_of(b"echo\n")
    digest = f"sha256:{hashlib.sha256(gzip.decompress(layer)).hexdigest()}"
    assert json.loads(config)["rootfs"]["diff_ids"] == [digest]
