"""The connection to an S3-compatible service: patient while it is away, and clear about what is wrong."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import minio.time
from minio import Minio, S3Error
from minio.error import InvalidResponseError, ServerError
from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import (
    HTTPError,
    NewConnectionError,
    ProtocolError,
    SSLError,
)
from urllib3.exceptions import (
    TimeoutError as TimedOut,
)

from dto_jobs.errors import InputError, StoreError
from dto_jobs.settings import S3Access

AGAIN = frozenset({429, 500, 502, 503, 504})
AWAY = (ProtocolError, TimedOut, NewConnectionError)
"""What a service does that is away for a while, or a link that breaks."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
FIRST_CONTACT = 15.0
"""Patience, in seconds, until the service has answered once: a wrong address is told soon."""
CONNECT, ANSWER, BLOCK = 10.0, 120.0, 1 << 18


def connected(access: S3Access) -> Minio:
    """Return a client; InputError where the endpoint is no URL or there are no keys."""
    parts = urlsplit(access.endpoint)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/"):
        raise InputError(f"the S3 endpoint {access.endpoint!r} is no URL such as http://minio.storage:9000")
    if not access.access_key or not access.secret_key:
        raise InputError(f"there are no keys for {access.endpoint}: set $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY")
    return Minio(
        parts.netloc,
        access.access_key,
        access.secret_key,
        access.session_token,
        secure=parts.scheme == "https",
        region=access.region,
        http_client=PatientPool(access.patience),
    )


class PatientPool(PoolManager):
    """Sends each request again, after pauses that grow and vary, until it is answered or the patience is over.

    A request stands for one step of an upload, so that a part that was lost is sent again by itself.
    """

    def __init__(self, patience: float) -> None:
        super().__init__(timeout=Timeout(connect=CONNECT, read=ANSWER), maxsize=10, blocksize=BLOCK)
        self._patience = patience
        self._left = min(patience, FIRST_CONTACT)

    def urlopen(self, method: str, url: str, redirect: bool = True, **request: Any) -> BaseHTTPResponse:  # type: ignore[override]  # noqa: ANN401, FBT001, FBT002, ARG002 - urllib3's own signature
        """Send a request; an answer that says "not now" counts as none until the patience is over."""
        end = time.monotonic() + self._left
        for pause in pauses():
            # Within a file, the time limit is for each block that is sent: a slow link is no error as long as it moves.
            body = request.get("body")
            sent = {**request, "body": BytesIO(body) if isinstance(body, bytes) and body else body, "retries": False}
            over = time.monotonic() + pause >= end
            try:
                answer = _whole(super().urlopen(method, url, redirect=False, **sent))
            except AWAY:
                if over:
                    # What is asked next, such as to clear up, need not wait as long again.
                    self._left = 0.0
                    raise
            else:
                if answer.status not in AGAIN or over:
                    self._left = self._patience if answer.status not in AGAIN else 0.0
                    return answer
                answer.drain_conn()
            time.sleep(pause)
        raise AssertionError("pauses never end")


def _whole(answer: BaseHTTPResponse) -> BaseHTTPResponse:
    """Return an answer; ProtocolError where the connection broke within its head, which urllib3 takes for its end."""
    if answer.status != 204 and not {"content-length", "transfer-encoding"} & {name.lower() for name in answer.headers}:
        answer.close()
        raise ProtocolError("the connection broke within the head of an answer")
    return answer


def pauses() -> Iterator[float]:
    """Yield pauses in seconds, doubling, each varied so that many clients do not come back at once."""
    longest = FIRST_PAUSE
    while True:
        yield random.uniform(longest / 2, longest)  # noqa: S311 - no secret depends on it
        longest = min(2 * longest, LONGEST_PAUSE)


@contextmanager
def explained(action: str, bucket: str, access: S3Access) -> Iterator[None]:
    """Turn what the SDK raises into a StoreError that says cause and remedy, and holds no key."""
    try:
        yield
    except S3Error as error:
        raise StoreError(f"cannot {action}: {_cause(error, bucket, access)}") from error
    except (HTTPError, ServerError, InvalidResponseError) as error:
        raise StoreError(f"cannot {action}: {_trouble(error, access)}") from error


def _cause(error: S3Error, bucket: str, access: S3Access) -> str:
    code = error.code or ""
    keys = f"{access.endpoint} does not accept the keys; check $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY"
    full = "free some space or raise the quota, then run the same command again: what was committed is kept"
    known = {
        "InvalidAccessKeyId": keys,
        "SignatureDoesNotMatch": keys,
        "ExpiredToken": f"{access.endpoint} says that the session token has expired; renew $AWS_SESSION_TOKEN",
        "NoSuchBucket": f"there is no bucket {bucket!r} at {access.endpoint}; make it, or mend its name",
        "AccessDenied": f"the keys may not do that in the bucket {bucket!r}; "
        "a run needs s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket",
        "NoSuchKey": "no such object",
        "PreconditionFailed": "it was replaced meanwhile; run the same command again",
        "XMinioAdminBucketQuotaExceeded": f"the quota of the bucket {bucket!r} is used up; {full}",
        "QuotaExceeded": f"the quota of the bucket {bucket!r} is used up; {full}",
        "XMinioStorageFull": f"{access.endpoint} has no space left; {full}",
        "RequestTimeTooSkewed": f"the clock here is {_skew(error)} from the clock of {access.endpoint}; set the clock right (NTP)",
    }
    return known.get(code, f"{access.endpoint} answered {code}: {error.message}")


def _skew(error: S3Error) -> str:
    """Return how far the clocks are apart, in words: the service says its time in every answer."""
    theirs = parsedate_to_datetime(error.response.headers["date"])
    # The SDK's clock is the one that its requests were signed by.
    seconds = (minio.time.utcnow() - theirs).total_seconds()
    return f"{abs(seconds):,.0f} s {'ahead' if seconds > 0 else 'behind'}"


def _trouble(error: Exception, access: S3Access) -> str:
    reason = getattr(error, "reason", None) or error
    again = "run the same command again when it is back: what was committed is kept"
    if isinstance(reason, SSLError):
        return f"no secure connection to {access.endpoint}: {reason}; check its certificate and $SSL_CERT_FILE"
    if isinstance(error, HTTPError):
        return f"{access.endpoint} could not be reached, not even after repeated tries ({_words(reason)}); {again}"
    return f"{access.endpoint} answered with an error ({error}); {again}"


def _words(reason: object) -> str:
    # urllib3 puts the object it failed on before its words.
    return str(reason).rpartition(">: ")[2] or type(reason).__name__
