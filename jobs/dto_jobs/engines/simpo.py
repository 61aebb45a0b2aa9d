"""SimPO by TRL: the one file that knows it (method.md 7).

TRL's CPOTrainer computes SimPO when told so: `loss_type="simpo"`, mean log-probabilities, `simpo_gamma` = γ itself (not γ/β),
`cpo_alpha` = the weight of the chosen's negative log-likelihood. Its other defaults are for CPO and are all set here.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import copyfile
from time import perf_counter
from typing import Any

import torch
import transformers
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl.experimental.cpo import CPOConfig, CPOTrainer

from dto_jobs.core.cost import training as training_spend
from dto_jobs.core.records import Pair
from dto_jobs.engines.log_probabilities import IGNORED, disagreement, head_reads
from dto_jobs.engines.model_sources import check_folder, companions
from dto_jobs.engines.shapes import shape
from dto_jobs.errors import InputError, StageFailedError
from dto_jobs.stage import Trained
from dto_jobs.stages.training import Training

FULL_RATE, LORA_RATE = 5e-7, 5e-6
NOTES = 200
"""Most steps that are noted; a longer training notes every second, third …"""
CHECKPOINTS = 10
BETWEEN_CHECKPOINTS = 30.0
"""Seconds at least between checkpoints that nobody asked for."""

HEAD_TOLERANCE = 1e-3
"""Of a log-probability computed twice in float32."""

Note = Callable[[dict[str, float]], None]


class PairTrainer(CPOTrainer):
    """CPOTrainer that reads log-probabilities in the output head, chunk by chunk; without `chunked`, as TRL does.

    With `sft` the preference is left out and the chosen's likelihood alone remains: the control.
    """

    def __init__(self, *, sft: bool, chunked: bool, **arguments: Any) -> None:  # noqa: ANN401 - trl's own
        self._sft = sft
        self._chunked = chunked
        super().__init__(**arguments)

    def concatenated_forward(self, model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, ...]:  # noqa: ANN401 - trl's own
        """Return mean log-probabilities of chosen and of rejected, what TRL only takes means of, and the chosen's NLL."""
        if not self._chunked:
            found: tuple[torch.Tensor, ...] = super().concatenated_forward(model, batch)
            return found
        both = self.concatenated_inputs(batch, padding_value=self.pad_token_id, device=self.accelerator.device)
        labels = both["concatenated_labels"]
        routing = {"output_router_logits": True} if self.aux_loss_enabled else {}
        with head_reads(self.accelerator.unwrap_model(model).get_output_embeddings(), labels):
            outputs = model(
                both["concatenated_input_ids"],
                attention_mask=both["concatenated_attention_mask"],
                use_cache=False,
                **routing,
            )
        read, lengths, pairs = outputs.logits, (labels[:, 1:] != IGNORED).sum(-1), len(batch["chosen_labels"])
        means = read.sum(-1) / lengths
        nll = -read[:pairs].sum() / lengths[:pairs].sum()
        routed = (outputs.aux_loss,) if self.aux_loss_enabled else ()
        return means[:pairs], means[pairs:], read[:pairs], read[pairs:], nll, *routed

    def cpo_loss(self, chosen: torch.Tensor, rejected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return losses and rewards per pair; no loss at all from the preference in the control."""
        losses, *rewards = super().cpo_loss(chosen, rejected)
        return (losses * 0 if self._sft else losses, *rewards)

    def create_model_card(self, *_: object, **__: object) -> None:
        """Write none: a checkpoint is nobody's to read."""

    def _send_telemetry(self) -> None:
        """Tell nobody."""


class Watch(TrainerCallback):
    """Notes the trainer's figures, and stops a training whose loss is no number any more."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self.log: list[dict[str, float]] = []

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_more: Any) -> None:  # noqa: ANN401 - transformers' own
        """Hear one logged step."""
        if not logs or "loss" not in logs:
            return
        named = {
            "loss": "loss",
            "rewards/margins": "margin",
            "rewards/accuracies": "rewardAccuracy",
            "logps/chosen": "chosen",
        }
        named |= {"logps/rejected": "rejected", "grad_norm": "gradientNorm", "learning_rate": "learningRate"}
        figures = {ours: float(logs[theirs]) for theirs, ours in named.items() if theirs in logs}
        figures |= {"step": float(state.global_step), "steps": float(state.max_steps)}
        if not math.isfinite(figures["loss"]) or not math.isfinite(figures.get("gradientNorm", 0.0)):
            raise StageFailedError(
                f"training diverged at step {state.global_step}: loss {figures['loss']}. Lower stages.training.learningRate, "
                "or raise stages.training.nll to hold on to the chosen responses"
            )
        self.log.append(figures)
        self._note(figures)


class Patience(TrainerCallback):
    """Leaves out checkpoints that come so soon after the last one that little would be lost without them."""

    def __init__(self) -> None:
        self._last = perf_counter()

    def on_step_end(self, _args: object, _state: object, control: Any, **_more: object) -> None:  # noqa: ANN401 - transformers' own
        """Hear of a step, after the trainer has decided whether to save."""
        if control.should_save and perf_counter() - self._last < BETWEEN_CHECKPOINTS:
            control.should_save = False
        elif control.should_save:
            self._last = perf_counter()


class SimpoTrainer:
    """Trains the model of a folder."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def train(self, pairs: Sequence[Pair], settings: Training, workspace: Path, note: Note, seed: int) -> Trained:
        """Train and save the model; goes on from the last checkpoint in `workspace`, if a killed process left one."""
        if not pairs:
            raise InputError(
                "there are no pairs to train on: no trace could be optimized, or none was short enough. "
                "Look at the report of the stages before (dto report), use more problems, or lower stages.pairs.minSaving"
            )
        check_folder(self._base)
        model, tokenizer, saved_as = self._loaded()
        if not all(pair.prompt.startswith(tokenizer.bos_token or "") for pair in pairs):
            # The trainer would put one before prompts whose chat template has none.
            tokenizer.bos_token = None
        numbers = shape(model)
        watch = Watch(note)
        trainer = _trainer(model, tokenizer, pairs, settings, workspace, watch, seed + settings.seed)
        lengths = _lengths(trainer, tokenizer)
        if settings.log_probabilities == "chunked":
            _check_head(trainer)
        trainer.train(resume_from_checkpoint=_last_checkpoint(workspace))
        folder = workspace / "model"
        _save(trainer, folder, saved_as)
        # The tokenizer's own files, to the byte: saving it anew would write them in today's form.
        for file in companions(self._base):
            copyfile(file, folder / file.name)
        epoch = training_spend(numbers, lengths)
        spend = epoch.model_copy(
            update={
                "trained": round(settings.epochs * epoch.trained),
                "dense_flops": settings.epochs * epoch.dense_flops,
                "attention_flops": settings.epochs * epoch.attention_flops,
            }
        )
        return Trained(folder, spend, _figures(trainer, watch, len(pairs), numbers.model_dump()))

    def _loaded(self) -> tuple[Any, Any, torch.dtype]:
        """Return the model in float32 (bfloat16 updates of 5e-7 would round away), its tokenizer, and the dtype it came in."""
        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        disable_progress_bars()
        tokenizer = AutoTokenizer.from_pretrained(self._base, local_files_only=True, trust_remote_code=False)
        config = transformers.AutoConfig.from_pretrained(self._base, local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            self._base, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
        return model, tokenizer, config.dtype or torch.float32


def _trainer(  # noqa: PLR0917 - all that a training depends on
    model: Any,  # noqa: ANN401 - transformers is untyped
    tokenizer: Any,  # noqa: ANN401 - transformers is untyped
    pairs: Sequence[Pair],
    settings: Training,
    workspace: Path,
    watch: Watch,
    seed: int,
) -> PairTrainer:
    rows = [
        # The length lets the trainer batch pairs of similar length; padding is the larger part of a random batch.
        {
            "prompt": pair.prompt,
            "chosen": pair.chosen,
            "rejected": pair.rejected,
            "length": max(pair.chosen_tokens, pair.rejected_tokens),
        }
        for pair in pairs
        for _ in range(pair.copies)
    ]
    adapters = None
    if settings.lora is not None:
        from peft import LoraConfig  # noqa: PLC0415 - only where adapters are trained

        alpha = settings.lora.alpha or 2 * settings.lora.rank
        adapters = LoraConfig(
            r=settings.lora.rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        )
    trainer = PairTrainer(
        sft=settings.loss == "sft",
        chunked=settings.log_probabilities == "chunked",
        model=model,
        args=_arguments(settings, len(rows), workspace, seed),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=adapters,
        callbacks=[watch] if settings.save_steps else [watch, Patience()],
    )
    # Both print every step to the terminal, where `note` already goes.
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.remove_callback(transformers.ProgressCallback)
    return trainer


def _arguments(settings: Training, rows: int, workspace: Path, seed: int) -> CPOConfig:
    micro = min(settings.micro_batch, settings.batch)
    accumulate = math.ceil(settings.batch / micro)
    steps = max(1, math.ceil(settings.epochs * rows / (micro * accumulate)))
    every = settings.save_steps or max(1, math.ceil(steps / CHECKPOINTS))
    rate = settings.learning_rate or (LORA_RATE if settings.lora else FULL_RATE)
    return CPOConfig(
        output_dir=str(workspace),
        loss_type="simpo",
        beta=settings.beta,
        simpo_gamma=settings.gamma_ratio * settings.beta,
        cpo_alpha=1.0 if settings.loss == "sft" else settings.nll,
        # Pairs over the window were dropped before; `_lengths` makes sure that nothing is cut.
        max_length=2**30,
        train_sampling_strategy="group_by_length",
        max_steps=steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulate,
        learning_rate=rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(settings.warmup * steps),
        adam_beta1=settings.betas[0],
        adam_beta2=settings.betas[1],
        weight_decay=0.0,
        max_grad_norm=settings.clip,
        seed=seed,
        data_seed=seed,
        bf16=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=torch.cuda.is_available(),
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        logging_steps=max(1, steps // NOTES),
        logging_nan_inf_filter=False,
        save_steps=every,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
    )


def _lengths(trainer: PairTrainer, tokenizer: Any) -> list[int]:  # noqa: ANN401 - transformers is untyped
    """Return the tokens of every sequence, made sure to be what the model would have said: nothing cut, one end mark."""
    rows = trainer.train_dataset
    lengths = []
    for side in ("chosen", "rejected"):
        texts = [prompt + response for prompt, response in zip(rows["prompt"], rows[side], strict=True)]
        said = tokenizer(texts, add_special_tokens=False)["input_ids"]
        for text, wanted, tokens in zip(texts, said, rows[f"{side}_input_ids"], strict=True):
            if tokens != [*wanted, tokenizer.eos_token_id]:
                raise StageFailedError(f"the trainer changed the tokens of a {side} response: {text[:200]!r} …")
            lengths.append(len(tokens))
    return lengths


def _check_head(trainer: PairTrainer) -> None:
    """Make sure that what is read in the output head is what the model says."""
    found = disagreement(trainer.model, trainer.train_dataset[0]["chosen_input_ids"])
    if found > HEAD_TOLERANCE:
        raise StageFailedError(
            f"this model changes its logits after the output head (log-probabilities differ by {found:.3g}), so they cannot be "
            "computed in chunks; set stages.training.logProbabilities to plain"
        )


def _last_checkpoint(workspace: Path) -> str | None:
    """Return the newest checkpoint that is whole; the trainer writes its state last."""
    whole = [path.parent for path in workspace.glob("checkpoint-*/trainer_state.json")]
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


def _save(trainer: PairTrainer, folder: Path, dtype: torch.dtype) -> None:
    """Save the model, adapters merged into it, in the number format its base came in."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        model.save_pretrained(folder / "adapter")
        model = model.merge_and_unload()
    model.to(dtype).save_pretrained(folder)


def _figures(trainer: PairTrainer, watch: Watch, pairs: int, numbers: dict[str, Any]) -> dict[str, Any]:
    last = watch.log[-1] if watch.log else {}
    return {
        "shape": numbers,
        "pairs": pairs,
        "rows": len(trainer.train_dataset),
        "steps": trainer.state.global_step,
        "loss": last.get("loss"),
        "rewardAccuracy": last.get("rewardAccuracy"),
        "margin": last.get("margin"),
        "log": watch.log,
    }
