"""Where the answer stands in a text: boxes, stated answers, letters. One pass over any text, however hostile."""

import re

# A box opening, an escaped character (so that `\{` is no brace), or a brace.
_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
# What may stand between two boxes that give one answer together: `\boxed{1}$ and $\boxed{2}`.
_JOINT = re.compile(r"[\s$,;&]*(?:\\(?:text|mbox)\{)?\s*(?:and|or)?\s*\}?[\s$,;&]*")
_LONGEST_JOINT = 20

# What precedes a stated answer; only the last match is read, and no more than a line of what follows it.
_STATED = re.compile(
    r"<answer>|^####|\banswer(?:\*\*|__)?(?: is|:|\uff1a| =)(?:\*\*|__)?|\u7b54\u6848(?:\u662f|\u4e3a|:|\uff1a)",
    re.IGNORECASE | re.MULTILINE,
)
_LONGEST_STATED = 400
_SENTENCE_END = re.compile(r"</|\.(?:\s|$)|\n|\*\*|\u3002")
_FORMULA = re.compile(r"(?<!\\)\$((?:\\.|[^$\\\n]){1,400})\$|\\\(([^\n]{1,400}?)\\\)|\\\[([^\n]{1,400}?)\\\]")
_NUMBER = re.compile(r"(?<![\w.,])[-+]?\$?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?(?!\w)")

_LETTER = re.compile(r"\(?([A-Za-z])(?:\)|[.:\uff1a](?=\s|$)|\s*$)")
_CHOSEN = re.compile(
    r"\b(?:answer|choice|option)(?:\*\*)?(?: is|:|\uff1a)?(?: option| choice)?[:\s*$]{0,8}"
    r"(?:\(([A-Z])\)|([A-Z])(?=[.,;:)*$]|\s*$|\s+(?:is|because|since)\b))"
    r"|(?:\u7b54\u6848|\u9009\u9879|\u9009)(?:\u662f|\u4e3a|:|\uff1a)?\s{0,8}\(?([A-Z])(?![A-Za-z])",
    re.IGNORECASE | re.MULTILINE,
)
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")


def boxed(opened: str) -> str:
    r"""Return what went into a `\boxed{` that stood open, up to its balancing brace; empty where it never closes.

    A completion that the token limit cut before the brace is no answer; what follows the brace is not read.
    """
    depth = 1
    for mark in _BRACES.finditer(opened):
        depth += _step(mark.group())
        if depth == 0:
            return opened[: mark.start()].strip()
    return ""


def last_boxed(text: str) -> str:
    r"""Return the content of the last complete `\boxed{…}`, comma-separated where a comma or `and` joins several."""
    boxes = [(start, end) for start, end in _boxes(text) if _content(text, start, end)]
    if not boxes:
        return ""
    first = len(boxes) - 1
    while first > 0 and _is_joint(text[boxes[first - 1][1] : boxes[first][0]]):
        first -= 1
    return ", ".join(dict.fromkeys(_content(text, start, end) for start, end in boxes[first:]))


def _is_joint(between: str) -> bool:
    return len(between) <= _LONGEST_JOINT and bool(_JOINT.fullmatch(between))


def _content(text: str, start: int, end: int) -> str:
    return text[text.index("{", start) + 1 : end - 1].strip()


def _boxes(text: str) -> list[tuple[int, int]]:
    """Return where complete outermost boxes start and end."""
    boxes: list[tuple[int, int]] = []
    if "\\boxed" not in text and "\\fbox" not in text:
        return boxes
    opened: list[int] = []  # the start of each open box, -1 for a plain brace
    for mark in _BRACES.finditer(text):
        step = _step(mark.group())
        if step > 0:
            opened.append(mark.start() if len(mark.group()) > 1 else -1)
        start = opened.pop() if step < 0 and opened else -1
        if start >= 0:
            while boxes and boxes[-1][0] > start:
                boxes.pop()
            boxes.append((start, mark.end()))
    return boxes


def _step(mark: str) -> int:
    if mark == "}":
        return -1
    return 1 if mark.endswith("{") and mark != "\\{" else 0


def stated(text: str) -> str:
    """Return the last answer stated without a box (`the answer is …`, `#### 18`, a tag) or the last line's last value."""
    for match in reversed(list(_STATED.finditer(text))):
        answer = _sentence(text[match.end() : match.end() + _LONGEST_STATED].lstrip(" \t\n:*_"))
        if answer:
            return answer
    return _last_value(_last_line(text))


def _sentence(text: str) -> str:
    """Return a stated answer without what the sentence says after it: the formula alone where it starts with one."""
    formula = _FORMULA.match(text)
    if formula:
        return formula.group(formula.lastindex or 0).strip()
    return _SENTENCE_END.split(text, maxsplit=1)[0].strip(" *_")


def _last_value(line: str) -> str:
    formulas = [match.group(match.lastindex or 0).strip() for match in _FORMULA.finditer(line)]
    if formulas:
        return formulas[-1]
    numbers = _NUMBER.findall(line)
    return numbers[-1].rstrip(",") if numbers else ""


def _last_line(text: str) -> str:
    return text.rstrip()[-2000:].rpartition("\n")[2].strip()


def last_text(text: str) -> str:
    """Return the last box's content, or else the last line that is not blank."""
    return last_boxed(text) or _last_line(text)


def letter(text: str) -> str:
    """Return the letter that an answer consists of, upper case (`B`, `(b)`, `B. because …`); empty where it is none."""
    match = _LETTER.match(_WRAPPED.sub(r"\1", text).strip(" \n\t$*{}"))
    return match.group(1).upper() if match else ""


def last_choice(text: str) -> str:
    """Return the letter chosen last: in a box, else in `the answer is (B)`, else alone on the last line."""
    box = last_boxed(text)
    if box:
        return letter(box) or box
    chosen = [match.group(match.lastindex or 0).upper() for match in _CHOSEN.finditer(text)]
    return chosen[-1] if chosen else letter(_last_line(text))
