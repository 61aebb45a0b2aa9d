"""The keys and values of all running texts: one block of memory, one row per text, rows always without gaps."""

from collections.abc import Sequence

import torch
from transformers import Cache, PreTrainedConfig

from dto_jobs.engines.attention import KEYS, ROWS, round_up, visible


class SlotCache(Cache):
    """A transformers cache whose rows are texts of different lengths.

    `block` is [2 · layers, rows, key heads, capacity, head size]: keys and values of a layer lie one after the other.
    """

    def __init__(self, config: PreTrainedConfig, rows: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(layers=[])
        heads = config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads
        self._form = (2 * config.num_hidden_layers, max(rows, ROWS), config.num_key_value_heads, size)
        self.block = self._new(0, dtype, device)
        self._rows = torch.zeros(0)
        self._positions = torch.zeros(0)
        self._first = self._count = self._keys = 0

    def _new(self, capacity: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        layers, rows, heads, size = self._form
        return torch.zeros(layers, rows, heads, capacity, size, dtype=dtype, device=device)

    @property
    def position_bytes(self) -> int:
        """Bytes that one token of one row takes."""
        layers, _, heads, size = self._form
        return int(layers * heads * size * self.block.element_size())

    @property
    def capacity(self) -> int:
        """How many tokens a row can hold before the block must grow."""
        return int(self.block.shape[3])

    def reserve(self, length: int) -> None:
        """Make room for rows of so many tokens, growing by half at least so that copying stays rare."""
        if length > self.capacity:
            grown = self._new(round_up(max(length, self.capacity * 3 // 2), KEYS), self.block.dtype, self.block.device)
            grown[:, :, :, : self.capacity] = self.block
            self.block = grown

    def look_at(self, first: int, positions: torch.Tensor, last: int) -> torch.Tensor:
        """Let the next forward pass write rows `first` … at `positions` [rows, tokens]; return its attention mask.

        `last` is the largest position, known to the caller without asking the device.
        """
        self.reserve(last + 1)
        self._first, self._count = first, len(positions)
        self._positions = positions
        self._rows = torch.arange(first, first + self._count, device=positions.device)[:, None]
        self._keys = round_up(last + 1, KEYS)
        return visible(positions, self._keys, self.block.dtype)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write a layer's new keys and values and return all that the rows may look at."""
        keys, values = self.block[2 * layer_idx], self.block[2 * layer_idx + 1]
        keys[self._rows, :, self._positions] = key_states.transpose(1, 2)
        values[self._rows, :, self._positions] = value_states.transpose(1, 2)
        rows = slice(self._first, self._first + self._count)
        return keys[rows, :, : self._keys], values[rows, :, : self._keys]

    def move(self, sources: Sequence[int], targets: Sequence[int], length: int) -> None:
        """Copy the first `length` tokens of rows onto other rows."""
        self.block[:, list(targets), :, :length] = self.block[:, list(sources), :, :length]

    def take(self, row: int, length: int) -> torch.Tensor:
        """Return a copy of a row's first tokens, [2 · layers, key heads, length, head size]."""
        return self.block[:, row, :, :length].clone()

    def put(self, row: int, beginning: torch.Tensor) -> None:
        """Write what `take` returned as a row's beginning."""
        self.reserve(beginning.shape[2])
        self.block[:, row, :, : beginning.shape[2]] = beginning
