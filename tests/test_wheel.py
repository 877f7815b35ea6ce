"""What is built and given away: the wheel has everything the command needs, and says what it needs."""

import subprocess
import sys
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

import sealgate as package

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_it_holds_every_module_and_the_marker_of_types(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    source = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src/sealgate").rglob("*.py")}
    assert source <= names
    assert "sealgate/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {"sealgate", f"sealgate-{package.__version__}.dist-info"}


def test_its_metadata(wheel):
    info = f"sealgate-{package.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = BytesParser().parsebytes(archive.read(f"{info}/METADATA"))
        entries = archive.read(f"{info}/entry_points.txt").decode()
        assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert metadata["Version"] == package.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "sealgate = sealgate.cli.__main__:main" in entries


def test_the_package_imports_from_the_wheel_alone(wheel):
    code = f"import sys; sys.path.insert(0, {str(wheel)!r}); import sealgate; print(sealgate.__file__)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().startswith(str(wheel)), done.stderr
