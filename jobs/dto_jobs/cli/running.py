"""`dto run` and `dto report`: a run on this machine, its results in words, its report."""

import platform
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import yaml
from rich.console import Console

from dto_jobs.artifacts.attempts import Attempts
from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.cli.progress import CalmProgress, TerminalProgress
from dto_jobs.cli.summary import summary
from dto_jobs.core.results import Results
from dto_jobs.errors import InputError, InvalidRunError
from dto_jobs.local_run import LocalRun
from dto_jobs.outcome import results_of
from dto_jobs.resource import STAGE_NAMES
from dto_jobs.run_file import parse_run, read_run
from dto_jobs.runner import Progress
from dto_jobs.settings import store_from_environment
from dto_jobs.workshop import LocalWorkshop


def opened(file: Path, store: Path | None, overrides: list[str]) -> LocalRun:
    """Return the run a file describes, its store chosen: the option, the run file's folder, or the environment's."""
    run = read_run(file, overrides)
    if run.spec.artifacts.bucket and store is None:
        raise InvalidRunError(
            "spec.artifacts.bucket: running here keeps artifacts in a folder so far; name one with --store FOLDER"
        )
    folder = file.absolute().parent
    own = run.spec.artifacts.folder
    root = store or (folder / own if own else store_from_environment())
    workshop = LocalWorkshop(run.spec.model, run.spec.engine, folder, root / "scratch")
    return LocalRun(run, folder, FolderStore(root), workshop)


def run_file(
    file: Path,
    store: Path | None,
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
    out.print(
        f"report: {write_report(Path(local.store.address), local.run.name, None)}", highlight=False, soft_wrap=True
    )
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


def write_report(store: Path, name: str, output: Path | None) -> Path:
    """Write the HTML report of a run that has results; return where."""
    from dto_jobs.report.gathering import gathered  # noqa: PLC0415 - templates load only for a report
    from dto_jobs.report.page import render  # noqa: PLC0415 - likewise

    folder = FolderStore(store)
    place = f"runs/{name}"
    if not folder.exists(f"{place}/results.json"):
        raise InputError(f"the run {name} in {folder.address} has no results yet; run it first: dto run FILE")
    results = Results.model_validate_json(b"".join(folder.read(f"{place}/results.json")))
    settings = b"".join(folder.read(f"{place}/run.yaml")).decode()
    run = parse_run(yaml.safe_load(settings), f"{place}/run.yaml")
    page = render(gathered(folder, run, settings, results, f"Python {platform.python_version()}"))
    if output is None:
        folder.write(f"{place}/report.html", [page.encode()])
        return store / place / "report.html"
    output.write_text(page, encoding="utf-8")
    return output
