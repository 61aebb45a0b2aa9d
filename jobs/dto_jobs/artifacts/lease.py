"""A lease on a run in a bucket: one process holds it, renews it while it lives, and loses it some time after it died."""

import json
import os
import platform
import time
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from threading import Event, Thread
from typing import NamedTuple
from uuid import uuid4

from minio import Minio, S3Error
from minio.error import MinioException
from urllib3.exceptions import HTTPError

from dto_jobs.errors import RunConflictError, StoreError

REFUSED = frozenset({"PreconditionFailed", "NoSuchKey"})


class Seen(NamedTuple):
    """A lease as it was found."""

    content: bytes
    etag: str
    age: float
    """Seconds since it was last renewed, by the service's own clock: no clock here is asked."""

    @property
    def holder(self) -> str:
        """Who holds it, in words."""
        return str(json.loads(self.content)["holder"])

    @property
    def released(self) -> bool:
        """Whether its holder gave it back."""
        return bool(json.loads(self.content)["released"])


class Lease:
    """The lease kept in one object. Every change of it is conditional on the version last seen, so one writer wins."""

    def __init__(self, client: Minio, bucket: str, key: str, seconds: float) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._seconds = seconds
        self._etag = ""
        self._lost = False
        self._ended = Event()
        self._renewing = Thread(target=self._renew, name="lease", daemon=True)

    def take(self) -> None:
        """Take the lease, waiting until a holder that no longer renews it has run out of time; RunConflictError if it does renew."""
        first, start = self._read(), time.monotonic()
        while not self._taken(seen := self._read(), waited=time.monotonic() - start):
            if seen is not None and first is not None and seen.etag != first.etag and not seen.released:
                raise RunConflictError(
                    f"{self._key}: another process ({seen.holder}) is at this run; wait for it, or end it and start again"
                )
            self._ended.wait(self._seconds / 20)
        self._renewing.start()

    def _taken(self, seen: Seen | None, waited: float) -> bool:
        if seen is None:
            taken = self._put({"If-None-Match": "*"})
            if taken and self._sent({"If-None-Match": "*"}, b"{}") is not None:
                raise StoreError(
                    f"this S3 service overwrites objects in spite of `If-None-Match` ({self._key}), so processes could "
                    "overwrite each other's work; use a service with conditional writes, such as MinIO, Amazon S3 or Ceph"
                )
            return taken
        if seen.released or max(seen.age, waited) > self._seconds:
            return self._put({"If-Match": seen.etag})
        return False

    def check(self) -> None:
        """Raise RunConflictError where another process took the lease over, because this one stood still for too long."""
        if self._lost:
            raise RunConflictError(
                f"{self._key}: this process did not renew its lease for {self._seconds:.0f} s and another took the run over; "
                "what was committed is kept"
            )

    def release(self) -> None:
        """Give the lease back; where the service is away it runs out by itself."""
        self._ended.set()
        self._renewing.join()
        with suppress(MinioException, HTTPError):
            self._put({"If-Match": self._etag}, released=True)

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / 6) and not self._lost:
            # While the service is away nobody else can take the lease either.
            with suppress(MinioException, HTTPError):
                self._lost = not self._put({"If-Match": self._etag})

    def _put(self, condition: dict[str, str], *, released: bool = False) -> bool:
        """Write the lease under a condition; tell whether it holds ours now."""
        holder = f"pid {os.getpid()} on {platform.node()}"
        data = json.dumps({"holder": holder, "released": released, "renewal": uuid4().hex}).encode()
        etag = self._sent(condition, data)
        if etag is None and (seen := self._read()) is not None and seen.content == data:
            # It was ours that stood there already: its first answer was lost.
            etag = seen.etag
        self._etag = etag or self._etag
        return etag is not None

    def _sent(self, condition: dict[str, str], data: bytes) -> str | None:
        """Return the version written, None where the condition did not hold."""
        try:
            # As in the store: the SDK's public calls take no condition.
            return str(self._client._put_object(self._bucket, self._key, data, {**condition}).etag)  # noqa: SLF001
        except S3Error as error:
            if error.code in REFUSED:
                return None
            raise

    def _read(self) -> Seen | None:
        try:
            answer = self._client.get_object(self._bucket, self._key)
        except S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise
        with answer:
            content = answer.read()
        headers = answer.headers
        return Seen(
            content,
            headers["etag"].strip('"'),
            (_time(headers["date"]) - _time(headers["last-modified"])).total_seconds(),
        )


def _time(header: str) -> datetime:
    return parsedate_to_datetime(header)
