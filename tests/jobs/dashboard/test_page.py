"""From a dashboard's JSON and what Prometheus answers to a page."""

import re
import subprocess
import sys

import pytest

from dto_jobs.cli.monitoring import write_dashboards
from dto_jobs.dashboard.definition import NAMES, Dashboard, Panel, read
from dto_jobs.dashboard.gathering import Gathered, Named, Shown, Window, gather
from dto_jobs.dashboard.page import picture, render
from dto_jobs.dashboard.prometheus import Prometheus, Series
from dto_jobs.errors import InputError, PrometheusError

WINDOW = Window(end=1_700_003_600.0, seconds=3600.0, scrape=15.0)
HOSTILE = "</svg><script>alert(1)</script>"


def panel(kind, *targets, title="Title", **more):
    asked = [{"expr": expr, "refId": name, "legendFormat": legend} for name, expr, legend in targets]
    return Panel.model_validate({"type": kind, "title": title, "description": "What.", "targets": asked, **more})


def named(name, *values, target="A", **labels):
    points = tuple((WINDOW.start + 20.0 * index, value) for index, value in enumerate(values))
    return Named(name, Series(labels, points), target)


def unit(name, **more):
    return {"defaults": {"unit": name, **more}}


def test_variables_get_their_values_and_those_nobody_chose_stand_for_everything(played):
    target = ("A", 'sum(increase(a{run=~"$run", namespace=~"${namespace}"}[$__range]))', "")
    variables = [{"name": name, "allValue": ".*"} for name in ("run", "namespace")]
    held = Dashboard(title="t", description="d", panels=(panel("stat", target),), templating={"list": variables})
    gather("x", held, Prometheus(played.url), WINDOW, {"run": "mine"})
    [(what, values)] = played.asked
    assert what == "query"
    assert values["query"] == 'sum(increase(a{run=~"mine", namespace=~".*"}[3600s]))'


def test_lines_are_asked_over_the_time_shown_with_room_for_a_steady_rate(played, answer):
    played.answers["query_range"] = answer(({"stage": "exits", "kind": "judge"}, [(1, "1"), (2, "2")]))
    held = Dashboard(
        title="t",
        description="d",
        panels=(panel("timeseries", ("A", "rate(a[$__rate_interval])", "{{stage}} · {{kind}}")),),
        templating={},
    )
    [shown] = gather("x", held, Prometheus(played.url), WINDOW, {}).panels
    [(what, values)] = played.asked
    assert (what, values["query"]) == ("query_range", "rate(a[60s])")
    assert float(values["end"]) - float(values["start"]) == 3600
    assert [one.name for one in shown.found] == ["exits · judge"]


@pytest.mark.parametrize("seconds", [36.0, 100.5, 3600.0, 604_801.0])
def test_the_last_point_of_a_line_is_at_the_end_of_the_time(seconds):
    window = Window(end=1_700_000_000.25, seconds=seconds)
    steps = (window.end - window.start) / window.step
    assert steps == pytest.approx(round(steps))
    assert seconds - window.step < window.end - window.start <= seconds + 1e-3


def test_a_panel_knows_which_of_its_queries_found_nothing():
    shown = Shown(panel("bargauge", ("A", "first", ""), ("B", "second", "")), (named("", 1.0),))
    assert shown.empty() == ("second",)


def test_a_number_is_written_in_its_unit_and_a_word_as_it_is_called():
    told = picture(Shown(panel("stat", fieldConfig=unit("percentunit", decimals=1)), (named("", 0.42),)), WINDOW)
    assert told.value.replace("\N{NO-BREAK SPACE}", " ") == "42.0 %"
    told = picture(Shown(panel("stat", options={"textMode": "name"}), (named("0.1.0", 1.0),)), WINDOW)
    assert told.value == "0.1.0"


def test_bars_are_as_long_as_their_values():
    found = (named("m · base", 100.0), named("m · tuned", 58.0))
    told = picture(Shown(panel("bargauge", fieldConfig=unit("short")), found), WINDOW)
    widths = [
        float(width) for width in re.findall(r'width="([\d.]+)" height="6" class="bar (?:base|tuned)"', told.chart)
    ]
    assert widths[1] / widths[0] == pytest.approx(0.58, abs=0.01)


def test_the_most_a_bar_can_be_is_the_panel_s_own():
    told = picture(Shown(panel("bargauge", fieldConfig=unit("percentunit", max=1)), (named("a", 0.25),)), WINDOW)
    assert 'width="90" height="6" class="bar tuned"' in told.chart


def test_what_there_is_no_room_for_is_counted():
    found = tuple(named(f"pod-{number}", float(number)) for number in range(20))
    assert picture(Shown(panel("bargauge", fieldConfig=unit("short")), found), WINDOW).left_out == 8
    told = picture(Shown(panel("timeseries", fieldConfig=unit("short")), found), WINDOW)
    assert told.left_out == 8
    assert [entry.name for entry in told.legend] == [f"pod-{number}" for number in range(8, 20)], "the tallest are kept"


def test_a_gap_in_the_data_is_a_gap_in_the_line():
    whole = named("a", 1.0, 2.0, 3.0, 4.0)
    torn = Named("a", Series({}, (*whole.series.points[:2], (WINDOW.end - 20, 3.0), (WINDOW.end, 4.0))), "A")
    assert picture(Shown(panel("timeseries", fieldConfig=unit("short")), (torn,)), WINDOW).chart.count("<polyline") == 2


