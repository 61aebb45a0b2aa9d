"""The commands. Each reads what was typed, lets the rooms below do the work, and shows what came of it.

Exit codes are those of `dto_jobs.errors`; 0 is success, 1 an error of ours.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dto_jobs import __version__
from dto_jobs.artifacts.store import Store
from dto_jobs.causes import UnexpectedError, told
from dto_jobs.cli.discarding import discard
from dto_jobs.cli.options import Assume, Estimate, File, FreshFrom, Json, Overrides, PlanName, StoreAddress, Until
from dto_jobs.cli.stopping import AT_ONCE, stopping_softly
from dto_jobs.errors import DtoError, InterruptedRunError
from dto_jobs.settings import store_from_environment

app = typer.Typer(
    name="dto",
    help="Dynamic Thinking-pattern Optimization: find where a reasoning model overthinks, and teach it not to.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

# Tables wrap at the width of a terminal; a file or a pipe has none, so they get room.
out = Console(width=None if sys.stdout.isatty() else 140)
err = Console(stderr=True, width=None if sys.stderr.isatty() else 140)


def main() -> None:
    """Run the command line; print an error without a traceback and end with its exit code."""
    try:
        app()
    except DtoError as error:
        err.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True, style=None)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away (dto … | head): nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (MemoryError, OSError, RuntimeError) as error:
        known = told(error)
        if isinstance(known, UnexpectedError):
            raise
        err.print(f"error: {known}", markup=False, highlight=False, soft_wrap=True, style=None)
        sys.exit(known.exit_code)
    except KeyboardInterrupt:
        err.print(AT_ONCE)
        sys.exit(InterruptedRunError.exit_code)


def version(*, wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=lambda wanted: version(wanted=wanted), is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Dynamic Thinking-pattern Optimization."""


