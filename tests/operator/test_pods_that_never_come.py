"""What is said and done about an attempt whose pods are refused, or taken away again and again."""

import pytest
from simulated_cluster import Cluster, seconds

from dto_operator.observation import Why, observe
from dto_operator.orders import Start
from dto_operator.reconcile import reconcile
from dto_operator.refused_pods import RefusedPods
from dto_operator.settings import OperatorSettings

SETTINGS = OperatorSettings(store="s3://dto/tests")
QUOTA = 'Error creating: pods "p" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: 0, limited: 0'
SECURITY = 'Error creating: pods "p" is forbidden: violates PodSecurity "restricted:latest": runAsUser=0'


def preflighted():
    cluster = Cluster()
    return cluster, cluster.start(Start("preflight", 1))


@pytest.mark.parametrize(
    ("note", "reason", "says"), [(QUOTA, "QuotaExceeded", "gpus"), (SECURITY, "PodRefused", "runAsUser")]
)
def test_what_events_say_of_a_job_without_pods_is_told_with_the_remedy(note, reason, says):
    cluster, job = preflighted()
    refused = {job["metadata"]["uid"]: (Why("FailedCreate", note),)}
    found = reconcile(observe(cluster.run, cluster.jobs(), refused=refused), cluster.now + seconds(10), SETTINGS)
    row = found.status.stages[0]
    assert (row.state, row.reason) == ("Running", reason)
    assert says in row.message
    progressing = next(one for one in found.status.conditions if one.type == "Progressing")
    assert progressing.reason == reason
    assert says in progressing.message
    assert 60 < found.look_again < 70


def test_a_job_that_is_just_made_is_looked_at_again_soon_and_nothing_is_claimed():
    cluster, _ = preflighted()
    found = reconcile(observe(cluster.run, cluster.jobs()), cluster.now + seconds(1), SETTINGS)
    assert found.status.stages[0].reason is None
    assert 4 < found.look_again <= 6


class Events:
    """Says always the same, and what it was asked."""

    def __init__(self):
        self.asked = []

    def told(self, namespace, uid, reason):
        self.asked.append((namespace, uid, reason))
        return [QUOTA]


def test_events_are_read_once_a_minute_of_jobs_without_pods_and_of_no_other():
    cluster, job = preflighted()
    job["metadata"]["namespace"] = "team"
    uid, events = job["metadata"]["uid"], Events()
    refused = RefusedPods(events)
    said = {uid: (Why("FailedCreate", QUOTA),)}
    assert [refused.of([job], []), refused.of([job], [])] == [said, said]
    assert events.asked == [("team", uid, "FailedCreate")]
    refused.keep({uid})
    assert (refused.of([job], []), len(events.asked)) == (said, 1)
    refused.keep(())
    assert (refused.of([job], []), len(events.asked)) == (said, 2)
    cluster.control()
    assert refused.of([job], cluster.all("pod")) == {}


def test_pods_that_vanished_are_held_against_the_budget_for_losses():
    cluster, job = preflighted()
    name = job["metadata"]["uid"]
    allowed = 100
    few = reconcile(observe(cluster.run, cluster.jobs(), lost={name: 1}), cluster.now, SETTINGS)
    assert few.status.stages[0].state == "Running"
    cluster.control()
    many = observe(cluster.run, cluster.jobs(), cluster.all("pod"), lost={name: allowed})
    row = reconcile(many, cluster.now, SETTINGS).status.stages[0]
    assert row.state == "Failed"
    assert row.reason == "TooManyLosses"
    assert row.attempts.infrastructure == allowed
