"""The texts that run together: entering with shared beginnings computed once, one token each per step, leaving."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

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
    def longest(self) -> int:
        """Tokens that prompt and completion may become together."""
        return len(self.prompt) + self.limit

    @property
    def known(self) -> int:
        """Tokens whose keys and values the row holds: all but the newest."""
        return len(self.prompt) + len(self.drawn) - 1


class Batch:
    """Rows 0 … n-1 of a slot cache and the texts in them."""

    def __init__(self, model: PreTrainedModel, cache: SlotCache, prefixes: Prefixes) -> None:
        self._model = model
        self._device = model.device
        self._prefixes = prefixes
        self._cache = cache
        self.rows: list[Row] = []
        self._ready = False

    def admit(self, waiting: deque[Row]) -> None:
        """Let rows in from the left, as many as there is memory for if every text becomes as long as it may."""
        longest = max((row.longest for row in self.rows), default=0)
        entering: list[Row] = []
        while waiting:
            longest = max(longest, waiting[0].longest)
            places = len(self.rows) + len(entering) + 1
            if places > max(1, self._cache.room(longest)):
                break
            entering.append(waiting.popleft())
        if entering:
            used = max((row.known for row in self.rows), default=0)
            together = len(self.rows) + len(entering)
            self._cache.reserve(together, max(row.longest for row in entering), len(self.rows), used)
            self._enter(entering)

    def _enter(self, rows: Sequence[Row]) -> None:
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
        for source, *same in copies.values():
            if same:
                self._copy(source, same)
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
                self._cache.put(len(self.rows), beginning)
            self.rows.append(row)
        for chunk in _chunks([row for row in order if row.known > row.cached]):
            self._compute(self.rows.index(chunk[0], start), chunk)
        for place, row in enumerate(order, start):
            if row.request.family and row.known > row.cached:
                self._prefixes.add(row.request.family, Beginning(row.prompt[:-1], self._cache.take(place, row.known)))

    def _compute(self, first: int, rows: Sequence[Row]) -> None:
        """Compute the keys and values of prompts that lie in neighbouring rows, padded to the right."""
        starts = torch.tensor([row.cached for row in rows])[:, None]
        length = round_up(max(row.known - row.cached for row in rows), ROWS)
        tokens = torch.zeros(len(rows), length, dtype=torch.long)
        for place, row in enumerate(rows):
            rest = row.prompt[row.cached : -1]
            tokens[place, : len(rest)] = torch.tensor(rest)
        # Padding writes where the prompt's last token will be written before anything looks there.
        ends = torch.tensor([row.known for row in rows])[:, None]
        for begin in range(0, length, PIECE):
            piece = tokens[:, begin : begin + PIECE].to(self._device)
            positions = (starts + torch.arange(begin, begin + piece.shape[1])).minimum(ends)
            mask = self._cache.look_at(first, positions.to(self._device), int(positions.max()))
            self._model.get_decoder()(
                input_ids=piece,
                attention_mask=mask,
                position_ids=positions.to(self._device),
                past_key_values=self._cache,
                use_cache=True,
            )

    def _copy(self, source: Row, rows: Sequence[Row]) -> None:
        """Put rows in place whose prompt another row has too."""
        start = len(self.rows)
        for row in rows:
            row.cached = row.known
        self._cache.copy(self.rows.index(source), slice(start, start + len(rows)), source.known)
        self.rows += rows

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
            attention_mask=self._cache.look_at(0, self._positions[:, None], self._last),
            position_ids=self._positions[:, None],
            past_key_values=self._cache,
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
        for gap, mover in zip(gaps, movers, strict=True):
            self._cache.copy(mover, slice(gap, gap + 1), self.rows[mover].known)
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
