"""Panels with what Prometheus answers: everything a page shows, before it is drawn."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dto_jobs.dashboard.definition import Dashboard, Panel, Target
from dto_jobs.dashboard.prometheus import Prometheus, Series

POINTS = 180
"""Of a line."""
PLACE = re.compile(r"{{\s*(\w+)\s*}}")


@dataclass(frozen=True)
class Window:
    """The time that is shown."""

    end: float
    """In seconds since 1970."""
    seconds: float
    scrape: float = 60.0
    """Seconds between scrapes."""

    @property
    def start(self) -> float:
        """When it begins: whole steps before its end, so that the last point of a line is how things are at the end."""
        return self.end - math.floor(self.seconds / self.step) * self.step

    @property
    def step(self) -> float:
        """Seconds between the points of a line."""
        return max(1.0, self.seconds / POINTS)

    def values(self) -> dict[str, str]:
        """Return the variables that follow from it, as Grafana's do."""
        steady = max(self.step + self.scrape, 4 * self.scrape)
        return {"__range": f"{self.seconds:.0f}s", "__rate_interval": f"{steady:.0f}s"}


@dataclass(frozen=True)
class Named:
    """A series, as its legend calls it."""

    name: str
    series: Series
    target: str
    """The query that found it."""

    @property
    def last(self) -> float:
        """Its last value."""
        return self.series.points[-1][1]


@dataclass(frozen=True)
class Shown:
    """A panel and what was found for it, without series that have no number."""

    panel: Panel
    found: tuple[Named, ...] = ()

    def empty(self) -> tuple[str, ...]:
        """Return the queries that found nothing."""
        full = {one.target for one in self.found}
        return tuple(target.expression for target in self.panel.targets if target.name not in full)


@dataclass(frozen=True)
class Gathered:
    """A dashboard, asked."""

    name: str
    dashboard: Dashboard
    window: Window
    panels: tuple[Shown, ...] = field(default=())


def gather(
    name: str, dashboard: Dashboard, prometheus: Prometheus, window: Window, chosen: Mapping[str, str]
) -> Gathered:
    """Ask everything that a dashboard shows; `chosen` has the variables that a person has chosen."""
    values = {variable.name: variable.unchosen for variable in dashboard.variables} | window.values() | dict(chosen)
    shown = (Shown(panel, tuple(_found(panel, prometheus, window, values))) for panel in dashboard.panels)
    return Gathered(name, dashboard, window, tuple(shown))


def _found(panel: Panel, prometheus: Prometheus, window: Window, values: Mapping[str, str]) -> Iterator[Named]:
    for target in panel.targets:
        query = target.asked(values)
        if panel.kind == "timeseries":
            answer = prometheus.over(query, window.start, window.end, window.step)
        else:
            answer = prometheus.now(query, window.end)
        yield from (Named(_name(target, one), one, target.name) for one in answer if one.points)


def _name(target: Target, series: Series) -> str:
    return PLACE.sub(lambda place: series.labels.get(place[1], ""), target.legend)
