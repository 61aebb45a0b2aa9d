"""Seconds per training step, ours over a bare TRL script with the same pairs, model and hyperparameters.

Ours takes all its time into account: checks, notes, checkpoints, saving. So does the script, which has only what TRL's
own examples have: load, train, save. One thread.
"""

import json
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
import transformers
from datasets import Dataset

from dto_jobs.core.records import Pair
from dto_jobs.engines.model_sources import TINY_REASONER, resolve
from dto_jobs.engines.simpo import SimpoTrainer
from dto_jobs.stages.training import Training

PAIRS = 320
REPETITIONS = 5
SETTINGS = Training(nll=1.0, learning_rate=3e-4, batch=8, micro_batch=8)


def rows() -> list[dict[str, Any]]:
    """Return the one row: how many times as long a step takes."""
    torch.set_num_threads(1)
    base = resolve(TINY_REASONER, Path())
    pairs = [pair(number) for number in range(PAIRS)]
    both = (ours, script)
    for warm_up in both:
        warm_up(base, pairs[:32])
    ratios = []
    for _ in range(REPETITIONS):
        one, other = (seconds(base, pairs) for seconds in both)
        ratios.append(one / other)
    value = statistics.median(ratios)
    return [
        {
            "name": "trainer_vs_trl_ratio",
            "value": value,
            "unit": "",
            "n": REPETITIONS,
            "low": min(ratios),
            "high": max(ratios),
        }
    ]


def pair(number: int) -> Pair:
    """Return a pair of the lengths that the demo's pairs have."""
    one, other = 100 + number, 7 + number % 80
    line = f"\n{one}+{other}={one + other}"
    end = f"\n\nThat settles it.\n</think>\n\n**Final Answer**\n\\boxed{{{one + other}}}"
    again = "".join(
        f"\n\nWait, let me check that again.{line}\nThis gives {one + other}." for _ in range(3 + number % 4)
    )
    chosen = f"First, I go from left to right.{line}\nThis gives {one + other}.{end}"
    rejected = f"First, I go from left to right.{line}\nThis gives {one + other}.{again}{end}"
    return Pair(
        problem_id=str(number),
        level="",
        kind="compressed",
        prompt=f"<|im_start|>user\nCompute {one}+{other}.<|im_end|>\n<|im_start|>assistant\n<think>\n",
        chosen=chosen,
        rejected=rejected,
        chosen_tokens=len(chosen) // 2,
        rejected_tokens=len(rejected) // 2,
    )


def ours(base: Path, pairs: list[Pair]) -> float:
    """Return the seconds that the product's trainer takes."""
    with TemporaryDirectory() as folder:
        start = perf_counter()
        SimpoTrainer(base).train(pairs, SETTINGS, Path(folder), lambda _: None, 0)
        return perf_counter() - start


def script(base: Path, pairs: list[Pair]) -> float:
    """Return the seconds that a plain script takes."""
    # After the engines, which silence trl's warning about its own preference trainers.
    from trl.experimental.cpo import CPOConfig, CPOTrainer  # noqa: PLC0415

    with TemporaryDirectory() as folder:
        start = perf_counter()
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        trainer = CPOTrainer(
            model=transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            args=CPOConfig(
                output_dir=folder,
                loss_type="simpo",
                cpo_alpha=SETTINGS.nll,
                beta=SETTINGS.beta,
                simpo_gamma=SETTINGS.beta * SETTINGS.gamma_ratio,
                learning_rate=3e-4,
                lr_scheduler_type="cosine",
                warmup_steps=SETTINGS.warmup,
                per_device_train_batch_size=SETTINGS.batch,
                num_train_epochs=1,
                max_length=2048,
                remove_unused_columns=False,
                bf16=False,
                use_cpu=True,
                gradient_checkpointing=False,
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(
                [{"prompt": one.prompt, "chosen": one.chosen, "rejected": one.rejected} for one in pairs]
            ),
            processing_class=tokenizer,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
        trainer.save_model(folder)
        return perf_counter() - start


if __name__ == "__main__":
    sys.stdout.write("".join(json.dumps(row) + "\n" for row in rows()))
