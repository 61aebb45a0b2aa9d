"""Kills of the operator at every turn of a run: at each call to the API server, before it arrives and before its answer does."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product

from simulated_cluster import Cluster, Raw, seconds
from simulated_operator import KilledError, Operator

from dto_operator.orders import Start
from dto_operator.stored_run import status_of

SHAPES: dict[str, Raw] = {
    "whole": {},
    "shards": {"until": "pairs", "stages": {"rollout": {"job": {"shards": 4}}, "exits": {"job": {"shards": 2}}}},
    "queued": {"until": "training", "queueName": "gpus"},
    "anew": {"until": "pruning", "rerunFrom": "exits"},
}
MOST_TURNS = 1000


@dataclass(frozen=True)
class Trial:
    """What came of a run whose operator was killed once."""

    shape: str
    failing: bool
    call: int
    """Which point of which call, counted from the start; none is that late if `killed` is false."""
    killed: bool
    complete: bool
    started: tuple[Start, ...]

    @property
    def duplicates(self) -> int:
        """Attempts that were started twice."""
        return sum(number - 1 for number in Counter((one.step, one.attempt, one.work) for one in self.started).values())


def trials(every: int = 1) -> Iterator[Trial]:
    """Yield a trial for every n-th point of the calls of every shape of run, with and without a failure of each stage."""
    for number, (shape, failing) in enumerate(product(SHAPES, (False, True))):
        for call in count(number % every, every):
            trial = one_trial(shape, failing=failing, call=call)
            if not trial.killed:
                break
            yield trial


def one_trial(shape: str, *, failing: bool, call: int | None) -> Trial:
    """Run to the end, with a kill at the given point of a call, or with none."""
    cluster, counted, killed = Cluster(SHAPES[shape]), 0, False

    def at_call(_name: str) -> None:
        nonlocal counted, killed
        counted += 1
        if not killed and counted - 1 == call:
            killed = True
            raise KilledError

    operator = Operator(cluster, at_call)
    failed: set[str] = set()
    for _ in range(MOST_TURNS):
        try:
            operator.catch_up()
        except KilledError:
            operator = Operator(cluster, at_call)
            continue
        if not _turn(cluster, failed if failing else None):
            if operator.due is None:
                break
            cluster.now = max(cluster.now, operator.due) + seconds(0.001)
            operator.dirty = True
    status = status_of(cluster.run)
    return Trial(
        shape, failing, call if call is not None else -1, killed, status.phase == "Succeeded", tuple(cluster.started)
    )


def _turn(cluster: Cluster, failed: set[str] | None) -> bool:
    """Let the cluster go on by one thing; tell whether there was any."""
    for job in cluster.jobs():
        if job["spec"].get("suspend"):
            cluster.change("job", job["metadata"]["name"], spec={"suspend": False})
            return True
    for pod in cluster.working():
        step = pod["metadata"]["labels"]["dto.run/step"]
        if failed is not None and step not in failed:
            failed.add(step)
            cluster.fail(pod, 1, "application")
        else:
            cluster.succeed(pod)
        return True
    return cluster.control()
