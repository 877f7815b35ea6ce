"""Blobs on their way in: each upload is a file of its own, hashed while it grows, and becomes a blob at the end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from sealgate import limits
from sealgate.errors import SealgateError
from sealgate.oci.layout_files import CHUNK, Files, write_all
from sealgate.oci.server.answers import RefusalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sealgate.digest import Digest
    from sealgate.oci.layout import Layout

_FOLDER = ".uploads"


class Upload:
    """One upload: what came so far."""

    def __init__(self, name: str, repository: str, path: str) -> None:
        self.name = name
        self.repository = repository
        self.path = path
        self.size = 0
        self.hasher = hashlib.sha256()
        self.lock = asyncio.Lock()
        """One request at a time adds to it."""
        self.touched = time.monotonic()

    def headers(self) -> dict[str, str]:
        """Where it goes on, and how far it is."""
        return {
            "location": f"/v2/{self.repository}/blobs/uploads/{self.name}",
            "range": f"0-{max(self.size - 1, 0)}",
            "docker-upload-uuid": self.name,
        }

    async def append(self, chunks: AsyncIterator[bytes], *, expected: int | None) -> None:
        """Add what comes. With `expected`, another count of bytes is refused and taken back."""
        start, hasher = self.size, self.hasher.copy()
        waiting: list[bytes] = []
        count = 0
        try:
            async for chunk in chunks:
                waiting.append(chunk)
                count += len(chunk)
                if self.size + count > limits.BLOB_BYTES:
                    raise RefusalError(413, "SIZE_INVALID", f"a blob has at most {limits.BLOB_BYTES} bytes")
                if count >= CHUNK:
                    data, waiting, count = b"".join(waiting), [], 0
                    await run_in_threadpool(self._write, data)
        finally:  # what a broken request brought is kept: the client asks how far it got, and goes on
            if waiting:
                self._write(b"".join(waiting))
            self.touched = time.monotonic()
        if expected is not None and self.size - start != expected:
            got = self.size - start
            os.truncate(self.path, start)
            self.size, self.hasher = start, hasher
            raise RefusalError(
                400, "SIZE_INVALID", f"{got} bytes came, the range has {expected}", headers=self.headers()
            )

    def _write(self, data: bytes) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)
        self.hasher.update(data)
        self.size += len(data)

    def into(self, layout: Layout, digest: Digest) -> None:
        """Make it a blob of `layout`. Raises `RefusalError` when it is another one."""
        if digest.algorithm == "sha256":
            found = self.hasher.hexdigest()
        else:
            with open(self.path, "rb") as file:
                found = hashlib.file_digest(file, digest.algorithm).hexdigest()
        if found != digest.hex:
            raise RefusalError(
                400, "DIGEST_INVALID", "the bytes do not hash to the digest", detail={"digest": str(digest)}
            )
        layout.create()
        layout.files.adopt(self.path, digest)


class Uploads:
    """All open uploads of one server, in a folder of its own that goes when it stops."""

    def __init__(self, directory: str) -> None:
        self._files = Files(directory, (_FOLDER,))
        self._session = os.urandom(8).hex()
        self._lock: int | None = None
        self._open: dict[str, Upload] = {}

    def start(self) -> None:
        """Make the folder; sweep away those of servers that died."""
        import fcntl

        with self._files.directory(create=True):
            pass
        with self._files.lock():
            for name in self._files.names():
                self._sweep(name)
            with Files(self._files.path, (self._session,)).directory(create=True) as fd:
                if fd is not None:
                    self._lock = os.dup(fd)
                    fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _sweep(self, name: str) -> None:
        """Remove the folder of another server unless it lives."""
        import fcntl

        with suppress(OSError, SealgateError), Files(self._files.path, (name,)).directory() as fd:
            if fd is not None:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(os.path.join(self._files.path, name), ignore_errors=True)

    def stop(self) -> None:
        """Forget all uploads."""
        if self._lock is not None:
            shutil.rmtree(os.path.join(self._files.path, self._session), ignore_errors=True)
            os.close(self._lock)
            self._lock = None
            with suppress(OSError):  # another server may still use it
                os.rmdir(self._files.path)

    def begin(self, repository: str) -> Upload:
        """A new upload. Those that nobody touched for long are forgotten. Raises `RefusalError` when too many are open."""
        old = time.monotonic() - limits.UPLOAD_SECONDS
        for upload in [item for item in self._open.values() if item.touched < old and not item.lock.locked()]:
            self.forget(upload)
        if len(self._open) >= limits.UPLOADS:
            raise RefusalError(429, "TOOMANYREQUESTS", f"{limits.UPLOADS} uploads are open already")
        name = os.urandom(16).hex()
        upload = Upload(name, repository, os.path.join(self._files.path, self._session, name))
        os.close(os.open(upload.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        self._open[name] = upload
        return upload

    def get(self, repository: str, name: str) -> Upload:
        """An open upload of this repository. Raises `RefusalError`."""
        upload = self._open.get(name)
        if upload is None or upload.repository != repository:
            raise RefusalError(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload")
        return upload

    def forget(self, upload: Upload) -> None:
        """End an upload; its file goes unless it has become a blob."""
        self._open.pop(upload.name, None)
        with suppress(FileNotFoundError):
            os.unlink(upload.path)
