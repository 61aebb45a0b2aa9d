"""What the plugin shows of runs: rows for machines, tables for people, both from what the API server holds."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from dto_jobs.cli.amounts import amount
from dto_operator.plugin.artifact_access import address_of
from dto_operator.status import Condition, StageStatus, Status
from dto_operator.stored_run import group, identity, status_of

Row = dict[str, Any]
Held = Mapping[str, Any]
STYLES = {"Succeeded": "green", "Failed": "red", "Running": "blue", "Queued": "yellow", "Suspended": "yellow"}
TOKENS = ("promptComputed", "promptCached", "generated", "trained", "judgeTokens")
"""Kinds of tokens among a stage's figures."""


def listed(runs: Iterable[Held]) -> list[Row]:
    """Return runs in a line each."""
    return [_summary(run) for run in runs]


def _summary(run: Held) -> Row:
    status = status_of(run)
    said = status.summary
    return {
        "name": identity(run).name,
        "phase": status.phase or "Pending",
        "stage": status.stage,
        "progress": status.progress,
        "tokensSaved": said.tokens_saved if said else None,
        "accuracyChange": said.accuracy_change if said else None,
    }


def list_table(rows: list[Row]) -> Table:
    """Return runs as a table."""
    return _table(("run", "phase", "stage", "progress", "tokens saved", "accuracy Δ"), map(_values, rows))


def stood(run: Held) -> Row:
    """Return how a run stands: its phase, what keeps it, its stages."""
    status = status_of(run)
    return {
        **_summary(run),
        "conditions": [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in status.conditions],
        "stages": [row.model_dump(mode="json", by_alias=True, exclude_none=True) for row in status.stages],
        "results": status.results.model_dump(mode="json", by_alias=True, exclude_none=True) if status.results else None,
    }


def status_table(run: Held) -> Group:
    """Return how a run stands as a table, and below it what a person should know."""
    status, name = status_of(run), identity(run).name
    rows = (
        (row.name, row.state, _progress(row), str(row.attempts.total or ""), _reused(row), row.reason or "")
        for row in status.stages
    )
    table = _table(("stage", "state", "progress", "attempts", "artifact", "reason"), rows)
    table.title, table.title_justify = f"{name}: {status.phase or 'Pending'}", "left"
    return Group(table, *(Text(line) for line in _remarks(status)))


def _remarks(status: Status) -> Iterable[str]:
    """Yield what keeps the run from going on, and what came of it."""
    for row in status.stages:
        if row.message and row.state != "Succeeded":
            yield f"{row.name}: {row.message}"
    for kind, wanted in (("Accepted", "False"), ("GatePassed", "True"), ("GatePassed", "False")):
        found = _condition(status.conditions, kind)
        if found and found.status == wanted and found.message:
            yield f"{kind} {wanted}: {found.message}"
    if status.summary:
        said = status.summary
        yield f"tokens saved {said.tokens_saved}, FLOPs saved {said.flops_saved}, accuracy {said.accuracy_change} points"


def _condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    return next((one for one in conditions if one.type == kind), None)


def _progress(row: StageStatus) -> str:
    return f"{row.progress.done:,}/{row.progress.total:,}" if row.progress else ""


def _reused(row: StageStatus) -> str:
    if row.cache and row.cache.hit:
        return "reused"
    return f"{amount(row.artifact.bytes)}B" if row.artifact else ""


def spent(run: Held) -> Row:
    """Return what a run took, by stage and in all, and after how many answers it has paid for itself.

    Counted are the attempts that left last words; a stage whose artifact was there took nothing.
    """
    status = status_of(run)
    stages = [_spent(row) for row in status.stages if row.figures or (row.cache and row.cache.hit)]
    keys = [key for key in _NOTHING if key != "reused"]
    cost = status.results.cost if status.results else None
    return {
        "name": identity(run).name,
        "stages": stages,
        "total": {key: sum(stage[key] for stage in stages) for key in keys},
        "savedFlopsPerAnswer": cost.saved_flops_per_answer if cost else None,
        "breakEvenAnswers": cost.break_even_answers if cost else None,
    }


_NOTHING: Row = {**dict.fromkeys(TOKENS, 0), "flops": 0.0, "seconds": 0.0, "gpuSeconds": 0.0, "reused": False}


def _spent(row: StageStatus) -> Row:
    figures = row.figures
    return {
        "stage": row.name,
        **{kind: int(figures.get(kind, 0)) for kind in TOKENS},
        "flops": figures.get("denseFlops", 0.0) + figures.get("attentionFlops", 0.0),
        "seconds": figures.get("seconds", 0.0),
        "gpuSeconds": figures.get("gpuSeconds", 0.0),
        "reused": bool(row.cache and row.cache.hit),
    }


def cost_table(cost: Row) -> Group:
    """Return what a run took as a table."""
    heads = ("stage", "read", "from cache", "generated", "trained on", "judge", "FLOPs", "GPU-seconds", "")
    rows = [(row["stage"], *_cost_cells(row), "reused" if row["reused"] else "") for row in cost["stages"]]
    table = _table(heads, [*rows, ("all", *_cost_cells(cost["total"]), "")])
    table.caption, table.caption_justify = "tokens by kind; counted by the attempts that left last words", "left"
    answers, saved = cost["breakEvenAnswers"], cost["savedFlopsPerAnswer"]
    if answers is not None:
        said = f"saves {amount(saved or 0)}FLOP per answer and has paid for itself after {answers:,.0f} answers"
    elif saved is not None:
        said = "saves nothing per answer, so it does not pay back"
    else:
        said = "no evaluation yet, so nothing can be said of when it has paid for itself"
    return Group(table, Text(said))


def _cost_cells(row: Row) -> tuple[str, ...]:
    return (*(f"{row[kind]:,}" for kind in TOKENS), amount(row["flops"]), f"{row['gpuSeconds']:,.0f}")


def made(run: Held) -> list[Row]:
    """Return where each artifact of a run lies."""
    return [
        {
            "stage": row.name,
            "uri": address_of(run, row.artifact.uri),
            "sha256": row.artifact.sha256,
            "bytes": row.artifact.bytes,
            "reused": bool(row.cache and row.cache.hit),
        }
        for row in status_of(run).stages
        if row.artifact
    ]


def artifacts_table(run: Held, rows: list[Row]) -> Group:
    """Return where artifacts lie as a table."""
    cells = ((row["stage"], row["uri"], f"{amount(row['bytes'])}B", row["sha256"][:12]) for row in rows)
    table = _table(("stage", "place", "size", "sha256"), cells)
    endpoint = group(run, "spec", "artifacts").get("endpoint")
    named = group(run, "spec", "artifacts").get("bucket")
    where = f"at {endpoint}" if endpoint else "at the operator's endpoint" if named else "in the operator's own store"
    return Group(table, Text(where))


def _values(row: Row) -> tuple[str, ...]:
    return tuple("" if value is None else str(value) for value in row.values())


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(*heads)
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    return table
