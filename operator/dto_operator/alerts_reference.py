"""docs/alerts.md: the alerts and recording rules of the chart, from the files that Prometheus reads. `make docs` writes it."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from dto_jobs.cli.field_table import HEAD

OPENING = """# Alerts and recording rules

The chart ships them as PrometheusRules where the cluster knows these (`metrics.rules` in [its values](values.md)).
Without the Prometheus operator, name the files in `charts/dto-operator/files/rules` among the `rule_files` of your Prometheus.
They read [the operator's metrics](operator-metrics.md), and [those of pods](metrics.md) for trainings. The chart's monitors scrape
the operator with `honorLabels`, and pods with their label `dto.run/run`; by hand,
so must you: a run's series carry its own namespace.

`critical`: runs stand still or are in danger, look now. `warning`: look today. `info`: something to know before the next step.

## Alerts

| alert | severity | fires after | |
|---|---|---|---|
"""
RECORDED = """
## Recording rules

| series | what Prometheus computes |
|---|---|
"""


def rules(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield the rules of Prometheus' rule files."""
    for path in files:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


def page(files: Sequence[Path]) -> str:
    """Return the page."""
    held = list(rules(files))
    alerts = "".join(_alert(rule) for rule in held if "alert" in rule)
    recorded = "".join(f"| `{rule['record']}` | `{_line(rule['expr'])}` |\n" for rule in held if "record" in rule)
    return HEAD + OPENING + alerts + RECORDED + recorded


def _alert(rule: dict[str, Any]) -> str:
    name, notes = rule["alert"], rule["annotations"]
    runbook = f"runbooks/{notes['runbook_url'].rpartition('/')[2]}"
    return (
        f"| [{name}]({runbook}) | {rule['labels']['severity']} | {rule.get('for', 'at once')} | {notes['summary']} |\n"
    )


def _line(expression: str) -> str:
    """Return an expression as one line that a table can hold."""
    return " ".join(expression.split()).replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[-1]).write_text(page(sorted(map(Path, sys.argv[1:-1]))), encoding="utf-8")
