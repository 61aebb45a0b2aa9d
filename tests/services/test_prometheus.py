"""The Prometheus that other tests ask is a real one, and says what it was given."""

import time
from wsgiref.simple_server import WSGIServer

import pytest
from prometheus import QueryError, Target, promtool, started
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

pytestmark = pytest.mark.services

RULES = """
groups:
  - name: tests
    rules:
      - record: dto:tests:doubled
        expr: 2 * dto_tests_value
      - alert: TestsValueHigh
        expr: dto:tests:doubled > 80
        labels: {severity: warning}
"""


@pytest.fixture
def shown():
    registry = CollectorRegistry()
    server: WSGIServer
    server, thread = start_http_server(0, "127.0.0.1", registry)
    yield registry, f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_target_shows_is_found(prometheus, shown):
    registry, address = shown
    Gauge("dto_tests_value", "A value.", ["namespace"], registry=registry).labels("of-the-run").set(41)
    server = prometheus(Target(address, "operator", {"namespace": "of-the-pod", "pod": "operator-0"}))
    (sample,) = server.query("dto_tests_value + 1")
    assert sample == ({"job": "operator", "namespace": "of-the-run", "pod": "operator-0", "instance": address}, 42)
    assert server.value("sum(up)") == 1
    with pytest.raises(QueryError, match="parse error"):
        server.query("sum(up")


def test_values_change_with_the_target(prometheus, shown):
    registry, address = shown
    counted = Counter("dto_tests", "Things.", registry=registry)
    began = time.time()
    server = prometheus(Target(address))
    counted.inc(3)
    server.scraped()
    assert server.value("dto_tests_total") == 3
    ((labels, curve),) = server.curve("dto_tests_total", began, time.time() + 1, 0.1)
    assert labels["__name__"] == "dto_tests_total"
    assert curve[-1][1] == 3


def test_rules_are_evaluated(prometheus, shown, tmp_path):
    registry, address = shown
    Gauge("dto_tests_value", "A value.", registry=registry).set(41)
    (tmp_path / "rules.yaml").write_text(RULES)
    server = prometheus(Target(address), rules=(tmp_path / "rules.yaml",))
    assert server.until("dto:tests:doubled")[0].value == 82
    server.until('ALERTS{alertstate="firing"}')
    assert server.firing()["TestsValueHigh"]["severity"] == "warning"


def test_a_target_that_is_gone_is_told(shown, tmp_path):
    _, address = shown
    server = started(tmp_path, (Target(address), Target("127.0.0.1:9", "gone")))
    try:
        server.until("up == 0")
        server.until("up == 1")
        ((name, why),) = server.troubles()
    finally:
        server.kill()
    assert name == "http://127.0.0.1:9/metrics"
    assert "refused" in why


def test_promtool_checks(tmp_path):
    (tmp_path / "good.yaml").write_text(RULES)
    (tmp_path / "bad.yaml").write_text(RULES.replace("> 80", "> "))
    assert promtool("check", "rules", tmp_path / "good.yaml").returncode == 0
    assert "TestsValueHigh" in promtool("check", "rules", tmp_path / "bad.yaml").stderr
    assert "no help text" in promtool("check", "metrics", content="a_total 1\n").stderr
