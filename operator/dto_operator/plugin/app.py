"""The plugin's commands: each asks `kubectl`, and shows what a person or a program wants to know of it."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from dto_jobs import __version__
from dto_jobs.errors import DtoError, InputError, InterruptedRunError, InvalidRunError
from dto_jobs.resource import STAGE_NAMES
from dto_jobs.run_file import read_run
from dto_operator import names
from dto_operator.acceptance import refusals
from dto_operator.observation import SeenPod, seen_pod
from dto_operator.plugin import views
from dto_operator.plugin.artifact_access import ask_dto
from dto_operator.plugin.kubectl import ApiServerError, Kubectl
from dto_operator.settings import OperatorSettings
from dto_operator.stored_run import group, identity, number, status_of

app = typer.Typer(
    name="kubectl dto",
    help="Runs of Dynamic Thinking-pattern Optimization on a cluster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)
out = Console(width=None if sys.stdout.isatty() else 140)
NOTICED_SECONDS, LOOK_SECONDS = 60.0, 0.5
"""How long the operator has to notice that a stage is no longer asked for anew, and how often that is looked at."""
STEPS = (names.PREFLIGHT, *STAGE_NAMES, names.RESULTS)

Run = Annotated[str, typer.Argument(help="Name of the run.", metavar="RUN")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace (default: the kubeconfig's).", metavar="NAME")
]
Context = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig (default: its current one).", metavar="NAME")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Store = Annotated[
    str | None, typer.Option("--store", help="Store with the artifacts (default: the run's bucket).", metavar="STORE")
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        help="URL of the S3-compatible service as it is reached from here (default: $DTO_S3_ENDPOINT, else the run's).",
        metavar="URL",
    ),
]


def main() -> None:
    """Run the plugin; print an error without a traceback and end with its exit code."""
    try:
        app()
    except DtoError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away (kubectl dto … | head).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(InterruptedRunError.exit_code)


@app.callback(invoke_without_command=True)
def common(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False
) -> None:
    """Runs of Dynamic Thinking-pattern Optimization on a cluster."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="Run file: a DTORun in YAML.", metavar="FILE")],
    namespace: Namespace = None,
    context: Context = None,
    *,
    as_json: Json = False,
) -> None:
    """Check a run file as `dto validate` does, and for what no pod can have; then apply it."""
    run = read_run(file)
    # Whether the operator has a store of its own is the operator's to know.
    found = refusals(run, OperatorSettings(store="s3://operators-own"))
    if found:
        lines = "\n".join(f"  {path}: {text}" for path, text in found)
        raise InvalidRunError(f"{file} cannot be run on a cluster:\n{lines}")
    held = Kubectl(namespace, context).apply(file)
    which = identity(held)
    if as_json:
        typer.echo(json.dumps({"name": which.name, "namespace": which.namespace, "uid": which.uid}))
    else:
        _say(f"{which.name} is submitted to {which.namespace}; watch it: kubectl dto status {which.name}")


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="Name of the run; none to list all.", metavar="RUN")] = None,
    namespace: Namespace = None,
    context: Context = None,
    *,
    as_json: Json = False,
) -> None:
    """Show how a run stands, stage by stage, with what keeps it and what to do; without a name, list the runs."""
    kubectl = Kubectl(namespace, context)
    if name is None:
        rows = views.listed(kubectl.runs())
        _show(rows, views.list_table(rows), as_json=as_json)
        return
    run = kubectl.run(name)
    _show(views.stood(run), views.status_table(run), as_json=as_json)


@app.command()
def logs(
    name: Run,
    stage: Annotated[
        str | None, typer.Argument(help="Stage, preflight or results (default: the one at work).", metavar="STAGE")
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the pods end.")] = False,
    as_json: Json = False,
) -> None:
    """Show the logs of a stage's pods, of those at work or of the last attempt's; with --json, name these pods."""
    kubectl = Kubectl(namespace, context)
    run = kubectl.run(name)
    wanted = _step(stage or status_of(run).stage or names.PREFLIGHT, STEPS)
    selector = f"{names.RUN_UID}={identity(run).uid},{names.STEP}={wanted}"
    attempt, pods = _last_attempt(kubectl.pods(selector))
    if as_json:
        typer.echo(json.dumps([{"pod": pod.name, "shard": pod.index, "phase": pod.phase} for pod in pods]))
        return
    if not pods:
        raise InputError(_without_pods(run, name, wanted))
    arguments = ["--follow"] if follow else []
    # One stream for each pod, as many as there are: kubectl's own limit is five.
    many = [f"--max-log-requests={len(pods)}", "--tail=-1", "--prefix"] if len(pods) > 1 else []
    chosen = [f"--selector={selector},{names.ATTEMPT}={attempt}"] if many else [pods[0].name]
    code = kubectl.show_logs([*chosen, f"--container={names.CONTAINER}", *arguments, *many])
    if code:
        raise ApiServerError(f"kubectl logs ended with {code}; what it said is above")


@app.command()
def report(
    name: Run,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write (default: RUN.html).", metavar="FILE")
    ] = None,
    store: Store = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    context: Context = None,
    *,
    as_json: Json = False,
) -> None:
    """Write a run's report here: one HTML file, from the artifacts in its bucket; with --json, print the results instead.

    Needs the bucket to be reachable from here (--endpoint), and its keys: $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY,
    or the right to read the Secret that the run names.
    """
    kubectl = Kubectl(namespace, context)
    run = kubectl.run(name)
    if as_json:
        said = json.loads(ask_dto(kubectl, run, ["status", "RUN", "--json"], store, endpoint))
        if said["results"] is None:
            raise InputError(f"the run {name} has no results yet; kubectl dto status {name} says how far it is")
        typer.echo(json.dumps(said["results"]))
        return
    file = output or Path(f"{name}.html")
    ask_dto(kubectl, run, ["report", "RUN", "--output", str(file)], store, endpoint)
    _say(f"report: {file}")


