"""`dto plan --estimate`: what a run would take, by stage, before it starts; no weight is loaded, nothing is sampled."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dto_jobs.artifacts.benchmarks import BENCHMARKS
from dto_jobs.artifacts.hub_sets import HUB
from dto_jobs.artifacts.imported_traces import read_traces
from dto_jobs.artifacts.model_shapes import Described, described, from_config, read_config
from dto_jobs.artifacts.pilots import Pilot, pilot, workload
from dto_jobs.artifacts.problem_sets import read_problems
from dto_jobs.artifacts.store import Store
from dto_jobs.cli.amounts import amount
from dto_jobs.cli.running import opened
from dto_jobs.core.cost import FORMULA
from dto_jobs.core.estimate import FORMULAS, OPTIMIZER_BYTES, Assumed, Habits, Load, Machine, Workload, estimate, total
from dto_jobs.errors import InputError, InvalidRunError, MissingExtraError, StoreError
from dto_jobs.plan import plan
from dto_jobs.problem_source import ProblemSource
from dto_jobs.resource import DTORun
from dto_jobs.run_file import read_run

RESPONSE_SHARE = 0.6
"""Of the token limit: what a response of a reasoning model takes, if nothing is known (about 5,000 of 8,192)."""
PATTERN = 95
"""Tokens per thinking pattern of 200 real R1 traces: 325 characters."""
OTHERS = ("pilot", "config")


class Estimate(NamedTuple):
    """An estimate and what it rests on."""

    loads: dict[str, Load]
    model: Described
    work: Workload
    assumed: Assumed
    machine: Machine
    pilot: Pilot | None


def estimated(file: Path, store: str | Path | None, overrides: list[str], assumptions: Sequence[str]) -> Estimate:
    """Return what a file's run would take; `assumptions` are `name=value`, of Habits, Machine, `pilot` and `config`."""
    given = dict(_assumption(text) for text in assumptions)
    run, folder = read_run(file, overrides), file.absolute().parent
    stages = run.spec.stages.model_dump(mode="json", by_alias=True)
    model = _model(run.spec.model.source, folder, given.pop("config", None))
    example = _pilot(lambda: opened(file, store, overrides).store, run, given.pop("pilot", None))
    work = workload(stages, _problems(run, folder), _benchmark_problems(run, folder))
    numbers = {name: _number(name, text) for name, text in given.items()}
    machine = Machine.model_validate({name: numbers[name] for name in numbers if name in Machine.model_fields})
    assumed = _assumed(run, example).with_("given", **{n: v for n, v in numbers.items() if n in Habits.model_fields})
    loads = estimate(model.shape, work, assumed.habits, model_bytes=model.weight_bytes)
    links = {step.name for step in plan(run.spec.stages, _any_key(), {}, run.spec.until)}
    if run.spec.stages.rollout.imported:
        loads["rollout"] = Load(disk_bytes=loads["rollout"].disk_bytes)
    return Estimate({n: load for n, load in loads.items() if n in links}, model, work, assumed, machine, example)


def _pilot(store: Callable[[], Store], run: DTORun, named: str | None) -> Pilot | None:
    """Return the run to learn from; a store that cannot be opened has none, unless one was named."""
    if named == "none":
        return None
    stages = run.spec.stages.model_dump(mode="json", by_alias=True)
    model = run.spec.model.model_dump(mode="json", by_alias=True, exclude_none=True)
    try:
        example = pilot(store(), stages, model, named)
    except StoreError:
        if named:
            raise
        return None
    if named and example is None:
        raise InputError(f"--assume pilot={named}: the store has no run of that name with responses")
    return example


def _any_key() -> Mapping[str, str]:
    return {"problems": "", "benchmarks": ""}


def _assumption(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    name = name.strip()
    known = [*OTHERS, *Habits.model_fields, *Machine.model_fields]
    if not equals or not value or name not in known:
        raise InvalidRunError(f"--assume {text}: write name=value, the name one of {', '.join(known)}")
    return name, value.strip()


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
        (Habits if name in Habits.model_fields else Machine).model_validate({name: value})
    except ValidationError as error:
        raise InvalidRunError(f"--assume {name}={text}: {error.errors()[0]['msg'].lower()}") from error
    except ValueError as error:
        raise InvalidRunError(f"--assume {name}={text}: not a number") from error
    return value


def _assumed(run: DTORun, example: Pilot | None) -> Assumed:
    response = RESPONSE_SHARE * run.spec.stages.rollout.max_tokens
    limit = run.spec.stages.exits.segmentation.max_patterns
    assumed = Assumed().with_("assumed", response=response)
    measured = example.measured if example else {}
    response = measured.get("response") or response
    assumed = assumed.with_("assumed", patterns=min(float(limit), max(1.0, response / PATTERN)))
    return assumed.with_("measured", **measured)


# What the run reads


def _problems(run: DTORun, folder: Path) -> int:
    imported = run.spec.stages.rollout.imported
    if imported is not None:
        return sum(1 for _ in read_traces(imported, folder))
    return _count(run.spec.problems, folder)


def _benchmark_problems(run: DTORun, folder: Path) -> int:
    return sum(_count(one, folder) for one in run.spec.stages.evaluation.sets())


def _count(source: ProblemSource, folder: Path) -> int:
    """Return how many problems a source has, from what is known where it need not be read."""
    name = source.source or ""
    if source.limit and (name.startswith(HUB) or name in BENCHMARKS):
        return min(source.limit, BENCHMARKS[name].rows if name in BENCHMARKS else source.limit)
    if name in BENCHMARKS and not source.filter:
        return BENCHMARKS[name].rows
    return sum(1 for _ in read_problems(source, folder))


def _model(source: str, folder: Path, config: str | None) -> Described:
    if config is not None:
        path = Path(config).expanduser()
        return described(path) if path.is_dir() else from_config(read_config(path))
    from dto_jobs.engines.model_sources import resolve  # noqa: PLC0415 - may need a hub client

    if not source.startswith("hf://"):
        return described(resolve(source, folder))
    with TemporaryDirectory() as place:
        return from_config(read_config(_hub_config(source, Path(place))))


def _hub_config(source: str, place: Path) -> Path:
    name, _, revision = source.removeprefix("hf://").partition("@")
    try:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415 - only this source needs the hub's client
    except ImportError as error:
        raise MissingExtraError(
            f"{source}: its config.json is fetched with the library huggingface_hub; install it with: pip install "
            "'dto-operator[train]', or give the file: --assume config=config.json"
        ) from error
    try:
        return Path(hf_hub_download(name, "config.json", revision=revision or None, local_dir=place))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{source}: its config.json cannot be fetched ({error}); check name, revision and network, or give the file: "
            "--assume config=config.json"
        ) from error


