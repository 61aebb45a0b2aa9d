"""`dto discard`: what a run has in the store is removed, or what of it only led to its results."""

import json
from typing import Annotated

import typer
from rich.console import Console

from dto_jobs.artifacts.store import Store
from dto_jobs.cli.options import Json, StoreAddress
from dto_jobs.errors import InputError

Intermediates = Annotated[
    bool,
    typer.Option(
        "--intermediates",
        help="Remove only what led to the results (answers, traces, pairs); model, results, report and receipts stay.",
    ),
]


def discard(
    name: Annotated[
        str | None,
        typer.Argument(help="Name of the run; its uid where a cluster ran it (default: $DTO_RUN_UID).", metavar="RUN"),
    ] = None,
    store: StoreAddress = None,
    *,
    intermediates: Intermediates = False,
    as_json: Json = False,
) -> None:
    """Remove what a run has in the store. Nothing that another run uses is touched; the same command goes on where one stopped."""
    from dto_jobs.cli.staging import ending, say, stage_options  # noqa: PLC0415 - keeps `dto --help` quick

    options = stage_options(store, None, None, None)
    run = name or options.around.run_uid
    if not run or "/" in run or run.startswith("."):
        raise InputError(f"{run!r} is no run: name one (dto runs lists them), or set $DTO_RUN_UID")
    last = options.last_words("discard")
    with ending(last):
        last.told(run=run)
        opened = options.opened()
        counts, words = removed(opened, run, intermediates=intermediates)
        last.write(state="done", exit_code=0, message=words, counts=counts)
    if as_json:
        typer.echo(json.dumps({"run": run, **counts}))
    else:
        say(Console(), f"{run} in {opened.address}: {words}")


def removed(store: Store, run: str, *, intermediates: bool) -> tuple[dict[str, int], str]:
    """Remove a run's belongings while nobody else is at it; return counts, and what was done in words."""
    from dto_jobs.artifacts.disposal import Belongings  # noqa: PLC0415 - keeps `dto --help` quick

    with store.claim(f"runs/{run}"):
        belongings = Belongings(store, run)
        done = belongings.discard_intermediates() if intermediates else belongings.discard()
    return {"objects": done.objects, "bytes": done.bytes, "kept": len(done.kept)}, done.words()
