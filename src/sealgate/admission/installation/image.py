"""Sealgate's own container image as an OCI layout, made without Docker and without a base image.

What is in it: the interpreter that runs this, its standard library, Sealgate and the packages that it declares, the shared
libraries that these need (as the loader finds them here), the system's certificate authorities, one user, an empty `/tmp`.
No shell and no package manager. The same machine gives the same bytes: names are sorted, times and owners fixed, compiled
files left out. Linux and glibc only: the loader is asked with `ldd`.

Sources: OCI image-spec 1.1, image-layout.md, layer.md (tar), config.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import Any

from sealgate.errors import UsageError

USER = 65532
_DISTRIBUTION = "sealgate"
_EXTRAS = ("admission", "async", "policy")
_LEFT_OUT = frozenset(
    {"__pycache__", "test", "tests", "idlelib", "turtledemo", "ensurepip", "site-packages", "lib2to3", "tkinter"}
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
"""OCI distribution-spec 1.1, "Pulling manifests"."""
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_SCRIPT = "from sealgate.cli.__main__ import main; main()"


def write(folder: str, *, tag: str = "latest") -> str:
    """Write the layout into an empty or new folder; the digest of the image. Raises `UsageError`."""
    if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES:
        raise UsageError("an image can be made on Linux only, on amd64 or arm64")
    if _TAG.fullmatch(tag) is None:
        raise UsageError(f"{ascii(tag[:128])} is not a tag", hint="letters, digits, `.`, `_` and `-`: latest, v1.2")
    try:
        if os.path.isdir(folder) and os.listdir(folder):
            raise UsageError(f"{folder} is not empty", hint="name a new folder")
        os.makedirs(os.path.join(folder, "blobs", "sha256"), exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}") from error
    files = dict(_files())
    layer = _tar(files)
    libraries = sorted(
        {os.path.dirname(name) for name in files if re.search(r"\.so(\.|$)", name) and "/python" not in name}
    )
    config = {
        "architecture": _ARCHITECTURES[platform.machine()],
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": f"{USER}:{USER}",
            "Entrypoint": [os.path.realpath(sys.executable), "-I", "-B", "-c", _SCRIPT],
            "Env": [
                "HOME=/tmp",
                "LC_ALL=C.UTF-8",
                f"SSL_CERT_FILE={_CERTIFICATES}",
                "LD_LIBRARY_PATH=" + ":".join(libraries),
            ],
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "sealgate admission image"}],
    }
    kinds = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kinds}.manifest.v1+json",
        "config": _blob(folder, _json(config), f"{kinds}.config.v1+json"),
        "layers": [_blob(folder, layer, f"{kinds}.layer.v1.tar")],
    }
    found = _blob(folder, _json(manifest), manifest["mediaType"])
    index = {
        "schemaVersion": 2,
        "mediaType": f"{kinds}.index.v1+json",
        "manifests": [{**found, "annotations": {"org.opencontainers.image.ref.name": tag}}],
    }
    _write(os.path.join(folder, "oci-layout"), _json({"imageLayoutVersion": "1.0.0"}))
    _write(os.path.join(folder, "index.json"), _json(index))
    return str(found["digest"])


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _write(path: str, data: bytes) -> None:
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _blob(folder: str, data: bytes, kind: Any) -> dict[str, Any]:
    name = hashlib.sha256(data).hexdigest()
    _write(os.path.join(folder, "blobs", "sha256", name), data)
    return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(data)}


def _files() -> Iterator[tuple[str, str]]:
    """Path in the image, path here."""
    program = os.path.realpath(sys.executable)
    standard = os.path.realpath(sysconfig.get_path("stdlib"))
    found: dict[str, str] = {program: program}
    found |= _tree(standard, standard)
    packages = os.path.join(standard, "site-packages")
    for name, path in _packages():
        found[os.path.join(packages, name)] = path
    yield from found.items()
    binaries = [path for name, path in found.items() if name == program or re.search(r"\.so(\.|$)", name)]
    for library in sorted(_libraries(binaries)):
        if library not in found.values():
            yield library, os.path.realpath(library)
    if os.path.isfile(_CERTIFICATES):
        yield _CERTIFICATES, _CERTIFICATES


def _tree(folder: str, at: str) -> dict[str, str]:
    found = {}
    for where, below, names in os.walk(folder):
        below[:] = [name for name in below if name not in _LEFT_OUT and not name.startswith("config-")]
        for name in names:
            if not name.endswith((".pyc", ".a")):
                path = os.path.join(where, name)
                found[os.path.join(at, os.path.relpath(path, folder))] = os.path.realpath(path)
    return found


def _packages() -> Iterator[tuple[str, str]]:
    """The files of Sealgate and of everything that it declares, by their place in site-packages."""
    home = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
    yield from _tree(home, _DISTRIBUTION).items()
    todo: list[tuple[str, tuple[str, ...]]] = [(_DISTRIBUTION, _EXTRAS)]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if name == _DISTRIBUTION:
                raise UsageError("Sealgate is not installed as a package here") from None
            continue  # for another system or another Python
        for file in distribution.files or ():
            place = str(file)
            if (
                ".." not in place.split("/")
                and "__pycache__" not in place
                and not place.startswith(("/", f"{_DISTRIBUTION}/"))
            ):
                path = os.path.realpath(str(distribution.locate_file(file)))
                if os.path.isfile(path) and not place.endswith(
                    (".pth", "direct_url.json", "RECORD", "INSTALLER", "REQUESTED")
                ):
                    yield place, path
        for text in distribution.requires or ():
            matched = re.match(r"([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?", text)
            wanted = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", text)
            if matched is not None and (wanted is None or wanted[1] in extras):
                todo.append((matched[1], tuple(each.strip() for each in (matched[2] or "").split(",") if each.strip())))


def _libraries(binaries: Iterable[str]) -> set[str]:
    """What the loader would load for these, and the loader itself."""
    found: set[str] = set()
    paths = sorted(binaries)
    for start in range(0, len(paths), 100):
        done = subprocess.run(
            ["ldd", *paths[start : start + 100]], capture_output=True, text=True, check=False, timeout=120
        )
        for line in done.stdout.splitlines():
            matched = re.search(r"(?:=> )?(/[^ :]+) \(0x[0-9a-f]+\)$", line)
            if matched is not None:
                found.add(os.path.normpath(matched[1]))
    if not found:
        raise UsageError("ldd does not say which libraries the interpreter needs")
    return found


def _tar(files: dict[str, str]) -> bytes:
    """One layer: sorted, no times, no owners. Everything is root's and nobody may write it, but `/tmp`."""
    made = io.BytesIO()
    folders = {"tmp", "etc"}
    for name in files:
        parts = name.strip("/").split("/")[:-1]
        folders |= {"/".join(parts[: count + 1]) for count in range(len(parts))}
    entries: dict[str, bytes | str | None] = dict.fromkeys(folders)
    entries |= {name.strip("/"): path for name, path in files.items()}
    entries["etc/passwd"] = f"root:x:0:0:root:/:/\nnonroot:x:{USER}:{USER}:nonroot:/tmp:/\n".encode()
    entries["etc/group"] = f"root:x:0:\nnonroot:x:{USER}:\n".encode()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(entries):
            content = entries[name]
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
                tar.addfile(info)
                continue
            data, info.mode = content, 0o644
            if isinstance(data, str):
                info.mode = 0o755 if os.access(data, os.X_OK) else 0o644
                with open(data, "rb") as file:
                    data = file.read()
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()
