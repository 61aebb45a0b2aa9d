"""The dashboards' JSON: made from code, whole, and asking only for what there is."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dto_jobs.dashboard.definition import NAMES
from dto_jobs.dashboard.units import written
from dto_jobs.metrics import STAGE_METRICS
from dto_operator.dashboards.built import DASHBOARDS, text
from dto_operator.dashboards.panels import COLUMNS
from dto_operator.dashboards.queries import POD_RUN
from dto_operator.metrics import OPERATOR_METRICS, TOKEN_KINDS

ROOT = Path(__file__).parents[2]
FOLDERS = ("charts/dto-operator/files/dashboards", "jobs/dto_jobs/dashboard/definitions")
METRICS = {metric.name: metric for metric in (*STAGE_METRICS, *OPERATOR_METRICS)}
HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


def panels(name):
    return [panel for panel in json.loads(text(name))["panels"] if panel["type"] != "row"]


def queries(name):
    return [target["expr"] for panel in panels(name) for target in panel["targets"]]


def asked(query):
    """Return the metrics that a query names."""
    words = re.findall(r"\bdto_\w+", re.sub(r'"[^"]*"', "", query))
    return {word if word in METRICS else HISTOGRAM.sub("", word) for word in words if word != POD_RUN}


def shared(names):
    """Return the names under which operator and pods show different things."""
    stage = {metric.name for metric in STAGE_METRICS}
    return stage & {metric.name for metric in OPERATOR_METRICS} & names


@pytest.mark.parametrize("name", DASHBOARDS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_the_files_are_what_the_code_says(folder, name):
    assert (ROOT / folder / f"{name}.json").read_text() == text(name), "run `make dashboards`"


def test_chart_and_command_have_the_same_dashboards_and_no_others():
    assert tuple(DASHBOARDS) == NAMES
    for folder in FOLDERS:
        assert {file.stem for file in (ROOT / folder).iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafana_s_own_model_reads_a_dashboard_without_losing_anything(name):
    held = json.loads(text(name))
    assert json.loads(json.dumps(Dashboard.from_json(held), cls=JSONEncoder)) == held


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_says_what_it_shows_and_in_which_unit(name):
    for panel in panels(name):
        assert re.fullmatch(r"[A-Z0-9`].*\.", panel["description"]), panel["title"]
        units = [panel["fieldConfig"]["defaults"].get("unit")] if panel["type"] != "table" else []
        units += [
            each["value"]
            for one in panel["fieldConfig"]["overrides"]
            for each in one["properties"]
            if each["id"] == "unit"
        ]
        assert units
        assert all(written(1.5, unit) for unit in units), panel["title"]
        assert {target["refId"] for target in panel["targets"]} <= set("ABCDEFGHIJ")
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_fill_the_grid_and_do_not_overlap(name):
    lines = {}
    for panel in json.loads(text(name))["panels"]:
        place = panel["gridPos"]
        lines.setdefault(place["y"], []).append((place["x"], place["w"], place["h"]))
    ends = sorted((y, y + max(h for _, _, h in row)) for y, row in lines.items())
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(ends))
    for row in lines.values():
        places = [x + offset for x, width, _ in row for offset in range(width)]
        assert sorted(places) == list(range(COLUMNS))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_queries_ask_only_for_metrics_that_there_are(name):
    for query in queries(name):
        assert asked(query), query
        assert asked(query) <= METRICS.keys(), query


def test_what_the_operator_shows_is_on_a_dashboard():
    seen = {metric for name in DASHBOARDS for query in queries(name) for metric in asked(query)}
    assert {metric.name for metric in OPERATOR_METRICS} - seen == set()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_query_takes_the_operator_s_series_or_the_pods_and_never_both(name):
    for query in queries(name):
        for metric in shared(asked(query)):
            selectors = re.findall(rf"{metric}\{{([^}}]*)\}}", query)
            assert len(selectors) == query.count(metric), f"{query} takes series of both kinds"
            kinds = {kind for one in selectors for kind in re.findall(r'\brun(?:!=|=)""', one)}
            assert len(kinds) == 1, query
            # Replicas that wait show runs as well.
            assert "max by" in query or kinds == {'run=""'}, query


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_of_a_query_can_be_chosen_or_is_grafana_s(name):
    known = {variable["name"] for variable in json.loads(text(name))["templating"]["list"]}
    used = {one for query in queries(name) for one in re.findall(r"\$\{?(\w+)", query)}
    assert used <= known | {"__range", "__rate_interval"}
    assert known - used <= {"datasource"}


def test_dashboards_lead_to_each_other():
    held = [json.loads(text(name)) for name in DASHBOARDS]
    assert len({one["uid"] for one in held}) == len(held)
    for one in held:
        [link] = one["links"]
        assert link["type"] == "dashboards"
        assert set(link["tags"]) <= set(one["tags"])
        assert link["includeVars"]
        assert link["keepTime"]


def test_the_operator_does_without_grafana_s_library():
    program = "import sys, dto_operator.operation, dto_jobs.cli.app; print('grafana_foundation_sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_token_kinds_of_operator_and_pods_are_called_alike():
    kinds = next(metric for metric in STAGE_METRICS if metric.name == "dto_tokens_total").meaning
    assert all(f"`{kind}`" in kinds for kind in TOKEN_KINDS.values())
