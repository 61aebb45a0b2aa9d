"""`dto inspect`: one trace in the terminal, pattern by pattern."""

from collections.abc import Iterator

from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from dto_jobs.artifacts.attempts import latest
from dto_jobs.artifacts.store import Store
from dto_jobs.cli.lines import KIND_STYLES
from dto_jobs.core.records import EndedTrace, PrunedTrace, SearchedTrace
from dto_jobs.errors import InputError


def found_traces(store: Store, run: str, problem: str) -> list[PrunedTrace]:
    """Return the traces of a problem (or the one named), as far as the run has come with them."""
    traces = [trace for trace in _traces(store, run) if problem in {_id(trace), trace.ended.trace.response.problem.id}]
    if traces:
        return traces
    some = []
    for trace in _traces(store, run):
        some.append(trace.ended.trace.response.problem.id)
        if len(some) == 8:
            break
    raise InputError(
        f"the run {run} has no traces of {problem!r}; it has, for example, {', '.join(dict.fromkeys(some)) or 'none yet'}"
    )


def _id(trace: PrunedTrace) -> str:
    return trace.ended.trace.response.id


def _traces(store: Store, run: str) -> Iterator[PrunedTrace]:
    if (pruned := latest(store, run, "pruning")) is not None:
        yield from pruned.records(PrunedTrace)
    elif (ended := latest(store, run, "endings")) is not None:
        yield from (PrunedTrace(ended=trace) for trace in ended.records(EndedTrace))
    elif (searched := latest(store, run, "exits")) is not None:
        yield from (
            PrunedTrace(ended=EndedTrace(trace=trace, ending=None)) for trace in searched.records(SearchedTrace)
        )
    else:
        raise InputError(f"the run {run} has not found exits yet; run it with: dto run FILE --until exits")


def show(traces: list[PrunedTrace], out: Console) -> None:
    """Print traces, model text as plain text."""
    for trace in traces:
        out.print(Panel(_body(trace), title=Text(_title(trace)), title_align="left"))


def _title(trace: PrunedTrace) -> str:
    response = trace.ended.trace.response
    verdict = "right" if response.correct else "wrong" if response.finished else "cut"
    return f"{response.id} · {verdict}: {response.answer or 'no answer'} (gold {response.problem.answer}) · {response.tokens} tokens"


def _body(trace: PrunedTrace) -> Group:
    searched = trace.ended.trace
    dropped = {drop.pattern: drop.reason for drop in trace.dropped}
    lines: list[Text] = [Text(searched.response.problem.question, style="bold")]
    for index, pattern in enumerate(searched.patterns):
        style = KIND_STYLES.get(pattern.kind, "")
        behind = searched.exit is not None and index >= searched.exit
        line = Text(f"{index:>3} {pattern.kind:<11} {_rate(searched, index):>11} │ ", style="dim")
        text_style = f"{style} strike dim" if index in dropped else f"{style} dim" if behind else style
        line.append(" ".join(pattern.text.split()), style=text_style)
        lines.append(line)
        if index in dropped:
            lines.append(Text(f"{'':>28} ✂ dropped: {dropped[index]}", style="dim italic"))
        if searched.exit == index + 1:
            lines.append(Text(f"{'':>28} ▲ earliest sufficient exit", style="bold green"))
    return Group(*lines, *_after(trace))


def _rate(searched: SearchedTrace, index: int) -> str:
    if index >= len(searched.boundaries):
        return ""
    seen = searched.boundaries[index]
    return f"p={seen.rate:.2f} {seen.hits}/{seen.hits + seen.misses}"


def _after(trace: PrunedTrace) -> list[Text]:
    before = trace.ended.trace.response.tokens
    if trace.text is None:
        why = "no boundary passed" if trace.ended.trace.exit is None else "no correct ending from the exit"
        return [Text(f"no optimized trajectory: {why}", style="bold red")]
    head = Text(
        f"after: {trace.tokens} tokens ({100 * (trace.tokens / max(1, before) - 1):+.0f} %)", style="bold green"
    )
    return [head, Text(trace.text)]
