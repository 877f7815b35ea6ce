"""A whole TUF repository in a tar archive, and one file that it vouches for (The Update Framework 1.0.31, section 5).

The workflow is that of `repository`, from the trusted root on; it is given what is in the archive and asks nobody.
"""

from __future__ import annotations

import posixpath

from sealgate import limits
from sealgate.errors import TrustUpdateError
from sealgate.oci.archive import tar_info
from sealgate.truststore import repository
from sealgate.truststore.cache import Kept

_MIRROR = "archive://repository"


def target(packed: bytes, *, root: bytes, targets: str, name: str) -> bytes:
    """The file `name` that the metadata of an archive (`.tar.gz`) vouches for; `targets`: the folder that has such files.

    Raises `TrustUpdateError` for what does not verify.
    """
    found = _fetched(_files(packed), targets)
    kept = repository.update_from(_MIRROR, root=root, fetched=found, names=(name,))
    return _of(kept, name)


def _of(kept: Kept, name: str) -> bytes:
    if name not in kept.targets:
        raise TrustUpdateError(f"the archive's metadata knows no {name}", hint="trustedRootTarget names the file")
    return kept.targets[name]


def _fetched(files: dict[str, bytes], targets: str) -> dict[str, bytes]:
    """By the addresses that the workflow asks for. The metadata is wherever `timestamp.json` is."""
    places = sorted(posixpath.dirname(path) for path in files if posixpath.basename(path) == "timestamp.json")
    if not places:
        raise TrustUpdateError("the archive has no timestamp.json: it is no TUF repository")
    [top, *_] = places
    found = {}
    folder = posixpath.normpath(posixpath.join(top, targets))
    for path, data in files.items():
        if posixpath.dirname(path) == top:
            found[f"{_MIRROR}/{posixpath.basename(path)}"] = data
        if path.startswith(f"{folder}/"):
            found[f"{_MIRROR}/targets/{path[len(folder) + 1 :]}"] = data
    return found


def _files(packed: bytes) -> dict[str, bytes]:
    """The plain files of an archive, bounded; links and devices are left out."""
    import gzip
    import io
    import tarfile
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as unpacked:
            raw = unpacked.read(limits.TUF_ARCHIVE_BYTES + 1)
        if len(raw) > limits.TUF_ARCHIVE_BYTES:
            raise TrustUpdateError(f"the archive is larger than {limits.TUF_ARCHIVE_BYTES} bytes")
        found: dict[str, bytes] = {}
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:", tarinfo=tar_info()) as archive:
            for member in archive:
                if not member.isfile():
                    continue
                path = posixpath.normpath(member.name.lstrip("/"))
                if path.startswith("../") or len(found) >= limits.TUF_FILES:
                    raise TrustUpdateError("the archive has files outside itself, or too many")
                if path in found:
                    raise TrustUpdateError(f"the archive has {ascii(path)[:100]} twice")
                file = archive.extractfile(member)
                found[path] = file.read() if file is not None else b""
        return found
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, RecursionError, OverflowError) as error:
        raise TrustUpdateError("mirrorFS is no gzipped tar archive") from error
