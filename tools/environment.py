"""Make a virtual environment and install what is pinned into it.

    environment.py FOLDER [--project] REQUIREMENTS…

Installs the files in the order given, each with its hashes checked, and with `--project` this project itself, editable.
Works without `ensurepip` too (Debian keeps it in python3-venv): pip then comes from the Python that runs this, from uv,
or from Debian's own package of it, unpacked and not installed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from debian import Archive, DebianError, codename, locked

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)


def main(arguments: list[str]) -> int:
    """Do as the module says. Ends in 1, with a sentence, when it cannot."""
    folder, *files = arguments
    project = "--project" in files
    files = [name for name in files if name != "--project"]
    python = Path(folder, "bin", "python").absolute()
    if sys.version_info < OLDEST:
        print(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: set PYTHON=…", file=sys.stderr)
        return 1
    try:
        with locked(ROOT / ".cache"):
            if not _works(python):
                _make(Path(folder), python)
            for name in files:
                print(f"installing {name}…", file=sys.stderr)
                _pip(python, "install", "--require-hashes", "--no-deps", "-r", name)
            if project:
                _pip(python, "install", "--no-deps", "--no-build-isolation", "-e", str(ROOT))
                # Bytecode now, so that the first command starts as fast as every later one.
                _run([str(python), "-m", "compileall", "-q", str(ROOT / "src")])
    except (subprocess.CalledProcessError, DebianError, OSError) as error:
        print(f"setting up {folder} failed: {error}", file=sys.stderr)
        return 1
    return 0


def _works(python: Path) -> bool:
    """Whether there is an environment with a Python that is new enough, and pip in it."""
    check = f"import sys, pip; sys.exit(sys.version_info < {OLDEST})"
    try:
        return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _make(folder: Path, python: Path) -> None:
    print(f"making {folder} with Python {sys.version.split()[0]}…", file=sys.stderr)
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=False).create(folder)
    if importlib.util.find_spec("ensurepip") is not None:
        done = subprocess.run([python, "-m", "ensurepip", "--default-pip"], capture_output=True, check=False)
        if done.returncode == 0:
            if sys.version_info < (3, 12):  # it brings setuptools along, which runs code of its own at every start
                _pip(python, "uninstall", "--yes", "setuptools")
            return
    build = str(ROOT / "requirements" / "build.txt")
    if importlib.util.find_spec("pip") is not None:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(python), "install", "--require-hashes", "-r", build],
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return
    if uv := shutil.which("uv"):
        _run([uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", build])
        return
    _pip_of_debian(python, build)


def _pip_of_debian(python: Path, build: str) -> None:
    """Debian keeps the wheel of pip in a package of its own."""
    archive = Archive(ROOT / ".cache" / "apt", (codename(),))
    archive.update()
    unpacked = ROOT / ".cache" / "python3-pip-whl"
    archive.unpack("python3-pip-whl", codename(), unpacked)
    wheel = next(iter(sorted(unpacked.glob("usr/share/python-wheels/pip-*.whl"))), None)
    if wheel is None:
        raise DebianError("python3-pip-whl holds no wheel of pip: install python3-venv")
    _run([str(python), f"{wheel}/pip", "install", "--quiet", "--require-hashes", "-r", build])


def _pip(python: Path, *arguments: str) -> None:
    _run([str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "--retries", "10", *arguments])


def _run(command: list[str]) -> None:
    environment = os.environ | {"PIP_NO_INPUT": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
