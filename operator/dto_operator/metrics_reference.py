"""docs/operator-metrics.md: what the operator shows at `/metrics`. `make docs` writes it."""

import sys
from pathlib import Path

from dto_jobs.cli.field_table import HEAD
from dto_jobs.metrics import metrics_table
from dto_operator.metrics import OPERATOR_METRICS

OPENING = """# The operator's metrics

The operator shows these at `/metrics` of its own port. Live pods show [theirs](metrics.md).
[Alerts](alerts.md) and dashboards are made of both.

What a run has spent and found (`namespace` and `run` among the labels) is read from the statuses of the runs that exist: it outlives pods
and restarts of the operator, grows while the run is at work, and ends with the run; a whole run is some dozens of series.
Of several replicas the one that leads shows it. Pods show tokens, FLOPs and GPU time under the same names without `run`:
add up one or the other, as in `sum(dto_tokens_total{run!=""})`.
Everything else counts from the operator's start, as `rate()` expects of a process.

"""


def page() -> str:
    """Return the page."""
    return HEAD + OPENING + metrics_table(OPERATOR_METRICS)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
