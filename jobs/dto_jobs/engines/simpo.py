"""SimPO by TRL: the one file that knows it (method.md 7).

TRL's CPOTrainer computes SimPO when told so: `loss_type="simpo"`, mean log-probabilities, `simpo_gamma` = γ itself (not γ/β),
`cpo_alpha` = the weight of the chosen's negative log-likelihood. Its other defaults are for CPO and are all set here.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any

import torch
import transformers
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl.experimental.cpo import CPOConfig, CPOTrainer

from dto_jobs.core.cost import training as training_spend
from dto_jobs.core.records import Pair
from dto_jobs.engines.adapters import adapter_settings, quantized, save_both
from dto_jobs.engines.log_probabilities import IGNORED, disagreement, head_reads
from dto_jobs.engines.model_sources import check_folder, companions
from dto_jobs.engines.processes import check_asked, check_had, trained_by_torchrun
from dto_jobs.engines.shapes import shape
from dto_jobs.engines.training_log import Note, Pace, Patience, Watch, noted
from dto_jobs.errors import InputError, StageFailedError
from dto_jobs.settings import World, nodes_from_environment, world_from_environment
from dto_jobs.stage import Trained
from dto_jobs.stages.training import Training

FULL_RATE, LORA_RATE = 5e-7, 5e-6
NOTES = 200
"""Most steps that are noted; a longer training notes every second, third …"""
CHECKPOINTS = 10
HEAD_TOLERANCE = 1e-3
"""Of a log-probability computed twice in float32."""


class PairTrainer(CPOTrainer):
    """CPOTrainer that reads log-probabilities in the output head, chunk by chunk; without `chunked`, as TRL does.

    With `sft` the preference is left out and the chosen's likelihood alone remains: the control.
    """

    def __init__(self, *, sft: bool, chunked: bool, **arguments: Any) -> None:  # noqa: ANN401 - trl's own
        self._sft = sft
        self._chunked = chunked
        self._pace = Pace()
        super().__init__(**arguments)

    def concatenated_forward(self, model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, ...]:  # noqa: ANN401 - trl's own
        """Return mean log-probabilities of chosen and of rejected, what TRL only takes means of, and the chosen's NLL."""
        self._pace.add(sum(int(batch[f"{side}_attention_mask"].sum()) for side in ("chosen", "rejected")))
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

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a step's figures, with how fast it went and what memory it took."""
        super().log(logs | self._pace.taken() if "loss" in logs else logs, start_time)

    def create_model_card(self, *_: object, **__: object) -> None:
        """Write none: a checkpoint is nobody's to read."""

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:  # noqa: ANN401 - transformers' own
        # Several processes take turns at one order of batches; grouped by their common batch, it is a single process's order.
        rows = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.accelerator.num_processes
        return LengthGroupedSampler(rows, lengths=(train_dataset or self.train_dataset)["length"])

    def _send_telemetry(self) -> None:
        """Tell nobody."""


class SimpoTrainer:
    """Trains the model of a folder, in so many processes on this machine, or as one of those that torchrun started."""

    def __init__(self, base: Path, processes: int = 1) -> None:
        self._base = base
        self._processes = processes

    def train(
        self, pairs: Sequence[Pair], settings: Training, workspace: Path, note: Note, seed: int
    ) -> Trained | None:
        """Train and save the model; goes on from the last checkpoint in `workspace`, if a killed process left one.

        Among several processes that torchrun started all are to call this with the same pairs and the same folder; the
        first alone notes and writes.
        """
        world = world_from_environment()
        if not pairs:
            raise InputError(
                "there are no pairs to train on: no trace could be optimized, or none was short enough. "
                "Look at the report of the stages before (dto report), use more problems, or lower stages.pairs.minSaving"
            )
        check_folder(self._base)
        nodes = nodes_from_environment().count
        check_asked(settings.distributed, max(world.size, nodes * self._processes))
        if world.size == 1 and nodes * self._processes > 1:
            return trained_by_torchrun(self._base, self._processes, pairs, settings, workspace, note, seed)
        return self._trained(pairs, settings, workspace, Watch(note, settings.guard), seed + settings.seed, world)

    def _trained(
        self, pairs: Sequence[Pair], settings: Training, workspace: Path, watch: Watch, seed: int, world: World
    ) -> Trained:
        model, tokenizer, saved_as = self._loaded(settings)
        if not all(pair.prompt.startswith(tokenizer.bos_token or "") for pair in pairs):
            # The trainer would put one before prompts whose chat template has none.
            tokenizer.bos_token = None
        fitting = _fitting(pairs, tokenizer, model.config.max_position_embeddings)
        numbers = shape(model)
        trainer = _trainer(model, tokenizer, fitting, settings, workspace, watch, seed)
        check_had(trainer.accelerator, trainer.args.n_gpu, settings.distributed, world)
        lengths = _lengths(trainer, tokenizer)
        if settings.log_probabilities == "chunked":
            _check_head(trainer)
        trainer.train(resume_from_checkpoint=_last_checkpoint(workspace))
        folder = workspace / "model"
        _save(trainer, folder, self._base, saved_as)
        if world.rank == 0:
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
        figures = {"shape": numbers.model_dump(), "pairs": len(fitting), "droppedTooLong": len(pairs) - len(fitting)}
        return Trained(folder, spend, figures | _figures(trainer, world))

    def _loaded(self, settings: Training) -> tuple[Any, Any, torch.dtype]:
        """Return the model in float32 (bfloat16 updates of 5e-7 would round away), its tokenizer, and the dtype it came in."""
        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        disable_progress_bars()
        tokenizer = AutoTokenizer.from_pretrained(self._base, local_files_only=True, trust_remote_code=False)
        config = transformers.AutoConfig.from_pretrained(self._base, local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            self._base,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            **quantized(settings.lora),
        )
        return model, tokenizer, config.dtype or torch.float32


