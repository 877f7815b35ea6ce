"""The files of an OCI layout, opened step by step: below the layout's directory no link is ever followed (bypass X07).

Plain blocking file I/O. Every file is opened relative to an open directory with O_NOFOLLOW and must be a regular file;
every write goes to a temporary file beside its target and is renamed into place. Directory locks (`flock`) order writers.
POSIX only.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import (
    DeadlineError,
    DigestInvalidError,
    DigestMismatchError,
    LayoutInvalidError,
    LimitError,
    NotFoundError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK = 1024 * 1024
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LINKS = frozenset({errno.ELOOP, errno.EMLINK, errno.ENOTDIR})
"""What opening a symbolic link with O_NOFOLLOW answers, system by system."""


class Files:
    """A layout's directory: `base` is trusted as the user gave it, `parts` are the steps below it, never links."""

    def __init__(self, base: str, parts: tuple[str, ...] = ()) -> None:
        self._base = base
        self._parts = parts
        self.path = os.path.join(base, *parts)
        self._named: dict[str, Digest] = {}
        """File names in blobs/ as digests."""

    # -- directories

    @contextmanager
    def directory(self, *below: str, create: bool = False) -> Iterator[int | None]:
        """An open directory, or None where there is none. Raises `LayoutInvalidError` for links and files in its place."""
        fd = self._open_directory(below, create=create)
        try:
            yield fd
        finally:
            if fd is not None:
                os.close(fd)

    def _open_directory(self, below: tuple[str, ...], *, create: bool) -> int | None:
        with _failures(self.path):
            if create:
                with suppress(FileExistsError):  # a file; opening it will tell
                    os.makedirs(self._base, exist_ok=True)
            try:
                fd = os.open(self._base, _DIRECTORY)
            except FileNotFoundError:
                return None
            except NotADirectoryError:
                raise LayoutInvalidError(f"{self._base} is not a directory") from None
            for part in (*self._parts, *below):
                try:
                    if create:
                        with suppress(FileExistsError):
                            os.mkdir(part, dir_fd=fd)
                    inner = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                except FileNotFoundError:
                    return None
                except OSError as error:
                    if error.errno in _LINKS:
                        raise self._not_ours(part, "a directory") from None
                    raise
                finally:
                    os.close(fd)
                fd = inner
            return fd

    def _not_ours(self, name: str, expected: str) -> LayoutInvalidError:
        return LayoutInvalidError(
            f"layout {self.path}: {name[:100]!a} is not {expected}",
            hint="links and special files are not followed: they may lead outside the layout",
        )

    def names(self) -> list[str]:
        """What the directory holds, temporary files left out."""
        with self.directory() as fd, _failures(self.path):
            return [] if fd is None else [name for name in os.listdir(fd) if not name.startswith(".")]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other writers out of the layout, by a lock on its directory. Raises `DeadlineError`."""
        import fcntl
        import time

        with self.directory() as fd:
            if fd is None:
                raise LayoutInvalidError(f"layout {self.path} has gone")
            ends = time.monotonic() + limits.LOCK_SECONDS
            pause = 0.001
            while True:
                try:
                    with _failures(self.path):
                        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > ends:
                        raise DeadlineError(
                            f"layout {self.path} is locked by another program for {limits.LOCK_SECONDS:g} s"
                        ) from None
                    time.sleep(pause)
                    pause = min(pause * 2, 0.02)
            yield  # closing the directory unlocks it

    # -- files

    def open(self, *where: str) -> tuple[int, int] | None:
        """An open regular file and its size, or None. The caller closes it."""
        *below, name = where
        with self.directory(*below) as directory:
            if directory is None:
                return None
            with _failures(self.path):
                try:
                    fd = os.open(name, _FILE, dir_fd=directory)
                except FileNotFoundError:
                    return None
                except OSError as error:
                    if error.errno in _LINKS or error.errno == errno.ENXIO:
                        raise self._not_ours("/".join(where), "a regular file") from None
                    raise
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    os.close(fd)
                    raise self._not_ours("/".join(where), "a regular file")
                return fd, status.st_size

    def read(self, *where: str, limit: int) -> bytes | None:
        """The bytes of a file, or None. Raises `LimitError` past `limit`."""
        opened = self.open(*where)
        if opened is None:
            return None
        fd, size = opened
        try:
            if size > limit:
                raise LimitError(f"layout {self.path}: {'/'.join(where)} is larger than {limit} bytes")
            with _failures(self.path):
                return read_all(fd, limit, f"layout {self.path}: {'/'.join(where)}")
        finally:
            os.close(fd)

    def read_open(self, fd: int, name: str) -> bytes:
        """The bytes of an open index.json (`name`), at most `LAYOUT_INDEX_BYTES`."""
        with _failures(self.path):
            return read_all(fd, limits.LAYOUT_INDEX_BYTES, f"layout {self.path}: {name}")

    def write(self, *where: str, data: bytes, durable: bool = False) -> None:
        """Write or replace a file, all or nothing; `durable` waits for the disk."""
        with self._new_file(where) as fd:
            write_all(fd, data)
            if durable:
                os.fsync(fd)

    @contextmanager
    def _new_file(self, where: tuple[str, ...]) -> Iterator[int]:
        """A temporary file that takes the place of `where` unless an exception comes."""
        *below, name = where
        with self.directory(*below, create=True) as directory, _failures(self.path):
            temporary = f".{name[:20]}-{os.urandom(8).hex()}.tmp"
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=directory)
            try:
                try:
                    yield fd
                finally:
                    os.close(fd)
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=directory)
                raise

    # -- blobs

    def open_blob(self, digest: Digest) -> tuple[int, int] | None:
        """An open blob and its size, or None. Nothing is hashed yet. The caller closes it."""
        return self.open("blobs", digest.algorithm, digest.hex)

    def has_blob(self, digest: Digest) -> int | None:
        """The size of a blob, or None when it is not there."""
        opened = self.open_blob(digest)
        if opened is None:
            return None
        os.close(opened[0])
        return opened[1]

    def read_blob(self, digest: Digest, *, limit: int) -> bytes | None:
        """The bytes of a blob, hashed; None when it is not there. Raises `LimitError`, `DigestMismatchError`."""
        opened = self.open_blob(digest)
        if opened is None:
            return None
        fd, size = opened
        try:
            if size > limit:
                raise LimitError(f"blob {digest} is larger than {limit} bytes")
            with _failures(self.path):
                data = read_all(fd, limit, f"blob {digest}")
        finally:
            os.close(fd)
        digest.check(data, f"blob {digest} of layout {self.path}")
        return data

    def chunks(self, fd: int) -> Iterator[bytes]:
        """What is left of an open file, piece by piece."""
        while True:
            with _failures(self.path):
                chunk = os.read(fd, CHUNK)
            if not chunk:
                return
            yield chunk

    def write_blob(self, chunks: Iterable[bytes], digest: Digest, *, durable: bool = False) -> None:
        """Store a blob while it is hashed. Raises `DigestMismatchError` and keeps nothing when it is another one."""
        hasher = hashlib.new(digest.algorithm)
        total = 0
        with self._new_file(("blobs", digest.algorithm, digest.hex)) as fd:
            for chunk in chunks:
                total += len(chunk)
                if total > limits.BLOB_BYTES:
                    raise LimitError(f"blob {digest} is larger than {limits.BLOB_BYTES} bytes")
                hasher.update(chunk)
                write_all(fd, chunk)
            if hasher.hexdigest() != digest.hex:
                raise DigestMismatchError(
                    f"bytes to be stored as {digest} hash to {digest.algorithm}:{hasher.hexdigest()}"
                )
            if durable:
                os.fsync(fd)

    def copy_blob(self, path: str, digest: Digest) -> None:
        """Store the file at `path` as a blob. Raises as `write_blob`."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NotFoundError(f"{path} cannot be read: {error.strerror}") from error
        try:
            self.write_blob(self.chunks(fd), digest)
        finally:
            os.close(fd)

    def adopt(self, path: str, digest: Digest) -> None:
        """Take the file at `path` as a blob; its bytes have been hashed by the caller, who alone can write to it."""
        with self.directory("blobs", digest.algorithm, create=True) as directory, _failures(self.path):
            try:
                os.rename(path, digest.hex, dst_dir_fd=directory)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self.copy_blob(path, digest)
                os.unlink(path)

    def link_blob(self, digest: Digest, source: Files) -> bool:
        """Take a blob of another layout, by a hard link where that can be, hashed in any case; False: it is not there."""
        opened = source.open_blob(digest)
        if opened is None:
            return False
        fd, _ = opened
        try:
            hasher = hashlib.new(digest.algorithm)
            for chunk in source.chunks(fd):
                hasher.update(chunk)
            if hasher.hexdigest() != digest.hex:
                raise DigestMismatchError(f"blob {digest} of layout {source.path} hashes to another digest")
            if not self._hard_link(fd, digest, source):
                os.lseek(fd, 0, os.SEEK_SET)
                self.write_blob(source.chunks(fd), digest)
        finally:
            os.close(fd)
        return True

    def _hard_link(self, fd: int, digest: Digest, source: Files) -> bool:
        where = ("blobs", digest.algorithm)
        with source.directory(*where) as theirs, self.directory(*where, create=True) as ours:
            if theirs is None:
                return False
            temporary = f".{digest.hex[:20]}-{os.urandom(8).hex()}.tmp"
            try:
                os.link(digest.hex, temporary, src_dir_fd=theirs, dst_dir_fd=ours, follow_symlinks=False)
            except (OSError, NotImplementedError):
                return False
            try:
                linked = os.stat(temporary, dir_fd=ours, follow_symlinks=False)
                if not os.path.samestat(linked, os.fstat(fd)):
                    os.unlink(temporary, dir_fd=ours)
                    return False
                os.rename(temporary, digest.hex, src_dir_fd=ours, dst_dir_fd=ours)
                # rename does nothing where both names are one file already
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=ours)
            except OSError:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=ours)
                return False
            return True

    def remove_blob(self, digest: Digest) -> bool:
        """Delete a blob; False when it is not there."""
        with self.directory("blobs", digest.algorithm) as directory, _failures(self.path):
            if directory is None:
                return False
            try:
                os.unlink(digest.hex, dir_fd=directory)
            except FileNotFoundError:
                return False
            return True

    def blobs(self) -> Iterator[tuple[Digest, os.DirEntry[str]]]:
        """Every blob, in the order of the disk, with what the system says of it. Raises `LimitError` past `LAYOUT_ENTRIES`."""
        count = 0
        for algorithm in ("sha256", "sha512"):
            with self.directory("blobs", algorithm) as directory, _failures(self.path):
                if directory is None:
                    continue
                with os.scandir(directory) as found:
                    for item in found:
                        count += 1
                        if count > limits.LAYOUT_ENTRIES:
                            raise LimitError(f"layout {self.path} holds more than {limits.LAYOUT_ENTRIES} blobs")
                        digest = self._named.get(item.name)
                        if digest is None:
                            try:
                                digest = self._named[item.name] = Digest.parse(f"{algorithm}:{item.name}")
                            except DigestInvalidError:
                                continue
                        if item.is_file(follow_symlinks=False):
                            yield digest, item
        if len(self._named) > 2 * count + 100:
            self._named.clear()


def read_all(fd: int, limit: int, what: str) -> bytes:
    """The whole of an open file. It may grow while it is read; past `limit` it is refused."""
    parts: list[bytes] = []
    total = 0
    while chunk := os.read(fd, min(CHUNK, limit + 1 - total)):
        total += len(chunk)
        if total > limit:
            raise LimitError(f"{what} is larger than {limit} bytes")
        parts.append(chunk)
    return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    """All of `data` into an open file."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextmanager
def _failures(path: str) -> Iterator[None]:
    """The system's refusals as errors of ours: a disk that cannot be read is "could not ask"."""
    try:
        yield
    except (BlockingIOError, FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        raise UnavailableError(f"layout {path} cannot be used: {error.strerror or type(error).__name__}") from error
