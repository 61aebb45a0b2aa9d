"""The operator knows when it is not well."""

import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from dto_operator.health import SLOW_LOOP_SECONDS, SLOW_QUEUE_SECONDS, Health, operator_samples, served

WATCHED = ("dtoruns", "jobs")


class Signs:
    """A health whose clock and queue are set by hand."""

    def __init__(self):
        self.now, self.waiting, self.leads = 0.0, 0.0, True
        self.health = Health(WATCHED, 60, lambda: self.waiting, lambda: self.now, lambda: self.leads)
        self.live()

    def live(self):
        self.health.loop_turned()
        for watch in WATCHED:
            self.health.watch_renewed(watch)


def test_who_shows_signs_of_life_is_well():
    signs = Signs()
    for _ in range(100):
        signs.now += 60
        signs.live()
        assert signs.health.troubles() == []


def test_a_watch_that_falls_silent_is_noticed():
    signs = Signs()
    for _ in range(3):
        signs.now += 61
        signs.health.loop_turned()
        signs.health.watch_renewed("jobs")
    assert [trouble for trouble in signs.health.troubles() if "dtoruns" in trouble] == signs.health.troubles() != []


def test_how_long_a_watch_may_be_silent_is_shown_beside_how_long_it_was():
    signs = Signs()
    signs.now += signs.health.watch_allowed
    signs.health.loop_turned()
    shown = {metric.name: value for metric, _, value in operator_samples(signs.health, lambda: 0, dict, "1")}
    assert shown["dto_operator_watch_age_seconds"] == shown["dto_operator_watch_allowed_seconds"]
    assert signs.health.troubles() == []
    signs.now += 1
    signs.health.loop_turned()
    assert len(signs.health.troubles()) == len(WATCHED)


def test_a_loop_that_is_stuck_is_noticed():
    signs = Signs()
    signs.now = SLOW_LOOP_SECONDS + 1
    assert ["loop" in trouble for trouble in signs.health.troubles()] == [True]


def test_a_run_that_waits_too_long_is_noticed_unless_another_replica_works():
    signs = Signs()
    signs.waiting = SLOW_QUEUE_SECONDS + 1
    assert ["waited" in trouble for trouble in signs.health.troubles()] == [True]
    signs.leads = False
    assert signs.health.troubles() == []


def asked(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def server():
    signs = Signs()
    one = served(signs.health, CollectorRegistry(), 0)
    yield signs, one.server_port
    one.shutdown()
    one.server_close()


def test_it_is_told_to_whoever_asks(server):
    signs, port = server
    assert asked(port, "/healthz") == (200, "ok\n")
    assert asked(port, "/metrics")[0] == 200
    assert asked(port, "/other")[0] == 404
    signs.now = 1000.0
    code, text = asked(port, "/healthz")
    assert code == 503
    assert "dtoruns" in text
    assert asked(port, "/readyz")[0] == 503


def test_it_is_ready_when_every_watch_was_begun():
    signs = Signs()
    signs.health = Health(WATCHED, 60, lambda: 0.0, lambda: 0.0)
    signs.health.watch_renewed("jobs")
    assert signs.health.missing() == ["dtoruns is not watched yet"]
