"""Training: teach the model by SimPO to prefer the optimized trajectories (method.md 7)."""

from typing import Literal

from pydantic import Field

from dto_jobs.core.divergence import Guard
from dto_jobs.core.sweep import Sweep
from dto_jobs.settings import Settings
from dto_jobs.stage import ModelStage


class Lora(Settings):
    """Low-rank adapters in place of full training."""

    rank: int = Field(default=32, ge=1, le=1024)
    """Rank of the adapters."""
    alpha: float | None = Field(default=None, gt=0)
    """Scale of the adapters; twice the rank if absent."""
    targets: tuple[str, ...] | None = None
    """Modules that get adapters, by the end of their names; every linear one but the output head if absent."""
    quantize: Literal["4bit"] | None = None
    """`4bit` holds the frozen weights in 4 bits (QLoRA, with bitsandbytes); what is saved is not quantized."""


class Training(ModelStage):
    """Train on the pairs. SimPO: L = −log σ(β·[mean log π(chosen) − mean log π(rejected)] − γ) + nll · NLL(chosen)."""

    loss: Literal["simpo", "sft"] = "simpo"
    """`sft` trains on the chosen responses alone: the control that tells what the preference adds."""
    beta: float = Field(default=2.0, gt=0)
    """β: scale of the difference of mean log-probabilities."""
    gamma_ratio: float = Field(default=0.25, ge=0)
    """γ/β: the margin γ is this times β."""
    nll: float = Field(default=0.0, ge=0)
    """Weight of the negative log-likelihood of the chosen response."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate; 5e-7 in full training, 5e-6 with LoRA, if absent."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the pairs."""
    batch: int = Field(default=96, ge=1)
    """Pairs per optimizer step."""
    micro_batch: int = Field(default=8, ge=1)
    """Pairs per forward pass; gradients are accumulated up to `batch`."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; a cosine takes it down after."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's momentum terms."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    log_probabilities: Literal["chunked", "plain"] = "chunked"
    """`chunked` computes log-probabilities a few hundred tokens at a time, and again in the backward pass: less memory, more time.
    `plain` holds all logits, as TRL does."""
    seed: int = Field(default=0, ge=0, le=2**30)
    """Added to the run's seed: another order of the pairs, with all before training reused."""
    save_steps: int = Field(default=0, ge=0)
    """Steps between checkpoints; 0: a tenth of the training, half a minute at least."""
    lora: Lora | None = None
    """Adapters; None for full training."""
    distributed: Literal["ddp", "fsdp"] = "ddp"
    """How several processes share a training: `ddp` holds the model in each, `fsdp` (version 2, GPUs only) a shard of it."""
    guard: Guard = Guard()
    """When a training that goes wrong is stopped."""
    sweep: Sweep | None = None
    """Settings to try; the best on held-out problems is kept, and all are shown."""
