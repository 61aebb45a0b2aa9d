"""The texts that run together: entering with shared beginnings computed once, one token each per step, leaving."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from transformers import PreTrainedModel

from dto_jobs.engines.attention import ROWS, round_up
from dto_jobs.engines.prefixes import Beginning, Prefixes
from dto_jobs.engines.sampling import draw, seed_of
from dto_jobs.engines.slots import SlotCache
from dto_jobs.stage import Request

PIECE = 1024
"""Tokens of a prompt that enter in one pass: bounds the attention mask of a long one."""
AT_ONCE = 8192
"""Tokens of all prompts in one pass."""


@dataclass(eq=False, slots=True)
class Row:
    """A text under way."""

    request: Request
    prompt: list[int]
    limit: int
    cached: int = 0
    drawn: list[int] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        self.seed = seed_of(self.request.key)

    @property
    def known(self) -> int:
        """Tokens whose keys and values the row holds: all but the newest."""
        return len(self.prompt) + len(self.drawn) - 1


class Batch:
    """Rows 0 … n-1 of a slot cache and the texts in them."""

    def __init__(self, model: PreTrainedModel, slots: int, prefixes: Prefixes) -> None:
        self._model = model
        self._device = model.device
        self._prefixes = prefixes
        self.cache = SlotCache(model.config, slots, model.dtype, model.device)
        self.rows: list[Row] = []
        self._ready = False

    def enter(self, rows: Sequence[Row]) -> None:
        """Add rows, computing their prompts up to the last token, which the next step feeds in."""
        copies: dict[tuple[int, ...], list[Row]] = {}
        for row in rows:
            copies.setdefault(tuple(row.prompt), []).append(row)
        first = [same[0] for same in copies.values()]
        # The longest of a family goes ahead, so that the others find in it what they share.
        longest = {row.request.family: row for row in sorted(first, key=lambda row: len(row.prompt))}
        ahead = {row for row in first if not row.request.family or longest[row.request.family] is row}
        self._fill([row for row in first if row in ahead])
        self._fill([row for row in first if row not in ahead])
        self._copy([(same[0], one) for same in copies.values() for one in same[1:]])
        self._ready = False

    def _fill(self, rows: Sequence[Row]) -> None:
        """Put rows in place: what is known of their beginning is copied, the rest computed, similar lengths together."""
        found = {row: self._prefixes.find(row.request.family, row.prompt[:-1]) for row in rows}
        for row in rows:
            row.cached = found[row][0]
        order = sorted(rows, key=lambda row: row.known - row.cached)
        start = len(self.rows)
        for row in order:
            if (beginning := found[row][1]) is not None:
                self.cache.put(len(self.rows), beginning)
            self.rows.append(row)
        for chunk in _chunks([row for row in order if row.known > row.cached]):
            self._compute(self.rows.index(chunk[0], start), chunk)
        for place, row in enumerate(order, start):
            if row.request.family and row.known > row.cached:
                self._prefixes.add(row.request.family, Beginning(row.prompt[:-1], self.cache.take(place, row.known)))

    def _compute(self, first: int, rows: Sequence[Row]) -> None:
        """Compute the keys and values of prompts that lie in neighbouring rows, padded to the right."""
        starts = torch.tensor([row.cached for row in rows])[:, None]
        length = round_up(max(row.known - row.cached for row in rows), ROWS)
        tokens = torch.zeros(len(rows), length, dtype=torch.long)
        for place, row in enumerate(rows):
            rest = row.prompt[row.cached : -1]
            tokens[place, : len(rest)] = torch.tensor(rest)
        last = int(starts.max())
        for begin in range(0, length, PIECE):
            piece = tokens[:, begin : begin + PIECE].to(self._device)
            positions = (starts + torch.arange(begin, begin + piece.shape[1])).to(self._device)
            mask = self.cache.look_at(first, positions, last + begin + piece.shape[1] - 1)
            self._model.get_decoder()(
                input_ids=piece,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
            )

    def _copy(self, pairs: Sequence[tuple[Row, Row]]) -> None:
        """Put rows in place whose prompt another row has too."""
        place = {row: number for number, row in enumerate(self.rows)}
        for known, same in groupby(pairs, key=lambda pair: pair[0].known):
            targets = []
            sources = []
            for source, row in same:
                row.cached = known
                sources.append(place[source])
                targets.append(len(self.rows))
                self.rows.append(row)
            self.cache.move(sources, targets, known)

    def _prepare(self) -> None:
        """Set up what every step needs, after rows came or went. Rows beyond the last text are idle company."""
        idle = max(0, ROWS - len(self.rows))
        device = self._device
        self._tokens = torch.tensor([(row.drawn or row.prompt)[-1] for row in self.rows] + [0] * idle, device=device)
        self._positions = torch.tensor([row.known for row in self.rows] + [0] * idle, device=device)
        self._steps = torch.tensor([len(row.drawn) for row in self.rows], device=device)
        self._seeds = torch.tensor([row.seed for row in self.rows], device=device)
        self._temperature = torch.tensor([row.request.temperature for row in self.rows], device=device)
        self._top_p = torch.tensor([row.request.top_p for row in self.rows], device=device)
        self._last = max(row.known for row in self.rows)
        self._ready = True

    def step(self) -> None:
        """Draw one more token for every row."""
        if not self._ready:
            self._prepare()
        logits = self._model(
            input_ids=self._tokens[:, None],
            attention_mask=self.cache.look_at(0, self._positions[:, None], self._last),
            position_ids=self._positions[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits[: len(self.rows), -1]
        drawn = draw(logits, self._temperature, self._top_p, self._seeds, self._steps)
        for row, token in zip(self.rows, drawn.tolist(), strict=True):
            row.drawn.append(token)
        self._tokens[: len(self.rows)] = drawn
        self._positions[: len(self.rows)] += 1
        self._steps += 1
        self._last += 1

    def leave(self, gone: Sequence[int]) -> None:
        """Take out the rows at these places; the last ones move into the gaps."""
        if not gone:
            return
        left = len(self.rows) - len(gone)
        gaps = [place for place in gone if place < left]
        leaving = set(gone)
        movers = [place for place in range(left, len(self.rows)) if place not in leaving]
        if movers:
            self.cache.move(movers, gaps, max(self.rows[place].known for place in movers))
        for gap, mover in zip(gaps, movers, strict=True):
            self.rows[gap] = self.rows[mover]
        del self.rows[left:]
        self._ready = False


def _chunks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield neighbouring rows, given by rising length, that enter in one pass."""
    chunk: list[Row] = []
    for row in rows:
        if chunk and (len(chunk) + 1) * (row.known - row.cached) > AT_ONCE:
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk
