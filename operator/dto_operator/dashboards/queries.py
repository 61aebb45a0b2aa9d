"""PromQL over the metrics that `metrics.py` names: what panels ask Prometheus.

What a run has spent and found is shown by the operator with a label `run`, and by live pods under the same name without
it: a query takes the one (`of_runs`) or the other (`of_pods`), since both together would count twice.
"""

import re

from dto_jobs.metrics import Metric
from dto_operator import names
from dto_operator.metrics import OF_RUN

RANGE = "$__range"
"""The whole time shown."""
RATE = "$__rate_interval"
"""As long as a rate needs to be steady."""
ANSWERS_A_DAY, OPERATOR = "answers_per_day", "operator"
"""Variables: how many answers a day a tuned model gives, and which operator is looked at, by its namespace."""
ALL = "all"
"""The name of an evaluation's slice that holds all problems."""
POD_RUN = re.sub(r"\W", "_", names.RUN)
"""What Prometheus makes of the pods' label with the run's name, which the PodMonitor takes over."""


def of_runs(metric: Metric, *matchers: str) -> str:
    """Return the chosen runs' series, each once, however many replicas of the operator show it."""
    chosen = ", ".join(('run!=""', 'namespace=~"$namespace"', 'run=~"$run"', *matchers))
    return f"max by ({', '.join(metric.labels)}) ({metric.name}{{{chosen}}})"


def of_pods(metric: Metric, *matchers: str) -> str:
    """Return the series of the chosen runs' live pods."""
    chosen = ", ".join(('run=""', 'namespace=~"$namespace"', f'{POD_RUN}=~"$run"', *matchers))
    return f"{metric.name}{{{chosen}}}"


def of_operator(metric: Metric, *matchers: str) -> str:
    """Return series of the operator itself, or of several."""
    return f"{metric.name}{{{', '.join(matchers)}}}" if matchers else metric.name


CHOSEN_OPERATOR = f'namespace=~"${OPERATOR}"'
"""Picks the series of the operator that is looked at."""


def total(series: str, *by: str) -> str:
    """Return the sum of series, one for each value of the labels."""
    return f"sum by ({', '.join(by)}) ({series})" if by else f"sum({series})"


def each_run(series: str, function: str = "sum") -> str:
    """Return what a function makes of each run's series."""
    return f"{function} by ({', '.join(OF_RUN)}) ({series})"


def risen(metric: Metric, *by: str, matchers: tuple[str, ...] = ()) -> str:
    """Return how much a counter of the operator has risen in the time shown."""
    return total(f"increase({of_operator(metric, *matchers)}[{RANGE}])", *by)


def events(metric: Metric, *by: str, matchers: tuple[str, ...] = ()) -> str:
    """Return how many events a counter has counted in the time shown: as `risen`, which reckons up to the edges, in whole."""
    return f"round({risen(metric, *by, matchers=matchers)})"


def pace(series: str, *by: str) -> str:
    """Return by how much counters rise a second."""
    return total(f"rate({series}[{RATE}])", *by)


def quantile(share: float, metric: Metric, *by: str, over: str = RANGE, matchers: tuple[str, ...] = ()) -> str:
    """Return the value of a histogram that this share of its observations stays below."""
    buckets = of_operator(metric, *matchers).replace(metric.name, f"{metric.name}_bucket", 1)
    growth = "increase" if over == RANGE else "rate"
    return f"histogram_quantile({share}, {total(f'{growth}({buckets}[{over}])', 'le', *by)})"


def sum_of(metric: Metric) -> Metric:
    """Return the counter of all that a histogram has observed, added up."""
    return Metric(f"{metric.name}_sum", "counter", metric.labels, metric.meaning)


def fall(metric: Metric, *by: str) -> str:
    """Return by which share an answer's figure falls from the base model to the tuned one, over all problems."""
    tuned, base = (total(of_runs(metric, *of_model(variant)), *by) for variant in ("tuned", "base"))
    return f"1 - {tuned} / {base}"


def of_model(variant: str) -> tuple[str, ...]:
    """Return what picks one model's figures over all problems."""
    return f'variant="{variant}"', f'benchmark="{ALL}"'
