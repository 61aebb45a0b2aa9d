"""A sweep's candidates, what is held out, and which candidate is chosen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dto_jobs.core.sweep import HeldOut, Sweep, chosen, held_out


def test_candidates_are_every_combination_of_what_is_named():
    assert list(Sweep(beta=(1, 2), nll=(0.0, 1.0)).candidates()) == [
        {"beta": 1.0, "nll": 0.0},
        {"beta": 1.0, "nll": 1.0},
        {"beta": 2.0, "nll": 0.0},
        {"beta": 2.0, "nll": 1.0},
    ]


@pytest.mark.parametrize(
    "values", [{}, {"beta": (1.0,)}, {"beta": range(1, 6), "nll": range(4)}], ids=["none", "one", "twenty"]
)
def test_one_candidate_and_too_many_are_refused(values):
    with pytest.raises(ValidationError, match="that make 2 to 16 candidates"):
        Sweep(**{name: tuple(map(float, numbers)) for name, numbers in values.items()})


def test_values_that_no_training_could_have_are_refused():
    with pytest.raises(ValidationError, match="greater than 0"):
        Sweep(beta=(0.0, 1.0))


@given(
    count=st.integers(4, 300),
    share=st.floats(0.05, 0.9),
    most=st.integers(2, 50),
    seed=st.integers(0, 9),
    data=st.data(),
)
def test_what_is_held_out_hangs_on_ids_and_seed_alone(count, share, most, seed, data):
    ids = [f"problem-{number}" for number in range(count)]
    settings = HeldOut(share=share, problems=most)
    held = held_out(ids, settings, seed)
    again = data.draw(st.permutations(ids)) + data.draw(st.lists(st.sampled_from(ids)))
    assert held_out(again, settings, seed) == held
    assert len(held) == len(set(held)) == max(2, min(most, round(share * count)))
    assert set(held) <= set(ids)


def test_another_seed_holds_out_others():
    ids = [str(number) for number in range(200)]
    assert held_out(ids, HeldOut(), 0) != held_out(ids, HeldOut(), 1)


def candidate(tokens, missed=0.0, accepted=None):
    return {"accepted": missed == 0 if accepted is None else accepted, "missed": missed, "tokens": {"value": tokens}}


FAILED = {"failed": "diverged"}


@pytest.mark.parametrize(
    ("candidates", "place"),
    [
        ([candidate(90), candidate(80), candidate(85)], 1),
        ([candidate(10, missed=0.2), candidate(90)], 1),
        ([candidate(10, missed=0.2), candidate(90, missed=0.1)], 1),
        ([candidate(50, missed=0.1), candidate(40, missed=0.1)], 1),
        ([candidate(10, accepted=False), candidate(90)], 1),
        ([FAILED, candidate(90, missed=3.0)], 1),
        ([candidate(80), candidate(80)], 0),
        ([FAILED, FAILED], None),
    ],
    ids=[
        "fewest tokens",
        "gate first",
        "missed by least",
        "then tokens",
        "a slice lost",
        "failed",
        "first",
        "all failed",
    ],
)
def test_the_gate_comes_first_then_what_is_missed_then_tokens(candidates, place):
    assert chosen(candidates) == place