@app.command()
def run(
    file: File,
    store: StoreAddress = None,
    overrides: Overrides = None,
    until: Until = None,
    fresh_from: FreshFrom = None,
    shards: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1024,
            help="Make each stage by so many processes side by side, as a cluster does; 0: all in this process. "
            "Default: 0 with a folder, 1 with a bucket.",
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Run a DTORun on this machine. Resumes by itself; what another run has computed already is reused."""
    from dto_jobs.cli.running import run_file  # noqa: PLC0415 - keeps `dto --help` quick

    with stopping_softly(err) as stopping:
        results = run_file(
            file, store, [*(overrides or ()), *_until(until)], fresh_from, stopping, out if not as_json else err, shards
        )
    if as_json:
        typer.echo(results.to_json())


@app.command()
def validate(file: File, overrides: Overrides = None) -> None:
    """Check a run file; every problem is named with its field, value and remedy."""
    from dto_jobs.run_file import read_run  # noqa: PLC0415 - keeps `dto --help` quick

    checked = read_run(file, overrides or ())
    out.print(f"{file} is a valid DTORun: {checked.name}", highlight=False)


@app.command()
def plan(
    file: File,
    store: StoreAddress = None,
    overrides: Overrides = None,
    until: Until = None,
    assume: Assume = None,
    *,
    estimate: Estimate = False,
    as_json: Json = False,
) -> None:
    """Show what would run and what is there already, or, with --estimate, what it would take."""
    if estimate:
        from dto_jobs.cli import estimating  # noqa: PLC0415 - keeps `dto --help` quick

        found = estimating.estimated(file, store, [*(overrides or ()), *_until(until)], assume or ())
        out.print(estimating.table(found)) if not as_json else typer.echo(json.dumps(estimating.rows(found)))
        return
    from dto_jobs.cli.planning import planned, table  # noqa: PLC0415 - keeps `dto --help` quick

    rows = planned(file, store, [*(overrides or ()), *_until(until)])
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        out.print(table(rows))


@app.command()
def preflight(
    file: File,
    store: StoreAddress = None,
    overrides: Overrides = None,
    until: Until = None,
    fresh_from: FreshFrom = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write the plan to, beside the one in the store.")
    ] = None,
) -> None:
    """Check model, problems, store and judge of a run file, and settle its plan: what a cluster does before any GPU."""
    from dto_jobs.cli.staging import preflight_file  # noqa: PLC0415 - keeps `dto --help` quick

    preflight_file(file, store, [*(overrides or ()), *_until(until)], fresh_from, output, out)


@app.command()
def stage(
    name: Annotated[str, typer.Argument(help="Stage of the plan.", metavar="NAME")],
    store: StoreAddress = None,
    plan: PlanName = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="Which shard of how many, from 0 (default: $JOB_COMPLETION_INDEX of $DTO_SHARDS, or 0/1).",
            metavar="I/N",
        ),
    ] = None,
    attempt: Annotated[int | None, typer.Option(help="Which try this is (default: $DTO_ATTEMPT, or 1).")] = None,
) -> None:
    """Make a shard of one stage, as a pod does. Goes on after the last committed part; docs/stage-contract.md has the rest."""
    from dto_jobs.cli.staging import run_stage, stage_options  # noqa: PLC0415 - keeps `dto --help` quick

    run_stage(name, stage_options(store, plan, shard, attempt), out)


@app.command()
def collect(
    name: Annotated[
        str | None, typer.Argument(help="Stage of the plan; none for the run as a whole.", metavar="NAME")
    ] = None,
    store: StoreAddress = None,
    plan: PlanName = None,
    *,
    as_json: Json = False,
) -> None:
    """Write a stage's receipt once its parts are there; without a stage, results and report of a run whose stages are done."""
    from dto_jobs.cli.staging import collect_run, collect_stage, stage_options  # noqa: PLC0415 - keeps `dto --help` quick

    options = stage_options(store, plan, None, None)
    if name is not None:
        collect_stage(name, options, err)
        return
    results = collect_run(options, out if not as_json else err)
    if as_json:
        typer.echo(results.to_json())


@app.command()
def runs(store: StoreAddress = None, *, as_json: Json = False) -> None:
    """List the runs of a store."""
    from dto_jobs.cli.planning import listed, runs_table  # noqa: PLC0415 - keeps `dto --help` quick

    rows = listed(_store(store))
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        out.print(runs_table(rows))


@app.command()
def status(
    name: Annotated[str, typer.Argument(help="Name of the run.", metavar="RUN")],
    store: StoreAddress = None,
    *,
    as_json: Json = False,
) -> None:
    """Show how far a run is, stage by stage, and its results."""
    from dto_jobs.cli.planning import run_status, status_table  # noqa: PLC0415 - keeps `dto --help` quick

    state = run_status(_store(store), name)
    if as_json:
        typer.echo(json.dumps(state))
    else:
        out.print(status_table(state))


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="Name of the run.", metavar="RUN")],
    store: StoreAddress = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write (default: report.html beside the run's artifacts)."),
    ] = None,
) -> None:
    """Write the report of a run: one HTML file that needs no network."""
    from dto_jobs.cli.running import write_report  # noqa: PLC0415 - keeps `dto --help` quick

    out.print(f"report: {write_report(_store(store), name, output)}", highlight=False, soft_wrap=True)


@app.command()
def dashboard(
    prometheus: Annotated[str, typer.Option("--prometheus", help="Address of a Prometheus.", metavar="URL")],
    output: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("dashboard.html"),
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--dashboard", help="savings, runs or operator; may be repeated. Default: all three.", metavar="NAME"
        ),
    ] = None,
    hours: Annotated[float, typer.Option(min=0.01, help="How much time is shown, up to now.")] = 24.0,
    run: Annotated[str | None, typer.Option("--run", help="Show one run. Default: all.", metavar="RUN")] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", help="Show one namespace's runs. Default: all.", metavar="NAMESPACE")
    ] = None,
) -> None:
    """Write the dashboards that Grafana gets as one HTML page that needs no network."""
    from dto_jobs.cli.monitoring import write_dashboards  # noqa: PLC0415 - keeps `dto --help` quick

    chosen = {name: value for name, value in (("run", run), ("namespace", namespace)) if value}
    write_dashboards(prometheus, names or (), hours, chosen, output)
    out.print(f"dashboard: {output}", highlight=False, soft_wrap=True)


