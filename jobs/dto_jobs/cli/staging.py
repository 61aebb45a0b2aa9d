"""`dto preflight`, `dto stage`, `dto collect`: what the pods of a run do, and the last words they leave."""

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console

from dto_jobs.artifacts.addresses import open_store, scratch
from dto_jobs.artifacts.artifact import Receipt
from dto_jobs.artifacts.attempts import whole_of
from dto_jobs.artifacts.store import Store
from dto_jobs.causes import UnexpectedError, told
from dto_jobs.cli.progress import CalmProgress
from dto_jobs.errors import InputError, InterruptedRunError, StoppedStageError
from dto_jobs.plan import WHOLE, Shard, shard
from dto_jobs.plan_file import Plan
from dto_jobs.settings import store_from_environment
from dto_jobs.stage_process import (
    FROM_STORE,
    Several,
    StageProcess,
    figures,
    read_plan,
    receipt_note,
    stopping_within,
)
from dto_jobs.stage_server import StageState, served
from dto_jobs.surroundings import Surroundings, redacted, secrets, surroundings
from dto_jobs.termination import StepNote, Termination

if TYPE_CHECKING:
    from dto_jobs.core.results import Results

RESULTS_BYTES = 2500
"""Room for results in a termination message."""


@dataclass
class LastWords:
    """What a process says at its end, whatever the end is: filled in as it goes, written once."""

    path: Path
    words: Termination
    hidden: tuple[str, ...] = field(default_factory=secrets)
    started: float = field(default_factory=monotonic)

    def write(self, **more: object) -> None:
        """Write the words where somebody reads them. That they cannot be written is no reason to fail."""
        seconds = round(monotonic() - self.started, 3)
        self.words = self.words.model_copy(update={"seconds": seconds, **more})
        if self.path == Surroundings.model_fields["termination_log"].default and not os.access(self.path, os.W_OK):
            return
        try:
            self.path.write_text(redacted(self.words.text(), self.hidden), encoding="utf-8")
        except OSError as error:
            sys.stderr.write(f"cannot write the termination message to {self.path}: {error.strerror}\n")

    def told(self, **more: object) -> None:
        """Take in what came to be known."""
        self.words = self.words.model_copy(update=more)

    @contextmanager
    def following(self, state: StageState) -> Iterator[None]:
        """Know how far the stage is, whatever comes."""
        try:
            yield
        finally:
            self.told(inputs=state.inputs, inputs_done=state.done, figures=figures(state.spend))


@contextmanager
def ending(last: LastWords) -> Iterator[None]:
    """Say how it ended. What was raised goes on as an error that a person can act on, no secret in it."""
    try:
        yield
    except Exception as error:
        known = told(error)
        if isinstance(known, InterruptedRunError):
            known = StoppedStageError(str(known))
        known.args = (redacted(str(known), last.hidden),)
        state = "stopped" if isinstance(known, StoppedStageError) else "failed"
        last.write(state=state, exit_code=known.exit_code, retry=known.retry, message=str(known))
        if isinstance(known, UnexpectedError):
            sys.stderr.write(redacted(traceback.format_exc(), last.hidden))
        raise known from error


@dataclass(frozen=True)
class StageOptions:
    """What `dto stage` and `dto collect` are told, by options or by the environment."""

    around: Surroundings
    store: str | None
    plan: str | None
    shard: Shard

    def opened(self) -> Store:
        """Return the store."""
        return open_store(self.store or store_from_environment())

    def read(self) -> Plan:
        """Return the plan."""
        named = self.plan or self.around.plan
        if named is None:
            raise InputError("no plan is named: --plan FILE or $DTO_PLAN says where it is, and dto preflight makes it")
        return read_plan(named, self.opened)

    def last_words(self, stage: str) -> LastWords:
        """Return what is said if nothing more comes to be known."""
        words = Termination(
            run="",
            stage=stage,
            attempt=self.around.attempt,
            shard=str(self.shard),
            state="failed",
            exit_code=1,
            message="",
        )
        return LastWords(self.around.termination_log, words)


