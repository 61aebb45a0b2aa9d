"""A run file is read as an API server reads it; tests/operator holds the two to each other on a real one."""

import pytest
import yaml

from dto_jobs.errors import InvalidRunError
from dto_jobs.json_form import from_yaml, json_form
from dto_jobs.resource import DTORun
from dto_jobs.run_file import parse_run

SPEC = {"model": {"source": "m"}, "problems": {"source": "p"}}


def run(**spec):
    content = {"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": {"name": "r"}, "spec": SPEC | spec}
    return parse_run(content, "run.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-7", 5e-7),
        ("5.0e-7", 5e-7),
        ("-1E3", -1000.0),
        ("2024-01-01", "2024-01-01"),
        ("'5e-7'", "5e-7"),
        ("e7", "e7"),
        ("7", 7),
        ("yes", True),
    ],
)
def test_yaml_means_what_kubectl_takes_it_for(text, value):
    assert from_yaml(text) == value
    assert type(from_yaml(text)) is type(value)


def test_a_key_that_comes_twice_is_refused():
    with pytest.raises(yaml.YAMLError, match="'seed' is there twice"):
        from_yaml("spec: {seed: 1, seed: 2}")


@pytest.mark.parametrize("value", [8.0, 8])
def test_a_whole_number_may_be_written_with_a_point(value):
    assert run(stages={"exits": {"completions": value}}).spec.stages.exits.completions == 8


@pytest.mark.parametrize("value", ["8", True, 8.5, 2**63, [8], {}])
def test_other_things_are_no_numbers(value):
    with pytest.raises(InvalidRunError, match=r"spec\.stages\.exits\.completions"):
        run(stages={"exits": {"completions": value}})


@pytest.mark.parametrize("value", [1, "true", "no"])
def test_truth_is_true_or_false(value):
    with pytest.raises(InvalidRunError, match=r"spec\.suspend"):
        run(suspend=value)


@pytest.mark.parametrize("value", [4, True, ["m"]])
def test_text_is_text(value):
    with pytest.raises(InvalidRunError, match=r"spec\.model\.source"):
        run(model={"source": value})


def test_a_field_without_a_value_is_as_if_absent():
    empty = run(stages={"exits": None, "rollout": {"samples": None}}, seed=None, gate=None)
    assert empty == run()


def test_null_is_kept_where_it_means_something():
    assert run(problems={"inline": [{"problem": "1+1", "answer": "2", "level": None}]}).spec.problems.inline[0] == {
        "problem": "1+1",
        "answer": "2",
        "level": None,
    }


@pytest.mark.parametrize("field", ["top_p", "max_tokens", "TopP"])
def test_fields_are_spelled_in_one_way(field):
    with pytest.raises(InvalidRunError, match=rf"spec\.stages\.rollout\.{field}: unknown field; did you mean"):
        run(stages={"rollout": {field: 1}})


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400, -(10**400)])
def test_what_json_cannot_hold_is_refused_by_name(value):
    with pytest.raises(InvalidRunError, match=r"spec\.stages\.training\.beta"):
        run(stages={"training": {"beta": value}})


def test_keys_are_text():
    assert json_form({4: 1, True: 2}, DTORun) == {"4": 1, "true": 2}
    assert run(problems={"source": "p", "filter": {4: ["5"]}}).spec.problems.filter == {"4": ("5",)}


def test_a_manifest_that_was_read_back_from_a_cluster_is_a_run_file():
    content = {
        "apiVersion": "dto.run/v1alpha1",
        "kind": "DTORun",
        "metadata": {"name": "r", "uid": "u", "generation": 2, "managedFields": [{}], "creationTimestamp": "now"},
        "spec": SPEC,
        "status": {"phase": "Running"},
    }
    assert parse_run(content, "run.yaml").spec == run().spec
