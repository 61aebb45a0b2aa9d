import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dto_jobs.core.cost import (
    FORMULA,
    ModelShape,
    Spend,
    attention_flops,
    break_even,
    dense_flops,
    inference,
    response_flops,
    total,
    training,
)

TINY = ModelShape(parameters=1000, layers=2, width=8)
counts = st.integers(min_value=0, max_value=500)


def test_a_completion_costs_what_a_hand_computes() -> None:
    # Prompt 3, generated 2: positions 0 … 3 pass through the model, with contexts of 1, 2, 3 and 4 tokens.
    spend = inference(TINY, prompt=3, generated=2)
    assert spend.dense_flops == 2 * 1000 * 4
    assert spend.attention_flops == 4 * 2 * 8 * (1 + 2 + 3 + 4)
    assert spend.flops == 8000 + 640


def test_cached_prompt_tokens_are_counted_apart_and_cost_nothing() -> None:
    spend = inference(TINY, prompt=3, cached=2, generated=2)
    assert (spend.prompt_computed, spend.prompt_cached, spend.generated) == (1, 2, 2)
    assert spend.dense_flops == 2 * 1000 * 2
    assert spend.attention_flops == 4 * 2 * 8 * (3 + 4)


def test_a_prompt_without_answer_costs_its_own_positions() -> None:
    assert inference(TINY, prompt=5, generated=0).dense_flops == 2 * 1000 * 5


@given(start=counts, more=counts)
def test_the_closed_form_of_attention_is_the_sum_over_positions(start: int, more: int) -> None:
    explicit = sum(4 * TINY.layers * TINY.width * (position + 1) for position in range(start, start + more))
    assert attention_flops(TINY, start, start + more) == explicit


@given(prompt=counts, cached=counts, generated=st.integers(min_value=1, max_value=500))
def test_a_cache_saves_exactly_the_positions_it_holds(prompt: int, cached: int, generated: int) -> None:
    cached = min(prompt, cached)
    whole = inference(TINY, prompt=prompt, generated=generated)
    rest = inference(TINY, prompt=prompt, cached=cached, generated=generated)
    saved = dense_flops(TINY, cached) + attention_flops(TINY, 0, cached)
    assert whole.flops == rest.flops + saved
    assert (whole.dense_flops, whole.attention_flops) == response_flops(TINY, prompt, generated)


@given(lengths=st.lists(st.integers(min_value=1, max_value=300), max_size=8))
def test_training_takes_three_forward_passes(lengths: list[int]) -> None:
    spend = training(TINY, lengths)
    # A prompt of n tokens with nothing generated is one forward pass over n positions.
    forward = sum(inference(TINY, prompt=length, generated=0).flops for length in lengths)
    assert spend.flops == 3 * forward
    assert (spend.trained, spend.requests, spend.generated) == (sum(lengths), len(lengths), 0)


@given(pieces=st.lists(st.tuples(counts, counts), max_size=6))
def test_spends_add_up_field_by_field(pieces: list[tuple[int, int]]) -> None:
    spends = [inference(TINY, prompt=prompt, generated=generated) for prompt, generated in pieces]
    whole = total(spends)
    for field in Spend.model_fields:
        assert getattr(whole, field) == sum(getattr(spend, field) for spend in spends)


def test_a_run_breaks_even_after_spent_over_saved_answers() -> None:
    assert break_even(100.0, 4.0) == 25.0


@pytest.mark.parametrize("saved", [0.0, -3.0])
def test_a_run_that_saves_nothing_never_breaks_even(saved: float) -> None:
    assert break_even(100.0, saved) is None


def test_flops_beyond_64_bit_integers_survive_json() -> None:
    spend = inference(ModelShape(parameters=10**12, layers=100, width=10**5), prompt=10**7, generated=10**6)
    assert spend.flops > 2**63
    assert Spend.model_validate_json(spend.model_dump_json()) == spend


def test_a_shape_without_layers_is_refused() -> None:
    with pytest.raises(ValidationError, match="layers"):
        ModelShape(parameters=1, layers=0, width=1)


def test_the_written_formula_names_every_number_of_the_shape() -> None:
    assert all(symbol in FORMULA for symbol in ("N:", "L:", "d:"))
