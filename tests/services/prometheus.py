"""A real Prometheus for tests: it scrapes what it is given, evaluates rules, and answers queries."""

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from service_process import PATIENCE, Service, built, free_port

SCRAPED_SECONDS = 0.5
"""Targets are asked so often, and rules are evaluated so often: tests wait for either."""


class QueryError(Exception):
    """Prometheus did not answer a query; its own words say why."""


class Sample(NamedTuple):
    """One series and its value at one moment."""

    labels: Mapping[str, str]
    value: float


class Target(NamedTuple):
    """What is scraped: an address with `/metrics`, as a job, with labels as a PodMonitor would give them."""

    address: str
    job: str = "tests"
    labels: Mapping[str, str] = {}
    honor_labels: bool = True
    """A series' own labels win over the target's, as the chart's monitors say."""


class PrometheusServer(Service):
    """A Prometheus with a disk of its own."""

    def __init__(self, folder: Path, targets: Sequence[Target], rules: Sequence[Path] = ()) -> None:
        self._targets = targets
        self.url = f"http://127.0.0.1:{free_port()}"
        configuration = folder / "prometheus.yaml"
        configuration.write_text(yaml.safe_dump(_configuration(targets, rules)))
        super().__init__(
            [
                built("prometheus/prometheus") / "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'series'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
                # A hidden flag: else nothing is scraped for the first five seconds.
                "--scrape.discovery-reload-interval=100ms",
                # Several servers side by side do not take all memory for themselves.
                "--no-auto-gomemlimit",
            ],
            self._works,
            folder / "prometheus.log",
        )

    def query(self, promql: str, at: float | None = None) -> list[Sample]:
        """Return the series that a query has now, or had at a moment; QueryError where it is not understood."""
        moment = {} if at is None else {"time": at}
        found = self._asked("query", query=promql, **moment)
        if found["resultType"] in {"scalar", "string"}:
            return [Sample({}, float(found["result"][1]))]
        return [Sample(one["metric"], float(one["value"][1])) for one in found["result"]]

    def curve(self, promql: str, start: float, end: float, step: float) -> list[tuple[dict[str, str], list[Any]]]:
        """Return each series that a query has over a time, with its pairs of moment and value, as a panel asks."""
        found = self._asked("query_range", query=promql, start=start, end=end, step=step)
        return [(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in found["result"]]

    def value(self, promql: str) -> float:
        """Return the one value that a query has."""
        (sample,) = self.query(promql)
        return sample.value

    def scraped(self) -> None:
        """Wait until every target was scraped after now; AssertionError names those that cannot be."""
        fresh = f"count((up == 1) and (timestamp(up) > {time.time():.3f}))"
        end = time.monotonic() + PATIENCE
        while [sample.value for sample in self.query(fresh)] != [len(self._targets)]:
            assert time.monotonic() < end, self.troubles()
            time.sleep(0.05)

    def until(self, promql: str) -> list[Sample]:
        """Wait until a query has a series, and return what it has."""
        end = time.monotonic() + PATIENCE
        while not (found := self.query(promql)):
            assert time.monotonic() < end, f"still nothing: {promql}"
            time.sleep(0.05)
        return found

    def firing(self) -> dict[str, dict[str, str]]:
        """Return the labels of alerts that fire, by name."""
        alerts = self._asked("alerts")["alerts"]
        return {one["labels"]["alertname"]: one["labels"] for one in alerts if one["state"] == "firing"}

    def _works(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def troubles(self) -> list[tuple[str, str]]:
        """Return the targets that cannot be scraped, and why."""
        active = self._asked("targets", state="active")["activeTargets"]
        return [(one["scrapeUrl"], one["lastError"]) for one in active if one["health"] != "up"]

    def _asked(self, what: str, **arguments: object) -> Any:
        query = urllib.parse.urlencode({key: str(value) for key, value in arguments.items()})
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{what}?{query}", timeout=60) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise QueryError(refusal.read().decode()) from refusal


def _configuration(targets: Sequence[Target], rules: Sequence[Path]) -> dict[str, Any]:
    often = f"{SCRAPED_SECONDS * 1000:.0f}ms"
    return {
        "global": {"scrape_interval": often, "scrape_timeout": often, "evaluation_interval": often},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {
                # Several targets of one job differ in nothing but their address and labels.
                "job_name": f"{number}-{target.job}",
                "honor_labels": target.honor_labels,
                "static_configs": [{"targets": [target.address], "labels": {**target.labels, "job": target.job}}],
            }
            for number, target in enumerate(targets)
        ],
    }


def started(folder: Path, targets: Sequence[Target], rules: Sequence[Path] = ()) -> PrometheusServer:
    """Return a Prometheus that is ready, with its files in a folder of its own."""
    for attempt in range(3):
        (folder / str(attempt)).mkdir(parents=True)
        server = PrometheusServer(folder / str(attempt), targets, rules)
        try:
            server.start()
        except RuntimeError:
            # Another program may have taken the port in between.
            if attempt == 2:
                raise
        else:
            return server
    raise AssertionError


def promtool(*arguments: str | Path, content: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run `promtool`; standard input gets the content."""
    command = [built("prometheus/promtool") / "promtool", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, input=content)


class Watching:
    """Starts a Prometheus for given targets, any number of times in a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: list[PrometheusServer] = []

    def __call__(self, *targets: Target, rules: Sequence[Path] = ()) -> PrometheusServer:
        """Return one that is ready and has scraped all targets."""
        server = started(self._folder / f"prometheus-{len(self._servers)}", targets, rules)
        self._servers.append(server)
        server.scraped()
        return server

    def kill(self) -> None:
        """End all of them."""
        for server in self._servers:
            server.kill()


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Watching]:
    """Starts a Prometheus: `prometheus(Target("127.0.0.1:8080"))`."""
    watching = Watching(tmp_path)
    yield watching
    watching.kill()
