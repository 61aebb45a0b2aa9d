from dto_jobs.core.ending import Ending, shortest_correct


def test_the_shortest_correct_ending_wins_even_if_a_wrong_one_is_shorter():
    endings = [Ending("long", 9, correct=True), Ending("wrong", 1, correct=False), Ending("short", 4, correct=True)]
    assert shortest_correct(endings) == endings[2]


def test_the_earliest_of_equals_wins():
    endings = [Ending("first", 4, correct=True), Ending("second", 4, correct=True)]
    assert shortest_correct(endings) == endings[0]


def test_no_correct_ending_is_none():
    assert shortest_correct([Ending("wrong", 1, correct=False)]) is None
    assert shortest_correct([]) is None