def test_stacked_lines_stand_on_each_other_and_the_legend_tells_each_one_s_own_value():
    stacked = {"defaults": {"unit": "short", "custom": {"stacking": {"mode": "normal"}}}}
    told = picture(
        Shown(panel("timeseries", fieldConfig=stacked), (named("a", 1.0, 1.0), named("b", 3.0, 3.0))), WINDOW
    )
    assert [(entry.name, entry.value) for entry in told.legend] == [("a", "1"), ("b", "3")]
    heights = re.findall(r'<polyline points="[\d.]+,([\d.]+) [^"]*" class="stroke (s\d)"', told.chart)
    place = {style: float(y) for y, style in heights}
    assert place["s1"] < place["s0"], "places are counted from the top"


def test_a_table_has_a_row_for_each_set_of_labels_and_a_dash_where_nothing_was_found():
    renamed = {"run": "Run", "stage": "Stage", "Value #A": "FLOPs", "Value #B": "GPU-hours"}
    overrides = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, unit in (("FLOPs", "si:FLOP"), ("GPU-hours", "h"))
    ]
    shown = Shown(
        panel(
            "table",
            ("A", "a", ""),
            ("B", "b", ""),
            transformations=[{"id": "organize", "options": {"renameByName": renamed}}],
            fieldConfig={"defaults": {}, "overrides": overrides},
        ),
        (named("", 2e12, run="r", stage="exits"), named("", 1e9, run="r", stage="pairs"),
         named("", 1.5, run="r", stage="exits", target="B")),
    )  # fmt: skip
    told = picture(shown, WINDOW)
    assert told.head == ("Run", "Stage", "FLOPs", "GPU-hours")
    rows = [tuple(cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row) for row in told.rows]
    assert rows == [("r", "exits", "2 TFLOP", "90 min"), ("r", "pairs", "1 GFLOP", "–")]


def test_descriptions_show_the_values_that_were_chosen_and_what_is_code_as_code():
    variables = [{"name": "answers", "query": "10000"}]
    shown = panel("stat", ("A", "a", "")).model_copy(
        update={"description": "At $answers a day, as `spec.gate` says <b>."}
    )
    held = Dashboard(title="DTO · T", description="d", panels=(shown,), templating={"list": variables})
    page = render([Gathered("t", held, WINDOW, (Shown(shown),))], "http://p:9090", {})
    assert "At 10000 a day, as <code>spec.gate</code> says &lt;b&gt;." in page


def test_a_panel_without_data_says_so_and_keeps_its_place():
    held = Dashboard(title="DTO · T", description="d", panels=(panel("stat", ("A", "a", "")),), templating={})
    page = render([Gathered("t", held, WINDOW, (Shown(held.panels[0]),))], "http://p:9090", {})
    assert "nothing in this time" in page


def test_names_from_a_cluster_are_text_and_nothing_else():
    shown = [
        Shown(panel(kind, fieldConfig=unit("short")), (named(HOSTILE, 1.0, 2.0),))
        for kind in ("timeseries", "bargauge")
    ]
    held = Dashboard(title="DTO · T", description="d", panels=tuple(one.panel for one in shown), templating={})
    page = render([Gathered("t", held, WINDOW, tuple(shown))], f"http://{HOSTILE}", {"run": HOSTILE})
    assert "<script" not in page
    assert "http:" not in page.replace(f"http://{HOSTILE}".replace("<", "&lt;").replace(">", "&gt;"), "")


def test_the_command_writes_all_dashboards_or_the_one_that_is_named(played, tmp_path):
    page = tmp_path / "d.html"
    write_dashboards(played.url, (), 1.0, {}, page)
    assert re.findall(r'<article id="(\w+)">', page.read_text()) == list(NAMES)
    asked = len(played.asked)
    write_dashboards(played.url, ("operator",), 1.0, {"run": "a.b"}, page)
    assert re.findall(r'<article id="(\w+)">', page.read_text()) == ["operator"]
    targets = sum(len(one.targets) for one in read("operator").panels)
    assert len(played.asked) - asked == targets + 1, "every query is asked once, and the targets"


def test_the_command_s_mistakes_are_named(played, tmp_path):
    with pytest.raises(InputError, match="no dashboard 'saving'; there are savings, runs, operator"):
        write_dashboards(played.url, ("saving",), 1.0, {}, tmp_path / "d.html")
    with pytest.raises(InputError, match="cannot be a run's name"):
        write_dashboards(played.url, (), 1.0, {"run": 'a"} or vector(1)'}, tmp_path / "d.html")
    with pytest.raises(InputError, match="cannot write"):
        write_dashboards(played.url, (), 1.0, {}, tmp_path / "missing" / "d.html")
    with pytest.raises(PrometheusError):
        write_dashboards("http://127.0.0.1:1", (), 1.0, {}, tmp_path / "d.html")
    assert not (tmp_path / "d.html").exists()


def test_a_prometheus_that_is_not_there_ends_the_command_with_a_word_and_its_code(tmp_path):
    command = [sys.executable, "-m", "dto_jobs", "dashboard", "--prometheus", "http://127.0.0.1:1"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == PrometheusError.exit_code
    assert done.stderr.startswith("error: nothing answers at http://127.0.0.1:1: ")
    assert list(tmp_path.iterdir()) == []
