"""`dto run` and `dto report`: a run on this machine, its results in words, its report."""

import platform
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import yaml
from rich.console import Console

from dto_jobs.artifacts.addresses import SCHEME, open_store, scratch
from dto_jobs.artifacts.artifact import DISCARDED
from dto_jobs.artifacts.attempts import Attempts, Whole
from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.artifacts.store import Store
from dto_jobs.cli.discarding import removed
from dto_jobs.cli.progress import CalmProgress, TerminalProgress
from dto_jobs.cli.summary import summary
from dto_jobs.core.results import Results
from dto_jobs.errors import InputError, InvalidRunError
from dto_jobs.local_run import LocalRun
from dto_jobs.outcome import results_of
from dto_jobs.resource import STAGE_NAMES, Artifacts, DTORun
from dto_jobs.run_file import parse_run, read_run
from dto_jobs.runner import Progress
from dto_jobs.settings import store_from_environment
from dto_jobs.workshop import LocalWorkshop


def opened(file: Path, store: str | Path | None, overrides: list[str]) -> LocalRun:
    """Return the run a file describes, its store chosen: the option, the run file's bucket or folder, or the environment's."""
    run = read_run(file, overrides)
    folder = file.absolute().parent
    kept = open_store(
        store or _own(run.spec.artifacts, folder) or store_from_environment(), run.spec.artifacts.endpoint
    )
    workshop = LocalWorkshop(run.spec.model, run.spec.engine, folder, scratch(kept), run.spec.artifacts.endpoint)
    return LocalRun(run, folder, kept, workshop)


def _own(artifacts: Artifacts, folder: Path) -> str | Path | None:
    if artifacts.bucket:
        return f"{SCHEME}{artifacts.bucket}/{artifacts.prefix}"
    return folder / artifacts.folder if artifacts.folder else None


def run_file(  # noqa: PLR0917 - the command's options
    file: Path,
    store: str | Path | None,
    overrides: list[str],
    fresh_from: str | None,
    stopping: Callable[[], bool],
    out: Console,
    shards: int | None = None,
) -> Results:
    """Run a file's stages, write results and report, and say what came of it.

    `shards` processes make each stage, or this one where it is 0; by default this one for a folder, one more for a bucket.
    """
    local = opened(file, store, overrides)
    fresh = fresh_stages(fresh_from)

    def say(text: str) -> None:
        out.print(text, highlight=False, soft_wrap=True, markup=False)

    say(f"{local.run.name}: artifacts in {local.store.address}")
    if (before := _done_before(local, fresh)) is not None:
        say("it is done and its intermediates were removed (artifacts.policy); --from STAGE makes them anew")
        return before
    processes = (0 if isinstance(local.store, FolderStore) else 1) if shards is None else shards
    if processes:
        from dto_jobs.process_run import ProcessRun  # noqa: PLC0415 - only such a run needs it

        whole = ProcessRun(local, processes, say, stopping).work(fresh)
        return _ended(local, conclude(local.store, local.identity, local.run, whole, out), say)
    with ExitStack() as stack:
        progress: Progress = CalmProgress(say)
        if out.is_terminal:
            progress = stack.enter_context(TerminalProgress(out))
        whole = local.work(progress, stopping, fresh)
    return _ended(local, conclude(local.store, local.identity, local.run, whole, out), say)


def _ended(local: LocalRun, results: Results, say: Callable[[str], None]) -> Results:
    """Remove what the run need not keep now that it has ended well, if it wants that."""
    if local.run.spec.artifacts.policy == "DeleteIntermediates":
        say(f"intermediates: {removed(local.store, local.identity, intermediates=True)[1]}")
    return results


def _done_before(local: LocalRun, fresh: frozenset[str]) -> Results | None:
    """Return the results of a run of which nothing else is left to be read; None where it is to be made, or made anew."""
    store, place = local.store, local.place
    if fresh or not store.exists(f"{place}/{DISCARDED}"):
        return None
    local.settled()
    if b"".join(store.read(f"{place}/run.yaml")).decode() != _yaml(local.run):
        return None
    return Results.model_validate_json(b"".join(store.read(f"{place}/results.json")))


def conclude(store: Store, identity: str, run: DTORun, whole: Mapping[str, Whole], out: Console) -> Results:
    """Write results and report of a run whose stages are whole, and say what came of it."""
    attempts = Attempts(store, identity)
    owned = frozenset(name for name, (artifact, _) in whole.items() if attempts.owns(artifact))
    results = results_of(whole, run.spec.gate, owned)
    store.write(f"runs/{identity}/results.json", [results.to_json().encode()])
    store.write(f"runs/{identity}/run.yaml", [_yaml(run).encode()])
    out.print(summary(results))
    out.print(f"report: {write_report(store, identity, None)}", highlight=False, soft_wrap=True)
    return results


def fresh_stages(stage: str | None) -> frozenset[str]:
    """Return a stage and all after it; none for none."""
    if stage is None:
        return frozenset()
    if stage not in STAGE_NAMES:
        raise InvalidRunError(f"--from {stage}: no such stage; there are {', '.join(STAGE_NAMES)}")
    return frozenset(STAGE_NAMES[STAGE_NAMES.index(stage) :])


def _yaml(run: DTORun) -> str:
    content = run.model_dump(mode="json", by_alias=True, exclude_none=True)
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
    try:
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the report to {output}: {error.strerror}; name another file") from error
    return str(output)
