"""The chart's alerts and recording rules, as the real promtool judges them: each with a case of each kind in rules/."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus import promtool

from dto_jobs.metrics import STAGE_METRICS, Metric
from dto_operator import names
from dto_operator.alerts_reference import page, rules
from dto_operator.metrics import OPERATOR_METRICS, RUN_FLOPS, RUN_GPU_SECONDS, RUN_TOKENS

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "charts/dto-operator/files/rules").glob("*.yaml"))
RULES = list(rules(FILES))
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
HERE = Path(__file__).parent / "rules"
ALERT_CASES, RECORDING_CASES = (
    yaml.safe_load((HERE / f"{name}.yaml").read_text()) for name in ("alerts", "recordings")
)
RUNBOOKS = ROOT / "docs/runbooks"
SECTIONS = ["## What it means", "## How to look", "## What to do"]
BY_BOTH = {RUN_TOKENS.name, RUN_FLOPS.name, RUN_GPU_SECONDS.name}
"""Shown by the operator with `run`, and by pods without."""
SERIES = re.compile(r"(?<![\w:$\"])(?P<name>(?:[a-z_]+:)?dto_\w+(?::\w+)?)(?P<matchers>\{[^}]*\})?")
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def shown(metric: Metric) -> set[str]:
    return {metric.name + suffix for suffix in SUFFIXES[metric.kind]}


def series_of(rule: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the series that a rule reads: their names, and what is asked of their labels."""
    found = [(match["name"], match["matchers"] or "") for match in SERIES.finditer(rule["expr"])]
    # A pod's label, which is named like a metric.
    return [(name, matchers) for name, matchers in found if name != "dto_run_run"]


def alert_test(case: dict[str, Any]) -> dict[str, Any]:
    rule = ALERTS[case["alert"]]
    expected = [
        {
            "exp_labels": {**rule["labels"], **fired["labels"]},
            "exp_annotations": {**rule["annotations"], "description": fired["says"]},
        }
        for fired in case["fires"]
    ]
    asked = {"eval_time": case["at"], "alertname": case["alert"], "exp_alerts": expected}
    return {**described(case["alert"], case), "alert_rule_test": [asked]}


def described(name: str, case: dict[str, Any]) -> dict[str, Any]:
    given = [{"series": series, "values": str(values)} for series, values in case["given"].items()]
    return {"name": f"{name}: {case['case']}", "interval": "1m", "input_series": given}


def recording_test(case: dict[str, Any]) -> dict[str, Any]:
    name = case["record"]
    expected = [{"labels": selector(name, one["labels"]), "value": one["value"]} for one in case["gives"]]
    asked = {"expr": name, "eval_time": case.get("at", "10m"), "exp_samples": expected}
    return {**described(name, case), "promql_expr_test": [asked]}


def selector(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ", ".join(f'{label}="{value}"' for label, value in labels.items()) + "}"


@pytest.mark.services
def test_promtool_finds_nothing_to_say():
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *FILES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.services
@pytest.mark.parametrize(
    "tests", [[*map(alert_test, ALERT_CASES)], [*map(recording_test, RECORDING_CASES)]], ids=["alerts", "recordings"]
)
def test_rules_do_what_their_cases_say(tests, tmp_path):
    written = tmp_path / "cases.yaml"
    # Floating-point numbers are compared as far as a sum in another order keeps them.
    content = {"rule_files": [str(path) for path in FILES], "fuzzy_compare": True, "tests": tests}
    written.write_text(yaml.safe_dump(content, allow_unicode=True))
    done = promtool("test", "rules", written)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.services
def test_a_case_that_is_wrong_is_noticed(tmp_path):
    fires = next(case for case in ALERT_CASES if case["fires"])
    content = {"rule_files": [str(path) for path in FILES], "tests": [alert_test({**fires, "fires": []})]}
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))
    assert promtool("test", "rules", tmp_path / "cases.yaml").returncode != 0


def test_every_rule_has_a_case_of_each_kind():
    for held, key, cases, outcome in (
        (set(ALERTS), "alert", ALERT_CASES, "fires"),
        (RECORDED, "record", RECORDING_CASES, "gives"),
    ):
        for kind in (True, False):
            assert {case[key] for case in cases if bool(case[outcome]) is kind} == held, (outcome, kind)


def test_rules_read_what_we_show_or_record():
    ours = {name for metric in (*OPERATOR_METRICS, *STAGE_METRICS) for name in shown(metric)} | RECORDED
    asked = {name for rule in RULES for name, _ in series_of(rule)}
    assert asked - ours == set()
    assert len(asked) > 15


def test_what_both_runs_and_pods_show_is_taken_from_one_of_them():
    sides = [matchers for rule in RULES for name, matchers in series_of(rule) if name in BY_BOTH]
    assert sides
    assert [matchers for matchers in sides if 'run!=""' not in matchers and 'run=""' not in matchers] == []


def test_rules_ask_for_labels_that_their_series_have():
    known: dict[str, set[str]] = {}
    for metric in (*OPERATOR_METRICS, *STAGE_METRICS):
        for name in shown(metric):
            known.setdefault(name, {"le"} if metric.kind == "histogram" else set()).update(metric.labels)
    for rule in RULES:
        for name, matchers in series_of(rule):
            asked = set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", matchers))
            assert asked <= known.get(name, asked), (name, matchers)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_is_so_where_and_what_to_do(name):
    rule = ALERTS[name]
    notes = rule["annotations"]
    assert re.fullmatch(r"Dto[A-Z][A-Za-z]+", name)
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert notes.keys() == {"summary", "description", "runbook_url"}
    assert "$labels" in notes["description"]
    assert notes["runbook_url"].endswith(f"/docs/runbooks/{name}.md")


def test_every_alert_has_its_page_and_every_page_its_alert():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_a_page_says_what_it_means_how_to_look_and_what_to_do(name):
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == SECTIONS
    looking = text[text.index(SECTIONS[1]) : text.index(SECTIONS[2])]
    assert "```sh\n" in looking


def test_pages_name_commands_and_labels_that_there_are():
    texts = "\n".join(path.read_text() for path in sorted(RUNBOOKS.glob("*.md")))
    verbs = set(re.findall(r"^## kubectl dto (\w+)", (ROOT / "docs/kubectl-dto.md").read_text(), re.MULTILINE))
    assert set(re.findall(r"kubectl dto (\w+)", texts)) - verbs == set()
    labels = set(re.findall(rf"{names.DOMAIN}/\w+(?==)", texts))
    assert labels == {names.RUN, names.STEP}
    ours = {name for metric in (*OPERATOR_METRICS, *STAGE_METRICS) for name in shown(metric)} | RECORDED
    read = {match["name"] for match in SERIES.finditer(texts)}
    assert read - ours == set()
    values = set(re.findall(r"`((?:operator|metrics|networkPolicy|watch)\.[\w.]+)", texts))
    assert [value for value in values if f"`{value}`" not in (ROOT / "docs/values.md").read_text()] == []


def test_the_table_of_alerts_is_the_rules_own():
    assert (ROOT / "docs/alerts.md").read_text() == page(FILES), "run `make docs`"
