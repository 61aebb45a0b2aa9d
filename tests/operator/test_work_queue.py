"""The queue gives each key to one worker at a time, and forgets none."""

import threading

from dto_operator.work_queue import LONGEST_WAIT, WorkQueue


class Clock:
    """A clock that is turned by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_many_events_are_one_look():
    queue = WorkQueue()
    for _ in range(3):
        queue.add("a")
    assert queue.depth == 1
    assert queue.take() == "a"
    assert queue.depth == 0


def test_a_key_is_worked_on_by_one_and_looked_at_again_afterwards():
    queue = WorkQueue()
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    queue.add("b")
    assert queue.take() == "b"
    queue.done("a")
    assert queue.take() == "a"


def test_who_came_first_is_served_first():
    queue = WorkQueue()
    for key in "abc":
        queue.add(key)
    assert [queue.take() for _ in range(3)] == ["a", "b", "c"]


def test_what_is_due_later_comes_when_it_is_due_and_the_earliest_date_counts():
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add_later("a", 10)
    queue.add_later("a", 5)
    queue.add_later("a", 20)
    queue.add("b")
    assert queue.take() == "b"
    clock.now = 5.0
    assert queue.take() == "a"
    queue.done("a")
    clock.now = 100.0
    queue.add("c")
    assert queue.take() == "c"
    assert queue.depth == 0


def test_who_waits_is_woken_by_an_event():
    queue = WorkQueue()
    taken = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.add("a")
    thread.join(timeout=60)
    assert taken == ["a"]


def test_who_waits_is_woken_when_something_gets_due():
    queue = WorkQueue()
    taken = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.add_later("a", 0.05)
    thread.join(timeout=60)
    assert taken == ["a"]


def test_failing_keys_wait_ever_longer_up_to_a_limit_and_a_success_ends_that():
    clock = Clock()
    queue = WorkQueue(clock)
    waits = []
    for _ in range(20):
        queue.add("a")
        assert queue.take() == "a"
        waits.append(queue.failed("a"))
        clock.now += waits[-1]
    assert waits == sorted(waits)
    assert waits[1] == 2 * waits[0]
    assert waits[-1] == LONGEST_WAIT
    assert queue.take() == "a"
    queue.done("a")
    queue.add("a")
    queue.take()
    assert queue.failed("a") == waits[0]


def test_the_age_is_that_of_the_one_that_waits_longest():
    clock = Clock()
    queue = WorkQueue(clock)
    assert queue.oldest_seconds == 0
    queue.add("a")
    clock.now = 3.0
    queue.add("b")
    clock.now = 4.0
    assert queue.oldest_seconds == 4
    queue.take()
    assert queue.oldest_seconds == 1


def test_nobody_waits_for_less_than_no_time():
    ticks = iter(range(100))
    assert WorkQueue(clock=lambda: float(next(ticks))).oldest_seconds == 0


def test_a_forgotten_key_does_not_come_back():
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add_later("a", 1)
    queue.add("a")
    queue.forget("a")
    clock.now = 5.0
    queue.add("b")
    assert queue.take() == "b"
    assert queue.depth == 0


def test_closing_lets_everybody_go():
    queue = WorkQueue()
    taken = []
    threads = [threading.Thread(target=lambda: taken.append(queue.take())) for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.close()
    for thread in threads:
        thread.join(timeout=60)
    assert taken == [None] * 3
