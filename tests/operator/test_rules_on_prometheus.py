"""Rules and names against what a real operator and real stages show: nothing a rule asks for is missing or ambiguous."""

import re
import urllib.request
from pathlib import Path

import pytest
from prometheus import promtool

from dto_operator.alerts_reference import rules

pytestmark = pytest.mark.services
FILES = sorted((Path(__file__).parents[2] / "charts/dto-operator/files/rules").glob("*.yaml"))
RULES = list(rules(FILES))
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
QUIET = {"namespace:dto_stage_handoff_seconds:p99_5m", "stage:dto_stage_queue_seconds:p90_1h"}
"""Quantiles, which need a rate and so more than the few scrapes there are of one value."""


def expression(rule):
    """Return what a rule computes, with recorded series computed in place."""
    text = rule["expr"]
    for name, recorded in RECORDED.items():
        text = text.replace(name, f"({recorded})")
    return text


@pytest.mark.parametrize("job", ["operator", "stages"])
def test_promtool_finds_nothing_to_say_of_what_is_shown(monitored, job):
    places = [sample.labels["instance"] for sample in monitored.server.query(f'up{{job="{job}"}}')]
    assert places
    for place in places:
        with urllib.request.urlopen(f"http://{place}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        assert "dto_" in text
        done = promtool("check", "metrics", content=text)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_prometheus_computes_every_rule(monitored, rule):
    found = monitored.server.query(expression(rule))
    if "record" in rule and rule["record"] not in QUIET:
        assert found


def test_a_stage_that_failed_because_of_the_store_is_seen_by_its_alert(monitored):
    (alert,) = (rule for rule in RULES if rule.get("alert") == "DtoBucketErrors")
    (found,) = monitored.server.query(expression(alert))
    assert (found.labels["stage"], found.labels["reason"]) == ("rollout", "StoreFailed")


def test_a_whole_run_is_some_dozens_of_series(monitored):
    assert 30 < monitored.server.value('count({run="sums", job="operator"})') < 120


def test_a_pod_that_was_preempted_is_counted_once(monitored):
    assert monitored.server.value('dto_pods_lost_total{reason="PreemptionByScheduler"}') == 1


def test_a_status_that_changed_is_as_old_as_the_api_server_says(monitored):
    [changed] = monitored.server.query('dto_run_changed_timestamp_seconds{run="sums"}')
    assert changed.value >= monitored.began - 1
    assert changed.labels["namespace"] == monitored.namespace


def test_what_failed_is_counted_by_its_reason(monitored):
    reasons = {
        sample.labels["stage"]: sample.labels["reason"]
        for sample in monitored.server.query("dto_stage_failures_total > 0")
    }
    assert reasons == {"rollout": "StoreFailed", "exits": "OutOfMemory", "preflight": "UnusableInput"}


def test_series_of_a_run_end_when_it_is_deleted(monitored, runs):
    held = 'count({run="mistaken"})'
    assert monitored.server.query(held)
    others = monitored.server.value('count({run!="", run!="mistaken"})')
    path = f"/apis/dto.run/v1alpha1/namespaces/{monitored.namespace}/dtoruns/mistaken"
    assert runs.server.admin.ask("DELETE", path).code == 200
    monitored.server.until(f"absent({held})")
    assert monitored.server.value('count({run!=""})') == others


def test_every_recorded_name_says_its_labels_and_what_was_done():
    assert [name for name in RECORDED if not re.fullmatch(r"[a-z_]+:dto_[a-z_]+:[a-z0-9_]+", name)] == []
