"""What the Dockerfile makes."""

import pytest
from cluster import Cluster
from images import compressed_bytes, image, settings
from node import require

# The first test of a machine waits until images of 6 GB are built and unpacked.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def operator_image() -> str:
    require()
    return image("operator")


def test_the_operators_image_is_small(operator_image: str) -> None:
    assert compressed_bytes(operator_image) < 150e6


def test_the_operators_image_names_a_user_without_rights_and_what_it_is(operator_image: str) -> None:
    found = settings(operator_image)
    assert found["User"] == "65532:65532"
    assert found["Labels"]["org.opencontainers.image.title"] == "dto-operator"
    assert found["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_operators_image_holds_byte_code_and_nothing_of_how_it_was_built(cluster: Cluster) -> None:
    program = """
import importlib.util, pathlib, sys
for name in ("torch", "minio", "pip", "uv"):
    assert importlib.util.find_spec(name) is None, name
import dto_operator.operation
for module in ("dto_operator.operation", "kopf", "dto_jobs.resource"):
    assert pathlib.Path(sys.modules[module].__cached__).exists(), module
for left in ("/etc/pip.conf", "/etc/uv/uv.toml", "/run/secrets/ca.crt", "/opt/installer"):
    assert not pathlib.Path(left).exists(), left
"""
    container = {
        "name": "c",
        "image": cluster.image("operator"),
        "imagePullPolicy": "Never",
        "command": ["python", "-c", program],
        "securityContext": {"readOnlyRootFilesystem": True, "runAsNonRoot": True},
    }
    pod = {"restartPolicy": "Never", "containers": [container]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "inside"}}
    cluster.kubectl("apply", "-f", "-", content={**job, "spec": {"backoffLimit": 0, "template": {"spec": pod}}})
    waited = cluster.tried("wait", "--for=condition=Complete", "job/inside", "--timeout=120s")
    assert waited.returncode == 0, cluster.tried("logs", "job/inside").stdout
