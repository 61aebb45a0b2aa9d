"""The control plane with nodes that only pretend, for tests of many runs."""

import pytest
from control_plane import ControlPlane, FakeNodes

pytestmark = pytest.mark.cluster


def test_a_job_that_asks_for_a_gpu_completes_on_a_node_that_pretends(
    control_plane: ControlPlane, fake_nodes: FakeNodes
) -> None:
    fake_nodes.add(2)
    container = {"name": "c", "image": "none:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "pretended"},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
    path = "/apis/batch/v1/namespaces/default/jobs"
    assert control_plane.admin.ask("POST", path, job).code == 201
    control_plane.until(
        lambda: control_plane.admin.ask("GET", f"{path}/pretended").content["status"].get("succeeded") == 1
    )
