r"""One spelling for the many ways to write an answer, and what can be read from it without computer algebra.

`\dfrac12`, `1/2` and `0.5` are one number here; what only algebra can compare is left to `symbolic`.
"""

import re
from fractions import Fraction
from typing import NamedTuple

_SYMBOLS = str.maketrans(
    {
        "\u2212": "-",  # minus sign
        "\u2013": "-",  # en dash
        "\u00d7": r"\times ",
        "\u00b7": r"\cdot ",
        "\u03c0": r"\pi ",
        "\u221e": r"\infty ",
        "\u222a": r"\cup ",
        "\u2229": r"\cap ",
        "\u2264": r"\le ",
        "\u2265": r"\ge ",
        "\u2208": r"\in ",
        "\u00b1": r"\pm ",
        "\u00b0": r"^\circ",
        "\u00b2": "^2",
        "\u00b3": "^3",
        "\uff08": "(",
        "\uff09": ")",
        "\uff0c": ",",
        "\uff1d": "=",
        "\uff05": "%",
        "\u3002": ".",
        '"': "",  # quotes mark words in a spelling, so none may come from outside
        "`": "",
    }
)
_SPACES = re.compile(r"(?:(?<!\\)\\[,;:> ]|\\q?quad(?![A-Za-z])|[\s~])+")
_WORDS = re.compile(r"\\(?:text(?:bf|it|rm|normal)?|mbox|mathrm|rm)\s*\{([^{}\"]*)\}")
_PARENTHESIZED = re.compile(r"\(\w\)")
_SIZES = re.compile(r"\\(?:left|right|bigg?[lr]?|Bigg?[lr]?|displaystyle)(?![A-Za-z])\.?|\\!\s*|\\?\$")
_SHORT_FRACTION = re.compile(
    r"\\frac\s*(\{[^{}]*\}|\d|[A-Za-z]|\\pi(?![A-Za-z]))\s*(\{[^{}]*\}|\d|[A-Za-z]|\\pi(?![A-Za-z]))"
)
_SHORT_ROOT = re.compile(r"\\sqrt\s*([0-9A-Za-z])")
_SYNONYMS = (
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\leq(?![A-Za-z])"), r"\\le"),
    (re.compile(r"\\geq(?![A-Za-z])"), r"\\ge"),
    (re.compile(r"\\mid(?![A-Za-z])"), "|"),
    (re.compile(r"\\lbrace(?![A-Za-z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![A-Za-z])"), r"\\}"),
    (re.compile(r"(?<!\\)\\[()\[\]]"), ""),
    (re.compile(r"\[?\s*\\begin\{[bp]?matrix\}"), r"\\begin{pmatrix}"),
    (re.compile(r"\\end\{[bp]?matrix\}\s*\]?"), r"\\end{pmatrix}"),
)
_PERCENT = re.compile(r"\\%|\s*\"?\s*\bper ?cent\b\"?")

_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)\s*(?:(?P<whole>\d+)?\s*\\frac\{{\s*(?P<top>-?{_DECIMAL})\s*\}}\{{\s*(?P<bottom>-?{_DECIMAL})\s*\}}"
    rf"|(?P<over>{_DECIMAL})\s*/\s*(?P<under>{_DECIMAL})"
    rf"|(?P<plain>{_DECIMAL})(?:(?:\s*(?:\\times|\\cdot|\*)\s*10\^\{{?|[eE])(?P<exponent>[-+]?\d{{1,2}})\}}?)?)\s*(?P<percent>%?)"
)
_LONGEST_NUMBER = 200

_MEASURE = re.compile(
    r"(.*[^\s\"])\s*?(?:\^\s*\{?\s*\\circ\s*\}?"
    r"|(\"[^\"]+\"|\s[A-Za-z][A-Za-z. ]*|(?<=[\d)}])[A-Za-z]{2,}\s?)(\^\s*\{?[23]\}?)?)"
)
_UNIT_NAMES = {
    "mm": "millimeter millimetre",
    "cm": "centimeter centimetre",
    "m": "meter metre",
    "km": "kilometer kilometre",
    "in": "inch inche",
    "ft": "foot feet",
    "yd": "yard",
    "mi": "mile",
    "g": "gram",
    "kg": "kilogram",
    "lb": "pound",
    "oz": "ounce",
    "s": "second sec",
    "min": "minute",
    "h": "hour hr",
    "day": "",
    "week": "",
    "month": "",
    "year": "",
    "l": "liter litre",
    "ml": "milliliter millilitre",
    "mph": "",
    "dollar": "usd",
    "cent": "",
    "euro": "",
    "degree": "deg",
    "radian": "rad",
}
_UNITS = {name: unit for unit, names in _UNIT_NAMES.items() for name in (unit, *names.split())}
_FEWEST_LETTERS = 3  # of a word after a number that is no known unit: `2 xy` stays algebra, `7 days` does not

