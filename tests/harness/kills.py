"""Runs by processes, of which random ones are killed at random moments."""

import os
import random
import shutil
import signal
from pathlib import Path
from threading import Event, Thread

from stage_runs import planned, receipts

from dto_jobs.cli.running import opened
from dto_jobs.process_run import ProcessRun


class Killer(Thread):
    """Sends a signal to a random stage process of this one, again and again, until it has done so `times`."""

    def __init__(self, number: signal.Signals, times: int, longest: float, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._number, self._times, self._longest, self._chance = number, times, longest, chance
        self.killed: list[str] = []
        self.over = Event()

    def run(self) -> None:
        """Kill."""
        while len(self.killed) < self._times and not self.over.wait(self._chance.uniform(0, self._longest)):
            stages = stage_processes(os.getpid())
            if stages:
                process, stage = self._chance.choice(stages)
                try:
                    os.kill(process, self._number)
                except ProcessLookupError:
                    continue
                self.killed.append(stage)


def stage_processes(parent: int) -> list[tuple[int, str]]:
    """Return the running stage processes that a process has started: their ids and stages."""
    found = []
    for tasks in Path(f"/proc/{parent}/task").glob("*/children"):
        for process in map(int, tasks.read_text().split()):
            try:
                words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"stage" in words:
                found.append((process, words[words.index(b"stage") + 1].decode()))
    return found


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
