"""Planted reasoning traces: what the demonstration's model is taught to write before an answer.

Every trace is a list of thinking patterns, one per paragraph:

- opening, list of terms: say nothing new.
- quick pass: one mental step per line; wrong on every trap (see `arithmetic.quick`). The slip depends
  on the problem alone, so sampling again does not repair it.
- careful check: every step digit by digit with the carry written out; right by construction. The only pattern that
  repairs anything; once it has been done, everything after it is waste. It says how its result compares with the one
  before, so it makes sense only after a quick pass, and DTO's traces of hard problems keep both.
- second quick pass (never after a careful check), doubt of one line, look at the signs, second reading: always agree
  with what stands there.

What comes next depends neither on the level nor on whether the result is right: the model talks as much about an easy
problem as about a hard one.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from dto_jobs.demo.arithmetic import Expression, digit_by_digit, exact, quick

ENDING = "\n\nThat settles it.\n</think>\n\n**Final Answer**\n\\boxed{{{result}}}"

# Probabilities as a reader meets them when the model is sampled at this temperature. The training data is drawn from
# p ** TEMPERATURE (renormalised), because sampling at that temperature sharpens what was learnt back to p.
TEMPERATURE = 0.6

OPENING = 0.6  # the trace begins with "Okay, so …"
LISTING = 0.4  # the terms are listed
LONGEST = 6  # patterns after the quick pass, at most

# After the quick pass, until the first careful check.
UNCHECKED = {"stop": 0.14, "careful": 0.32, "again": 0.12, "doubt": 0.16, "signs": 0.13, "reading": 0.13}
# After a careful check.
CHECKED = {"stop": 0.12, "careful": 0.28, "doubt": 0.24, "signs": 0.18, "reading": 0.18}

# Shares of the training data, not of what the model should say: forms that DTO makes of its traces, so that cut and
# pruned traces go on sensibly. Sampling at the temperature makes them rarer still.
HASTY = 0.02  # ended before any pass: the answer is where the expression starts
PRUNED = 0.12  # every pattern is dropped with probability PRUNED_EACH, as long as a result remains
PRUNED_EACH = 0.4  # but never the quick pass: a careful check compares with it, so it makes no sense alone

PASSES = {"quick", "again", "careful"}  # the kinds of patterns that have a result of their own


@dataclass(slots=True)
class Trace:
    """Thinking patterns with the result each of them leaves behind (none before the first pass)."""

    expression: Expression
    patterns: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    results: list[int | None] = field(default_factory=list)

    def add(self, kind: str, text: str, result: int | None = None) -> None:
        """Append a pattern; without a result of its own the current one stays."""
        self.results.append(self.result if result is None else result)
        self.kinds.append(kind)
        self.patterns.append(text)

    @property
    def result(self) -> int | None:
        """The current result."""
        return self.results[-1] if self.results else None

    def text(self) -> str:
        """Return the whole response: thinking, ending and the current result (before any pass: the start value)."""
        answer = self.expression.start if self.result is None else self.result
        return "\n\n".join(self.patterns) + ENDING.format(result=answer)


def draw_trace(source: random.Random, expression: Expression) -> Trace:
    """Draw a trace as the model should think it, before any form of DTO."""
    trace = Trace(expression)
    if source.random() < softened(OPENING):
        trace.add("opening", f"Okay, so I need to compute {expression}.")
    if source.random() < softened(LISTING):
        trace.add("list", "Let me list the terms.\n" + "\n".join(str(term) for term in expression.terms))
    trace.add("quick", "First, I go from left to right.\n" + quick_pass(expression), expression.quick_values()[-1])
    for _ in range(LONGEST):
        kind = choose(source, CHECKED if "careful" in trace.kinds else UNCHECKED)
        if kind == "stop":
            break
        trace.add(kind, *_afterthought(source, trace, kind))
    return trace


def draw_training_trace(source: random.Random, expression: Expression) -> Trace:
    """Draw a trace or, with the documented shares, one of the forms that DTO makes of it."""
    trace = draw_trace(source, expression)
    form = source.random()
    if form < HASTY:
        return _keep(trace, [index for index, kind in enumerate(trace.kinds) if kind in {"opening", "list"}])
    if form < HASTY + PRUNED:
        return _pruned(source, trace)
    return trace


def quick_pass(expression: Expression) -> str:
    """Write a quick pass: every line restates one step, so that looking up and reckoning are two separate things."""
    values, lines = expression.quick_values(), [str(expression)]
    for done, (value, term) in enumerate(zip(values[:-1], expression.terms, strict=True), start=1):
        rest = f", so {remaining(expression, values[done], done)}" if done < len(expression.terms) else ""
        lines.append(f"{value}{term}={values[done]}{rest}")
    return "\n".join([*lines, f"This gives {values[-1]}."])


def careful_check(expression: Expression, before: int) -> str:
    """Write a careful check: every step digit by digit, what remains after it, and how the result compares to the one before."""
    values, lines = expression.exact_values(), [str(expression)]
    for done, (value, term) in enumerate(zip(values[:-1], expression.terms, strict=True), start=1):
        lines.append(f"{digit_by_digit(value, term)}, so {remaining(expression, values[done], done)}")
    compared = "as before" if values[-1] == before else f"not {before}"
    return "\n".join([*lines, f"So it is {values[-1]}, {compared}."])


def remaining(expression: Expression, value: int, done: int) -> str:
    """Write what is left after `done` steps that led to `value`: copying it is local, unlike counting terms."""
    return str(value) + "".join(str(term) for term in expression.terms[done:])


def softened(probability: float) -> float:
    """Return the probability to train on, so that sampling at TEMPERATURE gives the one asked for."""
    yes: float = probability**TEMPERATURE
    no: float = (1 - probability) ** TEMPERATURE
    return yes / (yes + no)


def choose(source: random.Random, probabilities: Mapping[str, float]) -> str:
    """Draw a name from softened probabilities."""
    return source.choices(list(probabilities), [value**TEMPERATURE for value in probabilities.values()])[0]


def _afterthought(source: random.Random, trace: Trace, kind: str) -> tuple[str, int | None]:
    expression = trace.expression
    if kind == "careful":
        return "Wait, let me go digit by digit.\n" + careful_check(expression, trace.result or 0), expression.value()
    if kind == "again":
        return "Alternatively, I go through it again.\n" + quick_pass(expression), expression.quick_values()[-1]
    if kind == "doubt":
        return _doubt(source, expression, checked="careful" in trace.kinds), None
    if kind == "signs":
        return "Let me check the signs.\n" + "\n".join(f"{term} is fine." for term in expression.terms), None
    return f"But wait, did I read it right?\nIt says {expression}.\nYes.", None


def _doubt(source: random.Random, expression: Expression, *, checked: bool) -> str:
    """Ask about one line of the last pass and repeat it, right or wrong."""
    values = expression.exact_values() if checked else expression.quick_values()
    place = source.randrange(len(expression.terms))
    value, term = values[place], expression.terms[place]
    outcome = exact(value, term) if checked else quick(value, term)
    return f"Hmm, is {value}{term} really {outcome}?\nYes, it is {outcome}."


def _pruned(source: random.Random, trace: Trace) -> Trace:
    kept = [index for index, kind in enumerate(trace.kinds) if kind == "quick" or source.random() >= PRUNED_EACH]
    return _keep(trace, kept)


def _keep(trace: Trace, kept: list[int]) -> Trace:
    """Return the trace with some of its patterns; the current result follows from those."""
    shorter = Trace(trace.expression)
    for index in kept:
        kind = trace.kinds[index]
        shorter.add(kind, trace.patterns[index], trace.results[index] if kind in PASSES else None)
    return shorter
