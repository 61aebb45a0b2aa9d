"""Every panel of every dashboard, asked of a Prometheus that has watched runs: none is empty, and the figures are true.

With DTO_PICTURES naming a folder, the page is drawn into it as it is: the pictures of docs/dashboards.md.
"""

import itertools
import os
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from monitored_runs import DEMO, HOME, JUDGED, STAGES

from dto_jobs.core.cost import Spend
from dto_jobs.dashboard.definition import NAMES, read
from dto_jobs.dashboard.gathering import Window, gather
from dto_jobs.dashboard.page import render
from dto_jobs.dashboard.prometheus import Prometheus

pytestmark = pytest.mark.services
PANELS = [
    pytest.param(name, index, id=f"{name}: {panel.title} ({index})")
    for name in NAMES
    for index, panel in enumerate(read(name).panels)
    if panel.targets
]
WIDTHS = (420, 1400)


@pytest.fixture(scope="module")
def asked(monitored):
    """Ask a dashboard for some runs, from before the first one to now."""
    prometheus = Prometheus(monitored.server.url)
    # On a busy machine a scrape may take too long; then Prometheus has nothing for a moment.
    monitored.server.scraped()
    end = time.time()
    window = Window(end, end - monitored.began, prometheus.scrape_seconds())
    return lambda name, **chosen: gather(name, read(name), prometheus, window, chosen)


@pytest.fixture(scope="module")
def gathered(asked):
    """What each dashboard shows of all runs."""
    return {name: asked(name) for name in NAMES}


def values(gathered, title):
    """Return what the panels of a title show, by the series' names."""
    return {one.name: one.last for shown in gathered.panels if shown.panel.title == title for one in shown.found}


def highest(gathered, title):
    """Return the highest value of each line."""
    return {
        one.name: max(value for _, value in one.series.points)
        for shown in gathered.panels
        if shown.panel.title == title
        for one in shown.found
    }


def one(gathered, title):
    [value] = values(gathered, title).values()
    return value


def spent(*stages):
    return sum(Spend(**DEMO["stages"][stage]["spend"]).flops for stage in stages)


@pytest.mark.parametrize(("name", "index"), PANELS)
def test_no_query_of_a_panel_is_empty(gathered, name, index):
    assert gathered[name].panels[index].empty() == ()


def test_every_run_namespace_and_operator_can_be_chosen(monitored):
    offered = {"namespace": {monitored.namespace}, "run": {"sums", "traces", "mistaken", "live"}, "operator": {HOME}}
    asked_for = {one.name: str(one.query) for name in NAMES for one in read(name).variables if one.every is not None}
    assert asked_for.keys() == offered.keys()
    for variable, query in asked_for.items():
        series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query.replace("$namespace", ".*")).groups()
        found = {sample.labels[label] for sample in monitored.server.query(f"group by ({label}) ({series})")}
        assert found == offered[variable], variable


def test_savings_are_those_of_the_run(gathered):
    [overall] = DEMO["results"]["evaluation"]["slices"]
    base, tuned = overall["base"], overall["tuned"]
    saved = 1 - tuned["tokens"]["value"] / base["tokens"]["value"]
    assert one(gathered["savings"], "Tokens saved") == pytest.approx(saved)
    better = 100 * (tuned["accuracy"]["value"] - base["accuracy"]["value"])
    assert one(gathered["savings"], "Accuracy gained") == pytest.approx(better)
    even = DEMO["results"]["cost"]["breakEvenAnswers"]
    assert one(gathered["savings"], "Pays back after") == even
    assert one(gathered["savings"], "At that pace") == pytest.approx(even / 10_000)
    assert values(gathered["savings"], "Tokens per answer") == {
        "sums · all · base": base["tokens"]["value"],
        "sums · all · tuned": tuned["tokens"]["value"],
    }


