"""The node that the tests of this tier start."""

import pytest
from cluster import Cluster
from images import BASE

pytestmark = pytest.mark.cluster


def test_a_job_runs_in_a_pod_and_its_last_words_are_read(cluster: Cluster) -> None:
    cluster.node.add_image(BASE)
    container = {
        "name": "c",
        "image": BASE,
        "command": ["python3", "-c", "open('/dev/termination-log', 'w').write('good bye')"],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "words"},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
    cluster.kubectl("apply", "-f", "-", content=job)
    cluster.kubectl("wait", "--for=condition=Complete", "job/words", "--timeout=300s")
    pod = cluster.listed("pods", "-l", "job-name=words")[0]
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == "good bye"
