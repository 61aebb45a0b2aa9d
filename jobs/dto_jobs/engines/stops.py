"""Where a completion ends: end marks, stop strings, its limit."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

TAIL = 8
"""Tokens decoded besides as many as the stop string has characters: tokens may stand for nothing visible."""


class Stops:
    """Finds stop strings in tokens, decoding only where the newest token could complete one."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, size: int) -> None:
        self._tokenizer = tokenizer
        self._size = size
        self._texts: list[str] = []
        self._last: dict[str, frozenset[int]] = {}

    def text(self, tokens: Sequence[int]) -> str:
        """Return the exact text of tokens, special ones included."""
        decoded = self._tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        assert isinstance(decoded, str)
        return decoded

    def cut(self, tokens: Sequence[int], stops: Sequence[str]) -> str | None:
        """Return the text before the first stop string that the newest token completed; None where it completed none."""
        possible = [stop for stop in stops if stop and tokens[-1] in self._completing(stop[-1])]
        if not possible:
            return None
        tail = self.text(tokens[-max(map(len, possible)) - TAIL :])
        if not any(stop in tail for stop in possible):
            return None
        text = self.text(tokens)
        places = [place for stop in possible if (place := text.find(stop)) >= 0]
        return text[: min(places)] if places else None

    def _completing(self, character: str) -> frozenset[int]:
        """Return the tokens whose text holds a character, or a piece of one that may be it."""
        if character not in self._last:
            if not self._texts:
                self._texts = [self.text([token]) for token in range(self._size)]
            # Some tokenizers drop the space that a token starts with when it is decoded by itself.
            self._last[character] = frozenset(
                token for token, text in enumerate(self._texts) if character in text or "�" in text or character == " "
            )
        return self._last[character]
