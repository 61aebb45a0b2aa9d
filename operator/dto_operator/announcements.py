"""Which Events are written about a run: one at each turn that a person would want to hear of, and no other."""

from collections.abc import Iterator

from dto_operator.conditions import is_true
from dto_operator.orders import Say
from dto_operator.status import Condition, StageStatus, Status


def announcements(before: Status, after: Status) -> Iterator[Say]:
    """Yield what is to be said, now that a run stands another way than before."""
    had, has = _by_type(before), _by_type(after)
    if _turned(had, has, "Accepted", "True"):
        yield Say("Normal", "Accepted", "the run is accepted; its preflight starts")
    if _turned(had, has, "Accepted", "False"):
        yield Say("Warning", "Refused", has["Accepted"].message)
    rows = {row.name: row for row in before.stages}
    for row in after.stages:
        yield from _of_step(rows.get(row.name), row)
    if _turned(had, has, "Complete", "True"):
        yield Say("Normal", "Complete", _outcome(after))
    if _turned(had, has, "Failed", "True") and is_true(after.conditions, "Accepted"):
        yield Say("Warning", "Failed", has["Failed"].message)


def _of_step(before: StageStatus | None, after: StageStatus) -> Iterator[Say]:
    if after.state == "Failed" and (before is None or before.state != "Failed"):
        yield Say("Warning", "StageFailed", f"{after.name}: {after.reason}: {after.message}")
    again = after.next_attempt_time
    if again is not None and (before is None or before.next_attempt_time != again):
        when = f"{again:%H:%M:%S} UTC"
        yield Say("Warning", "StageRetried", f"{after.name}: {after.reason}: {after.message}; tried again at {when}")


def _outcome(status: Status) -> str:
    found = status.summary
    if found is None:
        return "every stage is done"
    return f"every stage is done: {found.tokens_saved} of tokens saved, accuracy {found.accuracy_change} points"


def _by_type(status: Status) -> dict[str, Condition]:
    return {condition.type: condition for condition in status.conditions}


def _turned(had: dict[str, Condition], has: dict[str, Condition], kind: str, status: str) -> bool:
    was = had[kind].status if kind in had else None
    return kind in has and has[kind].status == status and was != status
