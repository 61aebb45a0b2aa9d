"""Attention for one and for many tokens against the formula, and the same bits whatever stands beside."""

import pytest

pytest.importorskip("torch")
import torch
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.engines.attention import KEYS, attend, round_up, visible

pytestmark = pytest.mark.engines


def slow(query, key, value, mask, scaling):
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    weights = (query @ key.transpose(2, 3) * scaling + mask).softmax(-1)
    return (weights @ value).transpose(1, 2)


@given(
    seed=st.integers(0, 999),
    rows=st.integers(1, 5),
    heads=st.sampled_from([(1, 1), (4, 1), (9, 3), (4, 4)]),
    count=st.sampled_from([1, 2, 7]),
    start=st.integers(0, 40),
)
def test_attention_is_softmax_of_scaled_products(seed, rows, heads, count, start):
    made = torch.Generator().manual_seed(seed)
    length = start + count + 3
    query = torch.randn(rows, heads[0], count, 8, generator=made)
    key, value = torch.randn(2, rows, heads[1], length, 8, generator=made)
    positions = torch.arange(start, start + count).expand(rows, -1)
    mask = visible(positions, round_up(length, 16), torch.float32)
    found, _ = attend(torch.nn.Identity(), query, key, value, mask, 0.3)
    assert torch.allclose(found, slow(query, key, value, mask[..., :length], 0.3), atol=1e-5)


def test_a_position_sees_itself_and_what_came_before():
    mask = visible(torch.tensor([[0, 2]]), 4, torch.float32)
    assert (mask == 0).tolist() == [[[[True, False, False, False], [True, True, True, False]]]]


@pytest.mark.parametrize(("number", "unit", "up"), [(0, 4, 0), (1, 4, 4), (4, 4, 4), (KEYS + 1, KEYS, 2 * KEYS)])
def test_rounding_up(number, unit, up):
    assert round_up(number, unit) == up
