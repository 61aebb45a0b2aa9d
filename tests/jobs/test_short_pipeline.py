"""The real pipeline, small: the embedded model through every stage, and real traces with real weights."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kills import stage_processes

from dto_jobs.artifacts.attempts import latest
from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.core.records import PrunedTrace, SearchedTrace

pytestmark = pytest.mark.engines

ROOT = Path(__file__).resolve().parents[2]
TRACES = ROOT / ".." / "shared" / "data" / "traces" / "en_math_r1.jsonl"
STAGES = ("rollout", "exits", "endings", "pruning", "pairs", "training", "baseline", "evaluation")
SMALL = (
    "problems.limit=18", "stages.rollout.samples=2", "stages.evaluation.limit=24", "stages.rollout.maxTokens=300",
    "stages.evaluation.maxTokens=300", "stages.training.epochs=1", "stages.training.saveSteps=1",
)  # fmt: skip


def command(file, store, *settings):
    options = [word for setting in settings for word in ("--set", setting)]
    return [
        sys.executable,
        "-m",
        "dto_jobs",
        "run",
        ROOT / "manifests/samples" / file,
        "--store",
        store,
        "--json",
        *options,
    ]


def run(file, store, *settings, shards=0):
    words = [*command(file, store, *settings), "--shards", str(shards)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def digests(store, name="demo"):
    return {stage: latest(FolderStore(store), name, stage).receipt().digest for stage in STAGES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small demo from end to end: its store, results and seconds."""
    store = tmp_path_factory.mktemp("whole") / "store"
    start = time.monotonic()
    return store, run("demo.yaml", store, *SMALL), time.monotonic() - start


def test_every_stage_runs_and_the_results_say_so(whole):
    store, results, _ = whole
    assert results["rollout"]["responses"] == 36
    assert results["training"]["steps"] >= 1
    assert {part["level"] for part in results["evaluation"]["slices"]} == {"", "easy", "medium", "hard"}
    assert set(results["cost"]["stages"]) == set(STAGES)
    assert all(stage["flops"] > 0 for name, stage in results["cost"]["stages"].items() if name != "pairs")
    assert "</html>" in (store / "runs/demo/report.html").read_text()


def test_a_run_takes_what_is_estimated_from_its_own_habits(whole):
    store, results, _ = whole
    words = [sys.executable, "-m", "dto_jobs", "plan", ROOT / "manifests/samples/demo.yaml", "--estimate", "--json"]
    options = [word for setting in SMALL for word in ("--set", setting)]
    done = subprocess.run(
        [*words, "--store", store, *options, "--assume", "pilot=demo"], capture_output=True, text=True, check=True
    )
    expected, found = json.loads(done.stdout), results["cost"]
    for name in STAGES:
        tokens = "trained" if name == "training" else "generated"
        assert expected["stages"][name][tokens] == pytest.approx(found["stages"][name][tokens], rel=0.25)
    assert expected["total"]["flops"] == pytest.approx(found["total"]["flops"], rel=0.25)


def test_another_beta_pays_for_training_and_the_tuned_model_only(whole):
    store, _, _ = whole
    results = run("demo.yaml", store, *SMALL, "metadata.name=beta", "stages.training.beta=2.5")
    paid = {name for name, stage in results["cost"]["stages"].items() if not stage["reused"]}
    assert paid == {"training", "evaluation"}


def test_exhaustive_and_curtailed_find_the_same_exits_in_real_samples(whole):
    store, _, _ = whole
    run("demo.yaml", store, *SMALL, "metadata.name=full", "stages.exits.strategy=exhaustive", "until=exits")
    full, short = (list(latest(FolderStore(store), name, "exits").records(SearchedTrace)) for name in ("full", "demo"))
    assert [trace.exit for trace in full] == [trace.exit for trace in short]
    assert any(len(one.boundaries) > len(other.boundaries) for one, other in zip(full, short, strict=True))


def test_a_run_killed_at_random_moments_ends_with_the_same_weights(whole, tmp_path):
    reference, _, seconds = whole
    chance = random.Random(3)
    store = tmp_path / "store"
    for _ in range(3):
        process = subprocess.Popen(
            command("demo.yaml", store, *SMALL), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=chance.uniform(0.3, 0.9) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    run("demo.yaml", store, *SMALL)
    assert digests(store) == digests(reference)


def test_stages_as_processes_write_the_same_bytes(whole, tmp_path):
    reference, _, _ = whole
    run("demo.yaml", tmp_path / "store", *SMALL, "until=exits", shards=2)
    for stage in ("rollout", "exits"):
        assert digest(tmp_path / "store", stage) == digest(reference, stage)


def test_a_killed_training_goes_on_on_another_machine(whole, tmp_path):
    reference, _, _ = whole
    many = ("metadata.name=many", "stages.training.batch=2", "until=training")
    shutil.copytree(reference, tmp_path / "here")
    shutil.copytree(reference, tmp_path / "store")
    steps = run("demo.yaml", tmp_path / "here", *SMALL, *many)["training"]["steps"]
    place = tmp_path / "store/runs/many/training/1"
    process = subprocess.Popen(
        [*command("demo.yaml", tmp_path / "store", *SMALL, *many), "--shards", "1"], stdout=subprocess.PIPE
    )
    kept = until(lambda: list(place.glob("checkpoints/*/receipt.json")), process)
    [(trainer, _)] = until(lambda: stage_processes(process.pid), process)
    os.kill(trainer, signal.SIGKILL)
    # Another machine has the store, and nothing of what lay beside the training.
    shutil.rmtree(tmp_path / "store/scratch/training", ignore_errors=True)
    results = json.loads(process.communicate()[0])
    assert process.returncode == 0
    assert 0 < int(kept[0].parent.name) < steps == results["training"]["steps"]
    assert digest(tmp_path / "store", "training", "many") == digest(tmp_path / "here", "training", "many")


def until(true, process):
    while not (found := true()):
        assert process.poll() is None, "ended before that"
    return found


def digest(store, stage, name="demo"):
    return latest(FolderStore(store), name, stage).receipt().digest


def test_a_damaged_model_is_trained_anew(whole, tmp_path):
    reference, _, _ = whole
    store = tmp_path / "store"
    shutil.copytree(reference, store)
    weights = next((store / "runs/demo/training/1").rglob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    run("demo.yaml", store, *SMALL)
    assert digests(store) == digests(reference)


def test_five_real_traces_are_analysed_with_real_weights(tmp_path):
    if not TRACES.exists():
        pytest.skip(f"no real traces at {TRACES}")
    source = [f"stages.rollout.import.source={TRACES}", f"problems.source={TRACES}"]
    small = [
        "stages.rollout.import.limit=5",
        "stages.rollout.import.maxCharacters=2200",
        "stages.exits.strategy=curtailed",
    ]
    results = run("demo-traces.yaml", tmp_path / "store", *source, *small)
    assert results["rollout"]["responses"] == results["exits"]["traces"] == 5
    assert results["exits"]["patterns"] > 3
    assert results["regimes"]["right"]["traces"] + results["regimes"]["wrong"]["traces"] == 5
    traces = list(latest(FolderStore(tmp_path / "store"), "demo-traces", "pruning").records(PrunedTrace))
    texts = {json.loads(line)["response"] for line in TRACES.read_text().splitlines()}
    for trace in traces:
        searched = trace.ended.trace
        thinking = "".join(pattern.text for pattern in searched.patterns)
        assert any(thinking in text for text in texts), "patterns join to the very text that was logged"
        assert all(boundary.hits + boundary.misses <= 8 for boundary in searched.boundaries)
    assert results["cost"]["total"]["flops"] > 0
