"""How a run looks while it works: bars in a terminal, a calm line now and then elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from dto_jobs.artifacts.artifact import Receipt
from dto_jobs.cli.amounts import amount
from dto_jobs.core.cost import Spend

QUIET_SECONDS = 15.0


def spent(spend: Spend) -> str:
    """Return what a stage took, in words."""
    tokens = f"{amount(spend.generated)} tokens, " if spend.generated else ""
    return f"{tokens}{amount(spend.flops)}FLOP, {spend.seconds:.0f} s"


class TerminalProgress:
    """A bar per stage: done of total, tokens per second, time left."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, tuple[TaskID, float]] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._bars.stop()

    def started(self, stage: str, total: int | None, done: int) -> None:
        """Show a new bar."""
        self._tasks[stage] = (self._bars.add_task(stage, total=total, completed=done, rate=""), monotonic())

    def advanced(self, stage: str, done: int, spend: Spend) -> None:
        """Move the bar."""
        task, start = self._tasks[stage]
        rate = f"{amount(spend.generated / max(0.1, monotonic() - start))} tokens/s" if spend.generated else ""
        self._bars.update(task, completed=done, rate=rate)

    def committed(self, stage: str) -> None:
        """Show nothing: the bar has moved."""

    def noted(self, stage: str, figures: dict[str, float]) -> None:
        """Show the trainer's step and loss."""
        task, _ = self._tasks[stage]
        steps, step = figures.get("steps"), figures.get("step")
        loss = f"loss {figures['loss']:.3f}" if "loss" in figures else ""
        self._bars.update(task, total=steps, completed=step, rate=loss)

    def finished(self, stage: str, receipt: Receipt, *, reused: bool) -> None:
        """Put a line in place of the bar."""
        if stage in self._tasks:
            self._bars.remove_task(self._tasks.pop(stage)[0])
        self._bars.console.print(line(stage, receipt, reused=reused), highlight=False)


@dataclass
class CalmProgress:
    """A line when a stage starts and ends, and every quarter of a minute between."""

    say: Callable[[str], None]
    _last: float = field(default_factory=monotonic)
    _totals: dict[str, tuple[int | None, float]] = field(default_factory=dict)

    def started(self, stage: str, total: int | None, done: int) -> None:
        """Say that a stage works."""
        self._totals[stage] = (total, monotonic())
        self._last = monotonic()
        self.say(f"  {stage:<10} started" + (f", {done} of {total} done before" if done else ""))

    def advanced(self, stage: str, done: int, spend: Spend) -> None:
        """Say how far it is, if it has been quiet for long."""
        if self._quiet():
            total, start = self._totals[stage]
            self.say(
                f"  {stage:<10} {done}/{total} · {amount(spend.generated / max(0.1, monotonic() - start))} tokens/s"
            )

    def committed(self, stage: str) -> None:
        """Say nothing."""

    def noted(self, stage: str, figures: dict[str, float]) -> None:
        """Say where the trainer is, if it has been quiet for long."""
        if self._quiet():
            step, steps, loss = (figures.get(name, float("nan")) for name in ("step", "steps", "loss"))
            self.say(f"  {stage:<10} step {step:.0f}/{steps:.0f} · loss {loss:.3f}")

    def finished(self, stage: str, receipt: Receipt, *, reused: bool) -> None:
        """Say what came of it."""
        self.say(line(stage, receipt, reused=reused))

    def _quiet(self) -> bool:
        if monotonic() - self._last < QUIET_SECONDS:
            return False
        self._last = monotonic()
        return True


def line(stage: str, receipt: Receipt, *, reused: bool) -> str:
    """Return one line about a finished stage."""
    how = f"reused, saving {spent(receipt.spend)}" if reused else spent(receipt.spend)
    return f"✓ {stage:<10} {receipt.records:>7,} records · {how}"
