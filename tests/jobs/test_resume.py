"""Runs that are killed, and what the next start makes of them. The scripted engine answers; the rest is real."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from dto_jobs.artifacts.attempts import latest
from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.cli.running import run_file
from dto_jobs.core.records import Pair

STAGES = ("rollout", "exits", "endings", "pruning", "pairs")
KILLS = 50


class Silent:
    """A console nobody looks at."""

    is_terminal = False

    def print(self, *_words, **_form):
        pass


def run_yaml(folder: Path, name="r", *, continuous=False, **stages) -> Path:
    spec = {
        "model": {"source": "builtin:tiny-reasoner"},
        "problems": {"source": "builtin:graded-sums", "limit": 300},
        "engine": {"scripted": {"continuous": continuous}},
        "stages": {"rollout": {"samples": 2}, **stages},
        "until": "pairs",
    }
    path = folder / f"{name}.yaml"
    path.write_text(
        json.dumps({"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": {"name": name}, "spec": spec})
    )
    return path


def run(file: Path, store: Path, stopping=lambda: False, fresh_from=None):
    return run_file(file, store, [], fresh_from, stopping, Silent())


def digests(store: Path, name="r"):
    return {stage: latest(FolderStore(store), name, stage).receipt().digest for stage in STAGES}


def spends(store: Path, name="r"):
    receipts = {stage: latest(FolderStore(store), name, stage).receipt() for stage in STAGES}
    return {stage: receipt.spend.model_copy(update={"seconds": 0.0}) for stage, receipt in receipts.items()}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A whole run: its file, its store and how long it took."""
    folder = tmp_path_factory.mktemp("whole")
    file = run_yaml(folder)
    start = time.monotonic()
    run(file, folder / "store")
    return file, folder / "store", time.monotonic() - start


def start_and_kill(file: Path, store: Path, seconds: float) -> bool:
    """Run in a process of its own and SIGKILL it after so long; tell whether it was killed before it had ended."""
    child = os.fork()
    if child == 0:
        try:
            run(file, store)
        finally:
            os._exit(0)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


@pytest.mark.parametrize(("continuous", "kills"), [(False, KILLS), (True, 10)], ids=["part by part", "continuous"])
def test_a_run_killed_at_random_moments_ends_with_the_same_artifacts(uninterrupted, tmp_path, continuous, kills):
    _, whole, seconds = uninterrupted
    file = run_yaml(tmp_path, continuous=continuous)
    chance = random.Random(7)
    killed = 0
    while killed < kills:
        store = tmp_path / "store"
        shutil.rmtree(store, ignore_errors=True)
        while start_and_kill(file, store, chance.uniform(0.0, seconds / 2)) and killed < kills:
            killed += 1
        run(file, store)
        assert digests(store) == digests(whole)
        assert spends(store) == spends(whole), "what was lost was not counted, what was kept not counted twice"


def test_a_killed_run_loses_no_committed_part(uninterrupted, tmp_path):
    file, _, _ = uninterrupted
    store = tmp_path / "store"
    asked = 0

    def after_two_parts():
        nonlocal asked
        asked += 1
        return asked > 2

    with pytest.raises(Exception, match="goes on from there"):
        run(file, store, after_two_parts)
    parts = sorted((store / "runs/r/rollout/1").glob("part-*.zst"))
    before = {part: part.stat().st_mtime_ns for part in parts}
    assert len(parts) == 2
    run(file, store)
    assert {part: part.stat().st_mtime_ns for part in parts} == before


def test_a_second_run_reuses_what_did_not_change(uninterrupted, tmp_path):
    _, whole, _ = uninterrupted
    file = run_yaml(tmp_path, "second", pairs={"minSaving": 0.3})
    results = run(file, whole)
    reused = {name: stage.reused for name, stage in results.cost.stages.items()}
    assert reused == {"rollout": True, "exits": True, "endings": True, "pruning": True, "pairs": False}


@pytest.mark.parametrize("damage", ["flip", "delete"])
def test_a_damaged_artifact_is_made_anew_not_used(uninterrupted, tmp_path, damage):
    file, whole, _ = uninterrupted
    store = tmp_path / "store"
    shutil.copytree(whole, store)
    (part,) = (store / latest(FolderStore(store), "r", "exits").base).glob("part-00000-*.jsonl.zst")
    if damage == "delete":
        part.unlink()
    else:
        data = bytearray(part.read_bytes())
        data[100] ^= 1
        part.write_bytes(data)
    results = run(file, store)
    assert digests(store) == digests(whole)
    assert latest(FolderStore(store), "r", "exits").base.endswith("/2")
    assert not any(stage.reused for stage in results.cost.stages.values())


def test_from_computes_a_stage_and_what_follows_anew(uninterrupted, tmp_path):
    file, whole, _ = uninterrupted
    store = tmp_path / "store"
    shutil.copytree(whole, store)
    run(file, store, fresh_from="endings")
    attempts = {stage: latest(FolderStore(store), "r", stage).base.rpartition("/")[2] for stage in STAGES}
    assert attempts == {"rollout": "1", "exits": "1", "endings": "2", "pruning": "2", "pairs": "2"}
    assert digests(store) == digests(whole)


def test_every_chosen_response_is_right(uninterrupted):
    _, whole, _ = uninterrupted
    pairs = list(latest(FolderStore(whole), "r", "pairs").records(Pair))
    assert pairs
    assert all(pair.chosen_tokens < pair.rejected_tokens for pair in pairs if pair.kind in {"compressed", "rescued"})
