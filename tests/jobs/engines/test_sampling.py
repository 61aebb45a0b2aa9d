"""Draws against the distribution they should come from, row by row."""

import pytest

pytest.importorskip("torch")
import torch
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.engines.sampling import FIRST_LOOK, chance, draw, seed_of

pytestmark = pytest.mark.engines


def many(logits, count, temperature=1.0, top_p=1.0):
    """Draw often from one distribution, one row per draw."""
    rows = torch.tensor(logits).expand(count, -1)
    seeds = torch.arange(count)
    return draw(rows, torch.full((count,), temperature), torch.full((count,), top_p), seeds, torch.zeros_like(seeds))


def test_chance_is_spread_evenly_and_no_step_tells_the_next():
    seeds = torch.tensor([seed_of(f"key {n}") for n in range(200)])[:, None].expand(-1, 200)
    numbers = chance(seeds, torch.arange(200).expand(200, -1))
    assert 0 <= float(numbers.min()) <= float(numbers.max()) < 1
    tenths = torch.histc(numbers, 10, 0, 1) / numbers.numel()
    assert (tenths - 0.1).abs().max() < 0.01
    together = torch.stack([numbers[:, :-1].flatten(), numbers[:, 1:].flatten()])
    assert abs(float(torch.corrcoef(together)[0, 1])) < 0.02


def test_draws_follow_the_tempered_distribution():
    logits = [2.0, 1.0, 0.0, -1.0]
    drawn = torch.bincount(many(logits, 40_000, temperature=0.7), minlength=4) / 40_000
    wanted = (torch.tensor(logits) / 0.7).softmax(-1)
    assert (drawn - wanted).abs().max() < 0.01


def test_the_nucleus_is_the_fewest_tokens_that_reach_top_p():
    # Probabilities 0.4, 0.3, 0.2, 0.1 in another order: 0.6 is reached by the first two.
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log().tolist()
    drawn = torch.bincount(many(logits, 40_000, top_p=0.6), minlength=4) / 40_000
    assert drawn[[0, 2]].tolist() == [0, 0]
    assert float(drawn[1]) == pytest.approx(4 / 7, abs=0.01)


def test_a_flat_distribution_reaches_beyond_the_first_look():
    drawn = many([0.0] * 4 * FIRST_LOOK, 4_000, top_p=0.95)
    assert int(drawn.unique().numel()) > 3 * FIRST_LOOK


def test_temperature_nought_takes_the_likeliest_beside_rows_that_do_not():
    logits = torch.tensor([0.0, 1.0, 0.5]).expand(64, -1)
    temperature = torch.tensor([0.0, 5.0]).repeat(32)
    drawn = draw(logits, temperature, torch.ones(64), torch.arange(64), torch.zeros(64, dtype=torch.long))
    assert set(drawn[::2].tolist()) == {1}
    assert len(set(drawn[1::2].tolist())) == 3


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 9), size=st.integers(2, 60), flat=st.booleans())
def test_a_row_is_drawn_alike_alone_and_among_others(seed, rows, size, flat):
    made = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, size, generator=made) * (0.1 if flat else 3)
    temperature, top_p = torch.rand(2, rows, generator=made)
    seeds = torch.randint(-(2**62), 2**62, (rows,), generator=made)
    steps = torch.arange(rows)
    together = draw(logits, temperature, top_p, seeds, steps)
    alone = [draw(*(part[row : row + 1] for part in (logits, temperature, top_p, seeds, steps))) for row in range(rows)]
    assert together.tolist() == torch.cat(alone).tolist()


@pytest.mark.parametrize("draw_at", [0.0, 1 - 2**-24])
def test_the_ends_of_chance_fall_inside_the_nucleus(monkeypatch, draw_at):
    monkeypatch.setattr("dto_jobs.engines.sampling.chance", lambda seeds, _: torch.full(seeds.shape, draw_at))
    drawn = many(torch.tensor([0.5, 0.3, 0.2]).log().tolist(), 1, top_p=0.7)
    assert drawn.item() == (0 if draw_at == 0 else 1)
