import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from dto_jobs.core.analysis import exit_results
from dto_jobs.core.records import PrunedTrace
from dto_jobs.core.results import Results
from dto_jobs.report import charts
from dto_jobs.report.svg import Scale, drawing, label, ticks


def parsed(chart: Markup) -> ET.Element:
    """Return the chart as XML; it must be well-formed, and told in a title."""
    root = ET.fromstring(chart)
    assert root.find("title").text
    return root


def marks(root: ET.Element, style: str) -> list[ET.Element]:
    return [mark for mark in root.iter() if set(style.split()) <= set(mark.get("class", "").split())]


def test_a_scatter_has_an_arrow_and_two_marks_per_slice(won: Results) -> None:
    root = parsed(charts.scatter(won.evaluation.slices))
    assert len(marks(root, "move")) == len(marks(root, "mark base")) == len(marks(root, "mark tuned")) == 4
    assert {mark.text for mark in marks(root, "name")} == {"all", "easy", "medium", "hard"}


def test_fewer_tokens_lie_left_and_more_accuracy_lies_up(won: Results) -> None:
    root = parsed(charts.scatter(won.evaluation.slices[:1]))
    [base], [tuned] = marks(root, "mark base"), marks(root, "mark tuned")
    assert float(tuned.get("cx")) < float(base.get("cx"))
    assert float(tuned.get("cy")) < float(base.get("cy"))


def test_crosses_are_left_out_where_they_would_hide_each_other(won: Results) -> None:
    few, many = won.evaluation.slices, won.evaluation.slices * 3
    assert len(marks(parsed(charts.scatter(few)), "whisker")) == 16
    assert marks(parsed(charts.scatter(many)), "whisker") == []


def test_labels_do_not_cover_each_other() -> None:
    names = [(f"slice {index}", 150.0, 100.0) for index in range(6)]
    places = [tuple(map(float, re.findall(r'[xy]="([\d.]+)"', label_))) for label_ in charts._apart(names, [])]
    for index, (x, y) in enumerate(places):
        assert all(abs(y - other[1]) >= 9 or abs(x - other[0]) >= 30 for other in places[:index])


def test_every_answer_is_in_one_bar() -> None:
    assert sum(charts._shares([0, 1, 50, 99, 100], 100)) == pytest.approx(1)


@given(base=st.lists(st.integers(1, 10_000), max_size=30), tuned=st.lists(st.integers(1, 10_000), max_size=30))
def test_any_lengths_can_be_drawn(base: list[int], tuned: list[int]) -> None:
    root = parsed(charts.lengths(base, tuned, "any"))
    assert bool(marks(root, "bar base")) == bool(base)
    assert bool(marks(root, "median tuned")) == bool(tuned)


def test_a_curve_marks_its_exit_and_every_boundary(traces: list[PrunedTrace]) -> None:
    trace = next(one.ended.trace for one in traces if one.ended.trace.exit == 4)
    root = parsed(charts.curve(trace, 0.5))
    assert len(marks(root, "mark tuned")) == 4
    assert len(marks(root, "exit")) == 1
    assert "exit after 4" in root.find("title").text


def test_a_curve_without_exit_shades_nothing(traces: list[PrunedTrace]) -> None:
    trace = next(one.ended.trace for one in traces if one.ended.trace.exit is None)
    root = parsed(charts.curve(trace, 0.5))
    assert marks(root, "exit") == marks(root, "beyond") == []
    assert "no exit" in root.find("title").text


def test_positions_count_exits_by_tenth_and_those_without(traces: list[PrunedTrace]) -> None:
    exits = exit_results(one.ended.trace for one in traces)
    root = parsed(charts.positions(exits))
    assert len(marks(root, "bar")) == 11
    shown = [mark.text for mark in marks(root, "tick middle")][::2]
    assert shown == [str(count) for count in (*exits.positions, exits.traces - exits.with_exit)]


def test_no_traces_can_be_drawn() -> None:
    assert parsed(charts.positions(exit_results([]))) is not None


def test_dumbbells_name_each_row_and_both_values() -> None:
    root = parsed(charts.dumbbells([charts.Row("easy", 0.9, 0.1), charts.Row("hard", 1.2, 0.0)], "re-checks"))
    assert [mark.text for mark in marks(root, "name")] == ["easy", "hard"]
    assert "hard 1.20 to 0.00" in root.find("title").text


@pytest.mark.parametrize("values", [[1.0, 0.5], [-1.0, -2.0], [3.0, 3.0], [-1.0, 1.0], [0.0, 0.0]])
def test_a_training_figure_of_any_sign_can_be_drawn(values: list[float]) -> None:
    root = parsed(
        charts.steps([{"step": i, "loss": value} for i, value in enumerate(values, start=1)], {"loss": "tuned"})
    )
    [curve] = marks(root, "curve")
    assert len(curve.get("points").split()) == 2


def test_two_training_figures_share_one_drawing_and_one_scale() -> None:
    noted = [{"step": step, "chosen": -0.5 / step, "rejected": -1.0 * step} for step in range(1, 4)]
    root = parsed(charts.steps(noted, {"chosen": "tuned", "rejected": "base"}, scale=2))
    chosen, rejected = marks(root, "curve")
    assert [mark.get("class") for mark in (chosen, rejected)] == ["curve tuned", "curve base"]
    height = [[float(point.split(",")[1]) for point in mark.get("points").split()] for mark in (chosen, rejected)]
    assert height[0] == sorted(height[0], reverse=True)
    assert height[1] == sorted(height[1])
    assert max(height[0]) < min(height[1])
    assert "chosen and rejected over steps, last -0.333, -6" in root.find("title").text


def test_a_scale_keeps_values_on_the_drawing() -> None:
    scale = Scale(0, 10, 100, 200)
    assert [scale(value) for value in (-5, 0, 5, 10, 99)] == [100, 100, 150, 200, 200]


@given(least=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6))
def test_ticks_are_few_round_and_inside(least: float, span: float) -> None:
    found = ticks(least, least + span)
    assert 1 <= len(found) <= 7
    assert all(least - 1e-6 * span <= tick <= least + span + 1e-6 * span for tick in found)


def test_text_in_drawings_is_escaped() -> None:
    root = parsed(drawing(10, 10, "<b> & title", [label(1, 2, "<script>")]))
    assert root.find("title").text == "<b> & title"
    assert root.find("text").text == "<script>"


def test_a_figure_below_zero_has_zero_at_the_top() -> None:
    root = parsed(charts.steps([{"step": 1, "chosen": 0.0}, {"step": 2, "chosen": -2.0}], {"chosen": "tuned"}))
    [curve] = marks(root, "curve")
    assert [point.split(",")[1] for point in curve.get("points").split()] == ["12", "114"]
