"""The stores and keys of the matrix."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

MAKERS = {
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ecdsa-p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa-4096": lambda: rsa.generate_private_key(65537, 4096),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.fixture(scope="session")
def imported_key(cosign3, tmp_path_factory):
    """`imported_key("rsa-2048")`: the prefix of a key pair that cosign imported; no line of the product made it."""
    folder = tmp_path_factory.mktemp("matrix")
    made = {}

    def make(algorithm):
        if algorithm not in made:
            prefix = folder / algorithm
            pem = MAKERS[algorithm]().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            prefix.with_suffix(".pem").write_bytes(pem)
            cosign3("import-key-pair", "--key", f"{prefix}.pem", "--output-key-prefix", prefix, check=True)
            made[algorithm] = prefix
        return made[algorithm]

    return make


@pytest.fixture(scope="session")
def embedded_registry(tmp_path_factory):
    """`host:port` of a running `sealgate registry serve`."""
    folder = tmp_path_factory.mktemp("embedded")
    port_file = folder / "port"
    command = [str(Path(sys.executable).with_name("sealgate")), "registry", "serve", str(folder / "content")]
    command += ["--listen", "127.0.0.1:0", "--port-file", str(port_file)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={}, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while not port_file.exists():
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the embedded registry did not start:\n{(folder / 'log').read_text()}", pytrace=False)
            time.sleep(0.02)
        yield f"127.0.0.1:{port_file.read_text().strip()}"
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
