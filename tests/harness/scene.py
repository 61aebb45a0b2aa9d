"""A cluster in miniature with an operator that hears and does everything at once: for telling what happens to a run."""

from simulated_cluster import Cluster, seconds
from simulated_operator import Operator

from dto_operator.status import StageStatus, Status
from dto_operator.stored_run import status_of

ORDER = ["preflight", "rollout", "exits", "endings", "pruning", "pairs", "training", "evaluation", "results"]


class Scene:
    """A cluster and its operator, which hears and does everything at once."""

    def __init__(self, spec=None):
        self.cluster = Cluster(spec)
        self.operator = Operator(self.cluster)
        self.go()

    def go(self):
        while True:
            self.operator.catch_up()
            if not self.cluster.control() and not self.operator.dirty and not any(self.operator.coming.values()):
                return

    def pods(self, step):
        return [
            pod for job in self.cluster.jobs(step) for pod in self.cluster.pods_of(job) if pod in self.cluster.working()
        ]

    def make(self, *steps, say=True):
        for step in steps:
            for pod in self.pods(step):
                self.cluster.succeed(pod, say=say)
            self.go()

    def fail(self, step, code=1, retry="application"):
        self.cluster.fail(self.pods(step)[0], code, retry)
        self.go()

    def wait(self, number=1000.0):
        self.cluster.now += seconds(number)
        self.operator.dirty = True
        self.go()

    def until_next(self):
        assert self.operator.last.look_again is not None
        self.wait(self.operator.last.look_again)

    @property
    def status(self) -> Status:
        return status_of(self.cluster.run)

    def row(self, step) -> StageStatus:
        return next(row for row in self.status.stages if row.name == step)

    def condition(self, kind):
        return next((one for one in self.status.conditions if one.type == kind), None)

    def says(self, reason):
        return [one for one in self.operator.said if one.reason == reason]
