"""What the report shows of a training: curves by their meaning, and a sweep's candidates, the losers too."""

import re

from dto_jobs.core.results import Results
from dto_jobs.report.page import ReportInput, render
from dto_jobs.report.training import CURVES, candidates, figures, pictures


def test_what_is_noted_is_drawn_by_its_meaning(report: ReportInput) -> None:
    drawn = pictures(report.training)
    assert [one.caption for one in drawn] == [curve.caption for curve in CURVES]
    [both] = [one for one in drawn if one.legend]
    assert both.legend == {"tuned": "chosen", "base": "rejected"}
    assert both.chart.count("polyline") == 2


def test_what_has_no_words_of_ours_goes_by_its_own_name() -> None:
    log = [{"step": step, "loss": 1.0, "entropy": 0.5, "once": 1.0} for step in (1, 2)]
    del log[1]["once"]
    assert [one.caption for one in pictures(log)] == ["loss", "entropy"]


def test_nothing_noted_draws_nothing() -> None:
    assert pictures([]) == []
    assert pictures([{"step": 1, "loss": 2.0}]) == []


def test_figures_are_named_and_tables_left_out(won: Results) -> None:
    assert won.training is not None
    assert figures(won.training) == {
        "steps": "46",
        "last loss": "1.25",
        "pairs dropped, longer than the model's context": "3",
    }


def test_every_candidate_of_a_sweep_is_a_row_with_the_chosen_one_marked(report: ReportInput, won: Results) -> None:
    assert won.training is not None
    rows = candidates(won.training)
    assert [(row.name, row.chosen) for row in rows] == [
        ("beta 1, learning rate 0.0003", False),
        ("beta 2, learning rate 0.0003", True),
        ("beta 1, learning rate 1e+30", False),
    ]
    page = render(report)
    assert page.count("· chosen") == 1
    assert "its loss is nan" in page
    assert re.search(r"missed by 2\.5.%", page)


def test_a_training_without_a_sweep_has_no_table() -> None:
    assert candidates({"steps": 3}) == []
