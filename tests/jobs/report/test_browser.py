"""The page in a real browser: it shows the numbers, complains of nothing, and fits a phone."""

import re
from dataclasses import replace

import pytest
from browser import Browser

from dto_jobs.core.results import Results
from dto_jobs.report.page import ReportInput, render

HOSTILE = "</pre><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


def test_a_broken_page_would_be_noticed(browser: Browser) -> None:
    _, console = browser.open("<script>undefinedName()</script>")
    assert any("undefinedName" in line for line in console)


def test_the_page_shows_its_numbers_and_complains_of_nothing(browser: Browser, report: ReportInput) -> None:
    document, console = browser.open(render(report))
    overall = report.results.evaluation.overall
    assert console == []
    assert f"{100 * overall.tuned.accuracy.value:.1f}&nbsp;%" in document
    assert f"{100 * overall.accuracy_difference.value:+.1f} points" in document
    assert f"{overall.tuned.tokens.value:,.0f}" in document
    assert document.count("<svg") == render(report).count("<svg")


def test_domains_have_rows_of_their_own_with_efficiency_and_truncation(
    browser: Browser, report: ReportInput, two_domains: Results
) -> None:
    document, console = browser.open(render(replace(report, results=two_domains)))
    assert console == []
    rows = re.findall(r'<tr><th scope="row">([^<]*)\n(.*?)</tr>', document, flags=re.DOTALL)
    shown = {name.strip(): cells for name, cells in rows}
    assert {"all", "in domain", "out of domain", "mmlu-pro", "mmlu-pro · hard", "math500 · easy"} <= shown.keys()
    assert "1.00" in shown["mmlu-pro · hard"], "η of a model against itself"
    cut = f"{100 * two_domains.evaluation.overall.base.truncated:.1f}&nbsp;%"
    assert f"{cut} → {cut}" in shown["all"]
    assert "out-of-domain accuracy changed by" in document


def test_an_analysis_page_complains_of_nothing(browser: Browser, report: ReportInput, analysis: Results) -> None:
    document, console = browser.open(render(replace(report, results=analysis, lengths=(), training=())))
    assert console == []
    assert "fewer tokens" in document


def test_examples_can_be_narrowed_down_by_regime(browser: Browser, report: ReportInput) -> None:
    # A choice made before the script starts, as when a browser restores a page.
    document, console = browser.open(
        render(report).replace("<option>wrong</option>", "<option selected>wrong</option>")
    )
    wrong = sum(not trace.ended.trace.response.correct for trace in report.traces)
    shown = re.findall(r'<details class="example" data-regime="(\w+)" data-level="\w*"(?: open="")?>', document)
    assert console == []
    assert shown == ["wrong"] * wrong
    assert f"{wrong} of {len(report.traces)} shown" in document


def test_hostile_text_does_not_run(browser: Browser, report: ReportInput) -> None:
    document, console = browser.open(render(replace(report, settings=HOSTILE, notes=[HOSTILE])))
    assert console == []
    assert "<title>taken" not in document


def test_the_page_s_policy_stops_a_script_that_slipped_through(browser: Browser, report: ReportInput) -> None:
    document, console = browser.open(render(report).replace("</main>", f"{HOSTILE}</main>"))
    assert "<title>taken" not in document
    assert any("Content Security Policy" in line for line in console)


@pytest.mark.parametrize("width", [390, 768, 1400])
def test_nothing_makes_the_page_scroll_sideways(browser: Browser, report: ReportInput, width: int) -> None:
    assert browser.fits(render(report), width)
