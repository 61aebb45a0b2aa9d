"""What a run came to, as its last step said it, in the room that a status has."""

from typing import Any

from pydantic import ValidationError

from dto_jobs.core.results import STATUS_BYTES, GateResults, Results
from dto_operator.conditions import Fact
from dto_operator.status import Status, Summary


def results_of(said: dict[str, Any] | None) -> Results | None:
    """Return the results that last words carried; None where they had no room, or are of another version."""
    try:
        return Results.model_validate(said) if said is not None else None
    except ValidationError:
        return None


def summary_of(results: Results) -> Summary | None:
    """Return the results in a few words: in the domain of the training problems, where there is one."""
    evaluation = results.evaluation
    if evaluation is None:
        return None
    part = evaluation.all_of("in") or evaluation.overall
    return Summary(
        tokens_saved=f"{-100 * part.token_change.value:.0f} %",
        flops_saved=f"{-100 * part.flops_change:.0f} %",
        accuracy_change=f"{100 * part.accuracy_difference.value:+.1f}",
    )


def gate_of(gate: GateResults) -> Fact:
    """Return whether the tuned model is accepted, and which checks it missed."""
    missed = [check.message for check in gate.checks if check.judged and not check.passed]
    unjudged = [check.name for check in gate.not_judged]
    words = "; ".join(missed) or ("every check passed" if gate.accepted else "a check was missed")
    left = f" (not judged: {', '.join(unjudged)})" if unjudged else ""
    return Fact(gate.accepted, "Accepted" if gate.accepted else "Refused", words + left)


def fitted(status: Status) -> Status:
    """Return the status in the room that it has: results give way first, then the messages of steps."""
    if _size(status) <= STATUS_BYTES or status.results is None:
        return status
    room = STATUS_BYTES - _size(status.model_copy(update={"results": None}))
    smaller = status.model_copy(update={"results": status.results.within(max(0, room))})
    return smaller if _size(smaller) <= STATUS_BYTES else status.model_copy(update={"results": None})


def _size(status: Status) -> int:
    return len(status.model_dump_json(by_alias=True, exclude_none=True).encode())
