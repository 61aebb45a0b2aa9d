"""Peak memory and step time of one long pair, log-probabilities in chunks over plain TRL.

One pair of 2 × 2,048 tokens, a vocabulary of 151,936, hidden size 64, one layer, float32, one thread: the logits outweigh
everything else, as they do in small models with long traces. Each measurement is a process of its own (`… chunked`,
`… plain`): its peak is the resident memory that the system saw, libraries, weights and optimizer included; its time is the
processor's, of the step after the first (memory is warm then). Plain is TRL's own CPOTrainer with the same arguments; both alternate.
"""

import json
import resource
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import torch
import transformers
from trl.experimental.cpo import CPOTrainer

from dto_jobs.core.records import Pair
from dto_jobs.engines import simpo
from dto_jobs.engines.model_sources import TINY_REASONER, resolve
from dto_jobs.stages.training import Training

REPETITIONS = 5
TOKENS = 2048
STEPS = 2
VOCABULARY = 151_936


def rows() -> list[dict[str, Any]]:
    """Return both rows."""
    found = [{way: _measured(way) for way in ("plain", "chunked")} for _ in range(REPETITIONS)]
    return [
        _row("simpo_peak_memory_ratio", [one["chunked"]["peak"] / one["plain"]["peak"] for one in found]),
        _row("simpo_chunked_step_ratio", [one["chunked"]["seconds"] / one["plain"]["seconds"] for one in found]),
    ]


def _row(name: str, ratios: list[float]) -> dict[str, Any]:
    value = statistics.median(ratios)
    return {"name": name, "value": value, "unit": "", "n": len(ratios), "low": min(ratios), "high": max(ratios)}


def _measured(way: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, way], check=True, stdout=subprocess.PIPE)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    sys.stderr.write(f"{way}: {figures['peak'] / 1e9:.2f} GB, {figures['seconds']:.1f} s a step\n")
    return figures


class Clock(transformers.TrainerCallback):  # type: ignore[misc]
    """Notes when each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        """Hear of a step."""
        self.times.append(process_time())


def measure(way: str) -> dict[str, float]:
    """Train a few steps; return seconds per step and the process's peak in bytes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(resolve(TINY_REASONER, Path()))
    config = transformers.Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = transformers.Qwen2ForCausalLM(config)
    settings = Training(batch=1, micro_batch=1, epochs=STEPS, nll=1.0)
    clock = Clock()
    if way == "plain":
        # Our own arguments for TRL's own trainer.
        simpo.PairTrainer = partial(_bare, CPOTrainer)  # type: ignore[assignment,misc]
    with TemporaryDirectory() as folder:
        trainer = simpo._trainer(model, tokenizer, [_pair(tokenizer)], settings, Path(folder), clock, 0)  # type: ignore[arg-type]
        trainer.train()
    first, *_, last = clock.times
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": (last - first) / (STEPS - 1), "peak": peak}


def _bare(trainer: Any, *, sft: bool, chunked: bool, **arguments: Any) -> Any:
    del sft, chunked
    return trainer(**arguments)


def _pair(tokenizer: Any) -> Pair:
    prompt = "<|im_start|>user\nCompute 1+1.<|im_end|>\n<|im_start|>assistant\n<think>\n"
    unit = "1+1=2\n"
    size = len(tokenizer(unit)["input_ids"])
    response = unit * ((TOKENS - len(tokenizer(prompt)["input_ids"])) // size)
    return Pair(
        problem_id="one",
        level="",
        kind="compressed",
        prompt=prompt,
        chosen=response,
        rejected=response.replace("2", "3"),
        chosen_tokens=TOKENS,
        rejected_tokens=TOKENS,
    )


if __name__ == "__main__":
    named = sys.argv[1:]
    sys.stdout.write("".join(json.dumps(row) + "\n" for row in ([measure(named[0])] if named else rows())))
