"""The operator as a process on a real API server: from a run to its Jobs, through what goes wrong in between."""

import pytest
from stored_runs import MINIMAL

pytestmark = pytest.mark.services


def test_a_run_gets_its_first_job_and_nothing_of_kopf(ground, operators):
    operator = operators(ground)
    ground.until(lambda: operator.asked("/readyz")[0] == 200)
    ground.apply("first", MINIMAL)
    job = ground.job("preflight")
    assert job["metadata"]["ownerReferences"][0]["name"] == "first"
    ground.until(lambda: ground.run("first").get("status"))
    held = ground.run("first")
    assert "kopf" not in str(held)
    assert "annotations" not in held["metadata"]
    assert "finalizers" not in held["metadata"]
    assert operator.asked("/healthz") == (200, "ok\n")
    assert operator.metric('dto_runs{phase="Running"}') + operator.metric('dto_runs{phase="Pending"}') == 1
    assert operator.stop() == 0