# Telling it


def rows(found: Estimate) -> dict[str, Any]:
    """Return the estimate for machines."""
    stages = {name: _row(load, found) for name, load in found.loads.items()}
    return {
        "stages": stages,
        "total": _row(total(found.loads.values()), found),
        "model": found.model._asdict() | {"shape": found.model.shape.model_dump()},
        "workload": found.work.model_dump(),
        "habits": found.assumed.habits.model_dump(),
        "origins": found.assumed.origins,
        "machine": found.machine.model_dump(),
        "pilot": found.pilot.name if found.pilot else None,
        "scratchBytes": scratch(found),
    }


def _row(load: Load, found: Estimate) -> dict[str, float]:
    return {**load.model_dump(), "flops": load.flops, "gpu_seconds": found.machine.seconds(load, found.model.shape)}


def scratch(found: Estimate) -> float:
    """Return the bytes that training's newest checkpoint takes beside the artifacts."""
    return OPTIMIZER_BYTES * found.model.weights if "training" in found.loads else 0.0


def table(found: Estimate) -> Group:
    """Return the estimate as people read it: stage by stage, then what it rests on, then the formulas."""
    shown = Table("stage", title="expected, before anything runs", title_justify="left")
    for column in ("prompt tokens computed", "cached", "generated", "trained on", "FLOPs", "GPU-hours", "disk"):
        shown.add_column(column, justify="right")
    for name, load in found.loads.items():
        shown.add_row(name, *_cells(load, found))
    shown.add_section()
    shown.add_row("all", *_cells(total(found.loads.values()), found))
    notes = Text("\n".join(_notes(found)))
    return Group(shown, notes, *_formulas(found))


def _cells(load: Load, found: Estimate) -> list[str]:
    hours = found.machine.seconds(load, found.model.shape) / 3600
    tokens = (load.prompt_computed, load.prompt_cached, load.generated, load.trained)
    return [*map(amount, tokens), amount(load.flops), f"{hours:,.2f}", f"{amount(load.disk_bytes)}B"]


def _notes(found: Estimate) -> Iterator[str]:
    shape, work, machine = found.model.shape, found.work, found.machine
    yield (
        f"model, from {found.model.told_by}: N = {shape.parameters:,} weights in matrix products, L = {shape.layers}, "
        f"d = {shape.width}; {amount(found.model.weight_bytes)}B on disk"
    )
    yield (
        f"{work.problems:,} problems x {work.samples} responses; {work.benchmark_problems:,} benchmark problems x "
        f"{work.benchmark_samples} for each model"
    )
    habits = found.assumed.habits.model_dump(exclude_none=True)
    for origin in ("measured", "given", "assumed"):
        named = [f"{n} {v:.4g}" for n, v in habits.items() if found.assumed.origins.get(n, "assumed") == origin]
        where = f" on the run {found.pilot.name}" if found.pilot and origin == "measured" else ""
        if named:
            yield f"{origin}{where}: {', '.join(named)}"
    speed = (
        f"{machine.tokens_per_second:,.0f} tokens/s generated"
        if machine.tokens_per_second
        else f"{machine.decode_mfu:.0%} of it while generating"
    )
    yield f"one GPU of {machine.peak_tflops:,.0f} TFLOP/s peak; {machine.mfu:.0%} of it in training and reading, {speed}: assumptions"
    if scratch(found):
        yield f"training needs {amount(scratch(found))}B of scratch for its newest checkpoint, if all weights are trained"
    yield "change any of these with --assume name=value"


def _formulas(found: Estimate) -> Iterator[RenderableType]:
    lines = [f"{name}: {FORMULAS[name]}" for name in found.loads]
    yield Text("\n".join(["", *lines, FORMULA]), style="dim")