@app.command()
def inspect(
    name: Run,
    problem: Annotated[
        str, typer.Argument(help="Id of a problem (p) or of one of its traces (p#2).", metavar="PROBLEM")
    ],
    store: Store = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    context: Context = None,
    *,
    as_json: Json = False,
) -> None:
    """Show one problem's traces, as `dto inspect` does. Needs what `report` needs."""
    kubectl = Kubectl(namespace, context)
    words = ["inspect", "RUN", problem, *(["--json"] if as_json else [])]
    typer.echo(ask_dto(kubectl, kubectl.run(name), words, store, endpoint), nl=False)


@app.command()
def resume(
    name: Run,
    stage: Annotated[
        str | None, typer.Option("--from", help="Compute this stage and all after it anew.", metavar="STAGE")
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    *,
    as_json: Json = False,
) -> None:
    """Let a suspended run go on; or, with --from, a run at any point from that stage. What is committed before is kept."""
    kubectl = Kubectl(namespace, context)
    run = kubectl.run(name)
    suspended = bool(group(run, "spec").get("suspend"))
    if stage is None and not suspended:
        phase = status_of(run).phase or "Pending"
        raise InputError(f"{name} is {phase} and not suspended; to compute a stage anew, name it: --from STAGE")
    wish: dict[str, Any] = {"suspend": False}
    if stage is not None:
        wish["rerunFrom"] = _step(stage, STAGE_NAMES)
        _forget(kubectl, run, stage)
    kubectl.change(name, {"spec": wish})
    _show(wish, f"{name} goes on" + (f" from {stage}" if stage else ""), as_json=as_json)


@app.command()
def cost(name: Run, namespace: Namespace = None, context: Context = None, *, as_json: Json = False) -> None:
    """Show what a run took by stage (tokens, FLOPs, GPU-seconds), and after how many answers it has paid for itself."""
    spent = views.spent(Kubectl(namespace, context).run(name))
    _show(spent, views.cost_table(spent), as_json=as_json)


@app.command()
def artifacts(name: Run, namespace: Namespace = None, context: Context = None, *, as_json: Json = False) -> None:
    """Show where each artifact of a run lies, how large it is, and its digest."""
    run = Kubectl(namespace, context).run(name)
    rows = views.made(run)
    _show(rows, views.artifacts_table(run, rows), as_json=as_json)


def _forget(kubectl: Kubectl, run: dict[str, Any], stage: str) -> None:
    """Have the operator forget that this very stage was asked for before: only a change of the field is a wish."""
    if status_of(run).rerun_from != stage:
        return
    name = identity(run).name
    kubectl.change(name, {"spec": {"rerunFrom": None}})
    end = time.monotonic() + NOTICED_SECONDS
    while status_of(kubectl.run(name)).rerun_from == stage:
        if time.monotonic() > end:
            raise ApiServerError(f"the operator has not noticed the change of {name} in a minute; is it at work?")
        time.sleep(LOOK_SECONDS)


def _last_attempt(held: list[dict[str, Any]]) -> tuple[int, list[SeenPod]]:
    """Return the last attempt among a step's pods, and its pods by shard; those at work are always of the last one."""
    numbered = [(number(group(pod, "metadata", "labels"), names.ATTEMPT), seen_pod(pod)) for pod in held]
    last = max((attempt for attempt, _ in numbered), default=0)
    pods = [pod for attempt, pod in numbered if attempt == last]
    return last, sorted(pods, key=lambda pod: (pod.index, pod.created))


def _without_pods(run: dict[str, Any], name: str, step: str) -> str:
    row = next((row for row in status_of(run).stages if row.name == step), None)
    state = row.state if row else "Pending"
    told = f": {row.message}" if row and row.message else ""
    reused = "; its artifact was there already, so it needed none" if row and row.cache and row.cache.hit else ""
    return f"{name} has no pods of {step}, which is {state}{reused}{told}"


def _step(named: str, known: tuple[str, ...]) -> str:
    if named not in known:
        raise InvalidRunError(f"{named}: no such stage; there are {', '.join(known)}")
    return named


def _show(rows: Any, table: Any, *, as_json: bool) -> None:  # noqa: ANN401 - rows and what is drawn of them
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        out.print(table, highlight=False)


def _say(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True, markup=False)
