"""One process of a training over several: `torchrun … -m dto_jobs.engines.training_process WORKSPACE`."""

import json
import os
import signal
import sys
from pathlib import Path

from dto_jobs.causes import UnexpectedError, told
from dto_jobs.core.records import Pair
from dto_jobs.engines.processes import FAILURE, JOB, NOTE, OUTCOME, die_with_parent
from dto_jobs.engines.simpo import SimpoTrainer
from dto_jobs.settings import world_from_environment
from dto_jobs.stages.training import Training


def main(workspace: Path) -> int:
    """Train, and leave outcome or failure beside the checkpoints; return the exit code."""
    die_with_parent()
    if os.getppid() == 1:
        # The one that started it ended while this one was still being loaded: nobody would end it any more.
        return signal.SIGTERM + 128
    rank = world_from_environment().rank
    job = json.loads((workspace / JOB).read_text())
    pairs = [Pair.model_validate(pair) for pair in job["pairs"]]
    settings = Training.model_validate(job["settings"])
    try:
        trained = SimpoTrainer(Path(job["base"])).train(pairs, settings, workspace, _note, job["seed"])
    except Exception as error:
        known = told(error)
        if isinstance(known, UnexpectedError):
            raise
        # Whoever fails first says so: torchrun ends the others at once, and a half-written word would be none.
        own = workspace / f"{FAILURE}.{rank}"
        own.write_text(json.dumps({"kind": type(known).__name__, "message": str(known)}))
        own.replace(workspace / FAILURE)
        return known.exit_code
    if rank == 0:
        assert trained is not None
        outcome = {"folder": str(trained.folder), "spend": trained.spend.model_dump(), "figures": trained.figures}
        (workspace / OUTCOME).write_text(json.dumps(outcome))
    return 0


def _note(figures: dict[str, float]) -> None:
    sys.stdout.write(f"{NOTE}{json.dumps(figures)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
