"""A real MinIO server for tests, and toxiproxy in front of it for faults."""

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.error import MinioException
from service_process import Service, built, free_port
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

ACCESS, SECRET = "tester-key", "tester-secret"


def answers(url: str, method: str = "GET", content: object = None) -> Any:
    """Return the JSON (or None) that an address answers with; False where it does not answer well."""
    data = json.dumps(content).encode() if content is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        # A server that is starting may take a connection and never look at it again.
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read() or b"null")
    except (OSError, urllib.error.URLError):
        return False


class MinioService(Service):
    """A MinIO server with a disk of its own; started again it has the same address and data."""

    def __init__(self, folder: Path, address: str = "127.0.0.1", arguments: Sequence[str] = ()) -> None:
        self.port = free_port()
        self.address = f"{address}:{self.port}"
        self.endpoint = f"http://{self.address}"
        super().__init__(
            [
                built("minio") / "minio",
                *(arguments or ("server", folder / "data", "--quiet")),
                *("--address", self.address),
            ],
            self._works,
            folder / "minio.log",
            MINIO_ROOT_USER=ACCESS,
            MINIO_ROOT_PASSWORD=SECRET,
            MINIO_BROWSER="off",
            MINIO_UPDATE="off",
            # Temporary folders lie on the disk that the system is on, which MinIO refuses otherwise.
            MINIO_CI_CD="1",
        )

    def _works(self) -> bool:
        # Its own health check says yes a while before it knows its users.
        pool = PoolManager(timeout=5, retries=False)
        try:
            Minio(self.address, ACCESS, SECRET, secure=False, http_client=pool).list_buckets()
        except (MinioException, HTTPError):
            return False
        return True

    def client(self) -> Minio:
        """Return a plain client of the SDK, with every right."""
        return Minio(self.address, ACCESS, SECRET, secure=False, region="us-east-1")

    def admin(self) -> MinioAdmin:
        """Return a client for users, policies and quotas."""
        return MinioAdmin(endpoint=self.address, credentials=StaticProvider(ACCESS, SECRET), secure=False)

    def bucket(self) -> str:
        """Make a bucket and return its name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().make_bucket(name)
        return name


def started(folder: Path, address: str = "127.0.0.1", arguments: Sequence[str] = ()) -> MinioService:
    """Return a MinIO that is ready, started with other arguments than the tests' own if some are given."""
    for last in (False, False, True):
        service = MinioService(folder, address, arguments)
        try:
            service.start()
        except RuntimeError:
            # Another program may have taken the port in between.
            if last:
                raise
        else:
            return service
    raise AssertionError


class Proxy:
    """A way to a service that can be broken."""

    def __init__(self, api: str, name: str, address: str) -> None:
        self._api = f"{api}/proxies/{name}"
        self.endpoint = f"http://{address}"

    def add(self, toxic: str, stream: str = "downstream", name: str = "", **attributes: int) -> None:
        """Break it in one of toxiproxy's ways."""
        made = answers(
            f"{self._api}/toxics",
            "POST",
            {"name": name or toxic, "type": toxic, "stream": stream, "toxicity": 1.0, "attributes": attributes},
        )
        assert made is not False

    def remove(self, name: str) -> None:
        """Mend it."""
        assert answers(f"{self._api}/toxics/{name}", "DELETE") is not False

    def enable(self, *, enabled: bool) -> None:
        """Close or open it: closed, connections are refused."""
        assert answers(self._api, "POST", {"enabled": enabled}) is not False


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioService]:
    """A MinIO that all tests share."""
    service = started(tmp_path_factory.mktemp("minio"))
    yield service
    service.kill()


@pytest.fixture
def own_minio(tmp_path: Path) -> Iterator[MinioService]:
    """A MinIO that the test may kill."""
    (tmp_path / "minio").mkdir()
    service = started(tmp_path / "minio")
    yield service
    service.kill()


@pytest.fixture(scope="session")
def toxiproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a toxiproxy's interface."""
    folder, port = tmp_path_factory.mktemp("toxiproxy"), free_port()
    api = f"http://127.0.0.1:{port}"
    service = Service(
        [built("toxiproxy") / "server", "-host", "127.0.0.1", "-port", str(port)],
        lambda: answers(f"{api}/proxies") is not False,
        folder / "toxiproxy.log",
    )
    service.start()
    yield api
    service.kill()


@pytest.fixture
def proxy(toxiproxy: str, minio_server: MinioService) -> Iterator[Proxy]:
    """A way to the shared MinIO that can be broken."""
    name = uuid.uuid4().hex
    made = answers(
        f"{toxiproxy}/proxies",
        "POST",
        {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{minio_server.port}", "enabled": True},
    )
    assert made
    yield Proxy(toxiproxy, name, made["listen"])
    answers(f"{toxiproxy}/proxies/{name}", "DELETE")


@pytest.fixture
def s3_keys(minio_server: MinioService, monkeypatch: pytest.MonkeyPatch) -> MinioService:
    """The shared MinIO, named by the environment."""
    monkeypatch.setenv("DTO_S3_ENDPOINT", minio_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return minio_server
