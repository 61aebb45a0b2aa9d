"""vLLM loads what the trainer saves: the full model, adapters merged into it, and the adapter over the base."""

import math
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("vllm")
import torch

from dto_jobs.core.records import Pair
from dto_jobs.engines.adapters import ADAPTER
from dto_jobs.engines.simpo import SimpoTrainer
from dto_jobs.stages.training import Lora, Training

pytestmark = pytest.mark.engines

TEXTS = [("<|im_start|>user\nCompute 7+5.<|im_end|>\n<|im_start|>assistant\n<think>\n", "7+5=12\nThat settles it.")]
SETTINGS = {"learning_rate": 1e-2, "batch": 2, "micro_batch": 2, "nll": 1.0, "epochs": 4}


def pair(number):
    prompt = TEXTS[0][0].replace("7+5", f"{number}+5")
    chosen = f"{number}+5={number + 5}\nThat settles it."
    rejected = f"{chosen}\n\nWait, let me check that again."
    return Pair(
        problem_id=str(number),
        level="",
        kind="compressed",
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        chosen_tokens=20,
        rejected_tokens=35,
    )


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    torch.set_num_threads(1)
    pairs = [pair(number) for number in range(10, 16)]

    def trained(lora):
        folder = tmp_path_factory.mktemp("trained")
        return SimpoTrainer(tiny).train(pairs, Training(**SETTINGS, lora=lora), folder, lambda _: None, 0).folder

    return {"full": trained(None), "lora": trained(Lora(rank=8))}


@pytest.mark.parametrize("kind", ["full", "merged", "adapter"])
def test_vllm_scores_a_trained_model_as_transformers_does(trained, tiny, opened, vllm_opened, kind):
    folder: Path = trained["full" if kind == "full" else "lora"]
    [wanted], [untrained] = opened(folder=folder, slots=4).score(TEXTS), opened(slots=4).score(TEXTS)
    base, adapter = (tiny, folder / ADAPTER) if kind == "adapter" else (folder, None)
    with vllm_opened(folder=base, adapter=adapter, max_sequences=4, context=256, cache_mebibytes=64) as engine:
        [found] = engine.score(TEXTS)
    # Merging rounds the sums to the base's bfloat16; the adapter beside the base is not rounded.
    assert math.isclose(found, wanted, abs_tol=1e-2 if kind == "adapter" else 2e-3)
    assert abs(found - untrained) > 0.05