@app.command()
def inspect(
    name: Annotated[str, typer.Argument(help="Name of the run.", metavar="RUN")],
    problem: Annotated[
        str, typer.Argument(help="Id of a problem (p) or of one of its traces (p#2).", metavar="PROBLEM")
    ],
    store: StoreAddress = None,
    *,
    as_json: Json = False,
) -> None:
    """Show one problem's traces: patterns, p_i per boundary, the exit, what was dropped, before and after."""
    from dto_jobs.cli.inspection import found_traces, show  # noqa: PLC0415 - keeps `dto --help` quick

    traces = found_traces(_store(store), name, problem)
    if as_json:
        for trace in traces:
            typer.echo(trace.model_dump_json())
    else:
        show(traces, out)


@app.command(name="judge-audit")
def judge_audit(
    name: Annotated[str, typer.Argument(help="Name of the run.", metavar="RUN")],
    store: StoreAddress = None,
    judges: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            help="Settings of a judge, as in spec.stages.pruning.judge: '{model: SOURCE}'. May be repeated. Default: the run's.",
            metavar="YAML",
        ),
    ] = None,
    traces: Annotated[int, typer.Option("--traces", min=1, help="Traces looked at.")] = 20,
    *,
    as_json: Json = False,
) -> None:
    """Measure judges: their verdicts against sampling without each pattern, and against each other."""
    from dto_jobs.cli.auditing import audit_judges, judge_table  # noqa: PLC0415 - keeps `dto --help` quick

    found = audit_judges(_store(store), name, judges or (), traces, err if as_json else out)
    if as_json:
        typer.echo(found.model_dump_json(by_alias=True))
    else:
        out.print(judge_table(found))


@app.command(name="segment-audit")
def segment_audit(
    name: Annotated[str, typer.Argument(help="Name of the run.", metavar="RUN")],
    store: StoreAddress = None,
    traces: Annotated[int, typer.Option("--traces", min=1, help="Traces looked at.")] = 50,
    *,
    as_json: Json = False,
) -> None:
    """Measure how far exits and savings depend on where traces are cut: cues, structure, random cuts."""
    from dto_jobs.cli.auditing import audit_cuts, cut_table  # noqa: PLC0415 - keeps `dto --help` quick

    found = audit_cuts(_store(store), name, traces, err if as_json else out)
    if as_json:
        typer.echo(found.model_dump_json(by_alias=True))
    else:
        out.print(cut_table(found))


@app.command()
def segment(
    file: Annotated[Path, typer.Argument(help="JSONL with one trace per line; - for standard input.", metavar="FILE")],
    column: Annotated[str, typer.Option("--text", help="Column that holds the trace.")] = "response",
    identity: Annotated[str, typer.Option("--id", help="Column that names the row; its number where absent.")] = "id",
    *,
    as_json: Json = False,
) -> None:
    """Cut traces into thinking patterns."""
    from dto_jobs.cli.lines import segment_file  # noqa: PLC0415 - keeps `dto --help` quick

    segment_file(file, column, identity, out, as_json=as_json)


@app.command()
def grade(
    file: Annotated[
        Path, typer.Argument(help="JSONL with one response per line; - for standard input.", metavar="FILE")
    ],
    text: Annotated[str, typer.Option("--text", help="Column that holds the response.")] = "response",
    gold: Annotated[str, typer.Option("--gold", help="Column that holds the right answer.")] = "gold",
    identity: Annotated[str, typer.Option("--id", help="Column that names the row; its number where absent.")] = "id",
    grader: Annotated[str, typer.Option("--grader", help="math, choice, text, or a plug-in's name.")] = "math",
    *,
    as_json: Json = False,
) -> None:
    """Grade responses against right answers."""
    from dto_jobs.cli.lines import grade_file  # noqa: PLC0415 - keeps `dto --help` quick

    grade_file(file, text, gold, identity, grader, out, as_json=as_json)


app.command()(discard)


def _until(until: str | None) -> list[str]:
    return [f"until={until}"] if until else []


def _store(address: str | None) -> Store:
    from dto_jobs.artifacts.addresses import open_store  # noqa: PLC0415 - keeps `dto --help` quick

    return open_store(address or store_from_environment())
