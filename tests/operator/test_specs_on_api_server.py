"""What a real API server takes and refuses, and that `dto validate` takes and refuses the same."""

from pathlib import Path

import pytest
from pydantic import BaseModel
from stored_runs import MINIMAL, groups, manifest, read, refusal

from dto_jobs.json_form import from_yaml
from dto_jobs.resource import DTORun
from dto_jobs.rules import WithoutKeys

pytestmark = pytest.mark.services
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INVALID = from_yaml((HERE / "invalid_specs.yaml").read_text())
VALID = from_yaml((HERE / "valid_specs.yaml").read_text())
SAMPLES = sorted((ROOT / "manifests/samples").glob("*.yaml"))


def laid_over(below, above):
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {key: laid_over(below.get(key), above.get(key, below.get(key))) for key in {**below, **above}}


def test_there_are_enough_of_both():
    assert len(INVALID) >= 60
    assert len(VALID) >= 20


@pytest.mark.parametrize("case", INVALID, ids=lambda case: f"{case['at']}-{case['spec']}"[:100])
def test_a_mistake_is_refused_by_both_at_its_field(runs, case):
    content = manifest(laid_over(MINIMAL, case["spec"]))
    there, here = runs.tried(content), refusal(content)
    assert there.code in {400, 422}, there.message
    assert here is not None
    for said in (there.message, here):
        assert case["at"] in said
        assert case.get("words", "") in said


def test_every_rule_is_broken_once_and_told_by_the_server(runs):
    answers = " ".join(runs.tried(manifest(laid_over(MINIMAL, case["spec"]))).message for case in INVALID)
    rules = [rule for group in groups(DTORun) for rule in group.rules if not isinstance(rule, WithoutKeys)]
    assert len(rules) > 15
    assert [rule.message for rule in rules if rule.message not in answers] == []


@pytest.mark.parametrize("spec", VALID, ids=lambda spec: str(spec)[:100])
def test_what_is_right_is_taken_by_both_and_means_the_same(runs, spec):
    content = manifest(laid_over(MINIMAL, spec))
    there = runs.tried(content)
    assert there.code == 201, there.message
    assert read(there.content) == read(content).model_copy(update={"metadata": read(there.content).metadata})


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "Upper"},
        {"name": "x" * 64},
        {"name": "with.dots"},
        {"name": "-x"},
        {"labels": {"a b": "c"}},
        {"labels": {"a": "b c"}},
        {"labels": {"a": 1}},
        {"annotations": {"a b": "c"}},
        {"nmae": "r"},
    ],
    ids=str,
)
def test_metadata_is_refused_by_both(runs, metadata):
    content = manifest(MINIMAL, **metadata)
    assert runs.tried(content).code in {400, 422}
    assert refusal(content) is not None


def test_another_version_or_kind_is_refused_by_both(runs):
    for field, value in (("apiVersion", "dto.run/v2"), ("kind", "DTORuns")):
        content = manifest(MINIMAL) | {field: value}
        assert runs.tried(content).code in {400, 422}
        assert field in refusal(content)


def test_what_is_left_out_is_filled_in_with_the_same_defaults(runs):
    def unlike(group, stored, path):
        for name, field in type(group).model_fields.items():
            here, value = f"{path}.{field.alias or name}", getattr(group, name)
            there = stored.get(field.alias)
            if isinstance(value, BaseModel):
                yield from unlike(value, there, here) if isinstance(there, dict) else [here]
            elif (list(value) if isinstance(value, tuple) else value) != there:
                yield here

    stored = runs.tried(manifest(MINIMAL)).content["spec"]
    assert list(unlike(read(manifest(MINIMAL)).spec, stored, "spec")) == []
    assert stored["stages"]["exits"]["completions"] == 8
    assert stored["engine"]["transformers"]["slots"] == 128
    assert stored["stages"]["training"]["job"]["retry"] == {"application": 2, "infrastructure": 20}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_every_sample_applies(runs, path):
    done = runs.server.kubectl("apply", "--dry-run=server", "-f", str(path))
    assert done.returncode == 0, done.stderr
    assert refusal(from_yaml(path.read_text())) is None
