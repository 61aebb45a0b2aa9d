"""What an evaluation is asked to answer: benchmarks by name and further sets, each once and within its limit."""

import pytest
from pydantic import ValidationError

from dto_jobs.stages.evaluation import Evaluation


def evaluation(**settings):
    return Evaluation.model_validate({"benchmarks": ["gsm8k"], **settings})


def test_benchmarks_and_further_sets_are_answered_within_the_smaller_limit():
    sets = [
        {"name": "law", "source": "law.jsonl", "grader": "choice", "limit": 5},
        {"name": "more", "source": "hf://datasets/org/more?split=test", "limit": 50},
    ]
    found = list(evaluation(limit=20, problemSets=sets).sets())
    assert [(one.name, one.source, one.grader, one.limit) for one in found] == [
        ("gsm8k", "gsm8k", None, 20),
        ("law", "law.jsonl", "choice", 5),
        ("more", "hf://datasets/org/more?split=test", None, 20),
    ]


def test_without_limits_all_is_answered():
    assert [one.limit for one in evaluation().sets()] == [None]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"benchmarks": ["gsm8k", "gsm8k"]}, "gsm8k"),
        ({"problemSets": [{"name": "gsm8k", "source": "x.jsonl"}]}, "has the name of a benchmark"),
        ({"problemSets": [{"name": "a", "source": "x.jsonl"}, {"name": "a", "source": "y.jsonl"}]}, "a"),
        ({"benchmarks": []}, "name at least one"),
        ({"problemSets": [{"source": "x.jsonl"}]}, "name"),
    ],
)
def test_nothing_is_answered_twice_or_without_a_name(settings, words):
    with pytest.raises(ValidationError, match=words):
        evaluation(**settings)
