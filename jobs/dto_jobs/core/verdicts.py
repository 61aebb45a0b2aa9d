"""Reading a judge's verdicts. The answer may be anything: only ids and keep-or-drop are used, and doubt means keep.

An answer holds `{"verdicts": [{"id": 1, "keep": true, "reason": "…"}, …]}`, possibly after thinking, within prose or a
code fence. Ids are 1 … n as the prompt gave them.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

# More than any honest answer about one window of patterns; what lies beyond is not read.
LONGEST_ANSWER: Final = 200_000
LONGEST_REASON: Final = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's word on one pattern."""

    pattern: int
    """The id under which the judge was shown the pattern: 1 … n."""
    keep: bool
    reason: str


def verdict_schema(count: int) -> dict[str, Any]:
    """Return the JSON schema of an answer about `count` patterns, for guided decoding."""
    entry = {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "minimum": 1, "maximum": count},
            "keep": {"type": "boolean"},
            "reason": {"type": "string", "maxLength": LONGEST_REASON},
        },
        "required": ["id", "keep", "reason"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"verdicts": {"type": "array", "items": entry, "minItems": count, "maxItems": count}},
        "required": ["verdicts"],
        "additionalProperties": False,
    }


def parse_verdicts(answer: str, count: int) -> tuple[list[Verdict], dict[str, int]]:
    """Read the verdicts on patterns 1 … `count`, in that order and at most one each, and count what was wrong by cause.

    A pattern without a verdict is to be kept. Causes: `unreadable` (no list of verdicts, or an entry that is none),
    `unknown_id`, `contradictory` (a pattern both kept and dropped) and `missing` (a pattern of which nothing is said).
    """
    causes: Counter[str] = Counter()
    said: dict[int, list[Verdict]] = {}
    for verdict in _entries(answer):
        if verdict is None:
            causes["unreadable"] += 1
        elif not 1 <= verdict.pattern <= count:
            causes["unknown_id"] += 1
        else:
            said.setdefault(verdict.pattern, []).append(verdict)
    agreed = [words[0] for _, words in sorted(said.items()) if len({word.keep for word in words}) == 1]
    causes["contradictory"] = len(said) - len(agreed)
    causes["missing"] = count - len(said)
    return agreed, dict(+causes)


def windows(lengths: Sequence[int], budget: int) -> list[range]:
    """Divide patterns of these token counts into runs of neighbours of at most `budget` tokens, as long as they can be.

    A pattern that is longer than the budget stands alone.
    """
    starts, used = [0] if lengths else [], 0
    for index, length in enumerate(lengths):
        if index > starts[-1] and used + length > budget:
            starts.append(index)
            used = 0
        used += length
    return [range(start, end) for start, end in pairwise([*starts, len(lengths)])] if lengths else []


_LIST = re.compile(r'"verdicts"\s*:\s*\[')
_NEXT = re.compile(r"[\s,]*+")


def _entries(answer: str) -> Iterator[Verdict | None]:
    """Yield the entries of the last list of verdicts up to where it breaks off; None for each that cannot be read."""
    text = answer[-LONGEST_ANSWER:].rpartition("</think>")[2]
    # The last one: a judge may repeat the form it was asked for before it answers.
    lists = list(_LIST.finditer(text))
    if not lists:
        yield None
        return
    decoder = json.JSONDecoder(object_pairs_hook=_said_once)
    place = _after(text, lists[-1].end())
    while not text.startswith("]", place):
        try:
            entry, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            yield None
            return
        yield _verdict(entry)
        place = _after(text, place)


def _after(text: str, place: int) -> int:
    match = _NEXT.match(text, place)
    return match.end() if match else place


def _said_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's fields; none where one is given twice."""
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else {}


def _verdict(entry: object) -> Verdict | None:
    fields = entry if isinstance(entry, dict) else {}
    number, keep = fields.get("id"), fields.get("keep")
    # By exact type: to Python, `true` is a kind of 1.
    if type(number) is int and isinstance(keep, bool):
        return Verdict(number, keep, _reason(fields.get("reason")))
    return None


def _reason(reason: object) -> str:
    """Return a reason as one short line that is safe to print: it is shown to people, and nothing else."""
    if not isinstance(reason, str):
        return ""
    plain = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in reason[:1_000])
    return " ".join(plain.split())[:LONGEST_REASON].rstrip()
