"""A whole cluster for tests: a control plane, one node that runs pods, and a bucket that they reach."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import minio_service
import pytest
from control_plane import ControlPlane
from images import image
from minio_service import MinioService
from node import Node, Place, World, require

AUDITED = "dto"
"""The namespace whose ServiceAccounts the API server keeps account of."""


class Cluster:
    """A Kubernetes cluster with one node, beside a MinIO."""

    def __init__(self, folder: Path) -> None:
        self.place = Place()
        self.world = World(self.place)
        self.plane = ControlPlane(_made(folder / "plane"), self.place.outside, audited=AUDITED)
        self.node = Node(self.plane, self.place, self.world, _made(folder / "node"))
        self.bucket_service: MinioService | None = None
        self._folder = folder

    def start(self) -> None:
        """Start all and wait until the node is ready."""
        self.plane.start()
        self.node.start()
        self.bucket_service = minio_service.started(_made(self._folder / "minio"), self.place.outside)

    def end(self) -> None:
        """End all."""
        self.world.end()
        self.node.kill()
        if self.bucket_service is not None:
            self.bucket_service.kill()
        self.plane.kill()
        self.place.leave()

    @property
    def minio(self) -> MinioService:
        """The bucket's service, at an address that pods and tests have in common."""
        assert self.bucket_service is not None
        return self.bucket_service

    def image(self, target: str) -> str:
        """Return the name of an image of ours, which the node then has."""
        name = image(target)
        self.node.add_image(name)
        return name

    def kubectl(self, *arguments: str, content: object = None) -> str:
        """Return what kubectl says; AssertionError where it fails."""
        done = self.tried(*arguments, content=content)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def tried(self, *arguments: str, content: object = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl, whatever comes of it."""
        text = content if isinstance(content, str) or content is None else json.dumps(content)
        return self.plane.kubectl(*arguments, content=text)

    def listed(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """Return objects of a kind."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json", *arguments))["items"]
        return found


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that all tests share."""
    require()
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        found.start()
        yield found
    finally:
        found.end()
