"""`dto plan --estimate`: what it says, what it rests on, and that it comes true."""

import json
from pathlib import Path

import pytest

from dto_jobs.cli.amounts import amount

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"
QWEN = {
    "hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
    "intermediate_size": 8960, "vocab_size": 151936, "torch_dtype": "bfloat16",
}  # fmt: skip
RUN = """
apiVersion: dto.run/v1alpha1
kind: DTORun
metadata: {name: pilot}
spec:
  model: {source: builtin:tiny-reasoner}
  problems: {source: "builtin:graded-sums", limit: 30}
  engine: {scripted: {}}
  until: pairs
"""


@pytest.fixture
def dto(command, tmp_path):
    """The command, with files beside it."""
    (tmp_path / "config.json").write_text(json.dumps(QWEN))
    (tmp_path / "run.yaml").write_text(RUN)
    return command


def assumed(*values):
    return [word for value in values for word in ("--assume", value)]


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_sample_is_a_valid_run(dto, sample):
    code, out, err = dto("validate", sample)
    assert (code, err) == (0, "")
    assert "valid DTORun" in out


@pytest.mark.parametrize("sample", ["deepseek-r1-distill-qwen-1.5b", "deepscaler-1.5b-preview"])
def test_a_large_sample_is_estimated_as_its_comment_says(dto, sample):
    file = SAMPLES / f"{sample}.yaml"
    code, out, err = dto("plan", file, "--estimate", "--json", "--store", "none", *assumed("config=config.json"))
    assert code == 0, err
    found = json.loads(out)
    written = [line.removeprefix("#").split() for line in file.read_text().splitlines()]
    rows = {words[0]: words for words in written if words and words[0] in {*found["stages"], "all"}}
    assert rows.keys() == {*found["stages"], "all"}
    for name, load in {**found["stages"], "all": found["total"]}.items():
        if name != "pairs":
            assert f"{load['gpu_seconds'] / 3600:,.2f}" in rows[name]
            assert amount(load["flops"]) in rows[name]


def test_the_formulas_are_printed_with_the_figures(dto):
    _, out, _ = dto("plan", "run.yaml", "--estimate", *assumed("config=config.json"))
    assert "N = 1,543,569,408" in out
    assert "FLOPs = 2·N·positions" in out
    assert "exits: traces · boundaries looked at" in out


def test_without_a_store_in_reach_there_is_no_pilot_and_no_error(dto):
    file = SAMPLES / "deepscaler-1.5b-preview.yaml"
    code, out, err = dto("plan", file, "--estimate", "--json", *assumed("config=config.json", "pilot=none"))
    assert code == 0, err
    assert json.loads(out)["pilot"] is None


def test_a_run_takes_what_was_estimated_from_a_smaller_one(dto):
    assert dto("run", "run.yaml")[0] == 0
    larger = ("--set", "metadata.name=larger", "--set", "problems.skip=30", "--set", "problems.limit=120")
    code, out, err = dto("plan", "run.yaml", *larger, "--estimate", "--json")
    assert code == 0, err
    expected = json.loads(out)
    assert expected["pilot"] == "pilot"
    assert expected["origins"]["response"] == "measured"
    code, out, _ = dto("run", "run.yaml", *larger, "--json")
    found = json.loads(out)["cost"]["stages"]
    assert expected["stages"].keys() == found.keys()
    for name in ("rollout", "exits", "endings", "pruning"):
        assert expected["stages"][name]["generated"] == pytest.approx(found[name]["generated"], rel=0.25)


def test_what_is_given_wins_and_is_marked(dto):
    code, out, err = dto("plan", "run.yaml", "--estimate", *assumed("response=1234", "tokens_per_second=50"))
    assert code == 0, err
    assert "given: response 1234" in " ".join(out.split())
    assert "50 tokens/s generated" in out


@pytest.mark.parametrize(
    ("assumption", "code", "words"),
    [
        ("respnse=1", 2, "one of pilot, config, prompt, response"),
        ("response", 2, "name=value"),
        ("response=many", 2, "response=many"),
        ("mfu=3", 2, "mfu=3"),
        ("exit_share=nan", 2, "exit_share=nan"),
        ("pilot=gone", 3, "no run of that name"),
        ("config=gone.json", 3, "gone.json"),
    ],
)
def test_a_wrong_assumption_is_said_with_what_there_is(dto, assumption, code, words):
    ended, _, err = dto("plan", "run.yaml", "--estimate", *assumed(assumption))
    assert ended == code
    assert words in err


def test_imported_traces_are_not_sampled(dto, tmp_path):
    trace = {"problem": "1+1?", "gold": "2", "response": "First, 2.\n\nWait, 2.\n</think>\n\n\\boxed{2}"}
    (tmp_path / "traces.jsonl").write_text((json.dumps(trace) + "\n") * 3)
    settings = ("--set", "stages.rollout.import={source: traces.jsonl}")
    code, out, err = dto("plan", "run.yaml", *settings, "--estimate", "--json")
    assert code == 0, err
    stages = json.loads(out)["stages"]
    assert stages["rollout"]["generated"] == 0 < stages["exits"]["generated"]
