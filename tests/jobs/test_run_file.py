"""Reading run files: what is wrong is named by field, value and remedy."""

import json

import pytest
import yaml

from dto_jobs.errors import InputError, InvalidRunError
from dto_jobs.run_file import read_run

MINIMAL = """
apiVersion: dto.run/v1alpha1
kind: DTORun
metadata: {name: r}
spec:
  model: {source: builtin:tiny-reasoner}
  problems: {source: problems.jsonl}
"""


@pytest.fixture
def written(tmp_path):
    def write(text=MINIMAL, **spec):
        content = yaml.safe_load(text)
        content["spec"].update(spec)
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_three_fields_are_enough(written):
    run = read_run(written())
    assert run.name == "r"
    assert run.spec.stages.exits.completions == 8
    assert run.spec.stages.training.beta == 2.0


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"stages": {"exits": {"treshold": 0.5}}}, ["spec.stages.exits.treshold", "unknown field", "`threshold`"]),
        ({"stages": {"exits": {"threshold": 1.5}}}, ["spec.stages.exits.threshold", "1.5", "less than or equal to 1"]),
        ({"stages": {"exits": {"threshold": 0}}}, ["spec.stages.exits.threshold", "greater than 0"]),
        ({"stages": {"exits": {"completions": "many"}}}, ["spec.stages.exits.completions", "'many'", "integer"]),
        ({"stages": {"exits": {"strategy": "fast"}}}, ["spec.stages.exits.strategy", "'fast'", "curtailed"]),
        ({"stages": {"rollout": {"samples": 0}}}, ["spec.stages.rollout.samples", "0"]),
        ({"stages": {"rollouts": {}}}, ["spec.stages.rollouts", "`rollout`"]),
        ({"until": "pear"}, ["spec.until", "'pear'", "pairs"]),
        ({"model": {}}, ["spec.model.source", "required"]),
        ({"model": {"source": "x", "trustRemoteCode": True}}, ["spec.model", "trustRemoteCode", "leave it out"]),
        ({"engine": {}}, ["spec.engine", "exactly one engine"]),
        ({"engine": {"transformers": {}, "scripted": {}}}, ["spec.engine", "exactly one engine"]),
        ({"stages": {"pruning": {"judge": {}}}}, ["spec.stages.pruning.judge", "endpoint or a model"]),
        ({"gate": {"minTokenSaving": -1}}, ["spec.gate.minTokenSaving", "-1"]),
    ],
)
def test_a_mistake_is_named_with_field_value_and_remedy(written, spec, words):
    with pytest.raises(InvalidRunError) as caught:
        read_run(written(**spec))
    for word in words:
        assert word in str(caught.value)


def test_all_mistakes_are_told_at_once(written):
    with pytest.raises(InvalidRunError) as caught:
        read_run(written(until="pear", seed=-1))
    assert "spec.until" in str(caught.value)
    assert "spec.seed" in str(caught.value)


@pytest.mark.parametrize("name", ["Upper", "with space", "", "-x", "x" * 64])
def test_a_run_is_named_as_kubernetes_names_things(tmp_path, name):
    path = tmp_path / "named.yaml"
    path.write_text(MINIMAL.replace("name: r", f"name: '{name}'"))
    with pytest.raises(InvalidRunError, match=r"metadata\.name"):
        read_run(path)


def test_an_override_reaches_any_depth(written):
    run = read_run(written(), ["stages.training.beta=2.5", "metadata.name=other", "until=pairs"])
    assert (run.spec.stages.training.beta, run.name, run.spec.until) == (2.5, "other", "pairs")


@pytest.mark.parametrize("override", ["beta", "=1", "stages..x=1", "seed.x=1", "seed=[1"])
def test_an_override_that_cannot_be_is_explained(written, override):
    with pytest.raises(InvalidRunError, match=r"spec|--set"):
        read_run(written(), ["seed=1", override])


def test_a_missing_file_suggests_its_neighbour(written):
    path = written()
    with pytest.raises(InputError, match=r"run\.yaml\?"):
        read_run(path.with_name("rum.yaml"))


@pytest.mark.parametrize("text", ["a: [", "just words", "", "- list"])
def test_a_file_that_is_no_run_says_how_one_begins(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(InvalidRunError, match=r"YAML|apiVersion"):
        read_run(path)


def test_the_designs_own_example_is_valid(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("""
apiVersion: dto.run/v1alpha1
kind: DTORun
metadata: {name: qwen-1p5b-math}
spec:
  model: {source: hf://deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B}
  problems: {source: s3://data/math_train.jsonl, prompt: problem, answer: answer, limit: 4000, grader: math}
  artifacts: {bucket: dto, endpoint: http://minio.storage:9000, secretRef: {name: dto-minio}}
  stages:
    rollout:    {samples: 4, temperature: 0.6, topP: 0.95, maxTokens: 8192}
    exits:      {completions: 8, threshold: 0.5, strategy: curtailed}
    endings:    {completions: 4}
    pruning:    {judge: {endpoint: {url: http://judge.llm:8000/v1, model: qwen3-32b, secretRef: {name: judge}}}}
    pairs:      {rejected: original, maxPerProblem: 2}
    training:   {beta: 2.0, gammaRatio: 0.25, learningRate: 5.0e-7, lora: {rank: 32}}
    evaluation: {benchmarks: [math500, gsm8k, aime2024, mmlu-pro], samples: 4}
  gate: {maxAccuracyDrop: 0.01, minTokenSaving: 0.2}
""")
    assert read_run(path).spec.stages.training.lora.rank == 32


def test_json_is_read_as_json(tmp_path):
    file = tmp_path / "run.json"
    # YAML takes no DEL as it is, and no half of a surrogate pair.
    question = "1+1\x7f \U0001f600?"
    content = {
        "apiVersion": "dto.run/v1alpha1",
        "kind": "DTORun",
        "metadata": {"name": "r", "uid": "u", "generation": 1},
    }
    content["spec"] = {"model": {"source": "m"}, "problems": {"inline": [{"problem": question, "answer": "2"}]}}
    for ensure_ascii in (True, False):
        file.write_text(json.dumps(content, ensure_ascii=ensure_ascii))
        assert read_run(file).spec.problems.inline[0]["problem"] == question
    file.write_text('{"apiVersion": ')
    with pytest.raises(InvalidRunError, match="not valid JSON"):
        read_run(file)
