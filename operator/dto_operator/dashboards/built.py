"""The dashboards as Grafana reads them."""

import json
from collections.abc import Callable

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dto_operator.dashboards.health import health
from dto_operator.dashboards.runs import runs
from dto_operator.dashboards.savings import savings

DASHBOARDS: dict[str, Callable[[], Dashboard]] = {"savings": savings, "runs": runs, "operator": health}
"""By the name of their file: for whoever pays, for who makes models, for who runs the platform."""


def text(name: str) -> str:
    """Return a dashboard's JSON."""
    built = DASHBOARDS[name]().build()
    for number, panel in enumerate(built.panels or (), start=1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=1, ensure_ascii=False) + "\n"
