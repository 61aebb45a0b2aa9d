"""The gate on simulated evaluations: it accepts what is harmless, and no mean hides a loss from it."""

import random
from collections.abc import Iterator, Mapping

import pytest

from dto_jobs.core.comparison import evaluation_results
from dto_jobs.core.cost import ModelShape
from dto_jobs.core.gate import gate_results
from dto_jobs.core.records import Answer
from dto_jobs.core.results import EvaluationResults, Gate, GateResults

SHAPE = ModelShape(parameters=1000, layers=2, width=8)
DOMAINS = [f"domain {number}" for number in range(4)]

Rates = Mapping[tuple[str, str, int], float]
"""Share of right answers by benchmark, level and number of problems."""


def drawn(rates: Rates, tokens: int, seed: int, *, samples: int = 4) -> Iterator[Answer]:
    """Yield answers to problems that the model knows or does not know, with a slip now and then."""
    knows, slips = random.Random(7), random.Random(seed)
    for (benchmark, level, problems), rate in rates.items():
        for number in range(problems):
            known = knows.random() < rate
            for sample in range(samples):
                yield Answer(
                    problem_id=f"{level}{number}",
                    benchmark=benchmark,
                    level=level,
                    sample=sample,
                    prompt_tokens=10,
                    tokens=tokens + number % 7,
                    finished=True,
                    correct=known != (slips.random() < 0.02),
                    answer="1",
                    text="…",
                    rechecks=1,
                )


def compared(base: Rates, tuned: Rates, tokens: int = 50, *, seed: int = 1) -> EvaluationResults:
    found = evaluation_results(
        drawn(base, 100, seed), drawn(tuned, tokens, seed + 1), SHAPE, out_of_domain=Gate().out_of_domain
    )
    assert found is not None
    return found


def maths(rate: float, problems: int = 300) -> Rates:
    return {("math500", "", problems): rate}


def general(rate: float, problems: int = 100) -> Rates:
    return {("mmlu-pro", name, problems): rate for name in DOMAINS}


def judged(found: GateResults) -> dict[str, str]:
    return {check.name: check.verdict for check in found.checks}


def test_a_clear_gain_is_accepted() -> None:
    found = gate_results(Gate(), compared(maths(0.5) | general(0.4), maths(0.7) | general(0.4)))
    assert found.accepted
    assert judged(found) == {"accuracy": "passed", "tokens": "passed", "out-of-domain": "passed", "slices": "passed"}


def test_models_that_are_alike_are_accepted_nearly_always() -> None:
    gate = Gate(max_accuracy_drop=0.03, max_out_of_domain_drop=0.03)
    rates = maths(0.6, 150) | general(0.4, 40)
    verdicts = [gate_results(gate, compared(rates, rates, seed=10 * seed)).accepted for seed in range(6)]
    assert sum(verdicts) >= 5


def test_a_loss_out_of_domain_is_not_made_up_for_by_a_gain_in_it() -> None:
    found = gate_results(Gate(), compared(maths(0.5) | general(0.45), maths(0.8) | general(0.40)))
    assert not found.accepted
    assert judged(found)["accuracy"] == "passed"
    assert judged(found)["out-of-domain"] == "failed"
    [check] = [check for check in found.checks if not check.passed and check.name == "out-of-domain"]
    assert check.bound < check.limit == -0.02


def test_a_domain_that_lost_clearly_is_found_though_the_mean_is_well() -> None:
    small, large = ("mmlu-pro", "law", 80), ("mmlu-pro", "others", 900)
    before, after = ({small: law, large: 0.42} | maths(0.5, 100) for law in (0.42, 0.15))
    found = gate_results(Gate(max_out_of_domain_drop=0.05), compared(before, after))
    assert judged(found)["out-of-domain"] == "passed"
    assert judged(found)["slices"] == "failed"
    [check] = [check for check in found.checks if check.name == "slices"]
    assert "mmlu-pro law (-" in check.message
    assert "others" not in check.message
    assert not found.accepted


def test_noise_in_small_domains_is_no_clear_loss() -> None:
    rates = {("mmlu-pro", f"domain {number}", 12): 0.5 for number in range(8)} | maths(0.5, 60)
    refused = 0
    for seed in range(6):
        found = evaluation_results(
            drawn(rates, 100, seed, samples=1),
            drawn(rates, 50, 99 - seed, samples=1),
            SHAPE,
            out_of_domain={"mmlu-pro"},
        )
        refused += judged(gate_results(Gate(), found))["slices"] == "failed"
    assert refused <= 1


def test_what_was_not_evaluated_out_of_domain_is_said_and_not_taken_for_proof() -> None:
    found = gate_results(Gate(), compared(maths(0.5), maths(0.7)))
    assert found.accepted
    [check] = found.not_judged
    assert (check.name, check.passed, check.value, check.bound) == ("out-of-domain", True, None, None)
    assert check.message == "out of domain nothing was evaluated (mmlu-pro), so what was lost there is not known"


def test_a_gate_may_insist_on_it() -> None:
    found = gate_results(Gate(require_out_of_domain=True), compared(maths(0.5), maths(0.7)))
    assert not found.accepted
    assert "evaluate mmlu-pro, or set gate.requireOutOfDomain to false" in found.not_judged[0].message


def test_a_gate_that_names_no_benchmark_out_of_domain_judges_all_as_one() -> None:
    found = gate_results(Gate(out_of_domain=()), compared(maths(0.5), maths(0.7)))
    assert found.accepted
    assert set(judged(found)) == {"accuracy", "tokens"}


def test_without_any_benchmark_in_the_domain_nothing_is_accepted() -> None:
    found = gate_results(Gate(), compared(general(0.4, 20), general(0.6, 20)))
    assert not found.accepted
    assert (judged(found)["accuracy"], judged(found)["tokens"]) == ("not judged", "not judged")


def test_a_lost_point_that_is_not_sure_to_be_small_is_refused() -> None:
    found = gate_results(Gate(max_accuracy_drop=0.01), compared(maths(0.5), maths(0.494)))
    accuracy, tokens, *_ = found.checks
    assert not found.accepted
    assert accuracy.bound < -0.01 < accuracy.value
    assert tokens.passed
    assert accuracy.message.startswith("in-domain accuracy changed by -0.")
    assert accuracy.message.endswith("with 95 % confidence; -1.0 points is allowed")


def test_too_small_a_saving_is_refused() -> None:
    found = gate_results(Gate(min_token_saving=0.5), compared(maths(0.5), maths(0.7), tokens=60))
    assert not found.accepted
    assert found.checks[1].message.startswith("in-domain tokens changed by -38.8 %, at worst -38.")
    assert found.checks[1].message.endswith("; -50.0 % is wanted")


def test_unchanged_answers_to_few_problems_are_no_proof_that_nothing_is_lost() -> None:
    few, many = (compared(maths(1.0, n), maths(1.0, n), seed=0) for n in (40, 800))
    assert not gate_results(Gate(), few).accepted
    assert gate_results(Gate(), many).accepted


def test_one_problem_is_never_enough_to_accept() -> None:
    found = gate_results(Gate(), compared(maths(1.0, 1), maths(1.0, 1)))
    assert not found.accepted
    assert "one problem cannot show" in found.checks[0].message


@pytest.mark.parametrize("setting", ["maxAccuracyDrop", "maxOutOfDomainDrop", "minTokenSaving"])
def test_a_gate_refuses_shares_out_of_range(setting) -> None:
    with pytest.raises(ValueError, match=setting):
        Gate.model_validate({setting: 1.5})
