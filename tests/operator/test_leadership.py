"""Two replicas and one Lease, in memory and with clocks turned by hand: the faults here cannot be made on a real server."""

import copy

from dto_operator.cluster import ConflictError, MissingError, UnavailableError
from dto_operator.leadership import Leadership

SECONDS = 15


class Store:
    """A Lease as an API server keeps it."""

    def __init__(self) -> None:
        self.held, self.version, self.down = None, 0, False

    def lease(self, _namespace, _name):
        self._reach()
        if self.held is None:
            raise MissingError(404, "NotFound", "")
        return copy.deepcopy(self.held)

    def create_lease(self, lease):
        self._reach()
        if self.held is not None:
            raise ConflictError(409, "AlreadyExists", "")
        return self._keep(lease)

    def replace_lease(self, lease):
        self._reach()
        if lease["metadata"]["resourceVersion"] != self.held["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "")
        return self._keep(lease)

    def _reach(self):
        if self.down:
            raise UnavailableError(0, "", "no answer")

    def _keep(self, lease):
        self.version += 1
        self.held = copy.deepcopy(lease)
        self.held["metadata"]["resourceVersion"] = str(self.version)
        return self.held


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def pair():
    store, clock = Store(), Clock()
    return store, clock, *(Leadership(store, "ns", name, SECONDS, clock) for name in ("a", "b"))


def test_one_of_two_leads_and_goes_on_leading():
    _, clock, a, b = pair()
    for second in range(0, 120, 3):
        clock.now = float(second)
        a.attempt()
        b.attempt()
        assert (a.leading, b.leading) == (True, False)


def test_a_leader_that_cannot_renew_steps_down_before_the_other_may_take_over():
    store, clock, a, b = pair()
    a.attempt()
    b.attempt()
    led_last, took_over = 0.0, None
    for step in range(1, 200):
        clock.now = step / 10
        if a.leading:
            led_last = clock.now
        b.attempt()
        assert not (a.leading and b.leading)
        if b.leading:
            took_over = clock.now
            break
    assert took_over is not None
    assert led_last < took_over <= SECONDS + 1
    a.attempt()
    assert not a.leading
    assert store.held["spec"]["leaseTransitions"] == 1


def test_a_server_that_does_not_answer_makes_nobody_leader():
    store, clock, a, b = pair()
    a.attempt()
    store.down = True
    clock.now = 100.0
    a.attempt()
    b.attempt()
    assert not a.leading
    assert not b.leading


def test_a_late_replica_does_not_trust_the_clock_of_the_holder():
    store, _, a, b = pair()
    a.attempt()
    store.held["spec"]["renewTime"] = "2001-01-01T00:00:00.000000Z"
    b.attempt()
    assert not b.leading


def test_the_lease_is_given_back_at_the_end():
    _, _, a, b = pair()
    a.attempt()
    a.release()
    assert not a.leading
    b.attempt()
    assert b.leading


def test_of_two_that_are_equally_fast_one_wins():
    store, _, a, b = pair()
    create = store.create_lease

    def later(lease):
        store.create_lease = create
        a.attempt()
        return create(lease)

    store.create_lease = later
    b.attempt()
    assert a.leading
    assert not b.leading
