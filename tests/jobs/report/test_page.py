import html
import re
from dataclasses import replace

import pytest

from dto_jobs.core.audits import CutAudit, CutFigures, CutPair, JudgeAudit, JudgeFigures, JudgePair
from dto_jobs.core.cost import FORMULA
from dto_jobs.core.interval import Interval
from dto_jobs.core.records import Answer, PrunedTrace
from dto_jobs.core.results import Results
from dto_jobs.report.examples import Compared
from dto_jobs.report.page import ReportInput, render

HOSTILE = """</span></details><script>document.title='taken'</script><img src=x onerror="document.title='taken'">"""


def visible(page: str) -> str:
    """Return the page's text, without style, script and tags."""
    text = re.sub(r"<(style|script).*?</\1>", " ", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text)))


def hostile(trace: PrunedTrace) -> PrunedTrace:
    """Return the trace with a text that tries to break out wherever a model writes."""
    searched = trace.ended.trace
    patterns = tuple(pattern.model_copy(update={"text": HOSTILE, "kind": HOSTILE}) for pattern in searched.patterns)
    problem = searched.response.problem.model_copy(update={"question": HOSTILE, "answer": HOSTILE, "level": HOSTILE})
    response = searched.response.model_copy(
        update={"text": HOSTILE * len(patterns), "problem": problem, "id": HOSTILE, "answer": HOSTILE}
    )
    searched = searched.model_copy(update={"response": response, "patterns": patterns})
    drops = tuple(drop.model_copy(update={"reason": HOSTILE}) for drop in trace.dropped)
    ended = trace.ended.model_copy(update={"trace": searched, "ending": HOSTILE})
    return trace.model_copy(update={"ended": ended, "text": HOSTILE if trace.text else None, "dropped": drops})


def compared(trace: PrunedTrace) -> Compared:
    answer = Answer(
        problem_id="e1",
        benchmark="toy",
        level="easy",
        sample=0,
        prompt_tokens=9,
        tokens=77,
        finished=True,
        correct=True,
        answer="18",
        text="I add.\n\nWait, let me check that again, slowly and with care: it is 18.</think>It is 18.",
        rechecks=1,
    )
    return Compared(
        trace.ended.trace.response.problem, answer, answer.model_copy(update={"tokens": 33, "correct": False})
    )


def rate(value: float) -> Interval:
    return Interval(value=value, low=max(0.0, value - 0.125), high=min(1.0, value + 0.125), n=9)


def judged() -> JudgeAudit:
    figures = JudgeFigures(
        judge=HOSTILE,
        patterns=77,
        unheard=5,
        dropped=rate(0.625),
        agreement=rate(0.5),
        kappa=Interval(value=-0.03, low=-0.11, high=0.07, n=9),
        harm=rate(0.375),
        missed=None,
        counts={},
    )
    pair = JudgePair(first="a", second=HOSTILE, agreement=rate(0.25), kappa=Interval(value=0.1, n=1))
    return JudgeAudit(
        run="r",
        traces=12,
        problems=9,
        unsteady=2,
        completions=8,
        threshold=0.5,
        seed=0,
        needed=rate(0.375),
        judges=(figures,),
        pairs=(pair,),
    )


def cut() -> CutAudit:
    figures = [
        CutFigures(name=name, patterns=7.5, with_exit=rate(0.75), position=place, saving=rate(0.375), samples=31)
        for name, place in (("cues", rate(0.5)), ("random", None))
    ]
    pair = CutPair(
        first="cues", second="random", both=8, same=rate(0.875), distance=rate(0.125), shift=None, saving=rate(0)
    )
    return CutAudit(
        run="r", traces=12, problems=9, completions=8, threshold=0.5, seed=0, cuts=tuple(figures), pairs=(pair,)
    )


def test_audits_are_shown_where_the_run_was_audited(report: ReportInput) -> None:
    page = render(replace(report, judge_audit=judged(), cut_audit=cut()))
    text = visible(page)
    assert "Are the judge’s verdicts right?" in text
    assert "37.5 %" in text
    assert "\N{MINUS SIGN}0.03" in text
    assert "Is the cut objective?" in text
    assert "<script>document.title" not in page, "a judge's name is text"
    assert 'id="audits"' not in render(report)


