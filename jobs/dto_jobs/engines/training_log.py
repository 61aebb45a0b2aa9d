"""What a training tells while it goes on, and when it is stopped or saved."""

import resource
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import torch
from transformers import TrainerCallback

from dto_jobs.core.divergence import Guard, gone_wrong
from dto_jobs.errors import StageFailedError

BETWEEN_CHECKPOINTS = 30.0
"""Seconds at least between checkpoints that nobody asked for."""
MEASURED = {"tokensPerSecond": "tokens_per_second", "memoryBytes": "memory_bytes"}
"""Figures that differ from run to run, ours and as the trainer logs them."""
NAMES = MEASURED | {
    "loss": "loss",
    "margin": "rewards/margins",
    "rewardAccuracy": "rewards/accuracies",
    "chosen": "logps/chosen",
    "rejected": "logps/rejected",
    "gradientNorm": "grad_norm",
    "learningRate": "learning_rate",
}

Note = Callable[[dict[str, float]], None]


def noted(history: Sequence[Mapping[str, Any]], steps: int) -> list[dict[str, float]]:
    """Return the logged steps of a trainer's history by our names; a resumed training's history holds the steps before."""
    return [
        {ours: float(entry[theirs]) for ours, theirs in NAMES.items() if theirs in entry}
        | {"step": float(entry["step"]), "steps": float(steps)}
        for entry in history
        if "loss" in entry
    ]


class Watch(TrainerCallback):
    """Notes each logged step, and stops a training that has gone wrong for good."""

    def __init__(self, note: Note, guard: Guard) -> None:
        self._note = note
        self._guard = guard

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_more: Any) -> None:  # noqa: ANN401 - transformers' own
        """Hear one logged step. Every process hears the same figures, so all stop or none."""
        if not logs or "loss" not in logs:
            return
        log = noted(state.log_history, state.max_steps)
        wrong = gone_wrong(log, self._guard)
        if wrong is not None:
            raise StageFailedError(
                f"training diverged at step {state.global_step} of {state.max_steps}: {wrong}. Lower "
                "stages.training.learningRate, raise stages.training.nll to hold on to the chosen responses, or, if this is "
                "meant, widen stages.training.guard"
            )
        if state.is_world_process_zero:
            self._note(log[-1])


class Patience(TrainerCallback):
    """Leaves out checkpoints that come so soon after the last one that little would be lost without them."""

    def __init__(self) -> None:
        self._last = perf_counter()

    def on_step_end(self, _args: object, _state: object, control: Any, **_more: object) -> None:  # noqa: ANN401 - transformers' own
        """Hear of a step, after the trainer has decided whether to save."""
        late = torch.tensor(perf_counter() - self._last >= BETWEEN_CHECKPOINTS)
        if control.should_save and torch.distributed.is_initialized():
            # Saving is done together: the first process's clock counts.
            late = late.to(_device())
            torch.distributed.broadcast(late, src=0)
        if control.should_save and not late:
            control.should_save = False
        elif control.should_save:
            self._last = perf_counter()


class Pace:
    """Counts tokens and time between logged steps, in all processes together."""

    def __init__(self) -> None:
        self._tokens = 0
        self._since = perf_counter()

    def add(self, tokens: int) -> None:
        """Count the tokens of a forward pass of this process."""
        self._tokens += tokens

    def taken(self) -> dict[str, float]:
        """Return tokens per second of all processes since the last time, and the most memory this process has held, in bytes."""
        amount = torch.tensor(float(self._tokens))
        if torch.distributed.is_initialized():
            amount = amount.to(_device())
            torch.distributed.all_reduce(amount)
        now = perf_counter()
        rate = float(amount) / max(1e-9, now - self._since)
        self._tokens, self._since = 0, now
        return {MEASURED["tokensPerSecond"]: rate, MEASURED["memoryBytes"]: float(_peak())}


def _device() -> str:
    return "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"


def _peak() -> int:
    """Return the most memory held so far: of the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
