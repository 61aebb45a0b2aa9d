"""A training over several processes: started by torchrun, made sure to be what was asked for, heard by the one that started it.

Traps that are checked and not trusted: `accelerate launch` may start one process where several were asked for; the trainer
wraps one process's several GPUs in DataParallel; FSDP on a machine without GPUs silently becomes DDP.
"""

import ctypes
import json
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from dto_jobs import errors
from dto_jobs.core.cost import Spend
from dto_jobs.core.records import Pair
from dto_jobs.engines.training_log import Note
from dto_jobs.errors import DtoError, LostNodeError, StageFailedError
from dto_jobs.settings import Nodes, World, nodes_from_environment
from dto_jobs.stage import Trained
from dto_jobs.stages.training import Training

JOB, OUTCOME, FAILURE = "job.json", "trained.json", "failure.json"
NOTE = "dto-note "
"""Begins a line that the first process writes for the one that started it."""
LAST_LINES, KEPT_LINES = 20, 400
"""Lines that are told of a failure, and that are searched for its cause: torchrun ends with dozens of its own."""
MEETING_SECONDS = 1800
"""How long machines wait for each other: one may still be fetching image and model when another is ready."""
PARTED = ("DistNetworkError", "DistStoreError", "DistBackendError", "by peer", "Broken pipe", "NCCL", "Gloo", "gloo")
"""What torch says where another process is gone."""
SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


def processes_here() -> int:
    """Return how many processes a training takes on this machine: one per GPU."""
    return max(1, int(torch.cuda.device_count()))


def check_asked(distributed: str, processes: int) -> None:
    """Raise where what is asked for cannot be had here, before anything is loaded."""
    if distributed == "fsdp" and not torch.cuda.is_available():
        raise StageFailedError(
            f"stages.training.distributed: fsdp was asked for over {processes} process(es), and there is no CUDA device here, "
            "where it would silently become ddp; run on GPUs, or set it to ddp"
        )
    if distributed == "fsdp" and processes == 1:
        raise StageFailedError(
            "stages.training.distributed: fsdp was asked for, and this is one process: there is nothing to shard over; "
            "give the training several GPUs, or set it to ddp"
        )


def check_had(accelerator: Any, devices: int, distributed: str, world: World) -> None:  # noqa: ANN401 - accelerate's own
    """Raise where the trainer does not run the way it was asked to."""
    wanted = {"NO"} if world.size == 1 else {"FSDP"} if distributed == "fsdp" else {"MULTI_CPU", "MULTI_GPU"}
    kind = accelerator.distributed_type.value
    sharded = kind != "FSDP" or accelerator.is_fsdp2
    if accelerator.num_processes != world.size or kind not in wanted or not sharded or devices > 1:
        version = "" if sharded else " of version 1"
        raise StageFailedError(
            f"training was asked to run as {distributed} over {world.size} process(es) with at most one GPU each, and runs as "
            f"{kind}{version} over {accelerator.num_processes} with {devices} GPU(s) each; start it with torchrun, a process per GPU"
        )


def trained_by_torchrun(  # noqa: PLR0917 - all that a training depends on
    base: Path, processes: int, pairs: Sequence[Pair], settings: Training, workspace: Path, note: Note, seed: int
) -> Trained | None:
    """Train in so many processes on this machine, and on the others if it is one of several; notes come to the first one.

    None on all machines but the first: that one has the model.
    """
    nodes = nodes_from_environment()
    for name in (OUTCOME, FAILURE):
        (workspace / name).unlink(missing_ok=True)
    job = {"base": str(base), "settings": settings.model_dump(mode="json"), "seed": seed}
    job["pairs"] = [pair.model_dump(mode="json") for pair in pairs]
    (workspace / JOB).write_text(json.dumps(job))
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--max-restarts=0"]
    command += [*_meeting(nodes), "-m", "dto_jobs.engines.training_process", str(workspace)]
    with subprocess.Popen(  # noqa: S603 - this program again
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call
    ) as torchrun:
        said = deque(_heard(torchrun, note), maxlen=KEPT_LINES)
    (workspace / JOB).unlink()
    if torchrun.returncode:
        raise _failure(workspace, nodes, f"{processes} training processes ended with {torchrun.returncode}", said)
    if nodes.index > 0:
        return None
    outcome = json.loads((workspace / OUTCOME).read_text())
    return Trained(Path(outcome["folder"]), Spend.model_validate(outcome["spend"]), outcome["figures"])


def _meeting(nodes: Nodes) -> list[str]:
    """Return where the processes meet. Of several machines the first is told to be it: the model is to be where its index is 0."""
    if nodes.count == 1:
        return ["--nnodes=1", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    place = f"--rdzv-endpoint={nodes.rendezvous}"
    wait = f"--rdzv-conf=timeout={MEETING_SECONDS}"
    return [f"--nnodes={nodes.count}", f"--node-rank={nodes.index}", "--rdzv-backend=static", place, wait]


def _heard(torchrun: "subprocess.Popen[str]", note: Note) -> Iterator[str]:
    """Pass on notes; yield the other lines."""
    assert torchrun.stdout is not None
    for line in torchrun.stdout:
        if line.startswith(NOTE):
            note(json.loads(line.removeprefix(NOTE)))
        else:
            yield line


def _failure(workspace: Path, nodes: Nodes, what: str, said: Sequence[str]) -> DtoError:
    """Return the error that a process left behind, else one with the last lines that were written."""
    if (workspace / FAILURE).exists():
        left = json.loads((workspace / FAILURE).read_text())
        return getattr(errors, left["kind"])(left["message"])  # type: ignore[no-any-return]
    lines = "".join(list(said)[-LAST_LINES:])
    if nodes.count > 1 and any(word in line for line in said for word in PARTED):
        return LostNodeError(
            f"{what} after the connection to another of the {nodes.count} nodes broke, or never came about; "
            f"the log of the other pods may tell why. The last lines they wrote:\n{lines}"
        )
    return StageFailedError(f"{what}; the last lines they wrote:\n{lines}")


def die_with_parent() -> None:
    """Have the system end this process when the one that started it ends, however that ends."""
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
