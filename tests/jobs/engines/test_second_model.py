"""A judge in the same process as the run's model, by an engine of the same kind: real weights in both."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Two models are loaded, in one to ten minutes, as busy as the machine is; nothing here measures time.
pytestmark = [pytest.mark.engines, pytest.mark.timeout(3600)]
SCRIPT = Path(__file__).parents[2] / "harness" / "second_model.py"


def judged(folder, **engine):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(engine)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_judge_in_vllm_beside_the_runs_model_is_held_to_the_form(tmp_path):
    found = judged(tmp_path, vllm={"context": 1024, "cacheMebibytes": 256, "maxSequences": 8})
    assert found["after"] == found["before"], "the run's own model is not disturbed"
    silent = found["counts"].get("missing", 0) + found["counts"].get("contradictory", 0)
    assert len(found["verdicts"]) + silent == 3
    [answer] = found["answers"]
    assert len(json.loads(answer)["verdicts"]) == 3, "the whole answer keeps to the form"
    assert found["flops"] > 2 * 1e8 * found["tokens"], "135M weights, twice, for each token"


def test_a_judge_in_transformers_may_say_what_it_likes(tmp_path):
    found = judged(tmp_path, transformers={"device": "cpu", "slots": 8})
    assert found["after"] == found["before"]
    assert len(found["verdicts"]) + found["counts"].get("missing", 0) + found["counts"].get("contradictory", 0) == 3
    assert found["flops"] > 0
