"""Runs by processes, of which random ones are killed at random moments."""

import os
import random
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from stage_runs import planned, receipts

from dto_jobs.cli.running import opened
from dto_jobs.process_run import ProcessRun

IN_ONE_STAGE = 3
"""Kills in one stage of one run: later stages shall have theirs, and a shard that is killed a dozen times in a row is given up."""


class Killer(Thread):
    """Sends a signal to random stage processes of this one until it has done so `times`.

    The moment is a random share of work done, not of time passed: a busy machine is not killed more often.
    """

    def __init__(self, number: signal.Signals, times: int, longest: float, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._number, self._times, self._longest, self._chance = number, times, longest, chance
        self.killed: list[str] = []
        self.over = Event()

    def run(self) -> None:
        """Kill."""
        while len(self.killed) < self._times and not self.over.wait(0.005):
            stages = stage_processes(os.getpid())
            if not stages:
                continue
            process, stage = self._chance.choice(stages)
            if self.killed.count(stage) < IN_ONE_STAGE and self._worked(
                process, self._chance.uniform(0, self._longest)
            ):
                # It may have ended just now: then nothing is killed.
                with suppress(ProcessLookupError):
                    os.kill(process, self._number)
                    self.killed.append(stage)

    def _worked(self, process: int, seconds: float) -> bool:
        """Wait until a process has computed for so long; False where it ends before."""
        while not self.over.wait(0.005):
            used = computed(process)
            if used is None or used >= seconds:
                return used is not None
        return False


def computed(process: int) -> float | None:
    """Return for how many seconds a process has computed; None where it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stage_processes(parent: int) -> list[tuple[int, str]]:
    """Return the running stage processes that a process has started: their ids and stages."""
    found = []
    for tasks in Path(f"/proc/{parent}/task").glob("*/children"):
        for process in _read(tasks).split():
            words = _read(Path(f"/proc/{int(process)}/cmdline")).split(b"\0")
            if b"stage" in words:
                found.append((int(process), words[words.index(b"stage") + 1].decode()))
    return found


def _read(path: Path) -> bytes:
    """Return what the kernel says of a process or thread; nothing where it has just ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def trials(
    file: Path, store: Path, times: int, *, number: signal.Signals, seed: int, shards: int = 2, longest: float = 2.0
) -> tuple[list[dict[str, object]], list[str]]:
    """Make a run anew until `times` of its processes were killed; return each run's receipts, and what was killed."""
    chance = random.Random(seed)
    results: list[dict[str, object]] = []
    killed: list[str] = []
    while len(killed) < times:
        shutil.rmtree(store, ignore_errors=True)
        killer = Killer(number, times - len(killed), longest, chance)
        killer.start()
        ProcessRun(opened(file, str(store), []), shards, len).work()
        killer.over.set()
        killer.join()
        killed += killer.killed
        results.append(receipts(planned(file, store), store))
    return results, killed
