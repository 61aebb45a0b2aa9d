"""A run's conditions and its phase: what is so, since when, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from dto_operator.standing import shortened
from dto_operator.status import CONDITIONS, Condition, Phase, StageStatus


@dataclass(frozen=True)
class Fact:
    """What is so, or is not, and why."""

    true: bool
    reason: str
    message: str = ""


def phase(rows: Sequence[StageStatus], *, suspended: bool) -> Phase:
    """Return the run in one word, derived from how its steps stand."""
    states = {row.state for row in rows}
    if "Failed" in states:
        return "Failed"
    if states == {"Succeeded"}:
        return "Succeeded"
    if "Running" in states:
        return "Running"
    if "Queued" in states:
        return "Queued"
    if suspended:
        return "Suspended"
    return "Running" if any(row.attempts.total for row in rows) else "Pending"


def facts(rows: Sequence[StageStatus], *, suspended: bool) -> dict[str, Fact]:
    """Return what is so of a run that was accepted."""
    now = phase(rows, suspended=suspended)
    at_work = [row for row in rows if row.state in {"Running", "Queued"}]
    failed = next((row for row in rows if row.state == "Failed"), None)
    return {
        "Accepted": Fact(true=True, reason="Accepted", message="the run can be run here"),
        "Progressing": _progressing(now, rows, at_work),
        "Suspended": _suspended(now, at_work, suspended=suspended),
        "Complete": Fact(now == "Succeeded", *_complete(now)),
        "Failed": _failed(failed),
    }


def _progressing(now: Phase, rows: Sequence[StageStatus], at_work: Sequence[StageStatus]) -> Fact:
    if now in {"Succeeded", "Failed", "Suspended"}:
        reason = {"Succeeded": "Complete", "Failed": "Failed", "Suspended": "Suspended"}[now]
        return Fact(true=False, reason=reason)
    held = next((row for row in at_work if row.reason), None)
    if held is not None:
        return Fact(true=True, reason=held.reason or "", message=f"{held.name}: {held.message or held.reason}")
    if at_work:
        named = ", ".join(row.name for row in at_work)
        return Fact(true=True, reason="Queued" if now == "Queued" else "Working", message=f"at work: {named}")
    retried = next((row for row in rows if row.next_attempt_time is not None), None)
    if retried is not None:
        return Fact(true=True, reason="TriedAgain", message=f"{retried.name}: {retried.message or 'is tried again'}")
    # Between two steps, which is a moment: nothing that would be worth another write.
    return Fact(true=True, reason="Working", message="the next step starts")


def _suspended(now: Phase, at_work: Sequence[StageStatus], *, suspended: bool) -> Fact:
    if now == "Suspended":
        return Fact(true=True, reason="Suspended", message="by spec.suspend; set it to false to go on")
    if suspended and at_work:
        return Fact(true=False, reason="Suspending", message="pods commit what they have and end")
    if now == "Queued":
        return Fact(true=True, reason="Queued", message="its Job waits until the queue lets it start")
    return Fact(true=False, reason="NotSuspended")


def _complete(now: Phase) -> tuple[str, str]:
    return ("Complete", "every stage is done") if now == "Succeeded" else ("NotComplete", "")


def _failed(failed: StageStatus | None) -> Fact:
    if failed is None:
        return Fact(true=False, reason="NotFailed")
    return Fact(true=True, reason=failed.reason or "Failed", message=f"{failed.name}: {failed.message or 'failed'}")


def conditions(
    before: Sequence[Condition], now_so: Mapping[str, Fact], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Return the conditions, in their order; since when one is so stays as it was while it stays so."""
    had = {condition.type: condition for condition in before}
    return tuple(
        _condition(kind, had.get(kind), now_so[kind], generation, now) for kind in CONDITIONS if kind in now_so
    )


def _condition(kind: str, had: Condition | None, fact: Fact, generation: int, now: datetime) -> Condition:
    status: Literal["True", "False"] = "True" if fact.true else "False"
    since = had.last_transition_time if had and had.status == status else now.replace(microsecond=0)
    return Condition(
        type=kind,
        status=status,
        observed_generation=generation,
        last_transition_time=since,
        reason=fact.reason,
        message=shortened(fact.message),
    )


def is_true(held: Sequence[Condition], kind: str) -> bool:
    """Tell whether a condition is there and true."""
    return any(condition.type == kind and condition.status == "True" for condition in held)


def since(held: Sequence[Condition], kind: str) -> datetime | None:
    """Return since when a condition has been so; None where it is not true."""
    found = (one.last_transition_time for one in held if one.type == kind and one.status == "True")
    return next(found, None)