def _fitting(pairs: Sequence[Pair], tokenizer: Any, context: int) -> list[Pair]:  # noqa: ANN401 - transformers is untyped
    """Return the pairs whose longer sequence, end mark included, the model has places for; the others would be cut or fail."""

    def longest(pair: Pair) -> int:
        texts = [pair.prompt + response for response in (pair.chosen, pair.rejected)]
        return max(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"])) + 1

    fitting = [pair for pair in pairs if longest(pair) <= context]
    if not fitting:
        raise InputError(
            f"all {len(pairs)} pairs are longer than the model's context of {context} tokens; "
            "set stages.rollout.maxTokens and stages.pairs.maxTokens below it"
        )
    return fitting


def _trainer(  # noqa: PLR0917 - all that a training depends on
    model: Any,  # noqa: ANN401 - transformers is untyped
    tokenizer: Any,  # noqa: ANN401 - transformers is untyped
    pairs: Sequence[Pair],
    settings: Training,
    workspace: Path,
    watch: transformers.TrainerCallback,
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
    trainer = PairTrainer(
        sft=settings.loss == "sft",
        chunked=settings.log_probabilities == "chunked",
        model=model,
        args=_arguments(settings, len(rows), workspace, seed, world_from_environment()),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=adapter_settings(settings.lora) if settings.lora else None,
        callbacks=[watch] if settings.save_steps else [watch, Patience()],
    )
    # Both print every step to the terminal, where `note` already goes.
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.remove_callback(transformers.ProgressCallback)
    return trainer


def _arguments(settings: Training, rows: int, workspace: Path, seed: int, world: World) -> CPOConfig:
    micro, accumulate = _batches(settings, world)
    steps = max(1, math.ceil(settings.epochs * rows / settings.batch))
    every = settings.save_steps or max(1, math.ceil(steps / CHECKPOINTS))
    rate = settings.learning_rate or (LORA_RATE if settings.lora else FULL_RATE)
    gpu = torch.cuda.is_available()
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
        bf16=gpu,
        use_cpu=not gpu,
        gradient_checkpointing=gpu,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        logging_steps=max(1, steps // NOTES),
        logging_nan_inf_filter=False,
        save_steps=every,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        # Version 2 of FSDP, each layer a shard; the whole model is gathered when it is saved.
        fsdp=settings.distributed == "fsdp" or None,
        fsdp_config={"version": 2, "state_dict_type": "FULL_STATE_DICT"} if settings.distributed == "fsdp" else None,
        ddp_backend=None if world.size == 1 or gpu else "gloo",
        ddp_find_unused_parameters=False,
    )


def _batches(settings: Training, world: World) -> tuple[int, int]:
    """Return pairs per forward pass and how many passes of each process make up a batch, exactly."""
    if settings.batch % world.size:
        raise InputError(
            f"stages.training.batch: {settings.batch} pairs cannot be shared evenly by {world.size} processes; use a multiple"
        )
    share = settings.batch // world.size
    micro = max(size for size in range(1, min(settings.micro_batch, share) + 1) if share % size == 0)
    return micro, share // micro


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


def _save(trainer: PairTrainer, folder: Path, base: Path, dtype: torch.dtype) -> None:
    """Save the model in the number format its base came in; adapters apart, and merged into it."""
    # Shards are gathered by all processes together; only the first gets the whole.
    state = trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None
    model = trainer.accelerator.unwrap_model(trainer.model)
    if not trainer.is_world_process_zero():
        return
    if hasattr(model, "merge_and_unload"):
        save_both(model, state, base, folder, dtype)
    elif state is None:
        model.to(dtype).save_pretrained(folder)
    else:
        tied = set(model._tied_weights_keys or ()) if model.config.tie_word_embeddings else set()  # noqa: SLF001 - has no other name
        model.config.dtype = dtype
        model.save_pretrained(
            folder, state_dict={name: value.to(dtype) for name, value in state.items() if name not in tied}
        )


def _figures(trainer: PairTrainer, world: World) -> dict[str, Any]:
    log = noted(trainer.state.log_history, trainer.state.max_steps)
    last = log[-1] if log else {}
    return {
        "rows": len(trainer.train_dataset),
        "processes": world.size,
        "steps": trainer.state.global_step,
        **{name: last.get(name) for name in ("loss", "rewardAccuracy", "margin", "tokensPerSecond", "memoryBytes")},
        "log": log,
    }
