"""What a run goes through on a cluster, in order: the preflight, the stages of its plan, the results, and the removal of the rest."""

from dataclasses import dataclass

from dto_jobs.job_settings import Retry
from dto_jobs.pipeline import BENCHMARKS, PROBLEMS, needed
from dto_jobs.resource import Spec
from dto_operator import names
from dto_operator.job_manifest import stage_job

SOURCES = {PROBLEMS, BENCHMARKS}
"""What the preflight takes snapshots of, and so makes."""


@dataclass(frozen=True)
class Step:
    """One of the things that a run goes through."""

    name: str
    needs: tuple[str, ...]
    """The steps that must be done before."""
    retry: Retry

    @property
    def makes_artifact(self) -> bool:
        """It ends with a receipt, which can be read again where nobody heard of it."""
        return self.name not in names.AROUND


def steps(spec: Spec) -> tuple[Step, ...]:
    """Return the steps of a run, first to last."""
    links = needed(list(spec.stages.links()), spec.until)
    stages = [(link.name, (names.PREFLIGHT, *(need for need in link.needs if need not in SOURCES))) for link in links]
    everything = (names.PREFLIGHT, *(link.name for link in links))
    along = [(names.PREFLIGHT, ()), *stages, (names.RESULTS, everything)]
    if spec.artifacts.policy == "DeleteIntermediates":
        along.append((names.DISCARD, (*everything, names.RESULTS)))
    return tuple(Step(name, needs, stage_job(spec, name).retry) for name, needs in along)
