"""Adapters: what is saved apart and merged, with frozen weights in 4 bits too, and what a machine without the library is told."""

import json

import pytest

pytest.importorskip("trl")
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file

from dto_jobs.core.records import Pair
from dto_jobs.engines.adapters import ADAPTER
from dto_jobs.engines.simpo import SimpoTrainer
from dto_jobs.errors import MissingExtraError
from dto_jobs.stages.training import Lora, Training

pytestmark = pytest.mark.engines

SETTINGS = {"learning_rate": 1e-2, "batch": 2, "micro_batch": 2, "nll": 1.0, "epochs": 2}


def pair(number):
    chosen = f"{number}+5={number + 5}\nThat settles it."
    return Pair(
        problem_id=str(number),
        level="",
        kind="compressed",
        prompt=f"<|im_start|>user\nCompute {number}+5.<|im_end|>\n<|im_start|>assistant\n<think>\n",
        chosen=chosen,
        rejected=f"{chosen}\n\nWait, let me check that again.",
        chosen_tokens=20,
        rejected_tokens=35,
    )


def trained(base, folder, lora):
    torch.set_num_threads(1)
    pairs = [pair(number) for number in range(10, 16)]
    return SimpoTrainer(base).train(pairs, Training(**SETTINGS, lora=lora), folder, lambda _: None, 0).folder


def check_merged(base, folder):
    """What is saved merged is the base with the adapter over it, neither quantized nor tied to this machine."""
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert json.loads((folder / ADAPTER / "adapter_config.json").read_text())["base_model_name_or_path"] == ""
    whole = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = {name: weight.clone() for name, weight in whole.state_dict().items()}
    merged = PeftModel.from_pretrained(whole, folder / ADAPTER).merge_and_unload().state_dict()
    saved = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    # Weights and not what they answer: the base's bfloat16 rounds each by up to 2⁻⁸ of itself, answers by no known bound.
    torch.testing.assert_close(saved, merged, rtol=2**-7, atol=1e-5)
    learned = {name: (merged[name] - weight).norm() for name, weight in before.items()}
    rounding = {name: (saved[name] - merged[name]).norm() for name in learned}
    assert any(learned.values())
    assert all(rounding[name] < change / 3 for name, change in learned.items() if change)


def test_only_the_modules_named_get_adapters(tiny, tmp_path):
    folder = trained(tiny, tmp_path, Lora(rank=2, alpha=3, targets=("q_proj",)))
    names = load_file(folder / ADAPTER / "adapter_model.safetensors")
    assert names
    assert all("q_proj" in name for name in names)
    settings = json.loads((folder / ADAPTER / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"]) == (2, 3)
    check_merged(tiny, folder)


def test_frozen_weights_in_4_bits_train_an_adapter_that_merges_into_whole_ones(tiny, tmp_path):
    folder = trained(tiny, tmp_path, Lora(rank=4, quantize="4bit"))
    check_merged(tiny, folder)


def test_without_the_library_4_bits_are_refused_with_the_remedy(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("dto_jobs.engines.adapters.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"bitsandbytes.*qlora"):
        trained(tiny, tmp_path, Lora(rank=4, quantize="4bit"))
