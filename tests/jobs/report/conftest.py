"""A made-up run, small but with everything a report can show."""

import random
from collections.abc import Iterator

import pytest

from dto_jobs.core.analysis import exit_results, pair_results, regime_results, rollout_results
from dto_jobs.core.comparison import cost_results, evaluation_results
from dto_jobs.core.cost import ModelShape, Spend
from dto_jobs.core.gate import gate_results
from dto_jobs.core.records import (
    Answer,
    Boundary,
    Drop,
    EndedTrace,
    Pair,
    Pattern,
    Problem,
    PrunedTrace,
    Response,
    SearchedTrace,
)
from dto_jobs.core.results import Gate, Results
from dto_jobs.report.page import Lengths, ReportInput

SHAPE = ModelShape(parameters=800_000, layers=4, width=128)
LEVELS = ("easy", "medium", "hard")
KINDS = ("start", "check", "alternative", "doubt", "summary")


def made_trace(
    number: int, level: str, *, correct: bool = True, patterns: int = 6, exit_: int | None = 3
) -> PrunedTrace:
    """Return a trace whose second pattern was dropped, if it has an exit."""
    source = random.Random(number)
    parts = tuple(
        Pattern(
            text=f"{'Wait, let me check' if i else 'I compute'} step {i} of problem {number}: 17 + {i} = {17 + i}.\n\n",
            kind=KINDS[i % 5],
        )
        for i in range(patterns)
    )
    thinking = "".join(part.text for part in parts)
    problem = Problem(id=f"p{number}", question=f"Compute 17 + {number} & tell.", answer=str(17 + number), level=level)
    response = Response(
        id=f"p{number}#0",
        problem=problem,
        prompt="Q",
        text=f"{thinking}</think>The answer is {17 + number}.",
        prompt_tokens=20,
        tokens=30 * patterns,
        finished=True,
        opened=True,
        answer=str(17 + number),
        correct=correct,
    )
    looked = patterns if exit_ is None else exit_
    rates = sorted(source.randint(0, 3) for _ in range(looked))
    boundaries = [Boundary(hits=hits, misses=5) for hits in rates]
    if exit_ is not None:
        boundaries[-1] = Boundary(hits=4, misses=1)
    searched = SearchedTrace(response=response, patterns=parts, boundaries=tuple(boundaries), exit=exit_)
    if exit_ is None:
        return PrunedTrace(ended=EndedTrace(trace=searched, ending=None))
    kept = tuple(i for i in range(exit_) if i != 1)
    text = "".join(parts[i].text for i in kept).strip() + "\n</think>The answer is so."
    return PrunedTrace(
        ended=EndedTrace(trace=searched, ending="The answer is so.", tried=4, correct=3),
        kept=kept,
        dropped=(Drop(pattern=1, reason="answers stay right without it"),) if exit_ > 1 else (),
        text=text,
        tokens=30 * len(kept) + 10,
        optimized_correct_rate=0.75,
    )


def made_traces() -> list[PrunedTrace]:
    source = random.Random(1)
    traces = []
    for number in range(30):
        patterns = source.randint(2, 14)
        exit_ = None if number % 6 == 5 else source.randint(1, patterns)
        traces.append(made_trace(number, LEVELS[number % 3], correct=number % 4 > 0, patterns=patterns, exit_=exit_))
    return traces


def made_answers(
    accuracy: tuple[float, float, float], tokens: tuple[int, int, int], rechecks: float
) -> Iterator[Answer]:
    source = random.Random(7)
    for number in range(600):
        level = number % 3
        length = max(8, round(source.gauss(tokens[level], tokens[level] / 4)))
        yield Answer(
            problem_id=f"e{number}",
            benchmark="toy",
            level=LEVELS[level],
            sample=0,
            prompt_tokens=20,
            tokens=length,
            finished=source.random() < 0.98,
            correct=source.random() < accuracy[level],
            answer="1",
            text="…",
            rechecks=int(source.random() < rechecks * (level + 1)),
        )


@pytest.fixture(scope="session")
def traces() -> list[PrunedTrace]:
    return made_traces()


@pytest.fixture(scope="session")
def analysis(traces: list[PrunedTrace]) -> Results:
    searched = [trace.ended.trace for trace in traces]
    pair = Pair(
        problem_id="p1",
        level="",
        kind="compressed",
        prompt="Q",
        chosen="c",
        rejected="r",
        chosen_tokens=9,
        rejected_tokens=30,
    )
    return Results(
        rollout=rollout_results(trace.response for trace in searched),
        exits=exit_results(searched),
        regimes=regime_results(traces, SHAPE),
        pairs=pair_results([pair, pair.model_copy(update={"kind": "necessary", "copies": 3})]),
        cost=cost_results(
            {
                "rollout": Spend(generated=5000, dense_flops=4e12, seconds=40),
                "exits": Spend(dense_flops=2e12, seconds=9),
            }
        ),
    )


