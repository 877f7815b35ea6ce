"""What `sealgate verify` loads. Start-up is most of what verifying an image nearby costs, and each module is a part of it.

Speed itself is never asserted: `make bench` measures it.
"""

import json
import subprocess
import sys

import pytest

from peers.images import push_image

FORBIDDEN = {
    # the standard library; milliseconds as bench/imports.py measures them
    "ast", "asyncio", "concurrent", "copy", "csv", "ctypes", "dataclasses", "datetime", "decimal", "difflib", "email",
    "fnmatch", "getpass", "glob", "html", "http", "importlib.abc", "importlib.machinery", "importlib.metadata",
    "importlib.resources", "inspect", "logging", "multiprocessing", "pathlib", "pickle", "pkgutil", "platform", "pprint",
    "random", "secrets", "shlex", "shutil", "signal", "ssl", "statistics", "string", "subprocess", "tarfile", "tempfile",
    "textwrap", "tokenize", "traceback", "unittest", "urllib", "uuid", "xml", "zipfile",
    # other people's
    "aiohttp", "bcrypt", "cryptography.x509", "cryptography.hazmat.primitives.serialization",
    "cryptography.hazmat.primitives.ciphers", "cryptography.hazmat.backends", "httptools", "nacl", "setuptools",
    "starlette", "typing_extensions", "uvicorn", "uvloop", "yaml",
    # ours, for what is not asked here
    "sealgate.blocking", "sealgate.library", "sealgate.artifacts", "sealgate.signing", "sealgate.keys.private",
    "sealgate.oci.challenge", "sealgate.oci.credentials", "sealgate.oci.layout", "sealgate.oci.archive", "sealgate.oci.server",
    "sealgate.transport.asynchronous", "sealgate.transport.proxy", "sealgate.transport.tls",
}  # fmt: skip
MODULES = 135
"""Beyond what a bare interpreter has loaded. Raise it knowingly: what does the new module cost, and who needs it?"""

PROGRAM = """
import sys
before = set(sys.modules)
from sealgate.cli.__main__ import run
code = run(sys.argv[2:])
with open(sys.argv[1], "w", encoding="ascii") as file:
    file.write("\\n".join(sorted(set(sys.modules) - before)))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def pair(sealgate, tmp_path_factory):
    prefix = tmp_path_factory.mktemp("key") / "cosign"
    sealgate("generate-key-pair", "--output-key-prefix", prefix, check=True)
    return prefix


@pytest.mark.parametrize("format_", ["bundle", "legacy"])
def test_verify_loads_few_modules_and_none_that_is_slow(sealgate, docker_registry, pair, tmp_path, format_):
    image = push_image(docker_registry, f"startup/{format_}")
    sealgate("sign", "--key", f"{pair}.key", "--format", format_, image.reference, check=True)
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        str(tmp_path / "modules"),
        "verify",
        "--key",
        f"{pair}.pub",
        image.reference,
    ]
    done = subprocess.run(
        command, env=sealgate.environment(), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 1  # cosign's JSON: the module that prints it is among those that count
    loaded = (tmp_path / "modules").read_text().split()
    assert "sealgate.verification.verify" in loaded
    slow = [name for name in loaded for bad in FORBIDDEN if name == bad or name.startswith(f"{bad}.")]
    assert slow == []
    assert len(loaded) <= MODULES, loaded