_ASSIGNMENT = re.compile(
    r"\s*(\"?\s*(?:\\?[A-Za-z]+|[A-Za-z](?:_\{?\w{1,4}\}?)?(?:\s*\(\s*[A-Za-z]\s*\))?)\s*\"?)\s*(?:=|\\in(?![A-Za-z]))([^=]+)"
)
_PHRASE = re.compile(r"(?:[^\W\d_]|[\s'.\"-])+")
_WORD = re.compile(r"[^\W\d_]{3}")
_BUILDER = re.compile(r"[|:]")
_LONG_SCRIPT = re.compile(r"([_^])(-?\d{2,}|-\d)")
_LONE_BRACES = re.compile(r"([_^])\{(\w)\}")
_BRACKET = re.compile(r"[{}()\[\]]")
_THOUSANDS = re.compile(r"(?<=\d),\d{3}(?!\d)")
_LISTING = re.compile(r"(,|;)|(\s*,?\s*\"\s*(?:and|or)\s*\"|\s+(?:and|or)\s+)|(\\[{}]|[()\[\]{}])")


class Number(NamedTuple):
    """An exact value with what its writing tells: places after the point (None for a fraction) and a percent sign."""

    value: Fraction
    places: int | None
    percent: bool


class Listing(NamedTuple):
    """Several values in one answer, with the brackets around them; both empty for a bare list."""

    opening: str
    closing: str
    items: tuple[str, ...]


def spell(answer: str) -> str:
    r"""Return the answer in one spelling: no dollars, sizes or fine spaces, full fractions, `\text{…}` in quotes."""
    text = answer.translate(_SYMBOLS).strip(" *")
    if "\\" in text or "$" in text:
        text = _without_commands(text)
    text = _PERCENT.sub("%", text.replace("{,}", ",").replace("**", "^"))
    text = _LONG_SCRIPT.sub(r"\1{\2}", text)
    return _SPACES.sub(" ", text).strip().rstrip(".,;:").strip()


def _without_commands(text: str) -> str:
    text = _SIZES.sub("", text)
    for pattern, replacement in _SYNONYMS:
        text = pattern.sub(replacement, text)
    text = _WORDS.sub(_quoted, text)
    if "\\frac" in text:
        text = _SHORT_FRACTION.sub(lambda match: f"\\frac{_braced(match[1])}{_braced(match[2])}", text)
    return _SHORT_ROOT.sub(r"\\sqrt{\1}", text)


def _quoted(match: re.Match[str]) -> str:
    words = match[1].strip()
    words = words[1:-1] if _PARENTHESIZED.fullmatch(words) else words
    return words if words in {"", "e", "i", "d"} else f'"{words}"'


def _braced(argument: str) -> str:
    return argument if argument.startswith("{") else f"{{{argument}}}"


def key(spelled: str) -> str:
    """Return what two spellings must share to be the same text: no spaces or quotes, words in lower case."""
    bare = _LONE_BRACES.sub(r"\1\2", spelled.replace(" ", "").replace('"', ""))
    return bare.casefold() if is_phrase(spelled) and len(bare) > 1 else bare


def is_phrase(spelled: str) -> bool:
    """Say whether the answer is words rather than mathematics: `Evelyn` and a quoted `odd` are, `xy` is not."""
    return bool(_PHRASE.fullmatch(spelled)) and ('"' in spelled or bool(_WORD.search(spelled)))


def number(spelled: str) -> Number | None:
    """Read an integer, decimal, fraction, mixed number, power-of-ten form or percentage; None for anything else."""
    match = _NUMBER.fullmatch(spelled) if len(spelled) <= _LONGEST_NUMBER else None
    if match is None:
        return None
    part = {name: text.replace(",", "") for name, text in match.groupdict().items() if text}
    try:
        value, places = _value(part)
    except ZeroDivisionError:
        return None
    return Number(-value if part.get("sign") == "-" else value, places, "percent" in part)


