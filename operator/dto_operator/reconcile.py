"""What follows from what is seen of a run: a pure function, and the story of a run from first to last.

The status is the memory of steps that are done; everything else is judged from Jobs and pods. Status never speaks of what is
about to be created, so the same question always has the same answer, and a lost answer does no harm.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from dto_operator.acceptance import refusals
from dto_operator.announcements import announcements
from dto_operator.attempts import Diagnose
from dto_operator.conclusion import fitted
from dto_operator.conditions import Fact, conditions, is_true, since
from dto_operator.decision import Decision
from dto_operator.diagnosis import diagnose
from dto_operator.farewell import farewell, guard
from dto_operator.observation import Observed
from dto_operator.orders import DeleteRun, Order
from dto_operator.settings import OperatorSettings
from dto_operator.status import CONDITIONS, Status
from dto_operator.story import Story, asked_anew, removals, strays


def reconcile(observed: Observed, now: datetime, settings: OperatorSettings, diagnose: Diagnose = diagnose) -> Decision:
    """Return what to do about a run, what to say about it, and when to look again."""
    if observed.identity.managed_by is not None:
        return Decision()
    if observed.identity.deleting:
        return farewell(observed, now, settings, diagnose)
    held = guard(observed)
    if _finished(observed.status) and not asked_anew(observed):
        return _rest(observed, now) if held is None else Decision((held,), look_again=0.0)
    refused = _refused(observed, settings)
    if refused is not None or observed.run is None:
        return _refuse(observed, refused or Fact(true=False, reason="InvalidSpec"), now)
    if held is not None:
        # Before anything is written to the bucket.
        return Decision((held,), look_again=0.0)
    story = Story(observed, observed.run, now, diagnose)
    story.tell()
    status = fitted(story.status())
    return _decided(observed, status, story.orders, story.waits)


def _decided(observed: Observed, status: Status, orders: Iterable[Order], waits: Iterable[float]) -> Decision:
    own = tuple(condition for condition in observed.status.conditions if condition.type in CONDITIONS)
    before = observed.status.model_copy(update={"conditions": own})
    said = announcements(before, status)
    return Decision(
        orders=(*orders, *said), status=status if status != before else None, look_again=min(waits, default=None)
    )


def _finished(status: Status) -> bool:
    held = status.conditions
    return is_true(held, "Accepted") and (is_true(held, "Complete") or is_true(held, "Failed"))


def _rest(observed: Observed, now: datetime) -> Decision:
    """Leave a finished run as it is, until its time to live is over."""
    rows = {str(row.name): row for row in observed.status.stages}
    orders: list[Order] = list(removals(strays(observed.jobs, rows)))
    spec = observed.run.spec if observed.run else None
    status = None
    if spec and spec.rerun_from is None and observed.status.rerun_from is not None:
        # Forgotten, so that the same stage can be asked for again.
        status = observed.status.model_copy(update={"rerun_from": None})
    ended = since(observed.status.conditions, "Complete") or since(observed.status.conditions, "Failed")
    if spec is None or spec.ttl_seconds_after_finished is None or ended is None:
        return Decision(tuple(orders), status)
    left = (ended + timedelta(seconds=spec.ttl_seconds_after_finished) - now).total_seconds()
    if left <= 0:
        return Decision((*orders, DeleteRun()), status)
    return Decision(tuple(orders), status, look_again=left)


def _refused(observed: Observed, settings: OperatorSettings) -> Fact | None:
    """Return why a run cannot be run here. One that was accepted before stays so, whatever the operator is told since."""
    if observed.invalid is not None:
        path = observed.invalid.path
        return Fact(true=False, reason="InvalidSpec", message=f"{path} is wrong; {observed.invalid.message}")
    if observed.run is None or observed.jobs or any(row.attempts.total for row in observed.status.stages):
        return None
    found = refusals(observed.run, settings)
    if not found:
        return None
    return Fact(true=False, reason="NotPossibleHere", message="\n".join(f"{path}: {text}" for path, text in found))


def _refuse(observed: Observed, why: Fact, now: datetime) -> Decision:
    so = {
        "Accepted": why,
        "Progressing": Fact(true=False, reason=why.reason),
        "Complete": Fact(true=False, reason="NotComplete"),
        "Failed": Fact(true=True, reason=why.reason, message=why.message),
    }
    generation = observed.identity.generation
    status = observed.status.model_copy(
        update={
            "observed_generation": generation,
            "phase": "Failed",
            "conditions": conditions(observed.status.conditions, so, generation, now),
        }
    )
    return _decided(observed, status, (), ())
