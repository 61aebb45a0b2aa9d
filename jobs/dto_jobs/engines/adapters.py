"""Low-rank adapters: trained beside frozen weights, which may be held in 4 bits, then kept both apart and merged."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from dto_jobs.errors import MissingExtraError
from dto_jobs.stages.training import Lora

ADAPTER = "adapter"
"""The folder below a trained model's that holds its adapter alone."""


def adapter_settings(lora: Lora) -> Any:  # noqa: ANN401 - peft is untyped
    """Return the settings as peft takes them."""
    from peft import LoraConfig  # noqa: PLC0415 - only where adapters are trained

    targets = list(lora.targets) if lora.targets else "all-linear"
    alpha = lora.alpha or 2 * lora.rank
    return LoraConfig(r=lora.rank, lora_alpha=alpha, target_modules=targets, task_type="CAUSAL_LM")


def quantized(lora: Lora | None) -> dict[str, Any]:
    """Return what loads a model's frozen weights in 4 bits, where that is asked for; MissingExtraError without the library."""
    if lora is None or lora.quantize is None:
        return {}
    if find_spec("bitsandbytes") is None:
        raise MissingExtraError(
            "stages.training.lora.quantize: 4bit needs the library bitsandbytes; install it with: "
            "pip install 'dto-operator[jobs,train,qlora]', or leave quantize out"
        )
    from transformers import BitsAndBytesConfig  # noqa: PLC0415 - as above

    compute = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    four = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )
    return {
        "quantization_config": four,
        "device_map": {"": torch.cuda.current_device()} if torch.cuda.is_available() else None,
    }


def save_both(model: Any, state: dict[str, Any] | None, base: Path, folder: Path, dtype: torch.dtype) -> None:  # noqa: ANN401 - peft is untyped
    """Save a trained adapter, and the base's own weights with it merged in.

    The base is read anew: merged into weights that were rounded to 4 bits, or spread over processes, it would not be what was trained.
    """
    from peft import PeftModel  # noqa: PLC0415 - only where adapters are trained

    model.save_pretrained(folder / ADAPTER, state_dict=state)
    (folder / ADAPTER / "README.md").unlink(missing_ok=True)
    settings = folder / ADAPTER / "adapter_config.json"
    # Where the base lay on this machine is nobody's business, and would make the same adapter differ from place to place.
    settings.write_text(
        json.dumps(json.loads(settings.read_text()) | {"base_model_name_or_path": ""}, indent=2, sort_keys=True)
    )
    whole = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    merged = PeftModel.from_pretrained(whole, folder / ADAPTER).merge_and_unload()
    merged.to(dtype).save_pretrained(folder)
