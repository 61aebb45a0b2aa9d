"""Where problems come from, as a person writes it."""

import pytest
from pydantic import ValidationError

from dto_jobs.problem_source import ProblemSource, TraceSource


def test_a_source_is_enough_and_names_are_written_in_camel_case():
    source = ProblemSource.model_validate({"source": "math500", "skipUnanswered": True, "askForBox": False})
    assert source == ProblemSource(source="math500", skip_unanswered=True, ask_for_box=False)


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"source": ""},
        {"source": "a.jsonl", "inline": [{"problem": "1+1", "answer": "2"}]},
        {"source": "a.jsonl", "limit": 0},
        {"source": "a.jsonl", "skip": -1},
        {"source": "a.jsonl", "columns": {}},
    ],
)
def test_what_makes_no_sense_is_refused(written):
    with pytest.raises(ValidationError):
        ProblemSource.model_validate(written)


def test_logged_traces_need_a_file():
    with pytest.raises(ValidationError):
        TraceSource.model_validate({"limit": 3})


@pytest.mark.parametrize("settings", [ProblemSource, TraceSource])
def test_every_setting_says_what_it_is(settings):
    assert [name for name, field in settings.model_fields.items() if not field.description] == []
