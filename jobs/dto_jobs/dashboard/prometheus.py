"""Asks a Prometheus, or whatever answers as it does."""

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import dataclass
from typing import Any

from dto_jobs.errors import PrometheusError

SECONDS = 30.0
"""How long an answer may take."""
USUAL = 60.0
"""Seconds between scrapes where nobody says otherwise."""
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Series:
    """Values over time under one set of labels; what is no number is left out."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]
    """Time in seconds, and value."""


class Prometheus:
    """A Prometheus by its address."""

    def __init__(self, url: str) -> None:
        if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            raise PrometheusError(f"{url} is no address of a Prometheus; write it as http://HOST:9090")
        self.url = url.rstrip("/")

    def now(self, query: str, at: float) -> list[Series]:
        """Return what a query finds at a moment."""
        found = self._asked("query", query=query, time=f"{at:.3f}")["data"]["result"]
        return [_series(one["metric"], [one["value"]]) for one in found]

    def over(self, query: str, start: float, end: float, step: float) -> list[Series]:
        """Return what a query finds in a time, every `step` seconds."""
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        found = self._asked("query_range", query=query, **times)["data"]["result"]
        return [_series(one["metric"], one["values"]) for one in found]

    def scrape_seconds(self) -> float:
        """Return how often most targets are scraped; as is usual, where this does not know its targets."""
        try:
            targets = self._asked("targets", state="active")["data"].get("activeTargets", ())
        except PrometheusError:
            return USUAL
        intervals = Counter(_seconds(target["scrapeInterval"]) for target in targets)
        return intervals.most_common(1)[0][0] if intervals else USUAL

    def _asked(self, what: str, **values: str) -> Any:  # noqa: ANN401 - JSON
        data = urllib.parse.urlencode(values)
        request = urllib.request.Request(f"{self.url}/api/v1/{what}?{data}")  # noqa: S310 - http or https, see above
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - as above
                code, text = answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                code, text = refusal.code, refusal.read()
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or error
            raise PrometheusError(
                f"nothing answers at {self.url}: {why}; see that Prometheus is up and can be reached from here, for one in a "
                "cluster by `kubectl port-forward`"
            ) from error
        return self._understood(code, text, values.get("query", what))

    def _understood(self, code: int, text: bytes, query: str) -> Any:  # noqa: ANN401 - JSON
        try:
            answer = json.loads(text)
            status = answer["status"]
        except (ValueError, TypeError, KeyError) as error:
            raise PrometheusError(
                f"{self.url} is not a Prometheus: it answers with code {code} and {text[:60]!r}; name the address under which "
                "/api/v1/query is"
            ) from error
        if status != "success":
            raise PrometheusError(f"{self.url} refuses the query {query}: {answer.get('error', answer)}")
        return answer


def _series(labels: dict[str, str], pairs: list[tuple[float, str]]) -> Series:
    numbers = ((time, float(value)) for time, value in pairs)
    return Series(labels, tuple((time, value) for time, value in numbers if math.isfinite(value)))


def _seconds(text: str) -> float:
    """Return a duration as Prometheus writes it (`1m30s`) in seconds."""
    total, number = 0.0, ""
    rest = text
    while rest:
        if rest[0].isdigit():
            number, rest = number + rest[0], rest[1:]
            continue
        unit = next(unit for unit in UNITS if rest.startswith(unit))
        total, number, rest = total + float(number) * UNITS[unit], "", rest[len(unit) :]
    return total
