"""A run's results in the terminal: what changed, how sure that is, what it cost."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dto_jobs.cli.amounts import amount
from dto_jobs.core.interval import Interval
from dto_jobs.core.results import CostResults, EvaluationResults, ExitResults, GateResults, Regime, Results, Slice


def summary(results: Results) -> Group:
    """Return what came of a run, as far as it went."""
    parts: list[RenderableType] = []
    if results.rollout is not None:
        found = results.rollout
        parts.append(
            Text(
                f"rollout: {found.responses:,} responses to {found.problems:,} problems, "
                f"{_percent(found.accuracy)} right, {_number(found.tokens)} tokens each"
            )
        )
    if results.exits is not None:
        parts.append(_exits(results.exits))
    if results.regimes is not None:
        parts.append(_regime("traces that were right, compressed", results.regimes.right))
        parts.append(_regime("traces that were wrong, rescued", results.regimes.wrong))
    if results.pairs is not None:
        kinds = ", ".join(f"{name} {kind.pairs:,}" for name, kind in results.pairs.kinds.items())
        parts.append(Text(f"pairs: {results.pairs.pairs:,} of {results.pairs.problems:,} problems ({kinds or 'none'})"))
    if results.evaluation is not None:
        parts.append(evaluation_table(results.evaluation))
    if results.cost is not None:
        parts.append(_cost(results.cost))
    if results.gate is not None:
        parts.append(_gate(results.gate))
    return Group(*parts)


def _exits(found: ExitResults) -> Text:
    share = 100 * found.with_exit / max(1, found.traces)
    return Text(
        f"exits: {found.with_exit:,} of {found.traces:,} traces could have stopped ({share:.0f} %), "
        f"after {found.kept:.1f} of {found.patterns:.1f} patterns on average; {found.first_half:,} of them in the first half"
    )


def _regime(name: str, regime: Regime) -> Text:
    if not regime.traces:
        return Text(f"{name}: none")
    line = f"{name}: {regime.optimized:,} of {regime.traces:,}"
    if regime.overall is not None:
        tokens, attention = regime.overall.tokens, regime.overall.attention_flops
        line += f"; tokens {_signed(tokens.change)}, attention FLOPs {_signed(attention.change)}"
    return Text(f"{line}; accuracy {100 * regime.accuracy_before:.1f} → {100 * regime.accuracy_after:.1f} %")


def evaluation_table(evaluation: EvaluationResults) -> Table:
    """Return base against tuned model, slice by slice, with 95 % intervals."""
    table = Table(
        title="base → tuned model (95 % intervals, clustered by problem)",
        title_justify="left",
        caption="η = (accuracy / base accuracy) / (tokens / base tokens); cut off: answers that reached the token limit",
        caption_justify="left",
    )
    for column in (
        "slice",
        "problems",
        "accuracy %",
        "Δ accuracy",
        "tokens",
        "Δ tokens",
        "η",
        "cut off %",
        "Δ FLOPs",
        "re-checks",
    ):
        table.add_column(column, justify="left" if column == "slice" else "right", no_wrap=column != "slice")
    for part in evaluation.slices:
        table.add_row(*_row(part))
    return table


def _row(part: Slice) -> tuple[str, ...]:
    base, tuned = part.base, part.tuned
    return (
        part.name,
        f"{part.problems:,}",
        f"{100 * base.accuracy.value:.1f} → {100 * tuned.accuracy.value:.1f}",
        _span(part.accuracy_difference, 100, "+.1f"),
        f"{base.tokens.value:.0f} → {tuned.tokens.value:.0f}",
        _span(part.token_change, 100, "+.0f") + " %",
        "–" if part.efficiency is None else f"{part.efficiency:.2f}",
        f"{100 * base.truncated:.1f} → {100 * tuned.truncated:.1f}",
        f"{100 * part.flops_change:+.0f} %",
        f"{base.rechecks:.2f} → {tuned.rechecks:.2f}",
    )


def _cost(cost: CostResults) -> Text:
    reused = [name for name, stage in cost.stages.items() if stage.reused]
    spent = cost.total
    text = f"cost: {amount(spent.flops)}FLOP, {spent.generated:,} tokens generated, {spent.seconds:.0f} s of engine and trainer"
    if reused:
        text += f" ({', '.join(reused)} reused from earlier runs)"
    if cost.break_even_answers is not None:
        text += f"; pays back after {cost.break_even_answers:,.0f} answers"
    elif cost.saved_flops_per_answer is not None:
        text += "; saves nothing per answer, so it does not pay back"
    return Text(text)


def _gate(gate: GateResults) -> Text:
    style = "green" if gate.accepted else "red"
    text = Text(f"gate: {'accepted' if gate.accepted else 'NOT accepted'}", style=style)
    for check in gate.checks:
        text.append(
            f"\n  {check.verdict}: {check.message}", style="green" if check.passed and check.judged else "yellow"
        )
    return text


def _span(interval: Interval, scale: float, form: str) -> str:
    value = format(scale * interval.value, form)
    if interval.low is None or interval.high is None:
        return value
    return f"{value} [{format(scale * interval.low, form)}, {format(scale * interval.high, form)}]"


def _signed(interval: Interval | None) -> str:
    return "–" if interval is None else f"{100 * interval.value:+.0f} %"


def _percent(interval: Interval | None) -> str:
    return "–" if interval is None else f"{100 * interval.value:.1f} %"


def _number(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval.value:,.0f}"
