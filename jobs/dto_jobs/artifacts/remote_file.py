"""A file in a bucket, read from the beginning as often as needed."""

import difflib
import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dto_jobs.artifacts.addresses import SCHEME, open_store, place
from dto_jobs.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class RemoteFile:
    """An object that an `s3://bucket/name` URL names; InputError with near names where there is none."""

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        bucket, self._name = place(url)
        self._url = url
        self._store = open_store(f"{SCHEME}{bucket}", endpoint)
        self.suffix = PurePosixPath(self._name).suffix
        if not self._name or not self._store.exists(self._name):
            folder = self._name.rpartition("/")[0]
            names = self._store.names(f"{folder}/" if folder else "")
            near = difflib.get_close_matches(self._name, names, n=3) or names[:3]
            raise InputError(f"there is no object {url}; did you mean {' or '.join(near) or 'another bucket'}?")

    def __str__(self) -> str:
        return self._url

    def open(self) -> io.BufferedReader:
        """Return a stream of its bytes."""
        return io.BufferedReader(_Stream(self._store.read(self._name)), 1 << 20)


class _Stream(io.RawIOBase):
    """Chunks as a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        room = memoryview(buffer)
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        taken = self._rest[: len(room)]
        room[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)
