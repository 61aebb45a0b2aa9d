"""The metrics of a stage at work: the one place that names them. `docs/metrics.md` is generated from here (platform.md).

Live, a stage's process shows them itself; what remains of them is in its receipt, from which the operator goes on showing it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dto_jobs.core.cost import Spend

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class Metric:
    """A metric's name, kind, labels and meaning."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str


STAGE_INFO = Metric(
    "dto_stage_info",
    "gauge",
    ("run", "stage", "attempt", "shard"),
    "1: which stage of which run this process works on.",
)
INPUTS = Metric("dto_stage_inputs", "gauge", ("stage",), "Inputs of this shard; absent until known.")
INPUTS_DONE = Metric("dto_stage_inputs_done", "gauge", ("stage",), "Inputs done, those of earlier attempts included.")
PARTS = Metric("dto_stage_parts_committed_total", "counter", ("stage",), "Parts committed by this process.")
TOKENS = Metric(
    "dto_tokens_total",
    "counter",
    ("stage", "kind"),
    "Tokens by kind: `prompt_computed`, `prompt_cached`, `generated`, `judge`, `trained`.",
)
FLOPS = Metric("dto_flops_total", "counter", ("stage",), "Floating-point operations by the formula of `core/cost.py`.")
ENGINE_SECONDS = Metric("dto_engine_seconds_total", "counter", ("stage",), "Time inside the engine or trainer.")
GPU_SECONDS = Metric("dto_gpu_seconds_total", "counter", ("stage",), "That time, once for each GPU held.")
TRAINING = {
    "step": Metric("dto_training_step", "gauge", ("stage",), "Optimizer steps done."),
    "steps": Metric("dto_training_steps", "gauge", ("stage",), "Optimizer steps in all."),
    "loss": Metric("dto_training_loss", "gauge", ("stage",), "Loss at the last logged step."),
    "margin": Metric(
        "dto_training_margin", "gauge", ("stage",), "Mean reward of chosen less that of rejected responses."
    ),
    "rewardAccuracy": Metric(
        "dto_training_reward_accuracy_ratio",
        "gauge",
        ("stage",),
        "Share of pairs whose chosen response has the higher reward.",
    ),
    "learningRate": Metric("dto_training_learning_rate", "gauge", ("stage",), "Learning rate at the last logged step."),
    "gradientNorm": Metric(
        "dto_training_gradient_norm", "gauge", ("stage",), "Norm of the gradient before it was clipped."
    ),
}
"""By the name of the trainer's figure."""

STAGE_METRICS = (
    STAGE_INFO, INPUTS, INPUTS_DONE, PARTS, TOKENS, FLOPS, ENGINE_SECONDS, GPU_SECONDS, *TRAINING.values(),
)  # fmt: skip
"""All that a stage's process shows."""

Sample = tuple[Metric, tuple[str, ...], float]
"""A metric, the values of its labels, and its value."""


def spend_samples(stage: str, spend: Spend) -> Iterator[Sample]:
    """Yield what was spent as samples."""
    kinds = {
        "prompt_computed": spend.prompt_computed,
        "prompt_cached": spend.prompt_cached,
        "generated": spend.generated,
        "judge": spend.judge_tokens,
        "trained": spend.trained,
    }
    for kind, tokens in kinds.items():
        yield TOKENS, (stage, kind), tokens
    yield FLOPS, (stage,), spend.flops
    yield ENGINE_SECONDS, (stage,), spend.seconds
    yield GPU_SECONDS, (stage,), spend.gpu_seconds


def metrics_table(metrics: tuple[Metric, ...]) -> str:
    """Return metrics as a table in Markdown."""
    rows = "".join(
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {one.meaning} |\n"
        for one in metrics
    )
    return "| name | kind | labels | |\n|---|---|---|---|\n" + rows
