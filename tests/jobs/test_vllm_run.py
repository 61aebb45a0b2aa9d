"""A run whose engine is vLLM, as a person starts it: from rollout to pairs, and nothing but results in standard output."""

import json
import subprocess
import sys

import pytest
import yaml

from dto_jobs.artifacts.attempts import latest
from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.core.records import Pair

pytest.importorskip("vllm")
pytestmark = pytest.mark.engines

RUN = {
    "apiVersion": "dto.run/v1alpha1",
    "kind": "DTORun",
    "metadata": {"name": "through-vllm"},
    "spec": {
        "model": {"source": "builtin:tiny-reasoner"},
        "problems": {"source": "builtin:graded-sums", "limit": 9},
        "engine": {"vllm": {"maxSequences": 32, "cacheMebibytes": 256}},
        "stages": {
            "rollout": {"samples": 2, "maxTokens": 300},
            "exits": {"maxTokens": 16},
            "endings": {"maxTokens": 48},
            "pruning": {"maxTokens": 48, "completions": 4},
        },
        "until": "pairs",
    },
}


def test_a_run_goes_from_rollout_to_pairs_and_prints_its_results_alone(tmp_path):
    file, store = tmp_path / "run.yaml", tmp_path / "store"
    file.write_text(yaml.safe_dump(RUN))
    command = [sys.executable, "-m", "dto_jobs", "run", file, "--store", store, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["rollout"]["responses"] == 18
    assert results["exits"]["withExit"] > 0
    for noise in ("INFO", "WARNING", "Warning", "triton", "Traceback", "safetensors"):
        assert noise not in done.stderr
    pairs = list(latest(FolderStore(store), "through-vllm", "pairs").records(Pair))
    assert pairs
    assert all(pair.chosen_tokens < pair.rejected_tokens for pair in pairs if pair.kind == "compressed")
    stages = results["cost"]["stages"]
    assert all(stages[name]["flops"] > 0 for name in ("rollout", "exits", "endings", "pruning"))