def test_what_runs_have_spent_is_counted_once_and_live_pods_are_not_among_it(gathered):
    found = values(gathered["savings"], "FLOPs by stage")
    twice = ("exits", "endings", "pruning")
    assert found["exits"] == pytest.approx(2 * spent("exits"))
    assert found["rollout"] == pytest.approx(spent("rollout")), "of `sums` it came from the cache"
    once = set(STAGES) - {*twice, "pairs"}
    assert sum(found.values()) == pytest.approx(2 * spent(*twice) + spent(*once))


def test_one_run_can_be_looked_at_alone(asked):
    assert sum(values(asked("savings", run="traces"), "FLOPs by stage").values()) == pytest.approx(
        spent("rollout", "exits", "endings", "pruning")
    )
    assert values(asked("savings", run="traces"), "Tokens saved") == {}, "it was never evaluated"
    assert list(values(asked("runs", run="live"), "Progress")) == ["live-rollout-1-a1b2c3d4-0-x7k2p"]
    assert values(asked("runs", run="sums"), "Loss") == {}, "no pod of it is training"
    assert values(asked("savings", namespace="elsewhere"), "FLOPs by stage") == {}


def test_attempts_hits_and_verdicts_are_told_by_cause(gathered):
    runs = gathered["runs"]
    failed = values(runs, "Failed attempts by cause")
    assert failed == {
        "rollout · infrastructure": 1,
        "exits · application": 1,
        "preflight · application": 1,
    }
    assert values(runs, "Pods lost")["PreemptionByScheduler"] == 1
    hits = {name: value for name, value in values(runs, "Cache").items() if name.endswith("hit")}
    assert hits == {"rollout · hit": 1}
    verdicts = values(runs, "Judge's verdicts")
    assert verdicts["drop"] == JUDGED["verdicts_drop"]
    assert verdicts["keep"] + verdicts["drop"] == JUDGED["verdicts"]
    assert (one(runs, "Succeeded"), one(runs, "Failed")) == (2, 1)
    assert one(runs, "Runs at work") == 1


def test_live_pods_are_seen_at_work(gathered):
    runs = gathered["runs"]
    assert 0 < values(runs, "Progress")["live-rollout-1-a1b2c3d4-0-x7k2p"] < 1
    assert highest(runs, "Tokens a second")["rollout · generated"] > 0
    assert highest(runs, "Inputs a second")["rollout"] > 0


def test_the_operator_is_seen_to_be_well(gathered):
    operator = gathered["operator"]
    assert one(operator, "Leaders") == 1
    assert values(operator, "Looks a second").keys() == {"done", "failed", "not_leading"}
    assert any(name.startswith("PATCH 200") for name in values(operator, "Requests"))


def test_the_command_s_page_shows_the_figures_and_complains_of_nothing(monitored, browser, tmp_path):
    page = tmp_path / "d.html"
    command = [sys.executable, "-m", "dto_jobs", "dashboard", "--prometheus", monitored.server.url, "--out", str(page)]
    done = subprocess.run([*command, "--hours", "0.05"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document, console = browser.open(page.read_text())
    assert console == []
    assert "42.0&nbsp;%" in document, "tokens saved"
    assert "34.3&nbsp;k" in document, "answers to break-even"
    drawn = sum(panel.kind in {"timeseries", "bargauge"} for name in NAMES for panel in read(name).panels)
    assert document.count('<svg class="chart') == drawn
    assert "nothing in this time" not in document


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_its_window(gathered, browser, width):
    assert browser.fits(render(list(gathered.values()), "http://prometheus:9090", {}), width)


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_is_drawn_whole(gathered, browser, tmp_path, name):
    wanted = os.environ.get("DTO_PICTURES")
    page = render([gathered[name]], "http://prometheus:9090", {})
    for width, dark in itertools.product(WIDTHS, (False, True)) if wanted else [(1400, False)]:
        picture = Path(wanted or tmp_path).absolute() / f"dashboard-{name}-{width}{'-dark' if dark else ''}.png"
        browser.draw(page, picture, width, dark=dark)
        across, down = struct.unpack(">II", picture.read_bytes()[16:24])
        assert across == width
        assert down > 1400, "higher than a window"
