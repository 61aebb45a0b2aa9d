from pathlib import Path

from dto_jobs.report.page import ReportInput, render


def test_x(report: ReportInput, analysis) -> None:
    from dataclasses import replace
    Path("/tmp/numbers/report.html").write_text(render(report))
    Path("/tmp/numbers/analysis.html").write_text(render(replace(report, results=analysis, lengths=[], training=[])))