def interval(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high, "n": 40}


SWEEP = {
    "heldOut": 40,
    "samples": 2,
    "pairs": 310,
    "chosen": 1,
    "candidates": [
        {
            "settings": {"beta": beta, "learning_rate": 3e-4},
            "accepted": False,
            "missed": 0.05 / beta,
            "accuracy": interval(0.72, 0.65, 0.8),
            "tokens": interval(150 / beta, 90 / beta, 180 / beta),
            "accuracyDifference": interval(-0.02, -0.05, 0.01),
            "tokenChange": interval(-0.3 * beta, -0.35 * beta, -0.2 * beta),
        }
        for beta in (1.0, 2.0)
    ]
    + [
        {
            "settings": {"beta": 1.0, "learning_rate": 1e30},
            "failed": "training diverged at step 2 of 46: its loss is nan",
        }
    ],
}


def noted(step: int) -> dict[str, float]:
    """A logged step of a training that goes well."""
    return {
        "step": step,
        "steps": 39,
        "loss": 2.0 / step,
        "margin": 1 - 1 / step,
        "rewardAccuracy": 1 - 0.5 / step,
        "chosen": -0.4 + 0.1 / step,
        "rejected": -0.5 - 0.02 * step,
        "gradientNorm": 3.0 / step,
        "learningRate": 5e-7 * (40 - step) / 40,
        "tokensPerSecond": 5400.0 + 10 * step,
        "memoryBytes": 1.5e9 + 1e7 * step,
    }


def with_evaluation(analysis: Results, tuned: tuple[float, float, float], tokens: tuple[int, int, int]) -> Results:
    base = list(made_answers((0.95, 0.66, 0.56), (160, 210, 240), 0.3))
    evaluation = evaluation_results(base, made_answers(tuned, tokens, 0.1), SHAPE)
    spends = {
        "rollout": Spend(
            requests=9, prompt_computed=4000, prompt_cached=800, generated=5000, dense_flops=4e12, seconds=40
        ),
        "training": Spend(trained=90_000, dense_flops=3e12, attention_flops=1e10, seconds=130),
    }
    return analysis.model_copy(
        update={
            "evaluation": evaluation,
            "cost": cost_results(spends, evaluation, reused={"rollout"}),
            "gate": gate_results(Gate(), evaluation),
            "training": {"steps": 46, "loss": 1.25, "droppedTooLong": 3, "sweep": SWEEP},
        }
    )


@pytest.fixture(scope="session")
def won(analysis: Results) -> Results:
    return with_evaluation(analysis, (0.96, 0.80, 0.74), (70, 95, 120))


@pytest.fixture(scope="session")
def two_domains(won: Results) -> Results:
    """Return results of a model against itself, in the domain and outside."""
    answers = [
        one.model_copy(update={"benchmark": benchmark})
        for benchmark in ("math500", "mmlu-pro")
        for one in made_answers((0.9, 0.6, 0.5), (90, 95, 99), 0.3)
    ]
    evaluation = evaluation_results(answers, answers, SHAPE, out_of_domain=["mmlu-pro"])
    return won.model_copy(update={"evaluation": evaluation, "gate": gate_results(Gate(), evaluation)})


@pytest.fixture(scope="session")
def lost(analysis: Results) -> Results:
    return with_evaluation(analysis, (0.60, 0.40, 0.20), (170, 220, 250))


@pytest.fixture(scope="session")
def report(won: Results, traces: list[PrunedTrace]) -> ReportInput:
    base = list(made_answers((0.95, 0.66, 0.56), (160, 210, 240), 0.3))
    tuned = list(made_answers((0.96, 0.80, 0.74), (70, 95, 120), 0.1))
    return ReportInput(
        name="made-up",
        settings="apiVersion: dto.run/v1alpha1\nkind: DTORun\n",
        results=won,
        versions={"dto-operator": "0.1.0", "python": "3.11", "model": "sha256:" + 64 * "a"},
        traces=traces,
        lengths=[
            Lengths(level, [a.tokens for a in base if a.level == level], [a.tokens for a in tuned if a.level == level])
            for level in LEVELS
        ],
        training=[noted(step) for step in range(1, 40)],
        notes=["The model is made up: its slips are planted."],
    )
