"""What is asked of a Prometheus, and what is said when it is none."""

import pytest

from dto_jobs.dashboard.prometheus import USUAL, Prometheus
from dto_jobs.errors import PrometheusError


def test_what_is_no_number_is_left_out(played, answer):
    played.answers["query_range"] = answer(({"stage": "exits"}, [(1, "2"), (2, "NaN"), (3, "+Inf"), (4, "5")]))
    [series] = Prometheus(played.url).over("up", 1, 4, 1)
    assert series.labels == {"stage": "exits"}
    assert series.points == ((1, 2.0), (4, 5.0))


def test_an_address_may_have_a_path_and_a_query_goes_whole(played):
    Prometheus(played.url + "/prometheus/").now('sum(a{b="c&d"}) + 1', 12.5)
    assert played.asked == [("query", {"query": 'sum(a{b="c&d"}) + 1', "time": "12.500"})]


@pytest.mark.parametrize("address", ["localhost:9090", "file:///etc/passwd", ""])
def test_an_address_that_is_none_is_refused_before_anything_is_asked(address):
    with pytest.raises(PrometheusError, match="write it as http://"):
        Prometheus(address)


def test_where_nothing_answers_the_address_and_a_remedy_are_named():
    with pytest.raises(PrometheusError, match=r"nothing answers at http://127\.0\.0\.1:1: .*port-forward"):
        Prometheus("http://127.0.0.1:1").now("up", 1)


@pytest.mark.parametrize("page", [b"<html>Grafana</html>", b"[]", b'{"message": "not found"}'])
def test_what_is_no_prometheus_is_told_from_one(played, page):
    played.code, played.answers["query"] = 404, page
    with pytest.raises(PrometheusError, match="is not a Prometheus: it answers with code 404"):
        Prometheus(played.url).now("up", 1)


def test_a_query_that_is_refused_is_shown_with_the_reason(played):
    played.code, played.answers["query"] = 400, {"status": "error", "error": "unexpected )"}
    with pytest.raises(PrometheusError, match=r"refuses the query sum\(\)\): unexpected \)"):
        Prometheus(played.url).now("sum())", 1)


def test_the_time_between_scrapes_is_that_of_most_targets(played):
    targets = [{"scrapeInterval": text} for text in ("15s", "1m30s", "1m30s", "500ms")]
    played.answers["targets"] = {"status": "success", "data": {"activeTargets": targets}}
    assert Prometheus(played.url).scrape_seconds() == 90


def test_a_front_that_knows_no_targets_is_taken_to_scrape_as_usual(played):
    played.code, played.answers["targets"] = 404, b"no such path"
    assert Prometheus(played.url).scrape_seconds() == USUAL
