"""The story of a run that was accepted and is not finished: its steps judged first to last, then what is ready is started."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from dto_jobs.plan import ready
from dto_jobs.resource import STAGE_NAMES, DTORun
from dto_jobs.termination import Termination
from dto_operator import names, standing
from dto_operator.attempts import (
    GONE,
    STOPPED,
    Alive,
    Attempt,
    Awaited,
    Diagnose,
    Done,
    Ended,
    Outcome,
    Untold,
    attempt,
    ending,
    outcome,
)
from dto_operator.conclusion import gate_of, results_of, summary_of
from dto_operator.conditions import conditions, facts, phase
from dto_operator.observation import Observed, SeenJob, Why
from dto_operator.orders import Order, Remove, Start
from dto_operator.retries import LONGEST_WAIT, remaining
from dto_operator.standing import LIVE
from dto_operator.status import StageStatus, Status
from dto_operator.steps import Step, steps

NOT_YET = Ended("nobody", "NotYet", "what it needs is made anew first")
SUSPENDING = Why("Suspending", "spec.suspend: its pods commit what they have and end")


def removals(jobs: Iterable[SeenJob]) -> Iterator[Remove]:
    """Yield the removal of each Job that still works and is not being removed yet."""
    for job in jobs:
        if not job.over and not job.deleting:
            yield Remove(job.name, job.uid)


def strays(jobs: Iterable[SeenJob], rows: Mapping[str, StageStatus]) -> Iterator[SeenJob]:
    """Yield Jobs whose attempt is judged already, or that belong to no step: nothing waits for them any more.

    The Job of a step that is done is none: its pods have ended, and it is about to say so.
    """
    for job in jobs:
        row = rows.get(job.step)
        current = row is not None and job.attempt == row.attempts.total and row.state in {*LIVE, "Succeeded"}
        if not current:
            yield job


def asked_anew(observed: Observed) -> bool:
    """Tell whether a person asks to make a stage anew, and was not heard yet."""
    asked = observed.run.spec.rerun_from if observed.run else None
    return asked is not None and asked != observed.status.rerun_from


class Story:
    """One look at a run: judges, and notes what to do and when to look again. Nothing outside of it changes."""

    def __init__(self, observed: Observed, run: DTORun, now: datetime, diagnose: Diagnose) -> None:
        self.orders: list[Order] = []
        self.waits: list[float] = []
        self._observed = observed
        self._spec = run.spec
        self._now = now
        self._diagnose = diagnose
        self._steps = steps(run.spec)
        self._before = observed.status
        held = {str(row.name): row for row in observed.status.stages}
        self._rows = {step.name: held.get(step.name) or standing.waiting(step.name) for step in self._steps}
        self._busy: set[str] = set()
        self._changes: dict[str, object] = {}
        """Fields of the status that change with a step's end."""

    def tell(self) -> None:
        """Go through the run from first to last."""
        anew = asked_anew(self._observed)
        if anew:
            # Nothing starts before it is written that this was heard: what starts now would look like what is taken back.
            self._begin_anew()
            self.waits.append(0.0)
        for step in self._steps:
            self._judge(step)
        if self._failed() is None and not self._spec.suspend and not anew:
            self._start_what_is_ready()
        failed = self._failed()
        if failed is not None:
            self._stop_the_others(failed)
        self._clear()

    def _clear(self) -> None:
        """Remove what works on for an attempt that is judged, once that is written: what it was judged by goes with it."""
        judged = list(strays(self._observed.jobs, self._rows))
        written = {str(row.name): row for row in self._before.stages}
        removed = list(removals(job for job in strays(judged, written) if _noted(job, written)))
        self.orders[:0] = removed
        if len(removed) < len(list(removals(judged))):
            self.waits.append(0.0)

    def status(self) -> Status:
        """Return how the run stands."""
        rows, suspended = tuple(self._rows.values()), self._spec.suspend
        telling = [row for row in rows if not _left_over(row)]
        generation = self._observed.identity.generation
        so = facts(telling, suspended=suspended)
        changed = self._before.model_copy(update=self._changes)
        if changed.results is not None and changed.results.gate is not None:
            so["GatePassed"] = gate_of(changed.results.gate)
        shown = _shown(telling)
        amount = shown.progress if shown else None
        return changed.model_copy(
            update={
                "observed_generation": generation,
                "phase": phase(telling, suspended=suspended),
                "stage": shown.name if shown else None,
                "progress": f"{amount.done}/{amount.total}" if amount else None,
                "conditions": conditions(self._before.conditions, so, generation, self._now),
                "rerun_from": self._rerun_from(),
                "stages": rows,
            }
        )

    # Before all else

    def _begin_anew(self) -> None:
        """Take back the preflight, and the stage that was asked for with all after it."""
        first = STAGE_NAMES.index(str(self._spec.rerun_from))
        again = {*names.AROUND, *STAGE_NAMES[first:]}
        for name in again & set(self._rows):
            row = self._rows[name]
            seen = [job.attempt for job in self._observed.jobs if job.step == name]
            attempts = row.attempts.model_copy(
                update={"total": max([row.attempts.total, *seen]), "counted": 0, "infrastructure": 0}
            )
            self._rows[name] = standing.anew(row, attempts)
        self._changes.update(plan=None, image=None, results=None, summary=None)

    def _rerun_from(self) -> str | None:
        """Return from where the plan was made anew; forgotten once the run no longer asks, so that it can be asked again."""
        planned = self._rows[names.PREFLIGHT].state == "Succeeded"
        return self._spec.rerun_from or (None if planned else self._before.rerun_from)

    # What became of attempts

    def _judge(self, step: Step) -> None:
        """Judge the attempts of a step that were not judged yet: as a rule one, or none."""
        row = self._rows[step.name]
        if row.state in {"Succeeded", "Failed"}:
            return
        last = row.attempts.total
        unjudged = {last} if row.state in LIVE else set()
        unjudged |= {job.attempt for job in self._observed.jobs if job.step == step.name and job.attempt > last}
        for number in sorted(unjudged):
            tried = attempt(self._observed, step, number)
            self._take_in(step, tried, self._became(step, tried))
            if self._rows[step.name].state in {"Succeeded", "Failed"}:
                return

    def _became(self, step: Step, tried: Attempt) -> Outcome:
        """Return what became of an attempt, in the light of what the run has come to."""
        if self._belongs_to_another_plan(step, tried):
            return NOT_YET
        row, found = self._rows[step.name], outcome(tried, self._observed, self._now, self._diagnose)
        if isinstance(found, Alive):
            return standing.too_many_losses(row, step, found.job, self._observed) or found
        if isinstance(found, Untold) and row.job_name == self._job_name(step, tried.number, "collect"):
            found = GONE
        if isinstance(found, Ended) and self._spec.suspend and not found.final:
            return STOPPED
        return found

    def _belongs_to_another_plan(self, step: Step, tried: Attempt) -> bool:
        """Tell whether an attempt was on its way when a person asked to make things anew: it is seen only now."""
        if step.name == names.PREFLIGHT:
            return tried.make is not None and tried.make.rerun_from != self._rerun_from()
        return any(self._rows[need].state != "Succeeded" for need in step.needs)

    def _take_in(self, step: Step, tried: Attempt, became: Outcome) -> None:
        row, observed, now = self._rows[step.name], self._observed, self._now
        match became:
            case Alive():
                row = standing.live(row, tried, self._suspending(became), observed, now)
            case Awaited():
                self._busy.add(step.name)
                self.waits.append(became.seconds)
            case Untold():
                self._busy.add(step.name)
                row = standing.untold(row, tried)
                self._collect(step, tried.number)
            case Done():
                row = standing.done(row, tried, became, observed, now)
            case Ended():
                row = standing.ended(row, step, tried, became, observed, now)
        self._rows[step.name] = row
        if isinstance(became, Done):
            self._take_in_end(step, tried, became.words)

    def _suspending(self, going: Alive) -> Alive:
        """Return how an attempt goes on; one of a suspended run is removed."""
        if going.look_again is not None:
            self.waits.append(going.look_again)
        if not self._spec.suspend:
            return going
        self.orders += removals([going.job])
        return Alive(going.job, SUSPENDING)

    def _take_in_end(self, step: Step, tried: Attempt, words: Termination) -> None:
        if step.name == names.PREFLIGHT:
            image = tried.make.image if tried.make else None
            self._changes.update(plan=words.plan, image=image)
            at = self._rows[step.name].completion_time
            for name, row in self._rows.items():
                self._rows[name] = standing.planned(row, words, at)
        elif step.name == names.RESULTS:
            results = results_of(words.results)
            self._changes.update(results=results, summary=summary_of(results) if results else None)

    # What is started and stopped

    def _start_what_is_ready(self) -> None:
        done = [name for name, row in self._rows.items() if row.state == "Succeeded"]
        for step in ready(self._steps, done):
            row = self._rows[step.name]
            if row.state in LIVE or step.name in self._busy or not self._may_start(step, row):
                continue
            self._start(step, row.attempts.total + 1)

    def _may_start(self, step: Step, row: StageStatus) -> bool:
        """Tell whether the next attempt may start: the time has come, and nothing of an earlier one works any more."""
        wait = remaining(row.next_attempt_time, self._now, LONGEST_WAIT)
        if wait:
            self.waits.append(wait)
        # A plan is made when nobody works by another one any more.
        everything = step.name == names.PREFLIGHT
        working = any(not job.over for job in self._observed.jobs if everything or job.step == step.name)
        ends = ending(self._observed.orphans(None if everything else step.name), self._now)
        if ends:
            self.waits.append(ends)
        return not (wait or working or ends)

    def _start(self, step: Step, number: int, *, collect: bool = False) -> None:
        name = self._job_name(step, number, "collect" if collect else "make")
        taken = next((job for job in self._observed.strangers if job.name == name), None)
        if taken is not None:
            self._fail_for_name(step, taken)
            return
        first = step.name == names.PREFLIGHT
        self.orders.append(
            Start(
                step.name,
                number,
                "collect" if collect else "make",
                plan=None if first else self._now_held("plan"),
                image=None if first else self._now_held("image"),
                rerun_from=self._rerun_from() if first else None,
            )
        )

    def _collect(self, step: Step, number: int) -> None:
        if not self._spec.suspend:
            self._start(step, number, collect=True)

    def _now_held(self, field: str) -> str | None:
        found = self._changes.get(field, getattr(self._before, field))
        return None if found is None else str(found)

    def _job_name(self, step: Step, number: int, work: str) -> str:
        which = self._observed.identity
        return names.job_name(which.name, which.uid, step.name, number, work)

    def _fail_for_name(self, step: Step, taken: SeenJob) -> None:
        message = (
            f"the Job {taken.name} exists and belongs to something else; delete it, or start the run under another name"
        )
        tried = Attempt(step, self._rows[step.name].attempts.total, None, None)
        why = Ended("application", "NameTaken", message, final=True)
        self._rows[step.name] = standing.ended(self._rows[step.name], step, tried, why, self._observed, self._now)

    def _failed(self) -> str | None:
        return next((name for name, row in self._rows.items() if row.state == "Failed" and not _left_over(row)), None)

    def _stop_the_others(self, failed: str) -> None:
        self.orders = [order for order in self.orders if not isinstance(order, Start)]
        for name, row in self._rows.items():
            if row.state in LIVE:
                self._rows[name] = standing.stopped_by_failure(row, failed)


def _noted(job: SeenJob, written: Mapping[str, StageStatus]) -> bool:
    """Tell whether what became of a Job's attempt is written, so far as it matters."""
    row = written.get(job.step)
    return row is None or job.attempt <= row.attempts.total or row.state in {"Succeeded", "Failed"}


def _left_over(row: StageStatus) -> bool:
    """Tell whether intermediates could not be removed: they lie there, and the run came to what it was for."""
    return row.name == names.DISCARD and row.state == "Failed"


def _shown(rows: Iterable[StageStatus]) -> StageStatus | None:
    """Return the step that stands for the run: the one that failed, the first at work, or the last that was made."""
    held = list(rows)
    for states in ({"Failed"}, LIVE):
        found = next((row for row in held if row.state in states), None)
        if found is not None:
            return found
    return next((row for row in reversed(held) if row.attempts.total or row.state == "Succeeded"), None)
