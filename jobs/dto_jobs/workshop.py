"""What a stage works with on this machine: the run's model in its engine, a judge, a trainer. Heavy libraries load on first use."""

import shutil
from collections.abc import Iterable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dto_jobs.artifacts.artifact import Artifact
from dto_jobs.endpoint import Endpoint
from dto_jobs.errors import InputError, MissingExtraError
from dto_jobs.judges import JudgeSource
from dto_jobs.model_source import EngineSource, ModelSource, OpenaiEngine
from dto_jobs.settings import training_processes_from_environment
from dto_jobs.stage import Engine, Judge, Memory, ModelStage, Stage, Trainer
from dto_jobs.stages.pruning import Pruning

if TYPE_CHECKING:
    from dto_jobs.engines.judging import Chat

CHECK_SECONDS = 30.0
"""Patience with a served model that is only asked whether it is there."""


class LocalWorkshop:
    """Opens engines and trainers in this process; keeps the last engine open, since stages in a row share it."""

    def __init__(
        self, model: ModelSource, engine: EngineSource, folder: Path, scratch: Path, endpoint: str | None = None
    ) -> None:
        self._model = model
        self._source = engine
        self._folder = folder
        self._scratch = scratch
        self._endpoint = endpoint
        self._open: tuple[str, Engine] | None = None
        self._judges: list[Engine] = []

    def model_digest(self) -> str:
        """Return what tells the run's model from any other: its files, and the settings that change what it answers."""
        if self._source.scripted is not None:
            return f"scripted:{self._model.source}"
        if self._source.openai is not None:
            return self._served_digest(self._source.openai)
        from dto_jobs.engines.model_sources import adapter_digest, digest  # noqa: PLC0415 - only where a model is there

        adapter = self._adapter()
        choices = {
            "chat template": self._model.chat_template,
            "dtype": self._model.dtype if self._model.dtype != "auto" else None,
            "quantization": self._source.vllm and self._source.vllm.quantization,
            "adapter": adapter and adapter_digest(adapter),
        }
        chosen = sorted((name, value) for name, value in choices.items() if value)
        plain = digest(self._base())
        return sha256(f"{plain}{chosen}".encode()).hexdigest() if chosen else plain

    def check(self, stages: Iterable[Stage | ModelStage]) -> None:
        """Make sure, before anything is computed, that what the stages need is here: libraries, and a judge that answers."""
        if self._source.openai is not None:
            _ask(self._source.openai, "the engine openai")
        for stage in stages:
            if isinstance(stage, ModelStage) and self._source.scripted is None:
                require("trl", "train", "training")
            if isinstance(stage, Pruning) and stage.judge is not None and stage.judge.endpoint is not None:
                _ask(stage.judge.endpoint, "a judge")

    def _served_digest(self, endpoint: OpenaiEngine) -> str:
        """Return a digest of what is known here of a served model: its name there, configuration, tokenizer and template."""
        from dto_jobs.engines.model_sources import outline_digest  # noqa: PLC0415 - as its sibling

        known = [endpoint.model, self._model.chat_template or "", outline_digest(self._base(weights=False))]
        return sha256(repr(known).encode()).hexdigest()

    def engine(self, model: Artifact | None) -> Engine:
        """Return an engine with the run's model, or with the tuned one of an artifact."""
        name = model.base if model else ""
        if self._open is None or self._open[0] != name:
            self._close()
            self._open = (name, self._opened(model))
        return self._open[1]

    def trial(self, folder: Path | None) -> Engine:
        """Return an engine with a model that is not kept yet, None for the run's own."""
        if folder is None:
            return self.engine(None)
        self._close()
        # A folder may come to hold another model: what is opened for a trial is not shared.
        self._open = (f"trial:{folder}", self._loaded(folder, self._model))
        return self._open[1]

    def _close(self) -> None:
        """Let go of the open engine and of judges' models: their memory goes before another model's comes."""
        engines = [*([self._open[1]] if self._open else ()), *self._judges]
        self._open, self._judges = None, []
        for engine in engines:
            close = getattr(engine, "close", None)
            if close is not None:
                close()

    def _opened(self, model: Artifact | None) -> Engine:
        if self._source.scripted is not None:
            from dto_jobs.engines.scripted import SumsReasoner  # noqa: PLC0415 - like its siblings

            scripted = self._source.scripted
            return SumsReasoner(delay_seconds=scripted.delay_seconds, continuous=scripted.continuous)
        if self._source.openai is not None:
            return self._served(self._source.openai, model)
        folder = self._fetched(model) if model else self._base()
        return self._loaded(folder, self._model, None if model else self._adapter())

    def _served(self, endpoint: OpenaiEngine, model: Artifact | None) -> Engine:
        if model is not None:
            raise InputError("spec.engine.openai serves the base model only; set spec.until to baseline or earlier")
        require("openai", "jobs", "the engine openai")
        require("transformers", "train", "the tokenizer of a served model")
        from dto_jobs.engines import served  # noqa: PLC0415 - takes seconds to import

        return served.load(self._base(weights=False), endpoint, self._model)

    def _loaded(self, folder: Path, source: ModelSource, adapter: Path | None = None) -> Engine:
        if self._source.vllm is not None:
            require("vllm", "vllm", "the vLLM engine")
            from dto_jobs.engines import vllm  # noqa: PLC0415 - takes seconds to import

            return vllm.load(folder, self._source.vllm, source, adapter)
        require("torch", "train", "the transformers engine")
        from dto_jobs.engines import transformers  # noqa: PLC0415 - torch takes seconds to import

        assert self._source.transformers is not None
        return transformers.load(folder, self._source.transformers, source)

    def judge(self, stage: Stage, memory: Memory) -> Judge | None:
        """Return the judge a stage asks for; what it says is kept in `memory`."""
        return self.appointed(stage.judge, memory) if isinstance(stage, Pruning) and stage.judge else None

    def appointed(self, source: JudgeSource, memory: Memory) -> Judge:
        """Return the judge of a source."""
        require("openai", "jobs", "a judge")
        from dto_jobs.engines.judging import ModelJudge  # noqa: PLC0415 - the client takes a second to import

        return ModelJudge(self._chat(source), source, memory)

    def _chat(self, source: JudgeSource) -> "Chat":
        from dto_jobs.engines import judging, openai  # noqa: PLC0415 - as above

        if source.endpoint is not None:
            return judging.ServedChat(openai.Served(source.endpoint), f"{source.endpoint.url} {source.endpoint.model}")
        if self._source.scripted is not None or self._source.openai is not None:
            raise InputError(
                f"spec.stages.pruning.judge.model: the engine {self._source.kind} opens no second model; "
                "name the judge's endpoint instead"
            )
        from dto_jobs.engines.model_sources import digest, resolve  # noqa: PLC0415 - may need a hub client

        assert source.model is not None
        folder = resolve(source.model, self._folder, self._endpoint)
        engine = self._loaded(folder, ModelSource(source=source.model))
        self._judges.append(engine)
        return judging.EngineChat(engine, digest(folder))

    def trainer(self) -> Trainer:
        """Return a trainer of the run's model."""
        if self._source.scripted is not None:
            raise InputError(
                "spec.engine.scripted has no model to train; set spec.until to pairs, or name another engine"
            )
        if self._source.vllm is not None and self._source.vllm.adapter is not None:
            raise InputError(
                "spec.engine.vllm.adapter: training starts from the model alone; merge the adapter into it "
                "(peft: merge_and_unload) and name the merged folder in spec.model.source"
            )
        require("trl", "train", "training")
        self._close()
        from dto_jobs.engines.processes import processes_here  # noqa: PLC0415 - needs torch
        from dto_jobs.engines.simpo import SimpoTrainer  # noqa: PLC0415 - trl takes seconds to import

        return SimpoTrainer(self._base(), training_processes_from_environment() or processes_here())

    def workspace(self, key: str) -> Path:
        """Return a folder that outlives a killed process, for checkpoints."""
        folder = self._scratch / "training" / key[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def clear(self, key: str) -> None:
        """Remove that folder."""
        shutil.rmtree(self._scratch / "training" / key[:16], ignore_errors=True)

    def _base(self, *, weights: bool = True) -> Path:
        from dto_jobs.engines.model_sources import resolve  # noqa: PLC0415 - may need a hub client

        return resolve(self._model.source, self._folder, self._endpoint, weights=weights)

    def _adapter(self) -> Path | None:
        from dto_jobs.engines.model_sources import resolve  # noqa: PLC0415 - may need a hub client

        named = self._source.vllm.adapter if self._source.vllm else None
        return resolve(named, self._folder, self._endpoint) if named else None

    def _fetched(self, model: Artifact) -> Path:
        receipt = model.receipt()
        assert receipt is not None, "a model is evaluated after it is whole"
        folder = self._scratch / "models" / receipt.digest[:16]
        if not folder.is_dir():
            shutil.rmtree(partial := folder.with_suffix(".partial"), ignore_errors=True)
            model.fetch_files(partial)
            partial.rename(folder)
        return folder


def _ask(endpoint: Endpoint, what: str) -> None:
    """Raise what an endpoint says if it is out of reach, or does not serve the model."""
    require("openai", "jobs", what)
    from dto_jobs.engines.openai import Served  # noqa: PLC0415 - the client takes a second to import

    patience = min(CHECK_SECONDS, endpoint.patience_seconds)
    Served(endpoint.model_copy(update={"patience_seconds": patience})).context()


def require(module: str, extra: str, what: str) -> None:
    """Raise MissingExtraError where a library of an extra is not installed."""
    if find_spec(module) is None:
        raise MissingExtraError(
            f"{what} needs the library {module}; install it with: pip install 'dto-operator[jobs,{extra}]'"
        )
