"""Pods that the machines took away are counted, each once, and what had happened before is not."""

from datetime import UTC, datetime

import pytest

from dto_operator.pod_losses import PodLosses

SINCE = datetime(2026, 1, 2, 12, 0, 0, 400_000, tzinfo=UTC)


@pytest.fixture
def lost():
    return []


@pytest.fixture
def losses(lost):
    return PodLosses(lost.append, SINCE)


def pod(uid, reason="PreemptionByScheduler", at="2026-01-02T12:00:00Z", status="True"):
    condition = {"type": "DisruptionTarget", "status": status, "reason": reason, "lastTransitionTime": at}
    return {"metadata": {"uid": uid}, "status": {"conditions": [{"type": "Ready", "status": "False"}, condition]}}


def test_a_pod_is_counted_once_however_often_it_is_heard_of(lost, losses):
    for _ in range(3):
        losses.noticed(pod("a"))
    losses.noticed(pod("b", "DeletionByTaintManager"))
    assert lost == ["PreemptionByScheduler", "DeletionByTaintManager"]


def test_what_was_lost_before_the_operator_began_was_counted_by_the_one_before(lost, losses):
    losses.noticed(pod("a", at="2026-01-02T11:59:59Z"))
    assert lost == []


@pytest.mark.parametrize(
    "held",
    [
        pod("a", status="False"),
        {"metadata": {"uid": "a"}},
        {"metadata": {"uid": "a"}, "status": {"phase": "Failed", "conditions": None}},
    ],
)
def test_a_pod_that_nobody_took_away_is_no_loss(lost, losses, held):
    losses.noticed(held)
    assert lost == []


def test_losses_are_known_by_job_until_the_job_is_gone(losses):
    for uid, job in (("a", "j"), ("b", "j"), ("c", "k")):
        held = pod(uid)
        held["metadata"]["ownerReferences"] = [{"uid": job, "controller": True}]
        losses.noticed(held)
    jobs = [{"metadata": {"uid": uid}} for uid in ("j", "k", "never")]
    assert losses.of(jobs) == {"j": 2, "k": 1}
    losses.keep({"k"})
    assert losses.of(jobs) == {"k": 1}
    losses.forget("k")
    assert losses.of(jobs) == {}


def test_what_says_no_reason_and_no_time_is_a_loss_too(lost, losses):
    losses.noticed(
        {"metadata": {"uid": "a"}, "status": {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}}
    )
    assert lost == ["Unknown"]
