"""A bucket as a store: any S3-compatible service through the `minio` SDK, laid out as a folder would be."""

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple
from uuid import uuid4

from minio import S3Error
from minio.deleteobjects import DeleteObject
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ProtocolError

from dto_jobs.artifacts.lease import Lease
from dto_jobs.artifacts.s3_connection import AWAY, connected, explained, pauses
from dto_jobs.errors import StoreError
from dto_jobs.settings import S3Access

CHUNK = 1 << 20
STEP = 16 << 20
"""Bytes that are sent at a time: three of them at once, so that an upload needs bounded memory; 10,000 make an object at most."""
STANDSTILLS = 8
"""How often in a row a read may break without a byte in between."""
WRITE = "dto-write"
MD5 = re.compile(r"[0-9a-f]{32}")


class Version(NamedTuple):
    """What tells a version of an object from others."""

    etag: str
    size: int


class S3Store:
    """Keeps objects in a bucket, below a prefix. An object appears when all its bytes have arrived, or not at all."""

    def __init__(self, access: S3Access, bucket: str, prefix: str = "", lease: float = 30.0) -> None:
        self.address = f"s3://{bucket}/{prefix}".rstrip("/")
        self._access = access
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._seconds = lease
        self._client = connected(access)
        self._lease: Lease | None = None

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        """Keep an object whole, in place of one of the same name; what is long is sent in steps."""
        self._still_ours()
        mark = uuid4().hex
        with self._explained("write", name):
            try:
                self._client.put_object(
                    self._bucket, self._prefix + name, _Reader(chunks), -1, metadata={WRITE: mark}, part_size=STEP
                )
            except S3Error as error:
                # The upload was completed, its answer was lost, and the request that was sent again found it gone.
                if error.code != "NoSuchUpload" or self._mark(name) != mark:
                    raise

    def _mark(self, name: str) -> str | None:
        headers = self._client.stat_object(self._bucket, self._prefix + name).metadata or {}
        return headers.get(f"x-amz-meta-{WRITE}")

    def create(self, name: str, data: bytes) -> bool:
        """Keep a small object unless there is one of this name, and tell whether the one there now is this."""
        self._still_ours()
        with self._explained("write", name):
            try:
                # The SDK's public calls cannot send the condition; the step below them takes any header.
                self._client._put_object(self._bucket, self._prefix + name, data, {"If-None-Match": "*"})  # noqa: SLF001
            except S3Error as error:
                if error.code != "PreconditionFailed":
                    raise
                # Refused, perhaps by our own object, whose first answer was lost.
                return b"".join(self.read(name)) == data
        return True

    def read(self, name: str) -> Iterator[bytes]:
        """Yield an object's bytes; where the connection breaks, go on from there in the same version of the object."""
        with self._explained("read", name):
            yield from self._streamed(name)

    def _streamed(self, name: str) -> Iterator[bytes]:
        done, size, standstills = 0, 1, 0
        conditions: dict[str, str | list[str] | tuple[str]] = {}
        for pause in pauses():
            answer = self._client.get_object(self._bucket, self._prefix + name, done, request_headers=conditions)
            before = done
            try:
                conditions, size = _version(answer), done + int(answer.headers["content-length"])
                for chunk in answer.stream(CHUNK, decode_content=False):
                    done += len(chunk)
                    yield chunk
            except AWAY:
                standstills = standstills + 1 if done == before else 0
                if standstills > STANDSTILLS:
                    raise
            finally:
                _let_go(answer)
            if done >= size:
                return
            time.sleep(pause)

    def exists(self, name: str) -> bool:
        """Tell whether there is an object of this name."""
        with self._explained("look for", name):
            try:
                # Not a HEAD request: its answer has no body, and so does not tell a missing object from a missing bucket.
                _let_go(self._client.get_object(self._bucket, self._prefix + name, length=1))
            except S3Error as error:
                if error.code not in {"NoSuchKey", "InvalidRange"}:
                    raise
                # An empty object has no first byte.
                return bool(error.code == "InvalidRange")
        return True

    def names(self, prefix: str) -> list[str]:
        """Return the names that begin so, sorted; leases are not objects."""
        return sorted(name for name in self.versions(prefix) if not name.rpartition("/")[2].startswith("."))

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the bytes of every object whose name begins so."""
        found = self.versions(prefix).items()
        return {name: there.size for name, there in found if not name.rpartition("/")[2].startswith(".")}

    def versions(self, prefix: str) -> dict[str, Version]:
        """Return which version there is of every object whose name begins so."""
        with self._explained("list", prefix):
            found = self._client.list_objects(self._bucket, self._prefix + prefix, recursive=True)
            return {
                str(entry.object_name).removeprefix(self._prefix): Version(str(entry.etag).strip('"'), entry.size or 0)
                for entry in found
            }

    def md5(self, name: str) -> str | None:
        """Return an object's MD5 as the service has it; None for what was sent in steps or is encrypted there."""
        with self._explained("look at", name):
            there = self._client.stat_object(self._bucket, self._prefix + name)
        encrypted = any(header.lower().startswith("x-amz-server-side-encryption") for header in there.metadata or {})
        etag = str(there.etag).strip('"')
        return None if encrypted or not MD5.fullmatch(etag) else etag

    def delete(self, prefix: str) -> None:
        """Remove all objects whose names begin so."""
        objects = [DeleteObject(self._prefix + name) for name in self.versions(prefix)]
        with self._explained("delete", prefix):
            for error in self._client.remove_objects(self._bucket, objects):
                raise StoreError(f"cannot delete {error.name} in {self.address}: {error.code} {error.message}")

    @contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Hold the sole right to write below a name by a lease, which is renewed as long as this process lives."""
        with self._explained("claim", name):
            lease = Lease(self._client, self._bucket, f"{self._prefix}{name}/.claim", self._seconds)
            lease.take()
        self._lease = lease
        try:
            yield
        finally:
            self._lease = None
            lease.release()

    def _still_ours(self) -> None:
        if self._lease is not None:
            self._lease.check()

    def _explained(self, action: str, name: str) -> AbstractContextManager[None]:
        return explained(f"{action} {name or 'objects'} in {self.address}", self._bucket, self._access)


class _Reader:
    """Chunks as the stream that the SDK reads from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        pieces, length = [self._rest], len(self._rest)
        while length < size and (chunk := next(self._chunks, None)) is not None:
            pieces.append(chunk)
            length += len(chunk)
        data = b"".join(pieces)
        self._rest = data[size:]
        return data[:size]


def _version(answer: BaseHTTPResponse) -> dict[str, str | list[str] | tuple[str]]:
    """Return the condition to be answered from the same version of the object."""
    if "etag" not in answer.headers:
        raise ProtocolError("the connection broke within the head of an answer")
    return {"If-Match": answer.headers["etag"]}


def _let_go(answer: BaseHTTPResponse) -> None:
    """Give the connection back; one whose answer was not read to the end is closed."""
    answer.close()
    answer.release_conn()
