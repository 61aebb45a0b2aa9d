import pytest

from dto_jobs.core.interval import Interval
from dto_jobs.core.results import EvaluationResults, RegimeResults, Results
from dto_jobs.report.headline import headline


def made(won: Results, accuracy: tuple[float, float, float], tokens: tuple[float, float, float]) -> Results:
    """Return results whose overall differences are (value, low, high)."""
    difference, change = (Interval(value=v, low=a, high=b, n=600) for v, a, b in (accuracy, tokens))
    overall = won.evaluation.overall.model_copy(update={"accuracy_difference": difference, "token_change": change})
    return won.model_copy(update={"evaluation": EvaluationResults(slices=(overall,))})


@pytest.mark.parametrize(
    ("accuracy", "tokens", "title"),
    [
        ((0.09, 0.06, 0.12), (-0.55, -0.57, -0.53), "55 % fewer tokens, and accuracy up 9.0 points"),
        ((-0.09, -0.12, -0.06), (-0.55, -0.57, -0.53), "55 % fewer tokens, but accuracy down 9.0 points"),
        ((0.01, -0.02, 0.04), (-0.55, -0.57, -0.53), "55 % fewer tokens, no clear change in accuracy (+1.0 points)"),
        ((0.09, 0.06, 0.12), (0.10, 0.05, 0.15), "10 % more tokens, but accuracy up 9.0 points"),
        ((-0.09, -0.12, -0.06), (0.10, 0.05, 0.15), "10 % more tokens, and accuracy down 9.0 points"),
        ((0.09, 0.06, 0.12), (-0.02, -0.05, 0.01), "No clear change in tokens, and accuracy up 9.0 points"),
    ],
)
def test_the_title_claims_only_what_the_intervals_bear_out(
    won: Results, accuracy: tuple[float, float, float], tokens: tuple[float, float, float], title: str
) -> None:
    assert headline(made(won, accuracy, tokens)).title.replace("\N{NO-BREAK SPACE}", " ") == title


def test_a_value_without_interval_is_no_clear_change(won: Results) -> None:
    overall = won.evaluation.overall
    alone = {"accuracy_difference": Interval(value=1, n=1), "token_change": Interval(value=-0.5, n=1)}
    results = won.model_copy(update={"evaluation": EvaluationResults(slices=(overall.model_copy(update=alone),))})
    assert headline(results).title == "No clear change in tokens, no clear change in accuracy (+100.0 points)"


def test_a_refusal_gives_its_reasons(lost: Results) -> None:
    sentences = " ".join(headline(lost).sentences)
    assert "The gate refuses the tuned model: in-domain accuracy changed by" in sentences
    assert "does not pay back" in sentences


def test_a_slice_that_fell_is_named_even_when_the_mean_rose(won: Results) -> None:
    first, *others = won.evaluation.slices
    fallen = others[0].model_copy(update={"accuracy_difference": Interval(value=-0.2, low=-0.25, high=-0.15, n=200)})
    results = won.model_copy(update={"evaluation": EvaluationResults(slices=(first, fallen, *others[1:]))})
    assert f"Accuracy fell clearly on: {fallen.level} (\N{MINUS SIGN}20.0)." in headline(results).sentences
    assert not any("fell clearly" in sentence for sentence in headline(won).sentences)


def test_an_analysis_tells_of_both_regimes(analysis: Results) -> None:
    found = headline(analysis)
    assert found.title.startswith("These traces could do with")
    text = " ".join(found.sentences)
    assert "right traces 17 were shortened" in text
    assert "wrong traces" in text
    assert "nothing was trained" in text


def test_traces_that_cannot_be_shortened_are_not_praised(analysis: Results) -> None:
    right = analysis.regimes.right.model_copy(update={"traces": 0, "optimized": 0, "overall": None})
    results = analysis.model_copy(update={"regimes": RegimeResults(right=right, wrong=right)})
    assert headline(results).title == "Optimizing these traces would save no tokens"


def test_a_wide_interval_is_not_called_no_change(won: Results) -> None:
    wide = {"accuracy_difference": Interval(value=-0.08, low=-0.164, high=0.007, n=150)}
    results = won.model_copy(
        update={"evaluation": EvaluationResults(slices=(won.evaluation.overall.model_copy(update=wide),))}
    )
    assert "accuracy not certain (\N{MINUS SIGN}8.0 points, \N{MINUS SIGN}16.4 to +0.7)" in headline(results).title


def test_a_refused_model_has_not_paid_for_anything(won: Results) -> None:
    refused = won.gate.model_copy(update={"accepted": False})
    assert "and would, were the model good enough, have paid for itself" in " ".join(
        headline(won.model_copy(update={"gate": refused})).sentences
    )
    assert "and has paid for itself" in " ".join(headline(won).sentences)


def test_what_was_not_judged_is_said_with_the_acceptance(won: Results) -> None:
    assert "The gate accepts the tuned model; out of domain nothing was evaluated" in " ".join(headline(won).sentences)
