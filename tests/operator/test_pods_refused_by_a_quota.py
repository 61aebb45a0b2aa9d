"""A Job whose pods a quota refuses, beside Kubernetes' own Job controller: only its Events say why."""

import pytest
from stored_runs import MINIMAL

pytestmark = pytest.mark.services


def test_the_run_says_which_quota_it_waits_for_and_what_to_do(acting, operators):
    quota = {"metadata": {"name": "no-pods"}, "spec": {"hard": {"pods": "0"}}}
    acting.ask("POST", acting.path("/api/v1", "resourcequotas"), quota)
    acting.until(lambda: acting.ask("GET", acting.path("/api/v1", "resourcequotas", "no-pods"))["status"].get("hard"))
    operators(acting)
    acting.apply("r", MINIMAL | {"until": "pairs"})

    def said() -> str:
        stages = acting.run("r").get("status", {}).get("stages", ())
        return " ".join(f"{stage.get('reason')} {stage.get('message')}" for stage in stages)

    acting.until(lambda: "QuotaExceeded" in said())
    assert "no-pods" in said()
    assert "raise it" in said()
