"""An OCI layout in a tar file, `oci-archive:FILE`, plain or gzip: read and written as the layout it holds.

The archive is unpacked into a private temporary directory by our own rules, never by tarfile's: only the files that a
layout has, no links, devices, absolute or climbing names, nothing twice, everything bounded. Large members (layers) stay
in the archive until somebody asks for them. What changed is written to a new file that replaces the archive at the end.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import (
    DeadlineError,
    ImageNotFoundError,
    LayoutInvalidError,
    LimitError,
    UnavailableError,
)
from sealgate.oci.layout import Layout, LayoutStore
from sealgate.oci.layout_files import CHUNK, Files, write_all

if TYPE_CHECKING:
    import gzip
    import tarfile
    from collections.abc import Iterator

_BLOB = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]+)")
_DIRECTORIES = frozenset({".", "blobs", "blobs/sha256", "blobs/sha512"})
_DOCKER = frozenset({"manifest.json", "repositories"})
"""What `docker save` adds to a layout; kept when the archive is written again."""
_HEADER_BYTES = 64 * 1024


class _Member(NamedTuple):
    offset: int
    """Where its bytes begin in the (unpacked) archive."""
    size: int


@contextmanager
def open_archive(path: str, *, writable: bool) -> Iterator[LayoutStore]:
    """The layout inside the archive at `path`. With `writable`, it is made when absent, and what changed is written back.

    Writing back happens when the block ends without an exception, all or nothing; meanwhile other writers wait. Raises
    `ImageNotFoundError`, `LayoutInvalidError`, `LimitError`, `DeadlineError`, `UnavailableError`.
    """
    import shutil
    import tempfile

    with _locked(path) if writable else _reading(path) as archive:
        directory = tempfile.mkdtemp(prefix="sealgate-")
        try:
            files = _ArchiveFiles(directory, archive, path)
            files.unpack()
            before = files.state()
            yield LayoutStore(Layout(files), name=f"oci-archive:{path}")
            if writable and files.state() != before:
                files.write_back(os.path.realpath(path))
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _reading(path: str) -> Iterator[IO[bytes]]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ImageNotFoundError(f"there is no archive {path}") from None
    except OSError as error:
        raise UnavailableError(f"archive {path} cannot be read: {error.strerror}") from error
    with os.fdopen(fd, "rb") as file:
        _regular(fd, path)
        yield file


@contextmanager
def _locked(path: str) -> Iterator[IO[bytes]]:
    """The archive, made when absent, locked against other writers. An empty file that was made for it is removed."""
    import fcntl
    import time

    ends = time.monotonic() + limits.LOCK_SECONDS
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
        except OSError as error:
            raise UnavailableError(f"archive {path} cannot be written: {error.strerror}") from error
        with os.fdopen(fd, "rb") as file:
            _regular(fd, path)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise DeadlineError(
                        f"archive {path} is locked by another program for {limits.LOCK_SECONDS:g} s"
                    ) from None
                time.sleep(0.02)
                continue
            if _is_still(fd, path):  # otherwise another writer has just replaced it
                try:
                    yield file
                finally:
                    if os.fstat(fd).st_size == 0 and _is_still(fd, path):
                        os.unlink(path)
                return


def _is_still(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _regular(fd: int, path: str) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise LayoutInvalidError(f"archive {path} is not a regular file")


class _ArchiveFiles(Files):
    """The unpacked part of an archive; blobs that were left in it are unpacked when they are opened."""

    def __init__(self, directory: str, archive: IO[bytes], path: str) -> None:
        super().__init__(directory)
        self.path = path
        self._directory = directory
        self._archive = archive
        self._compressed = archive.read(2) == b"\x1f\x8b"
        self._left: dict[Digest, _Member] = {}
        self._unpacked: set[Digest] = set()
        """Blobs that came out of the archive since it was opened: not changes."""
        self._extra: dict[str, bytes] = {}
        self._foreign: str | None = None

    # -- reading

    def unpack(self) -> None:
        """Walk through the archive once; unpack what is small."""
        if os.fstat(self._archive.fileno()).st_size == 0:
            return
        seen: set[str] = set()
        for name, member, data in self._members():
            if name in seen:
                raise LayoutInvalidError(f"archive {self.path} has {_shown(name)} twice")
            seen.add(name)
            self._take(name, member, data)
        if not {"oci-layout", "index.json"} <= seen:
            raise LayoutInvalidError(
                f"archive {self.path} does not hold an OCI layout",
                hint="`docker save` of before Docker 25 does not write one",
            )
        self._unpacked.clear()

    def _take(self, name: str, member: _Member, data: IO[bytes]) -> None:
        blob = _BLOB.fullmatch(name)
        if blob is not None:
            digest = Digest.parse(f"{blob[1]}:{blob[2]}")
            if member.size > limits.ARCHIVE_EAGER_BYTES:
                self._left[digest] = member
            else:
                self._store(("blobs", digest.algorithm, digest.hex), data, member)
        elif name in {"oci-layout", "index.json"} | _DOCKER:
            if member.size > limits.LAYOUT_INDEX_BYTES:
                raise LimitError(f"archive {self.path}: {name} is larger than {limits.LAYOUT_INDEX_BYTES} bytes")
            if name in _DOCKER:
                with _broken(self.path):
                    self._extra[name] = data.read(member.size)
            else:
                self._store((name,), data, member)
        else:
            self._foreign = name

    def _store(self, where: tuple[str, ...], data: IO[bytes], member: _Member) -> None:
        with self._new_file(where) as fd:
            left = member.size
            while left:
                with _broken(self.path):
                    chunk = data.read(min(CHUNK, left))
                if not chunk:
                    raise LayoutInvalidError(f"archive {self.path} is cut off")
                write_all(fd, chunk)
                left -= len(chunk)

    def _members(self) -> Iterator[tuple[str, _Member, IO[bytes]]]:
        """Every regular file: its name, where it is, its bytes to be read before the next one is asked for."""
        import tarfile

        count = 0
        stream = _Bounded(self._raw(), os.fstat(self._archive.fileno()).st_size if self._compressed else None)
        with _broken(self.path), tarfile.open(fileobj=stream, mode="r|", tarinfo=tar_info()) as tar:  # type: ignore[call-overload]
            while (info := tar.next()) is not None:
                count += 1
                if count > limits.LAYOUT_ENTRIES:
                    raise LimitError(f"archive {self.path} has more than {limits.LAYOUT_ENTRIES} members")
                tar.members = []  # a stream is never gone back in
                name = self._name(info)
                if name is None:
                    continue
                data = tar.extractfile(info)
                if data is None:
                    raise LayoutInvalidError(f"archive {self.path}: {_shown(name)} is not a file")
                yield name, _Member(info.offset_data, info.size), data

    def _raw(self) -> IO[bytes]:
        import gzip

        self._archive.seek(0)
        return gzip.GzipFile(fileobj=self._archive, mode="rb") if self._compressed else self._archive  # type: ignore[return-value]

    def _name(self, info: tarfile.TarInfo) -> str | None:
        """The canonical name of a regular file; None for a directory. Raises `LayoutInvalidError` for everything else."""
        name = info.name.removeprefix("./").rstrip("/") if info.isdir() else info.name.removeprefix("./")
        parts = name.split("/", 20)
        if not info.isdir() and not info.isreg():
            raise LayoutInvalidError(
                f"archive {self.path}: {_shown(name)} is a link or a special file", hint="a layout has files only"
            )
        if info.isdir() and name in _DIRECTORIES | {""}:
            return None
        if len(parts) > 20 or not name.isprintable() or "\\" in name or any(part in {"", ".", ".."} for part in parts):
            raise LayoutInvalidError(f"archive {self.path}: {_shown(info.name)} is not a name inside a layout")
        return None if info.isdir() else name

    def open(self, *where: str) -> tuple[int, int] | None:
        """As `Files.open`; a blob that is still in the archive is unpacked."""
        found = super().open(*where)
        if found is None and self._left and len(where) == 3 and where[0] == "blobs":
            digest = Digest(where[1], where[2])
            if digest in self._left:
                self._unpack_left(digest)
                found = super().open(*where)
        return found

    def has_blob(self, digest: Digest) -> int | None:
        """As `Files.has_blob`, without unpacking."""
        member = self._left.get(digest)
        return super().has_blob(digest) if member is None else member.size

    def remove_blob(self, digest: Digest) -> bool:
        """As `Files.remove_blob`."""
        return (self._left.pop(digest, None) is not None) | super().remove_blob(digest)

    def _unpack_left(self, wanted: Digest) -> None:
        """Unpack one blob of a plain archive; of a compressed one all, since it can only be read from the beginning."""
        if not self._compressed:
            member = self._left.pop(wanted)
            self._archive.seek(member.offset)
            self._store(("blobs", wanted.algorithm, wanted.hex), self._archive, member)
            self._unpacked.add(wanted)
            return
        left, self._left = self._left, {}
        for name, member, data in self._members():
            blob = _BLOB.fullmatch(name)
            digest = Digest(blob[1], blob[2]) if blob else None
            if digest in left and digest is not None:
                self._store(("blobs", digest.algorithm, digest.hex), data, member)
                self._unpacked.add(digest)

    # -- writing

    def state(self) -> tuple[object, ...]:
        """What tells whether something changed: the index and the names of the blobs, wherever they are now."""
        names = {digest for digest, _ in self.blobs()} | set(self._left)
        return (self.read("index.json", limit=limits.LAYOUT_INDEX_BYTES), frozenset(names))

    def write_back(self, path: str) -> None:
        """Write everything into a new archive beside `path` and let it take its place."""
        import gzip

        if self._foreign is not None:
            raise LayoutInvalidError(
                f"archive {self.path} holds {_shown(self._foreign)}, which no layout has",
                hint="it would be lost by writing; unpack the archive and use oci:DIR",
            )
        temporary = f"{path}.{os.urandom(8).hex()}.tmp"
        try:
            with open(temporary, "xb") as file:
                with suppress(FileNotFoundError):
                    os.fchmod(file.fileno(), stat.S_IMODE(os.stat(path).st_mode))
                if self._compressed:
                    with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                        self._write(packed)
                else:
                    self._write(file)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        except OSError as error:
            raise UnavailableError(f"archive {path} cannot be written: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                os.unlink(temporary)

    def _write(self, file: IO[bytes] | gzip.GzipFile) -> None:
        import tarfile

        with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for name in ("oci-layout", "index.json"):
                _add(tar, name, self.read(name, limit=limits.LAYOUT_INDEX_BYTES) or b"")
            for name, data in self._extra.items():
                _add(tar, name, data)
            for digest in sorted({digest for digest, _ in self.blobs()} | set(self._left)):
                name, left = f"blobs/{digest.algorithm}/{digest.hex}", self._left.get(digest)
                if left is not None and not self._compressed:
                    self._archive.seek(left.offset)
                    tar.addfile(_header(name, left.size), self._archive)
                    continue
                opened = self.open_blob(digest)
                if opened is None:
                    raise LayoutInvalidError(f"archive {self.path}: {digest} has gone")
                with os.fdopen(opened[0], "rb") as blob:
                    tar.addfile(_header(name, opened[1]), blob)


@contextmanager
def _broken(path: str) -> Iterator[None]:
    """What tarfile, gzip and zlib say of a broken archive, as an error of ours."""
    import tarfile
    import zlib

    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, ValueError, RecursionError, OverflowError) as error:
        raise LayoutInvalidError(f"archive {path} is not a whole tar file: {str(error)[:100]}") from error
    except OSError as error:  # gzip.BadGzipFile among them
        raise LayoutInvalidError(f"archive {path} cannot be read: {str(error)[:100]}") from error


class _Bounded:
    """A stream that refuses to unpack a bomb. `size` is the archive's own size when it is compressed."""

    def __init__(self, stream: IO[bytes], size: int | None) -> None:
        self._stream = stream
        self._most = None if size is None else max(limits.ARCHIVE_FREE_BYTES, size * limits.ARCHIVE_RATIO)
        self._total = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._total += len(data)
        if self._most is not None and self._total > self._most:
            raise LimitError(
                f"the archive unpacks to more than {self._most} bytes ({limits.ARCHIVE_RATIO} times its size)",
                hint="if it is meant so, unpack it and use oci:DIR",
            )
        return data


def tar_info() -> type[tarfile.TarInfo]:
    """Members whose extended headers are bounded before tarfile reads them into memory; sparse ones are refused (`ReadError`)."""
    import tarfile

    class Info(tarfile.TarInfo):
        def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
            extended = self.type in {
                tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
            }  # fmt: skip
            if self.size < 0 or (extended and self.size > _HEADER_BYTES):
                raise tarfile.ReadError("an extended header is too large")
            if self.type == tarfile.GNUTYPE_SPARSE:
                raise tarfile.ReadError("sparse members are not read")
            found: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]
            if found.size < 0 or getattr(found, "sparse", None) is not None:
                raise tarfile.ReadError("a size is negative, or a member sparse")
            return found

    return Info


def _header(name: str, size: int) -> tarfile.TarInfo:
    """The same bytes for the same content: no times, no owners."""
    import tarfile

    found = tarfile.TarInfo(name)
    found.size = size
    found.mode = 0o644
    return found


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    import io

    tar.addfile(_header(name, len(data)), io.BytesIO(data))


def _shown(name: str) -> str:
    return ascii(name[:130])