def stage_options(store: str | None, plan: str | None, named: str | None, attempt: int | None) -> StageOptions:
    """Return the options as they were given, and where they were not, as the environment has them."""
    around = surroundings()
    if attempt is not None:
        around = around.model_copy(update={"attempt": attempt})
    return StageOptions(around, store, plan, shard(named) if named else Shard(around.index, around.shards))


def run_stage(name: str, options: StageOptions, out: Console) -> None:
    """Work on a stage's shard as a pod does."""
    around, last = options.around, options.last_words(name)
    with ending(last), stopping_within(around.grace_seconds, with_input=around.stop_with_input) as stopping:
        plan, store = options.read(), options.opened()
        last.told(run=plan.identity)
        process = StageProcess(plan, name, options.shard, store, scratch(store))
        state = StageState(plan.identity, name, around.attempt, str(options.shard))
        with served(state, around.metrics_port) as port, last.following(state):
            if port is not None:
                say(out, f"  {name:<10} /metrics and /healthz on port {port}")
            receipt = process.run(Several([CalmProgress(lambda text: say(out, text)), state]), stopping)
        _done(last, process, receipt)


def collect_stage(name: str, options: StageOptions, out: Console) -> None:
    """Write a stage's receipt, if all its parts are there."""
    last = options.last_words(name)
    with ending(last):
        plan, store = options.read(), options.opened()
        last.told(run=plan.identity)
        process = StageProcess(plan, name, options.shard, store, scratch(store))
        receipt = process.collect(CalmProgress(lambda text: say(out, text)))
        if receipt is None:
            raise InputError(f"{name} is not whole: parts of {plan.step(name).artifact} are missing; run its shards")
        _done(last, process, receipt)


def _done(last: LastWords, process: StageProcess, receipt: Receipt | None) -> None:
    name, shard = process.stage, process.shard
    if receipt is None:
        last.write(
            state="done", exit_code=0, message=f"{name} {shard}: its parts are committed; other shards are at work"
        )
        return
    note = receipt_note(process.plan.step(name).artifact, receipt)
    message = f"{name}: {receipt.records:,} records in {note.parts} objects, {note.bytes:,} bytes"
    last.write(state="done", exit_code=0, message=message, counts=receipt.counts, receipt=note)


def collect_run(options: StageOptions, out: Console) -> "Results":
    """Write results and report of a run whose stages are whole."""
    from dto_jobs.cli.running import conclude  # noqa: PLC0415 - a stage starts without what reports need

    last = options.last_words("collect")
    with ending(last):
        plan, store = options.read(), options.opened()
        last.told(run=plan.identity)
        results = conclude(store, plan.identity, plan.run, whole_of(plan, store), out)
        fitting = json.loads(results.within(RESULTS_BYTES).to_json())
        last.write(state="done", exit_code=0, message="the run is done", results=fitting)
    return results


def preflight_file(
    file: Path, store: str | None, overrides: list[str], fresh_from: str | None, output: Path | None, out: Console
) -> Plan:
    """Check a run file and settle its plan; write it to a file, too, where one is named."""
    from dto_jobs.cli.running import fresh_stages, opened  # noqa: PLC0415 - a stage starts without what reports need
    from dto_jobs.preflight import plan_name, preflight  # noqa: PLC0415 - as above

    around = surroundings()
    last = StageOptions(around, store, None, WHOLE).last_words("preflight")
    with ending(last):
        local = replace(opened(file, store, overrides), uid=around.run_uid)
        last.told(run=local.identity)
        links = local.run.spec.stages.links()
        uncached = frozenset(link.name for link in links if not link.stage.job.cache)
        plan = preflight(local, fresh_stages(fresh_from), uncached)
        if output is not None:
            output.write_text(plan.to_json(), encoding="utf-8")
        steps = tuple(
            StepNote(name=step.name, key=step.key, reused=step.reused, damaged=step.damaged or None)
            for step in plan.steps
        )
        waiting = [step.name for step in plan.steps if not step.reused]
        message = f"{local.run.name}: to be made: {', '.join(waiting) or 'nothing'}"
        last.write(state="done", exit_code=0, message=message, plan=FROM_STORE + plan_name(plan.identity), steps=steps)
        say(out, message)
    return plan


def say(out: Console, text: str) -> None:
    """Print a line as it is."""
    out.print(text, highlight=False, soft_wrap=True, markup=False)
