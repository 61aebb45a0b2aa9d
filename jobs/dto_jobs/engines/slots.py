"""The keys and values of all running texts: one block of memory, one row per text, rows always without gaps."""

import math

import numpy as np
import torch
from transformers import Cache, PreTrainedModel

from dto_jobs.engines.attention import KEYS, ROWS, round_up, visible


class SlotCache(Cache):
    """A transformers cache whose rows are texts of different lengths.

    `block` is [2 · layers, rows, key heads, capacity, head size]: keys and values of a layer lie one after the other.
    """

    def __init__(self, model: PreTrainedModel, slots: int, context: int, budget: int) -> None:
        super().__init__(layers=[])
        config = model.config
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._form = (2 * config.num_hidden_layers, config.num_key_value_heads, size)
        self._dtype, self._device = model.dtype, model.device
        self._slots = slots
        self._tokens: int = budget // (math.prod(self._form) * self._dtype.itemsize)
        self._usual: int = max(KEYS, min(round_up(context, KEYS), self._tokens // slots // KEYS * KEYS))
        self.block = self._zeros(self._room(self._usual), self._usual)
        self._rows = self._positions = torch.zeros(0)
        self._first = self._count = self._keys = 0

    def _zeros(self, rows: int, capacity: int) -> torch.Tensor:
        layers, heads, size = self._form
        form = (layers, max(rows, ROWS), heads, capacity, size)
        if self._device.type != "cpu":
            return torch.zeros(form, dtype=self._dtype, device=self._device)
        # numpy's zeros are the system's: memory that no text reaches is never touched, where torch would write it all.
        return torch.from_numpy(np.zeros(math.prod(form) * self._dtype.itemsize, np.uint8)).view(self._dtype).view(form)

    @property
    def capacity(self) -> int:
        """How many tokens a row can hold before the block must grow."""
        return int(self.block.shape[3])

    @property
    def grown(self) -> bool:
        """Rows are longer than they are at first, so that there may be fewer."""
        return self.capacity > self._usual

    def _room(self, capacity: int) -> int:
        return min(self._slots, max(1, self._tokens // capacity))

    def room(self, length: int) -> int:
        """Return how many rows of so many tokens there is memory for, one at least."""
        return self._room(round_up(max(length, self.capacity), KEYS))

    def reserve(self, rows: int, length: int, taken: int, used: int) -> None:
        """Make room for so many rows of so many tokens, keeping the first `used` tokens of the first `taken` rows.

        Rows are at first as long as memory allows with all slots in use; they grow by a quarter at least.
        """
        if length > self.capacity:
            wished = round_up(max(length, self.capacity * 5 // 4), KEYS)
            capacity = wished if self.room(wished) >= rows else round_up(length, KEYS)
            old = self.block[:, :taken, :, :used]
            self.block = self._zeros(max(rows, self._room(capacity)), capacity)
            self.block[:, :taken, :, :used] = old

    def look_at(self, first: int, positions: torch.Tensor, last: int) -> torch.Tensor:
        """Let the next forward pass write rows `first` … at `positions` [rows, tokens]; return its attention mask.

        `last` is the largest position, known to the caller without asking the device.
        """
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

    def copy(self, source: int, targets: slice, length: int) -> None:
        """Copy the first `length` tokens of a row onto other rows."""
        self.block[:, targets, :, :length] = self.block[:, source : source + 1, :, :length]

    def take(self, row: int, length: int) -> torch.Tensor:
        """Return a copy of a row's first tokens, [2 · layers, key heads, length, head size]."""
        return self.block[:, row, :, :length].clone()

    def put(self, row: int, beginning: torch.Tensor) -> None:
        """Write what `take` returned as a row's beginning."""
        self.block[:, row, :, : beginning.shape[2]] = beginning
