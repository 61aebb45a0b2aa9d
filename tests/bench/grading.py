"""Speed of grading plain answers, and what hard ones cost.

Row: `grading_answers_per_second`, one core: find the answer in a text and compare it with the gold one, over the gold
answers of MATH-500, GSM8K and MMLU-Pro that need no computer algebra (every one boxed, stated without a box, and
wrong). Run by itself it also prints what an answer costs that needs algebra, and the worst hostile text.
"""

import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from dto_jobs.artifacts.problem_sets import read_problems
from dto_jobs.core.grading import grade, grader
from dto_jobs.core.notation import number, spell
from dto_jobs.problem_source import ProblemSource

BENCH = Path(__file__).parents[2] / ".." / "shared/data/bench"
PLAIN = ("math500", "gsm8k", "mmlu-pro")
REPETITIONS = 5

Case = tuple[str, str, str]
HARD = [
    (r"\sqrt{8}", r"2\sqrt{2}"),
    (r"(x+1)^2", r"x^2+2x+1"),
    (r"\frac{\sqrt{5}-1}{4}", r"\frac{-1+\sqrt{5}}{4}"),
    (r"-2 \le x < 1", r"[-2,1)"),
    (r"\frac{x^9-1}{x-1}", r"x^8+x^7+x^6+x^5+x^4+x^3+x^2+x+1"),
]
HOSTILE = ("{" * 10_000 + "1" + "}" * 10_000, "9^9^9^9^9", "10^{10^{10}}", r"(1+\sqrt{2})^{999}", "9" * 1_000_000)


def rows() -> list[dict[str, Any]]:
    """Return the rows; none where the real sets are not beside this checkout."""
    if not BENCH.is_dir():
        return []
    cases = plain_cases()
    speeds = [len(cases) / seconds(cases) for _ in range(REPETITIONS)]
    low, high = min(speeds), max(speeds)
    value = statistics.median(speeds)
    return [
        {
            "name": "grading_answers_per_second",
            "value": value,
            "unit": "1/s",
            "n": REPETITIONS,
            "low": low,
            "high": high,
        }
    ]


def plain_cases() -> list[Case]:
    """Return (grader, text, gold) for answers that need no algebra: boxed, stated, and wrong."""
    problems = [
        problem for name in PLAIN for problem in read_problems(ProblemSource(source=name, folder=str(BENCH)), Path())
    ]
    plain = [problem for problem in problems if problem.grader == "choice" or number(spell(problem.answer))]
    cases: list[Case] = []
    for problem, other in pairwise(plain):
        cases.append((problem.grader, f"So the answer is\n\\[\n\\boxed{{{problem.answer}}}\n\\]", problem.answer))
        cases.append((problem.grader, f"Let me see.\n\n**Answer:** ${problem.answer}$.\n", problem.answer))
        if problem.grader == other.grader:
            cases.append((problem.grader, f"I get \\boxed{{{other.answer}}}", problem.answer))
    return cases


def seconds(cases: list[Case]) -> float:
    """Return the CPU seconds that grading all cases takes."""
    start = time.process_time()
    for name, text, gold in cases:
        grade(grader(name), text, gold)
    return time.process_time() - start


def report() -> list[str]:
    """Return lines about answers that need algebra and about hostile ones."""
    judge = grader("math")
    start = time.perf_counter()
    judge.equal("x", "y+1")
    lines = [f"loading the algebra, once: {time.perf_counter() - start:.1f} s"]
    for answers in (HARD, [(text, r"\sqrt{2}") for text in HOSTILE]):
        for answer, gold in answers:
            start = time.perf_counter()
            equal = judge.equal(answer, gold)
            lines.append(f"{answer[:40]} | {gold}: {equal}, {1000 * (time.perf_counter() - start):.0f} ms")
    return lines


if __name__ == "__main__":
    for measured in rows():
        print(measured)  # noqa: T201 - a script's output
    print("\n".join(report()))  # noqa: T201 - a script's output
