import random
import re
from statistics import mean

import pytest

from dto_jobs.demo import traces
from dto_jobs.demo.arithmetic import Expression
from dto_jobs.demo.problems import LEVELS, draw_expression
from dto_jobs.demo.traces import (
    CHECKED,
    LISTING,
    LONGEST,
    OPENING,
    UNCHECKED,
    draw_trace,
    draw_training_trace,
    softened,
)

CUES = ("Okay, so", "First", "Wait", "Hmm", "Let me", "Alternatively", "But wait", "Let me check")
EXIT = "\n\nThat settles it.\n</think>\n\n**Final Answer**\n\\boxed{"
AFTERTHOUGHTS = set(UNCHECKED) - {"stop"}


@pytest.fixture
def as_sampled(monkeypatch):
    """Draw with the probabilities a reader meets, not with the softened ones that are trained on."""
    monkeypatch.setattr(traces, "TEMPERATURE", 1.0)


def drawn(level, count, draw=draw_trace):
    source = random.Random(f"{level} 7")
    return [draw(source, draw_expression(source, level)) for _ in range(count)]


def assert_results_follow(trace):
    quick, exact = trace.expression.quick_values()[-1], trace.expression.value()
    current = None
    for kind, result in zip(trace.kinds, trace.results, strict=True):
        current = {"quick": quick, "again": quick, "careful": exact}.get(kind, current)
        assert result == current


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("draw", [draw_trace, draw_training_trace])
def test_every_trace_ends_as_the_product_asks_a_model_to_end(level, draw):
    for trace in drawn(level, 300, draw):
        thinking, answer = trace.text().split(EXIT)
        assert answer.endswith("}")
        assert "</think>" not in thinking
        assert trace.result is None or answer == f"{trace.result}}}"


@pytest.mark.parametrize("level", LEVELS)
def test_every_pattern_is_one_paragraph_that_starts_with_a_cue(level):
    for trace in drawn(level, 300, draw_training_trace):
        assert all(pattern.startswith(CUES) and "\n\n" not in pattern for pattern in trace.patterns)


def test_the_same_source_draws_the_same_trace():
    first, second = (draw_training_trace(random.Random(3), Expression.parse("19+14-26")).text() for _ in range(2))
    assert first == second


def test_a_quick_pass_writes_step_and_rest_and_falls_into_the_trap():
    assert traces.quick_pass(Expression.parse("19+14-2")) == "19+14-2\n19+14=23, so 23-2\n23-2=21\nThis gives 21."


def test_a_careful_check_writes_the_carry_and_is_right():
    written = traces.careful_check(Expression.parse("19+14-2"), 21)
    assert written == "19+14-2\n9+4=13, 1+1+1=3, so 33-2\n3-2=1, 3-0=3, so 31\nSo it is 31, not 21."


def test_a_careful_check_that_agrees_says_so():
    assert traces.careful_check(Expression.parse("9-2"), 7).endswith("So it is 7, as before.")


@pytest.mark.parametrize("level", LEVELS)
def test_only_a_careful_check_changes_the_result_and_it_makes_it_right(level):
    for trace in drawn(level, 300):
        assert_results_follow(trace)


def test_the_answer_before_any_pass_is_the_start_value():
    trace = traces.Trace(Expression.parse("19+14"))
    trace.add("opening", "Okay, so I need to compute 19+14.")
    assert trace.result is None
    assert trace.text().endswith("\\boxed{19}")


@pytest.mark.usefixtures("as_sampled")
def test_the_slips_are_repaired_on_hard_problems_and_checks_are_waste_on_easy_ones():
    right = {
        level: (
            mean(trace.expression.quick_values()[-1] == trace.expression.value() for trace in rows),
            mean(trace.result == trace.expression.value() for trace in rows),
        )
        for level in LEVELS
        for rows in [drawn(level, 3000)]
    }
    assert right["easy"] == (1, 1)
    assert right["medium"] == pytest.approx((0.53, 0.85), abs=0.04)
    assert right["hard"] == pytest.approx((0.16, 0.73), abs=0.04)


@pytest.mark.usefixtures("as_sampled")
def test_the_model_talks_as_much_about_easy_problems_as_about_hard_ones():
    checks = [mean(len(AFTERTHOUGHTS & set(trace.kinds)) for trace in drawn(level, 3000)) for level in LEVELS]
    assert max(checks) - min(checks) < 0.12
    assert min(checks) > 1.5


@pytest.mark.usefixtures("as_sampled")
def test_openings_lists_and_what_follows_a_quick_pass_come_as_often_as_documented():
    rows = drawn("medium", 6000)
    assert mean("opening" in trace.kinds for trace in rows) == pytest.approx(OPENING, abs=0.02)
    assert mean("list" in trace.kinds for trace in rows) == pytest.approx(LISTING, abs=0.02)
    following = [[*trace.kinds, "stop"][trace.kinds.index("quick") + 1] for trace in rows]
    for kind, probability in UNCHECKED.items():
        assert mean(one == kind for one in following) == pytest.approx(probability, abs=0.02)


@pytest.mark.parametrize("probabilities", [UNCHECKED, CHECKED])
def test_what_comes_next_has_probabilities_that_add_up_to_one(probabilities):
    assert sum(probabilities.values()) == pytest.approx(1)
    # Sampling at top_p 0.95 would cut off what is rarer.
    assert min(probabilities.values()) > 0.05


def test_training_on_softened_probabilities_and_sampling_at_the_temperature_gives_the_documented_ones():
    trained = softened(OPENING)
    yes, no = trained ** (1 / traces.TEMPERATURE), (1 - trained) ** (1 / traces.TEMPERATURE)
    assert yes / (yes + no) == pytest.approx(OPENING)


def test_no_second_quick_pass_follows_a_careful_check():
    for trace in drawn("hard", 500):
        if "careful" in trace.kinds:
            assert "again" not in trace.kinds[trace.kinds.index("careful") :]


def test_thinking_is_bounded():
    assert max(len(trace.kinds) for trace in drawn("hard", 2000)) <= 3 + LONGEST


@pytest.mark.parametrize("level", LEVELS)
def test_a_doubt_asks_about_a_line_that_stands_in_the_last_pass_and_confirms_it(level):
    seen = 0
    for trace in drawn(level, 400):
        for index, kind in enumerate(trace.kinds):
            if kind == "doubt":
                step, asked, confirmed = re.fullmatch(
                    r"Hmm, is (\S+) really (\d+)\?\nYes, it is (\d+)\.", trace.patterns[index]
                ).groups()
                last = next(text for text in reversed(trace.patterns[:index]) if "gives" in text or "So it is" in text)
                assert asked == confirmed
                assert step in last
                assert asked in re.findall(r"\d+", last)
                seen += 1
    assert seen > 50


def test_training_holds_the_forms_that_pruning_makes():
    rows = drawn("hard", 6000, draw_training_trace)
    assert mean(trace.result is None for trace in rows) == pytest.approx(traces.HASTY, abs=0.01)
    for trace in rows:
        assert_results_follow(trace)


def test_a_careful_check_never_stands_without_the_quick_pass_it_compares_with():
    for trace in drawn("hard", 3000, draw_training_trace):
        assert "careful" not in trace.kinds or "quick" in trace.kinds[: trace.kinds.index("careful")]
