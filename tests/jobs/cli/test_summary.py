"""What the terminal says of an evaluation: a line per slice, with efficiency and truncation, and each check of the gate."""

from io import StringIO

from rich.console import Console

from dto_jobs.cli.summary import summary
from dto_jobs.core.comparison import evaluation_results
from dto_jobs.core.cost import ModelShape
from dto_jobs.core.gate import gate_results
from dto_jobs.core.records import Answer
from dto_jobs.core.results import Gate, Results

SHAPE = ModelShape(parameters=1000, layers=2, width=8)


def answers(tokens):
    for benchmark, level in (("math500", ""), ("mmlu-pro", "law"), ("mmlu-pro", "physics")):
        for number in range(20):
            yield Answer(
                problem_id=f"{level}{number}", benchmark=benchmark, level=level, sample=0, prompt_tokens=10,
                tokens=tokens, finished=number >= 5, correct=number % 2 == 0, answer="", text="", rechecks=1,
            )  # fmt: skip


def said(benchmarks=("math500", "mmlu-pro")):
    base, tuned = ([one for one in answers(tokens) if one.benchmark in benchmarks] for tokens in (100, 50))
    found = evaluation_results(base, tuned, SHAPE, out_of_domain=Gate().out_of_domain)
    out = Console(file=StringIO(), width=160)
    out.print(summary(Results(evaluation=found, gate=gate_results(Gate(), found))))
    return out.file.getvalue()


def test_every_domain_has_a_line_with_efficiency_and_truncation():
    lines = {line.split("│")[1].strip(): line for line in said().splitlines() if line.startswith("│")}
    assert {
        "all",
        "in domain",
        "out of domain",
        "math500",
        "mmlu-pro",
        "mmlu-pro law",
        "mmlu-pro physics",
    } == lines.keys()
    cells = [cell.strip() for cell in lines["mmlu-pro law"].split("│")]
    assert "2.00" in cells, "η: as often right with half the tokens"
    assert "25.0 → 25.0" in cells, "cut off"


def test_every_check_of_the_gate_is_told_with_its_verdict():
    text = said()
    assert "gate: NOT accepted" in text
    assert "failed: in-domain accuracy" in text
    assert "passed: in-domain tokens" in text
    assert "failed: out-of-domain accuracy" in text
    assert "not judged: out of domain nothing was evaluated (mmlu-pro)" in said(["math500"])
