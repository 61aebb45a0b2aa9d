"""A run by processes: the same results, whatever befalls a process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kills import stage_processes, trials
from stage_runs import NOWHERE, planned, receipts, run_file

from dto_jobs import process_run
from dto_jobs.cli.running import opened
from dto_jobs.cli.running import run_file as run_here
from dto_jobs.errors import InputError, OutOfMemoryError, StageFailedError, StoreError
from dto_jobs.plan import Shard
from dto_jobs.process_run import ProcessRun, ShardTry, failure
from dto_jobs.termination import Termination

KILLS = 6
UNTIL = "exits"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run in one process."""
    folder = tmp_path_factory.mktemp("whole")
    file = run_file(folder, until=UNTIL)
    run_here(file, folder / "store", [], None, lambda: False, NOWHERE)
    return receipts(planned(file, folder / "store"), folder / "store")


def test_a_run_by_processes_equals_one_in_this_process_though_processes_are_killed(whole, tmp_path):
    results, killed = trials(run_file(tmp_path, until=UNTIL), tmp_path / "store", KILLS, number=signal.SIGKILL, seed=1)
    assert len(killed) == KILLS
    assert all(result == whole for result in results)


def test_processes_that_are_asked_to_stop_cost_a_run_nothing_but_time(whole, tmp_path):
    file = run_file(tmp_path, continuous=True, until=UNTIL)
    results, _ = trials(file, tmp_path / "store", KILLS, number=signal.SIGTERM, seed=2)
    assert all(result == whole for result in results)


def command(file, store):
    return [sys.executable, "-m", "dto_jobs", "run", str(file), "--store", str(store), "--shards", "2"]


def until(true, process):
    while not (found := true()):
        assert process.poll() is None, "ended before that"
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stage_processes_end_with_the_run_and_the_next_goes_on(whole, tmp_path, number):
    slow, store = run_file(tmp_path, delay_seconds=0.02, until=UNTIL), tmp_path / "store"
    parent = subprocess.Popen(command(slow, store), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children = until(lambda: stage_processes(parent.pid), parent)
    os.kill(parent.pid, number)
    assert parent.wait() == (130 if number == signal.SIGINT else -signal.SIGKILL)
    for process, _ in children:
        while Path(f"/proc/{process}").exists() and "Z" not in Path(f"/proc/{process}/stat").read_text().split()[2]:
            """Ends by itself, within its grace period."""
    ProcessRun(opened(run_file(tmp_path, until=UNTIL), str(store), []), 1, len).work()
    assert receipts(planned(run_file(tmp_path, until=UNTIL), store), store) == whole


@pytest.mark.services
def test_shards_meet_in_a_bucket_though_one_is_killed(whole, s3_keys, tmp_path):
    file, bucket = run_file(tmp_path, until=UNTIL, delay_seconds=0.002), f"s3://{s3_keys.bucket()}/p"
    parent = subprocess.Popen(command(file, bucket), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    os.kill(until(lambda: stage_processes(parent.pid), parent)[0][0], signal.SIGKILL)
    output, _ = parent.communicate()
    assert parent.returncode == 0, output
    assert "ended with -9; tried again" in output
    assert "tester-secret" not in output
    assert receipts(planned(file, bucket), bucket) == whole


def test_a_mistake_is_told_as_it_would_be_in_this_process(tmp_path):
    file, store = run_file(tmp_path, limit=9), tmp_path / "store"
    text = (
        file.read_text()
        .replace("builtin:tiny-reasoner", "file:nowhere")
        .replace('"scripted": {}', '"transformers": {}')
    )
    file.write_text(text)
    done = subprocess.run(command(file, store), capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "nowhere does not exist" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


class Ended:
    """A shard whose process has ended with some last words."""

    def __init__(self, folder, retry, code=1, state="failed"):
        self.code = code
        self.one = ShardTry(Shard(0, 2), folder / "words")
        if retry is not None:
            words = Termination(run="r", stage="exits", state=state, exit_code=code, retry=retry, message="because")
            self.one.words.write_text(words.text())

    def tries(self, run, step):
        """Return after how many ends the run gives up, and with what; and the pauses before."""
        pauses = []
        for number in range(1, 100):
            try:
                run._again(step, self.one, self.code)
            except Exception as error:  # noqa: BLE001 - whatever it is
                return number, error, pauses
            pauses.append(self.one.not_before)
            self.one.not_before = 0.0
        raise AssertionError


@pytest.mark.parametrize(
    ("retry", "code", "tries", "kind"),
    [
        ("never", 3, 1, InputError),
        ("never", 6, 1, StageFailedError),
        ("application", 9, 2, OutOfMemoryError),
        ("infrastructure", 4, 12, StoreError),
        (None, -9, 12, StageFailedError),
    ],
)
def test_each_end_has_its_budget_of_tries(tmp_path, monkeypatch, retry, code, tries, kind):
    monkeypatch.setattr(process_run.time, "monotonic", lambda: 0.0)
    file = run_file(tmp_path)
    run = ProcessRun(opened(file, str(tmp_path / "store"), []), 2, len)
    step = planned(file, tmp_path / "store").planned()[1]
    number, error, pauses = Ended(tmp_path, retry, code).tries(run, step)
    assert (number, type(error)) == (tries, kind)
    assert all(0 < pause <= 30 for pause in pauses)
    assert pauses == [] or len(pauses) == 1 or pauses[-1] > pauses[0], "waits longer each time"


def test_a_process_that_had_done_its_work_and_then_crashed_is_tried_again(tmp_path):
    words = Termination(run="r", stage="exits", state="done", exit_code=0, message="done")
    error = failure("exits", Shard(0, 2), -6, words)
    assert isinstance(error, StageFailedError)
    assert "SIGABRT" in str(error)
    file = run_file(tmp_path)
    run = ProcessRun(opened(file, str(tmp_path / "store"), []), 2, len)
    step = planned(file, tmp_path / "store").planned()[1]
    assert Ended(tmp_path, "never", -6, state="done").tries(run, step)[0] == 12
