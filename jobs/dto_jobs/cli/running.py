"""`dto run` and `dto report`: a run on this machine, its results in words, its report."""

import platform
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import yaml
from rich.console import Console

from dto_jobs.artifacts.addresses import SCHEME, open_store
from dto_jobs.artifacts.attempts import Attempts
from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.artifacts.store import Store
from dto_jobs.cli.progress import CalmProgress, TerminalProgress
from dto_jobs.cli.summary import summary
from dto_jobs.core.results import Results
from dto_jobs.errors import InputError, InvalidRunError
from dto_jobs.local_run import LocalRun
from dto_jobs.outcome import results_of
from dto_jobs.resource import STAGE_NAMES, Artifacts
from dto_jobs.run_file import parse_run, read_run
from dto_jobs.runner import Progress
from dto_jobs.settings import scratch_from_environment, store_from_environment
from dto_jobs.workshop import LocalWorkshop


def opened(file: Path, store: str | Path | None, overrides: list[str]) -> LocalRun:
    """Return the run a file describes, its store chosen: the option, the run file's bucket or folder, or the environment's."""
    run = read_run(file, overrides)
    folder = file.absolute().parent
    kept = open_store(
        store or _own(run.spec.artifacts, folder) or store_from_environment(), run.spec.artifacts.endpoint
    )
    return LocalRun(run, folder, kept, LocalWorkshop(run.spec.model, run.spec.engine, folder, _scratch(kept)))


def _own(artifacts: Artifacts, folder: Path) -> str | Path | None:
    if artifacts.bucket:
        return f"{SCHEME}{artifacts.bucket}/{artifacts.prefix}"
    return folder / artifacts.folder if artifacts.folder else None


def _scratch(store: Store) -> Path:
    return Path(store.address) / "scratch" if isinstance(store, FolderStore) else scratch_from_environment()


def run_file(
    file: Path,
    store: str | Path | None,
    overrides: list[str],
    fresh_from: str | None,
    stopping: Callable[[], bool],
    out: Console,
) -> Results:
    """Run a file's stages, write results and report, and say what came of it."""
    local = opened(file, store, overrides)
    with ExitStack() as stack:
        progress: Progress = CalmProgress(lambda text: out.print(text, highlight=False, soft_wrap=True))
        if out.is_terminal:
            progress = stack.enter_context(TerminalProgress(out))
        out.print(f"{local.run.name}: artifacts in {local.store.address}", highlight=False, soft_wrap=True)
        whole = local.work(progress, stopping, _fresh(fresh_from))
    attempts = Attempts(local.store, local.run.name)
    owned = frozenset(name for name, (artifact, _) in whole.items() if attempts.owns(artifact))
    results = results_of(whole, local.run.spec.gate, owned)
    local.store.write(f"{local.place}/results.json", [results.to_json().encode()])
    local.store.write(f"{local.place}/run.yaml", [_yaml(local).encode()])
    out.print(summary(results))
    out.print(f"report: {write_report(local.store, local.run.name, None)}", highlight=False, soft_wrap=True)
    return results


def _fresh(stage: str | None) -> frozenset[str]:
    if stage is None:
        return frozenset()
    if stage not in STAGE_NAMES:
        raise InvalidRunError(f"--from {stage}: no such stage; there are {', '.join(STAGE_NAMES)}")
    return frozenset(STAGE_NAMES[STAGE_NAMES.index(stage) :])


def _yaml(local: LocalRun) -> str:
    content = local.run.model_dump(mode="json", by_alias=True, exclude_none=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def write_report(store: Store, name: str, output: Path | None) -> str:
    """Write the HTML report of a run that has results; return where."""
    from dto_jobs.report.gathering import gathered  # noqa: PLC0415 - templates load only for a report
    from dto_jobs.report.page import render  # noqa: PLC0415 - likewise

    place = f"runs/{name}"
    if not store.exists(f"{place}/results.json"):
        raise InputError(f"the run {name} in {store.address} has no results yet; run it first: dto run FILE")
    results = Results.model_validate_json(b"".join(store.read(f"{place}/results.json")))
    settings = b"".join(store.read(f"{place}/run.yaml")).decode()
    run = parse_run(yaml.safe_load(settings), f"{place}/run.yaml")
    page = render(gathered(store, run, settings, results, f"Python {platform.python_version()}"))
    if output is None:
        store.write(f"{place}/report.html", [page.encode()])
        return f"{store.address}/{place}/report.html"
    output.write_text(page, encoding="utf-8")
    return str(output)
