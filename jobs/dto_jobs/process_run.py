"""A whole run by the stages' own contract: every stage as processes, its shards side by side, as a cluster runs it."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import IO

from dto_jobs import errors
from dto_jobs.artifacts.artifact import Artifact
from dto_jobs.artifacts.attempts import Whole, whole_of
from dto_jobs.causes import UnexpectedError
from dto_jobs.errors import DtoError, InterruptedRunError, StageFailedError
from dto_jobs.local_run import LocalRun
from dto_jobs.plan import PlannedStage, Shard, ready
from dto_jobs.plan_file import Plan
from dto_jobs.preflight import plan_name, preflight
from dto_jobs.stage import ModelStage
from dto_jobs.stage_process import FROM_STORE
from dto_jobs.termination import Termination, parse

LOOK = 0.02
"""Seconds between looks at the processes."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
TRIES = {"never": 1, "application": 2, "infrastructure": 12}
"""Tries of a shard by why it ended. A machine's faults pass; the same mistake twice is a mistake."""
OWN = {"JOB_COMPLETION_INDEX", "DTO_METRICS_PORT", "DTO_PLAN", "DTO_SHARDS", "DTO_ATTEMPT", "DTO_RUN_UID"}
"""Variables that speak of this process and not of its children."""


@dataclass
class ShardTry:
    """A shard's process, its tries so far, and when the next may start."""

    shard: Shard
    words: Path
    process: subprocess.Popen[bytes] | None = None
    relay: Thread | None = None
    attempt: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    not_before: float = 0.0
    done: bool = False

    def end(self) -> int:
        """Wait for the end of the process and of what it said; return its exit code."""
        assert self.process is not None
        code = self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.relay is not None:
            self.relay.join()
        self.process = self.relay = None
        return code

    def termination(self) -> Termination | None:
        """Return the last words of the process, if it left any."""
        return parse(self.words.read_text(encoding="utf-8")) if self.words.exists() else None


@dataclass
class ProcessRun:
    """A run whose stages are processes of their own, so many for each."""

    local: LocalRun
    shards: int
    say: Callable[[str], None]
    stopping: Callable[[], bool] = lambda: False

    def work(self, fresh: frozenset[str] = frozenset()) -> dict[str, Whole]:
        """Run what is not there yet; the same call goes on where a killed one stopped."""
        store = self.local.store
        with store.claim(self.local.place), TemporaryDirectory(prefix="dto-") as folder:
            plan = preflight(self.local, fresh)
            done = {*plan.sources, *(step.name for step in plan.steps if step.reused)}
            steps = plan.planned()
            while waiting := ready(steps, done):
                self._stage(waiting[0], plan, Path(folder))
                done.add(waiting[0].name)
            return whole_of(plan, store)

    def _stage(self, step: PlannedStage, plan: Plan, folder: Path) -> None:
        count = 1 if isinstance(step.stage, ModelStage) else self.shards
        tries = [ShardTry(Shard(index, count), folder / f"{step.name}-{index}") for index in range(count)]
        try:
            while not all(one.done for one in tries):
                for one in tries:
                    self._look(step, one)
                time.sleep(LOOK)
        finally:
            _end(tries)
        if Artifact(self.local.store, plan.place(step.name)).receipt() is None:
            raise StageFailedError(f"{step.name}: all its shards ended well, and yet parts are missing; run again")

    def _look(self, step: PlannedStage, one: ShardTry) -> None:
        """Start a shard that waits, or take in that its process has ended."""
        if one.done:
            return
        if self.stopping():
            raise InterruptedRunError("stopped; what was committed is kept, and the same command goes on from there")
        if one.process is None:
            if time.monotonic() >= one.not_before:
                self._start(step, one)
            return
        if one.process.poll() is None:
            return
        code = one.end()
        one.done = code == 0
        if code != 0:
            self._again(step, one, code)

    def _start(self, step: PlannedStage, one: ShardTry) -> None:
        one.attempt += 1
        one.words.unlink(missing_ok=True)
        plan = FROM_STORE + plan_name(self.local.identity)
        words = [
            sys.executable,
            "-m",
            "dto_jobs",
            "stage",
            step.name,
            "--plan",
            plan,
            "--store",
            self.local.store.address,
        ]
        words += ["--shard", str(one.shard), "--attempt", str(one.attempt)]
        one.process = subprocess.Popen(  # noqa: S603 - ourselves
            words,
            # Ends with this process, however that ends; a session of its own, so that Ctrl-C is ours to pass on.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment(one.words),
            start_new_session=True,
        )
        assert one.process.stdout is not None
        prefix = f"[{one.shard}] " if one.shard.count > 1 else ""
        one.relay = Thread(target=self._relay, args=(one.process.stdout, prefix), daemon=True)
        one.relay.start()

    def _environment(self, words: Path) -> dict[str, str]:
        inherited = {name: text for name, text in os.environ.items() if name not in OWN}
        endpoint = self.local.run.spec.artifacts.endpoint
        named = {"DTO_S3_ENDPOINT": endpoint} if endpoint else {}
        return {**inherited, **named, "DTO_TERMINATION_LOG": str(words), "DTO_STOP_WITH_INPUT": "true"}

    def _relay(self, lines: IO[bytes], prefix: str) -> None:
        with lines:
            for line in lines:
                self.say(prefix + line.decode(errors="replace").rstrip("\n"))

    def _again(self, step: PlannedStage, one: ShardTry, code: int) -> None:
        """Note when to try a shard again; raise what ended it where another try makes no sense."""
        words = one.termination()
        # Without last words it was killed, by a machine or a person: nothing that it did.
        reason = words.retry if words and words.state != "done" else "infrastructure"
        one.failures[reason] = failed = one.failures.get(reason, 0) + 1
        if failed >= TRIES[reason]:
            raise failure(step.name, one.shard, code, words)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failed - 1)) * random.uniform(0.5, 1)  # noqa: S311 - no secret depends on it
        one.not_before = time.monotonic() + pause
        self.say(f"  {step.name:<10} {one.shard} ended with {code}; tried again in {pause:.1f} s")


def _end(tries: Sequence[ShardTry]) -> None:
    """Ask what still works to stop, and wait until it has; each keeps what it has finished."""
    working = [one for one in tries if one.process is not None]
    for one in working:
        assert one.process is not None
        one.process.send_signal(signal.SIGTERM)
    for one in working:
        one.end()


def failure(stage: str, shard: Shard, code: int, words: Termination | None) -> DtoError:
    """Return what a stage's process ended with, as the error that it would be in this process."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DtoError)]
    if words is None or words.state == "done":
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return StageFailedError(f"{stage} {shard} was {how} again and again, and left no word why; its log may tell")
    found = next((kind for kind in kinds if kind.exit_code == code and kind is not DtoError), UnexpectedError)
    return found(words.message)
