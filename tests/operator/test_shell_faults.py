"""What may happen between the operator and a real API server, and that runs go on all the same."""

import pytest
from operator_process import kubeconfig_by, last_words
from stored_runs import MINIMAL
from swallowing_proxy import SwallowingProxy

pytestmark = pytest.mark.services
ANALYSIS = MINIMAL | {"until": "pairs"}
LEASE = {"leader_election": "true", "lease_seconds": "3"}


def ready(ground, operator):
    ground.until(lambda: operator.asked("/readyz")[0] == 200)


def complete(ground, name):
    ground.until(lambda: ground.condition(name, "Complete"))
    jobs = [job["metadata"]["labels"] for job in ground.jobs() if job["metadata"]["labels"]["dto.run/run"] == name]
    assert {labels["dto.run/attempt"] for labels in jobs} == {"1"}
    steps = [labels["dto.run/step"] for labels in jobs]
    assert sorted(steps) == sorted(set(steps))


def test_events_that_nobody_kept_are_found_by_listing(ground, operators):
    operator = operators(ground)
    ready(ground, operator)
    ground.apply("gone", ANALYSIS)
    pod = ground.pod(ground.job("preflight"))
    # While it sleeps: its watches break, the server forgets what it would have told, a run comes and another goes.
    operator.pause()
    ground.apply("deleted", ANALYSIS)
    ground.ended(pod, last_words("preflight", ground.run("gone")["metadata"]["uid"]))
    ground.ask("DELETE", ground.path("/apis/dto.run/v1alpha1", "dtoruns", "deleted"))
    ground.server.restart()
    ground.server.compact()
    operator.resume()
    ground.drive("gone", ("rollout", "exits", "endings", "pruning", "pairs", "results"))
    complete(ground, "gone")
    assert operator.alive
    ground.until(lambda: operator.metric('dto_runs{phase="Succeeded"}') == 1)
    # Nobody told of the other's end: a list does.
    ground.until(lambda: operator.metric('dto_runs{phase="Pending"}') == 0)


def test_watches_that_fall_silent_are_noticed_and_begun_anew(ground, operators, tmp_path):
    proxy = SwallowingProxy(ground.server.port)
    kubeconfig = kubeconfig_by(ground.server, f"https://127.0.0.1:{proxy.port}", tmp_path / "proxied.yaml")
    operator = operators(ground, kubeconfig, watch_seconds="5")
    ready(ground, operator)
    ground.apply("silent", ANALYSIS)
    ground.job("preflight")
    proxy.swallow()
    ground.drive("silent")
    complete(ground, "silent")
    proxy.close()


def test_of_two_operators_one_works_and_the_other_takes_over(ground, operators):
    settings = LEASE | {"lease_namespace": ground.namespace}
    pair = [operators(ground, **settings) for _ in range(2)]

    def leaders():
        return [operator for operator in pair if operator.alive and operator.metric("dto_operator_leader") == 1]

    for operator in pair:
        ready(ground, operator)
    (first,) = ground.until(leaders)
    (second,) = [operator for operator in pair if operator is not first]
    ground.apply("handed", ANALYSIS)
    ground.drive("handed", ("preflight", "rollout"))
    # Asleep with the Lease in its hand, it wakes up when it is another's.
    first.pause()
    ground.until(lambda: second.metric("dto_operator_leader") == 1)
    ground.drive("handed", ("exits",))
    first.resume()
    ground.until(lambda: leaders() == [second])
    ground.drive("handed", ("endings", "pruning"))
    second.kill()
    ground.until(lambda: first.metric("dto_operator_leader") == 1)
    ground.drive("handed", ("pairs", "results"))
    complete(ground, "handed")
