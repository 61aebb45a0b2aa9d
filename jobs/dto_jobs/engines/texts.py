"""Text as a model reads it: chat template, tokens, and a continued trace that keeps its tokens.

Records and requests hold text; tokens exist inside an engine alone. Where a request continues a trace that was cut
(`Request.trace`), the trace's own tokens are kept up to the cut and only what follows is tokenized anew: see
docs/decisions/0008.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import transformers

from dto_jobs.core.segmentation import CLOSE, OPEN
from dto_jobs.engines.prefixes import shared
from dto_jobs.errors import InputError
from dto_jobs.model_source import ModelSource

REMEMBERED = 1024
"""Prompts whose tokens are remembered: samples of one prompt follow each other."""
TRACES = 64
"""Traces whose tokens are remembered: those that are searched at the same time, or nearly all of them."""


class Texts:
    """A tokenizer and its chat template."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - untyped library
        self.tokenizer = tokenizer
        self.encode = lru_cache(maxsize=REMEMBERED)(self.fresh)
        self._trace = lru_cache(maxsize=TRACES)(self._with_ends)
        self.thinking = len(self.fresh(CLOSE)) == 1
        # Tokenizers that add a space before every text cannot be joined.
        self._joins = tokenizer.decode(self.fresh("a") + self.fresh("\n\nb")) == "a\n\nb"

    def fresh(self, text: str) -> list[int]:
        """Return the tokens of a text, without special tokens added."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def prompt(self, text: str, trace: str = "") -> list[int]:
        """Return the tokens of a prompt.

        The tokens of `trace` that lie wholly in what both texts share are kept; the rest of the prompt is tokenized as text.
        """
        if not trace or not self._joins:
            return self.encode(text)
        tokens, ends = self._trace(trace)
        kept = bisect_right(ends, shared(text, trace))
        if not kept:
            return self.encode(text)
        return tokens[:kept] + self.encode(text[ends[kept - 1] :])

    def _with_ends(self, text: str) -> tuple[list[int], Sequence[int]]:
        """Return a text's tokens and where each ends in it, in characters; no ends where they leave gaps or cannot be trusted."""
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        offsets = found["offset_mapping"]
        # A vocabulary without some byte drops it, and then tells the next bytes' places wrongly.
        if self.tokenizer.decode(found["input_ids"], clean_up_tokenization_spaces=False) != text:
            return list(found["input_ids"]), ()
        ends = [end for _, end in offsets]
        # Characters of several tokens give each the same place; a gap means that places were trimmed.
        whole = all(start <= end for (start, _), end in zip(offsets[1:], ends, strict=False))
        return list(found["input_ids"]), ends if whole and ends and ends[-1] == len(text) else ()

    def render(self, question: str) -> str:
        """Return the chat template rendered to text, ending where the response starts, thinking opened."""
        chat = [{"role": "user", "content": question}]
        text = str(self.tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))
        start = text.rpartition(question.strip())[2]
        # R1's first template ends before the mark that its second one ends with.
        return text if not self.thinking or start.rstrip().endswith(OPEN) else f"{text}{OPEN}\n"

    def count(self, text: str) -> int:
        """Return how many tokens the text is, without special tokens added."""
        return len(self.encode(text))


def load_texts(folder: Path, source: ModelSource) -> Texts:
    """Return the tokenizer of a model's folder; InputError where it cannot be used or there is no chat template."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as problem:
        raise InputError(f"{folder}: transformers cannot load this model's tokenizer: {problem}") from problem
    tokenizer.chat_template = source.chat_template or tokenizer.chat_template
    if not tokenizer.chat_template:
        raise InputError(
            f"{folder} has no chat template (chat_template.jinja or in tokenizer_config.json); "
            "add one, or write one into spec.model.chatTemplate"
        )
    return Texts(tokenizer)
