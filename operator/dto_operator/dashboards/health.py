"""The dashboard for the platform: is the operator well, does it keep up, and what does it ask of the API server."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dto_jobs.metrics import Metric
from dto_operator.dashboards.frame import framed, with_operators, with_row
from dto_operator.dashboards.panels import Panels, Query, bars, lines, number, word
from dto_operator.dashboards.queries import CHOSEN_OPERATOR, RATE, events, of_operator, pace, quantile
from dto_operator.metrics import (
    AGE,
    BUILD,
    DEPTH,
    HANDOFF,
    LAG,
    LEADER,
    RECONCILE_SECONDS,
    RECONCILED,
    REQUESTS,
    WATCH_AGE,
    WATCH_ALLOWED,
)

POD = "{{pod}}"
SHARES = {"median": 0.5, "99 %": 0.99}


def health() -> Dashboard:
    """Return the dashboard."""
    purpose = (
        "The operator itself: how quickly it looks at runs, how fresh its watches are, what it asks of the API server."
    )
    made = with_operators(framed("operator", "Operator", purpose, 6))
    with_row(made, "Is it well?", _now())
    with_row(made, "Looking at runs", _looks())
    return with_row(made, "The API server", _server())


def own(metric: Metric) -> str:
    """Return the series of the operator that is looked at."""
    return of_operator(metric, CHOSEN_OPERATOR)


def _now() -> Panels:
    return [
        number("Leaders", "Replicas at work: 1 is right; 0 means nobody works, 2 for more than a moment that two do.",
               Query(f"sum({own(LEADER)})", ""), "short"),
        number("Runs waiting", "Runs that wait to be looked at.", Query(f"sum({own(DEPTH)})", ""), "short"),
        number("Longest wait", "How long the run has waited that waits longest.",
               Query(f"max({own(AGE)})", ""), "s"),
        number("Oldest watch", "Since a watch was last begun or renewed, which is done every minute or as the settings say; "
               "`/healthz` complains of one that is silent.", Query(f"max({own(WATCH_AGE)})", ""), "s"),
        number("Hand-off, median", "From the last success of a pod being seen to the next Job, in the time shown.",
               Query(quantile(0.5, HANDOFF, matchers=(CHOSEN_OPERATOR,)), ""), "s"),
        word("Version", "What is at work.", Query(f"max by (version) ({own(BUILD)})", "{{version}}")),
    ]  # fmt: skip


def _looks() -> Panels:
    return [
        lines("Looks a second", "Runs looked at, by outcome: `done`, `failed`, `not_leading`.",
              [Query(pace(own(RECONCILED), "outcome"), "{{outcome}}")], "short"),
        lines("Duration of a look", "From taking a run up to its status being written, requests included.",
              _quantiles(RECONCILE_SECONDS), "s"),
        lines("Hand-off", "From the last success of a pod being seen to the next Job.", _quantiles(HANDOFF), "s"),
        lines("Runs waiting", "Runs that wait to be looked at.", [Query(own(DEPTH), POD)], "short"),
        lines("Longest wait", "How long the run has waited that waits longest.", [Query(own(AGE), POD)], "s"),
        lines("Leader", "1: this replica works; 0: it waits for the Lease.", [Query(own(LEADER), POD)],
              "short"),
    ]  # fmt: skip


def _server() -> Panels:
    return [
        lines("Requests a second", "Requests to the API server, by verb and code; code 0: no answer.",
              [Query(pace(own(REQUESTS), "verb", "code"), "{{verb}} {{code}}")], "reqps", stacked=True).span(6),
        bars("Requests", "Requests to the API server in the time shown.",
             [Query(f"sort_desc({events(REQUESTS, 'verb', 'code', matchers=(CHOSEN_OPERATOR,))} > 0)",
                    "{{verb}} {{code}}")], "short").span(6),
        lines("Age of watches", "Since each watch was begun or renewed.",
              [Query(f"max by (watch) ({own(WATCH_AGE)})", "{{watch}}"),
               Query(f"max({own(WATCH_ALLOWED)})", "silent from here on")], "s").span(6),
        lines("Loop lag", "Since the loop that hears the watches last turned; it grows where something blocks it.",
              [Query(own(LAG), POD)], "s").span(6),
    ]  # fmt: skip


def _quantiles(metric: Metric) -> list[Query]:
    return [
        Query(quantile(share, metric, over=RATE, matchers=(CHOSEN_OPERATOR,)), name) for name, share in SHARES.items()
    ]