def _value(part: dict[str, str]) -> tuple[Fraction, int | None]:
    if "top" in part:
        return int(part.get("whole", 0)) + Fraction(part["top"]) / Fraction(part["bottom"]), None
    if "over" in part:
        return Fraction(part["over"]) / Fraction(part["under"]), None
    places = len(part["plain"].partition(".")[2])
    return Fraction(part["plain"]) * Fraction(10) ** int(
        part.get("exponent", 0)
    ), places if "exponent" not in part else None


def split_unit(spelled: str) -> tuple[str, str]:
    """Return the answer without its unit, and the unit's name: empty for none, `?` for a word that is no known unit."""
    match = _MEASURE.fullmatch(spelled)
    if match is None:
        return spelled, ""
    value, words, power = match[1].strip(), match[2], (match[3] or "").strip("^{} ")
    if words is None:
        return value, "degree"
    unit = _unit(words.strip(' "').lower())
    if '"' not in words and not _is_unit(words.strip(), unit, value, power):
        return spelled, ""
    return value, unit + power if unit else "?"


def _unit(name: str) -> str:
    return _UNITS.get(name) or _UNITS.get(name.removesuffix("s"), "")


def _is_unit(words: str, unit: str, value: str, power: str) -> bool:
    r"""Say whether words outside a `\text` are a unit: `7 days`, `12 m`, but not `2 xy` nor the factor in `2x y`."""
    if len(words) == 1:
        return bool(unit) and (bool(power) or number(value) is not None)
    return bool(unit) or (number(value) is not None and len(words) >= _FEWEST_LETTERS and words[0].islower())


def split_assignment(spelled: str) -> tuple[str, str]:
    r"""Return the name and the value of `x = 5` or `x \in [1, 2]`; the name is empty where nothing is assigned."""
    match = _ASSIGNMENT.fullmatch(spelled)
    return (key(match[1]), match[2].strip()) if match else ("", spelled)


def listing(spelled: str) -> Listing | None:
    r"""Read a tuple, interval, set or bare list (`1 and 2`, `\pm 3`); None for a single value, parenthesized or not."""
    items = _split(spelled)
    if len(items) > 1:
        return Listing("", "", _signed(items))
    opening = next((mark for mark in ("\\{", "(", "[") if spelled.startswith(mark)), "")
    closing = next((mark for mark in ("\\}", ")", "]") if spelled.endswith(mark)), "")
    if opening and closing:
        inner = _signed(_split(spelled[len(opening) : -len(closing)]))
        is_set = opening == "\\{" and not _BUILDER.search(spelled)
        return Listing(opening, closing, inner) if len(inner) > 1 or is_set else None
    signed = _signed(items)
    return Listing("", "", signed) if len(signed) > 1 else None


def unwrap(spelled: str) -> str:
    """Return what stands in parentheses around the whole answer where it is a single value: `(B)` is B."""
    inner = spelled[1:-1].strip()
    if spelled[:1] + spelled[-1:] == "()" and len(_split(inner)) == 1 and _is_balanced(inner):
        return inner
    return spelled


def _is_balanced(text: str) -> bool:
    level = 0
    for bracket in _BRACKET.findall(text):
        level += 1 if bracket in "{([" else -1
        if level < 0:
            return False
    return level == 0


def _split(text: str) -> tuple[str, ...]:
    """Split at the separators outside all brackets; brackets that do not close make it one item."""
    depth, start, items = 0, 0, []
    for match in _LISTING.finditer(text):
        bracket = match[3]
        if bracket:
            depth += 1 if bracket[-1] in "([{" else -1
            if depth < 0:
                return (text,)
        elif depth == 0 and not _THOUSANDS.match(text, match.start()):
            items.append(text[start : match.start()])
            start = match.end()
    return (text,) if depth else tuple(item.strip() for item in (*items, text[start:]) if item.strip())


def _signed(items: tuple[str, ...]) -> tuple[str, ...]:
    r"""Return the items with two values in place of each `1 \pm \sqrt{2}`."""
    return tuple(signed for item in items for signed in (_both_signs(item) if item.count("\\pm") == 1 else (item,)))


def _both_signs(item: str) -> tuple[str, str]:
    return item.replace("\\pm", "+").removeprefix("+").strip(), item.replace("\\pm", "-")


def depth(text: str) -> int:
    """Return how deep brackets nest, closing marks without an opening one ignored."""
    level = deepest = 0
    for bracket in _BRACKET.findall(text):
        level = level + 1 if bracket in "{([" else max(0, level - 1)
        deepest = max(deepest, level)
    return deepest
