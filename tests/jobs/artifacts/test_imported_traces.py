from dto_jobs.artifacts.imported_traces import read_traces
from dto_jobs.problem_source import TraceSource


def test_longer_responses_can_be_left_out(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"id": "{n}", "problem": "q{n}", "gold": "1", "response": "{"x" * n}"}}\n' for n in (1, 5, 6)))
    traces = read_traces(TraceSource(source=str(path), max_characters=5), tmp_path)
    assert [trace.id for trace in traces] == ["1", "5"]