def test_a_page_names_the_measured_numbers(report: ReportInput) -> None:
    text = visible(render(report))
    overall = report.results.evaluation.overall
    assert f"{100 * overall.tuned.accuracy.value:.1f}" in text
    assert f"{overall.base.tokens.value:,.0f}" in text
    assert f"{100 * overall.accuracy_difference.value:+.1f} points" in text
    assert "gate accepts" in text
    assert FORMULA in text


def test_a_page_shows_every_section_of_a_full_run(report: ReportInput) -> None:
    page = render(report)
    for section in ("evaluation", "traces", "examples", "training", "cost", "limits"):
        assert f'<section id="{section}">' in page
    assert page.count("<svg") >= 2 + len(report.lengths) + 1 + report.curves + 2
    assert all(note in visible(page) for note in report.notes)


def test_an_analysis_shows_no_model_that_was_not_trained(report: ReportInput, analysis: Results) -> None:
    page = render(replace(report, results=analysis, lengths=(), training=()))
    assert '<section id="evaluation">' not in page
    assert '<section id="traces">' in page
    assert "fewer tokens" in visible(page)
    assert "nothing was trained" in visible(page)
    assert "break-even" not in visible(page).lower()


def test_a_run_that_only_sampled_still_has_a_page(analysis: Results) -> None:
    text = visible(render(ReportInput("early", "kind: DTORun", Results(rollout=analysis.rollout), {})))
    assert "Not far enough for a result yet" in text


def test_a_run_without_any_result_still_has_a_page() -> None:
    assert "Not far enough" in render(ReportInput("empty", "", Results(), {}))


def test_a_lost_run_says_so_and_marks_what_fell(report: ReportInput, lost: Results) -> None:
    page = render(replace(report, results=lost))
    text = visible(page)
    assert "more tokens, and accuracy down" in text
    assert "The gate: refused" in text
    assert "never" in text
    assert page.count('class="worse"') == 4


def test_dropped_patterns_are_struck_through_and_say_why(report: ReportInput) -> None:
    page = render(report)
    assert re.search(r'<del class="piece dropped k\d" title="check, dropped: answers stay right without it">Wait', page)


def test_model_text_is_escaped_everywhere(report: ReportInput) -> None:
    traces = [hostile(trace) for trace in report.traces]
    answers = [
        replace(compared(trace), base=compared(trace).base.model_copy(update={"text": HOSTILE})) for trace in traces
    ]
    page = render(
        replace(
            report,
            name=HOSTILE,
            settings=HOSTILE,
            traces=traces,
            answers=answers,
            notes=[HOSTILE],
            versions={HOSTILE: HOSTILE},
        )
    )
    assert HOSTILE not in page
    assert page.count("<script") == 1
    assert "<img" not in page


def test_only_the_page_s_own_script_may_run(report: ReportInput) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', render(report))[1]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)


def test_a_page_fetches_nothing(report: ReportInput) -> None:
    page = render(report)
    assert re.findall(r'(?:src|href)="(?!data:,)[^"]*"', page) == []
    assert not re.search(r"@import|url\(", page)


def test_answers_of_both_models_stand_side_by_side(report: ReportInput, traces: list[PrunedTrace]) -> None:
    page = render(replace(report, answers=[compared(traces[0])]))
    assert "What the models answer" in page
    assert "Base: 77 tokens, right" in page
    assert "Tuned: 33 tokens, wrong" in page
    assert re.search(r'<span class="piece kept k\d" title="check">Wait, let me check', page)


def test_without_answers_there_is_no_empty_browser(report: ReportInput) -> None:
    page = render(replace(report, traces=(), answers=()))
    assert '<section id="examples">' not in page


@pytest.mark.parametrize("curves", [0, 3])
def test_no_more_curves_are_drawn_than_wanted(report: ReportInput, curves: int) -> None:
    assert render(replace(report, curves=curves)).count('class="chart curve"') == curves


def test_a_long_training_log_is_not_printed_as_a_figure(report: ReportInput, won: Results) -> None:
    results = won.model_copy(update={"training": {"steps": 46, "log": [{"step": 1}]}})
    text = visible(render(replace(report, results=results)))
    assert "steps 46" in text
    assert "[{" not in text
